//! Events of the page: the application's handlers and what they may do with uploads.

use std::{collections::BTreeMap, error::Error, fmt, sync::Arc};

use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};
use upload_core::Entry;
use upload_proto::UploadRef;

use crate::{
    entries::UploadedEntry,
    slot::{BoxFuture, Slots},
};

/// How many requests of event handlers wait for one session at most.
pub(crate) const COMMANDS_MAX: usize = 32;

/// An application's handler of one event.
pub(crate) type Handler =
    Arc<dyn Fn(EventContext) -> BoxFuture<Result<Value, HandlerError>> + Send + Sync>;

/// What a handler is told about the event it answers.
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
}

/// Why a handler failed, with or without a text the client may read.
///
/// Every `std::error::Error` becomes one without (PROTOCOL MSG-4): clients read the fixed text of
/// `event_failed`, the log has the source.
pub struct HandlerError {
    pub(crate) text: Option<String>,
    pub(crate) source: Option<Box<dyn Error + Send + Sync>>,
}

impl HandlerError {
    /// Makes an error whose `text` is shown to the client.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: Some(text.into()),
            source: None,
        }
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for HandlerError {
    fn from(source: E) -> Self {
        Self {
            text: None,
            source: Some(source.into()),
        }
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerError")
            .field("text", &self.text)
            .field("source", &self.source)
            .finish()
    }
}

/// A request of a handler to the session it belongs to.
pub(crate) enum Command {
    /// Take the completed entries of a slot ([`upload_core::Session::consume`]).
    Consume {
        slot: String,
        answer: oneshot::Sender<Vec<Entry>>,
    },
    /// Cancel an upload ([`upload_core::Session::cancel`]).
    Cancel {
        upload: UploadRef,
        answer: oneshot::Sender<bool>,
    },
    /// Copy what [`upload_core::Session::entries`] returns.
    Snapshot { answer: oneshot::Sender<Vec<Entry>> },
}

/// Reaches the uploads of one connection from a handler.
///
/// Once the connection is gone there are none: lists are empty and nothing can be cancelled.
#[derive(Clone)]
pub struct UploadsHandle {
    session: mpsc::Sender<Command>,
    slots: Slots,
}

impl UploadsHandle {
    pub(crate) fn new(session: mpsc::Sender<Command>, slots: Slots) -> Self {
        Self { session, slots }
    }

    /// Takes the completed entries of `slot`, in the order they were registered.
    ///
    /// Each is given out once; the place it held in the slot is free again (PROTOCOL CTRL-3).
    pub async fn consume_uploaded_entries(&self, slot: &str) -> Vec<UploadedEntry> {
        let slot = slot.to_owned();
        let entries = self.ask(|answer| Command::Consume { slot, answer }).await;
        self.wrap(entries.unwrap_or_default())
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
            UploadedEntry::new(entry, files)
        };
        entries.into_iter().map(wrap).collect()
    }
}

impl fmt::Debug for UploadsHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadsHandle").finish_non_exhaustive()
    }
}
