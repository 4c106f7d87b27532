//! Which entry of an upload counts, and in which store its record is.

use std::{sync::Arc, time::Duration};

use upload_core::{EntryId, Record, RecordPhase, StoreEvent};
use upload_stores::{Expect, MemoryStore, UploadKey, UploadStateStore};

use super::harness::*;
use crate::connection::{pending::Input, record_stores::Stores, registration::Registration};

/// RESUME-4: what an older entry leaves behind takes nothing from the newer one of the same
/// connection: another connection can still find it and take it over.
#[tokio::test]
async fn resume_4_an_older_entry_leaves_the_newer_one_alone() {
    let shared = Server::new().shared;
    let mut registration = Registration::new(Arc::clone(&shared), "alice".into(), 7);
    let (older, newer) = (EntryId(1), EntryId(2));
    let key = registration.key(upload(1));
    registration.attach(older, upload(1));
    assert_eq!(registration.newest(older), Some(upload(1)));
    registration.leave(older, false);
    registration.attach(newer, upload(1));
    assert_eq!(
        registration.newest(older),
        None,
        "its writer is not to be parked"
    );
    registration.rest(older);
    assert!(
        shared.registry.holder(&key).is_some(),
        "the newer one holds it"
    );
    registration.leave(newer, true);
    assert!(shared.registry.holder(&key).is_none());
}

fn record(slot: &str) -> Vec<u8> {
    let record = Record {
        layout: 1,
        slot: slot.into(),
        client_name: "a.bin".into(),
        stored_name: None,
        folder: None,
        client_type: String::new(),
        length: upload_core::Length::Known(9),
        ends_by_word: false,
        relative_path: None,
        last_modified: None,
        meta: serde_json::Map::new(),
        chunk_size: 3,
        phase: RecordPhase::Receiving,
        offset: 0,
        head: Default::default(),
        crc32c: None,
        file_crc32c: None,
        opened: false,
        checkpoint: None,
        epoch: 1,
        lease: None,
        result: serde_json::Value::Null,
        unclaimed: None,
        birth: "".into(),
        created_unix_ms: 0,
        updated_unix_ms: 0,
    };
    record.encode().expect("a small record")
}

/// RESUME-1: a record counts only in the store that its slot keeps records in.
#[tokio::test]
async fn resume_1_each_slot_has_its_store() {
    let shared = Server::new().shared;
    let own: Arc<dyn UploadStateStore> = Arc::new(MemoryStore::new());
    let mut slots = (*shared.slots).clone();
    slots.get_mut("files").expect("is there").store = Some(Arc::clone(&own));
    let stores = Stores::new(&Arc::new(slots), &shared);
    let key = UploadKey::new("alice", [1; 16]).expect("a short owner");
    let put = async |store: &Arc<dyn UploadStateStore>, slot: &str| {
        let ttl = Duration::from_secs(60);
        let put = store.put(&key, &record(slot), Expect::Absent, ttl).await;
        put.expect("a working store");
    };
    let found = async || {
        let Input::Store(_, StoreEvent::Found(found)) = stores.claim(EntryId(1), key.clone()).await
        else {
            panic!("the stores work");
        };
        found.map(|(bytes, _)| Record::decode(&bytes).expect("a record").slot)
    };
    put(&own, "videos").await;
    assert_eq!(found().await, None, "it is in another slot's store");
    put(&shared.store, "videos").await;
    assert_eq!(found().await.as_deref(), Some("videos"));
}
