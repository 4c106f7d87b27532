//! Records in one embedded database file: they outlive the process, not shared between processes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::count::Counts;
use crate::error::{PutError, StoreError, StoreErrorKind};
use crate::key::UploadKey;
use crate::list::{Cursor, Page};
use crate::room::OWNER_SHARE;
use crate::store::{
    Expect, Put, UploadStateStore, Version, Versioned, check_record, foreign_cursor, page_records,
    ttl_millis,
};

mod actor;
mod backend;
mod batch;
mod file;
mod index;
mod reads;
mod records;
mod tables;

use actor::Request;
use records::{Op, Outcome, Stored};
pub use tables::REDB_OVERHEAD_BYTES;

/// How many records a [`RedbStore`] holds by default, expired ones included until they are swept.
pub const REDB_RECORDS_MAX: u64 = 1_000_000;

/// How many bytes of records a [`RedbStore`] holds by default.
pub const REDB_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// How much memory a [`RedbStore`] uses to cache its file by default, in bytes.
pub const REDB_CACHE_BYTES: usize = 16 * 1024 * 1024;

/// Calls that may wait for the database thread before further callers wait for room.
const QUEUE_MAX: usize = 1024;

/// How long a call waits for the database thread before it fails.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What a finished put survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RedbDurability {
    /// The end of the process, `kill -9` included: the bytes are with the operating system.
    ///
    /// A power loss may take the newest records, or damage the file; a damaged file is set aside
    /// when the store opens and an empty one begun.
    #[default]
    Process,
    /// A power loss: a put returns after its bytes were forced to the disk. Puts that wait at the
    /// same time share one such write. A damaged file is an error.
    Disk,
}

/// How a [`RedbStore`] works.
#[derive(Clone, Debug)]
pub struct RedbOptions {
    /// What a finished put survives.
    pub durability: RedbDurability,
    /// The most records, expired ones included until they are swept.
    pub records_max: u64,
    /// The most bytes of records, expired ones included until they are swept.
    ///
    /// A record has its own bytes, those of its owner's name, and [`REDB_OVERHEAD_BYTES`]. The file can be
    /// some times larger: its pages are not full, and a long record takes a page of a power of two.
    pub bytes_max: u64,
    /// One owner's records take up at most one part in this many of the store, 1 for all of it.
    ///
    /// A put that would raise what its owner has past this drops the owner's oldest [receipts](Put::receipt).
    /// Where none are left, a new record is refused as [`StoreErrorKind::Unavailable`].
    pub owner_share: u64,
    /// Memory for caching the file, in bytes.
    pub cache_bytes: usize,
}

impl Default for RedbOptions {
    fn default() -> Self {
        Self {
            durability: RedbDurability::default(),
            records_max: REDB_RECORDS_MAX,
            bytes_max: REDB_BYTES_MAX,
            owner_share: OWNER_SHARE,
            cache_bytes: REDB_CACHE_BYTES,
        }
    }
}

/// Keeps records in the file `uploads.redb` of a directory.
///
/// One thread does all reading and writing. Everything that waits for it is applied in one
/// transaction and answered after its commit. Time is the wall clock of this machine, so records also
/// expire while no process runs, and a clock set forward expires them early.
///
/// After an input or output error (a full disk) the file is opened anew, at most once a second. With
/// [`RedbDurability::Disk`] it is then read from the disk, as far as the system lets go of what it holds in memory: a
/// commit that failed is not built upon.
#[derive(Debug)]
pub struct RedbStore {
    queue: mpsc::Sender<Request>,
    set_aside: Option<PathBuf>,
}

impl RedbStore {
    /// Opens the store in `dir`, which is created if it does not exist, with default options but
    /// for the durability.
    ///
    /// # Errors
    ///
    /// See [`open_with`](Self::open_with).
    pub async fn open(
        dir: impl AsRef<Path>,
        durability: RedbDurability,
    ) -> Result<Self, StoreError> {
        let options = RedbOptions {
            durability,
            ..RedbOptions::default()
        };
        Self::open_with(dir, options).await
    }

    /// Opens the store in `dir`, which is created if it does not exist.
    ///
    /// A file whose process was killed is repaired first, which reads it once.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Failed`] if another store, in this or another process, has the directory
    /// open, or it cannot be used; [`StoreErrorKind::Corrupt`] if the file is damaged and
    /// durability is [`RedbDurability::Disk`].
    pub async fn open_with(
        dir: impl AsRef<Path>,
        options: RedbOptions,
    ) -> Result<Self, StoreError> {
        let (queue, requests) = mpsc::channel(QUEUE_MAX);
        let set_aside = actor::start(dir.as_ref().to_owned(), options, requests).await?;
        Ok(Self { queue, set_aside })
    }

    /// Returns where the damaged file is that was found on opening, if one was. One that is found
    /// damaged and replaced later is written to the log.
    pub fn set_aside(&self) -> Option<&Path> {
        self.set_aside.as_deref()
    }

    /// Finishes what was asked before, closes the file and lets go of the directory.
    ///
    /// Later calls are answered [`StoreErrorKind::Unavailable`]. Dropping the store closes it too,
    /// but does not wait.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Unavailable`] if it was closed before.
    pub async fn close(&self) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.queue
            .send(Request::Close { reply })
            .await
            .map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())
    }

    async fn ask(&self, op: Op) -> Result<Outcome, StoreError> {
        let asked = async {
            let (reply, answer) = oneshot::channel();
            self.queue
                .send(Request::Do { op, reply })
                .await
                .map_err(|_| stopped())?;
            answer.await.map_err(|_| stopped())?
        };
        timeout(ANSWER_TIMEOUT, asked).await.unwrap_or_else(|_| {
            Err(StoreError::new(
                StoreErrorKind::Unavailable,
                "the embedded database did not answer in time",
            ))
        })
    }
}

#[async_trait]
impl UploadStateStore for RedbStore {
    async fn get(&self, key: &UploadKey) -> Result<Option<Versioned>, StoreError> {
        match self.ask(Op::Get { key: key.clone() }).await? {
            Outcome::Record(found) => Ok(found),
            _ => Err(mismatched()),
        }
    }

    async fn put_with(&self, key: &UploadKey, put: Put<'_>) -> Result<Version, PutError> {
        check_record(put.record)?;
        let op = Op::Put(Stored {
            key: key.clone(),
            record: put.record.to_vec(),
            expect: put.expect,
            ttl_ms: ttl_millis(put.ttl),
            facts: put.facts,
            limit: put.limit,
            is_receipt: put.is_receipt(),
        });
        match self.ask(op).await? {
            Outcome::Stored(version) => Ok(version),
            Outcome::Conflict => Err(PutError::Conflict),
            Outcome::OverLimit => Err(PutError::OverLimit),
            Outcome::OwnerFull => Err(full("the owner has its share of the embedded database")),
            Outcome::Full => Err(full("the embedded database is full")),
            _ => Err(mismatched().into()),
        }
    }

    async fn delete(&self, key: &UploadKey, expect: Expect) -> Result<(), PutError> {
        let key = key.clone();
        match self.ask(Op::Delete { key, expect }).await? {
            Outcome::Deleted => Ok(()),
            Outcome::Conflict => Err(PutError::Conflict),
            _ => Err(mismatched().into()),
        }
    }

    async fn list(
        &self,
        owner: Option<&str>,
        after: Option<&Cursor>,
        most: usize,
    ) -> Result<Page, StoreError> {
        let after = match after.map(Cursor::as_bytes) {
            None => Vec::new(),
            Some(after) if tables::parse_key(after).is_some() => after.to_vec(),
            Some(_) => return Err(foreign_cursor()),
        };
        let op = Op::List {
            owner: owner.map(Into::into),
            after,
            most: page_records(most),
        };
        match self.ask(op).await? {
            Outcome::Page(page) => Ok(page),
            _ => Err(mismatched()),
        }
    }

    /// Of all owners, what expired is counted until it is swept.
    async fn count(&self, owner: Option<&str>) -> Result<Counts, StoreError> {
        loop {
            let owner = owner.map(Into::into);
            match self.ask(Op::Count { owner }).await? {
                Outcome::Counts(counts) => return Ok(counts),
                // Other calls come between.
                Outcome::More => {}
                _ => return Err(mismatched()),
            }
        }
    }

    fn is_shared(&self) -> bool {
        false
    }

    /// Goes through all records, a bounded number at a time, so that other calls come between. If no call
    /// waits at the end and much of the file is empty, the file is made smaller.
    async fn sweep(&self) -> Result<u64, StoreError> {
        let mut total = 0_u64;
        let mut after = Vec::new();
        loop {
            let Outcome::Swept { dropped, last } = self.ask(Op::Sweep { after }).await? else {
                return Err(mismatched());
            };
            total = total.saturating_add(dropped);
            match last {
                Some(last) => after = last,
                None => {
                    // A full queue is no quiet moment.
                    let _ = self.queue.try_send(Request::Shrink);
                    return Ok(total);
                }
            }
        }
    }
}

fn stopped() -> StoreError {
    StoreError::new(
        StoreErrorKind::Unavailable,
        "the embedded database is closed",
    )
}

fn full(what: &str) -> PutError {
    StoreError::new(StoreErrorKind::Unavailable, what).into()
}

fn mismatched() -> StoreError {
    StoreError::new(
        StoreErrorKind::Failed,
        "the embedded database gave the answer to another question",
    )
}
