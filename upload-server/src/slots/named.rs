//! What the records of unfinished uploads name, so that a sweep of storage leaves it alone.

use std::sync::Arc;

use upload_core::Record;
use upload_stores::{Cursor, PAGE_RECORDS_MAX, UploadStateStore};
use upload_writers::{Checkpoint, NamedUploads};

use super::{timeouts, unclaimed::Unclaimed};

impl Unclaimed {
    /// Reads what all records name.
    pub(crate) async fn named(&self) -> NamedUploads {
        named(&self.stores_of(self.slots(), None)).await
    }
}

/// Reads what the records of these stores name; it is unknown where one cannot be read.
///
/// An upload that expired is named until a look claims it: its holder may be about to save.
pub(crate) async fn named(stores: &[Arc<dyn UploadStateStore>]) -> NamedUploads {
    let mut named = NamedUploads::default();
    for store in stores {
        let mut after: Option<Cursor> = None;
        loop {
            let page = store.list(None, after.as_ref(), PAGE_RECORDS_MAX);
            let Some(Ok(page)) = timeouts::of_store(page).await else {
                tracing::warn!("could not read what a store's records name");
                return NamedUploads::unknown();
            };
            for listed in page.records {
                // It may be of a later version, and its upload alive.
                let Ok(record) = Record::decode(&listed.stored.record) else {
                    return NamedUploads::unknown();
                };
                if !record.is_to_be_removed()
                    && let Some(checkpoint) = record.checkpoint
                {
                    named.add(&Checkpoint(checkpoint));
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    named
}
