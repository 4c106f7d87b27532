//! An upload that is stored and waits for its application: it is complete once its record says so
//! (CTRL-6).

use std::sync::Arc;

use upload_proto::Code;

use crate::{
    Charge, Entry, EntryStatus, Fact, News, Order, Output, Query, Record, RecordPhase, Save,
};

use super::{
    Context, Upload,
    keeper::{Keeper, Saving},
    recorder::Recorder,
    stay::{Departure, Undo},
    writer::Writer,
};

impl Upload {
    /// Returns whether a record says that this very upload was stored, and waits or is over.
    pub(super) fn is_stored_by_us(&self, record: &Record) -> bool {
        record.phase.is_stored()
            && record.phase != RecordPhase::Complete
            && *record.birth == *self.lineage.registration
            && matches!(self.writer, Writer::Closed(_))
    }

    /// Returns whether the file has its name, and its application could find it by its record only.
    pub(super) fn waits_to_be_recorded(&self) -> bool {
        self.slot.waits && matches!(self.writer, Writer::Closed(_))
    }

    /// The owner has as much as it may.
    pub(super) fn over_quota(&mut self, cx: &mut Context<'_>) {
        match self.writer {
            Writer::Claiming(_) => self.refuse(Code::TooManyEntries, cx),
            Writer::Closed(_) => {
                // The store answered, so nothing is awaited that the cleanup would have to wait for.
                if let Some(keeper) = self.recorder.keeper_mut() {
                    keeper.failed(cx.now);
                }
                self.discard(Code::TooManyEntries, cx);
            }
            Writer::Gate(..)
            | Writer::Judging(..)
            | Writer::Opening(_)
            | Writer::Open(_)
            | Writer::Closing
            | Writer::Announcing(_)
            | Writer::Gone(_) => self.save_failed(cx),
        }
    }

    /// The store failed to take the record of a stored file, or to read it.
    pub(super) fn wait_failed(
        &mut self,
        is_first: bool,
        tried: Option<RecordPhase>,
        cx: &mut Context<'_>,
    ) {
        if is_first {
            self.tell_delayed(cx);
        } else if tried.is_some_and(RecordPhase::is_stored) && self.is_perhaps_unknown(cx) {
            // The answer of a save may have been lost: only reading says whether a record tells of it.
            self.look_for_record(cx);
        }
    }

    /// No client waits for the file, and no record tells of it: has one say that it is to be removed. A
    /// save that is late conflicts with that, or else it would tell of a file that is gone.
    pub(super) fn save_removal(&mut self, cx: &mut Context<'_>) {
        let target = self.target();
        let removal = self.record(target, cx);
        let removal = removal.ended(Code::Expired, cx.now.unix_ms);
        let ttl = removal.kept_for(cx.config.limits.record_ttl, cx.now.unix_ms);
        let (Ok(record), Some(keeper)) = (removal.encode(), self.recorder.keeper()) else {
            return self.discard(Code::StorageThrottled, cx);
        };
        let save = Save {
            upload: self.upload(),
            slot: Arc::clone(&self.entry.slot),
            record,
            expect: keeper.expect(),
            ttl,
            charge: Charge::Nothing,
            quota: None,
        };
        let query = Query::Save(Box::new(save));
        cx.effects.push(Output::Store(self.entry.id, query));
        if let Some(keeper) = self.recorder.keeper_mut() {
            let phase = RecordPhase::Ended;
            keeper.begin(Saving { phase, ..target }, cx.now);
        }
    }

    /// Returns whether a record says that this very file is to be removed, although the answer of that
    /// save was lost.
    pub(super) fn is_to_be_removed_by_us(&self, record: &Record) -> bool {
        record.phase == RecordPhase::Ended
            && self.waits_to_be_recorded()
            && self.lineage.fence().wrote(record)
    }

    /// The record says that it is to be removed, and stays until late saves have conflicted with it.
    pub(super) fn remove_unknown(&mut self, cx: &mut Context<'_>) {
        self.recorder = Recorder::Off;
        self.discard(Code::StorageThrottled, cx);
    }

    /// Returns whether no client waits for the file, and no record is known to tell of it.
    pub(super) fn is_perhaps_unknown(&self, cx: &Context<'_>) -> bool {
        let was_saved = |keeper: &Keeper| keeper.was_saved();
        !cx.is_connected && !self.recorder.keeper().is_some_and(was_saved)
    }

    /// Ends although the file has its name: no application could find it, so it is removed.
    pub(super) fn discard(&mut self, code: Code, cx: &mut Context<'_>) {
        let Writer::Closed(result) = &mut self.writer else {
            return;
        };
        let result = std::mem::take(result);
        if self.stay.is_gone() {
            return;
        }
        let stored = Entry {
            result: Some(result),
            ..self.entry.clone()
        };
        self.order(Order::Remove(Box::new(stored)), cx);
        self.entry.status = EntryStatus::Failed(code);
        self.writer.drop_it(true);
        // CTRL-4: a record of another upload is not this one's to delete.
        let departure = if code == Code::RefInUse {
            Departure::Refused
        } else {
            Departure::Ended(Undo::Nothing)
        };
        self.stay.depart(departure);
        let entry = Box::new(self.entry.clone());
        cx.effects.push(Output::Fact(Fact::Ended(entry)));
        self.tell_ended(cx);
    }

    pub(super) fn tell_delayed(&self, cx: &mut Context<'_>) {
        let news = News::Delayed(Code::StorageThrottled, self.position());
        cx.effects.news(self.entry.id, news);
    }
}
