//! One slot: what it takes, where its bytes go, and whom it asks.

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::{Map, Value};
use upload_core::{Amendment, AuthorizeStage, OwnWords, Refusal, SlotRules};
use upload_proto::{Code, Register};
use upload_stores::UploadStateStore;
use upload_validate::safe_name;
use upload_writers::WriterFactory;

use super::{
    entry::UploadedEntry,
    handlers::{Authorize, FolderOf, OnComplete},
};

/// The slots of one connection, by name.
pub(crate) type Slots = Arc<BTreeMap<String, Slot>>;

/// A slot as connections use it, made from [`SlotOptions`](crate::SlotOptions).
#[derive(Clone)]
pub(crate) struct Slot {
    pub(crate) rules: Arc<SlotRules>,
    pub(crate) checks: Arc<upload_validate::Rules>,
    pub(crate) writers: Arc<dyn WriterFactory>,
    /// Where the slot's records live; `None`: in the server's store.
    pub(crate) store: Option<Arc<dyn UploadStateStore>>,
    pub(crate) authorize: Option<Authorize>,
    pub(crate) on_complete: Option<OnComplete>,
    /// Whether the file of a finished upload is deleted that was not taken in time.
    pub(crate) delete_untaken: bool,
    /// Signs what goes straight into a bucket; such a slot takes nothing from connections.
    #[cfg(feature = "presign")]
    pub(crate) presigner: Option<crate::presign::Presigner>,
    /// The HTTP protocols it takes; `None` for all.
    #[cfg(feature = "doors")]
    pub(crate) doors: Option<Vec<&'static str>>,
    /// The file writer's `data_dir`, so that finished files can be read back.
    pub(crate) files: Option<PathBuf>,
    /// Chooses the folder of each file below `files`.
    pub(crate) folder: Option<FolderOf>,
}

impl Slot {
    /// Returns whether its handler takes each stored file.
    pub(crate) fn is_handled(&self) -> bool {
        self.on_complete.is_some() && self.rules.consume_on_complete
    }
}

#[cfg(feature = "doors")]
impl Slot {
    /// Returns whether it takes uploads by this protocol.
    pub(crate) fn has_door(&self, door: &str) -> bool {
        let doors = self.doors.as_ref();
        doors.is_none_or(|doors| doors.contains(&door))
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

/// What an `authorize` closure is told about an upload.
///
/// ```
/// use upload_server::{AuthorizeStage, SlotOptions};
///
/// let slot = SlotOptions::new().authorize(async |request| {
///     request.stage != AuthorizeStage::Register || request.safe_client_name.ends_with(".pdf")
/// });
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AuthorizeRequest {
    /// What happens if the answer is yes: the upload begins, goes on, or is stored.
    pub stage: AuthorizeStage,
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
    /// The declared size in bytes; `None` where it is not known yet.
    pub client_size: Option<u64>,
    /// The path below a dropped folder, as the client gave it.
    pub relative_path: Option<String>,
    /// What the page sent along.
    pub meta: Map<String, Value>,
    /// What the upload is taken as, if the answer is yes.
    pub(crate) amendment: Arc<Mutex<Amendment>>,
}

impl AuthorizeRequest {
    pub(crate) fn new(owner: &str, register: &Register, stage: AuthorizeStage) -> Self {
        Self {
            stage,
            owner: owner.to_owned(),
            slot: register.upload_name.clone(),
            client_name: register.client_name.clone(),
            safe_client_name: safe_name(&register.client_name).into_string(),
            client_type: register.client_type.clone(),
            client_size: register.client_size,
            relative_path: register.relative_path.clone(),
            meta: register.meta.clone().unwrap_or_default(),
            amendment: Arc::default(),
        }
    }

    /// Takes the upload as this, if the answer is yes.
    #[cfg(any(test, feature = "cli"))]
    pub(crate) fn amend(&self, amendment: Amendment) {
        *self.amendment() = amendment;
    }

    /// Returns what the upload is taken as.
    pub(super) fn take_amendment(&self) -> Amendment {
        std::mem::take(&mut *self.amendment())
    }

    fn amendment(&self) -> MutexGuard<'_, Amendment> {
        // Whole after every step, so a panic elsewhere does not spoil it.
        let amendment = self.amendment.lock();
        amendment.unwrap_or_else(PoisonError::into_inner)
    }
}

/// What completion handlers are told.
///
/// ```
/// use upload_server::{CompletedEntry, SlotOptions};
///
/// async fn scan(done: CompletedEntry) {
///     println!("{} stored {:?}", done.owner, done.entry.path());
/// }
///
/// let slot = SlotOptions::new().on_complete(scan);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CompletedEntry {
    /// Who the upload belongs to.
    pub owner: String,
    /// The stored file.
    pub entry: UploadedEntry,
}

/// Returns a refusal of the checks, as the protocol has it.
pub(crate) fn refusal_of(refusal: upload_validate::Refusal) -> Refusal {
    use upload_validate::Refusal as Checked;

    match refusal {
        Checked::ActiveContent => Code::ActiveContent.into(),
        Checked::ContentMismatch => Code::ContentMismatch.into(),
        Checked::Own(own) => in_words(Code::Forbidden, own.code(), own.text()),
        Checked::TypeNotAccepted | _ => Code::TypeNotAccepted.into(),
    }
}

/// Returns a refusal in words of the application, which are bounded; without a code of its own, the
/// reason is the protocol's.
pub(crate) fn in_words(code: Code, reason: Option<&str>, text: &str) -> Refusal {
    let reason = reason.unwrap_or(code.as_str()).into();
    let text = text.into();
    let words = Some(OwnWords { reason, text });
    Refusal { code, words }
}
