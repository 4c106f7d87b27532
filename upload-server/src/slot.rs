//! One slot: what it takes, where its bytes go, and whom it asks.

use std::{collections::BTreeMap, fmt, path::PathBuf, pin::Pin, sync::Arc};

use serde_json::{Map, Value};
use upload_core::SlotRules;
use upload_stores::UploadStateStore;
use upload_writers::WriterFactory;

use crate::entries::UploadedEntry;

/// A future on the heap that can move between threads.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Answers whether a registration is welcome.
pub(crate) type Authorize = Arc<dyn Fn(AuthorizeRequest) -> BoxFuture<bool> + Send + Sync>;

/// Runs when a file of a slot is stored.
pub(crate) type OnComplete = Arc<dyn Fn(CompletedEntry) -> BoxFuture<()> + Send + Sync>;

/// The slots of one connection, by name.
pub(crate) type Slots = Arc<BTreeMap<String, Slot>>;

/// A slot as connections use it, made from [`SlotOptions`](crate::SlotOptions).
#[derive(Clone)]
pub struct Slot {
    pub(crate) rules: Arc<SlotRules>,
    pub(crate) checks: Arc<upload_validate::Rules>,
    pub(crate) writers: Arc<dyn WriterFactory>,
    /// Where the slot's records live; `None`: in the server's store.
    pub(crate) store: Option<Arc<dyn UploadStateStore>>,
    pub(crate) authorize: Option<Authorize>,
    pub(crate) on_complete: Option<OnComplete>,
    /// The file writer's `data_dir`, so that finished files can be read back.
    pub(crate) files: Option<PathBuf>,
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

/// What a slot's `authorize` closure is told about a registration.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AuthorizeRequest {
    /// Who the connection belongs to.
    pub owner: String,
    /// The slot's name.
    pub slot: String,
    /// The name as the client gave it; never use it in a path or key.
    pub client_name: String,
    /// The name made safe.
    pub safe_client_name: String,
    /// The declared MIME type, possibly empty.
    pub client_type: String,
    /// The declared size in bytes.
    pub client_size: u64,
    /// The path below a dropped folder, as the client gave it.
    pub relative_path: Option<String>,
    /// What the page sent along.
    pub meta: Map<String, Value>,
}

/// What completion handlers are told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CompletedEntry {
    /// Who the upload belongs to.
    pub owner: String,
    /// The stored file.
    pub entry: UploadedEntry,
}
