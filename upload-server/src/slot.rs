//! One slot: what it takes, where its bytes go, and whom it asks.

use std::{collections::BTreeMap, fmt, path::PathBuf, pin::Pin, sync::Arc};

use serde_json::{Map, Value};
use upload_core::{Moment, SlotRules};
use upload_proto::{Code, Register};
use upload_stores::UploadStateStore;
use upload_validate::safe_name;
use upload_writers::WriterFactory;

use crate::{entries::UploadedEntry, patience};

/// A future on the heap that can move between threads.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Answers whether an upload is welcome.
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
    /// Signs what goes straight into a bucket; such a slot takes nothing from connections.
    #[cfg(feature = "presign")]
    pub(crate) presigner: Option<crate::Presigner>,
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

/// What an `authorize` closure is told about an upload.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AuthorizeRequest {
    /// What happens if the answer is yes: the upload begins, goes on, or is stored.
    pub moment: Moment,
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

impl AuthorizeRequest {
    pub(crate) fn new(owner: &str, register: &Register, moment: Moment) -> Self {
        Self {
            moment,
            owner: owner.to_owned(),
            slot: register.upload_name.clone(),
            client_name: register.client_name.clone(),
            safe_client_name: safe_name(&register.client_name).into_string(),
            client_type: register.client_type.clone(),
            client_size: register.client_size,
            relative_path: register.relative_path.clone(),
            meta: register.meta.clone().unwrap_or_default(),
        }
    }
}

/// Joins what a slot asks with what the server asks for every slot: both have to agree.
pub(crate) fn both(first: Option<Authorize>, second: &Authorize) -> Authorize {
    let second = Arc::clone(second);
    let Some(first) = first else {
        return second;
    };
    Arc::new(move |request: AuthorizeRequest| {
        let (first, second) = (Arc::clone(&first), Arc::clone(&second));
        Box::pin(async move { first(request.clone()).await && second(request).await })
    })
}

/// Asks the application whether an upload is welcome; one that panics or takes too long says
/// no.
pub(crate) async fn ask(ask: Authorize, request: AuthorizeRequest) -> Result<(), Code> {
    // The closure itself may panic before there is a future.
    match patience::of_authorize(async move { ask(request).await }).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Code::Forbidden),
        Err(why) => {
            tracing::error!(why, "an authorize closure did not answer");
            Err(Code::Forbidden)
        }
    }
}

/// Tells handlers of a stored file, one after another; one that panics or takes too long does not
/// keep it from the others.
pub(crate) async fn tell(handlers: Vec<OnComplete>, completed: CompletedEntry) {
    for handler in handlers {
        let completed = completed.clone();
        let upload = completed.entry.upload_ref();
        // The closure itself may panic before there is a future.
        if let Err(why) = patience::of_handler(async move { handler(completed).await }).await {
            tracing::error!(%upload, why, "a completion handler is given up");
        }
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use upload_core::{Entry, EntryId, EntryStatus};
    use upload_proto::UploadRef;

    use super::*;

    fn stored() -> CompletedEntry {
        let entry = Entry {
            id: EntryId(1),
            upload: UploadRef::from_bytes([1; 16]),
            slot: "slot".into(),
            client_name: "a.txt".to_owned(),
            client_type: String::new(),
            client_size: 1,
            relative_path: None,
            last_modified: None,
            meta: Map::new(),
            resumable: false,
            bytes_received: 1,
            status: EntryStatus::Complete,
            result: Some(Value::Null),
            crc32c: None,
        };
        CompletedEntry {
            owner: "owner".to_owned(),
            entry: UploadedEntry::new(entry, None),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_completion_handler_keeps_nothing_from_the_others() {
        let told = Arc::new(Mutex::new(0));
        let counts: OnComplete = {
            let told = Arc::clone(&told);
            Arc::new(move |_| {
                *told.lock().expect("nobody panics here") += 1;
                Box::pin(async {})
            })
        };
        let panics: OnComplete = Arc::new(|_| panic!("before there is a future"));
        let panics_later: OnComplete = Arc::new(|_| Box::pin(async { panic!("in the future") }));
        let hangs: OnComplete = Arc::new(|_| Box::pin(std::future::pending()));
        for handler in [panics, panics_later, hangs] {
            tell(vec![handler, Arc::clone(&counts)], stored()).await;
        }
        assert_eq!(*told.lock().expect("nobody panics here"), 3);
    }
}
