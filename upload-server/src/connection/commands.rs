//! What handlers and other requests ask of a connection.

use upload_core::{Door, Entry};
use upload_proto::UploadRef;

use super::host::Host;
use crate::slots::events::Command;

impl<R: Door> Host<R> {
    pub(super) fn command(&mut self, command: Command) {
        // Who asked may be gone by now, which changes nothing here.
        match command {
            Command::Free { upload } => self.core.free_completed(upload),
            Command::Cancel { upload, answer } => {
                let _ = answer.send(self.core.cancel(upload, self.now));
            }
            Command::Find { upload, answer } => {
                let _ = answer.send(self.find(upload));
            }
            Command::Snapshot { answer } => {
                let _ = answer.send(self.core.entries().cloned().collect());
            }
        }
    }

    fn find(&self, upload: UploadRef) -> Option<(Entry, u32)> {
        let mut entries = self.core.entries();
        let entry = entries.find(|entry| entry.upload == upload)?;
        let slot = self.config.slots.get(&*entry.slot)?;
        Some((entry.clone(), slot.rules.chunk_size))
    }
}
