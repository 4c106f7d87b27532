//! Opening the database file: the lock on its directory, repair, and setting a damaged file aside.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{self, Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Database, DatabaseError, StorageError};

use super::backend::{SyncedFile, forget_cache, sync_of};
use super::{RedbDurability, RedbOptions};
use crate::error::{StoreError, StoreErrorKind};

const FILE_NAME: &str = "uploads.redb";
const LOCK_NAME: &str = "uploads.lock";
const DAMAGED_NAME: &str = "uploads.redb.damaged";

/// Records name owners and their files, so no other user of the machine may read them.
const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;

/// The only holder of a store's directory, until it is dropped.
#[derive(Debug)]
pub(super) struct Home {
    dir: PathBuf,
    durability: RedbDurability,
    cache_bytes: usize,
    /// Makes the names in a directory durable.
    sync_dir: fn(&Path) -> io::Result<()>,
    /// Makes the bytes of the file as durable as commits are.
    pub(super) sync_data: fn(&FileBackend) -> io::Result<()>,
    /// Has the file read from the disk.
    pub(super) forget_cache: fn(&File) -> io::Result<()>,
    /// Keeps other processes out, and other stores of this one, also while the database is opened
    /// anew or exchanged.
    _lock: File,
}

impl Home {
    /// Creates the directory where needed and locks it.
    pub(super) fn lock(dir: PathBuf, options: &RedbOptions) -> Result<Self, StoreError> {
        let unusable = |error| {
            StoreError::new(
                StoreErrorKind::Failed,
                format!("the directory {} cannot be used", dir.display()),
            )
            .with_source(error)
        };
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(DIR_MODE).create(&dir);
        made.map_err(unusable)?;
        let lock = open_private(OpenOptions::new().write(true), &dir.join(LOCK_NAME));
        let lock = lock.map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::new(
                    StoreErrorKind::Failed,
                    format!(
                        "another process has the embedded database in {} open",
                        dir.display()
                    ),
                )
                .with_source(io::Error::from(io::ErrorKind::WouldBlock)));
            }
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        Ok(Self {
            dir,
            durability: options.durability,
            cache_bytes: options.cache_bytes,
            sync_dir,
            sync_data: sync_of(options.durability),
            forget_cache,
            _lock: lock,
        })
    }

    /// Returns where the database is.
    pub(super) fn file(&self) -> PathBuf {
        self.dir.join(FILE_NAME)
    }

    /// Opens the database, repairing it where its last process was killed, and makes of it what
    /// `begin` does; a file with which that fails is as damaged as one that cannot be opened.
    ///
    /// Returns with it the path of the damaged file it replaced, if it had to.
    pub(super) fn open<T>(
        &self,
        begin: impl Fn(Database) -> Result<T, StoreError>,
    ) -> Result<(T, Option<PathBuf>), StoreError> {
        let path = self.file();
        match self.open_file(&path, &begin) {
            Err(error)
                if error.kind() == StoreErrorKind::Corrupt
                    && self.durability == RedbDurability::Process =>
            {
                let damaged = self.dir.join(DAMAGED_NAME);
                fs::rename(&path, &damaged).map_err(|error| failed(&path, error))?;
                Ok((self.open_file(&path, &begin)?, Some(damaged)))
            }
            opened => Ok((opened?, None)),
        }
    }

    fn open_file<T>(
        &self,
        path: &Path,
        begin: impl Fn(Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let file = open_private(OpenOptions::new().read(true).write(true), path);
        let file = file.map_err(|error| failed(path, error))?;
        if self.durability == RedbDurability::Disk {
            self.sync_names().map_err(|error| failed(path, error))?;
            // A sync may have failed, in this process or in the one before.
            (self.forget_cache)(&file).map_err(|error| failed(path, error))?;
        }
        let backend = SyncedFile::new(file, self.sync_data).map_err(|error| sort(path, error))?;
        let mut builder = Database::builder();
        builder.set_cache_size(self.cache_bytes);
        // Without forced writes a power loss can damage pages of a file that says it is whole.
        builder.set_check_integrity_on_open(self.durability == RedbDurability::Process);
        // A damaged file may also show as a panic of the database.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let database = builder.create_with_backend(backend);
            begin(database.map_err(|error| sort(path, error))?)
        }));
        opened.unwrap_or_else(|_| Err(corrupt(path)))
    }
}

impl Home {
    /// Makes the names of the file, of its directory and of those above it durable, before anything is committed.
    ///
    /// Any of them may be new: of an earlier process that was killed, nothing says how far it came.
    fn sync_names(&self) -> io::Result<()> {
        let dir = path::absolute(&self.dir)?;
        (self.sync_dir)(&dir)?;
        for above in dir.ancestors().skip(1) {
            match (self.sync_dir)(above) {
                // Others made it, and only they may read it or change it.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                    ) => {}
                done => done?,
            }
        }
        Ok(())
    }
}

/// Makes the names in a directory durable, where the file system has a way to.
fn sync_dir(dir: &Path) -> io::Result<()> {
    match File::open(dir)?.sync_all() {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        done => done,
    }
}

/// Opens a file that only its owner may read; one of an earlier version becomes such.
fn open_private(options: &mut OpenOptions, path: &Path) -> std::io::Result<File> {
    let options = options.create(true).truncate(false).mode(FILE_MODE);
    let file = options.open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        // One that belongs to another user is used as it is.
        let _ = file.set_permissions(Permissions::from_mode(FILE_MODE));
    }
    Ok(file)
}

fn sort(path: &Path, error: DatabaseError) -> StoreError {
    match error {
        DatabaseError::Storage(StorageError::Corrupted(_)) => corrupt(path).with_source(error),
        DatabaseError::Storage(StorageError::Io(ref io))
            if matches!(
                io.kind(),
                std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof
            ) =>
        {
            corrupt(path).with_source(error)
        }
        error => failed(path, error),
    }
}

fn corrupt(path: &Path) -> StoreError {
    StoreError::new(
        StoreErrorKind::Corrupt,
        format!("the file {} is damaged", path.display()),
    )
}

fn failed(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::new(
        StoreErrorKind::Failed,
        format!("the file {} cannot be opened", path.display()),
    )
    .with_source(error)
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    /// Makes a database whose first `panics` users find a damaged page.
    fn open(
        durability: RedbDurability,
        panics: u32,
    ) -> Result<(Database, Option<PathBuf>), StoreError> {
        let dir = tempfile::tempdir().expect("a directory");
        let options = RedbOptions {
            durability,
            ..RedbOptions::default()
        };
        let home = Home::lock(dir.path().to_owned(), &options).expect("the only one");
        let left = Cell::new(panics);
        home.open(|database| {
            assert_eq!(left.replace(left.get().saturating_sub(1)), 0, "a page");
            Ok(database)
        })
    }

    #[test]
    fn only_the_owner_may_read_what_is_kept() {
        let parent = tempfile::tempdir().expect("a directory");
        let dir = parent.path().join("new");
        let options = RedbOptions::default();
        let mode = |path: &Path| {
            let metadata = fs::metadata(path).expect("is there");
            metadata.permissions().mode() & 0o777
        };
        for _ in 0..2 {
            let home = Home::lock(dir.clone(), &options).expect("the only one");
            drop(home.open(Ok).expect("opens"));
            assert_eq!(mode(&dir), DIR_MODE);
            for name in [FILE_NAME, LOCK_NAME] {
                let path = dir.join(name);
                assert_eq!(mode(&path), FILE_MODE, "{name}");
                // As an earlier version left it.
                let open = Permissions::from_mode(0o644);
                fs::set_permissions(path, open).expect("sets");
            }
        }
    }

    thread_local! {
        /// The directories whose names were made durable.
        static SYNCED: RefCell<Vec<PathBuf>> = const { RefCell::new(Vec::new()) };
    }

    fn note(dir: &Path) -> io::Result<()> {
        SYNCED.with_borrow_mut(|synced| synced.push(dir.to_owned()));
        sync_dir(dir)
    }

    #[test]
    fn new_names_are_on_the_disk_before_the_first_commit() {
        for (durability, is_synced) in [
            (RedbDurability::Disk, true),
            (RedbDurability::Process, false),
        ] {
            let parent = tempfile::tempdir().expect("a directory");
            let dir = parent.path().join("new").join("newer");
            let options = RedbOptions {
                durability,
                ..RedbOptions::default()
            };
            let mut home = Home::lock(dir.clone(), &options).expect("the only one");
            home.sync_dir = note;
            SYNCED.with_borrow_mut(Vec::clear);
            let opened = home.open(|database| {
                assert!(dir.join(FILE_NAME).is_file());
                let synced = SYNCED.with_borrow(Vec::clone);
                for made in [&*dir, &parent.path().join("new"), parent.path()] {
                    let found = synced.iter().any(|synced| synced == made);
                    assert_eq!(found, is_synced, "{durability:?} {}", made.display());
                }
                Ok(database)
            });
            drop(opened.expect("opens"));
        }
    }

    #[test]
    fn a_directory_of_others_above_does_not_keep_the_store_closed() {
        fn refuse(dir: &Path) -> io::Result<()> {
            match dir.parent() {
                None => Err(io::ErrorKind::PermissionDenied.into()),
                Some(_) => Ok(()),
            }
        }
        fn fail(_: &Path) -> io::Result<()> {
            Err(io::ErrorKind::Other.into())
        }
        let dir = tempfile::tempdir().expect("a directory");
        let options = RedbOptions {
            durability: RedbDurability::Disk,
            ..RedbOptions::default()
        };
        let mut home = Home::lock(dir.path().to_owned(), &options).expect("the only one");
        home.sync_dir = refuse;
        drop(home.open(Ok).expect("opens"));
        home.sync_dir = fail;
        let failed = home.open(Ok).expect_err("its names may be lost");
        assert_eq!(failed.kind(), StoreErrorKind::Failed);
    }

    #[test]
    fn a_file_that_cannot_be_begun_with_is_a_damaged_one() {
        let (_, set_aside) = open(RedbDurability::Process, 1).expect("begun anew");
        assert!(set_aside.expect("was there").ends_with(DAMAGED_NAME));
        for (durability, panics) in [(RedbDurability::Disk, 1), (RedbDurability::Process, 2)] {
            let refused = open(durability, panics).expect_err("it is damaged");
            assert_eq!(refused.kind(), StoreErrorKind::Corrupt);
        }
        let (_, set_aside) = open(RedbDurability::Disk, 0).expect("opens");
        assert_eq!(set_aside, None);
    }
}
