//! Uploads whose removal was slow and failed: later looks try them after all others.
//!
//! Storage is left alone once it was slow a few times in a row. A few bad uploads may be the cause as well, and each
//! look begins in the same order: tried first every time, they would keep all others from being removed.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use upload_stores::UploadKey;

/// How many are known at most; others are tried in the order of their store.
const KNOWN_MAX: usize = 1024;

/// The uploads whose last removal was slow and failed.
#[derive(Default)]
pub(super) struct Stuck(Mutex<Known>);

#[derive(Default)]
struct Known {
    uploads: HashMap<UploadKey, Failure>,
    /// How many removals failed.
    failures: u64,
    /// How many looks through all records began.
    looks: u64,
}

struct Failure {
    /// Which one of all it was: what failed longest ago is tried first.
    number: u64,
    /// The look in which its record was seen last.
    seen: u64,
}

impl Stuck {
    /// Notes that a removal was slow and failed.
    pub(super) fn failed(&self, key: &UploadKey) {
        let mut known = self.lock();
        known.failures = known.failures.saturating_add(1);
        let (number, seen) = (known.failures, known.looks);
        if known.uploads.len() < KNOWN_MAX || known.uploads.contains_key(key) {
            let failure = Failure { number, seen };
            known.uploads.insert(key.clone(), failure);
        }
    }

    /// Notes that a removal was not slow, or did not fail.
    pub(super) fn passed(&self, key: &UploadKey) {
        self.lock().uploads.remove(key);
    }

    /// Returns the turn of an upload among those that come last, if it is one of them.
    pub(super) fn turn_of(&self, key: &UploadKey) -> Option<u64> {
        let mut known = self.lock();
        let looks = known.looks;
        let failure = known.uploads.get_mut(key)?;
        failure.seen = looks;
        Some(failure.number)
    }

    pub(super) fn begin_look(&self) {
        let mut known = self.lock();
        known.looks = known.looks.saturating_add(1);
    }

    /// Forgets those of which this look saw no record.
    pub(super) fn end_look(&self) {
        let mut known = self.lock();
        let looks = known.looks;
        known.uploads.retain(|_, failure| failure.seen == looks);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Whole after every step, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> UploadKey {
        UploadKey::new(number.to_string(), [0; 16]).expect("a short owner")
    }

    #[test]
    fn what_failed_longest_ago_has_its_turn_first() {
        let stuck = Stuck::default();
        stuck.begin_look();
        stuck.failed(&key(1));
        stuck.failed(&key(2));
        let turn = |number| stuck.turn_of(&key(number)).expect("it failed");
        assert!(turn(1) < turn(2));
        stuck.failed(&key(1));
        assert!(turn(2) < turn(1));
        stuck.passed(&key(1));
        assert_eq!(stuck.turn_of(&key(1)), None);
        assert!(stuck.turn_of(&key(2)).is_some());
    }

    #[test]
    fn what_has_no_record_is_forgotten_and_their_number_is_bounded() {
        let stuck = Stuck::default();
        for number in 0..2 * KNOWN_MAX as u64 {
            stuck.failed(&key(number));
        }
        stuck.failed(&key(0));
        assert_eq!(stuck.lock().uploads.len(), KNOWN_MAX);
        stuck.begin_look();
        assert!(stuck.turn_of(&key(7)).is_some());
        stuck.end_look();
        assert_eq!(stuck.lock().uploads.len(), 1);
        stuck.begin_look();
        stuck.end_look();
        assert_eq!(stuck.lock().uploads.len(), 0);
    }
}
