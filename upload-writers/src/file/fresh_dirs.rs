//! Directories that were made a moment ago, and whose names may not be durable yet.
//!
//! Two files may end in a directory that is missing: the one that finds it made by the other must not count on a sync
//! that the other has yet to do.

use std::{
    collections::BTreeSet,
    fs::DirBuilder,
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// How many are known at most; with more, the next one is synced while others wait.
const FRESH_MAX: usize = 1024;

/// The directories that this process made and did not sync yet.
#[derive(Debug, Default)]
pub(super) struct FreshDirs(Mutex<BTreeSet<PathBuf>>);

impl FreshDirs {
    /// Makes a directory if it is missing; its name is durable in the one above once this returned.
    ///
    /// Others may go through it, as to a file that they are given the rights to, but not list it.
    pub(super) fn make(
        &self,
        dir: &Path,
        above: &Path,
        sync: impl Fn(&Path) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut fresh = self.lock();
        match DirBuilder::new().mode(0o711).create(dir) {
            Ok(()) if fresh.len() >= FRESH_MAX => return sync(above),
            Ok(()) => {
                fresh.insert(dir.to_owned());
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !fresh.contains(dir) {
                    return Ok(());
                }
            }
            Err(error) => return Err(error),
        }
        drop(fresh);
        // One whose sync failed stays, so that the next file does not count on it.
        sync(above)?;
        self.lock().remove(dir);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        // A set is whole after every step, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// COMPLETE-3: a file that ends while another one makes its directory waits for its own sync.
    #[test]
    fn who_finds_a_directory_just_made_syncs_its_name() {
        let root = tempfile::tempdir().expect("a directory");
        let (fresh, dir) = (FreshDirs::default(), root.path().join("slot"));
        let (first, second) = (Cell::new(0), Cell::new(0));
        let count = |count: &Cell<u32>| count.set(count.get() + 1);
        let made = fresh.make(&dir, root.path(), |_| {
            count(&first);
            // The other one comes before this sync has ended.
            fresh.make(&dir, root.path(), |above| {
                assert_eq!(above, root.path());
                count(&second);
                Ok(())
            })
        });
        made.expect("made");
        assert_eq!((first.get(), second.get()), (1, 1));
        fresh
            .make(&dir, root.path(), |_| panic!("it is durable"))
            .expect("it is there");
        assert!(fresh.lock().is_empty());
    }

    #[test]
    fn a_directory_whose_sync_failed_is_synced_again() {
        let root = tempfile::tempdir().expect("a directory");
        let (fresh, dir) = (FreshDirs::default(), root.path().join("slot"));
        for _ in 0..2 {
            let failed = fresh.make(&dir, root.path(), |_| Err(io::ErrorKind::Other.into()));
            failed.expect_err("the sync failed");
        }
        fresh.make(&dir, root.path(), |_| Ok(())).expect("synced");
        assert!(fresh.lock().is_empty());
    }
}
