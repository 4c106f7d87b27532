//! What a write into the journal that failed may have put there all the same.
//!
//! A commit whose sync fails may be on the disk, and is found once the file is opened anew. That something is there
//! then does not say that it had its effect: it counts as new until a later write gives it that.

use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;

/// How many are kept; beyond it those that failed longest ago are forgotten.
const KEYS_MAX: usize = 10_000;

/// The keys of what was in a write that failed, and in none since that did not.
#[derive(Debug)]
pub(crate) struct InDoubt(Mutex<LruCache<u128, ()>>);

impl Default for InDoubt {
    fn default() -> Self {
        // One that is bounded takes its memory at once.
        Self(Mutex::new(LruCache::unbounded()))
    }
}

impl InDoubt {
    /// Adds what was in a write that failed.
    pub(crate) fn add(&self, key: u128) {
        let mut keys = self.lock();
        keys.put(key, ());
        if keys.len() > KEYS_MAX {
            keys.pop_lru();
        }
    }

    /// Returns whether something was in a write that failed. It is forgotten: its effect is its caller's now.
    pub(crate) fn take(&self, key: u128) -> bool {
        self.lock().pop(&key).is_some()
    }

    #[cfg(test)]
    pub(crate) fn has(&self, key: u128) -> bool {
        self.lock().contains(&key)
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<u128, ()>> {
        // Whole after every step, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_doubt_is_taken_once_and_its_number_is_bounded() {
        let in_doubt = InDoubt::default();
        let most = KEYS_MAX as u128;
        for key in 0..=most {
            in_doubt.add(key);
        }
        in_doubt.add(most);
        assert!(!in_doubt.take(0), "the oldest is forgotten");
        for is_there in [true, false] {
            assert_eq!(in_doubt.has(most), is_there);
            assert_eq!(in_doubt.take(most), is_there);
        }
        assert_eq!(in_doubt.lock().len(), KEYS_MAX - 1);
    }
}
