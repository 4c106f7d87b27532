//! Properties of frames and refs (PROTOCOL section 2).

use bytes::{Bytes, BytesMut};
use proptest::{collection::vec, prelude::*};
use upload_proto::{
    CHUNK_HEADER_BYTES, Frame, FrameError, FrameErrorKind, UploadRef, chunk_header,
    strategies::{frames, refs},
};

proptest! {
    /// FRAME-1: a frame reads back as it was written.
    #[test]
    fn frame_1_decode_undoes_encode(frame in frames()) {
        prop_assert_eq!(Frame::decode(frame.encode()), Ok(frame));
    }

    /// FRAME-1: only what a frame is written as is read as that frame.
    #[test]
    fn frame_1_encode_undoes_decode(kind in 0..5_u8, rest in vec(any::<u8>(), 0..48)) {
        let bytes = Bytes::from([&[kind], &rest[..]].concat());
        match Frame::decode(bytes.clone()) {
            Ok(frame) => prop_assert_eq!(frame.encode(), bytes),
            Err(FrameError { kind: FrameErrorKind::UnknownType(_), upload }) => {
                prop_assert!(!(1..=3).contains(&kind));
                prop_assert_eq!(upload, None);
            }
            Err(FrameError { upload, .. }) => {
                let named = rest.first_chunk::<16>().filter(|bytes| **bytes != [0; 16]);
                prop_assert_eq!(upload, named.copied().map(UploadRef::from_bytes));
            }
        }
    }

    /// FRAME-1: no bytes at all make the reader fail otherwise than by an error.
    #[test]
    fn frame_1_any_bytes_are_survived(bytes in vec(any::<u8>(), 0..128)) {
        let valid = matches!(
            (bytes.first(), bytes.len()),
            (Some(1), 21..) | (Some(2), 17 | 21) | (Some(3), 17)
        );
        prop_assert_eq!(Frame::decode(bytes.into()).is_ok(), valid);
    }

    /// FRAME-1: a frame cut short is refused, unless what is left is itself a whole frame.
    #[test]
    fn frame_1_truncations_are_told_apart(frame in frames(), at in any::<prop::sample::Index>()) {
        let whole = frame.encode();
        let length = at.index(whole.len());
        let upload = frame.upload();
        let cut = Frame::decode(whole.slice(..length));
        let needed = if matches!(frame, Frame::Chunk { .. }) { 21 } else { 17 };
        let expected = match (&frame, length) {
            (_, 0) => Err(FrameErrorKind::Empty),
            (_, length) if length < needed => Err(FrameErrorKind::TooShort { length, needed }),
            (Frame::Chunk { index, data, .. }, _) => {
                let data = data.slice(..length - CHUNK_HEADER_BYTES);
                Ok(Frame::Chunk { upload, index: *index, data })
            }
            (_, 17) => Ok(Frame::Complete { upload, crc32c: None }),
            (_, length) => Err(FrameErrorKind::TrailingBytes { extra: length - 17 }),
        };
        let named = (length >= 17 && !upload.is_nil()).then_some(upload);
        prop_assert_eq!(cut, expected.map_err(|kind| FrameError { kind, upload: named }));
    }

    /// FRAME-2: the data of a chunk lies in the buffer that was received.
    #[test]
    fn frame_2_data_is_not_copied(upload in refs(), data in vec(any::<u8>(), 1..512)) {
        let sent = Frame::Chunk { upload, index: 0, data: data.into() };
        let received = sent.encode();
        let start = received.as_ptr().wrapping_add(CHUNK_HEADER_BYTES);
        let Ok(Frame::Chunk { data, .. }) = Frame::decode(received) else {
            return Err(TestCaseError::fail("not a chunk"));
        };
        prop_assert_eq!(data.as_ptr(), start);
    }

    /// FRAME-1: a chunk is its header and its data; encoding appends to what is there.
    #[test]
    fn frame_1_header_and_data_make_a_chunk(frame in frames()) {
        let mut buffer = BytesMut::from(&b"before"[..]);
        frame.encode_into(&mut buffer);
        prop_assert_eq!(&buffer[6..], frame.encode());
        if let Frame::Chunk { upload, index, data } = frame {
            prop_assert_eq!(&buffer[6..], [&chunk_header(upload, index)[..], &data].concat());
        }
    }

    /// CTRL-2: canonical text is the one spelling of a ref, but for its case.
    #[test]
    fn ctrl_2_refs_have_one_spelling(bytes in any::<[u8; 16]>(), at in 0..36_usize, character in "[ -~]") {
        let upload = UploadRef::from_bytes(bytes);
        let text = upload.to_string();
        prop_assert_eq!(text.parse(), Ok(upload));
        prop_assert_eq!(text.to_uppercase().parse(), Ok(upload));

        let mut other = text.clone();
        other.replace_range(at..=at, &character);
        if let Ok(upload) = other.parse::<UploadRef>() {
            prop_assert_eq!(upload.to_string(), other.to_lowercase());
        } else {
            prop_assert_ne!(text, other);
        }
    }
}
