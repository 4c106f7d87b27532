//! One small database file for what must outlive the process: hooks to be called, events seen.
//!
//! One thread does all of its work. What waits for it is applied in one transaction, and answered
//! once that is on the disk. The database leaves its file as large as it ever was, so the thread makes it smaller
//! when it is asked to, has nothing else to do, and much of the file is empty.

mod actor;
mod place;
#[cfg(test)]
mod tests;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use redb::{ReadTransaction, WriteTransaction};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use self::{actor::Actor, place::Place};

pub use self::place::JournalOpenError;

/// Requests that may wait for the thread before further ones wait for room.
const QUEUE_MAX: usize = 1024;

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

/// One change, and the task that waits for it.
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
        // The task that asked may be gone by now.
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
        let place = Place::make(dir)?;
        let database = place.open_in_time()?;
        let (queue, requests) = mpsc::channel(QUEUE_MAX);
        Actor::start(place, database, requests)?;
        let is_closed = Arc::default();
        Ok(Self { queue, is_closed })
    }

    /// Applies `work` and returns what it answered, once it is on the disk.
    ///
    /// # Errors
    ///
    /// The disk failed: what was asked for may be there all the same, once the file can be opened again. Or the journal
    /// is closed, and nothing was changed.
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
