//! Files under way: their names, how they are made, and the lock that keeps others away.
//!
//! Files are made and removed one at a time: the system changes a directory for one thread at a time, and
//! lets the others spin.

use std::{
    fmt,
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
    thread::sleep,
    time::Duration,
};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};
use uuid::Uuid;

/// How often making a file is tried when a sweep takes it away before it is locked.
const CREATE_TRIES: u32 = 3;

/// How often the lock on a new file is tried, and how long to rest after each.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(1);

/// The name of a file under way: `<uuid>.<generation>.<resumable or once>.part`.
///
/// The generation is the epoch of the holder that gave the file this name. Only that holder makes
/// files of its generation; later ones may take them, earlier ones must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TempName {
    pub(super) uuid: Uuid,
    pub(super) generation: u64,
    pub(super) resumable: bool,
}

impl fmt::Display for TempName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.resumable { "resumable" } else { "once" };
        write!(f, "{}.{}.{kind}.part", self.uuid, self.generation)
    }
}

impl TempName {
    /// Reads a name back; `None` unless it is exactly one this module writes.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split('.');
        let name = Self {
            uuid: Uuid::try_parse(fields.next()?).ok()?,
            generation: fields.next()?.parse().ok()?,
            resumable: fields.next()? == "resumable",
        };
        (name.to_string() == text).then_some(name)
    }

    /// The name in another epoch.
    pub(super) fn of(self, generation: u64) -> Self {
        Self { generation, ..self }
    }
}

/// Makes a file that was not there before, for its owner's eyes only, and locks it.
pub(super) fn create(path: &Path) -> io::Result<File> {
    let flags = OFlags::CREATE | OFlags::EXCL | open_flags();
    for _ in 0..CREATE_TRIES {
        let file = File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?);
        // A sweep may be holding it for a moment, and then removes it; a later holder may have
        // found it empty and keep it.
        if lock_soon(&file)? && is_at(&file, path)? {
            return Ok(file);
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// Opens a file that is there; `None` if it is not.
pub(super) fn open(path: &Path) -> io::Result<Option<File>> {
    let file = match rustix::fs::open(path, open_flags() | OFlags::NONBLOCK, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(Some(file))
}

/// Locks a file that others hold for a moment at most; `false` if somebody keeps it.
fn lock_soon(file: &File) -> io::Result<bool> {
    for _ in 0..LOCK_TRIES {
        if try_lock(file)? {
            return Ok(true);
        }
        sleep(LOCK_PAUSE);
    }
    Ok(false)
}

/// Tries to lock a file; `false` if somebody holds it.
pub(super) fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Says whether `path` names the very file that is open as `file`. Asked after locking: it may have
/// been removed or renamed meanwhile.
pub(super) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let named = match fs::symlink_metadata(path) {
        Ok(named) => named,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let open = file.metadata()?;
    Ok((open.dev(), open.ino()) == (named.dev(), named.ino()))
}

/// Removes a file; `false` if it was not there.
pub(super) fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Most of a file that is reserved at a time, in bytes: enough for the file system to lay it out well.
const RESERVE_STEP: u64 = 32 * 1024 * 1024;

/// Bytes a file has before anything is reserved for those that follow.
const RESERVE_AFTER: u64 = 1024 * 1024;

/// Reserves what follows a file's `received` bytes and the `coming` ones that are written next, within its
/// declared `size`, where the file system can; returns where the reservation ends, which was at `reserved`
/// before.
///
/// At most as much again is reserved as came already: a declared size alone must not take the disk from
/// others. How the bytes are cut into batches makes no difference. The file's length does not change.
pub(super) fn reserve(
    file: &File,
    reserved: u64,
    received: u64,
    coming: u64,
    size: u64,
) -> io::Result<u64> {
    let came = received.saturating_add(coming);
    let step = came.min(RESERVE_STEP);
    if came < RESERVE_AFTER || reserved >= size || reserved > came.saturating_add(step / 2) {
        return Ok(reserved);
    }
    let from = reserved.max(received);
    let end = came.saturating_add(step).min(size);
    #[cfg(target_os = "linux")]
    if end > from {
        let keep_size = rustix::fs::FallocateFlags::KEEP_SIZE;
        let reserved = rustix::fs::fallocate(file, keep_size, from, end - from);
        // It only saves time: a signal, a limit or a file system that cannot is no reason to fail.
        if let Err(errno @ (Errno::NOSPC | Errno::DQUOT)) = reserved {
            return Err(errno.into());
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = file;
    Ok(end.max(reserved))
}

fn open_flags() -> OFlags {
    OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn names_read_back() {
        for resumable in [true, false] {
            let name = TempName {
                uuid: Uuid::max(),
                generation: 7,
                resumable,
            };
            assert_eq!(TempName::parse(&name.to_string()), Some(name));
            assert_eq!(
                TempName::parse(&name.of(u64::MAX).to_string()),
                Some(name.of(u64::MAX))
            );
        }
    }

    #[test]
    fn foreign_names_are_not_read() {
        let uuid = Uuid::max();
        for text in [
            format!("{uuid}.0.once"),
            format!("{uuid}.0.other.part"),
            format!("{uuid}.00.once.part"),
            format!("{uuid}.-1.once.part"),
            format!("{uuid}.0.once.part.x"),
            format!("../{uuid}.0.once.part"),
            format!("{}.0.once.part", uuid.to_string().to_uppercase()),
            format!("{}.0.once.part", uuid.simple()),
            String::new(),
        ] {
            assert_eq!(TempName::parse(&text), None, "{text}");
        }
    }

    #[test]
    fn new_files_are_private_locked_and_new() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("a");
        let file = create(&path).expect("creates");
        let mode = file.metadata().expect("metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let other = open(&path).expect("opens").expect("is there");
        assert!(!try_lock(&other).expect("tries"));
        drop(file);
        assert!(try_lock(&other).expect("tries"));
        let error = create(&path).expect_err("exists");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(is_at(&other, &path).expect("asks"));
        assert!(remove(&path).expect("removes"));
        assert!(!remove(&path).expect("is gone"));
        assert!(!is_at(&other, &path).expect("asks"));
        assert!(open(&path).expect("asks").is_none());
    }

    #[test]
    fn symlinks_are_not_followed() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (target, link) = (dir.path().join("target"), dir.path().join("link"));
        symlink(&target, &link).expect("links");
        create(&link).expect_err("does not create through a link");
        assert!(!target.exists());
        fs::write(&target, "x").expect("writes");
        open(&link).expect_err("does not open through a link");
        open(dir.path()).expect_err("a directory is no file");
    }

    /// The reserved length must not show, since the length of a file tells what it holds.
    #[test]
    fn no_more_is_reserved_than_is_there() {
        const MIB: u64 = 1 << 20;
        let file = tempfile::tempfile().expect("temp file");
        let at = |reserved, received, size| {
            let reserved = reserve(&file, reserved * MIB, received * MIB, 0, size * MIB);
            reserved.expect("reserves") / MIB
        };
        assert_eq!(at(0, 0, 1000), 0, "nothing for a promise");
        assert_eq!(at(0, 2, 1000), 4);
        assert_eq!(at(4, 2, 1000), 4, "there is enough ahead");
        assert_eq!(at(4, 3, 1000), 6);
        assert_eq!(at(6, 5, 7), 7, "no more than the size");
        assert_eq!(at(7, 6, 7), 7);
        assert_eq!(at(100, 100, 1000), 132, "one step at a time");
        assert_eq!(file.metadata().expect("metadata").len(), 0);
        let blocks = file.metadata().expect("metadata").blocks() * 512;
        assert!(blocks < 64 * MIB, "{blocks}");
    }

    /// A file that is half there has its room, also if its bytes came in one batch.
    #[test]
    fn what_is_written_next_counts_as_there() {
        const MIB: u64 = 1 << 20;
        let file = tempfile::tempfile().expect("temp file");
        let at =
            |received, coming, size| reserve(&file, 0, received, coming, size).expect("reserves");
        assert_eq!(at(0, MIB - 1, 2 * MIB), 0, "too little");
        assert_eq!(
            at(0, 3 * MIB / 2, 2 * MIB),
            2 * MIB,
            "no more than the size"
        );
        assert_eq!(at(MIB / 2, MIB, 100 * MIB), 3 * MIB, "as much again");
    }
}
