//! The thread that does the work of a journal.

use std::thread;

use redb::{CompactionError, Database, ReadTransaction, ReadableDatabase};
use tokio::sync::mpsc;

use super::{Change, JournalOpenError, Request, Step, failed, place::Place};

/// Requests in one transaction at most.
const BATCH_MAX: usize = 256;
/// Files below this size are not made smaller.
pub(super) const SHRINK_FROM_BYTES: u64 = 1024 * 1024;
/// How many times larger than its pages in use a file is before it is made smaller: moving those takes time, in which
/// nothing else is done. A file that grows doubles, so it may be twice as large.
const SHRINK_RATIO: u64 = 3;

/// The thread: the only one that touches the database.
pub(super) struct Actor {
    place: Place,
    /// `None` after a failure, until it could be opened anew.
    database: Option<Database>,
    requests: mpsc::Receiver<Request>,
}

impl Actor {
    /// Has a thread do what is asked for, until it is asked to close or nothing can ask any more.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub(super) fn start(
        place: Place,
        database: Database,
        requests: mpsc::Receiver<Request>,
    ) -> Result<(), JournalOpenError> {
        let error = place.clone();
        let actor = Self {
            place,
            database: Some(database),
            requests,
        };
        let started = thread::Builder::new()
            .name("upload-journal".to_owned())
            .spawn(move || actor.run());
        started.map(drop).map_err(|source| error.unusable(source))
    }

    fn run(mut self) {
        let mut shrinks = false;
        while let Some(first) = self.requests.blocking_recv() {
            let mut changes = Vec::new();
            let mut next = Some(first);
            let mut closing = None;
            while let Some(request) = next.take() {
                match request {
                    Request::Write(change) => changes.push(change),
                    // Reads come before the changes of their batch, none of which is confirmed yet.
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
        let Some(database) = &mut self.database else {
            return;
        };
        let length = self.place.length();
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
            match self.place.open() {
                Ok(database) => self.database = Some(database),
                Err(error) => tracing::error!(%error, "the journal cannot be opened again"),
            }
        }
        self.database.as_ref()
    }

    /// A database whose disk failed answers nothing any more; one in memory did not fail.
    fn give_up(&mut self, error: &dyn std::fmt::Display) {
        tracing::error!(%error, "the journal failed");
        if self.place.outlives_a_failure() {
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
