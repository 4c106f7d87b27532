//! The thread that owns the database: it takes what waits, commits it at once, and answers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::batch::Bounds;
use super::file::Home;
use super::records::{Op, Outcome, Records};
use super::{RedbOptions, stopped};
use crate::error::{StoreError, StoreErrorKind};
use crate::room::Room;

#[cfg(test)]
mod failed_syncs;

/// The most calls applied in one transaction.
const BATCH_MAX: usize = 256;

/// How long the database stays closed after an error before it is tried again.
const REOPEN_PAUSE: Duration = Duration::from_secs(1);

/// Files below this size are not compacted.
const SHRINK_FROM_BYTES: u64 = 1024 * 1024;

/// How many times larger than its records a file is before it is compacted.
///
/// Compacting takes time for what is in use, during which calls wait; with less to gain it is not worth it.
const SHRINK_RATIO: u64 = 6;

/// What callers send to the thread.
#[derive(Debug)]
pub(super) enum Request {
    Do {
        op: Op,
        reply: oneshot::Sender<Result<Outcome, StoreError>>,
    },
    /// Makes the file smaller where much of it is empty and no one else waits.
    Shrink,
    Close {
        reply: oneshot::Sender<()>,
    },
}

/// Starts the thread and waits until the database is open.
///
/// Returns the path of the damaged file that was set aside, if one was.
pub(super) async fn start(
    dir: PathBuf,
    options: RedbOptions,
    requests: mpsc::Receiver<Request>,
) -> Result<Option<PathBuf>, StoreError> {
    let (opened, answer) = oneshot::channel();
    thread::Builder::new()
        .name("upload-store".to_owned())
        .spawn(move || match open_home(dir, &options) {
            Ok((home, records, set_aside)) => {
                let file = home.file();
                let keeper = Keeper::new(file, records, move || {
                    let (records, set_aside) = open(&home, &options)?;
                    if let Some(file) = set_aside {
                        // No one waits for the answer that would have it.
                        tracing::warn!(
                            file = %file.display(),
                            "the embedded store was damaged and begun anew"
                        );
                    }
                    Ok(records)
                });
                if opened.send(Ok(set_aside)).is_ok() {
                    keeper.run(requests);
                }
            }
            Err(error) => {
                let _ = opened.send(Err(error));
            }
        })
        .map_err(|error| {
            StoreError::new(
                StoreErrorKind::Failed,
                "the thread of the embedded database did not start",
            )
            .with_source(error)
        })?;
    answer.await.map_err(|_| stopped())?
}

fn open_home(
    dir: PathBuf,
    options: &RedbOptions,
) -> Result<(Home, Records, Option<PathBuf>), StoreError> {
    let home = Home::lock(dir, options)?;
    let (records, set_aside) = open(&home, options)?;
    Ok((home, records, set_aside))
}

fn open(home: &Home, options: &RedbOptions) -> Result<(Records, Option<PathBuf>), StoreError> {
    let all = Room {
        records: options.records_max,
        bytes: options.bytes_max,
    };
    let owner = all.share(options.owner_share);
    let bounds = Bounds { all, owner };
    home.open(|database| Records::new(database, bounds).map_err(sort))
}

/// The database while it is open, and the way to open it anew.
struct Keeper<F> {
    file: PathBuf,
    records: Option<Records>,
    reopen: F,
    closed_at: Instant,
}

impl<F: FnMut() -> Result<Records, StoreError>> Keeper<F> {
    fn new(file: PathBuf, records: Records, reopen: F) -> Self {
        Self {
            file,
            records: Some(records),
            reopen,
            closed_at: Instant::now(),
        }
    }

    /// Serves until every caller is gone, or a close is asked for.
    fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut waiting = Vec::with_capacity(BATCH_MAX);
        let mut shrink = false;
        while requests.blocking_recv_many(&mut waiting, BATCH_MAX) > 0 {
            let mut batch = Vec::with_capacity(waiting.len());
            let mut close = None;
            for request in waiting.drain(..) {
                match request {
                    Request::Do { op, reply } => batch.push((op, reply)),
                    Request::Shrink => shrink = true,
                    Request::Close { reply } => close = Some(reply),
                }
            }
            self.serve(batch);
            if shrink && close.is_none() && requests.is_empty() {
                shrink = false;
                self.shrink();
            }
            if let Some(reply) = close {
                // A caller that asks from now on, or still waits, finds the queue closed.
                requests.close();
                drop(self);
                let _ = reply.send(());
                return;
            }
        }
    }

    /// Compacts the file if it is much larger than what it holds.
    fn shrink(&mut self) {
        let Some(records) = &mut self.records else {
            return;
        };
        let Ok(length) = self.file.metadata().map(|file| file.len()) else {
            return;
        };
        let compacted = guarded(|| {
            let used = records.bytes().map_err(sort)?;
            if length < SHRINK_FROM_BYTES || length / SHRINK_RATIO < used {
                return Ok(());
            }
            records.compact().map_err(sort)
        });
        if let Err(error) = compacted {
            tracing::warn!(%error, "the embedded store was not compacted");
            self.records = None;
            self.closed_at = Instant::now();
        }
    }

    fn serve(&mut self, batch: Vec<(Op, oneshot::Sender<Result<Outcome, StoreError>>)>) {
        match self.apply(batch.iter().map(|(op, _)| op)) {
            Ok(outcomes) => {
                for ((_, reply), outcome) in batch.into_iter().zip(outcomes) {
                    // A caller that gave up does not wait for its answer.
                    let _ = reply.send(Ok(outcome));
                }
            }
            Err(error) => {
                let kind = error.kind();
                let error = Arc::new(error);
                for (_, reply) in batch {
                    let answer = StoreError::new(kind, "the embedded database is in trouble")
                        .with_source(Box::new(Arc::clone(&error)));
                    let _ = reply.send(Err(answer));
                }
            }
        }
    }

    fn apply<'a>(
        &mut self,
        ops: impl Iterator<Item = &'a Op> + Clone,
    ) -> Result<Vec<Outcome>, StoreError> {
        let mut records = match self.records.take() {
            Some(records) => records,
            None if self.closed_at.elapsed() < REOPEN_PAUSE => {
                return Err(StoreError::new(
                    StoreErrorKind::Unavailable,
                    "the file is closed after an error",
                ));
            }
            None => {
                self.closed_at = Instant::now();
                guarded(&mut self.reopen)?
            }
        };
        let applied = guarded(|| {
            let outcomes = records.apply(ops).map_err(sort)?;
            Ok((records, outcomes))
        });
        match applied {
            Ok((records, outcomes)) => {
                self.records = Some(records);
                Ok(outcomes)
            }
            Err(error) => {
                self.closed_at = Instant::now();
                Err(error)
            }
        }
    }
}

/// A damaged page may show as a panic of the database; the thread has to outlive it.
fn guarded<T>(call: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| {
        Err(StoreError::new(
            StoreErrorKind::Corrupt,
            "the database panicked",
        ))
    })
}

fn sort(error: redb::Error) -> StoreError {
    let kind = match error {
        redb::Error::Corrupted(_) => StoreErrorKind::Corrupt,
        redb::Error::Io(_) | redb::Error::PreviousIo => StoreErrorKind::Unavailable,
        _ => StoreErrorKind::Failed,
    };
    StoreError::new(kind, "the file is in trouble").with_source(error)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicBool, Ordering};

    use redb::backends::InMemoryBackend;
    use redb::{Database, StorageBackend};

    use super::super::records::Stored;
    use super::*;
    use crate::count::Facts;
    use crate::key::UploadKey;
    use crate::store::Expect;

    const ROOM: Room = Room {
        records: 100,
        bytes: u64::MAX,
    };

    const BOUNDS: Bounds = Bounds {
        all: ROOM,
        owner: ROOM,
    };

    /// Keeps its bytes over reopening and can refuse to write, as a full disk does.
    #[derive(Clone, Debug)]
    struct FullDisk {
        bytes: Arc<InMemoryBackend>,
        full: Arc<AtomicBool>,
    }

    impl StorageBackend for FullDisk {
        fn len(&self) -> io::Result<u64> {
            self.bytes.len()
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.bytes.read(offset, out)
        }
        fn set_len(&self, len: u64) -> io::Result<()> {
            self.bytes.set_len(len)
        }
        fn sync_data(&self) -> io::Result<()> {
            Ok(())
        }
        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            if self.full.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.bytes.write(offset, data)
        }
    }

    fn put(byte: u8) -> Op {
        Op::Put(Stored {
            key: UploadKey::new("owner", [byte; 16]).expect("a short owner"),
            record: vec![byte; 100],
            expect: Expect::Absent,
            ttl_ms: 60_000,
            facts: Facts::default(),
            limit: None,
            is_receipt: false,
        })
    }

    #[test]
    fn after_a_full_disk_the_database_comes_back_with_what_was_acknowledged() {
        let disk = FullDisk {
            bytes: Arc::new(InMemoryBackend::new()),
            full: Arc::new(AtomicBool::new(false)),
        };
        let open = {
            let disk = disk.clone();
            move || {
                let database = Database::builder()
                    .create_with_backend(disk.clone())
                    .map_err(|error| sort(error.into()))?;
                Records::new(database, BOUNDS).map_err(sort)
            }
        };
        let mut keeper = Keeper::new(PathBuf::new(), open().expect("opens"), open);
        keeper.apply([put(1)].iter()).expect("stored");

        disk.full.store(true, Ordering::Relaxed);
        let refused = keeper
            .apply([put(2)].iter())
            .expect_err("nothing can be written");
        assert_eq!(refused.kind(), StoreErrorKind::Unavailable);
        let soon = keeper
            .apply([put(2)].iter())
            .expect_err("closed for a while");
        assert_eq!(soon.kind(), StoreErrorKind::Unavailable);

        disk.full.store(false, Ordering::Relaxed);
        keeper.closed_at = Instant::now()
            .checked_sub(REOPEN_PAUSE)
            .expect("the machine is up");
        let outcomes = keeper.apply([put(1), put(2)].iter()).expect("open again");
        assert!(
            matches!(outcomes[..], [Outcome::Conflict, Outcome::Stored(_)]),
            "the first is still there: {outcomes:?}"
        );
    }

    #[test]
    fn a_database_that_panics_when_it_is_opened_is_tried_again() {
        let reopened = Arc::new(AtomicBool::new(false));
        let open = || {
            let database = Database::builder().create_with_backend(InMemoryBackend::new());
            Records::new(database.expect("memory works"), BOUNDS).map_err(sort)
        };
        let mut keeper = Keeper::new(PathBuf::new(), open().expect("opens"), {
            let reopened = Arc::clone(&reopened);
            move || {
                assert!(reopened.swap(true, Ordering::Relaxed), "a damaged page");
                open()
            }
        });
        keeper.records = None;
        for is_open in [false, true] {
            keeper.closed_at = Instant::now()
                .checked_sub(REOPEN_PAUSE)
                .expect("the machine is up");
            let applied = keeper.apply([put(1)].iter());
            match applied {
                Ok(outcomes) => assert!(is_open, "{outcomes:?}"),
                Err(error) => {
                    assert!(!is_open, "{error}");
                    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
                }
            }
        }
    }
}
