//! What a session waits for besides socket and writers: stores, the application, other sessions.
//!
//! Every errand comes back as one input for the core. Stores, handlers and other sessions have a
//! time limit; a receipt waits for its hooks for as long as the journal's disk takes, and for ever
//! where the server has closed the journal.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use upload_core::{
    CallId, CallOutcome, EntryId, Record, RecordExpect, RecordVersion, StoreEvent, Verdict,
    WriterEvent,
};
use upload_proto::{Code, UploadRef};
use upload_stores::{Expect, PutError, StoreError, UploadKey, UploadStateStore, Version};
use uuid::Uuid;

use super::meters;
use crate::{
    driver::chain,
    events::{EventContext, Handler},
    hub::Key,
    metrics, patience,
    shared::Shared,
    slot::{Authorize, AuthorizeRequest, BoxFuture, Slots, ask},
};

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
}

/// Something that is waited for.
pub(super) type Errand = BoxFuture<Input>;

/// The stores a connection's records may be in, each once, and whose records are where.
#[derive(Clone)]
pub(super) struct Stores {
    all: Arc<[Arc<dyn UploadStateStore>]>,
    slots: Slots,
    shared: Arc<Shared>,
}

impl Stores {
    /// Collects the stores of a connection's slots.
    pub(super) fn new(slots: &Slots, shared: &Arc<Shared>) -> Self {
        let mut all: Vec<Arc<dyn UploadStateStore>> = Vec::new();
        for slot in slots.values() {
            let store = shared.store_of(slot);
            if !all.iter().any(|known| Arc::ptr_eq(known, store)) {
                all.push(Arc::clone(store));
            }
        }
        Self {
            all: all.into(),
            slots: Arc::clone(slots),
            shared: Arc::clone(shared),
        }
    }

    /// Reads a record of a slot that is not known yet.
    pub(super) fn claim(&self, entry: EntryId, key: UploadKey) -> Errand {
        if let [only] = &*self.all {
            return claim(entry, Arc::clone(only), key);
        }
        let stores = self.clone();
        Box::pin(async move {
            let mut event = StoreEvent::Found(None);
            for store in stores.all.iter() {
                match read(&**store, &key).await {
                    StoreEvent::Found(None) => {}
                    StoreEvent::Found(Some((record, version))) => {
                        if stores.keeps(store, &record) {
                            let found = StoreEvent::Found(Some((record, version)));
                            return Input::Store(entry, found);
                        }
                    }
                    failed => event = failed,
                }
            }
            Input::Store(entry, event)
        })
    }

    /// Returns whether a record found in a store is one of a slot that keeps its records there:
    /// the same ref may stand in several, with versions that have nothing to do with each other.
    fn keeps(&self, store: &Arc<dyn UploadStateStore>, record: &[u8]) -> bool {
        let record = Record::decode(record).ok();
        let kept = record.and_then(|record| self.shared.keeps(&self.slots, &record.slot, store));
        kept == Some(true)
    }
}

/// Reads a record.
pub(super) fn claim(entry: EntryId, store: Arc<dyn UploadStateStore>, key: UploadKey) -> Errand {
    Box::pin(async move { Input::Store(entry, read(&*store, &key).await) })
}

async fn read(store: &dyn UploadStateStore, key: &UploadKey) -> StoreEvent {
    match patience::of_store(store.get(key)).await {
        Some(Ok(found)) => {
            StoreEvent::Found(found.map(|found| (found.record, RecordVersion(found.version.0))))
        }
        Some(Err(error)) => {
            log(key, "get", &error);
            StoreEvent::Failed
        }
        None => too_slow(key, "get"),
    }
}

/// Deletes a record if it is still of this version.
pub(super) fn forget(
    entry: EntryId,
    store: Arc<dyn UploadStateStore>,
    key: UploadKey,
    expect: RecordVersion,
) -> Errand {
    Box::pin(async move {
        let expect = Expect::Version(Version(expect.0));
        let event = match patience::of_store(store.delete(&key, expect)).await {
            Some(Ok(())) => StoreEvent::Forgotten,
            Some(Err(PutError::Conflict)) => StoreEvent::Conflict,
            Some(Err(PutError::Store(error))) => {
                log(&key, "delete", &error);
                StoreEvent::Failed
            }
            Some(Err(PutError::TooLarge { .. })) => StoreEvent::Failed,
            None => too_slow(&key, "delete"),
        };
        Input::Store(entry, event)
    })
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
        let put = patience::of_store(store.put(&key, &record, expect, ttl)).await;
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

/// Asks the application whether an upload is welcome.
pub(super) fn authorize(entry: EntryId, closure: Authorize, request: AuthorizeRequest) -> Errand {
    Box::pin(async move { Input::Authorized(entry, ask(closure, request).await) })
}

/// Runs an event's handler.
pub(super) fn call(id: CallId, handler: Handler, context: EventContext) -> Errand {
    Box::pin(async move {
        let event = context.event.clone();
        // The closure itself may panic before there is a future.
        let outcome = match patience::of_handler(async move { handler(context).await }).await {
            Ok(Ok(result)) => CallOutcome::Done(result),
            Ok(Err(error)) => {
                if let Some(source) = &error.source {
                    let (incident, error) = (Uuid::new_v4(), chain(source.as_ref()));
                    tracing::warn!(%incident, event, error, "a handler failed");
                }
                CallOutcome::Failed(error.text)
            }
            Err(why) => {
                tracing::error!(event, why, "a handler is given up");
                CallOutcome::Failed(None)
            }
        };
        Input::Called(id, outcome)
    })
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
