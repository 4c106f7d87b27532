//! Reads and writes of records, each with a time limit, and whose records are in which store.

use std::{sync::Arc, time::Instant};

use upload_core::{Charge, EntryId, Record, RecordExpect, RecordVersion, Save, StoreEvent};
use upload_proto::UploadRef;
use upload_stores::{
    Expect, OwnerLimit, Put, PutError, StoreError, UploadKey, UploadStateStore, Version,
};
use uuid::Uuid;

use super::pending::{Input, Operation};
use crate::{
    metrics,
    server::shared::Shared,
    slots::{slot::Slots, timeouts, unclaimed::facts},
};

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
    pub(super) fn claim(&self, entry: EntryId, key: UploadKey) -> Operation {
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
        match Record::decode(record) {
            Ok(record) => self.shared.keeps(&self.slots, &record.slot, store) == Some(true),
            // Whose it is only the version knows that wrote it; the core leaves it alone.
            Err(error) => error.is_of_another_version(),
        }
    }
}

/// Reads a record.
pub(super) fn claim(entry: EntryId, store: Arc<dyn UploadStateStore>, key: UploadKey) -> Operation {
    Box::pin(async move { Input::Store(entry, read(&*store, &key).await) })
}

async fn read(store: &dyn UploadStateStore, key: &UploadKey) -> StoreEvent {
    match timeouts::of_store(store.get(key)).await {
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
) -> Operation {
    Box::pin(async move {
        let expect = Expect::Version(Version(expect.0));
        let event = match timeouts::of_store(store.delete(&key, expect)).await {
            Some(Ok(())) => StoreEvent::Deleted,
            Some(Err(PutError::Conflict)) => StoreEvent::Conflict,
            Some(Err(PutError::Store(error))) => {
                log(&key, "delete", &error);
                StoreEvent::Failed
            }
            Some(Err(PutError::TooLarge { .. } | PutError::OverLimit)) => StoreEvent::Failed,
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
    save: Box<Save>,
) -> Operation {
    Box::pin(async move {
        let expect = match save.expect {
            RecordExpect::Absent => Expect::Absent,
            RecordExpect::Version(version) => Expect::Version(Version(version.0)),
        };
        let put = Put::new(&save.record, expect, save.ttl).counted(facts(save.charge));
        let limit = save.quota.map(|quota| OwnerLimit {
            records: quota.uploads,
            bytes: quota.bytes,
            stored_bytes: quota.stored_bytes,
        });
        // Of what a connection saves, only what tells how an upload ended counts as nothing.
        let receipt = save.charge == Charge::Nothing;
        let put = Put {
            limit,
            receipt,
            ..put
        };
        let begun = Instant::now();
        let put = timeouts::of_store(store.put_with(&key, put)).await;
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
            Some(Err(PutError::OverLimit)) => StoreEvent::OverQuota,
            None => too_slow(&key, "put"),
        };
        Input::Store(entry, event)
    })
}

fn log(key: &UploadKey, call: &'static str, error: &StoreError) {
    metrics::store_failed();
    // The client reads a fixed text (PROTOCOL MSG-4); the log has the rest.
    tracing::warn!(
        incident = %Uuid::new_v4(),
        upload = %UploadRef::from_bytes(*key.upload()),
        call,
        error = crate::text::chain(error),
        "a store failed"
    );
}

fn too_slow(key: &UploadKey, call: &'static str) -> StoreEvent {
    metrics::store_failed();
    tracing::warn!(
        incident = %Uuid::new_v4(),
        upload = %UploadRef::from_bytes(*key.upload()),
        call,
        "a store did not answer in time"
    );
    StoreEvent::Failed
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use upload_stores::MemoryStore;

    use super::*;

    /// COMPLETE-4: where an owner has its share of a store, its receipts give way to what it saves next, and its
    /// unfinished uploads do not.
    #[tokio::test]
    async fn complete_4_receipts_give_way_and_uploads_do_not() {
        // One record for each owner.
        let store: Arc<dyn UploadStateStore> = Arc::new(MemoryStore::with_limits(4, usize::MAX));
        let nothing = Charge::Nothing;
        let unfinished = Charge::Unfinished(1);
        let all = [
            (nothing, true),
            (nothing, true),
            (unfinished, true),
            (unfinished, false),
        ];
        for (number, (charge, is_saved)) in (0..).zip(all) {
            let key = UploadKey::new("owner", [number; 16]).expect("a short owner");
            let what = Save {
                upload: UploadRef::from_bytes([number; 16]),
                slot: "slot".into(),
                record: b"record".to_vec(),
                expect: RecordExpect::Absent,
                ttl: Duration::from_secs(60),
                charge,
                quota: None,
            };
            let saved = save(EntryId(0), Arc::clone(&store), key, Box::new(what)).await;
            let found = matches!(saved, Input::Store(_, StoreEvent::Saved(_)));
            assert_eq!(found, is_saved, "record {number}");
        }
    }
}
