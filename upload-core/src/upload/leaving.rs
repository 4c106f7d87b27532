//! Endings, and letting go of an upload that somebody may resume.

use std::sync::Arc;

use upload_proto::{Code, ErrorMessage, ResumeStatus, ServerMessage, Snapshot, Status};

use crate::{
    AbortReason, EntryStatus, Event, Output, Parked, Phase, Step, StorageFault,
    crc::Running,
    session::Outbox,
    undoing::{Standing, Undoing},
    upload::{Context, Ending, Forgetting, Upload},
};

/// How an upload left its connection.
#[derive(Debug)]
pub(crate) enum Departure {
    /// It ended; later frames learn the same (COMPLETE-6).
    Ended(Box<Snapshot>),
    /// It can be resumed; late frames are dropped (CHUNK-7).
    Detached(Box<Snapshot>),
    /// It never really was here: a claim that failed.
    Refused,
    /// A resume lost a race and looks at the record again.
    Again,
}

impl Upload {
    /// Ends in the file being stored, the receipt recorded (COMPLETE-3).
    pub(super) fn completed(&mut self, cx: &mut Context<'_>) {
        if !self.step(Step::Recorded) {
            return;
        }
        self.entry.status = EntryStatus::Complete;
        self.entry.crc32c = self.file_crc32c;
        if self.resuming.is_some() {
            self.send_resumed(ResumeStatus::Complete, cx);
            self.resuming = None;
        }
        let snapshot = self.snapshot(Status::Complete);
        cx.out.push(Output::Notify(Event::Completed(Box::new(
            self.entry.clone(),
        ))));
        self.depart_ended(snapshot, cx);
    }

    /// Ends with a code; what was written is undone.
    pub(crate) fn fail(&mut self, code: Code, reason: AbortReason, cx: &mut Context<'_>) {
        if self.holds_back(Ending::Failed(code, reason)) || !self.step(Step::Fail) {
            return;
        }
        self.entry.status = EntryStatus::Failed(code);
        let snapshot = self.snapshot(Status::Error).with_code(code);
        self.undo(snapshot, reason, cx);
    }

    /// Ends because nobody wants it any more. Returns false once it is too late:
    /// the writer is closing, and the answer will be its ending.
    pub(crate) fn cancel(&mut self, cx: &mut Context<'_>) -> bool {
        if self.holds_back(Ending::Cancelled) {
            return true;
        }
        if !self.step(Step::Cancel) {
            return false;
        }
        self.entry.status = EntryStatus::Cancelled;
        let snapshot = self.snapshot(Status::Cancelled).with_code(Code::Cancelled);
        self.undo(snapshot, AbortReason::Cancelled, cx);
        true
    }

    /// What is being taken over has bytes in storage and no writer yet that could
    /// remove them, so it ends once its writer is back. Where the claim fails it is
    /// another's, and does not end at all.
    fn holds_back(&mut self, ending: Ending) -> bool {
        let waits = self.phase == Phase::Claiming && self.opened && self.saver.is_busy();
        if waits {
            self.ending.get_or_insert(ending);
        }
        waits
    }

    /// Ends now, if an ending waited for the writer; returns whether one did.
    pub(super) fn end_if_held_back(&mut self, cx: &mut Context<'_>) -> bool {
        match self.ending.take() {
            Some(Ending::Cancelled) => {
                self.cancel(cx);
            }
            Some(Ending::Failed(code, reason)) => self.fail(code, reason, cx),
            None => return false,
        }
        true
    }

    /// A writer that others may have learned of is aborted once the record is gone.
    fn undo(&mut self, snapshot: Snapshot, reason: AbortReason, cx: &mut Context<'_>) {
        if self.has_writer {
            self.has_writer = false;
            let entry = self.entry.id;
            let end = if self.saver.has_told_writer() && self.may_have_record() {
                self.to_abort = Some(reason);
                Output::Halt { entry }
            } else {
                Output::Abort { entry, reason }
            };
            cx.out.push(end);
        }
        cx.out
            .push(Output::Notify(Event::Ended(Box::new(self.entry.clone()))));
        self.depart_ended(snapshot, cx);
    }

    fn depart_ended(&mut self, snapshot: Snapshot, cx: &mut Context<'_>) {
        self.held = Default::default();
        cx.out
            .send(ServerMessage::Progress(Box::new(snapshot.clone())));
        cx.out.left(&self.entry);
        self.departure = Some(Departure::Ended(Box::new(snapshot)));
    }

    /// Returns whether there may be a record of it in the store.
    fn may_have_record(&self) -> bool {
        self.saver.is_enabled() || self.forgetting != Forgetting::No
    }

    /// Returns what is still to be done about an ended upload's record and writer.
    pub(crate) fn undoing(&self) -> Option<(Undoing, Standing)> {
        let has_ended = matches!(self.phase, Phase::Failed | Phase::Cancelled);
        if !has_ended || !self.may_have_record() {
            return None;
        }
        let slot = Arc::clone(&self.entry.slot);
        let undoing = Undoing::new(self.upload(), slot, self.mine(), self.to_abort);
        let standing = match self.saver.version() {
            _ if self.saver.is_busy() || self.forgetting == Forgetting::Asked => Standing::Awaited,
            Some(version) => Standing::At(version),
            None => Standing::Unknown,
        };
        Some((undoing, standing))
    }

    /// The connection is gone, or going: detaches what can be resumed, lets
    /// finish what has every byte, ends the rest (the table of PROTOCOL 8).
    pub(crate) fn disconnected(&mut self, keep: bool, cx: &mut Context<'_>) {
        if self.finish {
            return;
        }
        if keep && self.can_be_resumed() {
            self.detach(None, cx);
        } else {
            self.fail(Code::SessionClosed, AbortReason::SessionClosed, cx);
        }
    }

    /// Another connection of this process takes over (RESUME-4).
    pub(crate) fn evict(&mut self, cx: &mut Context<'_>) {
        self.detach(Some(Code::Superseded), cx);
    }

    /// CONN-3: no chunk for too long although there was credit.
    pub(super) fn idle(&mut self, cx: &mut Context<'_>) {
        if self.can_be_resumed() {
            self.detach(Some(Code::IdleTimeout), cx);
        } else {
            self.fail(Code::IdleTimeout, AbortReason::Expired, cx);
        }
    }

    /// Begins to let go; an upload that has every byte goes on to its end.
    pub(crate) fn detach(&mut self, code: Option<Code>, cx: &mut Context<'_>) {
        if self.finish || self.leaving.is_some() || self.phase.is_over() {
            return;
        }
        self.leaving = Some(code);
        self.settle(cx);
    }

    /// The writer met passing trouble: keeps what is durable (RESUME-10).
    pub(super) fn shelve(&mut self, fault: StorageFault, cx: &mut Context<'_>) {
        self.has_writer = false;
        let entry = self.entry.id;
        cx.out.push(if self.phase == Phase::Opening {
            // Nothing is durable yet, so nothing is worth keeping.
            Output::Abort {
                entry,
                reason: AbortReason::Storage(fault),
            }
        } else {
            Output::Release { entry }
        });
        self.finish = false;
        self.leaving = Some(Some(fault.code()));
    }

    /// Returns whether nothing is under way that a detaching upload waits for.
    pub(super) fn is_quiet_to_leave(&self) -> bool {
        self.leaving.is_some()
            && match self.phase {
                Phase::Holding => true,
                Phase::Receiving => !self.has_writer || self.written == self.intake.received(),
                Phase::Opening | Phase::Reopening | Phase::Finishing | Phase::Closing => {
                    !self.has_writer
                }
                _ => false,
            }
    }

    /// Leaves once the record knows that the lease is free, or can not be told.
    pub(super) fn leave_when_quiet(&mut self, cx: &mut Context<'_>) {
        let Some(code) = self.leaving else { return };
        if !self.is_quiet_to_leave() || self.saver.is_busy() {
            return;
        }
        let is_told = self.saver.saved() == Some(self.target());
        if self.saver.is_enabled() && self.saver.is_healthy() && !is_told {
            return;
        }
        let snapshot = self.detached_snapshot(code, cx);
        let step = if self.has_writer || self.phase == Phase::Holding {
            Step::Detach
        } else {
            Step::Shelve
        };
        if self.step(step) {
            self.depart_detached(snapshot, code, cx);
        }
    }

    fn depart_detached(&mut self, snapshot: Snapshot, code: Option<Code>, cx: &mut Context<'_>) {
        let is_gated = self.written < self.head_bytes();
        self.held = Default::default();
        if self.has_writer && is_gated {
            // Whoever goes on must pass the gate again, so nothing may be unparked.
            self.has_writer = false;
            cx.out.push(Output::Release {
                entry: self.entry.id,
            });
        } else if self.has_writer {
            self.has_writer = false;
            let end = self.crc.end();
            cx.out.push(Output::Park {
                entry: self.entry.id,
                parked: Box::new(Parked {
                    epoch: self.epoch,
                    received: self.written,
                    durable: self.durable,
                    crc: std::mem::replace(&mut self.crc, Running::from(end.offset, end.crc)),
                    checkpoint: self.checkpoint.take(),
                    token: self.token.take(),
                }),
            });
        }
        cx.out
            .send(ServerMessage::Progress(Box::new(snapshot.clone())));
        cx.out.push(Output::Notify(Event::Detached {
            entry: Box::new(self.entry.clone()),
            code,
        }));
        cx.out.left(&self.entry);
        self.departure = Some(Departure::Detached(Box::new(snapshot)));
    }

    /// Another holder wrote the record: nothing of ours counts any more.
    pub(super) fn superseded(&mut self, cx: &mut Context<'_>) {
        if !self.step(Step::Fail) {
            return;
        }
        if self.has_writer {
            self.has_writer = false;
            cx.out.push(Output::Release {
                entry: self.entry.id,
            });
        }
        self.entry.status = EntryStatus::Failed(Code::Superseded);
        // Durable is still only what our own record said (RESUME-2).
        let mut snapshot = self.snapshot(Status::Error).with_code(Code::Superseded);
        snapshot.detached = Some(true);
        self.saver.disable();
        self.depart_detached(snapshot, Some(Code::Superseded), cx);
    }

    /// CTRL-4: the store has a record of this ref already.
    pub(super) fn refuse_in_use(&mut self, cx: &mut Context<'_>) {
        cx.out.refuse(Code::RefInUse, Some(self.upload()));
        cx.out.send(ServerMessage::Error(ErrorMessage::new(
            Code::RefInUse,
            Some(self.upload()),
        )));
        self.step(Step::Fail);
        self.saver.disable();
        self.departure = Some(Departure::Refused);
    }

    /// A resume that can not have the record now may have it later.
    pub(super) fn refuse_locked(&mut self, cx: &mut Context<'_>) {
        self.send_resumed(ResumeStatus::Locked, cx);
        self.step(Step::Fail);
        self.saver.disable();
        self.departure = Some(Departure::Refused);
    }

    /// A resume that lost a race starts over from the record.
    pub(super) fn look_again(&mut self) {
        self.step(Step::Fail);
        self.saver.disable();
        self.departure = Some(Departure::Again);
    }

    /// The writer has nothing to continue from: as if there were no record.
    pub(super) fn gone(&mut self, cx: &mut Context<'_>) {
        if !self.step(Step::Fail) {
            return;
        }
        self.has_writer = false;
        self.send_resumed(ResumeStatus::NotFound, cx);
        cx.out.left(&self.entry);
        self.departure = Some(Departure::Refused);
    }
}

impl Outbox {
    pub(super) fn left(&mut self, entry: &crate::Entry) {
        self.push(Output::Notify(Event::Left {
            entry: entry.id,
            upload: entry.upload,
        }));
    }

    pub(super) fn attached(&mut self, entry: &crate::Entry) {
        self.push(Output::Notify(Event::Attached(Box::new(entry.clone()))));
    }
}
