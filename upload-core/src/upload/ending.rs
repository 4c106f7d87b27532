//! How an upload ends, or leaves to be resumed.
//!
//! Only an upload whose writer and saves have answered is parked, so a lost connection keeps its task
//! until then, or for half a minute.

use std::sync::Arc;

use upload_proto::Code;

use crate::{
    AbortReason, EntryStatus, Fact, News, Notice, Now, Order, Output, Parked, SessionLimits,
    StorageFault, Why, crc::PrefixCrc, expiry::saved_within, unclaimed::OVERDUE_KEPT,
};

use super::{
    Checkpoint, Context, Upload,
    cleanup::Cleanup,
    mark::{Mark, Removal},
    recorder::{Recorder, Standing},
    stay::{Departure, Stay, Undo},
    writer::Writer,
};

impl Upload {
    /// Ends in the file being stored, the receipt recorded (COMPLETE-3).
    pub(super) fn completed(&mut self, cx: &mut Context<'_>) {
        let Writer::Closed(result) = &self.writer else {
            return;
        };
        self.entry.result = Some(result.clone());
        if !self.stay.depart(Departure::Complete) {
            return;
        }
        self.entry.status = EntryStatus::Complete;
        self.entry.crc32c = self.file_crc32c;
        self.durable = self.received();
        let entry = Box::new(self.entry.clone());
        cx.effects.push(Output::Fact(Fact::Completed(entry)));
        self.tell_ended(cx);
    }

    /// Ends with a code; what was written is undone. A file that has its name stays.
    pub(crate) fn fail(&mut self, code: Code, reason: AbortReason, cx: &mut Context<'_>) {
        if !self.stay.is_gone() && !self.writer.is_published() {
            self.entry.status = EntryStatus::Failed(code);
            self.undo(reason, cx);
        }
    }

    /// Ends because it is not wanted any more. Returns false once it is too late:
    /// the writer is closing, and the answer will be its ending.
    pub(crate) fn cancel(&mut self, cx: &mut Context<'_>) -> bool {
        let is_too_late = self.writer.is_published() || matches!(self.writer, Writer::Closing);
        if self.stay.is_gone() || is_too_late {
            return false;
        }
        self.entry.status = EntryStatus::Cancelled;
        self.undo(AbortReason::Cancelled, cx);
        true
    }

    /// A writer that others may have learned of is aborted once the record is gone.
    fn undo(&mut self, reason: AbortReason, cx: &mut Context<'_>) {
        let was_released = matches!(self.writer, Writer::Gone(_)) && self.writer.was_open();
        let undo = if self.writer.drop_it(self.stay.is_finishing()) {
            if self.recorder.is_known() {
                self.order(Order::Halt, cx);
                Undo::Abort(reason)
            } else {
                self.order(Order::Abort(reason), cx);
                Undo::Nothing
            }
        } else if was_released {
            Undo::Later
        } else {
            Undo::Nothing
        };
        self.stay.depart(Departure::Ended(undo));
        let entry = Box::new(self.entry.clone());
        cx.effects.push(Output::Fact(Fact::Ended(entry)));
        self.tell_ended(cx);
    }

    pub(super) fn tell_ended(&self, cx: &mut Context<'_>) {
        cx.effects.news(self.entry.id, News::Ended(self.subject()));
        self.let_go(cx);
    }

    fn let_go(&self, cx: &mut Context<'_>) {
        let notice = Notice::LetGo(self.upload());
        cx.effects.push(Output::Neighbour(self.entry.id, notice));
    }

    /// Returns what is still to be done about an ended upload's record and writer, and what the
    /// store may have.
    pub(crate) fn cleanup(
        &mut self,
        limits: &SessionLimits,
        now: Now,
    ) -> Option<(Cleanup, Standing)> {
        let undo = match (self.stay, &self.recorder) {
            (Stay::Gone(Departure::Ended(undo)), _) => undo,
            // A record that was to be deleted may be there still, and would say less than is stored.
            (Stay::Gone(Departure::Complete), Recorder::Deleting(_) | Recorder::Unsure(_)) => {
                Undo::Nothing
            }
            (
                Stay::Gone(Departure::Complete | Departure::Detached | Departure::Refused)
                | Stay::Held
                | Stay::Finishing(_)
                | Stay::Leaving(_),
                _,
            ) => return None,
        };
        let standing = self.recorder.standing();
        if standing == Standing::Nothing {
            return None;
        }
        let (abort, mark) = match undo {
            Undo::Nothing => (None, self.mark(limits, now)),
            Undo::Abort(reason) => (Some(reason), self.mark(limits, now)),
            Undo::Later => (None, Some(self.names_bytes(limits, now))),
        };
        let cleanup = Cleanup::new(
            self.upload(),
            Arc::clone(&self.entry.slot),
            self.lineage.fence(),
            abort,
            mark,
            self.token.take(),
        );
        Some((cleanup, standing))
    }

    /// Returns what is to take the place of its record where nothing else names its bytes.
    fn names_bytes(&self, limits: &SessionLimits, now: Now) -> Mark {
        Mark {
            code: self.ended_as(),
            unix_ms: now.unix_ms,
            kept_for: limits.record_ttl.saturating_add(OVERDUE_KEPT),
            removal: Removal::ByRecord,
        }
    }

    /// Returns what is to take the place of its record, where a holder of another process may not know that it lost
    /// the upload. That one would write a record that is gone anew, and tell its client of bytes that are removed.
    fn mark(&self, limits: &SessionLimits, now: Now) -> Option<Mark> {
        let until = self
            .lineage
            .rival_until
            .filter(|_| !self.writer.is_published())?;
        (now.instant < until).then(|| Mark {
            code: self.ended_as(),
            unix_ms: now.unix_ms,
            kept_for: saved_within(limits.lease_ttl),
            removal: Removal::ByWriter,
        })
    }

    /// Returns what a mark says of its end.
    fn ended_as(&self) -> Code {
        match self.entry.status {
            EntryStatus::Cancelled => Code::Cancelled,
            // RESUME-5: it looks as if it had never been.
            EntryStatus::Uploading | EntryStatus::Complete | EntryStatus::Failed(_) => {
                Code::Expired
            }
        }
    }

    /// Returns whether another connection could continue this upload.
    pub(crate) fn can_be_resumed(&self) -> bool {
        self.recorder.keeper().is_some() && !matches!(self.checkpoint, Checkpoint::Lost)
    }

    /// The connection is gone, or going: detaches what can be resumed, lets
    /// finish what has every byte, ends the rest (the table of PROTOCOL 8).
    pub(crate) fn disconnected(&mut self, keep: bool, cx: &mut Context<'_>) {
        if self.stay.is_finishing() {
            return;
        }
        if keep && self.can_be_resumed() {
            self.detach(Why::Lost, cx);
        } else {
            self.fail(Code::SessionClosed, AbortReason::SessionClosed, cx);
        }
    }

    /// Another connection of this process takes over (RESUME-4). What can not be resumed ends: it is
    /// not what the other connection looks for, and it could never be unparked.
    pub(crate) fn evict(&mut self, cx: &mut Context<'_>) {
        if self.can_be_resumed() || self.stay.is_finishing() {
            self.detach(Why::Told(Code::Superseded), cx);
        } else {
            self.fail(Code::Superseded, AbortReason::SessionClosed, cx);
        }
    }

    /// CONN-3: no bytes for too long although they could come.
    pub(crate) fn idle(&mut self, cx: &mut Context<'_>) {
        if self.can_be_resumed() {
            self.detach(Why::Told(Code::IdleTimeout), cx);
        } else {
            self.fail(Code::IdleTimeout, AbortReason::Expired, cx);
        }
    }

    /// Begins to let go; an upload that has every byte continues to its end.
    pub(crate) fn detach(&mut self, why: Why, cx: &mut Context<'_>) {
        if self.stay.leave(why) {
            self.advance(cx);
        }
    }

    /// The writer met passing trouble: keeps what is durable (RESUME-10).
    pub(crate) fn suspend(&mut self, fault: StorageFault, cx: &mut Context<'_>) {
        let order = match self.writer {
            // Nothing is durable yet, so nothing is worth keeping.
            Writer::Opening(_) => Order::Abort(AbortReason::Storage(fault)),
            Writer::Claiming(_)
            | Writer::Gate(..)
            | Writer::Judging(..)
            | Writer::Open(_)
            | Writer::Closing
            | Writer::Announcing(_)
            | Writer::Closed(_)
            | Writer::Gone(_) => Order::Release,
        };
        self.writer.drop_it(self.stay.is_finishing());
        self.order(order, cx);
        self.stay.suspend(fault.code());
    }

    /// Returns whether nothing is in flight that a leaving upload waits for.
    pub(super) fn is_idle_to_leave(&self) -> bool {
        self.stay.leaves().is_some()
            && match self.writer {
                Writer::Gate(..) | Writer::Gone(_) => true,
                Writer::Open(_) => self.taken == self.received(),
                Writer::Claiming(_)
                | Writer::Judging(..)
                | Writer::Opening(_)
                | Writer::Closing
                | Writer::Announcing(_)
                | Writer::Closed(_) => false,
            }
    }

    /// Leaves once the record knows that the lease is free, or can not know it.
    pub(super) fn leave_when_idle(&mut self, cx: &mut Context<'_>) {
        let Some(why) = self.stay.leaves() else {
            return;
        };
        if !self.is_idle_to_leave() {
            return;
        }
        if self.is_bare(why, cx) {
            return self.withdraw(why, cx);
        }
        self.keep_head(cx);
        if let Some(keeper) = self.recorder.keeper() {
            let is_saved = keeper.saved() == Some(self.target());
            if keeper.is_busy() || (keeper.is_healthy() && !is_saved) {
                return;
            }
        }
        self.depart_detached(why, cx);
    }

    /// Returns whether the client is gone without having sent a byte of what it registered here. It
    /// can register again at no cost, so no record is worth keeping for it. What it was told to come
    /// back for is kept, and so is what a request made for a later one.
    fn is_bare(&self, why: Why, cx: &Context<'_>) -> bool {
        let is_own = self.lineage.epoch == 1 && self.recorder.keeper().is_some();
        let is_gone = why == Why::Lost && !cx.is_connected;
        is_own && is_gone && self.received() == 0 && !self.writer.was_open()
    }

    /// Leaves, and takes its record along, once no save is in flight.
    fn withdraw(&mut self, why: Why, cx: &mut Context<'_>) {
        if self.recorder.keeper().is_some_and(|it| !it.is_busy()) {
            self.stay.depart(Departure::Ended(Undo::Nothing));
            self.tell_left(why, cx);
        }
    }

    fn depart_detached(&mut self, why: Why, cx: &mut Context<'_>) {
        // The next holder must pass the gate again, so nothing may be unparked behind it.
        let is_gated = self.taken < self.head_bytes();
        if self.writer.drop_it(false) {
            let order = match is_gated {
                true => Order::Release,
                false => Order::Park {
                    upload: self.upload(),
                    parked: Box::new(self.park()),
                },
            };
            self.order(order, cx);
        }
        self.tell_detached(why, cx);
    }

    fn park(&mut self) -> Parked {
        let end = self.crc.end();
        let empty = PrefixCrc::from(end.offset, end.crc);
        let checkpoint = match std::mem::replace(&mut self.checkpoint, Checkpoint::Absent) {
            Checkpoint::Present(value, _) => Some(value),
            Checkpoint::Absent | Checkpoint::Lost => None,
        };
        Parked {
            fence: self.lineage.fence(),
            received: self.taken,
            durable: self.durable,
            crc: std::mem::replace(&mut self.crc, empty),
            checkpoint,
            token: self.token.take(),
        }
    }

    fn tell_detached(&mut self, why: Why, cx: &mut Context<'_>) {
        self.stay.depart(Departure::Detached);
        self.tell_left(why, cx);
    }

    fn tell_left(&self, why: Why, cx: &mut Context<'_>) {
        let news = News::Detached(self.subject(), why);
        cx.effects.news(self.entry.id, news);
        cx.effects.push(Output::Fact(Fact::Detached {
            entry: Box::new(self.entry.clone()),
            code: why.code(),
        }));
        self.let_go(cx);
    }

    /// Another holder wrote the record: nothing of ours counts any more.
    pub(super) fn superseded(&mut self, cx: &mut Context<'_>) {
        if self.stay.is_gone() {
            return;
        }
        if self.writer.drop_it(self.stay.is_finishing()) {
            self.order(Order::Release, cx);
        }
        self.entry.status = EntryStatus::Failed(Code::Superseded);
        // Durable is still only what our own record said (RESUME-2).
        self.tell_detached(Why::Told(Code::Superseded), cx);
    }

    /// It never began: the store has a record of this ref (CTRL-4), or as many records of its owner as it
    /// may (CTRL-3).
    pub(super) fn refuse(&mut self, code: Code, cx: &mut Context<'_>) {
        self.stay.depart(Departure::Refused);
        let news = News::Refused(code.into());
        cx.effects.news(self.entry.id, news);
        self.let_go(cx);
    }
}
