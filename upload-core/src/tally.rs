//! How many uploads one owner has, counted by tokens that live with them.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

/// One owner's uploads, attached and parked, over all its connections (CTRL-3).
#[derive(Debug, Default)]
pub struct OwnerTally(AtomicU32);

impl OwnerTally {
    /// Counts one more unless `max` are there already.
    pub(crate) fn take(self: &Arc<Self>, max: u32) -> Option<OwnerToken> {
        let taken = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
                (count < max).then(|| count.saturating_add(1))
            });
        taken.ok().map(|_| OwnerToken(Arc::clone(self)))
    }

    /// Returns how many uploads there are.
    pub fn count(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }
}

/// One counted upload; uncounted when dropped.
#[derive(Debug)]
pub struct OwnerToken(Arc<OwnerTally>);

impl Drop for OwnerToken {
    fn drop(&mut self) {
        let _ = self
            .0
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
                Some(count.saturating_sub(1))
            });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CTRL-3: past the maximum there is no token; a dropped one makes room.
    #[test]
    fn counts_living_tokens() {
        let tally = Arc::new(OwnerTally::default());
        let first = tally.take(2).expect("room for the first");
        let _second = tally.take(2).expect("room for the second");
        assert!(tally.take(2).is_none());
        drop(first);
        assert_eq!(tally.count(), 1);
        assert!(tally.take(2).is_some());
    }
}
