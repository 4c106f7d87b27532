//! How a reach becomes an upload that this connection holds.

use std::sync::Arc;

use crate::{
    EntryId, News, Notice, Now, Output, OwnerToken, Record, SlotRules, Uploads, Why,
    news::Answer,
    tally::Purpose,
    upload::{
        Context,
        stay::{Departure, Stay, Undo},
    },
};

use super::{
    Stage,
    claim::Then,
    reach::{Reach, Step, continued},
};

/// How many times an owner's limits resumes may fill: an upload that is parked and claimed
/// again counts twice until its writer is found.
const RESUMED_PER_LIMIT: u32 = 2;

impl Uploads {
    pub(super) fn with_reach(
        &mut self,
        entry: EntryId,
        now: Now,
        act: impl FnOnce(&mut Reach, &mut Context<'_>, bool) -> Step,
    ) {
        let Some(mut reach) = self.reaches.remove(&entry) else {
            return;
        };
        let claimed = |reach: &Reach| reach.claim().map(|claim| Arc::clone(&claim.entry.slot));
        let before = claimed(&reach);
        let accepts = self.stage == Stage::Open;
        let step = act(&mut reach, &mut self.context(now), accepts);
        let step = match step {
            Step::Take(record, version, slot) => {
                let place = self.place(&reach, &record, &slot);
                match place {
                    Ok(token) => {
                        let found = (*record, version);
                        reach.take(entry, found, slot, token, &mut self.context(now))
                    }
                    Err(answer) => Step::Answered(answer),
                }
            }
            Step::Waits | Step::Answered(_) | Step::Became(..) | Step::Lost(_) => step,
        };
        // What is being taken over counts among the uploads of its slot.
        let after = match step {
            Step::Waits => claimed(&reach),
            Step::Take(..) | Step::Answered(_) | Step::Became(..) | Step::Lost(_) => None,
        };
        if let Some(slot) = &after {
            self.count_up(slot);
        }
        if let Some(slot) = &before {
            self.uncount(slot);
        }
        match step {
            Step::Waits | Step::Take(..) => {
                self.reaches.insert(entry, reach);
                self.arm(entry);
            }
            Step::Answered(answer) => {
                self.timers.disarm(entry);
                self.effects.news(entry, News::Answered(answer));
                self.free(reach.upload, now);
            }
            Step::Became(upload, then) => {
                if upload.stay.is_finishing() {
                    let news = News::Finishing(upload.subject());
                    self.effects.news(entry, news);
                }
                self.hold(*upload);
                self.with(entry, now, |upload, cx| match then {
                    Then::Cancel => drop(upload.cancel(cx)),
                    Then::Fail(code, reason) => upload.fail(code, reason, cx),
                    Then::Continue => {
                        if upload.stay == Stay::Held {
                            cx.effects.news(entry, continued(upload));
                        }
                        upload.advance(cx);
                    }
                    Then::Leave(why) => {
                        if upload.stay == Stay::Held {
                            cx.effects.news(entry, continued(upload));
                        }
                        upload.detach(why, cx);
                        upload.advance(cx);
                    }
                });
            }
            Step::Lost(mut upload) => {
                upload.stay.depart(Departure::Ended(Undo::Nothing));
                let news = News::Answered(Answer::NotFound);
                self.effects.news(entry, news);
                let notice = Notice::LetGo(reach.upload);
                self.effects.push(Output::Neighbour(entry, notice));
                self.timers.disarm(entry);
                self.clean_up(&mut upload, now);
                self.free(reach.upload, now);
            }
        }
    }

    /// Finds a place for an upload that is to be taken over.
    pub(super) fn place(
        &self,
        reach: &Reach,
        record: &Record,
        slot: &SlotRules,
    ) -> Result<Option<OwnerToken>, Answer> {
        if reach.cancels() {
            return Ok(None);
        }
        if self.count(&slot.name) >= slot.max_entries as usize {
            return Err(Answer::Locked(0));
        }
        // It was counted when it was registered, so the limit does not apply as it is; but what
        // exists only as a record is not counted, and many of those can be made.
        let limits = &self.config.limits;
        let counted = record.length.counted(record.offset);
        let uploads_max = limits
            .max_uploads_per_owner
            .saturating_mul(RESUMED_PER_LIMIT);
        let bytes_max = limits.max_bytes_per_owner.map_or(u64::MAX, |bytes| {
            // One upload alone is always continued, even if the limit was larger once.
            let bytes = bytes.saturating_mul(RESUMED_PER_LIMIT.into());
            bytes.max(counted)
        });
        let tally = &self.config.tally;
        let purpose = match record.offset {
            0 => Purpose::ResumeEmpty,
            _ => Purpose::Resume,
        };
        let token = tally.take(counted, uploads_max, bytes_max, purpose);
        token.map(Some).map_err(|_| Answer::Locked(0))
    }

    pub(super) fn leave_claim(&mut self, entry: EntryId, why: Why) {
        if let Some(claim) = self.reaches.get_mut(&entry).and_then(Reach::claim_mut)
            && claim.then == Then::Continue
        {
            claim.then = Then::Leave(why);
        }
    }

    pub(super) fn drop_reach(&mut self, entry: EntryId) {
        if let Some(reach) = self.reaches.remove(&entry) {
            self.refs.remove(&reach.upload);
            self.timers.disarm(entry);
        }
    }
}
