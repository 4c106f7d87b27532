//! What writers are told.

use std::sync::Arc;

use serde_json::Value;
use upload_core::{Door, Entry, EntryId, Fence, Order, StorageFault, WriterEvent};

use crate::{
    connection::{host::Host, pending::Input},
    driver::{Storage, UploadLabel},
    slots::{entry::upload_facts, handlers, unclaimed},
};

impl<R: Door> Host<R> {
    pub(super) fn order(&mut self, entry: EntryId, order: Order) -> Option<Input> {
        match order {
            Order::Open => match self.storage(entry, 1, None) {
                Some(storage) => self.drivers.open(entry, storage),
                None => return Some(cannot_open(entry)),
            },
            Order::Reopen {
                fence,
                checkpoint,
                offset,
                crc32c,
            } => return self.reopen(entry, &fence, checkpoint, (offset, crc32c)),
            Order::Write(data) => self.drivers.write(entry, data),
            Order::Flush => self.drivers.flush(entry),
            Order::Close => self.drivers.close(entry),
            Order::Halt => self.drivers.halt(entry),
            Order::Abort(reason) => self.drivers.abort(entry, reason),
            Order::Release => self.drivers.release(entry),
            Order::Remove(stored) => self.remove(*stored),
            Order::Park { parked, .. } => self.drivers.park(entry, parked),
        }
        None
    }

    /// Removes a finished file that no record tells of.
    fn remove(&self, stored: Entry) {
        let Some(slot) = self.slot_of(&stored).cloned() else {
            return;
        };
        let owner = self.config.owner.clone();
        self.shared.tracker.spawn(async move {
            unclaimed::delete(&slot, &owner, &stored).await;
        });
    }

    fn storage(&self, entry: EntryId, epoch: u64, crc32c_before: Option<u32>) -> Option<Storage> {
        let entry = self.core.entry(entry)?;
        let slot = self.slot_of(entry)?;
        let mut facts = upload_facts(&self.config.owner, entry);
        facts.epoch = epoch;
        facts.crc32c_before = crc32c_before;
        if let (None, Some(folder)) = (&facts.folder, &slot.folder) {
            facts.folder = Some(handlers::folder_of(folder, &facts));
        }
        Some(Storage {
            factory: Arc::clone(&slot.writers),
            facts,
            label: UploadLabel {
                upload: entry.upload,
                slot: Arc::clone(&entry.slot),
                resumable: entry.resumable,
            },
        })
    }

    /// Goes on behind the bytes whose number and CRC32C are given.
    fn reopen(
        &mut self,
        entry: EntryId,
        fence: &Fence,
        checkpoint: Option<Value>,
        (offset, crc32c): (u64, Option<u32>),
    ) -> Option<Input> {
        // The epoch asked for is the last holder's; this one's comes after it.
        let own_epoch = fence.epoch.saturating_add(1);
        let Some(storage) = self.storage(entry, own_epoch, crc32c) else {
            return Some(cannot_open(entry));
        };
        let key = self.registration.key(storage.label.upload);
        match self.shared.registry.take(&key, fence) {
            Some(kept) => {
                let label = storage.label;
                self.drivers.unpark(entry, label, kept.writer, kept.parked);
            }
            None => self.drivers.reopen(entry, storage, checkpoint, offset),
        }
        None
    }
}

/// There is no slot to open a writer of.
fn cannot_open(entry: EntryId) -> Input {
    Input::Writer(entry, WriterEvent::Failed(StorageFault::Failed))
}
