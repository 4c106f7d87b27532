//! The file writer: one file per upload, published by one atomic rename.
//!
//! An upload is written to `<temp_dir>/<uuid>.<generation>.<kind>.part`, locked by its holder, and
//! ends as `<data_dir>/<slot>/<uuid>-<safe name>`, below a folder that the application may choose
//! ([`UploadFacts::folder`]). The generation is the epoch of its holder.
//! A file that is in a coding ([`UploadFacts::coding`]) ends as `<uuid>~<coding>~<safe name>`.
//! The uuid is made here, so no client chooses or guesses a path.
//!
//! - `place`: where a finished file goes; `temp`: files under way and their locks; `group_sync`: names made
//!   durable together; `group_close`: the same for small files; `dir_names`: those of the directories themselves.
//! - `pace`: inline or blocking writes; `write_back`: an early start on the disk; `writer`: the writer itself;
//!   `ending`: a file on its way to its final name; `fresh_dirs`: the directory of that name.
//! - `reopen`: continuing after a restart or on another node; `sweep`: removing what no writer holds; `removal`:
//!   removing a finished file.

mod begin;
mod checkpoint;
mod dir_names;
mod ending;
mod fresh_dirs;
mod group_close;
mod group_sync;
mod pace;
mod place;
mod removal;
mod reopen;
mod sweep;
mod temp;
mod usage;
mod watchdog;
mod write_back;
mod writer;

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use rustix::io::Errno;
use serde_json::Value;
use thiserror::Error;
use tokio::{
    runtime::Handle,
    sync::Semaphore,
    task::{JoinHandle, spawn_blocking},
};
use uuid::Uuid;

use self::{
    begin::Beginnings, fresh_dirs::FreshDirs, group_close::GroupClose, group_sync::GroupSyncs,
    pace::Pace, place::Place, temp::TempName, usage::Usage, writer::FileWriter,
};
use crate::{
    error::{WriteError, WriteErrorKind},
    writer::{
        BoxWriter, Checkpoint, NamedUploads, Orphan, Reopened, SweepPolicy, UploadFacts,
        WriterFactory, WriterTraits,
    },
};

/// Directories that are remembered; an application may name any number of slots and folders.
const DIRS_SEEN_MAX: usize = 1024;

/// Writes of a factory that wait for a slow disk on blocking threads at once; a disk takes no more by being
/// asked more often.
const SLOW_WRITES_MAX: usize = 4;

/// Files of a factory that are closed at once where no thread of the runtime may wait for it.
const CLOSINGS_MAX: usize = 2;

/// Files of a factory that the system is asked at once to begin to write.
const EARLY_STARTS_MAX: usize = 4;

/// Directories of a factory that are synced at once.
const DIR_SYNCS_MAX: usize = 4;

/// What it takes until bytes count as durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// A completed `write`: bytes survive the death of the process. Closing still syncs the file.
    ///
    /// Where an upload resumes after another boot of the system, or on another machine, its bytes are
    /// read once and compared with their checksum; what differs, or has none, is gone.
    #[default]
    Process,
    /// A completed `fdatasync`: bytes survive the loss of power. Only a flush makes them durable.
    Disk,
}

/// Where and how [`FileWriterFactory`] keeps files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileWriterConfig {
    /// Finished files, as `<data_dir>/<slot>/<uuid>-<safe name>`.
    pub data_dir: PathBuf,
    /// Files under way. On the file system of `data_dir`, and used for nothing else.
    pub temp_dir: PathBuf,
    /// What it takes until bytes count as durable.
    pub durability: Durability,
    /// Whether to reserve room ahead of what arrives. It saves processor time while writing and finds
    /// a full disk a little earlier; at most as much is reserved as was received.
    pub preallocate: bool,
    /// How long one call may hold up its task with writing before all writers of the factory write on
    /// blocking threads for a while.
    pub inline_write_max: Duration,
    /// How many syncs of all uploads of this factory run at once; 0 counts as 1. A disk takes as long for a few
    /// small files as for one.
    pub syncs_max: usize,
    /// How many files of this factory are made or thrown away at once, and as many reopened; 0 counts as 1. Many uploads
    /// may begin or be left at a time, and must not take the processor from those that are written.
    pub openings_max: usize,
    /// How long reopening waits for an earlier holder to let go of the file, before it copies what
    /// is durable and goes on with the copy.
    pub lock_wait: Duration,
    /// What has to be free on the file system of `temp_dir` before a file begins, in bytes, so that those
    /// that have begun have room; 0 by default.
    pub min_free: u64,
    /// How much room files under way may take together, in bytes, those that were left included; beyond it no
    /// file begins and none grows. No limit by default.
    pub max_unfinished_bytes: Option<u64>,
}

impl FileWriterConfig {
    /// Keeps finished files in `data_dir` and those under way in `<data_dir>/.tmp`.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        let data_dir = data_dir.into();
        Self {
            temp_dir: data_dir.join(".tmp"),
            data_dir,
            durability: Durability::Process,
            preallocate: true,
            // Longer than the pause of a virtual machine that has used up its share of the processor.
            inline_write_max: Duration::from_millis(100),
            syncs_max: 16,
            openings_max: 4,
            // A holder that lost its lease learns so with its next save, a tenth of a second on.
            lock_wait: Duration::from_millis(500),
            min_free: 0,
            max_unfinished_bytes: None,
        }
    }
}

/// Why the directories of a [`FileWriterConfig`] do not serve.
#[derive(Debug, Error)]
pub enum FileSetupError {
    /// A directory cannot be made or found, or its names cannot be made durable.
    #[error("cannot make or sync the directory {path}")]
    Directory {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No file can be made and locked in the directory for files under way.
    #[error("cannot make and lock a file in {path}")]
    Temp {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The directory for files under way belongs to another user, or everybody may write to it.
    #[error("{path} belongs to another user or can be written by all")]
    Open {
        /// Which one.
        path: PathBuf,
    },
    /// The two directories are on different file systems, so no rename can publish a file.
    #[error("{temp_dir} and {data_dir} are not on the same file system")]
    Apart {
        /// The one for files under way.
        temp_dir: PathBuf,
        /// The one for finished files.
        data_dir: PathBuf,
    },
    /// A file cannot be moved into the directory for finished files.
    #[error("cannot move a file into {path}")]
    Data {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Makes writers that keep each upload in a file of its own.
///
/// Their result is `{"path": "<slot>/<uuid>-<safe name>", "size": n}`, relative to the data
/// directory; of a file in a [coding](UploadFacts::coding) it is `<slot>/<uuid>~<coding>~<safe name>`.
/// Files have mode 0600: they are for the user the program runs as.
/// Cloning is cheap; clones share the limits on syncs and openings.
/// It needs a tokio runtime with time enabled.
#[derive(Clone, Debug)]
pub struct FileWriterFactory {
    shared: Arc<Shared>,
}

/// What all writers of a factory share.
#[derive(Debug)]
struct Shared {
    config: FileWriterConfig,
    syncs: Arc<Semaphore>,
    early_starts: Arc<Semaphore>,
    /// Writes that wait for a slow disk take so many threads and no more: other disks need some as well.
    slow_writes: Arc<Semaphore>,
    /// What writers leave to other threads, and wait for no more.
    closings: Arc<Semaphore>,
    dir_syncs: Arc<GroupSyncs>,
    group_close: Arc<GroupClose>,
    pace: Pace,
    usage: Usage,
    /// Looks at the directory of unfinished files, one at a time: those that wait need no thread.
    looks: Arc<Semaphore>,
    openings: Arc<Semaphore>,
    /// Apart from those: reopening waits for no file that is made.
    reopenings: Arc<Semaphore>,
    /// Reopenings that may read or copy much, which no other one waits for.
    comparisons: Arc<Semaphore>,
    /// Held where a file under way is made or removed: the system lets one at a time change the
    /// directory, and the others would wait for that spinning.
    naming: Mutex<()>,
    /// Directories of slots that are known to be there; closing looks at each again.
    dirs_seen: Mutex<BTreeSet<String>>,
    fresh_dirs: FreshDirs,
    beginnings: Beginnings,
}

impl FileWriterFactory {
    /// Makes the directories and proves that they serve; blocking, for the start of a program.
    ///
    /// Their paths are made absolute.
    ///
    /// # Errors
    ///
    /// When a directory cannot be made, synced or written, does not lock files, or the two are on different
    /// file systems.
    pub fn new(mut config: FileWriterConfig) -> Result<Self, FileSetupError> {
        config.data_dir = make_dir(&config.data_dir, 0o777)?;
        config.temp_dir = make_dir(&config.temp_dir, 0o700)?;
        dir_names::sync(&config, dir_names::sync_dir)?;
        guard(&config.temp_dir)?;
        probe(&config)?;
        let permits = |max: usize| Arc::new(Semaphore::new(max.clamp(1, Semaphore::MAX_PERMITS)));
        Ok(Self {
            shared: Arc::new(Shared {
                pace: Pace::new(config.inline_write_max),
                usage: Usage::new(config.max_unfinished_bytes),
                looks: permits(1),
                syncs: permits(config.syncs_max),
                early_starts: permits(EARLY_STARTS_MAX),
                slow_writes: permits(SLOW_WRITES_MAX),
                closings: permits(CLOSINGS_MAX),
                dir_syncs: Arc::new(GroupSyncs::new(permits(DIR_SYNCS_MAX))),
                group_close: Arc::new(GroupClose::new(&config.temp_dir)),
                openings: permits(config.openings_max),
                reopenings: permits(config.openings_max),
                comparisons: permits(config.openings_max),
                naming: Mutex::default(),
                dirs_seen: Mutex::default(),
                fresh_dirs: FreshDirs::default(),
                beginnings: Beginnings::default(),
                config,
            }),
        })
    }

    /// Tells how the factory is configured, with absolute paths.
    pub fn config(&self) -> &FileWriterConfig {
        &self.shared.config
    }
}

#[async_trait]
impl WriterFactory for FileWriterFactory {
    async fn create(&self, facts: &UploadFacts) -> Result<BoxWriter, WriteError> {
        let writer = FileWriter::create(Arc::clone(&self.shared), facts).await?;
        Ok(Box::new(writer))
    }

    async fn reopen(
        &self,
        facts: &UploadFacts,
        checkpoint: &Checkpoint,
        offset: u64,
    ) -> Result<Reopened, WriteError> {
        reopen::reopen(&self.shared, facts, checkpoint, offset).await
    }

    fn traits(&self) -> WriterTraits {
        WriterTraits::resumable().batch_bytes(writer::BATCH_BYTES)
    }

    async fn delete(&self, facts: &UploadFacts, result: &Value) -> Result<(), WriteError> {
        let text = result.get("path").and_then(Value::as_str);
        let place = text.and_then(|text| Place::read(text, &facts.slot));
        let place = place.ok_or_else(|| WriteError::misuse("not a result of this factory"))?;
        let shared = Arc::clone(&self.shared);
        permitted(&self.shared.openings, move || {
            Ok(place.remove(&shared.config.data_dir, place::sync_dir)?)
        })
        .await
    }

    async fn sweep(&self, policy: &SweepPolicy) -> Result<Vec<Orphan>, WriteError> {
        let shared = Arc::clone(&self.shared);
        // Locks tell which files are alive, so the names are left out.
        let policy = SweepPolicy {
            resumable_older_than: policy.resumable_older_than,
            others_older_than: policy.others_older_than,
            named: NamedUploads::default(),
            dry_run: policy.dry_run,
        };
        blocking(move || Ok(sweep::sweep(&shared.config.temp_dir, &policy)?)).await
    }
}

impl Shared {
    /// Refuses a file that would take the last room of those that have begun; it waits for the disk.
    fn check_free(&self) -> Result<(), WriteError> {
        let least = self.config.min_free;
        if least == 0 && !self.usage.is_bounded() {
            return Ok(());
        }
        self.usage.check(&self.config.temp_dir)?;
        let facts = rustix::fs::statvfs(&self.config.temp_dir).map_err(io::Error::from)?;
        let free = facts.f_bavail.saturating_mul(facts.f_frsize);
        if free < least {
            let why = format!("{free} bytes are free, and `min_free` keeps {least}");
            return Err(WriteError::new(WriteErrorKind::Full, why));
        }
        Ok(())
    }

    fn temp_path(&self, name: TempName) -> PathBuf {
        self.config.temp_dir.join(name.to_string())
    }

    /// Lets one thread at a time change the directory for files under way.
    fn naming(&self) -> MutexGuard<'_, ()> {
        self.naming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dirs_seen(&self) -> MutexGuard<'_, BTreeSet<String>> {
        // A set of names is whole after every step, so a panic elsewhere does not spoil it.
        self.dirs_seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether the directory of a place is known to serve.
    fn has_seen(&self, place: &Place) -> bool {
        self.dirs_seen().contains(place.relative_dir())
    }

    /// Makes the directory of a place, and proves that it serves, unless it was seen before.
    fn make_dir(&self, place: &Place) -> io::Result<()> {
        if self.has_seen(place) {
            return Ok(());
        }
        place.make_dir(&self.config.data_dir, &self.fresh_dirs)?;
        place.prove(&self.config.data_dir, &self.config.temp_dir)?;
        let mut seen = self.dirs_seen();
        if seen.len() < DIRS_SEEN_MAX {
            seen.insert(place.relative_dir().to_owned());
        }
        Ok(())
    }
}

/// Runs work on a blocking thread when it has a permit.
async fn permitted<T: Send + 'static>(
    permits: &Arc<Semaphore>,
    work: impl FnOnce() -> Result<T, WriteError> + Send + 'static,
) -> Result<T, WriteError> {
    let permit = Arc::clone(permits).acquire_owned().await;
    let permit = permit.map_err(|error| WriteError::new(WriteErrorKind::Failed, error))?;
    // The permit goes along, so that it counts the work even if nobody waits for it any more.
    blocking(move || {
        let done = work();
        drop(permit);
        done
    })
    .await
}

/// Runs what may wait for the disk on a blocking thread.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, WriteError> + Send + 'static,
) -> Result<T, WriteError> {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(WriteError::new(WriteErrorKind::Failed, error)),
    }
}

/// Has work done on a blocking thread, and returns its end; at once outside of a runtime, where this thread holds up
/// no other task.
fn in_background(
    permits: &Arc<Semaphore>,
    work: impl FnOnce() + Send + 'static,
) -> Option<JoinHandle<()>> {
    if Handle::try_current().is_err() {
        work();
        return None;
    }
    let permits = Arc::clone(permits);
    Some(match Arc::clone(&permits).try_acquire_owned() {
        Ok(permit) => spawn_blocking(move || {
            work();
            drop(permit);
        }),
        // What waits for a permit takes no thread.
        Err(_) => tokio::spawn(async move {
            let work = || {
                work();
                Ok(())
            };
            // It does not fail.
            let _ = permitted(&permits, work).await;
        }),
    })
}

fn make_dir(path: &Path, mode: u32) -> Result<PathBuf, FileSetupError> {
    let mut builder = fs::DirBuilder::new();
    let made = builder.recursive(true).mode(mode).create(path);
    made.and_then(|()| fs::canonicalize(path))
        .map_err(|source| FileSetupError::Directory {
            path: path.to_owned(),
            source,
        })
}

/// Refuses a directory for files under way in which others can put a file in the place of another.
fn guard(temp_dir: &Path) -> Result<(), FileSetupError> {
    let metadata = fs::metadata(temp_dir).map_err(|source| FileSetupError::Directory {
        path: temp_dir.to_owned(),
        source,
    })?;
    if place::is_ours(&metadata) && metadata.permissions().mode() & 0o002 == 0 {
        return Ok(());
    }
    Err(FileSetupError::Open {
        path: temp_dir.to_owned(),
    })
}

/// Makes, locks and moves a file as an upload would, and removes it.
fn probe(config: &FileWriterConfig) -> Result<(), FileSetupError> {
    let name = TempName {
        uuid: Uuid::new_v4(),
        generation: 0,
        resumable: false,
    };
    let from = config.temp_dir.join(name.to_string());
    let to = config.data_dir.join(format!(".probe-{}", name.uuid));
    let _held = temp::create(&from).map_err(|source| FileSetupError::Temp {
        path: config.temp_dir.clone(),
        source,
    })?;
    let moved = place::rename_new(&from, &to);
    // Whatever happened, both names are ours and neither may stay.
    let _ = temp::remove(&from);
    let removed = temp::remove(&to);
    match moved.and(removed) {
        Ok(_) => Ok(()),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::XDEV) => {
            Err(FileSetupError::Apart {
                temp_dir: config.temp_dir.clone(),
                data_dir: config.data_dir.clone(),
            })
        }
        Err(source) => Err(FileSetupError::Data {
            path: config.data_dir.clone(),
            source,
        }),
    }
}

/// Reads a checkpoint, for the fuzzer: the temporary name and the final one, both relative.
#[cfg(all(feature = "testing", feature = "object-store"))]
pub(crate) fn read_checkpoint(
    checkpoint: &Checkpoint,
    facts: &UploadFacts,
) -> Option<(String, String)> {
    let read = checkpoint::FileCheckpoint::read(checkpoint, facts).ok()?;
    Some((read.temp.to_string(), read.place.relative()))
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, task::Poll};

    use super::*;

    fn facts() -> UploadFacts {
        UploadFacts {
            safe_client_name: "a.txt".into(),
            ..UploadFacts::new("u", "docs", 0)
        }
    }

    fn factory() -> (tempfile::TempDir, FileWriterFactory) {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut config = FileWriterConfig::new(dir.path());
        config.openings_max = 1;
        let factory = FileWriterFactory::new(config).expect("sets up");
        (dir, factory)
    }

    async fn is_pending(call: &mut (impl Future + Unpin)) -> bool {
        let call = poll_fn(|cx| Poll::Ready(std::pin::Pin::new(&mut *call).poll(cx).is_pending()));
        call.await
    }

    /// However many uploads begin or are left at once, so many files are made or removed at a time.
    #[tokio::test]
    async fn openings_wait_for_each_other() {
        let (_dir, factory) = factory();
        let permit = Arc::clone(&factory.shared.openings).acquire_owned().await;
        let facts = facts();
        let mut create = factory.create(&facts);
        assert!(is_pending(&mut create).await);
        drop(permit);
        let writer = create.await.expect("creates");
        let permit = Arc::clone(&factory.shared.openings).acquire_owned().await;
        let mut abort = writer.abort(&crate::AbortReason::Cancelled);
        assert!(is_pending(&mut abort).await);
        drop(permit);
        abort.await;
        let mut left = fs::read_dir(&factory.config().temp_dir).expect("lists");
        assert!(left.next().is_none());
    }

    /// However many uploads write to a disk that is slow, so many threads wait for it.
    #[tokio::test]
    async fn slow_writes_wait_for_each_other() {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut config = FileWriterConfig::new(dir.path());
        config.inline_write_max = Duration::ZERO;
        let factory = FileWriterFactory::new(config).expect("sets up");
        let mut writer = factory.create(&facts()).await.expect("creates");
        let piece = || std::collections::VecDeque::from([bytes::Bytes::from_static(b"abc")]);
        writer
            .write_chunks(&mut piece())
            .await
            .expect("finds the disk slow");
        let all = u32::try_from(SLOW_WRITES_MAX).expect("few");
        let permits = Arc::clone(&factory.shared.slow_writes)
            .acquire_many_owned(all)
            .await;
        let mut second = piece();
        let mut write = writer.write_chunks(&mut second);
        assert!(is_pending(&mut write).await);
        drop(permits);
        assert_eq!(write.await.expect("writes").received, 6);
    }

    /// A directory that was seen and then removed is made again when it is needed.
    #[tokio::test]
    async fn directories_of_slots_come_back() {
        let (dir, factory) = factory();
        for _ in 0..2 {
            let mut writer = factory.create(&facts()).await.expect("creates");
            writer.close().await.expect("closes");
            fs::remove_dir_all(dir.path().join("docs")).expect("was made");
        }
    }
}
