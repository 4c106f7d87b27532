//! The database's view of its file: when its bytes are forced to the disk is decided here.

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
    durability: RedbDurability,
}

impl SyncedFile {
    pub(super) fn new(file: File, durability: RedbDurability) -> Result<Self, DatabaseError> {
        Ok(Self {
            inner: FileBackend::new(file)?,
            durability,
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
        match self.durability {
            RedbDurability::Process => Ok(()),
            RedbDurability::Disk => self.inner.sync_data(),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.sync_data()?;
        self.inner.close()
    }
}
