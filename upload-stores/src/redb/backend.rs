//! The database's view of its file: when its bytes are forced to the disk, and read from there, is decided here.

use std::fs::File;
use std::io;

use redb::backends::FileBackend;
use redb::{DatabaseError, StorageBackend};

use super::RedbDurability;

/// A file whose syncs wait for the disk only under [`RedbDurability::Disk`].
///
/// Without them every write is still handed to the operating system in order before a commit
/// returns, and that survives the process. Closing always syncs: a file marked as cleanly closed
/// is trusted when it is opened next.
#[derive(Debug)]
pub(super) struct SyncedFile {
    inner: FileBackend,
    sync_data: fn(&FileBackend) -> io::Result<()>,
}

impl SyncedFile {
    pub(super) fn new(
        file: File,
        sync_data: fn(&FileBackend) -> io::Result<()>,
    ) -> Result<Self, DatabaseError> {
        Ok(Self {
            inner: FileBackend::new(file)?,
            sync_data,
        })
    }
}

impl StorageBackend for SyncedFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        (self.sync_data)(&self.inner)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.sync_data()?;
        self.inner.close()
    }
}

/// Returns how a commit makes the bytes of the file durable.
pub(super) fn sync_of(durability: RedbDurability) -> fn(&FileBackend) -> io::Result<()> {
    match durability {
        RedbDurability::Process => leave,
        RedbDurability::Disk => <FileBackend as StorageBackend>::sync_data,
    }
}

/// Leaves the bytes with the operating system.
fn leave(_: &FileBackend) -> io::Result<()> {
    Ok(())
}

/// Drops what memory holds of a file, so that what is read next is what the disk has.
///
/// Linux says once that it could not write a page, and takes it for written from then on. Read from memory, a commit
/// whose sync failed looks whole; what is built upon it is lost with the power.
pub(super) fn forget_cache(file: &File) -> io::Result<()> {
    // Only pages that count as written are dropped.
    file.sync_data()?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use rustix::fs::{Advice, fadvise};

        // A system that does not take the advice has no other way.
        let _ = fadvise(file, 0, None, Advice::DontNeed);
    }
    Ok(())
}
