//! Events of the page: the application's handlers and what they may do with uploads.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::request::Parts;
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};
use upload_core::{Entry, PassedOver};
use upload_proto::UploadRef;

use super::{
    answer::HandlerError, entry::UploadedEntry, handlers::BoxFuture, lent::LentUpload, slot::Slots,
    unclaimed::Unclaimed, waiting::TakeError,
};

/// How many requests of event handlers wait for one session at most.
pub(crate) const COMMANDS_MAX: usize = 32;

/// An application's handler of one event.
pub(crate) type Handler =
    Arc<dyn Fn(EventContext) -> BoxFuture<Result<Value, HandlerError>> + Send + Sync>;

/// What a handler is told about the event it answers.
///
/// ```
/// use upload_server::{EventContext, HandlerError, Uploads};
///
/// async fn count(event: EventContext) -> Result<String, HandlerError> {
///     let photos = event.uploads.consume_uploaded_entries("photos").await;
///     Ok(format!("{} has {} photos more", event.owner, photos.len()))
/// }
///
/// let builder = Uploads::builder().handle_event("count", count);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EventContext {
    /// Who the connection belongs to.
    pub owner: String,
    /// The event's name.
    pub event: String,
    /// The event's parameters, empty where the page sent none.
    pub params: Map<String, Value>,
    /// The uploads of this connection.
    pub uploads: UploadsHandle,
    /// The request that opened the connection, where the server has handlers that ask for it.
    pub(crate) request: Option<Arc<Parts>>,
}

/// A request of a handler to the session it belongs to.
pub(crate) enum Command {
    /// Free the place of a finished upload that was taken or removed
    /// ([`upload_core::Session::free_completed`]).
    Free { upload: UploadRef },
    /// Cancel an upload ([`upload_core::Session::cancel`]).
    Cancel {
        upload: UploadRef,
        answer: oneshot::Sender<bool>,
    },
    /// Copy the newest entry of an upload, and the chunk size of its slot.
    Find {
        upload: UploadRef,
        answer: oneshot::Sender<Option<(Entry, u32)>>,
    },
    /// Copy what [`upload_core::Session::entries`] returns.
    Snapshot { answer: oneshot::Sender<Vec<Entry>> },
}

/// Reaches uploads from a handler: finished ones that its page offers, and those of its connection.
///
/// Once the connection is gone, nothing of it is listed and nothing can be cancelled; what the page offered
/// can be had all the same.
///
/// ```
/// use upload_server::{EventContext, HandlerError, Uploads};
///
/// async fn tidy_up(event: EventContext) -> Result<usize, HandlerError> {
///     let mut cancelled = 0;
///     for photo in event.uploads.uploads_of("photos").await {
///         if !photo.complete() && event.uploads.cancel_upload(photo.upload_ref()).await {
///             cancelled += 1;
///         }
///     }
///     Ok(cancelled)
/// }
///
/// let builder = Uploads::builder().handle_event("tidy_up", tidy_up);
/// ```
#[derive(Clone)]
pub struct UploadsHandle {
    session: mpsc::Sender<Command>,
    slots: Slots,
    offer: Arc<Offer>,
}

/// The finished uploads that one event offers its handler.
pub(crate) struct Offer {
    pub(crate) owner: String,
    /// In the order of the page, or of registration where the page named none.
    pub(crate) uploads: Vec<UploadRef>,
    pub(crate) unclaimed: Arc<Unclaimed>,
    loans: Mutex<Loans>,
}

/// What a handler has of an offer.
#[derive(Default)]
struct Loans {
    lent: Vec<LentUpload>,
    seen: Vec<UploadRef>,
    passed_over: PassedOver,
    has_failed: bool,
    /// The handler returned, so nothing waits for its answer any more.
    is_over: bool,
}

impl Offer {
    pub(crate) fn new(owner: String, uploads: Vec<UploadRef>, unclaimed: Arc<Unclaimed>) -> Self {
        Self {
            owner,
            uploads,
            unclaimed,
            loans: Mutex::default(),
        }
    }

    /// Takes what the handler was lent, now that it succeeded; or gives it back.
    ///
    /// Returns whether the handler may be told to have succeeded, and what it was not offered.
    pub(crate) async fn settle(&self, has_succeeded: bool) -> (bool, PassedOver) {
        let loans = {
            let mut loans = self.loans();
            let settled = std::mem::take(&mut *loans);
            loans.is_over = true;
            settled
        };
        let is_whole = has_succeeded && !loans.has_failed;
        let mut all_taken = true;
        for lent in loans.lent {
            let upload = lent.upload_ref();
            let settled = match is_whole {
                true => lent.take().await.map(drop),
                false => lent.give_back().await,
            };
            if let Err(error) = settled {
                tracing::warn!(%upload, %error, is_whole, "a finished upload could not be settled");
                all_taken = false;
            }
        }
        (is_whole && all_taken, loans.passed_over)
    }

    /// Lends the finished uploads of a slot that were not taken, at most so many.
    async fn lend(&self, slot: &str, slots: &Slots) -> Vec<UploadedEntry> {
        let most = slots.get(slot).map_or(0, |slot| slot.rules.max_entries);
        let mut entries = Vec::new();
        for upload in &self.uploads {
            if entries.len() >= most as usize {
                break;
            }
            if self.loans().seen.contains(upload) {
                continue;
            }
            match self
                .unclaimed
                .lend(&self.owner, *upload, Some(slot), slots)
                .await
            {
                Ok(Some(lent)) => {
                    let entry = lent.entry().clone();
                    if self.keep(*upload, lent).await {
                        entries.push(entry);
                    }
                }
                Ok(None) => {}
                Err(error) => self.note(*upload, error),
            }
        }
        entries
    }

    /// Lends the finished uploads of a slot that nobody took, at most so many, each to be settled alone.
    async fn lend_each(&self, slot: &str, slots: &Slots) -> Result<Vec<LentUpload>, TakeError> {
        let most = slots.get(slot).map_or(0, |slot| slot.rules.max_entries);
        let mut entries = Vec::new();
        for upload in &self.uploads {
            if entries.len() >= most as usize {
                break;
            }
            if self.loans().seen.contains(upload) {
                continue;
            }
            let unclaimed = &self.unclaimed;
            let lent = unclaimed
                .lend(&self.owner, *upload, Some(slot), slots)
                .await;
            match lent {
                Ok(Some(lent)) => {
                    self.loans().seen.push(*upload);
                    entries.push(lent);
                }
                Ok(None) => {}
                Err(error @ (TakeError::Taken | TakeError::Unknown)) => self.note(*upload, error),
                Err(error) => return Err(error),
            }
        }
        Ok(entries)
    }

    /// Keeps a loan until the handler returns; returns whether the entry is the handler's.
    async fn keep(&self, upload: UploadRef, lent: LentUpload) -> bool {
        {
            let mut loans = self.loans();
            loans.seen.push(upload);
            if !loans.is_over {
                loans.lent.push(lent);
                return true;
            }
        }
        // A task of the handler outlives it, and takes each at once.
        lent.take().await.is_ok()
    }

    fn note(&self, upload: UploadRef, error: TakeError) {
        let mut loans = self.loans();
        match error {
            TakeError::Taken => loans.passed_over.taken.push(upload),
            TakeError::Unknown => loans.passed_over.unknown.push(upload),
            // An empty list would look like success.
            TakeError::Lent
            | TakeError::Lost
            | TakeError::NotInPostgres
            | TakeError::Unavailable => loans.has_failed = true,
        }
        if matches!(error, TakeError::Taken | TakeError::Unknown) {
            loans.seen.push(upload);
        }
    }

    /// Loans are whole after every step, so a panic elsewhere does not spoil them.
    fn loans(&self) -> MutexGuard<'_, Loans> {
        self.loans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UploadsHandle {
    pub(crate) fn new(session: mpsc::Sender<Command>, slots: Slots, offer: Arc<Offer>) -> Self {
        Self {
            session,
            slots,
            offer,
        }
    }

    /// Reaches these finished uploads in place of those that the page offers.
    #[cfg(feature = "testing")]
    pub(crate) fn offering(&self, uploads: Vec<UploadRef>) -> Self {
        let Offer {
            owner, unclaimed, ..
        } = &*self.offer;
        let offer = Offer::new(owner.clone(), uploads, Arc::clone(unclaimed));
        Self {
            session: self.session.clone(),
            slots: Arc::clone(&self.slots),
            offer: Arc::new(offer),
        }
    }

    /// Takes the finished entries of `slot` that the page offers, in its order; without a list of the page
    /// those of its connection, in the order they were registered (PROTOCOL CTRL-6).
    ///
    /// They are the application's once its handler returns `Ok`: then they are never given out again, and their
    /// places in the slot are free. If it returns an error, panics or is cut off, they wait to be taken
    /// later, over this connection or another one; also if the process dies. A second call gives out none of
    /// them.
    pub async fn consume_uploaded_entries(&self, slot: &str) -> Vec<UploadedEntry> {
        if !self.slots.contains_key(slot) {
            tracing::error!(
                slot,
                "a handler asks for uploads of a slot that its connection does not have"
            );
        }
        self.offer.lend(slot, &self.slots).await
    }

    /// Lends the finished uploads of `slot` that the page offers, each to be settled alone; `None` if this
    /// connection has no such slot.
    pub(crate) async fn lend_each(&self, slot: &str) -> Option<Result<Vec<LentUpload>, TakeError>> {
        self.slots.get(slot)?;
        Some(self.offer.lend_each(slot, &self.slots).await)
    }

    /// Cancels an upload of this connection; answers whether there was one to cancel.
    pub async fn cancel_upload(&self, upload: UploadRef) -> bool {
        self.ask(|answer| Command::Cancel { upload, answer })
            .await
            .unwrap_or(false)
    }

    /// Copies what is under way and what is complete and not consumed, by slot, in the order it was
    /// registered.
    pub async fn uploads(&self) -> BTreeMap<String, Vec<UploadedEntry>> {
        let entries = self.ask(|answer| Command::Snapshot { answer }).await;
        let mut slots: BTreeMap<String, Vec<UploadedEntry>> = BTreeMap::new();
        for entry in self.wrap(entries.unwrap_or_default()) {
            slots
                .entry(entry.slot().to_owned())
                .or_default()
                .push(entry);
        }
        slots
    }

    /// Copies the entries of one slot, see [`uploads`](Self::uploads).
    pub async fn uploads_of(&self, slot: &str) -> Vec<UploadedEntry> {
        self.uploads().await.remove(slot).unwrap_or_default()
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.session.send(command(answer)).await.ok()?;
        answered.await.ok()
    }

    fn wrap(&self, entries: Vec<Entry>) -> Vec<UploadedEntry> {
        let wrap = |entry: Entry| {
            let files = self.slots.get(&*entry.slot).and_then(|s| s.files.clone());
            UploadedEntry::waiting(entry, files, Vec::new())
        };
        entries.into_iter().map(wrap).collect()
    }
}

impl fmt::Debug for UploadsHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadsHandle").finish_non_exhaustive()
    }
}
