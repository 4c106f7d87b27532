//! Where a journal keeps its database, and how that is opened.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use redb::{Database, DatabaseError};
use thiserror::Error;

/// Name of the file in its directory.
pub(super) const FILE: &str = "hooks.redb";
/// Memory for caching the file, in bytes.
const CACHE_BYTES: usize = 4 * 1024 * 1024;
/// How long a server waits for another one of its process that is closing the file.
const IN_USE_WAIT: Duration = Duration::from_secs(1);
/// How often it looks.
const IN_USE_PAUSE: Duration = Duration::from_millis(10);

/// The file cannot be opened.
#[derive(Debug, Error)]
pub enum JournalOpenError {
    /// Another process, or another server of this one, has it open.
    #[error("{} is in use by another server", .0.display())]
    InUse(PathBuf),
    /// It is damaged, or the disk failed.
    #[error("{} cannot be opened: {source}", .path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What the database says.
        source: Box<DatabaseError>,
    },
    /// The directory or the thread cannot be made.
    #[error("{} cannot be used: {source}", .path.display())]
    Io {
        /// The file or its directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// A file, or the memory of this process.
#[derive(Clone, Debug)]
pub(super) struct Place {
    file: Option<PathBuf>,
    /// The directories that have to be synced for the file to be found after a loss of power: its own, the one above,
    /// and those in which another one was made.
    folders: Vec<PathBuf>,
}

impl Place {
    /// Makes the directory, if there is to be a file in one.
    ///
    /// # Errors
    ///
    /// The directory cannot be made.
    pub(super) fn make(dir: Option<&Path>) -> Result<Self, JournalOpenError> {
        let file = dir.map(|dir| dir.join(FILE));
        let folders = dir.map(folders_of).unwrap_or_default();
        if let Some(dir) = dir {
            let mut folders = fs::DirBuilder::new();
            folders.recursive(true);
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut folders, 0o700);
            folders.create(dir).map_err(|source| JournalOpenError::Io {
                path: dir.to_owned(),
                source,
            })?;
        }
        Ok(Self { file, folders })
    }

    /// Opens the database.
    ///
    /// # Errors
    ///
    /// The file cannot be used, or another server uses it.
    pub(super) fn open(&self) -> Result<Database, JournalOpenError> {
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        let Some(path) = &self.file else {
            let memory = redb::backends::InMemoryBackend::new();
            let opened = builder.create_with_backend(memory);
            return opened.map_err(|source| database_error(Path::new(FILE), source));
        };
        let file = open_private(path).map_err(|source| self.unusable(source))?;
        // A sync may have failed, in this process or in the one before.
        forget_cache(&file).map_err(|source| self.unusable(source))?;
        let backend = redb::backends::FileBackend::new(file);
        let backend = backend.map_err(|source| database_error(path, source))?;
        let database = builder
            .create_with_backend(backend)
            .map_err(|source| database_error(path, source))?;
        // The database syncs its file, which is lost all the same where its name is.
        for folder in &self.folders {
            sync_folder(folder).map_err(|source| self.unusable(source))?;
        }
        Ok(database)
    }

    /// Opens the database, and waits a while for a server of this process that is just closing it.
    ///
    /// # Errors
    ///
    /// The file cannot be used, or another server uses it.
    pub(super) fn open_in_time(&self) -> Result<Database, JournalOpenError> {
        let begun = Instant::now();
        loop {
            match self.open() {
                Err(JournalOpenError::InUse(_)) if begun.elapsed() < IN_USE_WAIT => {
                    thread::sleep(IN_USE_PAUSE);
                }
                opened => return opened,
            }
        }
    }

    /// Returns how long the file is, in bytes; none for one in memory.
    pub(super) fn length(&self) -> u64 {
        let file = self.file.as_ref().and_then(|path| fs::metadata(path).ok());
        file.map_or(0, |file| file.len())
    }

    /// Returns whether what was committed is there after the database failed.
    pub(super) fn outlives_a_failure(&self) -> bool {
        self.file.is_some()
    }

    /// Makes the error of a file or thread that the system does not give.
    pub(super) fn unusable(&self, source: io::Error) -> JournalOpenError {
        let path = self.file.clone().unwrap_or_else(|| FILE.into());
        JournalOpenError::Io { path, source }
    }
}

/// Returns a directory and those above it, up to one that is there, and at least the one above.
fn folders_of(dir: &Path) -> Vec<PathBuf> {
    let mut folders = vec![dir.to_owned()];
    for above in dir.ancestors().skip(1) {
        let above = match above == Path::new("") {
            true => Path::new("."),
            false => above,
        };
        folders.push(above.to_owned());
        // A process that died may have made the directory, so the one above is always among them.
        if above.is_dir() {
            break;
        }
    }
    folders
}

/// Makes the names in a directory durable, where its user and file system allow it.
fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(test)]
    super::tests::SYNCED.with_borrow_mut(|synced| synced.push(folder.to_owned()));
    if cfg!(not(unix)) {
        return Ok(());
    }
    match fs::File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::PermissionDenied
                    | io::ErrorKind::InvalidInput
                    | io::ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        synced => synced,
    }
}

/// Drops what memory holds of a file, so that what is read next is what the disk has.
///
/// Linux says once that it could not write a page, and takes it for written from then on: read from memory, a commit
/// whose sync failed looks whole.
fn forget_cache(file: &fs::File) -> io::Result<()> {
    // Only pages that count as written are dropped.
    file.sync_data()?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use rustix::fs::{Advice, fadvise};

        // A system that does not take the advice has no other way.
        let _ = fadvise(file, 0, None, Advice::DontNeed);
    }
    #[cfg(test)]
    super::tests::forget(file)?;
    Ok(())
}

/// Opens or makes a file that only this user can read: calls of hooks hold addresses with keys in them.
fn open_private(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;

        // One of an earlier version, perhaps.
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
        }
    }
    Ok(file)
}

fn database_error(path: &Path, source: DatabaseError) -> JournalOpenError {
    let path = path.to_owned();
    match source {
        DatabaseError::DatabaseAlreadyOpen => JournalOpenError::InUse(path),
        source => JournalOpenError::Database {
            path,
            source: Box::new(source),
        },
    }
}
