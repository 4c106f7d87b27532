//! The content gate and the writer.

use std::sync::Arc;

use upload_proto::Code;

use crate::{
    AbortReason, CheckpointNews, Moment, Output, Phase, Step, StorageFault, Verdict, WriterEvent,
    crc::Running,
    upload::{Allowed, Context, Upload},
};

impl Upload {
    /// Asks for a verdict once the gate holds the head of the file, or all of it.
    pub(super) fn inspect_when_ready(&mut self, cx: &mut Context<'_>) {
        if self.phase != Phase::Holding || self.leaving.is_some() {
            return;
        }
        let is_whole = self.intake.is_whole();
        let has_head = self.held.bytes >= u64::from(self.slot.head_bytes);
        // An empty file is whole from the start; it is judged once it is complete.
        let is_all = is_whole && (self.finish || self.held.bytes > 0);
        if !(has_head || is_all) || !self.step(Step::HeadRead) {
            return;
        }
        let limit = usize::try_from(self.slot.head_bytes).unwrap_or(usize::MAX);
        let head = self.held.head(limit);
        cx.out.push(Output::Inspect {
            entry: self.entry.id,
            is_whole: is_whole && head.len() as u64 == self.entry.client_size,
            head,
        });
    }

    /// Opens the writer, or refuses the file before storage hears of it.
    pub(crate) fn verdict(&mut self, verdict: Verdict, cx: &mut Context<'_>) {
        if self.phase != Phase::Inspecting {
            return;
        }
        match verdict {
            Verdict::Accept => {
                self.step(Step::Accepted);
                if self.has_writer {
                    // It was reopened before the head was judged again.
                    self.writer_opened(CheckpointNews::Same, cx);
                } else {
                    self.has_writer = true;
                    cx.out.push(Output::Open {
                        entry: self.entry.id,
                    });
                }
            }
            Verdict::Refuse(code) => self.fail(code, AbortReason::ContentMismatch, cx),
        }
        self.settle(cx);
    }

    /// Learns what the writer did.
    pub(crate) fn writer(&mut self, event: WriterEvent, cx: &mut Context<'_>) {
        match event {
            WriterEvent::Opened { checkpoint } => {
                let news = checkpoint.map_or(CheckpointNews::Absent, CheckpointNews::New);
                self.writer_opened(news, cx);
            }
            WriterEvent::Wrote {
                received,
                durable,
                checkpoint,
            } => self.writer_wrote(received, durable, checkpoint, cx),
            WriterEvent::Closed { result } => {
                if self.step(Step::Closed) {
                    self.has_writer = false;
                    self.entry.result = Some(result);
                    self.record_receipt(cx);
                }
            }
            WriterEvent::Unparked(parked) => {
                if self.step(Step::Reopened) {
                    // Only judged uploads are parked, so the gate was passed.
                    self.continue_at(parked.received, parked.durable);
                    self.crc = parked.crc;
                    // What is durable counts only with the checkpoint that goes with it.
                    let news = parked.checkpoint;
                    self.note_checkpoint(news.map_or(CheckpointNews::Absent, CheckpointNews::New));
                    // The one taken for this claim counts the same upload again.
                    self.token = parked.token;
                    self.go_on(cx);
                }
            }
            WriterEvent::Reopened { checkpoint } => {
                if self.step(if self.is_judged() {
                    Step::Reopened
                } else {
                    Step::Unjudged
                }) {
                    self.note_checkpoint(checkpoint);
                    self.go_on(cx);
                }
            }
            WriterEvent::ClosedBefore { result } => {
                if self.step(Step::ClosedBefore) {
                    self.has_writer = false;
                    let size = self.entry.client_size;
                    self.continue_at(size, size);
                    self.crc = Running::from(size, self.file_crc32c);
                    self.finish = true;
                    self.entry.result = Some(result);
                    self.record_receipt(cx);
                }
            }
            WriterEvent::Gone => self.gone(cx),
            WriterEvent::Failed(fault) => self.writer_failed(fault, cx),
        }
        self.settle(cx);
    }

    fn writer_opened(&mut self, checkpoint: CheckpointNews, cx: &mut Context<'_>) {
        if !self.step(Step::Opened) {
            return;
        }
        self.opened = true;
        self.note_checkpoint(checkpoint);
        for data in self.held.take() {
            cx.out.push(Output::Write {
                entry: self.entry.id,
                data,
            });
        }
    }

    fn writer_wrote(
        &mut self,
        received: u64,
        durable: u64,
        checkpoint: CheckpointNews,
        cx: &mut Context<'_>,
    ) {
        if !self.has_writer || self.phase.is_over() {
            return;
        }
        let was_exhausted = !self.has_credit();
        let taken = received.min(self.intake.received());
        self.written = self.written.max(taken);
        self.durable = self.durable.max(durable.min(self.written));
        self.note_checkpoint(checkpoint);
        self.window.advance(self.written);
        if was_exhausted {
            self.active_at = cx.now.instant;
        }
        self.settle(cx);
        self.tell_if_due(cx);
    }

    /// Closes the writer once it has every byte and the record knows that the
    /// end is near, so that a crash during close finds the file's checksum.
    pub(super) fn finish_when_ready(&mut self, cx: &mut Context<'_>) {
        if self.finish && self.phase == Phase::Receiving {
            self.step(Step::Finish);
        }
        if self.phase == Phase::Finishing
            && self.written == self.entry.client_size
            && self.leaving.is_none()
            && self.is_allowed(cx)
            && self.may_close(cx)
            && self.step(Step::Settled)
        {
            cx.out.push(Output::Close {
                entry: self.entry.id,
            });
        }
    }

    /// Returns whether the file may be stored; asks the application first where it
    /// wants to be asked, since a right can have been withdrawn meanwhile.
    fn is_allowed(&mut self, cx: &mut Context<'_>) -> bool {
        if self.slot.authorize && self.allowed == Allowed::Unasked {
            self.allowed = Allowed::Asked;
            cx.out.push(Output::Authorize {
                entry: self.entry.id,
                register: Arc::new(self.entry.registration()),
                moment: Moment::Complete,
            });
        }
        !self.slot.authorize || self.allowed == Allowed::Yes
    }

    /// Learns whether the file may be stored.
    pub(crate) fn authorized(&mut self, answer: Result<(), Code>, cx: &mut Context<'_>) {
        if self.phase != Phase::Finishing || self.allowed != Allowed::Asked {
            return;
        }
        match answer {
            Ok(()) => {
                self.allowed = Allowed::Yes;
                self.settle(cx);
            }
            Err(code) => self.fail(code, AbortReason::Cancelled, cx),
        }
    }

    /// Returns whether all bytes that the gate looks at are the writer's, so that
    /// none of them can come anew, and be others.
    fn is_judged(&self) -> bool {
        self.written >= self.head_bytes()
    }

    /// Returns how many bytes the gate looks at.
    pub(super) fn head_bytes(&self) -> u64 {
        u64::from(self.slot.head_bytes).min(self.entry.client_size)
    }

    /// What reopening needs has changed, so the record has to as well.
    fn note_checkpoint(&mut self, news: CheckpointNews) {
        match news {
            CheckpointNews::New(checkpoint) if self.checkpoint.as_ref() != Some(&checkpoint) => {
                self.checkpoint = Some(checkpoint);
                self.saver.outdate();
            }
            CheckpointNews::Absent if self.checkpoint.is_some() => {
                self.checkpoint = None;
                self.has_lost_checkpoint = true;
                self.entry.resumable = false;
            }
            CheckpointNews::Same | CheckpointNews::New(_) | CheckpointNews::Absent => {}
        }
    }

    /// Takes chunks again after a resume, unless it is to end.
    fn go_on(&mut self, cx: &mut Context<'_>) {
        self.opened = true;
        if self.end_if_held_back(cx) {
            return;
        }
        self.active_at = cx.now.instant;
        self.answer_resumed(cx);
    }

    /// RESUME-10: passing trouble keeps what is durable, and so does any trouble
    /// with reopening; anything else ends it.
    fn writer_failed(&mut self, fault: StorageFault, cx: &mut Context<'_>) {
        if !self.has_writer || self.phase.after(Step::Fail).is_none() {
            return;
        }
        // Whoever could not even reopen has lost nothing, and knows nothing of what
        // is stored: trouble of the moment must not cost what was acknowledged.
        let is_kept = fault.is_passing() || self.phase == Phase::Reopening;
        if is_kept && self.can_be_resumed() {
            self.shelve(fault, cx);
        } else {
            self.fail(fault.code(), AbortReason::Storage(fault), cx);
        }
    }
}
