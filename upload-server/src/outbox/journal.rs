//! One small database file for what must outlive the process: hooks to be called, events seen.
//!
//! One thread does all of its work. What waits for it is applied in one transaction, and answered
//! once that is on the disk. The database leaves its file as large as it ever was, so the thread makes it smaller
//! when it is asked to, has nothing else to do, and much of the file is empty.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use redb::{
    CompactionError, Database, DatabaseError, ReadTransaction, ReadableDatabase, WriteTransaction,
};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

/// Name of the file in its directory.
const FILE: &str = "hooks.redb";
/// Requests that may wait for the thread before further ones wait for room.
const QUEUE_MAX: usize = 1024;
/// Requests in one transaction at most.
const BATCH_MAX: usize = 256;
/// Files below this size are not made smaller.
const SHRINK_FROM_BYTES: u64 = 1024 * 1024;
/// How many times larger than its pages in use a file is before it is made smaller: moving those takes time, in which
/// nothing else is done. A file that grows doubles, so it may be twice as large.
const SHRINK_RATIO: u64 = 3;
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

/// The journal did not take a change, or did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum JournalError {
    /// The disk failed.
    #[error("the journal failed")]
    Failed,
    /// The server ends; the next one has a journal again.
    #[error("the journal is closed")]
    Closed,
}

/// What the journal's steps answer; boxed, since the database's error is large.
pub(crate) type Step<T> = Result<T, Box<redb::Error>>;

/// Turns any error of the database into that of a [`Step`].
pub(crate) fn failed(error: impl Into<redb::Error>) -> Box<redb::Error> {
    Box::new(error.into())
}

/// The handle to the thread; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    queue: mpsc::Sender<Request>,
    /// Tells a thread that was asked to end from one that panicked.
    is_closed: Arc<AtomicBool>,
}

enum Request {
    Read(Box<dyn FnOnce(&ReadTransaction) + Send>),
    Write(Box<dyn Change>),
    /// Makes the file smaller where much of it is empty and no one else waits.
    Shrink,
    Close(oneshot::Sender<()>),
}

/// One change and whoever waits for it.
trait Change: Send {
    fn apply(&mut self, transaction: &WriteTransaction) -> Step<()>;
    fn answer(self: Box<Self>, is_committed: bool);
}

struct Pending<T, F> {
    work: Option<F>,
    done: Option<T>,
    answer: oneshot::Sender<Result<T, JournalError>>,
}

impl<T, F> Change for Pending<T, F>
where
    T: Send,
    F: FnOnce(&WriteTransaction) -> Step<T> + Send,
{
    fn apply(&mut self, transaction: &WriteTransaction) -> Step<()> {
        if let Some(work) = self.work.take() {
            self.done = Some(work(transaction)?);
        }
        Ok(())
    }

    fn answer(self: Box<Self>, is_committed: bool) {
        let done = self.done.filter(|_| is_committed);
        // Whoever asked may be gone by now.
        let _ = self.answer.send(done.ok_or(JournalError::Failed));
    }
}

impl Journal {
    /// Opens the file in `dir`, or keeps everything in memory.
    ///
    /// # Errors
    ///
    /// The file cannot be used, or another server uses it.
    pub(crate) fn open(dir: Option<&Path>) -> Result<Self, JournalOpenError> {
        let path = dir.map(|dir| dir.join(FILE));
        let unusable = |path: &Path| {
            let path = path.to_owned();
            move |source| JournalOpenError::Io { path, source }
        };
        if let Some(dir) = dir {
            let mut folders = fs::DirBuilder::new();
            folders.recursive(true);
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut folders, 0o700);
            folders.create(dir).map_err(unusable(dir))?;
        }
        let database = open_in_time(path.as_deref())?;
        let (queue, requests) = mpsc::channel(QUEUE_MAX);
        let actor = Actor {
            path,
            database: Some(database),
            requests,
        };
        thread::Builder::new()
            .name("upload-journal".to_owned())
            .spawn(move || actor.run())
            .map_err(unusable(dir.unwrap_or(Path::new(FILE))))?;
        let is_closed = Arc::default();
        Ok(Self { queue, is_closed })
    }

    /// Applies `work` and returns what it answered, once it is on the disk.
    ///
    /// # Errors
    ///
    /// The disk failed, or the journal is closed; nothing was changed.
    pub(crate) async fn write<T, F>(&self, work: F) -> Result<T, JournalError>
    where
        T: Send + 'static,
        F: FnOnce(&WriteTransaction) -> Step<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let change = Pending {
            work: Some(work),
            done: None,
            answer,
        };
        let request = Request::Write(Box::new(change));
        self.ask(request, answered).await?
    }

    /// Reads what was committed.
    ///
    /// # Errors
    ///
    /// The disk failed, or the journal is closed.
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T, JournalError>
    where
        T: Send + 'static,
        F: FnOnce(&ReadTransaction) -> Step<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let request = Request::Read(Box::new(move |transaction| {
            let _ = answer.send(work(transaction));
        }));
        self.ask(request, answered).await?.map_err(|error| {
            tracing::error!(%error, "the journal cannot be read");
            JournalError::Failed
        })
    }

    /// Has the thread do something, and waits for its answer.
    async fn ask<T>(
        &self,
        request: Request,
        answered: oneshot::Receiver<T>,
    ) -> Result<T, JournalError> {
        let sent = self.queue.send(request).await;
        let answer = match sent {
            Ok(()) => answered.await.ok(),
            Err(_) => None,
        };
        answer.ok_or_else(|| match self.is_closed.load(Ordering::Acquire) {
            true => JournalError::Closed,
            false => JournalError::Failed,
        })
    }

    /// Has the thread make the file smaller once it has nothing else to do, if that is worth it.
    pub(crate) fn shrink_soon(&self) {
        // A full queue is no quiet moment.
        let _ = self.queue.try_send(Request::Shrink);
    }

    /// Has the thread close the file, without waiting for it.
    pub(crate) fn close_soon(&self) {
        self.is_closed.store(true, Ordering::Release);
        let (answer, _) = oneshot::channel();
        // A thread with a full queue closes it with the last handle.
        let _ = self.queue.try_send(Request::Close(answer));
    }

    /// Finishes what was asked before, and closes the file.
    pub(crate) async fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        let (answer, answered) = oneshot::channel();
        // A thread that is not there any more has closed the file.
        let _ = self.ask(Request::Close(answer), answered).await;
    }
}

/// The thread: the only one that touches the database.
struct Actor {
    path: Option<PathBuf>,
    /// `None` after a failure, until it could be opened anew.
    database: Option<Database>,
    requests: mpsc::Receiver<Request>,
}

impl Actor {
    fn run(mut self) {
        let mut shrinks = false;
        while let Some(first) = self.requests.blocking_recv() {
            let mut changes = Vec::new();
            let mut next = Some(first);
            let mut closing = None;
            while let Some(request) = next.take() {
                match request {
                    Request::Write(change) => changes.push(change),
                    // Reads come before the changes they were asked with, which nobody was told of.
                    Request::Read(work) => self.read(work),
                    Request::Shrink => shrinks = true,
                    Request::Close(answer) => {
                        closing = Some(answer);
                        break;
                    }
                }
                if changes.len() < BATCH_MAX {
                    next = self.requests.try_recv().ok();
                }
            }
            self.write(changes);
            if let Some(answer) = closing {
                self.database = None;
                let _ = answer.send(());
                return;
            }
            if shrinks && self.requests.is_empty() {
                shrinks = false;
                self.shrink();
            }
        }
    }

    /// Makes the file smaller if it is much larger than what it holds.
    fn shrink(&mut self) {
        let (Some(path), Some(database)) = (&self.path, &mut self.database) else {
            return;
        };
        let length = fs::metadata(path).map_or(0, |file| file.len());
        if length < SHRINK_FROM_BYTES {
            return;
        }
        match held(database) {
            Ok(held) if length / SHRINK_RATIO < held => {}
            Ok(_) => match database.compact() {
                Ok(_) => {}
                Err(CompactionError::Storage(error)) => self.give_up(&error),
                // Something keeps pages where they are, until the next time.
                Err(error) => tracing::debug!(%error, "the journal was not made smaller"),
            },
            Err(error) => self.give_up(&error),
        }
    }

    fn read(&mut self, work: Box<dyn FnOnce(&ReadTransaction) + Send>) {
        let Some(database) = self.database() else {
            return;
        };
        match database.begin_read() {
            Ok(transaction) => work(&transaction),
            Err(error) => self.give_up(&error),
        }
    }

    fn write(&mut self, mut changes: Vec<Box<dyn Change>>) {
        if changes.is_empty() {
            return;
        }
        let committed = self
            .database()
            .map(|database| commit(database, &mut changes));
        if let Some(Err(error)) = &committed {
            self.give_up(error);
        }
        let is_committed = matches!(committed, Some(Ok(())));
        for change in changes {
            change.answer(is_committed);
        }
    }

    /// Returns the database, opened anew where it failed before.
    fn database(&mut self) -> Option<&Database> {
        if self.database.is_none() {
            match open(self.path.as_deref()) {
                Ok(database) => self.database = Some(database),
                Err(error) => tracing::error!(%error, "the journal cannot be opened again"),
            }
        }
        self.database.as_ref()
    }

    /// A database whose disk failed answers nothing any more; one in memory did not fail.
    fn give_up(&mut self, error: &dyn std::fmt::Display) {
        tracing::error!(%error, "the journal failed");
        if self.path.is_some() {
            self.database = None;
        }
    }
}

fn commit(database: &Database, changes: &mut [Box<dyn Change>]) -> Step<()> {
    let transaction = database.begin_write().map_err(failed)?;
    for change in changes {
        // Dropped without a commit, the transaction changes nothing.
        change.apply(&transaction)?;
    }
    transaction.commit().map_err(failed)
}

/// Returns how many bytes of its file a database needs.
fn held(database: &Database) -> Step<u64> {
    let transaction = database.begin_write().map_err(failed)?;
    let stats = transaction.stats().map_err(failed)?;
    transaction.abort().map_err(failed)?;
    let pages = stats.allocated_pages().max(1);
    Ok(pages.saturating_mul(stats.page_size() as u64))
}

fn open(path: Option<&Path>) -> Result<Database, JournalOpenError> {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    let Some(path) = path else {
        let memory = redb::backends::InMemoryBackend::new();
        let opened = builder.create_with_backend(memory);
        return opened.map_err(|source| database_error(Path::new(FILE), source));
    };
    let file = open_private(path).map_err(|source| JournalOpenError::Io {
        path: path.to_owned(),
        source,
    })?;
    let backend = redb::backends::FileBackend::new(file);
    let backend = backend.map_err(|source| database_error(path, source))?;
    builder
        .create_with_backend(backend)
        .map_err(|source| database_error(path, source))
}

/// Opens the file, and waits a while for a server of this process that is just closing it.
fn open_in_time(path: Option<&Path>) -> Result<Database, JournalOpenError> {
    let begun = Instant::now();
    loop {
        match open(path) {
            Err(JournalOpenError::InUse(_)) if begun.elapsed() < IN_USE_WAIT => {
                thread::sleep(IN_USE_PAUSE);
            }
            opened => return opened,
        }
    }
}

/// Opens or makes a file that only this user can read: calls of hooks hold addresses with keys in them.
fn open_private(path: &Path) -> std::io::Result<fs::File> {
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

#[cfg(test)]
mod tests {
    use redb::TableDefinition;

    use super::*;

    const NUMBERS: TableDefinition<'_, u64, u64> = TableDefinition::new("numbers");

    async fn put(journal: &Journal, key: u64) -> Result<u64, JournalError> {
        let put = move |transaction: &WriteTransaction| {
            let mut table = transaction.open_table(NUMBERS).map_err(failed)?;
            table.insert(key, key).map_err(failed)?;
            Ok(key)
        };
        journal.write(put).await
    }

    async fn count(journal: &Journal) -> Result<u64, JournalError> {
        use redb::ReadableTableMetadata;

        let count = |transaction: &ReadTransaction| {
            let table = transaction.open_table(NUMBERS).map_err(failed)?;
            table.len().map_err(failed)
        };
        journal.read(count).await
    }

    #[tokio::test]
    async fn what_was_answered_is_there_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let journal = Journal::open(Some(dir.path())).expect("opened");
        let puts = (0..1000).map(|key| put(&journal, key));
        let puts = futures_util::future::join_all(puts).await;
        assert!(puts.iter().all(Result::is_ok));
        journal.close().await;
        assert_eq!(put(&journal, 1).await, Err(JournalError::Closed));
        assert_eq!(count(&journal).await, Err(JournalError::Closed));
        let journal = Journal::open(Some(dir.path())).expect("opened again");
        assert_eq!(count(&journal).await, Ok(1000));
    }

    #[tokio::test]
    async fn there_is_one_holder() {
        let dir = tempfile::tempdir().expect("a directory");
        let _journal = Journal::open(Some(dir.path())).expect("opened");
        let second = Journal::open(Some(dir.path())).map(|_| ());
        assert!(
            matches!(second, Err(JournalOpenError::InUse(_))),
            "{second:?}"
        );
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn only_its_user_can_read_it() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().expect("a directory");
        let state = dir.path().join("a/state");
        let mode = |path: &Path| {
            let metadata = fs::metadata(path).expect("there");
            metadata.permissions().mode() & 0o777
        };
        for _ in 0..2 {
            let journal = Journal::open(Some(&state)).expect("open");
            assert_eq!((mode(&state), mode(&state.join(FILE))), (0o700, 0o600));
            journal.close().await;
            let open = fs::Permissions::from_mode(0o644);
            fs::set_permissions(state.join(FILE), open).expect("changed");
        }
    }

    /// What was there a while ago takes up no room for ever.
    #[tokio::test]
    async fn the_file_gets_smaller_once_it_is_empty() {
        const TEXTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("texts");
        const COUNT: u64 = 4000;

        let dir = tempfile::tempdir().expect("a directory");
        let journal = Journal::open(Some(dir.path())).expect("opened");
        let length = || fs::metadata(dir.path().join(FILE)).expect("there").len();
        let change = |key: u64, is_there: bool| {
            journal.write(move |transaction| {
                let mut table = transaction.open_table(TEXTS).map_err(failed)?;
                match is_there {
                    true => drop(table.insert(key, &[7; 1000][..]).map_err(failed)?),
                    false => drop(table.remove(key).map_err(failed)?),
                }
                Ok(())
            })
        };
        let all: Vec<u64> = (0..COUNT).collect();
        for keys in all.chunks(200) {
            futures_util::future::join_all(keys.iter().map(|key| change(*key, true))).await;
        }
        let full = length();
        assert!(full > COUNT * 1000, "{full}");
        // Nothing is gained while it is full.
        journal.shrink_soon();
        put(&journal, 1).await.expect("put");
        assert!(length() >= full / 2, "{full} and {}", length());
        // What stays lies anywhere in the file.
        for keys in all.chunks(200) {
            let gone = keys.iter().filter(|key| *key % 400 != 399);
            futures_util::future::join_all(gone.map(|key| change(*key, false))).await;
        }
        let left = COUNT / 400;
        journal.shrink_soon();
        for round in 0.. {
            assert!(round < 500, "{full} and {}", length());
            put(&journal, 2).await.expect("put");
            if length() < SHRINK_FROM_BYTES {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let texts = journal.read(|transaction| {
            use redb::ReadableTableMetadata;

            let table = transaction.open_table(TEXTS).map_err(failed)?;
            table.len().map_err(failed)
        });
        assert_eq!(texts.await, Ok(left));
        assert_eq!(count(&journal).await, Ok(2));
    }

    #[tokio::test]
    async fn a_change_that_fails_changes_nothing() {
        let journal = Journal::open(None).expect("opened");
        put(&journal, 1).await.expect("put");
        let bad = journal.write(|transaction| {
            let mut table = transaction.open_table(NUMBERS).map_err(failed)?;
            table.insert(2, 2).map_err(failed)?;
            Err::<(), _>(failed(redb::TableError::TableDoesNotExist(String::new())))
        });
        assert_eq!(bad.await, Err(JournalError::Failed));
        assert_eq!(count(&journal).await, Ok(1));
    }

    #[tokio::test]
    async fn a_thread_that_panicked_has_failed_and_is_not_closed() {
        let journal = Journal::open(None).expect("opened");
        let broken = journal.write::<(), _>(|_| panic!("asked to panic"));
        assert_eq!(broken.await, Err(JournalError::Failed));
        assert_eq!(put(&journal, 1).await, Err(JournalError::Failed));
    }
}
