//! What is counted and logged, and what follows a stored file.

use std::{sync::Arc, time::Duration};

use upload_core::{Door, Entry, EntryStatus, Fact};
use upload_proto::Code;

use crate::{
    connection::host::Host,
    metrics,
    slots::{entry::UploadedEntry, handlers, slot::CompletedEntry},
};

impl<R: Door> Host<R> {
    pub(super) fn note(&mut self, fact: Fact) {
        match fact {
            Fact::Attached(entry) => {
                self.attached.insert(entry.id, self.instant());
                let slot = self.slot_label(&entry);
                self.registration.count(entry.id, slot, self.config.door);
                self.log_attached(&entry);
            }
            Fact::Completed(entry) => self.completed(*entry),
            Fact::Ended(entry) => {
                let seconds = self.held_for(&entry);
                metrics::ended(&entry, self.slot_label(&entry), self.config.door);
                let code = code_of(&entry);
                tracing::info!(
                    upload = %entry.upload,
                    slot = &*entry.slot,
                    status = ?entry.status,
                    code = code.map(Code::as_str),
                    size = entry.length.known(),
                    bytes_received = entry.bytes_received,
                    seconds,
                    see = self.explained(code),
                    "upload ended"
                );
            }
            Fact::Detached { entry, code } => {
                let seconds = self.held_for(&entry);
                metrics::detached(code, self.slot_label(&entry), self.config.door);
                tracing::info!(
                    upload = %entry.upload,
                    slot = &*entry.slot,
                    code = code.map(Code::as_str),
                    size = entry.length.known(),
                    bytes_received = entry.bytes_received,
                    seconds,
                    see = self.explained(code),
                    "upload detached"
                );
            }
            Fact::Refused { code, upload } => {
                metrics::refused(code);
                if code == Code::TooLarge {
                    let address = self.config.address;
                    self.shared.log_limits.too_large(None, address);
                }
                let upload = upload.map(tracing::field::display);
                match self.explained(Some(code)) {
                    Some(see) => tracing::info!(code = code.as_str(), upload, see, "refused"),
                    None => tracing::debug!(code = code.as_str(), upload, "refused"),
                }
            }
            // `Fact` may grow: what this server does not know, it does not need.
            _ => {}
        }
    }

    /// A client that begins many uploads would write as many lines; the end of each is logged anyway.
    fn log_attached(&self, entry: &Entry) {
        let (upload, slot) = (entry.upload, &*entry.slot);
        let (bytes, from) = (entry.length.known(), entry.bytes_received);
        if from == 0 {
            tracing::debug!(%upload, slot, bytes, "upload attached");
        } else {
            tracing::info!(%upload, slot, bytes, from, "upload attached");
        }
    }

    /// Returns where a code is explained, for the first line of a minute.
    fn explained(&self, code: Option<Code>) -> Option<String> {
        self.shared.log_limits.codes.first(code?)
    }

    /// Returns how long this connection held an upload, in seconds; `None` where it never did.
    fn held_for(&mut self, entry: &Entry) -> Option<f64> {
        let since = self.attached.remove(&entry.id)?;
        let held: Duration = self.instant().saturating_duration_since(since);
        // Milliseconds are enough, and short.
        Some((held.as_secs_f64() * 1e3).round() / 1e3)
    }

    /// Returns the slot's name for metrics.
    fn slot_label<'a>(&self, entry: &'a Entry) -> &'a str {
        self.shared.slot_label(&entry.slot)
    }

    /// Runs the application's handlers beside the session; a connection that has many of them running is
    /// not read from.
    fn completed(&mut self, entry: Entry) {
        metrics::ended(&entry, self.slot_label(&entry), self.config.door);
        let seconds = self.held_for(&entry);
        tracing::info!(
            upload = %entry.upload,
            slot = &*entry.slot,
            bytes = entry.bytes_received,
            seconds,
            "upload complete"
        );
        let Some(slot) = self.config.slots.get(&*entry.slot) else {
            return;
        };
        let waits = slot.rules.waits && !slot.rules.consume_on_complete;
        if waits {
            let connection = self.registration.mailbox().commands;
            let unclaimed = &self.shared.unclaimed;
            unclaimed.hold_place(&self.config.owner, entry.upload, connection);
        }
        // What takes the file is the one handler of both.
        let handlers = match slot.is_handled() {
            true => [None, None],
            false => [
                slot.on_complete.as_ref(),
                self.shared.on_upload_complete.as_ref(),
            ],
        };
        let handlers: Vec<_> = handlers.into_iter().flatten().cloned().collect();
        let takes = slot.is_handled().then(|| {
            let unclaimed = Arc::clone(&self.shared.unclaimed);
            (unclaimed, slot.clone(), Arc::clone(&self.config.slots))
        });
        if handlers.is_empty() && takes.is_none() {
            return;
        }
        let completed = CompletedEntry {
            owner: self.config.owner.clone(),
            entry: match waits {
                true => UploadedEntry::waiting(entry, slot.files.clone(), Vec::new()),
                false => UploadedEntry::new(entry, slot.files.clone()),
            },
        };
        let telling = async move {
            if let Some((unclaimed, slot, slots)) = takes {
                let upload = completed.entry.upload_ref();
                unclaimed
                    .handle(&completed.owner, upload, &slot, &slots)
                    .await;
            }
            handlers::tell(handlers, completed).await;
        };
        self.completions.push(self.shared.tracker.spawn(telling));
    }
}

/// Returns what the client was told of an upload that failed.
fn code_of(entry: &Entry) -> Option<Code> {
    match entry.status {
        EntryStatus::Failed(code) => Some(code),
        EntryStatus::Uploading | EntryStatus::Complete | EntryStatus::Cancelled => None,
    }
}
