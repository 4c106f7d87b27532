//! What the core asks for, carried out.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use bytes::Bytes;
use serde_json::{Map, Value};
use tokio::io::{AsyncRead, AsyncWrite};
use upload_core::{
    CallId, CallOutcome, DisconnectReason, Entry, EntryId, EntryStatus, Event, Moment, Output,
    StoreEvent, Verdict, WriterEvent,
};
use upload_proto::{Code, Register, UploadRef};
use upload_stores::{UploadKey, UploadStateStore};
use upload_validate::{FileFacts, Head, safe_name};
use upload_writers::UploadFacts;

use super::{
    Connection,
    errands::{self, Errand, Input},
    meters,
};
use crate::{
    driver::{Storage, Subject},
    entries::UploadedEntry,
    events::{EventContext, UploadsHandle},
    hooks::Notice,
    options::refusal_code,
    slot::{self, AuthorizeRequest, CompletedEntry, Slot},
};

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Carries out everything the core asks for, and tells it what is known at once.
    pub(super) fn settle(&mut self) {
        loop {
            if let Some(output) = self.core.poll_output() {
                self.carry_out(output);
            } else if let Some(input) = self.answers.pop_front() {
                self.feed(input);
            } else if !self.tell_loss() {
                return;
            }
        }
    }

    /// Tells the core; the caller settles what comes of it.
    pub(super) fn feed(&mut self, input: Input) {
        let now = self.now;
        match input {
            Input::Authorized(entry, answer) => self.core.handle_authorized(entry, answer, now),
            Input::Verdict(entry, verdict) => self.core.handle_verdict(entry, verdict, now),
            Input::Writer(entry, event) => self.core.handle_writer(entry, event, now),
            Input::Store(entry, event) => self.core.handle_store(entry, event, now),
            Input::Called(call, outcome) => self.core.handle_call(call, outcome, now),
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Send(message) => {
                if let Some(socket) = &mut self.socket
                    && socket.send(&message).is_err()
                {
                    tracing::info!("the peer does not read what it is sent");
                    self.drop_socket();
                }
            }
            Output::Authorize {
                entry,
                register,
                moment,
            } => self.authorize(entry, &register, moment),
            Output::Inspect {
                entry,
                head,
                is_whole,
            } => {
                let verdict = self.inspect(entry, &head, is_whole);
                self.answers.push_back(Input::Verdict(entry, verdict));
            }
            Output::Open { entry } => {
                if let Some(storage) = self.storage_or_fail(entry, 1, None) {
                    self.drivers.open(entry, storage);
                }
            }
            Output::Reopen {
                entry,
                epoch,
                checkpoint,
                offset,
                crc32c,
            } => self.reopen(entry, epoch, checkpoint, (offset, crc32c)),
            Output::Write { entry, data } => self.drivers.write(entry, data),
            Output::Close { entry } => self.drivers.close(entry),
            Output::Halt { entry } => self.drivers.halt(entry),
            Output::Abort { entry, reason } => self.drivers.abort(entry, reason),
            Output::Release { entry } => self.drivers.release(entry),
            Output::Park { entry, parked } => self.drivers.park(entry, parked),
            Output::Claim {
                entry,
                upload,
                slot,
            } => {
                let errand = match (self.record_key(upload), slot) {
                    (Some(key), Some(slot)) => {
                        let store = self.store_of(&slot);
                        store.map(|store| errands::claim(entry, store, key))
                    }
                    (Some(key), None) => Some(self.stores.claim(entry, key)),
                    (None, _) => None,
                };
                self.push_or_fail(entry, errand);
            }
            Output::Evict { entry, upload } => {
                let key = self.presence.key(upload);
                let shared = Arc::clone(&self.shared);
                self.errands
                    .push(errands::evict(entry, shared, key, self.number));
            }
            Output::Save {
                entry,
                upload,
                slot,
                record,
                expect,
                ttl,
            } => {
                let place = self.record_key(upload).zip(self.store_of(&slot));
                let errand =
                    place.map(|(key, store)| errands::save(entry, store, key, record, expect, ttl));
                self.push_or_fail(entry, errand);
            }
            Output::Forget {
                entry,
                upload,
                slot,
                expect,
            } => {
                let place = self.record_key(upload).zip(self.store_of(&slot));
                let errand = place.map(|(key, store)| errands::forget(entry, store, key, expect));
                self.push_or_fail(entry, errand);
            }
            Output::Call {
                call,
                event,
                params,
            } => self.call(call, event, params),
            Output::Notify(event) => self.notice(event),
            Output::Disconnect { code } => {
                self.close_socket(code);
                self.lose(DisconnectReason::Lost);
            }
        }
    }

    fn slot_of(&self, entry: &Entry) -> Option<&Slot> {
        self.hello.slots.get(&*entry.slot)
    }

    fn authorize(&mut self, entry: EntryId, register: &Register, moment: Moment) {
        let slot = self.hello.slots.get(&register.upload_name);
        let slot = slot.filter(|slot| !slot.rules.direct);
        let Some(ask) = slot.and_then(|slot| slot.authorize.clone()) else {
            // Nobody to ask lets nobody in; neither does a slot whose bytes do not come this way.
            let answer = Err(Code::Forbidden);
            self.answers.push_back(Input::Authorized(entry, answer));
            return;
        };
        let request = AuthorizeRequest::new(&self.hello.owner, register, moment);
        self.errands.push(errands::authorize(entry, ask, request));
    }

    /// Judges the first bytes where they are; a check that panics lets nothing pass.
    fn inspect(&self, entry: EntryId, head: &Bytes, is_whole: bool) -> Verdict {
        let entry = self.core.entry(entry);
        let Some((entry, slot)) = entry.and_then(|entry| Some((entry, self.slot_of(entry)?)))
        else {
            return Verdict::Refuse(Code::Forbidden);
        };
        let facts = FileFacts {
            name: &entry.client_name,
            media_type: &entry.client_type,
            size: entry.client_size,
        };
        let head = Head {
            bytes: head,
            is_whole,
        };
        let checked = catch_unwind(AssertUnwindSafe(|| slot.checks.inspect(&facts, &head)));
        match checked {
            // The head is all that checks get to see: what it does not decide may pass.
            Ok(upload_validate::Verdict::Accept | upload_validate::Verdict::NeedMore) => {
                Verdict::Accept
            }
            Ok(upload_validate::Verdict::Refuse(refusal)) => Verdict::Refuse(refusal_code(refusal)),
            Err(_) => {
                tracing::error!(slot = &*entry.slot, "a validator panicked");
                Verdict::Refuse(Code::Forbidden)
            }
        }
    }

    fn storage_or_fail(
        &mut self,
        entry: EntryId,
        epoch: u64,
        crc32c_before: Option<u32>,
    ) -> Option<Storage> {
        let storage = self.storage(entry, epoch, crc32c_before);
        if storage.is_none() {
            let fault = upload_core::StorageFault::Failed;
            self.answers
                .push_back(Input::Writer(entry, WriterEvent::Failed(fault)));
        }
        storage
    }

    fn storage(&self, entry: EntryId, epoch: u64, crc32c_before: Option<u32>) -> Option<Storage> {
        let entry = self.core.entry(entry)?;
        let slot = self.slot_of(entry)?;
        let facts = UploadFacts {
            owner: self.hello.owner.clone(),
            upload_id: entry.upload.to_string(),
            slot: entry.slot.to_string(),
            client_name: entry.client_name.clone(),
            safe_client_name: safe_name(&entry.client_name).into_string(),
            client_type: entry.client_type.clone(),
            client_size: entry.client_size,
            resumable: entry.resumable,
            epoch,
            crc32c_before,
            relative_path: entry.relative_path.clone(),
            meta: Value::Object(entry.meta.clone()),
        };
        Some(Storage {
            factory: Arc::clone(&slot.writers),
            facts,
            subject: Subject {
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
        epoch: u64,
        checkpoint: Option<Value>,
        (offset, crc32c): (u64, Option<u32>),
    ) {
        // The epoch asked for is the last holder's; this one's comes after it.
        let own_epoch = epoch.saturating_add(1);
        let Some(storage) = self.storage_or_fail(entry, own_epoch, crc32c) else {
            return;
        };
        let key = self.presence.key(storage.subject.upload);
        match self.shared.hub.take(&key, epoch) {
            Some(kept) => {
                let subject = storage.subject;
                self.drivers
                    .unpark(entry, subject, kept.writer, kept.parked);
            }
            None => self.drivers.reopen(entry, storage, checkpoint, offset),
        }
    }

    fn record_key(&self, upload: UploadRef) -> Option<UploadKey> {
        UploadKey::new(&self.hello.owner, *upload.as_bytes()).ok()
    }

    fn store_of(&self, slot: &str) -> Option<Arc<dyn UploadStateStore>> {
        let slot = self.hello.slots.get(slot)?;
        Some(Arc::clone(self.shared.store_of(slot)))
    }

    fn push_or_fail(&mut self, entry: EntryId, errand: Option<Errand>) {
        match errand {
            Some(errand) => self.errands.push(errand),
            None => self
                .answers
                .push_back(Input::Store(entry, StoreEvent::Failed)),
        }
    }

    fn call(&mut self, call: CallId, event: String, params: Map<String, Value>) {
        let Some(handler) = self.shared.handlers.get(&event).cloned() else {
            self.answers
                .push_back(Input::Called(call, CallOutcome::Unknown));
            return;
        };
        let commands = self.presence.mailbox().commands;
        let context = EventContext {
            owner: self.hello.owner.clone(),
            event,
            params,
            uploads: UploadsHandle::new(commands, Arc::clone(&self.hello.slots)),
        };
        self.errands.push(errands::call(call, handler, context));
    }

    fn notice(&mut self, event: Event) {
        match event {
            Event::Attached(entry) => {
                self.presence.attach(entry.id, entry.upload);
                self.log_attached(&entry);
            }
            Event::Left { entry, .. } => {
                let is_at_rest = !self.drivers.has(entry);
                self.presence.leave(entry, is_at_rest);
            }
            Event::Completed(entry) => self.completed(*entry),
            Event::Ended(entry) => {
                meters::ended(&entry);
                tracing::info!(
                    upload = %entry.upload,
                    slot = &*entry.slot,
                    status = ?entry.status,
                    code = code_of(&entry).map(Code::as_str),
                    bytes_received = entry.bytes_received,
                    "upload ended"
                );
            }
            Event::Detached { entry, code } => {
                meters::detached(code);
                tracing::info!(
                    upload = %entry.upload,
                    slot = &*entry.slot,
                    code = code.map(Code::as_str),
                    bytes_received = entry.bytes_received,
                    "upload detached"
                );
            }
            Event::Refused { code, upload } => {
                meters::refused(code);
                tracing::debug!(code = code.as_str(), ?upload, "refused");
            }
            // `Event` may grow: what this server does not know, it does not need.
            _ => {}
        }
    }

    /// Whoever begins many uploads would write as many lines; how each ends is told anyhow.
    fn log_attached(&self, entry: &Entry) {
        let (upload, slot) = (entry.upload, &*entry.slot);
        let (bytes, from) = (entry.client_size, entry.bytes_received);
        if from == 0 {
            tracing::debug!(%upload, slot, bytes, "upload attached");
        } else {
            tracing::info!(%upload, slot, bytes, from, "upload attached");
        }
    }

    /// Has hooks learn of a stored file before the core does, so that a receipt is never kept
    /// without them; returns any other event as it is.
    pub(super) fn tell_hooks(&mut self, entry: EntryId, event: WriterEvent) -> Option<WriterEvent> {
        let (WriterEvent::Closed { result } | WriterEvent::ClosedBefore { result }) = &event else {
            return Some(event);
        };
        let hooks = self.shared.hooks.clone();
        let Some((hooks, stored)) = hooks.zip(self.core.entry(entry)) else {
            return Some(event);
        };
        let crc32c = self.core.file_crc32c(entry);
        let notice = Notice::of_upload(&self.hello.owner, stored, crc32c, result);
        self.errands.push(Box::pin(async move {
            hooks.tell(&notice).await;
            Input::Writer(entry, event)
        }));
        None
    }

    /// Runs the application's handlers beside the session, which they must not hold up.
    fn completed(&mut self, entry: Entry) {
        meters::ended(&entry);
        tracing::info!(
            upload = %entry.upload,
            slot = &*entry.slot,
            bytes = entry.client_size,
            "upload complete"
        );
        let Some(slot) = self.hello.slots.get(&*entry.slot) else {
            return;
        };
        let handlers = [&slot.on_complete, &self.shared.on_upload_complete];
        let handlers: Vec<_> = handlers.into_iter().flatten().cloned().collect();
        if handlers.is_empty() {
            return;
        }
        let completed = CompletedEntry {
            owner: self.hello.owner.clone(),
            entry: UploadedEntry::new(entry, slot.files.clone()),
        };
        self.shared.tracker.spawn(slot::tell(handlers, completed));
    }
}

/// Returns what the client was told of an upload that failed.
fn code_of(entry: &Entry) -> Option<Code> {
    match entry.status {
        EntryStatus::Failed(code) => Some(code),
        EntryStatus::Uploading | EntryStatus::Complete | EntryStatus::Cancelled => None,
    }
}
