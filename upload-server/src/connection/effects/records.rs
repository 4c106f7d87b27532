//! What stores are asked.

use std::sync::Arc;

use upload_core::{Door, EntryId, Query, StoreEvent};
use upload_proto::UploadRef;
use upload_stores::{UploadKey, UploadStateStore};

use crate::connection::{host::Host, pending::Input, record_stores};

impl<R: Door> Host<R> {
    pub(super) fn query(&mut self, entry: EntryId, query: Query) -> Option<Input> {
        let operation = match query {
            Query::Read { upload, slot } => match (self.record_key(upload), slot) {
                (Some(key), Some(slot)) => {
                    let store = self.store_of(&slot);
                    store.map(|store| record_stores::claim(entry, store, key))
                }
                (Some(key), None) => Some(self.stores.claim(entry, key)),
                (None, _) => None,
            },
            Query::Save(save) => {
                if let Some(slot) = self.config.slots.get(&*save.slot) {
                    self.shared.unclaimed.note(&self.config.owner, slot);
                }
                let place = self.record_key(save.upload).zip(self.store_of(&save.slot));
                place.map(|(key, store)| record_stores::save(entry, store, key, save))
            }
            Query::Delete {
                upload,
                slot,
                expect,
            } => {
                let place = self.record_key(upload).zip(self.store_of(&slot));
                place.map(|(key, store)| record_stores::forget(entry, store, key, expect))
            }
        };
        match operation {
            Some(operation) => self.pending_operations.push(operation),
            None => return Some(Input::Store(entry, StoreEvent::Failed)),
        }
        None
    }

    fn record_key(&self, upload: UploadRef) -> Option<UploadKey> {
        UploadKey::new(&self.config.owner, *upload.as_bytes()).ok()
    }

    fn store_of(&self, slot: &str) -> Option<Arc<dyn UploadStateStore>> {
        let slot = self.config.slots.get(slot)?;
        Some(Arc::clone(self.shared.store_of(slot)))
    }
}
