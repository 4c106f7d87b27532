//! Frames of the socket and of uploads, by hand (RFC 6455 section 5.2, PROTOCOL section 2).

use std::hash::{BuildHasher, RandomState};

/// The mask of every frame; any will do.
const MASK: [u8; 4] = [0x5a, 0xc3, 0x17, 0x9e];

/// What kind a frame of the socket is.
pub(super) const TEXT: u8 = 1;
pub(super) const BINARY: u8 = 2;
pub(super) const CLOSE: u8 = 8;
pub(super) const PING: u8 = 9;
pub(super) const PONG: u8 = 10;

/// A frame that a server sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) is_last: bool,
    pub(super) opcode: u8,
    pub(super) payload: Vec<u8>,
}

/// Returns a whole, masked frame.
pub(super) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    let length = payload.len();
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..=125), _) => frame.push(0x80 | short),
        (_, Ok(medium)) => {
            frame.push(0x80 | 126);
            frame.extend(medium.to_be_bytes());
        }
        _ => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    let masked = payload.iter().zip(MASK.into_iter().cycle());
    frame.extend(masked.map(|(byte, mask)| byte ^ mask));
    frame
}

/// Cuts the first whole frame off what a server sent, which is not masked.
pub(super) fn cut(bytes: &mut Vec<u8>) -> Option<Frame> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    let (at, length) = match second & 0x7f {
        126 => {
            let length = bytes.get(2..4)?.try_into().ok()?;
            (4_usize, usize::from(u16::from_be_bytes(length)))
        }
        127 => {
            let length = bytes.get(2..10)?.try_into().ok()?;
            (10, usize::try_from(u64::from_be_bytes(length)).ok()?)
        }
        length => (2, usize::from(length)),
    };
    let end = at.checked_add(length)?;
    let payload = bytes.get(at..end)?.to_vec();
    bytes.drain(..end);
    Some(Frame {
        is_last: first & 0x80 != 0,
        opcode: first & 0x0f,
        payload,
    })
}

/// Returns a chunk of an upload.
pub(super) fn chunk(upload: &str, index: u32, data: &[u8]) -> Vec<u8> {
    about(1, upload, &[&index.to_be_bytes(), data].concat())
}

/// Returns the completion of an upload, with its checksum or without.
pub(super) fn complete(upload: &str, crc32c: Option<u32>) -> Vec<u8> {
    let checksum = crc32c.map(u32::to_be_bytes);
    about(2, upload, checksum.as_ref().map_or(&[], |bytes| bytes))
}

/// Returns the cancelling of an upload.
pub(super) fn cancel(upload: &str) -> Vec<u8> {
    about(3, upload, b"")
}

/// Returns a frame of this kind about an upload.
pub(super) fn about(kind: u8, upload: &str, rest: &[u8]) -> Vec<u8> {
    let number = u128::from_str_radix(&upload.replace('-', ""), 16).unwrap_or(0);
    [&[kind][..], &number.to_be_bytes(), rest].concat()
}

/// Returns a ref that no upload has: a UUID of version 4.
pub(super) fn new_ref() -> String {
    // The standard library's only source of randomness is good enough for a name.
    let half = || u128::from(RandomState::new().hash_one(0));
    let number = half() << 64 | half();
    let number = number & !(0xf << 76) | 4 << 76;
    let number = number & !(3 << 62) | 2 << 62;
    let hex = format!("{number:032x}");
    let cuts = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)];
    let groups = cuts.map(|(from, to)| hex.get(from..to).unwrap_or_default());
    groups.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_masked_and_have_three_lengths() {
        for (length, head) in [(5, 6), (125, 6), (126, 8), (65_535, 8), (65_536, 14)] {
            let frame = frame(BINARY, &vec![7; length]);
            assert_eq!(frame.len(), head + length);
            assert_eq!(frame[head], 7 ^ MASK[0]);
        }
    }

    #[test]
    fn frames_of_a_server_are_cut_off_one_by_one() {
        let mut bytes = vec![0x81, 2, b'h', b'i', 0x89, 0, 0x81, 126, 0];
        let first = cut(&mut bytes).expect("a frame");
        assert_eq!((first.opcode, &*first.payload), (TEXT, &b"hi"[..]));
        assert_eq!(cut(&mut bytes).map(|frame| frame.opcode), Some(PING));
        assert_eq!(cut(&mut bytes), None);
        assert_eq!(bytes, [0x81, 126, 0]);
    }

    #[test]
    fn refs_are_uuids_of_version_4() {
        let (one, other) = (new_ref(), new_ref());
        assert_ne!(one, other);
        assert_eq!((one.len(), one.get(14..15)), (36, Some("4")));
        assert!(
            "89ab".contains(one.get(19..20).expect("a variant")),
            "{one}"
        );
        let frame = cancel("00000000-0000-4000-8000-000000000001");
        assert_eq!(
            (frame[0], frame[7], frame[16], frame.len()),
            (3, 0x40, 1, 17)
        );
    }
}
