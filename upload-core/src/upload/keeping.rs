//! The record: what it says, when it is saved, what the store's answers mean.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;
use upload_proto::Code;

use crate::{
    AbortReason, Lease, Output, Phase, Record, RecordPhase, RecordVersion, SessionConfig,
    SessionLimits, Step, StoreEvent,
    crc::Mark,
    saver::Saving,
    undoing::Mine,
    upload::{Context, Forgetting, Upload},
};

/// A lease is renewed when this part of its life is over.
const LEASE_RENEWAL: u32 = 3;

impl Upload {
    /// Begins: puts a record into the store first, where one is kept.
    pub(crate) fn begin(&mut self, cx: &mut Context<'_>) {
        if self.saver.is_enabled() {
            self.save_when_due(cx);
        } else {
            self.claimed(cx);
        }
    }

    /// Learns what the store did.
    pub(crate) fn store(&mut self, event: StoreEvent, cx: &mut Context<'_>) {
        if self.phase.is_over() {
            return;
        }
        if !self.saver.is_enabled() {
            self.forgetting = match event {
                StoreEvent::Forgotten => Forgetting::No,
                StoreEvent::Conflict | StoreEvent::Failed => Forgetting::Failed,
                _ => self.forgetting,
            };
            return;
        }
        match event {
            StoreEvent::Saved(version) => self.store_saved(version, cx),
            StoreEvent::Failed => self.store_failed(cx),
            StoreEvent::Conflict => self.store_conflict(cx),
            StoreEvent::Found(found) => self.store_found(found, cx),
            StoreEvent::Forgotten | StoreEvent::Evicted => {}
        }
        self.settle(cx);
        self.tell_if_due(cx);
    }

    fn store_saved(&mut self, version: RecordVersion, cx: &mut Context<'_>) {
        let recovered = self.saver.saved_as(version);
        match self.phase {
            Phase::Claiming => self.claimed(cx),
            Phase::Recording if self.saved_phase() == Some(RecordPhase::Complete) => {
                self.completed(cx);
            }
            _ if recovered => self.tell_resumable(true, cx),
            _ => {}
        }
    }

    /// RESUME-9: a store that fails stops nothing but resuming.
    fn store_failed(&mut self, cx: &mut Context<'_>) {
        let tried = self.saver.saving_phase();
        let first = self.saver.failed(cx.now);
        match self.phase {
            Phase::Claiming if self.resuming.is_some() => self.refuse_locked(cx),
            Phase::Claiming => {
                self.claimed(cx);
                self.tell_resumable(false, cx);
            }
            Phase::Recording
                if matches!(
                    tried,
                    Some(RecordPhase::Receiving | RecordPhase::Completing)
                ) =>
            {
                self.saver.hurry(cx.now);
            }
            Phase::Recording => self.completed(cx),
            _ if first => self.tell_resumable(false, cx),
            _ => {}
        }
    }

    /// Somebody wrote the record, or it vanished; only reading it tells which.
    fn store_conflict(&mut self, cx: &mut Context<'_>) {
        match self.phase {
            // What its client wants to end is not taken from whoever has it now.
            Phase::Claiming if self.ending.is_some() => self.refuse_locked(cx),
            Phase::Claiming if self.resuming.is_some() => self.look_again(),
            Phase::Claiming => self.refuse_in_use(cx),
            _ => {
                self.saver.conflicted();
                cx.out.push(Output::Claim {
                    entry: self.entry.id,
                    upload: self.upload(),
                    slot: Some(Arc::clone(&self.entry.slot)),
                });
            }
        }
    }

    fn store_found(&mut self, found: Option<(Vec<u8>, RecordVersion)>, cx: &mut Context<'_>) {
        let Some((bytes, version)) = found else {
            // Either the store lost it, or a newer holder ended the upload. Where
            // nobody is here to go on with it, what is over stays over.
            if self.leaving.is_some() && !cx.out.is_connected() {
                self.taken_over(cx);
            } else {
                self.saver.adopt(None);
            }
            return;
        };
        let mine = self.mine();
        if Record::decode(&bytes).is_ok_and(|record| mine.is(&record, &cx.config.holder)) {
            self.saver.adopt(Some(version));
        } else {
            self.taken_over(cx);
        }
    }

    /// Another holder went on with the upload, or ended it.
    fn taken_over(&mut self, cx: &mut Context<'_>) {
        if self.phase == Phase::Recording {
            // The file is published; the other found that out as well.
            self.completed(cx);
        } else {
            self.superseded(cx);
        }
    }

    /// Returns what tells this holder's record from another's.
    pub(super) fn mine(&self) -> Mine {
        Mine {
            epoch: self.epoch,
            birth: Arc::clone(&self.birth),
        }
    }

    /// The record is ours, or there is none: the upload may begin or go on.
    fn claimed(&mut self, cx: &mut Context<'_>) {
        cx.out.attached(&self.entry);
        if self.resuming.is_some() && self.opened {
            if self.step(Step::Found) {
                self.has_writer = true;
                cx.out.push(Output::Reopen {
                    entry: self.entry.id,
                    epoch: self.epoch.saturating_sub(1),
                    checkpoint: self.checkpoint.clone(),
                    offset: self.durable,
                    crc32c: self.crc.settled(self.durable).crc,
                });
            }
        } else if self.step(Step::Claimed) {
            self.active_at = cx.now.instant;
            if self.resuming.is_some() {
                self.answer_resumed(cx);
            } else {
                self.answer_registered(cx);
            }
        }
    }

    /// Records the receipt. A store that was failing is asked once more, at
    /// once: without a receipt nobody could say later that the file is here.
    pub(super) fn record_receipt(&mut self, cx: &mut Context<'_>) {
        if self.saver.is_enabled() {
            self.saver.hurry(cx.now);
        } else {
            self.completed(cx);
        }
    }

    /// Returns whether close may be asked for. It does not wait for a store that
    /// is down, unless the client went away and a record without a checkpoint may
    /// have it store the same file once more elsewhere.
    pub(super) fn may_close(&self, cx: &Context<'_>) -> bool {
        let saved = self.saver.saved();
        let is_safe = cx.out.is_connected() || saved.is_some_and(|saved| saved.has_checkpoint);
        !self.saver.is_enabled()
            || saved.is_some_and(|saved| saved.phase == RecordPhase::Completing)
            || (!self.saver.is_healthy() && is_safe)
    }

    fn saved_phase(&self) -> Option<RecordPhase> {
        self.saver.saved().map(|saved| saved.phase)
    }

    /// Returns whether another connection could continue this upload.
    pub(super) fn can_be_resumed(&self) -> bool {
        self.saver.is_enabled() && !self.has_lost_checkpoint
    }

    /// What the record should say now.
    pub(super) fn target(&self) -> Saving {
        let phase = match self.phase {
            Phase::Finishing | Phase::Closing => RecordPhase::Completing,
            Phase::Recording | Phase::Complete => RecordPhase::Complete,
            _ => RecordPhase::Receiving,
        };
        Saving {
            offset: self.record_mark().offset,
            phase,
            has_checkpoint: self.checkpoint.is_some(),
            released: self.is_quiet_to_leave() || phase == RecordPhase::Complete,
        }
    }

    /// RESUME-2: never ahead of the writer; and without a checkpoint nothing
    /// survives this process. An offset within the head that was judged is none
    /// to go on from, since the rest of the head could come as something else.
    fn record_mark(&self) -> Mark {
        let mark = self.crc.settled(self.durable);
        if self.checkpoint.is_some() && mark.offset >= self.head_bytes() {
            mark
        } else {
            Mark {
                offset: 0,
                crc: mark.crc.map(|_| 0),
            }
        }
    }

    /// Saves if something changed and the store is ready for it.
    pub(super) fn save_when_due(&mut self, cx: &mut Context<'_>) {
        if self.phase.is_over() || !self.saver.is_enabled() {
            return;
        }
        self.crc.settle(self.durable);
        let limits = &cx.config.limits;
        let renew = renewal(limits);
        let target = self.target();
        let interval = self.save_interval(target, limits);
        if !self.saver.wants(target, interval, renew, cx.now) {
            return;
        }
        let Ok(record) = self.record(target, cx).encode() else {
            self.keep_no_record(cx);
            return;
        };
        self.saver.begin(target, cx.now);
        cx.out.push(Output::Save {
            entry: self.entry.id,
            upload: self.upload(),
            slot: Arc::clone(&self.entry.slot),
            record,
            expect: self.saver.expect(),
            ttl: limits.record_ttl,
        });
    }

    pub(super) fn save_deadline(&self, config: &SessionConfig) -> Option<Instant> {
        if self.phase.is_over() {
            return None;
        }
        let (target, limits) = (self.target(), &config.limits);
        let interval = self.save_interval(target, limits);
        self.saver.deadline(target, interval, renewal(limits))
    }

    /// Returns how long mere progress waits to be saved. What leaves is saved once more in any
    /// case, when it is quiet, so until then only its lease matters.
    fn save_interval(&self, target: Saving, limits: &SessionLimits) -> Duration {
        if self.leaving.is_some() && !target.released {
            renewal(limits)
        } else {
            limits.save_interval
        }
    }

    /// RESUME-2: what a record tells can be reopened with the checkpoint that it
    /// holds; without one, none is kept.
    pub(super) fn forget_when_lost(&mut self, cx: &mut Context<'_>) {
        // Which version to delete is known once no save is under way.
        let is_due = self.has_lost_checkpoint
            && self.saver.is_enabled()
            && !self.saver.is_busy()
            && !self.phase.is_over();
        if is_due {
            self.keep_no_record(cx);
        }
    }

    /// RESUME-1: a record that would be too large, or would lead nowhere, switches
    /// resuming off.
    fn keep_no_record(&mut self, cx: &mut Context<'_>) {
        self.entry.resumable = false;
        if let Some(code) = self.leaving
            && self.phase != Phase::Recording
        {
            // Nobody could ever resume it.
            let code = code.unwrap_or(Code::SessionClosed);
            return self.fail(code, AbortReason::SessionClosed, cx);
        }
        self.saver.disable();
        if self.saver.has_told_writer() {
            // The answer of a save may have been lost.
            self.forgetting = Forgetting::Failed;
        }
        if let Some(expect) = self.saver.version() {
            self.forgetting = Forgetting::Asked;
            cx.out.push(Output::Forget {
                entry: self.entry.id,
                upload: self.upload(),
                slot: Arc::clone(&self.entry.slot),
                expect,
            });
        }
        match self.phase {
            // The file is published; only its receipt is too large.
            Phase::Recording => return self.completed(cx),
            Phase::Claiming => self.claimed(cx),
            _ => {}
        }
        self.tell_trouble_resumable(Code::NotResumable, false, cx);
        self.settle(cx);
    }

    fn record(&self, target: Saving, cx: &Context<'_>) -> Record {
        let mark = self.record_mark();
        let lease = (!target.released).then(|| Lease {
            boot: cx.config.holder.boot.clone(),
            session: cx.config.holder.session,
            client_id: self.client_id.clone(),
            expires_unix_ms: cx.now.unix_ms.saturating_add(
                u64::try_from(cx.config.limits.lease_ttl.as_millis()).unwrap_or(u64::MAX),
            ),
        });
        Record {
            layout: Record::LAYOUT,
            slot: self.entry.slot.to_string(),
            client_name: self.entry.client_name.clone(),
            client_type: self.entry.client_type.clone(),
            client_size: self.entry.client_size,
            relative_path: self.entry.relative_path.clone(),
            last_modified: self.entry.last_modified,
            meta: self.entry.meta.clone(),
            chunk_size: self.slot.chunk_size,
            phase: target.phase,
            offset: target.offset,
            crc32c: mark.crc,
            file_crc32c: self.file_crc32c,
            opened: self.opened,
            checkpoint: self.checkpoint.clone(),
            epoch: self.epoch,
            lease,
            result: self.entry.result.clone().unwrap_or(Value::Null),
            birth: self.birth.to_string(),
            created_unix_ms: self.created_unix_ms,
            updated_unix_ms: cx.now.unix_ms,
        }
    }
}

/// Returns how long after a save a lease is renewed, if nothing else is saved before.
fn renewal(limits: &SessionLimits) -> Duration {
    let share = limits.lease_ttl.checked_div(LEASE_RENEWAL);
    share.unwrap_or(limits.lease_ttl)
}
