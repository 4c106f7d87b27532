//! Reads of the file that are open, answered in any order and used in the order of the file.

use std::collections::VecDeque;

use bytes::Bytes;

use super::output::ReadId;

/// A run of adjacent reads.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reads {
    /// Where the next read begins.
    next_offset: u64,
    open: VecDeque<Read>,
}

#[derive(Clone, Debug, PartialEq)]
struct Read {
    id: ReadId,
    length: u32,
    data: Data,
}

/// Whether a read was answered.
#[derive(Clone, Debug, PartialEq)]
enum Data {
    Owed,
    /// It waits for the reads before it.
    Early(Bytes),
}

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// It is kept until its turn comes.
    Kept,
    /// It answers no open read.
    Unknown,
    /// The file has fewer bytes than it had.
    Short,
}

impl Reads {
    /// Begins at `offset` with no read open.
    pub(super) fn from(offset: u64) -> Self {
        Self {
            next_offset: offset,
            open: VecDeque::new(),
        }
    }

    /// Returns where the next read begins, in bytes.
    pub(super) fn next_offset(&self) -> u64 {
        self.next_offset
    }

    /// Returns how many reads are open.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    /// Opens the next read and returns its offset.
    pub(super) fn ask(&mut self, id: ReadId, length: u32) -> u64 {
        let offset = self.next_offset;
        self.next_offset = offset.saturating_add(u64::from(length));
        self.open.push_back(Read {
            id,
            length,
            data: Data::Owed,
        });
        offset
    }

    /// Takes an answer; bytes past the length that was asked for are cut off.
    pub(super) fn answer(&mut self, id: ReadId, mut data: Bytes) -> Answered {
        let Some(read) = self.open.iter_mut().find(|read| read.id == id) else {
            return Answered::Unknown;
        };
        let length = usize::try_from(read.length).unwrap_or(usize::MAX);
        if data.len() < length {
            return Answered::Short;
        }
        data.truncate(length);
        read.data = Data::Early(data);
        Answered::Kept
    }

    /// Returns the next piece in the order of the file, once it is there.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let read = self.open.pop_front()?;
        match read.data {
            Data::Early(data) => Some(data),
            Data::Owed => {
                self.open.push_front(read);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::Index};

    use super::*;

    proptest! {
        /// Whatever the order of the answers, the pieces come in the order of the file.
        #[test]
        fn answers_in_any_order_are_used_in_order(
            lengths in proptest::collection::vec(1..40_u32, 1..12),
            order in proptest::collection::vec(any::<Index>(), 12),
        ) {
            let file: Vec<u8> = (0..500_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
            let mut reads = Reads::from(3);
            let mut owed: Vec<_> = (7..).map(ReadId).zip(lengths).map(|(id, length)| {
                let offset = reads.ask(id, length) as usize;
                (id, file[offset..offset + length as usize].to_vec())
            }).collect();
            let mut used = Vec::new();
            for place in order {
                if owed.is_empty() { break; }
                let (id, data) = owed.swap_remove(place.index(owed.len()));
                prop_assert_eq!(reads.answer(id, data.into()), Answered::Kept);
                while let Some(piece) = reads.pop() {
                    used.extend_from_slice(&piece);
                }
            }
            prop_assert_eq!(reads.open(), 0);
            prop_assert_eq!(&used[..], &file[3..reads.next_offset() as usize]);
        }
    }

    #[test]
    fn an_answer_belongs_to_its_read_only() {
        let mut reads = Reads::from(0);
        assert_eq!(reads.ask(ReadId(1), 4), 0);
        assert_eq!(reads.ask(ReadId(2), 2), 4);
        let data = Bytes::from_static(b"abcdef");
        assert_eq!(reads.answer(ReadId(3), data.clone()), Answered::Unknown);
        assert_eq!(reads.answer(ReadId(1), data.slice(..3)), Answered::Short);
        assert_eq!(reads.answer(ReadId(2), data.slice(4..)), Answered::Kept);
        assert_eq!(reads.pop(), None);
        // More than was asked for is cut off.
        assert_eq!(reads.answer(ReadId(1), data.clone()), Answered::Kept);
        assert_eq!(reads.pop(), Some(data.slice(..4)));
        assert_eq!(reads.pop(), Some(data.slice(4..)));
        assert_eq!(reads.answer(ReadId(1), data), Answered::Unknown);
    }
}
