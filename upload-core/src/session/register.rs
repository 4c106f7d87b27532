//! Registrations (PROTOCOL section 5, MSG-1a).

use std::sync::Arc;

use upload_proto::{Code, Register, ServerMessage, Snapshot, Status, UploadRef};

use crate::{
    Entry, EntryId, Moment, Now, Output, OwnerToken, Session, SlotRules,
    session::Stage,
    tally::Full,
    upload::{Context, Newcomer, Upload},
};

/// A registration that waits for the application's word.
#[derive(Debug)]
pub(super) struct Waiting {
    register: Arc<Register>,
    slot: Arc<SlotRules>,
}

impl Session {
    /// Learns whether the application allows what it was asked about; the code of
    /// a refusal is usually [`Code::Forbidden`].
    pub fn handle_authorized(&mut self, entry: EntryId, answer: Result<(), Code>, now: Now) {
        if let Some(waiting) = self.waiting.remove(&entry) {
            let register = Arc::unwrap_or_clone(waiting.register);
            match answer {
                Ok(()) => self.admit(entry, register, waiting.slot, now),
                Err(code) => self.refuse_registration(code, register.upload),
            }
        } else if self.ids.contains_key(&entry) {
            self.with_entry(entry, now, |held, cx| held.authorized(answer, cx));
        } else {
            self.lookup_authorized(entry, answer);
        }
        self.count_refusals(now);
        self.after_answer();
    }

    pub(super) fn register(&mut self, register: Register, now: Now) {
        let Some(slot) = self.config.slots.get(&register.upload_name).cloned() else {
            self.refuse_registration(Code::UnknownSlot, register.upload);
            return;
        };
        if self.stage != Stage::Open {
            self.refuse_registration(Code::Draining, register.upload);
            return;
        }
        let entry = self.next_id();
        if !slot.authorize {
            self.admit(entry, register, slot, now);
        } else if self.is_waiting_for(register.upload) {
            self.refuse(Code::RefInUse, Some(register.upload));
        } else if self.waiting.len() >= self.config.limits.pending_max {
            self.refuse_registration(Code::RateLimited, register.upload);
        } else {
            let register = Arc::new(register);
            self.out.push(Output::Authorize {
                entry,
                register: Arc::clone(&register),
                moment: Moment::Register,
            });
            self.waiting.insert(entry, Waiting { register, slot });
        }
    }

    fn is_waiting_for(&self, upload: UploadRef) -> bool {
        self.waiting
            .values()
            .any(|waiting| waiting.register.upload == upload)
    }

    /// Makes the checks that follow `forbidden` in MSG-1a and the entry.
    fn admit(&mut self, entry: EntryId, register: Register, slot: Arc<SlotRules>, now: Now) {
        let upload = register.upload;
        if let Some(held) = self.uploads.get(&upload) {
            if held.is_same_registration(&register) {
                self.with_upload(upload, now, Upload::answer_registered);
            } else {
                self.refuse(Code::RefInUse, Some(upload));
            }
            return;
        }
        match self.check(&register, &slot) {
            Ok(token) => {
                let held = self.make(entry, register, slot, token, now);
                self.hold(held, now);
            }
            Err(Code::RefInUse) => self.refuse(Code::RefInUse, Some(upload)),
            Err(code) => self.refuse_registration(code, upload),
        }
    }

    /// The order is that of MSG-1a.
    fn check(&self, register: &Register, slot: &SlotRules) -> Result<OwnerToken, Code> {
        let is_complete = self
            .completed
            .iter()
            .any(|entry| entry.upload == register.upload);
        if is_complete || self.is_looking_for(register.upload) {
            return Err(Code::RefInUse);
        }
        if self.entries_of(&slot.name) >= slot.max_entries as usize {
            return Err(Code::TooManyEntries);
        }
        let limits = &self.config.limits;
        let bytes_max = limits.max_bytes_per_owner.unwrap_or(u64::MAX);
        // What no owner could ever have room for is too large, however much is under way.
        let fits = register.client_size <= slot.max_file_size.min(bytes_max);
        let bytes = if fits { register.client_size } else { 0 };
        let token = self
            .config
            .tally
            .take(bytes, limits.max_uploads_per_owner, bytes_max)
            .map_err(|full| match full {
                Full::Owner => Code::TooManyEntries,
                // None of its own doing, and over soon.
                Full::Server => Code::RateLimited,
            })?;
        if !fits {
            return Err(Code::TooLarge);
        }
        slot.screen
            .screen(&register.client_name, &register.client_type)?;
        Ok(token)
    }

    fn make(
        &mut self,
        entry: EntryId,
        mut register: Register,
        slot: Arc<SlotRules>,
        token: OwnerToken,
        now: Now,
    ) -> Upload {
        let resumable = slot.resumable && register.resumable.unwrap_or(true);
        let client_id = register.client_id.take();
        let entry = Entry::new(entry, slot.name.as_str().into(), register, resumable);
        let newcomer = self.newcomer(entry, slot, client_id, token);
        let cx = Context {
            out: &mut self.out,
            config: &self.config,
            now,
        };
        Upload::registered(newcomer, &cx)
    }

    /// Puts together what an upload is made of, whether it begins or goes on.
    pub(super) fn newcomer(
        &self,
        entry: Entry,
        slot: Arc<SlotRules>,
        client_id: Option<String>,
        token: OwnerToken,
    ) -> Newcomer {
        Newcomer {
            entry,
            slot,
            client_id,
            token,
            window: self.window,
        }
    }

    /// CTRL-3: under way, or complete and not yet consumed.
    fn entries_of(&self, slot: &str) -> usize {
        let live = self.uploads.values().map(|held| &held.entry);
        live.chain(&self.completed)
            .filter(|entry| &*entry.slot == slot)
            .count()
    }

    /// MSG-1: a refused registration is a snapshot, unless that would end a
    /// live upload of the same ref on the client.
    pub(super) fn refuse_registration(&mut self, code: Code, upload: UploadRef) {
        if self.uploads.contains_key(&upload) {
            self.refuse(code, Some(upload));
            return;
        }
        self.out.refuse(code, Some(upload));
        let snapshot = Snapshot::new(upload, Status::Error).with_code(code);
        self.out.send(ServerMessage::Progress(Box::new(snapshot)));
    }
}
