//! CRC32C of a growing prefix, remembered at a few past offsets.
//!
//! The offset of a record is the last chunk boundary with a remembered checksum at or before the durable
//! offset. The number of marks is bounded, so tiny chunks only make them coarser.

use std::collections::VecDeque;

use crc_fast::{CrcAlgorithm, Digest};

/// How many past offsets are remembered; past it every second is forgotten, so
/// a client that sends tiny chunks costs no more than one that sends full ones.
const MARKS_MAX: usize = 128;

/// A point in the file and the CRC32C of everything before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefix {
    pub(crate) offset: u64,
    /// `None` where checksums are switched off.
    pub(crate) crc: Option<u32>,
}

/// The checksum of what was received, and marks for what is not durable yet.
///
/// A record may only claim an offset whose checksum is known, so the offset of
/// a record is the last mark that the writer made durable.
#[derive(Clone, Debug)]
pub(crate) struct PrefixCrc {
    end: Prefix,
    base: Prefix,
    marks: VecDeque<Prefix>,
}

impl PrefixCrc {
    /// Starts at byte 0, or at the offset of a record.
    pub(crate) fn from(offset: u64, crc: Option<u32>) -> Self {
        let mark = Prefix { offset, crc };
        Self {
            end: mark,
            base: mark,
            marks: VecDeque::new(),
        }
    }

    /// Appends what was received and leaves a mark behind it.
    pub(crate) fn append(&mut self, data: &[u8]) {
        self.extend(data);
        if self.marks.len() >= MARKS_MAX {
            let mut keep = false;
            self.marks.retain(|_| {
                keep = !keep;
                keep
            });
        }
        self.marks.push_back(self.end);
    }

    /// Appends what was received, and forgets all before it.
    pub(crate) fn append_settled(&mut self, data: &[u8]) {
        self.extend(data);
        self.marks.clear();
        self.base = self.end;
    }

    fn extend(&mut self, data: &[u8]) {
        let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
        self.end = Prefix {
            offset: self.end.offset.saturating_add(length),
            crc: self.end.crc.map(|crc| append(crc, data)),
        };
    }

    /// Returns the mark behind the first bytes of the file.
    pub(crate) fn beginning(&self, head: &[u8]) -> Prefix {
        let mut beginning = Self::from(0, self.end.crc.map(|_| 0));
        beginning.append(head);
        beginning.end
    }

    /// Returns the checksum of everything received.
    pub(crate) fn end(&self) -> Prefix {
        self.end
    }

    /// Returns the last mark at or before `durable`.
    pub(crate) fn settled(&self, durable: u64) -> Prefix {
        self.marks
            .iter()
            .take_while(|mark| mark.offset <= durable)
            .last()
            .copied()
            .unwrap_or(self.base)
    }

    /// Returns the last mark at or before `durable` and forgets older ones.
    pub(crate) fn settle(&mut self, durable: u64) -> Prefix {
        while let Some(mark) = self.marks.front() {
            if mark.offset > durable {
                break;
            }
            self.base = *mark;
            self.marks.pop_front();
        }
        self.base
    }
}

/// Returns the CRC32C of a prefix and what follows it, from that of the prefix.
#[expect(clippy::expect_used, reason = "CRC32C has 32 bits")]
fn append(crc: u32, data: &[u8]) -> u32 {
    // The library keeps the sum as it is before the last inversion.
    let mut digest = Digest::new_with_init_state(CrcAlgorithm::Crc32Iscsi, u64::from(!crc));
    digest.update(data);
    u32::try_from(digest.finalize()).expect("the sum has 32 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// COMPLETE-2: the same sum as another implementation's, whatever the chunks are cut to.
    #[test]
    fn pieces_of_any_length_add_up() {
        let file: Vec<u8> = (0..200_000_u32)
            .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        let mut rest = &file[..];
        let mut running = PrefixCrc::from(0, Some(0));
        for length in (0..700).chain([65_536, 4_096, 1]).cycle() {
            let (piece, after) = rest.split_at(length.min(rest.len()));
            running.append(piece);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        assert_eq!(running.end().crc, Some(crc32c::crc32c(&file)));
    }

    /// RESUME-1: the record's checksum is that of exactly the record's offset.
    #[test]
    fn marks_follow_the_durable_offset() {
        let mut running = PrefixCrc::from(0, Some(0));
        for piece in [&b"hello "[..], b"wor", b"ld"] {
            running.append(piece);
        }
        assert_eq!(running.settle(5).offset, 0);
        assert_eq!(running.settled(10).offset, 9);
        let mark = running.settle(10);
        assert_eq!(
            (mark.offset, mark.crc),
            (9, Some(crc32c::crc32c(b"hello wor")))
        );
        assert_eq!(running.settle(11), running.end());
        assert_eq!(running.end().crc, Some(crc32c::crc32c(b"hello world")));
    }

    #[test]
    fn tiny_chunks_are_bounded_and_the_end_is_always_known() {
        let mut running = PrefixCrc::from(0, Some(0));
        for _ in 0..100_000 {
            running.append(b"x");
        }
        assert!(running.marks.len() <= MARKS_MAX);
        let some = running.settle(50_000);
        assert!(some.offset <= 50_000);
        assert_eq!(running.settle(100_000), running.end());
    }

    #[test]
    fn switched_off_it_still_counts() {
        let mut running = PrefixCrc::from(0, None);
        running.append(b"abc");
        assert_eq!(
            running.end(),
            Prefix {
                offset: 3,
                crc: None
            }
        );
    }
}
