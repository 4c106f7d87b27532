//! Ended uploads whose record and bytes are removed once no other holder can have them.
//!
//! A session may have lost an upload without knowing it: another process wrote
//! the record, and continues with the very bytes that an abort would remove. So an
//! ending first deletes the record under the condition that it is still the
//! session's own, and the writer is aborted only after that took effect. Where
//! it can not be known, the writer is released and what it stored is left to the
//! reaper (RESUME-8).
//!
//! A process that dies after the record is gone and before the writer was aborted leaves bytes that no
//! record names. The reaper removes those too, by their age. Unlike the record of an upload that expired
//! (`expiry`), none is kept as a mark, which would cost each cancel two more writes of the store, and the
//! core an answer to each abort.

use std::sync::Arc;

use upload_proto::UploadRef;

use crate::{
    AbortReason, EntryId, Fence, Holder, Lease, Order, Output, OwnerToken, Query, Record,
    RecordVersion, StoreEvent, news::Effects, upload::recorder::Standing,
};

/// How often the store is asked for one ending before it is left alone.
const ROUNDS_MAX: u32 = 4;

impl Fence {
    /// Returns whether the last holder, which wrote `record`, had this fence.
    pub(crate) fn wrote(&self, record: &Record) -> bool {
        record.epoch == self.epoch && *record.birth == *self.registration
    }

    /// Returns whether `record` is the one that this holder of this registration writes.
    ///
    /// Every new holder raises the epoch, so an equal one was written by us; but
    /// all begin at 1, so one of another upload of this ref differs by its
    /// registration.
    pub(crate) fn is_of(&self, record: &Record, holder: &Holder) -> bool {
        let is_holder =
            |lease: &Lease| lease.boot == holder.boot && lease.session == holder.session;
        self.wrote(record) && record.lease.as_ref().is_none_or(is_holder)
    }
}

/// An upload that ended and whose record is not known to be gone.
#[derive(Debug)]
pub(crate) struct Cleanup {
    upload: UploadRef,
    slot: Arc<str>,
    fence: Fence,
    /// What its writer receives once the record is gone, if it has one.
    abort: Option<AbortReason>,
    /// Counts it among the owner's uploads until all is done, so that the store is never asked
    /// about more of them at once than an owner may have (CTRL-3).
    _token: Option<OwnerToken>,
    rounds: u32,
}

/// Whether a cleanup waits for the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Waits,
    Done,
}

impl Cleanup {
    pub(crate) fn new(
        upload: UploadRef,
        slot: Arc<str>,
        fence: Fence,
        abort: Option<AbortReason>,
        token: Option<OwnerToken>,
    ) -> Self {
        Self {
            upload,
            slot,
            fence,
            abort,
            _token: token,
            rounds: 0,
        }
    }

    /// Asks the first question, unless an answer is in flight already.
    pub(crate) fn begin(&mut self, entry: EntryId, standing: Standing, effects: &mut Effects) {
        match standing {
            Standing::At(version) => self.delete(entry, version, effects),
            Standing::Unknown => self.look(entry, effects),
            Standing::Awaited | Standing::Nothing => {}
        }
    }

    /// Learns what the store did.
    pub(crate) fn store(
        &mut self,
        entry: EntryId,
        event: StoreEvent,
        holder: &Holder,
        effects: &mut Effects,
    ) -> Progress {
        self.rounds = self.rounds.saturating_add(1);
        match event {
            StoreEvent::Deleted => return self.undo(entry, effects),
            StoreEvent::Saved(version) => self.delete(entry, version, effects),
            StoreEvent::Found(Some((bytes, version)))
                if self.rounds < ROUNDS_MAX && self.is_ours(&bytes, holder) =>
            {
                self.delete(entry, version, effects);
            }
            // Also where nothing is found: a newer holder may have ended it, or continue it
            // without a record.
            StoreEvent::Found(_) => return self.leave(entry, effects),
            StoreEvent::Conflict | StoreEvent::Failed if self.rounds < ROUNDS_MAX => {
                self.look(entry, effects);
            }
            StoreEvent::Conflict | StoreEvent::Failed => return self.leave(entry, effects),
            // A save of its registration that was refused left nothing.
            StoreEvent::OverQuota => return self.undo(entry, effects),
            StoreEvent::Evicted | StoreEvent::Parked(_) => {}
        }
        Progress::Waits
    }

    fn is_ours(&self, bytes: &[u8], holder: &Holder) -> bool {
        Record::decode(bytes).is_ok_and(|record| self.fence.is_of(&record, holder))
    }

    fn delete(&self, entry: EntryId, expect: RecordVersion, effects: &mut Effects) {
        let query = Query::Delete {
            upload: self.upload,
            slot: Arc::clone(&self.slot),
            expect,
        };
        effects.push(Output::Store(entry, query));
    }

    fn look(&self, entry: EntryId, effects: &mut Effects) {
        let query = Query::Read {
            upload: self.upload,
            slot: Some(Arc::clone(&self.slot)),
        };
        effects.push(Output::Store(entry, query));
    }

    fn undo(&self, entry: EntryId, effects: &mut Effects) -> Progress {
        if let Some(reason) = self.abort {
            effects.push(Output::Writer(entry, Order::Abort(reason)));
        }
        Progress::Done
    }

    fn leave(&self, entry: EntryId, effects: &mut Effects) -> Progress {
        if self.abort.is_some() {
            effects.push(Output::Writer(entry, Order::Release));
        }
        Progress::Done
    }
}
