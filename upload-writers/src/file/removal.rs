//! Removing a finished file, so that no loss of power brings it back.

use std::{
    fs,
    io::{self, ErrorKind},
    path::Path,
};

use super::place::Place;

impl Place {
    /// Removes the file durably; none is there afterwards.
    pub(super) fn remove(
        &self,
        data_dir: &Path,
        sync: impl Fn(&Path) -> io::Result<()>,
    ) -> io::Result<()> {
        match fs::remove_file(self.path(data_dir)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            // Where none is there, an earlier call may have removed it and not come to its sync.
            Ok(()) | Err(_) => {}
        }
        match sync(&self.dir(data_dir)) {
            // Nothing was stored there yet.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use uuid::Uuid;

    use super::super::place::sync_dir;
    use super::*;

    #[test]
    fn a_removal_whose_sync_failed_is_synced_again() {
        let root = tempfile::tempdir().expect("a directory");
        let place = Place::new(None, "docs", Uuid::nil(), "x").expect("a good slot");
        let removed = place.remove(root.path(), sync_dir);
        removed.expect("nothing was stored yet");

        fs::create_dir(place.dir(root.path())).expect("made");
        fs::write(place.path(root.path()), "bytes").expect("written");
        for _ in 0..2 {
            let failed = place.remove(root.path(), |_| Err(ErrorKind::Other.into()));
            failed.expect_err("the sync failed");
            assert!(!place.path(root.path()).exists());
        }
        let syncs = Cell::new(0);
        let removed = place.remove(root.path(), |dir| {
            assert_eq!(dir, place.dir(root.path()));
            syncs.set(syncs.get() + 1);
            Ok(())
        });
        removed.expect("it is gone for good");
        assert_eq!(syncs.get(), 1);
    }
}
