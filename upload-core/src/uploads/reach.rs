//! Reaching an upload that exists: one machine under one entry.
//!
//! ```text
//!            evict                    take             saved            reopened
//! Reading ─────────▶ Evicting   Reading ───▶ Claiming ───────▶ Reopening ───────▶ an upload
//!    ▲  │ ask            │                       │
//!    │  └────▶ Asking    │ evicted               │ conflict: another holder was faster
//!    └───────────┴───────┴───────────────────────┘
//! ```
//!
//! A door reaches for an upload to continue it, to learn its receipt, to look at it, or to cancel it.
//! All of them read the record; only who continues or cancels takes it over, by writing it back
//! with the next epoch, and reopens its writer, since nothing else could remove its bytes. The
//! machine ends in an answer, or hands over an [`Upload`] that takes bytes.

mod claiming;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use upload_proto::{Code, UploadRef};

use crate::{
    AuthorizeStage, EntryId, Fence, News, Notice, Output, Query, Question, Record, RecordPhase,
    RecordVersion, Refusal, SlotRules, StoreEvent,
    lookup::{Access, Asker, judge},
    news::Answer,
    upload::{Context, Upload},
};

use super::claim::{Claim, Then};

/// How often one reach reads the record before it gives way as `locked`.
const ROUNDS_MAX: u32 = 4;

/// What an upload is reached for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asks {
    /// To continue it, as this client (RESUME-4).
    Continue(Option<String>),
    /// For the receipt of an upload that was completed before (COMPLETE-4).
    Receipt,
    /// To learn how far it has come, unless a holder may be changing that; nothing is taken.
    Look,
    /// To end it, wherever it is held (COMPLETE-7).
    Cancel,
}

/// Who agreed already that the upload may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cleared {
    Nothing,
    /// The application.
    Application,
    /// And this process's other holder, which let go.
    Neighbour,
}

/// How far a reach is.
#[derive(Debug)]
pub(crate) enum Stage {
    /// The record is read.
    Reading(Cleared),
    /// The application is asked.
    Asking,
    /// This process's other holder is asked to let go.
    Evicting,
    /// The process is asked for the writer that is parked, while this is the record.
    Looking(Box<Record>),
    /// The record is written back with the next epoch.
    Claiming(Box<Claim>),
    /// The writer is continued where the last holder left it.
    Reopening(Box<Claim>),
}

/// A reach for one upload.
#[derive(Debug)]
pub(crate) struct Reach {
    pub(crate) upload: UploadRef,
    asks: Asks,
    pub(crate) stage: Stage,
    /// How often the record was read for it.
    round: u32,
    /// The epoch the record had when it was read first; a holder that raised it since
    /// asked later, also under the same client's name.
    seen_epoch: Option<u64>,
}

/// What becomes of a reach.
#[derive(Debug)]
pub(crate) enum Step {
    /// It waits.
    Waits,
    /// It ends with this answer.
    Answered(Answer),
    /// It needs a place among the uploads of its owner and its slot before it may continue.
    Take(Box<Record>, RecordVersion, Arc<SlotRules>),
    /// It is an upload from now on.
    Became(Box<Upload>, Then),
    /// Its writer has nothing to continue from: as if there were no record.
    Lost(Box<Upload>),
}

impl Reach {
    pub(crate) fn new(upload: UploadRef, asks: Asks) -> Self {
        Self {
            upload,
            asks,
            stage: Stage::Reading(Cleared::Nothing),
            round: 0,
            seen_epoch: None,
        }
    }

    /// Returns whether the upload is to be continued.
    pub(crate) fn continues(&self) -> bool {
        matches!(self.asks, Asks::Continue(_))
    }

    /// Returns whether the upload is to be cancelled.
    pub(crate) fn cancels(&self) -> bool {
        self.asks == Asks::Cancel
    }

    /// Returns whether it outlives its connection: it holds something, or was asked to remove it.
    pub(crate) fn outlives(&self) -> bool {
        self.cancels() || self.claim().is_some()
    }

    /// Returns what is being taken over.
    pub(crate) fn claim(&self) -> Option<&Claim> {
        match &self.stage {
            Stage::Claiming(claim) | Stage::Reopening(claim) => Some(claim),
            Stage::Reading(_) | Stage::Asking | Stage::Evicting | Stage::Looking(_) => None,
        }
    }

    /// Returns what is being taken over.
    pub(crate) fn claim_mut(&mut self) -> Option<&mut Claim> {
        match &mut self.stage {
            Stage::Claiming(claim) | Stage::Reopening(claim) => Some(claim),
            Stage::Reading(_) | Stage::Asking | Stage::Evicting | Stage::Looking(_) => None,
        }
    }

    /// Has the upload end as soon as it is ours, wherever it is held.
    pub(crate) fn cancel(&mut self) {
        match &mut self.stage {
            Stage::Claiming(claim) | Stage::Reopening(claim) => claim.then = Then::Cancel,
            Stage::Reading(_) | Stage::Asking | Stage::Evicting | Stage::Looking(_) => {
                self.asks = Asks::Cancel;
            }
        }
    }

    /// Reads the record.
    pub(crate) fn read(&mut self, id: EntryId, cleared: Cleared, cx: &mut Context<'_>) {
        self.stage = Stage::Reading(cleared);
        let (upload, slot) = (self.upload, None);
        let query = Query::Read { upload, slot };
        cx.effects.push(Output::Store(id, query));
    }

    /// Learns whether the application lets the upload be continued.
    pub(crate) fn authorized(
        &mut self,
        id: EntryId,
        answer: Result<(), Refusal>,
        cx: &mut Context<'_>,
    ) -> Step {
        match (&self.stage, answer) {
            // A cancel is no matter of the application.
            (Stage::Asking, Ok(()) | Err(_)) if self.cancels() => {
                self.read(id, Cleared::Nothing, cx);
                Step::Waits
            }
            (Stage::Asking, Ok(())) => {
                // Its holder may have continued it meanwhile.
                self.read(id, Cleared::Application, cx);
                Step::Waits
            }
            (Stage::Asking, Err(refusal)) => Step::Answered(Answer::Refused(refusal)),
            (
                Stage::Reading(_)
                | Stage::Evicting
                | Stage::Looking(_)
                | Stage::Claiming(_)
                | Stage::Reopening(_),
                Ok(()) | Err(_),
            ) => Step::Waits,
        }
    }

    /// Learns what the store did.
    pub(crate) fn store(
        &mut self,
        id: EntryId,
        event: StoreEvent,
        accepts: bool,
        cx: &mut Context<'_>,
    ) -> Step {
        match (&mut self.stage, event) {
            (Stage::Reading(cleared), StoreEvent::Found(found)) => {
                let cleared = *cleared;
                self.found(id, cleared, found, accepts, cx)
            }
            // The record may well be there: a client has to come back, and never hears that what was
            // durable is gone (RESUME-2).
            (Stage::Reading(_), StoreEvent::Failed) => Step::Answered(Answer::Unreadable),
            (Stage::Evicting, StoreEvent::Evicted) => {
                self.read(id, Cleared::Neighbour, cx);
                Step::Waits
            }
            (Stage::Looking(record), StoreEvent::Parked(parked)) => {
                let record = record.clone();
                self.looked(id, record, parked, cx)
            }
            (Stage::Claiming(claim), StoreEvent::Saved(version)) => {
                claim.keeper.saved_as(version);
                self.claimed(id, cx)
            }
            (Stage::Claiming(_), StoreEvent::Conflict) => self.lost_race(id, accepts, cx),
            (Stage::Claiming(claim), StoreEvent::Failed) => {
                // COMPLETE-7: no other holder has it, so a cancel is not refused as if one had.
                Step::Answered(match claim.then {
                    Then::Cancel => Answer::Unreadable,
                    Then::Continue | Then::Leave(_) | Then::Fail(..) => {
                        Answer::Locked(claim.received())
                    }
                })
            }
            (Stage::Reopening(claim), event) => {
                let is_lost = claim.renewed(id, self.upload, event, cx);
                match is_lost {
                    true => self.taken_over(id, cx),
                    false => Step::Waits,
                }
            }
            (
                Stage::Reading(_)
                | Stage::Asking
                | Stage::Evicting
                | Stage::Looking(_)
                | Stage::Claiming(_),
                StoreEvent::Found(_)
                | StoreEvent::Evicted
                | StoreEvent::Parked(_)
                | StoreEvent::Saved(_)
                | StoreEvent::Deleted
                | StoreEvent::Conflict
                | StoreEvent::OverQuota
                | StoreEvent::Failed,
            ) => Step::Waits,
        }
    }

    fn found(
        &mut self,
        id: EntryId,
        cleared: Cleared,
        found: Option<(Vec<u8>, RecordVersion)>,
        accepts: bool,
        cx: &mut Context<'_>,
    ) -> Step {
        if !accepts && self.continues() {
            // The next connection may have it; nothing begins here any more.
            return Step::Answered(Answer::Refused(Code::Draining.into()));
        }
        let Some((bytes, version)) = found else {
            return Step::Answered(Answer::NotFound);
        };
        let record = match Record::decode(&bytes) {
            Ok(record) => record,
            // RESUME-1: a newer version can continue it; here it is left alone.
            Err(error) if error.is_of_another_version() => {
                return Step::Answered(Answer::Locked(0));
            }
            Err(_) => return Step::Answered(Answer::NotFound),
        };
        let slot = cx.config.slots.get(&record.slot);
        let slot = slot.filter(|slot| slot.resumable || record.phase.is_over());
        let Some(slot) = slot.map(Arc::clone) else {
            return Step::Answered(Answer::NotFound);
        };
        if record.phase == RecordPhase::Ended {
            // RESUME-5: what expired looks as if it had never been.
            let code = record.code().filter(|code| *code != Code::Expired);
            return Step::Answered(code.map_or(Answer::NotFound, Answer::Ended));
        }
        match &self.asks {
            Asks::Receipt if !record.phase.is_stored() => Step::Answered(Answer::NotFound),
            Asks::Receipt | Asks::Look | Asks::Continue(_) | Asks::Cancel => {
                self.judge(id, cleared, record, version, slot, cx)
            }
        }
    }

    /// No connection holds the upload, and its writer may be parked here, further than the record says.
    fn looked(
        &mut self,
        id: EntryId,
        record: Box<Record>,
        parked: Option<(Fence, u64)>,
        cx: &mut Context<'_>,
    ) -> Step {
        if self.cancels() {
            self.read(id, Cleared::Nothing, cx);
            return Step::Waits;
        }
        let ours = parked.filter(|(fence, _)| fence.wrote(&record));
        let received = ours.map_or(record.offset, |(_, received)| received);
        Step::Answered(Answer::Found(record, received))
    }

    fn judge(
        &mut self,
        id: EntryId,
        cleared: Cleared,
        record: Record,
        version: RecordVersion,
        slot: Arc<SlotRules>,
        cx: &mut Context<'_>,
    ) -> Step {
        let seen = *self.seen_epoch.get_or_insert(record.epoch);
        let is_overtaken = record.epoch > seen;
        let client_id = match &self.asks {
            Asks::Continue(client_id) => client_id.as_deref(),
            Asks::Receipt | Asks::Look | Asks::Cancel => None,
        };
        let asker = Asker {
            holder: &cx.config.holder,
            client_id: client_id.filter(|_| !is_overtaken),
            shared_store: slot.shared_store,
            insists: self.cancels(),
            evicted: cleared == Cleared::Neighbour,
            unix_ms: cx.now.unix_ms,
        };
        match judge(&record, asker) {
            Access::Receipt => Step::Answered(Answer::Receipt(Box::new(record))),
            Access::Locked => Step::Answered(Answer::Locked(0)),
            // A holder of this process may be alive although its lease is over.
            Access::Evict if self.asks == Asks::Look => {
                Step::Answered(Answer::Locked(record.offset))
            }
            Access::Take if self.asks == Asks::Look => {
                self.stage = Stage::Looking(Box::new(record));
                let notice = Notice::FindParked(self.upload);
                cx.effects.push(Output::Neighbour(id, notice));
                Step::Waits
            }
            // Its holder is left alone until the application agrees.
            Access::Evict | Access::Take
                if slot.authorize && self.continues() && cleared == Cleared::Nothing =>
            {
                self.stage = Stage::Asking;
                cx.effects.push(Output::App(Question::Authorize {
                    entry: id,
                    register: Arc::new(record.registration(self.upload)),
                    stage: AuthorizeStage::Resume,
                }));
                Step::Waits
            }
            Access::Evict => {
                self.stage = Stage::Evicting;
                let notice = Notice::Evict(self.upload);
                cx.effects.push(Output::Neighbour(id, notice));
                Step::Waits
            }
            Access::Take => Step::Take(Box::new(record), version, slot),
        }
    }
}

/// What a door hears of an upload that was taken over.
pub(crate) fn continued(upload: &Upload) -> News {
    News::Continued {
        subject: upload.subject(),
        crc32c: upload.crc.end().crc,
    }
}
