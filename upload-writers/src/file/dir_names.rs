//! Makes the names of the writer's directories durable, before a file in them counts as stored.
//!
//! Any of them, and of those above, may be new: of an earlier process that was killed, no one knows how far it came.
//! Directories of slots are below them, and are made durable where they are made.

use std::{
    collections::BTreeSet,
    fs::File,
    io,
    path::{Path, PathBuf},
};

use super::{FileSetupError, FileWriterConfig, place};

/// Has every directory synced that is above one of the two, whose paths are absolute.
///
/// # Errors
///
/// The first sync that failed, unless the directory belongs to others, who made it and whose name it is.
pub(super) fn sync(
    config: &FileWriterConfig,
    sync: impl Fn(&Path) -> io::Result<()>,
) -> Result<(), FileSetupError> {
    for path in above([&config.data_dir, &config.temp_dir]) {
        match sync(&path) {
            Err(source) if !is_of_others(&source) => {
                return Err(FileSetupError::Directory { path, source });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Makes the names in a directory durable, where the file system has a way to; an error is as the system told it.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    match File::open(dir)?.sync_all() {
        Err(error) if place::is_unknown(&error) => Ok(()),
        done => done,
    }
}

/// Names the directories above, each once.
fn above(dirs: [&PathBuf; 2]) -> BTreeSet<PathBuf> {
    let above = dirs.into_iter().flat_map(|dir| dir.ancestors().skip(1));
    above.map(Path::to_owned).collect()
}

/// Says whether only others may read or change a directory.
fn is_of_others(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn config(data_dir: &str, temp_dir: &str) -> FileWriterConfig {
        let mut config = FileWriterConfig::new(data_dir);
        config.temp_dir = temp_dir.into();
        config
    }

    /// COMPLETE-3: a file that is stored is not lost with the name of the directory that it is in.
    #[test]
    fn each_directory_above_is_synced_once() {
        let synced = RefCell::new(Vec::new());
        let config = config("/srv/new/data", "/srv/temp/new");
        let done = sync(&config, |dir| {
            synced.borrow_mut().push(dir.to_owned());
            Ok(())
        });
        done.expect("all are synced");
        let expected = ["/", "/srv", "/srv/new", "/srv/temp"];
        assert_eq!(synced.take(), expected.map(PathBuf::from));
    }

    #[test]
    fn directories_of_others_are_left() {
        let config = config("/srv/data", "/srv/data/.tmp");
        for (kind, is_left) in [
            (io::ErrorKind::PermissionDenied, true),
            (io::ErrorKind::ReadOnlyFilesystem, true),
            (io::ErrorKind::StorageFull, false),
        ] {
            let done = sync(&config, |dir| match dir.parent() {
                None => Err(kind.into()),
                Some(_) => Ok(()),
            });
            assert_eq!(done.is_ok(), is_left, "{kind}");
        }
    }

    #[test]
    fn a_directory_that_is_there_can_be_synced() {
        let dir = tempfile::tempdir().expect("a directory");
        sync_dir(dir.path()).expect("is synced");
        let gone = sync_dir(&dir.path().join("gone")).expect_err("is not there");
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    }
}
