//! What an upload's record says, when it is saved, and what the store's answers mean.
//!
//! A conflict never ends an upload by itself: the record is read, because the store may have taken a save
//! whose answer was lost, or may have been emptied. The writer is closed only after the record says
//! `completing`, with the file's checksum: so a crash between the file's name and its receipt can be told
//! from an unfinished file. No record offers an offset within the head that the content gate judges,
//! unless it has these bytes itself, because the rest of the head could come as something else.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use upload_proto::Code;

use crate::{
    AbortReason, Fact, News, Notice, Output, Query, Record, RecordPhase, RecordVersion,
    SessionConfig, SessionLimits, StoreEvent,
};

use super::{Context, Upload, keeper::Saving, recorder::Recorder, stay::Stay, writer::Writer};

/// A lease is renewed when this part of its life is over.
const LEASE_RENEWAL: u32 = 3;

impl Upload {
    /// Learns what the store did.
    pub(crate) fn store(&mut self, event: StoreEvent, cx: &mut Context<'_>) {
        match &mut self.recorder {
            Recorder::Off => self.looked(&event, cx),
            Recorder::Deleting(_) => match event {
                StoreEvent::Deleted => self.recorder.deleted(true),
                StoreEvent::Conflict | StoreEvent::Failed => self.recorder.deleted(false),
                StoreEvent::Found(_)
                | StoreEvent::Evicted
                | StoreEvent::Parked(_)
                | StoreEvent::Saved(_)
                | StoreEvent::OverQuota => {}
            },
            Recorder::Unsure(_) => {}
            Recorder::Kept(_) => {
                match event {
                    StoreEvent::Saved(version) => self.saved(version, cx),
                    StoreEvent::Failed => self.save_failed(cx),
                    StoreEvent::OverQuota => self.over_quota(cx),
                    StoreEvent::Conflict => self.save_conflicted(cx),
                    StoreEvent::Found(found) => self.found(found, cx),
                    StoreEvent::Deleted | StoreEvent::Evicted | StoreEvent::Parked(_) => {}
                }
                self.advance(cx);
                self.tell_moved(cx);
            }
        }
    }

    /// A slot without records asked whether another slot has one of this ref (CTRL-4).
    fn looked(&mut self, event: &StoreEvent, cx: &mut Context<'_>) {
        if self.has_begun() {
            return;
        }
        match event {
            StoreEvent::Found(Some(_)) => self.refuse(Code::RefInUse, cx),
            // RESUME-9: a store that fails stops nothing.
            StoreEvent::Found(None)
            | StoreEvent::Evicted
            | StoreEvent::Parked(_)
            | StoreEvent::Saved(_)
            | StoreEvent::Deleted
            | StoreEvent::Conflict
            | StoreEvent::OverQuota
            | StoreEvent::Failed => {
                self.claimed(cx);
                self.advance(cx);
            }
        }
    }

    fn saved(&mut self, version: RecordVersion, cx: &mut Context<'_>) {
        let Some(keeper) = self.recorder.keeper_mut() else {
            return;
        };
        let has_recovered = keeper.saved_as(version);
        let phase = keeper.saved().map(|saved| saved.phase);
        match self.writer {
            Writer::Claiming(_) => self.claimed(cx),
            Writer::Closed(_) if phase == Some(RecordPhase::Ended) => self.remove_unknown(cx),
            Writer::Closed(_) if phase.is_some_and(RecordPhase::is_stored) => self.completed(cx),
            Writer::Gate(..)
            | Writer::Judging(..)
            | Writer::Opening(_)
            | Writer::Open(_)
            | Writer::Closing
            | Writer::Announcing(_)
            | Writer::Closed(_)
            | Writer::Gone(_) => {
                if has_recovered {
                    self.tell_resumable(true, cx);
                }
            }
        }
    }

    /// RESUME-9: a store that fails stops nothing but resuming.
    pub(super) fn save_failed(&mut self, cx: &mut Context<'_>) {
        let Some(keeper) = self.recorder.keeper_mut() else {
            return;
        };
        let tried = keeper.saving_phase();
        let is_first = keeper.failed(cx.now);
        match self.writer {
            Writer::Claiming(_) => {
                self.claimed(cx);
                self.tell_resumable(false, cx);
            }
            // Its application could not find it: it is complete once the record says that it waits.
            Writer::Closed(_) if self.slot.waits => self.wait_failed(is_first, tried, cx),
            Writer::Closed(_) => match tried {
                // Without a receipt it could not be said later that the file is here, so the store
                // is asked once more, at once.
                Some(RecordPhase::Receiving | RecordPhase::Completing) => {
                    keeper.retry_now(cx.now);
                }
                Some(
                    RecordPhase::Complete
                    | RecordPhase::Waiting
                    | RecordPhase::Lent
                    | RecordPhase::Taken
                    | RecordPhase::Ended,
                )
                | None => self.completed(cx),
            },
            Writer::Gate(..)
            | Writer::Judging(..)
            | Writer::Opening(_)
            | Writer::Open(_)
            | Writer::Closing
            | Writer::Announcing(_)
            | Writer::Gone(_) => {
                if is_first {
                    self.tell_resumable(false, cx);
                }
            }
        }
    }

    /// Another holder wrote the record, or it vanished; only reading it says which.
    fn save_conflicted(&mut self, cx: &mut Context<'_>) {
        if !self.has_begun() {
            self.refuse(Code::RefInUse, cx);
            return;
        }
        self.look_for_record(cx);
    }

    fn found(&mut self, found: Option<(Vec<u8>, RecordVersion)>, cx: &mut Context<'_>) {
        let Some((bytes, version)) = found else {
            if self.waits_to_be_recorded() && self.is_perhaps_unknown(cx) {
                self.adopt(None);
                return self.save_removal(cx);
            }
            // Either the store lost it, or a newer holder ended the upload. Where no client is here
            // to continue it, what is over stays over: the newer holder may have stored the file.
            let may_be_over = match self.stay {
                Stay::Leaving(_) => true,
                Stay::Finishing(_) => !self.writer.closes(),
                Stay::Held | Stay::Gone(_) => false,
            };
            if may_be_over && !cx.is_connected {
                self.taken_over(cx);
            } else if self.entry.length.known().is_none() {
                // Its new holder may have stored it, and no record of ours would say how long it is.
                self.keep_no_record(cx);
            } else if let Some(keeper) = self.recorder.keeper_mut() {
                self.lineage.begin_anew(keeper);
            }
            return;
        };
        let fence = self.lineage.fence();
        let record = Record::decode(&bytes);
        match record {
            // The answer of the save was lost, and the file may be its application's by now.
            Ok(record) if self.is_stored_by_us(&record) => self.completed(cx),
            Ok(record) if self.is_to_be_removed_by_us(&record) => self.remove_unknown(cx),
            Ok(record) if fence.is_of(&record, &cx.config.holder) => self.adopt(Some(version)),
            // CTRL-4: the ref is another upload's.
            Ok(record) if *record.birth != *fence.registration && self.waits_to_be_recorded() => {
                self.discard(Code::RefInUse, cx);
            }
            Ok(_) | Err(_) => self.taken_over(cx),
        }
    }

    fn adopt(&mut self, version: Option<RecordVersion>) {
        if let Some(keeper) = self.recorder.keeper_mut() {
            keeper.adopt(version);
        }
    }

    /// Another holder resumed the upload, or ended it.
    fn taken_over(&mut self, cx: &mut Context<'_>) {
        match self.writer {
            // CTRL-6: only the other can tell that a record of it waits.
            Writer::Closed(_) if self.slot.waits => self.superseded(cx),
            // The file is published; the other found that out as well.
            Writer::Closed(_) => self.completed(cx),
            Writer::Announcing(_) => {
                // RESUME-2: until it is complete, a client hears of what the record said last.
                self.durable = self.durable_known();
                self.recorder = Recorder::Off;
            }
            Writer::Claiming(_)
            | Writer::Gate(..)
            | Writer::Judging(..)
            | Writer::Opening(_)
            | Writer::Open(_)
            | Writer::Closing
            | Writer::Gone(_) => self.superseded(cx),
        }
    }

    /// The record is ours, or there is none: the upload begins.
    pub(super) fn claimed(&mut self, cx: &mut Context<'_>) {
        if !self.writer.claimed() {
            return;
        }
        let (id, upload) = (self.entry.id, self.upload());
        cx.effects.push(Output::Neighbour(id, Notice::Hold(upload)));
        let entry = Box::new(self.entry.clone());
        cx.effects.push(Output::Fact(Fact::Attached(entry)));
        self.tell_begun(cx);
    }

    /// Tells the registration; also again where the client asks again (CTRL-4).
    pub(crate) fn tell_begun(&self, cx: &mut Context<'_>) {
        let keeper = self.recorder.keeper();
        let resumable = keeper.is_some_and(|keeper| keeper.is_healthy());
        let at = self.position();
        let news = News::Begun { resumable, at };
        cx.effects.news(self.entry.id, news);
    }

    fn tell_resumable(&self, resumable: bool, cx: &mut Context<'_>) {
        let news = News::Resumable(resumable, self.position());
        cx.effects.news(self.entry.id, news);
    }

    /// Records the receipt, also with a store that was failing.
    pub(super) fn record_receipt(&mut self, cx: &mut Context<'_>) {
        if self.slot.waits {
            self.recorder.keep();
            let keeper = self.recorder.keeper();
            if keeper.is_some_and(|keeper| !keeper.is_healthy()) {
                self.tell_delayed(cx);
            }
        }
        match self.recorder.keeper_mut() {
            Some(keeper) => keeper.retry_now(cx.now),
            None => self.completed(cx),
        }
    }

    /// Returns whether close may be asked for.
    ///
    /// It does not wait for a store that is down, with two exceptions:
    ///
    /// - The client is gone, and by a record without a checkpoint it may store the same file once more elsewhere.
    /// - A record may be there without the length of the file, by which no later holder could tell that it is stored.
    pub(super) fn may_close(&self, cx: &Context<'_>) -> bool {
        let Some(keeper) = self.recorder.keeper() else {
            return true;
        };
        let saved = keeper.saved();
        let is_found = cx.is_connected || saved.is_some_and(|saved| saved.has_checkpoint);
        let is_safe = is_found && keeper.tells_length();
        saved.is_some_and(|saved| saved.phase == RecordPhase::Completing)
            || (!keeper.is_healthy() && is_safe)
    }

    /// Saves if something changed and the store is ready for it.
    pub(super) fn save_when_due(&mut self, cx: &mut Context<'_>) {
        if self.stay.is_gone() || self.recorder.keeper().is_none() {
            return;
        }
        self.crc.settle(self.durable);
        let limits = &cx.config.limits;
        let target = self.target();
        let interval = self.save_interval(target, limits);
        let Some(keeper) = self.recorder.keeper() else {
            return;
        };
        if !keeper.wants(target, interval, renewal(limits), cx.now) {
            return;
        }
        let record = self.record(target, cx);
        let kept_for = record.kept(limits, cx.now);
        let Ok(record) = record.encode() else {
            // First bytes that it keeps do not go for it (RESUME-2): a record that offers less would be read.
            return self.keep_no_record(cx);
        };
        if let Some(query) = self.save_query(target, (record, kept_for), limits) {
            cx.effects.push(Output::Store(self.entry.id, query));
        }
        if let Some(keeper) = self.recorder.keeper_mut() {
            keeper.begin(target, cx.now);
        }
    }

    pub(super) fn save_deadline(&self, config: &SessionConfig) -> Option<Instant> {
        let keeper = self.recorder.keeper()?;
        let (target, limits) = (self.target(), &config.limits);
        let interval = self.save_interval(target, limits);
        keeper.deadline(target, interval, renewal(limits))
    }

    /// Returns how long mere progress waits to be saved. What leaves is saved once more in any
    /// case, when it is idle, so until then only its lease matters.
    fn save_interval(&self, target: Saving, limits: &SessionLimits) -> Duration {
        let saved = self.recorder.keeper().and_then(|keeper| keeper.saved());
        let is_first_checkpoint =
            target.has_checkpoint && saved.is_some_and(|saved| !saved.has_checkpoint);
        let is_whole = self.is_whole();
        if self.stay.leaves().is_some() && !target.released {
            renewal(limits)
        } else if is_first_checkpoint && !is_whole {
            // A process that dies now would leave bytes that no record finds again. Where all are
            // here, completing saves them in a moment.
            Duration::ZERO
        } else {
            limits.save_interval
        }
    }

    /// RESUME-2: what a record says can be reopened with the checkpoint that it holds; without one, none
    /// is kept. That a file waits for its application needs no checkpoint (CTRL-6).
    pub(super) fn drop_record_when_lost(&mut self, cx: &mut Context<'_>) {
        // Which version to delete is known once no save is in flight.
        let is_idle = self
            .recorder
            .keeper()
            .is_some_and(|keeper| !keeper.is_busy());
        let is_lost = matches!(self.checkpoint, super::Checkpoint::Lost);
        if is_idle && is_lost && !self.stay.is_gone() && !self.waits_to_be_recorded() {
            self.keep_no_record(cx);
        }
    }

    /// RESUME-1: a record that would be too large, or would lead nowhere, switches
    /// resuming off.
    fn keep_no_record(&mut self, cx: &mut Context<'_>) {
        if self.slot.waits && matches!(self.writer, Writer::Closed(_)) {
            // No application could find it.
            return self.discard(Code::StorageFailed, cx);
        }
        self.entry.resumable = false;
        if let Some(expect) = self.recorder.stop() {
            let query = Query::Delete {
                upload: self.upload(),
                slot: Arc::clone(&self.entry.slot),
                expect,
            };
            cx.effects.push(Output::Store(self.entry.id, query));
        }
        if let Some(why) = self.stay.leaves() {
            // It could never be resumed.
            let code = why.code().unwrap_or(Code::SessionClosed);
            return self.fail(code, AbortReason::SessionClosed, cx);
        }
        match self.writer {
            // The file is published; only its receipt is too large.
            Writer::Closed(_) => return self.completed(cx),
            Writer::Claiming(_) => self.claimed(cx),
            Writer::Gate(..)
            | Writer::Judging(..)
            | Writer::Opening(_)
            | Writer::Open(_)
            | Writer::Closing
            | Writer::Announcing(_)
            | Writer::Gone(_) => {}
        }
        self.tell_resumable(false, cx);
        self.advance(cx);
    }
}

/// Returns how long after a save a lease is renewed, if nothing else is saved before.
pub(crate) fn renewal(limits: &SessionLimits) -> Duration {
    let share = limits.lease_ttl.checked_div(LEASE_RENEWAL);
    share.unwrap_or(limits.lease_ttl)
}
