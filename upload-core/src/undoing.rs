//! Ended uploads that are undone once nobody else can have them.
//!
//! A session may have lost an upload without knowing it: another process wrote
//! the record, and goes on with the very bytes that an abort would remove. So an
//! ending first deletes the record under the condition that it is still the
//! session's own, and the writer is aborted only after that took effect. Where
//! it can not be told, the writer is let go and what it stored is left to the
//! reaper (RESUME-8).

use std::sync::Arc;

use upload_proto::UploadRef;

use crate::{
    AbortReason, EntryId, Holder, Output, Record, RecordVersion, StoreEvent, session::Outbox,
};

/// How often the store is asked for one ending before it is left alone.
const ROUNDS_MAX: u32 = 4;

/// What tells a session's own record from another's.
#[derive(Clone, Debug)]
pub(crate) struct Mine {
    pub(crate) epoch: u64,
    pub(crate) birth: Arc<str>,
}

impl Mine {
    /// Returns whether `record` is the one this session writes.
    ///
    /// Every new holder raises the epoch, so an equal one was written by us; but
    /// all begin at 1, so one of another upload of this ref is told apart by its
    /// birth.
    pub(crate) fn is(&self, record: &Record, holder: &Holder) -> bool {
        record.epoch == self.epoch
            && *record.birth == *self.birth
            && record
                .lease
                .as_ref()
                .is_none_or(|lease| lease.boot == holder.boot && lease.session == holder.session)
    }
}

/// How far the record of an ended upload is known.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Standing {
    /// It is expected in this version.
    At(RecordVersion),
    /// An answer of the store is awaited.
    Awaited,
    /// No save was ever answered with success.
    Unknown,
}

/// An upload that ended and whose record is not known to be gone.
#[derive(Debug)]
pub(crate) struct Undoing {
    upload: UploadRef,
    slot: Arc<str>,
    mine: Mine,
    /// What its writer is told once the record is gone, if it has one.
    abort: Option<AbortReason>,
    rounds: u32,
}

impl Undoing {
    pub(crate) fn new(
        upload: UploadRef,
        slot: Arc<str>,
        mine: Mine,
        abort: Option<AbortReason>,
    ) -> Self {
        Self {
            upload,
            slot,
            mine,
            abort,
            rounds: 0,
        }
    }

    /// Asks the first question, unless an answer is under way already.
    pub(crate) fn begin(&mut self, entry: EntryId, standing: Standing, out: &mut Outbox) {
        match standing {
            Standing::At(version) => self.forget(entry, version, out),
            Standing::Unknown => self.look(entry, out),
            Standing::Awaited => {}
        }
    }

    /// Learns what the store did; returns whether all is done.
    pub(crate) fn store(
        &mut self,
        entry: EntryId,
        event: StoreEvent,
        holder: &Holder,
        out: &mut Outbox,
    ) -> bool {
        self.rounds = self.rounds.saturating_add(1);
        match event {
            StoreEvent::Forgotten => return self.undo(entry, out),
            StoreEvent::Saved(version) => self.forget(entry, version, out),
            StoreEvent::Found(Some((bytes, version)))
                if self.rounds < ROUNDS_MAX && self.is_mine(&bytes, holder) =>
            {
                self.forget(entry, version, out);
            }
            // Also where nothing is found: a newer holder may have ended it, or go
            // on without a record.
            StoreEvent::Found(_) => return self.leave(entry, out),
            StoreEvent::Conflict | StoreEvent::Failed if self.rounds < ROUNDS_MAX => {
                self.look(entry, out);
            }
            StoreEvent::Conflict | StoreEvent::Failed => return self.leave(entry, out),
            StoreEvent::Evicted => {}
        }
        false
    }

    fn is_mine(&self, bytes: &[u8], holder: &Holder) -> bool {
        Record::decode(bytes).is_ok_and(|record| self.mine.is(&record, holder))
    }

    fn forget(&self, entry: EntryId, expect: RecordVersion, out: &mut Outbox) {
        out.push(Output::Forget {
            entry,
            upload: self.upload,
            slot: Arc::clone(&self.slot),
            expect,
        });
    }

    fn look(&self, entry: EntryId, out: &mut Outbox) {
        out.push(Output::Claim {
            entry,
            upload: self.upload,
            slot: Some(Arc::clone(&self.slot)),
        });
    }

    fn undo(&self, entry: EntryId, out: &mut Outbox) -> bool {
        if let Some(reason) = self.abort {
            out.push(Output::Abort { entry, reason });
        }
        true
    }

    fn leave(&self, entry: EntryId, out: &mut Outbox) -> bool {
        if self.abort.is_some() {
            out.push(Output::Release { entry });
        }
        true
    }
}
