//! The content gate and the writer: what is asked, and what the answers mean.

use std::{sync::Arc, time::Instant};

use serde_json::{Map, Value};
use upload_proto::Code;

use crate::{
    AbortReason, AuthorizeStage, CheckpointChange, Order, Output, Question, Refusal, StorageFault,
    Verdict, WriterEvent,
};

use super::{
    Context, Upload,
    flush::Left,
    stay::{Permit, Stay},
    writer::{Passed, Writer},
};

impl Upload {
    /// Asks for a verdict once the gate holds the head of the file, or all of it.
    pub(super) fn inspect_when_ready(&mut self, cx: &mut Context<'_>) {
        if self.stay.is_gone() || self.stay.leaves().is_some() {
            return;
        }
        let gated = self.writer.gated();
        let is_whole = self.is_whole();
        let has_head = gated >= u64::from(self.slot.head_bytes);
        // An empty file is whole from the start; it is judged once it is complete.
        let is_all = is_whole && (self.stay.is_finishing() || gated > 0);
        if !has_head && !is_all {
            return;
        }
        let limit = usize::try_from(self.slot.head_bytes).unwrap_or(usize::MAX);
        if let Some(head) = self.writer.read_head(limit) {
            cx.effects.push(Output::App(Question::Inspect {
                entry: self.entry.id,
                is_whole: is_whole && head.len() as u64 == self.received(),
                head,
            }));
        }
    }

    /// Sets the name under which the file is stored, before the writer opens.
    pub(crate) fn rename(&mut self, stored_name: String) {
        if matches!(self.writer, Writer::Judging(..)) {
            self.entry.stored_name = Some(stored_name);
        }
    }

    /// Sets what goes along with the file.
    pub(crate) fn amend(&mut self, meta: Map<String, Value>) {
        self.entry.meta = meta;
    }

    /// Opens the writer, or refuses the file before storage hears of it.
    pub(crate) fn verdict(&mut self, verdict: Verdict, cx: &mut Context<'_>) {
        match verdict {
            Verdict::Accept => match self.writer.accepted() {
                Some(Passed::Open) => self.order(Order::Open, cx),
                Some(Passed::Write(chunks)) => self.write_all(chunks, cx),
                None => {}
            },
            Verdict::Refuse(refusal) => {
                if matches!(self.writer, Writer::Judging(..)) {
                    self.entry.words = refusal.words;
                    self.fail(refusal.code, AbortReason::ContentMismatch, cx);
                }
            }
        }
        self.advance(cx);
    }

    /// Learns what the writer did.
    pub(crate) fn writer(&mut self, event: WriterEvent, cx: &mut Context<'_>) {
        match event {
            WriterEvent::Opened { checkpoint } => {
                if let Some(chunks) = self.writer.opened() {
                    self.note_checkpoint(
                        checkpoint.map_or(CheckpointChange::Absent, CheckpointChange::New),
                    );
                    self.write_all(chunks, cx);
                }
            }
            WriterEvent::Wrote {
                received,
                durable,
                buffered,
                checkpoint,
            } => {
                self.wrote((received, durable, buffered), checkpoint, cx);
                return;
            }
            WriterEvent::Closed { result } => {
                let announced = cx.config.announces.then(|| result.clone());
                if self.writer.closed(result, cx.config.announces) {
                    self.published(announced, cx);
                }
            }
            // What continues an upload is heard before there is one.
            WriterEvent::Unparked(_)
            | WriterEvent::Reopened { .. }
            | WriterEvent::ClosedBefore { .. }
            | WriterEvent::Gone => {}
            WriterEvent::Failed(fault) => self.writer_failed(fault, cx),
        }
        self.advance(cx);
    }

    fn wrote(
        &mut self,
        (received, durable, buffered): (u64, u64, u64),
        checkpoint: CheckpointChange,
        cx: &mut Context<'_>,
    ) {
        if !self.writer.is_there() {
            return;
        }
        let before = self.durable;
        self.taken = self.taken.max(received.min(self.received()));
        self.durable = self.durable.max(durable.min(self.taken));
        self.note_checkpoint(checkpoint);
        self.advance(cx);
        let (kept, moved) = (buffered > 0, self.durable > before);
        self.flush_what_is_left(Left::Bytes { kept, moved }, cx);
        self.tell_moved(cx);
    }

    /// The writer that is back is flushed, unless bytes come first.
    pub(crate) fn flush_once_idle(&mut self, cx: &mut Context<'_>) {
        let (kept, moved) = (true, true);
        self.flush_what_is_left(Left::Bytes { kept, moved }, cx);
    }

    fn flush_what_is_left(&mut self, left: Left, cx: &mut Context<'_>) {
        let is_left = self.taken == self.received() && self.durable < self.taken;
        let left = if is_left { left } else { Left::Nothing };
        let pause = cx.config.limits.flush_after;
        if let Some(flush) = self.writer.flush()
            && flush.answered(left, pause, cx.now)
        {
            self.order(Order::Flush, cx);
        }
    }

    /// Flushes the writer once nothing came for it for a while.
    pub(super) fn flush_when_due(&mut self, cx: &mut Context<'_>) {
        if let Some(flush) = self.writer.flush()
            && flush.tick(cx.now)
        {
            self.order(Order::Flush, cx);
        }
    }

    pub(super) fn flush_deadline(&self) -> Option<Instant> {
        match self.writer {
            Writer::Open(flush) => flush.deadline(),
            Writer::Claiming(_)
            | Writer::Gate(..)
            | Writer::Judging(..)
            | Writer::Opening(_)
            | Writer::Closing
            | Writer::Announcing(_)
            | Writer::Closed(_)
            | Writer::Gone(_) => None,
        }
    }

    /// The file has its name; the application may have to hear of it first.
    pub(crate) fn published(&mut self, announced: Option<Value>, cx: &mut Context<'_>) {
        match announced {
            Some(result) => cx.effects.push(Output::App(Question::Announce {
                entry: self.entry.id,
                result,
            })),
            None => self.record_receipt(cx),
        }
    }

    /// Learns that the application will hear of the stored file.
    pub(crate) fn announced(&mut self, cx: &mut Context<'_>) {
        if self.writer.announced() {
            self.record_receipt(cx);
            self.advance(cx);
        }
    }

    /// RESUME-10: passing trouble keeps what is durable; anything else ends the upload.
    fn writer_failed(&mut self, fault: StorageFault, cx: &mut Context<'_>) {
        if !self.writer.is_there() {
            return;
        }
        if fault.is_passing() && self.can_be_resumed() {
            self.suspend(fault, cx);
        } else {
            self.fail(fault.code(), AbortReason::Storage(fault), cx);
        }
    }

    /// Closes the writer once it has every byte and the record knows that the
    /// end is near, so that a crash during close finds the file's checksum.
    pub(super) fn close_when_ready(&mut self, cx: &mut Context<'_>) {
        if self.stay.is_finishing()
            && matches!(self.writer, Writer::Open(_))
            && self.taken == self.received()
            && self.is_allowed(cx)
            && self.may_close(cx)
            && self.writer.close()
        {
            self.order(Order::Close, cx);
        }
    }

    /// Returns whether the file may be stored; asks the application first where it
    /// wants to be asked, since a right can have been withdrawn meanwhile.
    fn is_allowed(&mut self, cx: &mut Context<'_>) -> bool {
        if self.stay.permit(Permit::Unasked, Permit::Asked) {
            cx.effects.push(Output::App(Question::Authorize {
                entry: self.entry.id,
                register: Arc::new(self.entry.registration()),
                stage: AuthorizeStage::Complete,
            }));
        }
        self.stay == Stay::Finishing(Permit::Granted)
    }

    /// Learns whether the file may be stored.
    pub(crate) fn authorized(&mut self, answer: Result<(), Refusal>, cx: &mut Context<'_>) {
        match answer {
            Ok(()) => {
                if self.stay.permit(Permit::Asked, Permit::Granted) {
                    self.advance(cx);
                }
            }
            Err(refusal) => {
                if self.stay == Stay::Finishing(Permit::Asked) {
                    self.entry.words = refusal.words;
                    self.fail(refusal.code, AbortReason::Cancelled, cx);
                }
            }
        }
    }

    /// CTRL-5: learns that no one can say at present whether the file may be stored. What can be resumed leaves with
    /// all its bytes.
    pub(crate) fn undecided(&mut self, refusal: Refusal, cx: &mut Context<'_>) {
        if self.stay == Stay::Finishing(Permit::Asked) && self.can_be_resumed() {
            self.stay.suspend(Code::StorageThrottled);
            self.advance(cx);
        } else {
            self.authorized(Err(refusal), cx);
        }
    }
}
