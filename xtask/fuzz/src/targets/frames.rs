//! Binary messages (PROTOCOL section 2).

use bytes::Bytes;
use upload_proto::{Frame, FrameErrorKind};

pub(super) fn run(input: &[u8]) {
    let bytes = Bytes::copy_from_slice(input);
    match Frame::decode(bytes.clone()) {
        Ok(frame) => {
            assert_eq!(frame.encode(), bytes, "what was read is written the same");
            if let Frame::Chunk { data, .. } = &frame {
                // FRAME-2: a slice of what was received.
                let end = bytes.as_ptr_range().end;
                assert!(data.is_empty() || data.as_ptr_range().end == end);
                assert_eq!(data.len(), input.len() - 21);
            }
        }
        Err(error) => {
            let named = input
                .get(1..17)
                .filter(|bytes| bytes.iter().any(|byte| *byte != 0));
            let named = named.filter(|_| matches!(input.first(), Some(1..=3)));
            let told = error.upload.map(|upload| upload.as_bytes().to_vec());
            assert_eq!(told.as_deref(), named, "MSG-1");
            let is_right = match error.kind {
                FrameErrorKind::Empty => input.is_empty(),
                FrameErrorKind::UnknownType(first) => {
                    input.first() == Some(&first) && !matches!(first, 1..=3)
                }
                FrameErrorKind::TooShort { length, needed } => {
                    length == input.len() && length < needed
                }
                FrameErrorKind::TrailingBytes { extra } => {
                    extra > 0 && matches!(input.first(), Some(2 | 3)) && input.len() == 17 + extra
                }
            };
            assert!(is_right, "{error:?}");
        }
    }
}
