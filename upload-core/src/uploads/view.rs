//! What a door sees of the uploads it holds, and how they are counted.

use std::sync::Arc;

use upload_proto::{Register, UploadRef};

use crate::{
    Entry, EntryId, Subject, Uploads,
    news::Position,
    upload::{Upload, stay::Stay},
};

use super::reach::Reach;

impl Uploads {
    /// Returns the entry of a ref that this connection holds as an upload.
    pub fn find(&self, upload: UploadRef) -> Option<EntryId> {
        let entry = *self.refs.get(&upload)?;
        self.held.contains_key(&entry).then_some(entry)
    }

    /// Returns the entry of a ref that this connection reaches for.
    pub fn find_reach(&self, upload: UploadRef) -> Option<EntryId> {
        let entry = *self.refs.get(&upload)?;
        self.reaches.contains_key(&entry).then_some(entry)
    }

    pub(crate) fn reach_of(&self, entry: EntryId) -> Option<&Reach> {
        self.reaches.get(&entry)
    }

    pub(super) fn upload(&self, entry: EntryId) -> Option<&Upload> {
        self.held.get(&entry).map(|held| &held.upload)
    }

    /// Returns an upload that is in flight.
    pub fn entry(&self, entry: EntryId) -> Option<&Entry> {
        let held = self.upload(entry).map(|upload| &upload.entry);
        held.or_else(|| Some(&self.reaches.get(&entry)?.claim()?.entry))
    }

    /// Returns whether an upload is what `register` asks for, and nothing of it was received (CTRL-4).
    pub(crate) fn is_same_registration(&self, entry: EntryId, register: &Register) -> bool {
        self.upload(entry)
            .is_some_and(|upload| upload.is_same_registration(register))
    }

    /// Returns whether nothing of an upload was received, and its registration can be answered again (CTRL-4).
    pub(crate) fn is_untouched(&self, entry: EntryId) -> bool {
        self.upload(entry).is_some_and(Upload::is_untouched)
    }

    /// Returns how far an upload has come.
    pub fn position(&self, entry: EntryId) -> Option<Position> {
        self.upload(entry).map(Upload::position)
    }

    /// Returns whether an upload takes bytes, and waits for nothing else.
    pub(crate) fn waits_for_client(&self, entry: EntryId) -> bool {
        self.upload(entry).is_some_and(Upload::waits_for_client)
    }

    /// Returns what a door has to know of an upload.
    pub(crate) fn subject(&self, entry: EntryId) -> Option<Box<Subject>> {
        self.upload(entry).map(Upload::subject)
    }

    /// Returns whether an upload takes bytes, and its writer has taken all that came, apart from what
    /// waits in the content gate for more of its file.
    pub(crate) fn is_settled(&self, entry: EntryId) -> bool {
        self.upload(entry).is_some_and(|upload| {
            upload.waits_for_client() && upload.buffered() == upload.writer.gated()
        })
    }

    /// Returns whether an upload takes bytes at all.
    pub(crate) fn takes_bytes(&self, entry: EntryId) -> bool {
        self.upload(entry)
            .is_some_and(|upload| upload.stay == Stay::Held)
    }

    /// Returns the CRC32C of a file that was completed.
    pub(crate) fn file_crc32c(&self, entry: EntryId) -> Option<u32> {
        self.upload(entry)?.file_crc32c
    }

    /// Returns all entries, complete ones that were not consumed included, in no order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        let held = self.held.values().map(|held| &held.upload.entry);
        let claims = self.reaches.values().filter_map(Reach::claim);
        let claimed = claims.map(|claim| &claim.entry);
        held.chain(claimed).chain(self.completed.values())
    }

    /// Returns what this connection completed and no handler took, in the order of registration.
    pub(crate) fn completed(&self) -> Vec<UploadRef> {
        let mut entries: Vec<_> = self.completed.values().collect();
        entries.sort_by_key(|entry| entry.id);
        entries.into_iter().map(|entry| entry.upload).collect()
    }

    /// Frees the place of a completed entry.
    pub(crate) fn free_completed(&mut self, upload: UploadRef) {
        if let Some(entry) = self.completed.remove(&upload) {
            self.uncount(&entry.slot);
        }
    }

    /// Returns the payload bytes that no writer has taken.
    pub fn buffered(&self) -> u64 {
        self.sum.buffered
    }

    pub(crate) fn gated(&self) -> u64 {
        self.sum.gated
    }

    pub(crate) fn opening(&self) -> u64 {
        self.sum.opening
    }

    /// Returns whether nothing is left that has to come to an end.
    pub fn is_idle(&self) -> bool {
        self.held.is_empty()
            && self.cleanups.is_empty()
            && !self.reaches.values().any(Reach::outlives)
    }
}

/// CTRL-3: entries in flight, or complete and not yet consumed.
impl Uploads {
    pub(super) fn count(&self, slot: &str) -> usize {
        self.counts.get(slot).copied().unwrap_or_default()
    }

    pub(super) fn count_up(&mut self, slot: &Arc<str>) {
        let count = self.counts.entry(Arc::clone(slot)).or_default();
        *count = count.saturating_add(1);
    }

    pub(super) fn uncount(&mut self, slot: &Arc<str>) {
        if let Some(count) = self.counts.get_mut(slot) {
            *count = count.saturating_sub(1);
        }
    }
}
