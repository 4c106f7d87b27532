//! What a session waits for besides socket and writers: stores, the application, other sessions.
//!
//! Every errand has a time limit and comes back as one input for the core.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use tokio::time::timeout;
use upload_core::{
    CallId, CallOutcome, EntryId, RecordExpect, RecordVersion, StoreEvent, Verdict, WriterEvent,
};
use upload_proto::{Code, UploadRef};
use upload_stores::{Expect, PutError, StoreError, UploadKey, UploadStateStore, Version};
use uuid::Uuid;

use super::meters;
use crate::{
    driver::chain,
    events::{EventContext, Handler},
    hub::Key,
    metrics,
    shared::Shared,
    slot::{Authorize, AuthorizeRequest, BoxFuture, ask},
};

/// Longest time a store may take for one call.
pub(super) const STORE_CALL: Duration = Duration::from_secs(5);
/// Longest time an event's handler may take.
pub(super) const HANDLER_CALL: Duration = Duration::from_secs(30);
/// Longest wait for another session to give an upload up.
pub(super) const EVICTION: Duration = Duration::from_secs(5);

/// An answer for the core.
#[derive(Debug)]
pub(super) enum Input {
    Authorized(EntryId, Result<(), Code>),
    Verdict(EntryId, Verdict),
    Writer(EntryId, WriterEvent),
    Store(EntryId, StoreEvent),
    Called(CallId, CallOutcome),
    /// Nothing is answered.
    None,
}

/// Something that is waited for.
pub(super) type Errand = BoxFuture<Input>;

/// The stores a connection's records may be in, each once.
#[derive(Clone)]
pub(super) struct Stores(Arc<[Arc<dyn UploadStateStore>]>);

impl Stores {
    pub(super) fn new(all: Vec<Arc<dyn UploadStateStore>>) -> Self {
        Self(all.into())
    }

    /// Returns whether other processes see any of them.
    pub(super) fn are_shared(&self) -> bool {
        self.0.iter().any(|store| store.is_shared())
    }

    /// Reads a record, wherever it is.
    pub(super) fn claim(&self, entry: EntryId, key: UploadKey) -> Errand {
        let stores = self.clone();
        Box::pin(async move {
            let mut event = StoreEvent::Found(None);
            for store in stores.0.iter() {
                match bounded(store.get(&key)).await {
                    Some(Ok(None)) => {}
                    Some(Ok(Some(found))) => {
                        let version = RecordVersion(found.version.0);
                        let found = Some((found.record, version));
                        return Input::Store(entry, StoreEvent::Found(found));
                    }
                    Some(Err(error)) => {
                        log(&key, "get", &error);
                        event = StoreEvent::Failed;
                    }
                    None => event = too_slow(&key, "get"),
                }
            }
            Input::Store(entry, event)
        })
    }

    /// Deletes a record if it is still of this version, wherever it is.
    pub(super) fn forget(&self, key: UploadKey, expect: RecordVersion) -> Errand {
        let stores = self.clone();
        Box::pin(async move {
            let expect = Expect::Version(Version(expect.0));
            for store in stores.0.iter() {
                match bounded(store.delete(&key, expect)).await {
                    Some(Ok(()) | Err(PutError::Conflict | PutError::TooLarge { .. })) => {}
                    // It expires by itself.
                    Some(Err(PutError::Store(error))) => log(&key, "delete", &error),
                    None => {
                        too_slow(&key, "delete");
                    }
                }
            }
            Input::None
        })
    }
}

/// Writes a record.
pub(super) fn save(
    entry: EntryId,
    store: Arc<dyn UploadStateStore>,
    key: UploadKey,
    record: Vec<u8>,
    expect: RecordExpect,
    ttl: Duration,
) -> Errand {
    Box::pin(async move {
        let expect = match expect {
            RecordExpect::Absent => Expect::Absent,
            RecordExpect::Version(version) => Expect::Version(Version(version.0)),
        };
        let begun = Instant::now();
        let put = bounded(store.put(&key, &record, expect, ttl)).await;
        metrics::saved_in(begun.elapsed());
        let event = match put {
            Some(Ok(version)) => StoreEvent::Saved(RecordVersion(version.0)),
            Some(Err(PutError::Conflict)) => StoreEvent::Conflict,
            Some(Err(PutError::Store(error))) => {
                log(&key, "put", &error);
                StoreEvent::Failed
            }
            Some(Err(error @ PutError::TooLarge { .. })) => {
                tracing::error!(upload = key.upload_hex(), %error, "a record is too large");
                StoreEvent::Failed
            }
            None => too_slow(&key, "put"),
        };
        Input::Store(entry, event)
    })
}

/// Has this process's other holder give an upload up.
pub(super) fn evict(entry: EntryId, shared: Arc<Shared>, key: Key, asker: u64) -> Errand {
    Box::pin(async move {
        shared.hub.evict(&key, asker, EVICTION).await;
        Input::Store(entry, StoreEvent::Evicted)
    })
}

/// Asks the application whether a registration is welcome.
pub(super) fn authorize(entry: EntryId, closure: Authorize, request: AuthorizeRequest) -> Errand {
    Box::pin(async move { Input::Authorized(entry, ask(closure, request).await) })
}

/// Runs an event's handler.
pub(super) fn call(id: CallId, handler: Handler, context: EventContext) -> Errand {
    Box::pin(async move {
        let event = context.event.clone();
        let called = AssertUnwindSafe(async move { handler(context).await }).catch_unwind();
        let outcome = match timeout(HANDLER_CALL, called).await {
            Ok(Ok(Ok(result))) => CallOutcome::Done(result),
            Ok(Ok(Err(error))) => {
                if let Some(source) = &error.source {
                    let (incident, error) = (Uuid::new_v4(), chain(source.as_ref()));
                    tracing::warn!(%incident, event, error, "a handler failed");
                }
                CallOutcome::Failed(error.text)
            }
            Ok(Err(_)) => {
                tracing::error!(event, "a handler panicked");
                CallOutcome::Failed(None)
            }
            Err(_) => {
                tracing::error!(event, "a handler took too long");
                CallOutcome::Failed(None)
            }
        };
        Input::Called(id, outcome)
    })
}

/// Returns what the store answered in time; a store that panics did not answer.
async fn bounded<T>(call: impl Future<Output = T>) -> Option<T> {
    let guarded = AssertUnwindSafe(call).catch_unwind();
    timeout(STORE_CALL, guarded).await.ok()?.ok()
}

fn log(key: &UploadKey, call: &'static str, error: &StoreError) {
    meters::store_failed();
    // The client reads a fixed text (PROTOCOL MSG-4); the log has the rest.
    tracing::warn!(
        incident = %Uuid::new_v4(),
        upload = %UploadRef::from_bytes(*key.upload()),
        call,
        error = chain(error),
        "a store failed"
    );
}

fn too_slow(key: &UploadKey, call: &'static str) -> StoreEvent {
    meters::store_failed();
    tracing::warn!(
        incident = %Uuid::new_v4(),
        upload = %UploadRef::from_bytes(*key.upload()),
        call,
        "a store did not answer in time"
    );
    StoreEvent::Failed
}
