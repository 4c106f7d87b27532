//! Versions for stores whose server may forget what it gave out.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::store::Version;

/// Makes versions that no process made before, whatever became of what the server had.
///
/// A counter at the server goes back with it: after a failover, or where it was restored.
#[derive(Debug, Default)]
pub(crate) struct FreshVersions {
    key: RandomState,
    count: AtomicU64,
}

impl FreshVersions {
    /// Makes a version that was never made before: a keyed hash of a count, its key from the operating
    /// system. The top bit stays clear for clients that have signed numbers only.
    pub(crate) fn fresh(&self) -> Version {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        Version(self.key.hash_one(count) >> 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn versions_are_never_the_same_and_fit_signed_numbers() {
        let processes = [FreshVersions::default(), FreshVersions::default()];
        let mut made = HashSet::new();
        for versions in &processes {
            for _ in 0..1000 {
                let version = versions.fresh();
                assert!(made.insert(version));
                assert!(i64::try_from(version.0).is_ok());
            }
        }
    }
}
