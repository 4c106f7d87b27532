//! One upload's writer: what it does, and what it was told and has not done yet.
//!
//! ```text
//! ToOpen --open, reopen--> Running --done--> Idle --write, flush, close, abort--> Running
//!    |                        |               |                                       |
//!    |                        +---failed---> Failed --abort--> Running                |
//!    +--abort, release--> Ended <--park, release-- Idle, Failed      Ended <--closed, aborted, gone--+
//! ```

#[cfg(test)]
mod tests;

use std::{collections::VecDeque, mem, sync::Arc};

use bytes::Bytes;
use futures_util::FutureExt;
use serde_json::Value;
use tokio::sync::Notify;
use upload_core::{CheckpointChange, Parked, WriterEvent};
use upload_writers::{CheckedWriter, Written};

use super::{
    call::{Done, Job, Outcome, Task, UploadLabel},
    free_list::FreeList,
    held_bytes::HeldBytes,
    opening_limit::Line,
    queue::Queue,
    step::{Finish, Finished, Flush, Interruptible, Kind, Start, Step},
};

/// Where an upload's writer is.
enum Stage {
    /// There is none yet.
    ToOpen(Start),
    /// A call has it.
    Running {
        kind: Kind,
        interrupt: Interruptible,
        /// Payload bytes of the call.
        bytes: u64,
    },
    /// It waits for what comes.
    Idle(CheckedWriter),
    /// A call failed; if there is a writer, it can be aborted.
    Failed(Option<CheckedWriter>),
    /// Nothing more is to be done.
    Ended,
}

/// One upload's writer and the commands that wait for it.
pub(super) struct Driver {
    pub(super) label: UploadLabel,
    /// Whether it is among the large ones where writers wait to be opened.
    is_large: bool,
    stage: Stage,
    queue: Queue,
    flush: Flush,
    /// How it is to end, in the order in which that was told.
    finish: VecDeque<Finish>,
    /// What the writer held in memory when it last came back, and how much of that only more bytes
    /// of its file can free.
    pub(super) held: HeldBytes,
    written: Written,
    /// Gives the running call up. Made for the first call that can be given up.
    interrupt: Option<Arc<Notify>>,
    checkpoint: Option<Value>,
}

impl Driver {
    pub(super) fn new(label: UploadLabel, start: Start) -> Self {
        Self {
            is_large: start.is_large(),
            ..Self::at(label, Stage::ToOpen(start))
        }
    }

    /// Goes on with a writer that was parked.
    pub(super) fn unparked(label: UploadLabel, writer: CheckedWriter, parked: &Parked) -> Self {
        let held = HeldBytes::by(&writer);
        let mut driver = Self::at(label, Stage::Idle(writer));
        driver.held = held;
        driver.written = Written {
            received: parked.received,
            durable: parked.durable,
        };
        driver
    }

    fn at(label: UploadLabel, stage: Stage) -> Self {
        Self {
            label,
            is_large: false,
            stage,
            queue: Queue::new(),
            flush: Flush::Unasked,
            finish: VecDeque::new(),
            held: HeldBytes::default(),
            written: Written::default(),
            interrupt: None,
            checkpoint: None,
        }
    }

    /// Returns whose turns its opening waits for.
    pub(super) fn line(&self) -> Line {
        Line {
            slot: Arc::clone(&self.label.slot),
            is_large: self.is_large,
        }
    }

    /// Returns what the running call does, while one runs.
    pub(super) fn running(&self) -> Option<Kind> {
        match &self.stage {
            Stage::Running { kind, .. } => Some(*kind),
            Stage::ToOpen(_) | Stage::Idle(_) | Stage::Failed(_) | Stage::Ended => None,
        }
    }

    /// Returns the payload bytes of the running call that the core no longer counts.
    pub(super) fn orphaned_bytes(&self) -> u64 {
        match (&self.stage, &self.queue) {
            (Stage::Running { bytes, .. }, Queue::Halted) => *bytes,
            _ => 0,
        }
    }

    pub(super) fn write(&mut self, data: Bytes, free_list: &mut FreeList) {
        if !self.queue.push(data, free_list) {
            return;
        }
        self.flush = Flush::Unasked;
        self.interrupt(Interruptible::ByAnything);
    }

    /// Has the writer flushed, unless something else comes first.
    pub(super) fn flush(&mut self) {
        self.flush = Flush::Asked;
    }

    /// Returns whether it would write now, and its writer is better given more.
    pub(super) fn is_short(&self) -> bool {
        let Stage::Idle(writer) = &self.stage else {
            return false;
        };
        let bytes = self.queue.bytes();
        bytes > 0 && self.finish.is_empty() && bytes < writer.traits().batch_bytes
    }

    pub(super) fn end(&mut self, finish: Finish) {
        if matches!(finish, Finish::Abort(_) | Finish::Release) {
            self.halt();
            self.interrupt(Interruptible::ByUndoing);
        }
        self.interrupt(Interruptible::ByAnything);
        self.finish.push_back(finish);
    }

    /// Gives the running call up, if that is what it may be given up by.
    fn interrupt(&mut self, by: Interruptible) {
        if let Stage::Running { interrupt, .. } = &mut self.stage
            && *interrupt == by
        {
            *interrupt = Interruptible::Never;
            if let Some(notify) = &self.interrupt {
                notify.notify_one();
            }
        }
    }

    /// What is undone or given up need not be written first. The core counts none of it any more,
    /// so the running batch is this room's to count.
    pub(super) fn halt(&mut self) {
        self.queue = Queue::Halted;
    }

    /// Returns whether its next call would open a writer.
    pub(super) fn is_to_open(&self) -> bool {
        match (&self.stage, self.finish.front()) {
            (Stage::ToOpen(Start::Open(_)), Some(Finish::Abort(_) | Finish::Release))
            | (Stage::ToOpen(Start::Reopen { .. }), Some(Finish::Release)) => false,
            (Stage::ToOpen(_), _) => true,
            _ => false,
        }
    }

    /// Decides what to do; call it only while no call runs.
    pub(super) fn next(&mut self) -> Step {
        let is_to_open = self.is_to_open();
        match mem::replace(&mut self.stage, Stage::Ended) {
            Stage::ToOpen(start) if is_to_open => self.run(Task::from(start), None),
            Stage::ToOpen(_) | Stage::Ended => Step::End(None),
            Stage::Idle(writer) => self.next_of_idle(writer),
            Stage::Failed(writer) => self.next_of_failed(writer),
            running @ Stage::Running { .. } => {
                self.stage = running;
                Step::Rest
            }
        }
    }

    fn next_of_idle(&mut self, writer: CheckedWriter) -> Step {
        if self.queue.bytes() > 0 {
            return self.run(Task::Write, Some(writer));
        }
        match self.finish.pop_front() {
            Some(Finish::Close) => self.run(Task::Close, Some(writer)),
            Some(Finish::Abort(reason)) => self.run(Task::Abort(reason), Some(writer)),
            Some(Finish::Park(parked)) => Step::End(Some((writer, parked))),
            Some(Finish::Release) => Step::End(None),
            None if mem::replace(&mut self.flush, Flush::Unasked) == Flush::Asked => {
                self.run(Task::Flush, Some(writer))
            }
            None => {
                self.stage = Stage::Idle(writer);
                Step::Rest
            }
        }
    }

    fn next_of_failed(&mut self, writer: Option<CheckedWriter>) -> Step {
        while let Some(finish) = self.finish.pop_front() {
            match finish {
                // The failure was told; what follows a close that can not be is an ending.
                Finish::Close => {}
                Finish::Abort(reason) if writer.is_some() => {
                    return self.run(Task::Abort(reason), writer);
                }
                Finish::Abort(_) | Finish::Park(_) | Finish::Release => return Step::End(None),
            }
        }
        self.stage = Stage::Failed(writer);
        Step::Rest
    }

    fn run(&mut self, task: Task, writer: Option<CheckedWriter>) -> Step {
        let (kind, can_be_left) = match task {
            Task::Open(_) | Task::Reopen { .. } => (Kind::Opening, Interruptible::Never),
            Task::Write if self.held.bytes > 0 => (Kind::Writing, Interruptible::ByUndoing),
            Task::Write => (Kind::Writing, Interruptible::Never),
            Task::Flush => (Kind::Flushing, Interruptible::ByAnything),
            Task::Close | Task::Abort(_) => (Kind::Ending, Interruptible::Never),
        };
        let interrupt = (can_be_left != Interruptible::Never).then(|| {
            let interrupt = self.interrupt.get_or_insert_with(Arc::default);
            // One that came too late for an earlier call is not for this one.
            let _stale = interrupt.notified().now_or_never();
            Arc::clone(interrupt)
        });
        let waiting = match kind {
            Kind::Writing => self.queue.take(),
            Kind::Opening | Kind::Flushing | Kind::Ending => None,
        };
        let (batch, bytes) = waiting.unwrap_or_default();
        self.stage = Stage::Running {
            kind,
            interrupt: can_be_left,
            bytes,
        };
        Step::Run(Job {
            task,
            writer,
            batch,
            interrupt,
        })
    }

    /// Takes back what a call returned.
    pub(super) fn finish(&mut self, done: Done) -> Finished {
        let writer = done.writer;
        self.held = writer.as_ref().map(HeldBytes::by).unwrap_or_default();
        if let Outcome::Failed(fault) = done.outcome {
            // The core is about to abort or release; the bytes have no place to go.
            self.queue = Queue::Halted;
            self.stage = Stage::Failed(writer);
            return Finished::GoesOn(Some(WriterEvent::Failed(fault)));
        }
        self.stage = match writer {
            Some(writer) => Stage::Idle(writer),
            None => Stage::Ended,
        };
        let event = match done.outcome {
            Outcome::Opened => {
                let checkpoint = match self.checkpoint_news() {
                    CheckpointChange::New(checkpoint) => Some(checkpoint),
                    CheckpointChange::Same | CheckpointChange::Absent => None,
                };
                WriterEvent::Opened { checkpoint }
            }
            Outcome::Reopened => {
                let checkpoint = self.checkpoint_news();
                WriterEvent::Reopened { checkpoint }
            }
            Outcome::Wrote(written) => self.wrote(written),
            Outcome::Interrupted => return Finished::GoesOn(None),
            Outcome::ClosedBefore(result) => {
                return self.ended(WriterEvent::ClosedBefore { result });
            }
            Outcome::Gone => return self.ended(WriterEvent::Gone),
            Outcome::Closed(result) => return self.ended(WriterEvent::Closed { result }),
            Outcome::Aborted => return self.ended(None),
            Outcome::Failed(fault) => WriterEvent::Failed(fault),
        };
        Finished::GoesOn(Some(event))
    }

    fn ended(&mut self, event: impl Into<Option<WriterEvent>>) -> Finished {
        self.stage = Stage::Ended;
        Finished::Ended(event.into())
    }

    fn wrote(&mut self, written: Written) -> WriterEvent {
        let before = mem::replace(&mut self.written, written);
        // A checkpoint leads to what is durable, so it is another one only when that is.
        let is_same = self.checkpoint.is_some() && before.durable == written.durable;
        let checkpoint = if is_same {
            CheckpointChange::Same
        } else {
            self.checkpoint_news()
        };
        WriterEvent::Wrote {
            received: written.received,
            durable: written.durable,
            buffered: self.held.bytes,
            checkpoint,
        }
    }

    /// Returns what became of the writer's checkpoint, where a record keeps it.
    ///
    /// That there is none is told each time: whether there was one before the writer was parked or
    /// reopened, the core knows.
    fn checkpoint_news(&mut self) -> CheckpointChange {
        let writer = match &self.stage {
            Stage::Idle(writer) if self.label.resumable => writer,
            _ => return CheckpointChange::Same,
        };
        let before = self.checkpoint.take();
        self.checkpoint = writer.checkpoint().map(|checkpoint| checkpoint.0);
        match &self.checkpoint {
            None => CheckpointChange::Absent,
            Some(_) if self.checkpoint == before => CheckpointChange::Same,
            Some(checkpoint) => CheckpointChange::New(checkpoint.clone()),
        }
    }
}
