//! The folders of a move: making them, and making the names in them durable.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// Folders whose names are known to be durable, at most; beyond it they are synced once more.
const FOLDERS_KNOWN_MAX: usize = 1024;

/// Makes a folder and those above it that are missing, each durable in the one above.
///
/// A folder that is there may have been made a moment ago, by a thread that is about to sync its name or by a process
/// that died before it did. One below it is only made once it is durable, so the last one that is there is enough.
pub(super) fn make_folders(folder: &Path) -> io::Result<()> {
    let above = folder_of(folder);
    if folder.is_dir() {
        return sync_once(folder, above);
    }
    make_folders(above)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => {
            sync_once(folder, above)
        }
        made => {
            made?;
            sync_names(above)
        }
    }
}

/// Makes the name of a folder durable that was there, once in this process.
fn sync_once(folder: &Path, above: &Path) -> io::Result<()> {
    static DURABLE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

    // Whole after every step, so a panic elsewhere does not spoil it.
    let durable = || DURABLE.lock().unwrap_or_else(PoisonError::into_inner);
    if durable().contains(folder) {
        return Ok(());
    }
    match sync_names(above) {
        // What this user may not read was not made by this process.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
        synced => synced?,
    }
    let mut durable = durable();
    if durable.len() >= FOLDERS_KNOWN_MAX {
        durable.clear();
    }
    durable.insert(folder.to_owned());
    Ok(())
}

/// A folder in which a name is made or removed.
pub(super) struct Folder<'a> {
    path: &'a Path,
    file: File,
}

impl<'a> Folder<'a> {
    pub(super) fn open(path: &'a Path) -> io::Result<Self> {
        let file = File::open(path)?;
        Ok(Self { path, file })
    }

    /// Makes the names durable, where the file system has a way to: some over FUSE or SMB do not.
    pub(super) fn sync(&self) -> io::Result<()> {
        match sync_open(self.path, &self.file) {
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::InvalidInput | ErrorKind::Unsupported
                ) =>
            {
                Ok(())
            }
            synced => synced,
        }
    }
}

/// Makes the names in a folder durable.
pub(super) fn sync_names(folder: &Path) -> io::Result<()> {
    Folder::open(folder)?.sync()
}

/// Makes the bytes of a file durable.
pub(super) fn sync(path: &Path) -> io::Result<()> {
    sync_open(path, &File::open(path)?)
}

#[cfg_attr(
    not(test),
    expect(unused_variables, reason = "tests look at the order")
)]
pub(super) fn sync_open(path: &Path, file: &File) -> io::Result<()> {
    #[cfg(test)]
    super::tests::syncs(path)?;
    file.sync_all()
}

/// Returns the folder of a name.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) => Path::new("."),
        None => Path::new("/"),
    }
}
