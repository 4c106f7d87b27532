//! How much room a store has whose records are those of one process, and how much of it one owner may take.

use crate::count::Tally;

/// One owner's records take up at most one part in this many of a store in memory or in a file.
///
/// An owner over its share loses its own oldest receipts, and can begin nothing new where it has none.
/// So it never takes the room of others.
pub const OWNER_SHARE: u64 = 4;

/// Receipts that one put drops at most, where its owner is over its share.
///
/// So many of the smallest take up more than the largest record, so every put ends below where it began.
pub(crate) const RECEIPTS_PER_PUT: usize = 256;

/// The most a store may have, or one owner in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

impl Room {
    /// Returns one part in so many of it, 0 counting as 1.
    pub(crate) fn share(self, parts: u64) -> Self {
        let parts = parts.max(1);
        Self {
            records: self.records.div_ceil(parts),
            bytes: self.bytes.div_ceil(parts),
        }
    }

    /// Returns whether it holds `after`; what was `before` may stay, even if it is too much by now.
    pub(crate) fn permits(self, before: Tally, after: Tally) -> bool {
        (after.records <= self.records || after.records <= before.records)
            && (after.bytes <= self.bytes || after.bytes <= before.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::RECORD_BYTES_MAX;

    fn tally(records: u64, bytes: u64) -> Tally {
        Tally { records, bytes }
    }

    #[test]
    fn room_is_refused_to_what_raises_a_sum_past_it() {
        let room = Room {
            records: 2,
            bytes: 100,
        };
        for (before, after, permitted) in [
            (tally(1, 50), tally(2, 100), true),
            (tally(1, 50), tally(2, 101), false),
            (tally(2, 50), tally(3, 60), false),
            // It had more before, of either.
            (tally(5, 500), tally(5, 500), true),
            (tally(5, 500), tally(5, 501), false),
            (tally(5, 500), tally(6, 400), false),
            (tally(5, 50), tally(5, 100), true),
        ] {
            assert_eq!(
                room.permits(before, after),
                permitted,
                "{before:?} {after:?}"
            );
        }
    }

    #[test]
    fn a_share_is_never_nothing() {
        let room = Room {
            records: 2,
            bytes: 1001,
        };
        let share = room.share(OWNER_SHARE);
        assert_eq!((share.records, share.bytes), (1, 251));
        let all = room.share(0);
        assert_eq!((all.records, all.bytes), (2, 1001));
    }

    #[test]
    fn the_receipts_of_one_put_take_up_more_than_the_largest_record() {
        let owner = crate::key::OWNER_BYTES_MAX;
        #[cfg(feature = "redb")]
        let overhead = crate::REDB_OVERHEAD_BYTES;
        #[cfg(not(feature = "redb"))]
        let overhead = crate::MEMORY_OVERHEAD_BYTES;
        assert!(RECEIPTS_PER_PUT * overhead > RECORD_BYTES_MAX + owner + overhead);
    }
}
