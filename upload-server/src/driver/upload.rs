//! What one upload's writer was told and has not done yet.

use std::{collections::VecDeque, mem, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use serde_json::Value;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::ReusableBoxFuture;
use upload_core::{AbortReason, CheckpointNews, Parked, WriterEvent};
use upload_writers::{BoxWriter, Written};

use super::{
    held::Held,
    job::{Done, Job, Outcome, Storage, Subject, Task},
    spares::Spares,
};
use crate::pace::TINY_CHUNK_BYTES;

/// Tiny chunks are put together until they are this many bytes.
const TAIL_BYTES: usize = 16 * 1024;

/// The future of one call.
pub(super) type Call = ReusableBoxFuture<'static, Done>;

/// How a driver is told to start.
pub(super) enum First {
    Open(Box<Storage>),
    Reopen {
        storage: Box<Storage>,
        checkpoint: Option<Value>,
        offset: u64,
    },
}

/// How a driver is told to stop.
pub(super) enum Last {
    Close,
    Abort(AbortReason),
    Release,
    Park(Box<Parked>),
}

/// What a driver does next.
pub(super) enum Next {
    /// Make this call.
    Run(Job),
    /// Wait to be told more.
    Rest,
    /// Nothing more will come; parked where the writer stays.
    End(Option<(BoxWriter, Box<Parked>)>),
}

/// One upload's writer and the commands that wait for it.
pub(super) struct Driver {
    pub(super) subject: Subject,
    /// With the running call while there is one.
    writer: Option<BoxWriter>,
    first: Option<First>,
    chunks: VecDeque<Bytes>,
    /// Tiny chunks that come after `chunks`, put together.
    tail: BytesMut,
    /// Bytes in both.
    waiting_bytes: u64,
    last: VecDeque<Last>,
    /// Whether a call is running.
    pub(super) is_busy: bool,
    /// Whether the driver stands in the list of those with something to do.
    pub(super) is_listed: bool,
    /// Whether it waits for its turn to open its writer.
    pub(super) waits_to_open: bool,
    /// Whether the running call opens its writer.
    pub(super) is_opening: bool,
    /// Payload bytes of the running call that the core no longer counts.
    pub(super) orphaned_bytes: u64,
    running_bytes: u64,
    /// What the writer held in memory when it last came back, and how much of that only more bytes
    /// of its file can free.
    pub(super) held: Held,
    has_failed: bool,
    /// Told that nothing more is to be written.
    is_halted: bool,
    written: Written,
    /// Where the last flush left the writer, so that an unmoved one is not flushed again.
    flushed_at: Option<Written>,
    /// Since when nothing has come for a writer that waits to be flushed.
    pub(super) dry_since: Option<Instant>,
    /// Whether the driver stands in the queue of dry ones.
    pub(super) is_dry_listed: bool,
    /// The dry time is over.
    pub(super) is_flush_due: bool,
    /// Gives the running call up; the call it may give up is noted beside it. Made for the first
    /// call that can be given up.
    interrupt: Option<Arc<Notify>>,
    interruptible: Interruptible,
    pub(super) was_flush: bool,
    checkpoint: Option<Value>,
}

/// What may give the running call up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Interruptible {
    /// Nothing.
    Never,
    /// The end of the upload without a file.
    ByUndoing,
    /// Whatever comes next.
    ByAnything,
}

impl Driver {
    pub(super) fn new(subject: Subject, first: Option<First>) -> Self {
        Self {
            subject,
            writer: None,
            first,
            chunks: VecDeque::new(),
            tail: BytesMut::new(),
            waiting_bytes: 0,
            last: VecDeque::new(),
            is_busy: false,
            is_listed: false,
            waits_to_open: false,
            is_opening: false,
            orphaned_bytes: 0,
            running_bytes: 0,
            held: Held::default(),
            has_failed: false,
            is_halted: false,
            written: Written::default(),
            flushed_at: None,
            dry_since: None,
            is_dry_listed: false,
            is_flush_due: false,
            interrupt: None,
            interruptible: Interruptible::Never,
            was_flush: false,
            checkpoint: None,
        }
    }

    /// Goes on with a writer that was parked.
    pub(super) fn unparked(subject: Subject, writer: BoxWriter, parked: &Parked) -> Self {
        let mut driver = Self::new(subject, None);
        driver.held = Held::by(&writer);
        driver.writer = Some(writer);
        driver.written = Written {
            received: parked.received,
            durable: parked.durable,
        };
        driver
    }

    pub(super) fn write(&mut self, data: Bytes, spares: &mut Spares) {
        // After a failure the core is about to abort or release; the bytes have no place to go.
        if self.has_failed || self.is_halted || data.is_empty() {
            return;
        }
        self.dry_since = None;
        if self.interruptible == Interruptible::ByAnything {
            self.interrupt();
        }
        let bytes = u64::try_from(data.len()).unwrap_or(u64::MAX);
        self.waiting_bytes = self.waiting_bytes.saturating_add(bytes);
        let is_first = self.chunks.is_empty() && self.tail.is_empty();
        if is_first || data.len() >= TINY_CHUNK_BYTES {
            self.seal_tail();
            if self.chunks.capacity() == 0 {
                self.chunks = spares.batch();
            }
            self.chunks.push_back(data);
            return;
        }
        // A slice costs more to keep than a few bytes do to copy, and keeps alive what it was cut from.
        if self.tail.is_empty() {
            self.tail.reserve(TAIL_BYTES);
        }
        self.tail.extend_from_slice(&data);
        if self.tail.len() >= TAIL_BYTES {
            self.seal_tail();
        }
    }

    fn seal_tail(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push_back(self.tail.split().freeze());
        }
    }

    fn discard(&mut self) {
        self.chunks.clear();
        self.tail.clear();
        self.waiting_bytes = 0;
    }

    /// Returns whether it would write now, and its writer is better given more.
    pub(super) fn is_short(&self) -> bool {
        let is_writing = self.waiting_bytes > 0 && self.first.is_none() && self.last.is_empty();
        let writer = self.writer.as_ref().filter(|_| is_writing);
        writer.is_some_and(|writer| self.waiting_bytes < writer.batch_bytes())
    }

    pub(super) fn end(&mut self, last: Last) {
        if matches!(last, Last::Abort(_) | Last::Release) {
            self.halt();
            if self.interruptible == Interruptible::ByUndoing {
                self.interrupt();
            }
        }
        if self.interruptible == Interruptible::ByAnything {
            self.interrupt();
        }
        self.last.push_back(last);
    }

    fn interrupt(&mut self) {
        self.interruptible = Interruptible::Never;
        if let Some(interrupt) = &self.interrupt {
            interrupt.notify_one();
        }
    }

    /// What is undone or given up need not be written first. The core counts none of it any more,
    /// so the batch under way is this room's to count.
    pub(super) fn halt(&mut self) {
        self.is_halted = true;
        self.discard();
        self.orphaned_bytes = self.running_bytes;
    }

    /// Returns whether its next call would open a writer.
    pub(super) fn is_to_open(&self) -> bool {
        match (&self.first, self.last.front()) {
            (None, _)
            | (Some(First::Open(_)), Some(Last::Abort(_) | Last::Release))
            | (Some(First::Reopen { .. }), Some(Last::Release)) => false,
            (Some(_), _) => true,
        }
    }

    /// Decides what to do; call it only while no call runs.
    pub(super) fn next(&mut self) -> Next {
        let is_to_open = self.is_to_open();
        if let Some(first) = self.first.take() {
            if !is_to_open {
                return Next::End(None);
            }
            return self.run(match first {
                First::Open(storage) => Task::Open(storage),
                First::Reopen {
                    storage,
                    checkpoint,
                    offset,
                } => Task::Reopen {
                    storage,
                    checkpoint,
                    offset,
                },
            });
        }
        if !self.has_failed && !self.chunks.is_empty() && self.writer.is_some() {
            return self.run(Task::Write);
        }
        match self.last.pop_front() {
            Some(Last::Abort(reason)) if self.writer.is_some() => self.run(Task::Abort(reason)),
            Some(Last::Abort(_) | Last::Release) => Next::End(None),
            Some(Last::Park(parked)) if !self.has_failed => {
                Next::End(self.writer.take().map(|writer| (writer, parked)))
            }
            Some(Last::Park(_)) => Next::End(None),
            Some(Last::Close) if !self.has_failed && self.writer.is_some() => self.run(Task::Close),
            // The failure was told; what follows a close that can not be is an ending.
            Some(Last::Close) => self.next(),
            None if self.wants_flush() => {
                // Bytes held in parts leave by themselves; asking for them while more come would
                // only hold those up.
                if self.held.bytes > 0 && !mem::take(&mut self.is_flush_due) {
                    self.dry_since = Some(Instant::now());
                    return Next::Rest;
                }
                self.run(Task::Flush)
            }
            None => Next::Rest,
        }
    }

    /// Takes back what a call returned; gives what the core is to be told, and
    /// whether nothing more will come.
    pub(super) fn finish(&mut self, done: Done) -> (Option<WriterEvent>, bool) {
        self.writer = done.writer;
        self.is_busy = false;
        self.interruptible = Interruptible::Never;
        self.running_bytes = 0;
        self.orphaned_bytes = 0;
        self.held = self.writer.as_ref().map(Held::by).unwrap_or_default();
        match done.outcome {
            Outcome::Opened => {
                let checkpoint = match self.checkpoint_news() {
                    CheckpointNews::New(checkpoint) => Some(checkpoint),
                    CheckpointNews::Same | CheckpointNews::Absent => None,
                };
                (Some(WriterEvent::Opened { checkpoint }), false)
            }
            Outcome::Reopened => {
                let checkpoint = self.checkpoint_news();
                (Some(WriterEvent::Reopened { checkpoint }), false)
            }
            Outcome::ClosedBefore(result) => (Some(WriterEvent::ClosedBefore { result }), true),
            Outcome::Gone => (Some(WriterEvent::Gone), true),
            Outcome::Wrote(written) => {
                let before = mem::replace(&mut self.written, written);
                self.flushed_at = (self.was_flush && before == written).then_some(written);
                // While parts go on landing, the next landing is waited for at once.
                self.is_flush_due = self.was_flush;
                // A checkpoint leads to what is durable, so it is another one only when that is.
                let is_same = self.checkpoint.is_some() && before.durable == written.durable;
                let checkpoint = if is_same {
                    CheckpointNews::Same
                } else {
                    self.checkpoint_news()
                };
                let event = WriterEvent::Wrote {
                    received: written.received,
                    durable: written.durable,
                    checkpoint,
                };
                (Some(event), false)
            }
            Outcome::Interrupted => (None, false),
            Outcome::Closed(result) => (Some(WriterEvent::Closed { result }), true),
            Outcome::Aborted => (None, true),
            Outcome::Failed(fault) => {
                let was_told = mem::replace(&mut self.has_failed, true);
                self.discard();
                ((!was_told).then_some(WriterEvent::Failed(fault)), false)
            }
        }
    }

    fn run(&mut self, task: Task) -> Next {
        let mut batch = VecDeque::new();
        self.dry_since = None;
        self.is_flush_due = false;
        let can_be_left = self.writer.as_ref().is_some_and(|w| w.flush_can_be_left());
        self.interruptible = match task {
            Task::Flush if can_be_left => Interruptible::ByAnything,
            Task::Write if self.held.bytes > 0 => Interruptible::ByUndoing,
            _ => Interruptible::Never,
        };
        let interrupt = (self.interruptible != Interruptible::Never).then(|| {
            let interrupt = self.interrupt.get_or_insert_with(Arc::default);
            // One that came too late for an earlier call is not for this one.
            let _stale = interrupt.notified().now_or_never();
            Arc::clone(interrupt)
        });
        self.was_flush = matches!(task, Task::Flush);
        if matches!(task, Task::Write) {
            self.seal_tail();
            batch = mem::take(&mut self.chunks);
            self.running_bytes = mem::take(&mut self.waiting_bytes);
        }
        self.is_busy = true;
        Next::Run(Job {
            task,
            writer: self.writer.take(),
            batch,
            interrupt,
        })
    }

    fn wants_flush(&self) -> bool {
        !self.has_failed
            && !self.is_halted
            && self.writer.is_some()
            && self.written.durable < self.written.received
            && self.flushed_at != Some(self.written)
    }

    /// Says that nothing came for so long that a writer which holds bytes is flushed.
    pub(super) fn flush_after(&mut self, dry: Duration, now: Instant) -> Option<Instant> {
        let due = self.dry_since?.checked_add(dry)?;
        if due > now {
            return Some(due);
        }
        self.is_flush_due = true;
        None
    }

    /// Returns what became of the writer's checkpoint, where a record keeps it.
    ///
    /// That there is none is told each time: whether there was one before the writer was parked or
    /// reopened, the core knows.
    fn checkpoint_news(&mut self) -> CheckpointNews {
        let is_kept = self.subject.resumable;
        let Some(writer) = self.writer.as_ref().filter(|_| is_kept) else {
            return CheckpointNews::Same;
        };
        let before = self.checkpoint.take();
        self.checkpoint = writer.checkpoint().map(|checkpoint| checkpoint.0);
        match &self.checkpoint {
            None => CheckpointNews::Absent,
            Some(_) if self.checkpoint == before => CheckpointNews::Same,
            Some(checkpoint) => CheckpointNews::New(checkpoint.clone()),
        }
    }
}
