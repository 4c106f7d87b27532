//! Registrations that have no upload yet (PROTOCOL section 5, MSG-1a).
//!
//! A ref is reserved before its record is written, because until then nothing else tells two registrations of one ref
//! apart, and both would write bytes:
//!
//! - In the process ([`Notice::Reserve`]). An upload of a slot that does not resume has no record while it runs, and
//!   a record on its way to the store is not seen by who reads it meanwhile. The first connection has the ref, every
//!   other one is `ref_in_use`, and a refusal gives it back.
//! - In the store, where the slot resumes. Nodes share nothing but the store, so a record without a byte is
//!   written there under the condition that there is none, before the client may send. The same step counts it among
//!   its owner's records, so that limits are exact over all nodes (CTRL-3).
//!
//! What is reserved costs its owner a place. It is therefore short: the process forgets it with the connection, the
//! store after `reserved_ttl` (see `expiry`).

use std::sync::Arc;

use upload_proto::{Code, Register, UploadRef};

use crate::{
    AuthorizeStage, Entry, EntryId, Length, News, Notice, Now, Output, OwnerToken, Query, Question,
    Refusal, SlotRules, StoreEvent, Uploads,
    tally::{Full, Purpose},
    upload::{Upload, keeps_records},
};

use super::{Stage, reach::Reach};

/// Chunks of one upload, since an index has 32 bits (CHUNK-8).
const CHUNKS_MAX: u64 = 1 << 32;

/// A registration that the application allows.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) register: Register,
    pub(crate) slot: Arc<SlotRules>,
    /// The folder that the application chose for it.
    pub(crate) folder: Option<String>,
    /// Whether the client says when the file is whole.
    pub(crate) ends_by_word: bool,
}

/// A registration that is being decided.
#[derive(Debug)]
pub(crate) enum Offer {
    /// The application is asked.
    Asking {
        register: Arc<Register>,
        slot: Arc<SlotRules>,
        /// The folder that the application has chosen so far.
        folder: Option<String>,
        ends_by_word: bool,
    },
    /// The process is asked whether another connection holds the ref.
    Reserving(Box<Wanted>),
    /// A check failed, and the store is asked whether the ref is in use, which comes before it.
    Refusing(UploadRef, Code),
    /// An upload of the same ref is being cancelled, at the same client's request.
    Behind(Box<Wanted>),
}

impl Offer {
    /// Returns what it is for.
    pub(crate) fn upload(&self) -> UploadRef {
        match self {
            Self::Asking { register, .. } => register.upload,
            Self::Reserving(wanted) | Self::Behind(wanted) => wanted.register.upload,
            Self::Refusing(upload, _) => *upload,
        }
    }

    /// Returns the ref, where the process may have noted it as this connection's.
    pub(crate) fn reserved(&self) -> Option<UploadRef> {
        match self {
            Self::Asking { .. } | Self::Behind(..) => None,
            Self::Reserving(..) | Self::Refusing(..) => Some(self.upload()),
        }
    }
}

impl Uploads {
    /// Begins an upload of a slot that the connection has, whose file is whole with its last byte. What becomes of
    /// it comes out as [`News::Begun`], [`News::Repeated`] or [`News::Refused`].
    pub fn begin(&mut self, register: Register, now: Now) -> EntryId {
        self.offer(register, false, now)
    }

    /// The same for a file that is whole once its client says so ([`Entry::ends_by_word`]).
    pub fn begin_by_word(&mut self, register: Register, now: Now) -> EntryId {
        self.offer(register, true, now)
    }

    fn offer(&mut self, register: Register, ends_by_word: bool, now: Now) -> EntryId {
        let entry = self.next_id();
        let Some(slot) = self.config.slots.get(&register.upload_name).cloned() else {
            self.refuse(entry, Code::UnknownSlot);
            return entry;
        };
        if self.stage != Stage::Open {
            self.refuse(entry, Code::Draining);
        } else if !slot.authorize {
            let wanted = Wanted {
                register,
                slot,
                folder: None,
                ends_by_word,
            };
            self.reserve(entry, wanted, now);
        } else if self.offered.contains(&register.upload) {
            self.refuse(entry, Code::RefInUse);
        } else if self.offers.len() >= self.config.limits.pending_max {
            self.refuse(entry, Code::RateLimited);
        } else {
            let register = Arc::new(register);
            self.effects.push(Output::App(Question::Authorize {
                entry,
                register: Arc::clone(&register),
                stage: AuthorizeStage::Register,
            }));
            self.offered.insert(register.upload);
            let offer = Offer::Asking {
                register,
                slot,
                folder: None,
                ends_by_word,
            };
            self.offers.insert(entry, offer);
        }
        entry
    }

    /// Asks whether the ref is free, once this connection does not use it itself (CTRL-4).
    pub(super) fn reserve(&mut self, entry: EntryId, wanted: Wanted, now: Now) {
        let upload = wanted.register.upload;
        if self.stage != Stage::Open {
            // The application may have taken its time to answer.
            self.refuse(entry, Code::Draining);
        } else if let Some(id) = self.find(upload) {
            let is_same = self
                .upload(id)
                .is_some_and(|held| held.is_same_registration(&wanted.register));
            if is_same {
                self.with(id, now, |held, cx| {
                    if held.has_begun() {
                        held.tell_begun(cx);
                    }
                });
                self.effects.news(entry, News::Repeated);
            } else {
                self.refuse(entry, Code::RefInUse);
            }
        } else if self.is_cancelling(upload) && self.offered.insert(upload) {
            let offer = Offer::Behind(Box::new(wanted));
            self.offers.insert(entry, offer);
            self.behind.insert(upload, entry);
        } else if self.uses(upload) {
            self.refuse(entry, Code::RefInUse);
        } else {
            let notice = Notice::Reserve(upload);
            self.effects.push(Output::Neighbour(entry, notice));
            self.offered.insert(upload);
            let offer = Offer::Reserving(Box::new(wanted));
            self.offers.insert(entry, offer);
        }
    }

    pub(super) fn is_cancelling(&self, upload: UploadRef) -> bool {
        let reach = self.find_reach(upload);
        let reach = reach.and_then(|entry| self.reaches.get(&entry));
        reach.is_some_and(Reach::cancels)
    }

    /// Frees a ref, and decides about the registration that waited for it.
    pub(super) fn free(&mut self, upload: UploadRef, now: Now) {
        self.refs.remove(&upload);
        if let Some(entry) = self.behind.remove(&upload)
            && let Some(Offer::Behind(wanted)) = self.take_offer(entry)
        {
            self.reserve(entry, *wanted, now);
        }
    }

    /// Returns whether this connection uses a ref for something else than an upload in flight.
    pub(super) fn uses(&self, upload: UploadRef) -> bool {
        self.completed.contains_key(&upload)
            || self.refs.contains_key(&upload)
            || self.offered.contains(&upload)
    }

    pub(super) fn take_offer(&mut self, entry: EntryId) -> Option<Offer> {
        let offer = self.offers.remove(&entry)?;
        self.offered.remove(&offer.upload());
        Some(offer)
    }

    /// Makes the checks that follow `ref_in_use` in MSG-1a, and the upload.
    pub(super) fn admit(&mut self, id: EntryId, wanted: Wanted, now: Now) {
        let Wanted {
            mut register,
            slot,
            folder,
            ends_by_word,
        } = wanted;
        let upload = register.upload;
        match self.check(&register, &slot) {
            Ok((token, length)) => {
                let resumable = slot.resumable && register.resumable.unwrap_or(true);
                let client_id = register.client_id.take();
                let name = slot.name.as_str().into();
                let mut entry = Entry::new(id, name, register, length, resumable);
                entry.folder = folder;
                entry.ends_by_word = ends_by_word;
                let cx = self.context(now);
                let held = Upload::registered(entry, slot, token, client_id, &cx);
                self.hold(held);
                self.with(id, now, Upload::begin);
            }
            // Only a record can say that the ref is in use elsewhere, and that comes first.
            Err(code)
                if keeps_records(&self.config)
                    && self.offers.len() < self.config.limits.pending_max =>
            {
                let query = Query::Read { upload, slot: None };
                self.effects.push(Output::Store(id, query));
                self.offered.insert(upload);
                self.offers.insert(id, Offer::Refusing(upload, code));
            }
            Err(code) => self.refuse_reserved(id, upload, code),
        }
    }

    /// Learns what is in the store under the ref of a registration that is to be refused.
    pub(super) fn looked(&mut self, entry: EntryId, event: &StoreEvent) {
        if !matches!(self.offers.get(&entry), Some(Offer::Refusing(..))) {
            return;
        }
        if let Some(Offer::Refusing(upload, code)) = self.take_offer(entry) {
            let code = match event {
                StoreEvent::Found(Some(_)) => Code::RefInUse,
                StoreEvent::Found(None)
                | StoreEvent::Evicted
                | StoreEvent::Parked(_)
                | StoreEvent::Saved(_)
                | StoreEvent::Deleted
                | StoreEvent::Conflict
                | StoreEvent::OverQuota
                | StoreEvent::Failed => code,
            };
            self.refuse_reserved(entry, upload, code);
        }
    }

    pub(super) fn refuse_reserved(&mut self, entry: EntryId, upload: UploadRef, code: Code) {
        self.refuse(entry, code);
        let notice = Notice::LetGo(upload);
        self.effects.push(Output::Neighbour(entry, notice));
    }

    pub(super) fn refuse(&mut self, entry: EntryId, refusal: impl Into<Refusal>) {
        self.effects.news(entry, News::Refused(refusal.into()));
    }

    /// The order is that of MSG-1a.
    pub(super) fn check(
        &self,
        register: &Register,
        slot: &SlotRules,
    ) -> Result<(OwnerToken, Length), Code> {
        if self.count(&slot.name) >= slot.max_entries as usize {
            return Err(Code::TooManyEntries);
        }
        let limits = &self.config.limits;
        let bytes_max = limits.bytes_of_owner();
        // What no owner could ever have room for is too large, however much is in flight.
        let most = CHUNKS_MAX.saturating_mul(slot.chunk_size.max(1).into());
        let most = most.min(slot.max_file_size).min(bytes_max);
        let length = register
            .client_size
            .map_or(Length::AtMost(most), Length::Known);
        let fits = length.max() <= most;
        let bytes = if fits { length.counted(0) } else { 0 };
        let token = self
            .config
            .tally
            .take(
                bytes,
                limits.max_uploads_per_owner,
                bytes_max,
                Purpose::Register,
            )
            .map_err(|full| match full {
                Full::Owner => Code::TooManyEntries,
                // Not the owner's doing, and over soon.
                Full::Server => Code::RateLimited,
            })?;
        if !fits {
            return Err(Code::TooLarge);
        }
        slot.screen
            .screen(&register.client_name, &register.client_type)?;
        Ok((token, length))
    }
}
