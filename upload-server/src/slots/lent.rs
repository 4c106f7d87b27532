//! A finished upload in the hands of one handler.
//!
//! A separate task keeps the lease alive and carries out what the handler decides. It ends with the
//! handle: a handler that fails, panics or is dropped at any moment gives its upload back.

use std::{
    fmt, io,
    ops::Deref,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep, sleep_until},
};
use upload_core::{Borrower, Loan, Record, RecordPhase, Settlement};
use upload_proto::{Code, UploadRef};
use upload_stores::PutError;

use super::{
    entry::UploadedEntry,
    place::{Hold, Loaned},
    unclaimed::{Found, Unclaimed, failed, unix_ms},
    waiting::TakeError,
};

/// A lease is renewed when this part of its life is over.
const RENEWAL: u32 = 3;
/// How often a step is tried before the store counts as out of reach.
const ROUNDS_MAX: u32 = 6;
/// First pause after a store that failed; it doubles.
const RETRY_MIN: Duration = Duration::from_millis(50);

/// A finished upload that this handler has, and no other one over all processes.
///
/// It is the handler's for good once [`take`](Self::take) or [`persist`](Self::persist) returned `Ok`; until
/// then it is given back when this is dropped, so that it can be taken later, here or elsewhere. While it
/// lives its lease is renewed; a process that dies gives it back by that.
///
/// ```
/// use upload_server::{LentUpload, TakeError};
///
/// async fn settle(photo: LentUpload) -> Result<(), TakeError> {
///     if photo.client_size() == 0 {
///         return photo.refuse().await;
///     }
///     println!("{} for the {}. time", photo.take_id(), photo.attempt());
///     photo.take().await.map(drop)
/// }
/// ```
#[must_use = "dropping it gives the upload back"]
pub struct LentUpload {
    pub(super) entry: UploadedEntry,
    loan: Loan,
    pub(super) asks: mpsc::Sender<Ask>,
}

/// What a handler decides.
pub(super) enum Ask {
    Take(oneshot::Sender<Result<(), TakeError>>),
    Refuse(oneshot::Sender<Result<(), TakeError>>),
    #[cfg(feature = "postgres")]
    TakeIn(oneshot::Sender<Result<super::take_in::Taking, TakeError>>),
    /// The file is about to be moved there, from this target or from where it was stored.
    Aim(
        String,
        Option<String>,
        oneshot::Sender<Result<(), TakeError>>,
    ),
    /// It was not moved there.
    Forget(String, oneshot::Sender<Result<(), TakeError>>),
    GiveBack(oneshot::Sender<Result<(), TakeError>>),
}

impl LentUpload {
    pub(super) fn new(shelf: Arc<Unclaimed>, found: Found, loan: Loan, by: Borrower) -> Self {
        let files = found.slot.as_ref().and_then(|slot| slot.files.clone());
        let upload = UploadRef::from_bytes(*found.key.upload());
        let (asks, asked) = mpsc::channel(1);
        let (is_taken, ended) = watch::channel(None);
        let hold = Hold::Handler(Loaned {
            asks: asks.downgrade(),
            is_taken: ended,
            attempt: loan.attempt,
        });
        let (entry, targets) = (found.record.entry(upload), targets(&found.record));
        let entry = UploadedEntry::held(entry, files, hold, targets);
        let keeper = Keeper {
            shelf: Arc::clone(&shelf),
            found,
            loan: loan.clone(),
            by,
            is_taken,
        };
        shelf.spawn(keeper.run(asked));
        Self { entry, loan, asks }
    }

    /// Returns what is the same each time this upload is lent, and no other's: an application that stores it
    /// with its rows takes no upload twice, whatever crashes.
    pub fn take_id(&self) -> &str {
        &self.loan.take_id
    }

    /// Returns how often the upload was lent, this time included.
    pub fn attempt(&self) -> u32 {
        self.loan.attempt
    }

    /// Returns the finished upload; a copy of it outlives the loan.
    pub fn entry(&self) -> &UploadedEntry {
        &self.entry
    }

    /// Takes the upload for good: it is never lent again, and its place in the slot is free.
    ///
    /// # Errors
    ///
    /// [`TakeError::Lost`] if another handler may have it by now: what was made of it has to be undone.
    /// [`TakeError::Unavailable`] if the store does not answer: it is taken, or will be lent again under the
    /// same [`take_id`](Self::take_id).
    pub async fn take(self) -> Result<UploadedEntry, TakeError> {
        self.entry.place().moves_end().await;
        ask(&self.asks, Ask::Take).await?;
        Ok(self.entry)
    }

    /// Moves the finished file to `target`, as [`UploadedEntry::persist`] does, and takes the upload.
    ///
    /// The target is in the upload's record before the file is moved: a process that dies half way leaves an
    /// upload that is lent again, whose [`path`](UploadedEntry::path) is where the file is. Dropped half way, it
    /// is given back once the move is over. Either way, doing the same again finds the file that was moved.
    ///
    /// # Errors
    ///
    /// As of [`UploadedEntry::persist`] and [`take`](Self::take), as the source of an
    /// [`io::ErrorKind::Other`].
    pub async fn persist(self, target: impl AsRef<Path>) -> io::Result<UploadedEntry> {
        self.entry.persist(target).await?;
        self.take().await.map_err(io::Error::other)
    }

    /// Removes the upload and its file: it is not wanted. A file that was moved stays where it is.
    ///
    /// # Errors
    ///
    /// As of [`take`](Self::take).
    pub async fn refuse(self) -> Result<(), TakeError> {
        self.entry.place().moves_end().await;
        ask(&self.asks, Ask::Refuse).await
    }

    /// Gives the upload back, as dropping does, and waits until it can be taken again. A move that was dropped half way
    /// is over before.
    ///
    /// # Errors
    ///
    /// As of [`take`](Self::take); it is given back when its lease ends.
    pub async fn give_back(self) -> Result<(), TakeError> {
        self.entry.place().moves_end().await;
        ask(&self.asks, Ask::GiveBack).await
    }
}

impl Deref for LentUpload {
    type Target = UploadedEntry;

    fn deref(&self) -> &UploadedEntry {
        &self.entry
    }
}

impl fmt::Debug for LentUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LentUpload")
            .field("entry", &self.entry)
            .field("loan", &self.loan)
            .finish_non_exhaustive()
    }
}

impl Unclaimed {
    /// Writes the record of a loan. A borrower that is dropped meanwhile gives the upload back, since what
    /// it asked of the store may still happen.
    pub(super) async fn borrow(
        self: &Arc<Self>,
        found: Found,
        record: Record,
        loan: Loan,
        by: Borrower,
    ) -> Result<LentUpload, PutError> {
        let (answer, answered) = oneshot::channel();
        let shelf = Arc::clone(self);
        self.spawn(async move {
            let put = shelf.put(&found, &record).await;
            let lent = put.map(|version| {
                let found = Found {
                    record,
                    version,
                    ..found
                };
                LentUpload::new(shelf, found, loan, by)
            });
            drop(answer.send(lent));
        });
        answered.await.unwrap_or(Err(PutError::Conflict))
    }
}

/// Returns where moves of earlier attempts may have left the file.
pub(super) fn targets(record: &Record) -> Vec<PathBuf> {
    let unclaimed = record.unclaimed.iter();
    let targets = unclaimed.flat_map(upload_core::Unclaimed::targets);
    targets.map(PathBuf::from).collect()
}

pub(super) async fn ask<T>(
    asks: &mpsc::Sender<Ask>,
    ask: impl FnOnce(oneshot::Sender<Result<T, TakeError>>) -> Ask,
) -> Result<T, TakeError> {
    let (answer, answered) = oneshot::channel();
    let sent = asks.send(ask(answer)).await;
    sent.map_err(|_| TakeError::Lost)?;
    answered.await.unwrap_or(Err(TakeError::Lost))
}

/// What keeps a lease alive.
struct Keeper {
    shelf: Arc<Unclaimed>,
    found: Found,
    loan: Loan,
    by: Borrower,
    /// Told once the loan is over.
    is_taken: watch::Sender<Option<bool>>,
}

impl Keeper {
    async fn run(mut self, asked: mpsc::Receiver<Ask>) {
        self.answer(asked).await;
        let phase = self.found.record.phase;
        self.is_taken
            .send_replace(Some(phase == RecordPhase::Taken));
    }

    async fn answer(&mut self, mut asked: mpsc::Receiver<Ask>) {
        let period = self.by.lease_ttl.checked_div(RENEWAL);
        let period = period.unwrap_or(self.by.lease_ttl);
        loop {
            let renewal = Instant::now().checked_add(period);
            let ask = tokio::select! {
                ask = asked.recv() => ask,
                () = sleep_until(renewal.unwrap_or_else(Instant::now)) => {
                    let by = self.by.clone();
                    let renewed = self
                        .settle(|record, loan, now| record.renew(loan, &by, now))
                        .await;
                    if renewed == Err(TakeError::Lost) {
                        return;
                    }
                    continue;
                }
            };
            let (done, answer) = match ask {
                // A handler that is gone by now did not hear that it has the file.
                Some(Ask::Take(answer)) if answer.is_closed() => {
                    (self.settle(Record::give_back).await, None)
                }
                Some(Ask::Take(answer)) => (self.settle(Record::commit).await, Some(answer)),
                #[cfg(feature = "postgres")]
                Some(Ask::TakeIn(answer)) => {
                    drop(answer.send(self.taking()));
                    continue;
                }
                Some(Ask::Refuse(answer)) => {
                    let refuse = |record: &Record, loan: &Loan, now| {
                        record.refuse(loan, Code::Cancelled, now)
                    };
                    let refused = self.settle(refuse).await;
                    if refused.is_ok() {
                        self.shelf.clear(&self.found).await;
                    }
                    (refused, Some(answer))
                }
                Some(Ask::Aim(target, found_at, answer)) => {
                    let aim = |record: &Record, loan: &Loan, now| {
                        record.aim(loan, &target, found_at.as_deref(), now)
                    };
                    let _ = answer.send(self.settle(aim).await);
                    continue;
                }
                Some(Ask::Forget(target, answer)) => {
                    let forget = |record: &Record, loan: &Loan, now| {
                        record.forget_target(loan, &target, now)
                    };
                    let _ = answer.send(self.settle(forget).await);
                    continue;
                }
                Some(Ask::GiveBack(answer)) => (self.settle(Record::give_back).await, Some(answer)),
                None => (self.settle(Record::give_back).await, None),
            };
            // Also one that a transaction of the application's took meanwhile.
            if self.found.record.phase == RecordPhase::Taken {
                let upload = UploadRef::from_bytes(*self.found.key.upload());
                self.shelf.free(self.found.key.owner(), upload);
            }
            let is_over = done != Err(TakeError::Unavailable);
            match answer {
                Some(answer) => drop(answer.send(done)),
                // Its lease ends by itself.
                None => return,
            }
            if is_over {
                return;
            }
        }
    }

    /// Returns what a transaction of the application's is to write.
    #[cfg(feature = "postgres")]
    fn taking(&self) -> Result<super::take_in::Taking, TakeError> {
        match self.found.record.commit(&self.loan, unix_ms()) {
            Settlement::Write(next) => Ok(self.shelf.taking(&self.found, &next)),
            Settlement::Done | Settlement::Lost => Err(TakeError::Lost),
        }
    }

    /// Writes what a step makes of the record, until it is written or can not be any more.
    async fn settle(
        &mut self,
        step: impl Fn(&Record, &Loan, u64) -> Settlement,
    ) -> Result<(), TakeError> {
        let mut pause = RETRY_MIN;
        for _ in 0..ROUNDS_MAX {
            let next = match step(&self.found.record, &self.loan, unix_ms()) {
                Settlement::Write(next) => next,
                Settlement::Done => return Ok(()),
                Settlement::Lost => return Err(TakeError::Lost),
            };
            match self.shelf.put(&self.found, &next).await {
                Ok(version) => {
                    self.found.record = *next;
                    self.found.version = version;
                    return Ok(());
                }
                Err(PutError::Conflict) => {}
                Err(error) => {
                    failed("settle", &error);
                    sleep(pause).await;
                    pause = pause.saturating_mul(2);
                }
            }
            // It may have happened, with an answer that was lost.
            match self.shelf.read(&*self.found.store, &self.found.key).await {
                Ok(Some((record, version))) => {
                    (self.found.record, self.found.version) = (record, version);
                }
                Ok(None) => return Err(TakeError::Lost),
                Err(_) => {}
            }
        }
        Err(TakeError::Unavailable)
    }
}
