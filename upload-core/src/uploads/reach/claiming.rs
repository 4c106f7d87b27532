//! Taking over an upload that was found: its record, then its writer.

use std::{sync::Arc, time::Instant};

use upload_proto::Code;

use crate::{
    AbortReason, CheckpointChange, Entry, EntryId, Fact, Fence, Notice, Order, Output, OwnerToken,
    Record, RecordVersion, SessionConfig, SlotRules, WriterEvent,
    crc::PrefixCrc,
    news::Answer,
    upload::{
        Context,
        stay::{Permit, Stay},
        writer::{Behind, Past, Writer},
    },
};

use super::{
    super::{
        claim::{Claim, Then, saving_interval},
        is_too_old,
    },
    Asks, Cleared, ROUNDS_MAX, Reach, Stage, Step,
};

impl Reach {
    /// Writes the record back with the next epoch; everything else follows.
    pub(crate) fn take(
        &mut self,
        id: EntryId,
        (record, version): (Record, RecordVersion),
        slot: Arc<SlotRules>,
        token: Option<OwnerToken>,
        cx: &mut Context<'_>,
    ) -> Step {
        let register = record.registration(self.upload);
        let name = slot.name.as_str().into();
        let mut entry = Entry::new(id, name, register, record.length, true);
        entry.stored_name.clone_from(&record.stored_name);
        entry.folder.clone_from(&record.folder);
        entry.ends_by_word = record.ends_by_word;
        let client_id = match &self.asks {
            Asks::Continue(client_id) => client_id.clone(),
            Asks::Receipt | Asks::Look | Asks::Cancel => None,
        };
        let then = if self.cancels() {
            Then::Cancel
        } else if is_too_old(record.created_unix_ms, &cx.config.limits, cx.now) {
            Then::Fail(Code::Expired, AbortReason::Expired)
        } else {
            Then::Continue
        };
        let mut claim = Claim::new(entry, slot, token, client_id, record, version, then, cx);
        match claim.save(id, self.upload, cx) {
            true => {
                self.stage = Stage::Claiming(Box::new(claim));
                Step::Waits
            }
            // It can not be written any more, so it can not be taken.
            false => Step::Answered(Answer::Locked(0)),
        }
    }

    /// Another holder was faster: looks at the record again, unless it is to end anyway.
    pub(super) fn lost_race(&mut self, id: EntryId, accepts: bool, cx: &mut Context<'_>) -> Step {
        let offset = self.claim().map_or(0, |claim| claim.received());
        let then = self.claim().map(|claim| claim.then);
        self.round = self.round.saturating_add(1);
        if self.cancels() && self.round < ROUNDS_MAX {
            self.read(id, Cleared::Nothing, cx);
            return Step::Waits;
        }
        // A cancel during a claim is dropped when another holder wins: the upload is then theirs.
        if matches!(then, Some(Then::Cancel | Then::Fail(..))) {
            return Step::Answered(Answer::Locked(offset));
        }
        if !accepts || self.round >= ROUNDS_MAX {
            return Step::Answered(Answer::Locked(0));
        }
        self.read(id, Cleared::Nothing, cx);
        Step::Waits
    }

    /// The record is ours: the writer is continued, or the upload begins anew.
    pub(super) fn claimed(&mut self, id: EntryId, cx: &mut Context<'_>) -> Step {
        let stage = std::mem::replace(&mut self.stage, Stage::Asking);
        let (Stage::Claiming(claim) | Stage::Reopening(claim)) = stage else {
            return Step::Waits;
        };
        let notice = Notice::Hold(self.upload);
        cx.effects.push(Output::Neighbour(id, notice));
        let entry = Box::new(claim.entry.clone());
        cx.effects.push(Output::Fact(Fact::Attached(entry)));
        if !claim.record.opened {
            let gate = claim.gate(Behind::Nothing);
            return claim.become_upload(gate);
        }
        cx.effects.push(Output::Writer(
            id,
            Order::Reopen {
                fence: Fence {
                    epoch: claim.record.epoch,
                    ..claim.lineage.fence()
                },
                checkpoint: claim.record.checkpoint.clone(),
                offset: claim.offset,
                crc32c: claim.crc32c,
            },
        ));
        self.stage = Stage::Reopening(claim);
        Step::Waits
    }

    /// Another holder has it, although the writer is being reopened here.
    pub(super) fn taken_over(&mut self, id: EntryId, cx: &mut Context<'_>) -> Step {
        cx.effects.push(Output::Writer(id, Order::Release));
        let notice = Notice::LetGo(self.upload);
        cx.effects.push(Output::Neighbour(id, notice));
        Step::Answered(Answer::Locked(0))
    }

    /// Learns what became of the writer.
    pub(crate) fn writer(&mut self, event: WriterEvent, cx: &mut Context<'_>) -> Step {
        let is_reopening = matches!(self.stage, Stage::Reopening(_));
        if !is_reopening {
            return Step::Waits;
        }
        let stage = std::mem::replace(&mut self.stage, Stage::Asking);
        let Stage::Reopening(claim) = stage else {
            return Step::Waits;
        };
        match event {
            WriterEvent::Unparked(parked) => {
                let then = claim.then;
                let mut upload = claim.upload(Writer::OPEN);
                upload.entry.bytes_received = parked.received;
                (upload.taken, upload.durable) = (parked.received, parked.durable);
                upload.crc = parked.crc;
                let newest = parked.checkpoint;
                upload.note_checkpoint(
                    newest.map_or(CheckpointChange::Absent, CheckpointChange::New),
                );
                // It was counted when it was parked.
                upload.token = parked.token;
                upload.flush_once_idle(cx);
                Step::Became(upload, then)
            }
            WriterEvent::Reopened { checkpoint } => {
                let then = claim.then;
                let writer = claim.reopened();
                let mut upload = claim.upload(writer);
                upload.note_checkpoint(checkpoint);
                Step::Became(upload, then)
            }
            WriterEvent::ClosedBefore { result } => {
                // It was recorded before the close, unless the holder that closed the file had lost
                // its record: then this one is older, and what it says is not that file.
                let Some(size) = claim.record.length.known() else {
                    return Step::Lost(claim.upload(Writer::Gone(Past::Receiving)));
                };
                let announced = cx.config.announces.then(|| result.clone());
                let writer = Writer::published(result, cx.config.announces);
                let mut upload = claim.upload(writer);
                upload.entry.bytes_received = size;
                (upload.taken, upload.durable) = (size, size);
                upload.crc = PrefixCrc::from(size, upload.file_crc32c);
                upload.stay = Stay::Finishing(Permit::Granted);
                upload.published(announced, cx);
                Step::Became(upload, Then::Continue)
            }
            WriterEvent::Gone => {
                let then = claim.then;
                let upload = claim.upload(Writer::Gone(Past::Receiving));
                match then {
                    Then::Continue | Then::Leave(_) => Step::Lost(upload),
                    Then::Cancel | Then::Fail(..) => Step::Became(upload, then),
                }
            }
            WriterEvent::Failed(fault) => claim.reopen_failed(fault, cx),
            WriterEvent::Opened { .. } | WriterEvent::Wrote { .. } | WriterEvent::Closed { .. } => {
                self.stage = Stage::Reopening(claim);
                Step::Waits
            }
        }
    }

    /// Returns when the lease of what is being reopened has to be renewed.
    pub(crate) fn deadline(&self, config: &SessionConfig) -> Option<Instant> {
        match &self.stage {
            Stage::Reopening(claim) => {
                let (interval, renew) = saving_interval(&config.limits);
                claim.keeper.deadline(claim.target(), interval, renew)
            }
            Stage::Reading(_)
            | Stage::Asking
            | Stage::Evicting
            | Stage::Looking(_)
            | Stage::Claiming(_) => None,
        }
    }

    /// Renews the lease of what is being reopened, if it is time.
    pub(crate) fn tick(&mut self, id: EntryId, cx: &mut Context<'_>) {
        if let Stage::Reopening(claim) = &mut self.stage {
            claim.save(id, self.upload, cx);
        }
    }
}
