//! `GET …/{ref}/status`: how an upload stands, for its owner only (PROTOCOL section 11).

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Path, Request, State, rejection::PathRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tokio::{sync::oneshot, time::timeout};
use upload_core::{EntryStatus, Record, RecordPhase, received_ranges};
use upload_proto::UploadRef;
use upload_stores::{UploadKey, UploadStateStore};

use super::{identity::NoOwner, state::App};
use crate::{
    server::{registry::Key, shared::Shared},
    slots::{events::Command, slot::Slots, timeouts},
};

/// How long a busy connection may take to answer before the store is asked.
const PATIENCE: Duration = Duration::from_millis(500);

/// What the owner of an upload is told.
#[derive(Debug, PartialEq, Serialize)]
struct Status {
    upload_id: UploadRef,
    status: &'static str,
    bytes_received: u64,
    /// Inclusive ranges of chunk indices, as `upload_resumed` has them.
    chunks_received: Vec<[u64; 2]>,
    filename: String,
    expected_size: Option<u64>,
}

/// Answers the owner; everybody and everything else gets the same 404, unless the application cannot say who asks,
/// or which slots there are.
pub(crate) async fn status(
    State(app): State<Arc<App>>,
    upload: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let (mut parts, _) = request.into_parts();
    // A path that is no text names no upload either.
    let upload = upload.ok().and_then(|Path(text)| text.parse().ok());
    let who = match app.identity.recognise(&mut parts).await {
        Ok(who) => Ok(who),
        Err(NoOwner::Unauthenticated) => Ok(None),
        Err(failed @ NoOwner::Failed(_)) => Err(Box::new(failed.into_response())),
    };
    let found = match (who, upload) {
        (Ok(Some(who)), Some(upload)) => {
            // The application's decision for a connection with the same request.
            let slots = app.slots_of(&who.owner, &mut parts);
            find(&app.shared, &who.owner, upload, slots).await
        }
        (Ok(_), _) => Ok(None),
        (Err(answer), _) => Err(answer),
    };
    let no_store = [(header::CACHE_CONTROL, "no-store")];
    match found {
        Ok(Some(status)) => (no_store, Json(status)).into_response(),
        Ok(None) => {
            let body = Json(serde_json::json!({ "status": "not_found" }));
            (StatusCode::NOT_FOUND, no_store, body).into_response()
        }
        Err(answer) => (no_store, *answer).into_response(),
    }
}

/// Finds an upload at the connection that holds it, or else in the stores of the owner's `slots`.
///
/// # Errors
///
/// The application did not say which slots those are; this is its answer.
async fn find(
    shared: &Shared,
    owner: &str,
    upload: UploadRef,
    slots: impl Future<Output = Result<Slots, Box<Response>>>,
) -> Result<Option<Status>, Box<Response>> {
    if let Some(status) = ask_holder(shared, owner, upload).await {
        return Ok(Some(status));
    }
    let slots = slots.await?;
    Ok(match UploadKey::new(owner, *upload.as_bytes()) {
        Ok(key) => find_stored(shared, &key, upload, &slots).await,
        Err(_) => None,
    })
}

/// Finds an upload in the stores of these slots.
async fn find_stored(
    shared: &Shared,
    key: &UploadKey,
    upload: UploadRef,
    slots: &Slots,
) -> Option<Status> {
    for store in shared.stores(slots) {
        let Some(record) = look(&*store, key).await else {
            continue;
        };
        // What another slot left under this ref says nothing of the upload. A slot that is mounted for other
        // requests only is not known here, so its record is taken from wherever it is.
        if shared.keeps(slots, &record.slot, &store) != Some(false) {
            return of_record(upload, record);
        }
    }
    None
}

/// Asks the connection of this process that holds the upload, if one does: it knows most, and of
/// uploads that keep no record nobody else knows anything.
async fn ask_holder(shared: &Shared, owner: &str, upload: UploadRef) -> Option<Status> {
    let holder = shared.registry.holder(&Key::new(owner.into(), upload))?;
    let (answer, answered) = oneshot::channel();
    holder
        .commands
        .try_send(Command::Find { upload, answer })
        .ok()?;
    let (entry, chunk_size) = timeout(PATIENCE, answered).await.ok()?.ok()??;
    let status = match entry.status {
        EntryStatus::Uploading => "uploading",
        EntryStatus::Complete => "complete",
        EntryStatus::Failed(_) | EntryStatus::Cancelled => return None,
    };
    let next_index = entry.bytes_received.checked_div(u64::from(chunk_size));
    Some(Status {
        upload_id: upload,
        status,
        bytes_received: entry.bytes_received,
        chunks_received: received_ranges(next_index.unwrap_or(0)),
        filename: entry.client_name,
        expected_size: entry.length.known(),
    })
}

async fn look(store: &dyn UploadStateStore, key: &UploadKey) -> Option<Record> {
    let found = match timeouts::of_store(store.get(key)).await {
        Some(Ok(found)) => found?,
        Some(Err(error)) => {
            tracing::warn!(%error, "a store failed for an upload's status");
            return None;
        }
        None => {
            tracing::warn!("a store did not answer in time for an upload's status");
            return None;
        }
    };
    Record::decode(&found.record)
        .inspect_err(|error| tracing::warn!(%error, "a stored record cannot be read"))
        .ok()
}

fn of_record(upload: UploadRef, record: Record) -> Option<Status> {
    Some(Status {
        upload_id: upload,
        status: match record.phase {
            RecordPhase::Receiving | RecordPhase::Completing => "uploading",
            RecordPhase::Complete
            | RecordPhase::Waiting
            | RecordPhase::Lent
            | RecordPhase::Taken => "complete",
            RecordPhase::Ended => return None,
        },
        bytes_received: match record.phase.is_stored() {
            true => record.length.max(),
            false => record.offset,
        },
        chunks_received: received_ranges(record.next_index()),
        filename: record.client_name,
        expected_size: record.length.known(),
    })
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, future::pending};

    use async_trait::async_trait;
    use serde_json::json;
    use upload_stores::{
        Counts, Cursor, Expect, MemoryStore, Page, Put, PutError, StoreError, Version, Versioned,
    };
    use upload_writers::DiscardWriterFactory;

    use super::*;
    use crate::{
        app::slot_options::{SlotDefaults, SlotOptions},
        server::{limits::Limits, shared::Parts},
    };

    type Store = Arc<dyn UploadStateStore>;

    fn defaults() -> SlotDefaults {
        SlotDefaults {
            writers: Arc::new(DiscardWriterFactory),
            data_dir: "files".into(),
            authorize: None,
            on_upload_complete: None,
            shared_store: false,
        }
    }

    /// A server whose slot `archive` keeps records of its own, and `videos` with all others.
    fn shared(store: Store, archive: Store) -> Shared {
        let defaults = defaults();
        let slots = [
            ("archive", SlotOptions::new().store(archive)),
            ("videos", SlotOptions::new()),
        ];
        let slots = slots.map(|(name, options)| {
            let slot = options.into_slot(name, &defaults).expect("good options");
            (name.to_owned(), slot)
        });
        Shared::new(Parts {
            slots: Arc::new(slots.into()),
            store,
            limits: Limits::default(),
            handlers: HashMap::new(),
            on_upload_complete: None,
            hooks: None,
        })
    }

    fn upload() -> UploadRef {
        UploadRef::from_bytes([1; 16])
    }

    async fn put(store: &Store, slot: &str, client_name: &str) {
        let record = json!({
            "layout": 1, "slot": slot, "client_name": client_name, "client_type": "",
            "client_size": 9, "chunk_size": 3, "phase": "receiving", "offset": 6, "opened": true,
            "epoch": 1, "created_unix_ms": 0, "updated_unix_ms": 0,
        });
        let key = UploadKey::new("alice", *upload().as_bytes()).expect("a short owner");
        let (record, ttl) = (record.to_string(), Duration::from_secs(60));
        let put = store.put(&key, record.as_bytes(), Expect::Absent, ttl);
        put.await.expect("a working store");
    }

    async fn found(shared: &Shared, slots: &Slots) -> Option<Status> {
        let slots = Arc::clone(slots);
        let found = find(shared, "alice", upload(), async { Ok(slots) }).await;
        found.expect("slots")
    }

    async fn name(shared: &Shared) -> Option<String> {
        let found = found(shared, &shared.slots).await;
        found.map(|status| status.filename)
    }

    #[tokio::test]
    async fn a_record_counts_where_its_slot_keeps_records() {
        let [store, archive]: [Store; 2] = [(); 2].map(|()| Arc::new(MemoryStore::new()) as _);
        let shared = shared(Arc::clone(&store), Arc::clone(&archive));
        put(&store, "archive", "left behind").await;
        assert_eq!(name(&shared).await, None);
        put(&archive, "archive", "real").await;
        assert_eq!(name(&shared).await.as_deref(), Some("real"));
    }

    /// Which slots another request was given besides is not known to this one.
    #[tokio::test]
    async fn a_record_of_a_slot_that_was_only_mounted_counts_anywhere() {
        let store: Store = Arc::new(MemoryStore::new());
        let shared = shared(Arc::clone(&store), Arc::new(MemoryStore::new()));
        put(&store, "mounted", "mine").await;
        let status = found(&shared, &shared.slots).await.expect("found");
        assert_eq!((status.bytes_received, status.expected_size), (6, Some(9)));
        assert_eq!(status.chunks_received, [[0, 1]]);
    }

    /// The application mounts a slot with another store for those who ask like this.
    #[tokio::test]
    async fn the_store_of_a_slot_that_is_only_mounted_is_asked() {
        let [store, own]: [Store; 2] = [(); 2].map(|()| Arc::new(MemoryStore::new()) as _);
        let shared = shared(store, Arc::new(MemoryStore::new()));
        put(&own, "mounted", "mine").await;
        assert_eq!(name(&shared).await, None);
        let defaults = defaults();
        let slot = SlotOptions::new()
            .store(own)
            .into_slot("mounted", &defaults);
        let mut slots = Arc::clone(&shared.slots);
        Arc::make_mut(&mut slots).insert("mounted".to_owned(), slot.expect("good options"));
        let found = found(&shared, &slots).await;
        assert_eq!(found.expect("found").filename, "mine");
    }

    /// A store that never answers.
    struct Hanging;

    #[async_trait]
    impl UploadStateStore for Hanging {
        async fn get(&self, _: &UploadKey) -> Result<Option<Versioned>, StoreError> {
            pending().await
        }

        async fn put_with(&self, _: &UploadKey, _: Put<'_>) -> Result<Version, PutError> {
            pending().await
        }

        async fn delete(&self, _: &UploadKey, _: Expect) -> Result<(), PutError> {
            pending().await
        }

        async fn list(
            &self,
            _: Option<&str>,
            _: Option<&Cursor>,
            _: usize,
        ) -> Result<Page, StoreError> {
            pending().await
        }

        async fn count(&self, _: Option<&str>) -> Result<Counts, StoreError> {
            pending().await
        }

        fn is_shared(&self) -> bool {
            false
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_hangs_is_not_waited_for() {
        let archive: Store = Arc::new(MemoryStore::new());
        let shared = shared(Arc::new(Hanging), Arc::clone(&archive));
        put(&archive, "archive", "real").await;
        let found = timeout(Duration::from_secs(60), name(&shared)).await;
        assert_eq!(found.expect("an answer").as_deref(), Some("real"));
    }
}
