//! How many uploads one owner has, and of how many bytes, counted by tokens that live with them.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

/// One owner's uploads, attached and parked, over all its connections (CTRL-3).
#[derive(Debug, Default)]
pub struct OwnerTally {
    uploads: AtomicU32,
    /// What their clients declared, whether or not it came yet.
    bytes: AtomicU64,
}

impl OwnerTally {
    /// Counts one more upload of `bytes`, unless there are `uploads_max` already or
    /// all would be more than `bytes_max` bytes.
    pub(crate) fn take(
        self: &Arc<Self>,
        bytes: u64,
        uploads_max: u32,
        bytes_max: u64,
    ) -> Option<OwnerToken> {
        let (done, seen) = (Ordering::AcqRel, Ordering::Acquire);
        let counted = self.uploads.fetch_update(done, seen, |count| {
            (count < uploads_max).then(|| count.saturating_add(1))
        });
        counted.ok()?;
        let weighed = self.bytes.fetch_update(done, seen, |sum| {
            sum.checked_add(bytes).filter(|sum| *sum <= bytes_max)
        });
        let mut token = OwnerToken {
            tally: Arc::clone(self),
            bytes,
        };
        if weighed.is_err() {
            token.bytes = 0;
            return None;
        }
        Some(token)
    }

    /// Returns how many uploads there are.
    pub fn count(&self) -> u32 {
        self.uploads.load(Ordering::Acquire)
    }

    /// Returns how many bytes they declared together.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }
}

/// One counted upload; uncounted when dropped.
#[derive(Debug)]
pub struct OwnerToken {
    tally: Arc<OwnerTally>,
    bytes: u64,
}

impl Drop for OwnerToken {
    fn drop(&mut self) {
        let (done, seen) = (Ordering::AcqRel, Ordering::Acquire);
        let _ = self
            .tally
            .uploads
            .fetch_update(done, seen, |count| Some(count.saturating_sub(1)));
        let _ = self
            .tally
            .bytes
            .fetch_update(done, seen, |sum| Some(sum.saturating_sub(self.bytes)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CTRL-3: past the maximum there is no token; a dropped one makes room.
    #[test]
    fn counts_living_tokens() {
        let tally = Arc::new(OwnerTally::default());
        let first = tally.take(0, 2, u64::MAX).expect("room for the first");
        let _second = tally.take(0, 2, u64::MAX).expect("room for the second");
        assert!(tally.take(0, 2, u64::MAX).is_none());
        drop(first);
        assert_eq!(tally.count(), 1);
        assert!(tally.take(0, 2, u64::MAX).is_some());
    }

    /// CTRL-3: bytes are counted as declared, and a refusal counts nothing.
    #[test]
    fn weighs_living_tokens() {
        let tally = Arc::new(OwnerTally::default());
        let first = tally.take(60, 9, 100).expect("room for 60");
        assert!(tally.take(41, 9, 100).is_none());
        assert!(tally.take(u64::MAX, 9, u64::MAX).is_none());
        let second = tally.take(40, 9, 100).expect("room for 40");
        assert_eq!((tally.count(), tally.bytes()), (2, 100));
        drop(first);
        assert_eq!((tally.count(), tally.bytes()), (1, 40));
        drop(second);
        assert_eq!((tally.count(), tally.bytes()), (0, 0));
    }
}
