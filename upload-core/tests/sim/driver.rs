//! The queue of commands before one writer, as a host keeps it.

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::Value;
use upload_core::{CheckpointChange, EntryId, Fence, Parked, StorageFault, WriterEvent};

use crate::{
    host::{Answer, Host, ParkedWriter, Queue, Stage},
    plan::{Keeping, WriterTrouble},
    storage::{Handle, Reopened},
    world::{Happening, Key, World},
};

/// How long after an answer of its writer bytes must be on their way to be durable, in milliseconds.
pub(crate) const FLUSHED_AFTER: u64 = 1_000;

/// What a writer is told.
#[derive(Debug)]
pub(crate) enum Cmd {
    Open,
    Unpark(Handle, Box<Parked>),
    Reopen(Option<Value>, u64, u64),
    Write(Bytes),
    Flush,
    Close,
    Halt,
    Abort,
    Release,
    Park(Box<Parked>),
}

/// One call under way.
#[derive(Debug)]
enum Call {
    Open,
    Unpark(Option<(Handle, Box<Parked>)>),
    Reopen(Option<Value>, u64, u64),
    Write(Vec<Bytes>),
    Flush,
    Close,
    Abort,
}

/// One upload's writer and what it was told.
pub(crate) struct Driver {
    key: Key,
    queue: Queue,
    call: Option<Call>,
    /// The flush under way was abandoned for what came, and has no answer.
    abandons: bool,
    handle: Option<Handle>,
    has_failed: bool,
    has_closed: bool,
    written: (u64, u64),
    checkpoint: Option<Value>,
}

impl Driver {
    pub(crate) fn new(key: Key) -> Self {
        Self {
            key,
            queue: VecDeque::new(),
            call: None,
            abandons: false,
            handle: None,
            has_failed: false,
            has_closed: false,
            written: (0, 0),
            checkpoint: None,
        }
    }

    /// Returns whether it does nothing and has nothing to do.
    pub(crate) fn is_idle(&self) -> bool {
        self.call.is_none() && self.queue.is_empty()
    }

    /// Queues a command; a flush under way is abandoned for it, or is too far for that.
    pub(crate) fn tell(&mut self, cmd: Cmd, abandons: bool) {
        self.abandons |= abandons && matches!(self.call, Some(Call::Flush));
        self.queue.retain(|cmd| !matches!(cmd, Cmd::Flush));
        if matches!(cmd, Cmd::Halt | Cmd::Abort | Cmd::Release) {
            self.queue.retain(|cmd| !matches!(cmd, Cmd::Write(_)));
        }
        self.queue.push_back(cmd);
    }
}

impl World {
    /// Returns how an upload's writer is continued: unparked or reopened.
    pub(crate) fn reopen_cmd(
        &mut self,
        conn: usize,
        key: Key,
        fence: &Fence,
        checkpoint: Option<Value>,
        offset: u64,
    ) -> Cmd {
        let node = self.conns[conn].node;
        let lot = &mut self.nodes[node].parked;
        if let Some(place) = lot.iter().position(|(of, _)| *of == key)
            && let Some((_, found)) = lot.remove(place)
        {
            if found.parked.fence == *fence {
                return Cmd::Unpark(found.handle, found.parked);
            }
            self.storage.release(found.handle);
        }
        Cmd::Reopen(checkpoint, offset, fence.epoch)
    }

    /// Makes the next call if none is under way.
    pub(crate) fn drive(&mut self, conn: usize, host: &mut Host, entry: EntryId) {
        loop {
            let Some(driver) = host.drivers.get_mut(&entry) else {
                return;
            };
            if driver.call.is_some() {
                return;
            }
            let call = match driver.queue.pop_front() {
                Some(Cmd::Write(first)) if !driver.has_failed => {
                    let mut batch = vec![first];
                    while let Some(Cmd::Write(_)) = driver.queue.front()
                        && let Some(Cmd::Write(next)) = driver.queue.pop_front()
                    {
                        batch.push(next);
                    }
                    Call::Write(batch)
                }
                Some(Cmd::Write(_) | Cmd::Halt) => continue,
                Some(Cmd::Flush) if !driver.has_failed => Call::Flush,
                Some(Cmd::Flush) => continue,
                Some(Cmd::Open) if driver.queue.is_empty() => Call::Open,
                Some(Cmd::Unpark(handle, parked)) => Call::Unpark(Some((handle, parked))),
                Some(Cmd::Reopen(checkpoint, offset, epoch)) => {
                    Call::Reopen(checkpoint, offset, epoch)
                }
                Some(Cmd::Close) if !driver.has_failed => Call::Close,
                Some(Cmd::Close) => continue,
                Some(Cmd::Abort) if driver.handle.is_some() => Call::Abort,
                Some(Cmd::Park(parked)) if !driver.has_failed => {
                    let handle = driver.handle.take();
                    let key = driver.key;
                    host.drivers.remove(&entry);
                    if let Some(handle) = handle {
                        self.park(conn, key, ParkedWriter { handle, parked });
                    }
                    return;
                }
                // Told to open and to stop at once, or to stop without a writer.
                Some(Cmd::Open | Cmd::Abort | Cmd::Release | Cmd::Park(_)) => {
                    if let Some(handle) = driver.handle.take() {
                        self.storage.release(handle);
                    }
                    host.drivers.remove(&entry);
                    return;
                }
                None => return,
            };
            self.call_writer(conn, driver, entry, call);
        }
    }

    fn call_writer(&mut self, conn: usize, driver: &mut Driver, entry: EntryId, call: Call) {
        let number = self.writer_calls;
        self.writer_calls += 1;
        let trouble = self.writer_troubles.remove(&number);
        self.faults_felt += u32::from(trouble.is_some());
        let mut delay = match call {
            Call::Unpark(_) => 0,
            _ => self.rng.range(0, self.plan.setup.writer_delay),
        };
        if let Some((until, by)) = self.weather.writers_slow
            && until > self.now
        {
            delay += by;
        }
        if let Some(WriterTrouble::Slow(by)) = trouble {
            delay += by;
        }
        driver.call = Some(call);
        self.after(delay, Happening::WriterEffect(conn, entry, trouble));
    }

    /// A call reaches the storage.
    pub(crate) fn writer_effect(
        &mut self,
        conn: usize,
        entry: EntryId,
        trouble: Option<WriterTrouble>,
    ) {
        let node = self.conns[conn].node;
        let Some(mut host) = self.conns[conn].host.take() else {
            return;
        };
        if let Some(driver) = host.drivers.get_mut(&entry)
            && let Some(mut call) = driver.call.take()
        {
            let answer = self.do_call(node, driver, &mut call, trouble);
            driver.call = Some(call);
            let delay = self.rng.range(0, self.plan.setup.writer_delay);
            self.after(delay, Happening::WriterAnswer(conn, entry, answer));
        }
        self.conns[conn].host = Some(host);
    }

    fn do_call(
        &mut self,
        node: usize,
        driver: &mut Driver,
        call: &mut Call,
        trouble: Option<WriterTrouble>,
    ) -> Answer {
        let short = self
            .weather
            .storage_short
            .filter(|(until, _)| *until > self.now);
        let (before, after) = match (trouble, short) {
            (Some(WriterTrouble::FailsBefore(fault)), _) | (None, Some((_, fault))) => {
                (Some(fault), None)
            }
            (Some(WriterTrouble::FailsAfter(fault)), _) => (None, Some(fault)),
            _ => (None, None),
        };
        let is_quiet = matches!(call, Call::Abort | Call::Unpark(_));
        if let Some(fault) = before
            && !is_quiet
        {
            return Answer::Event(WriterEvent::Failed(fault));
        }
        let event = self.effect(node, driver, call);
        match (event, after) {
            (Answer::Event(_), Some(fault)) if !is_quiet => {
                if matches!(call, Call::Open) {
                    // A failed open leaves nothing behind.
                    if let Some(handle) = driver.handle.take() {
                        self.storage.abort(handle, false, self.plan.setup.keeping);
                    }
                }
                Answer::Event(WriterEvent::Failed(fault))
            }
            (event, _) => event,
        }
    }

    fn effect(&mut self, node: usize, driver: &mut Driver, call: &mut Call) -> Answer {
        let keeping = self.plan.setup.keeping;
        Answer::Event(match call {
            Call::Open => {
                let handle = self.storage.open(driver.key, node);
                driver.handle = Some(handle);
                driver.checkpoint = self.storage.checkpoint(handle, keeping);
                let checkpoint = driver.checkpoint.clone();
                WriterEvent::Opened { checkpoint }
            }
            Call::Unpark(parked) => {
                let Some((handle, parked)) = parked.take() else {
                    return Answer::Silent;
                };
                driver.handle = Some(handle);
                driver.written = (parked.received, parked.durable);
                self.storage.unpark(handle, parked.fence.epoch);
                WriterEvent::Unparked(parked)
            }
            Call::Reopen(None, 0, _) => {
                driver.handle = Some(self.storage.open(driver.key, node));
                let checkpoint = self.checkpoint_news(driver, keeping);
                WriterEvent::Reopened { checkpoint }
            }
            Call::Reopen(None, offset, _) => {
                self.fail(format!(
                    "2: a record of {offset} bytes without a checkpoint"
                ));
                WriterEvent::Gone
            }
            Call::Reopen(Some(checkpoint), offset, epoch) => {
                match self
                    .storage
                    .reopen(driver.key, node, keeping, checkpoint, (*offset, *epoch))
                {
                    Reopened::Open(handle) => {
                        driver.handle = Some(handle);
                        driver.written = (*offset, *offset);
                        let checkpoint = self.checkpoint_news(driver, keeping);
                        WriterEvent::Reopened { checkpoint }
                    }
                    Reopened::Closed(result) => WriterEvent::ClosedBefore { result },
                    Reopened::Gone => {
                        self.check_gone(driver.key);
                        WriterEvent::Gone
                    }
                    Reopened::TooLate => WriterEvent::Failed(StorageFault::Throttled),
                    Reopened::Wrong(what) => {
                        // An old holder on a half-open connection may have put a record
                        // back that a newer one deleted with the upload.
                        let truth = self.truth.get(&driver.key);
                        if truth.is_none_or(|truth| !truth.may_be_gone) {
                            self.fail(format!("2: {what}"));
                        }
                        WriterEvent::Gone
                    }
                }
            }
            Call::Write(batch) => {
                let Some(handle) = driver.handle else {
                    return Answer::Silent;
                };
                for data in batch {
                    driver.written = self.storage.write(handle, data, keeping);
                }
                let (received, durable) = driver.written;
                let checkpoint = self.checkpoint_news(driver, keeping);
                WriterEvent::Wrote {
                    received,
                    durable,
                    buffered: keeping.buffered(received, durable),
                    checkpoint,
                }
            }
            Call::Flush => {
                let Some(handle) = driver.handle else {
                    return Answer::Silent;
                };
                driver.written = self.storage.flush(handle, keeping);
                let (received, durable) = driver.written;
                let checkpoint = self.checkpoint_news(driver, keeping);
                WriterEvent::Wrote {
                    received,
                    durable,
                    buffered: keeping.buffered(received, durable),
                    checkpoint,
                }
            }
            Call::Close => {
                let closed = driver.handle.and_then(|handle| self.storage.close(handle));
                match closed {
                    Some(result) => {
                        driver.has_closed = true;
                        WriterEvent::Closed { result }
                    }
                    None => WriterEvent::Failed(StorageFault::Failed),
                }
            }
            Call::Abort => {
                if let Some(handle) = driver.handle.take() {
                    self.storage.abort(handle, driver.has_closed, keeping);
                }
                return Answer::Silent;
            }
        })
    }

    fn checkpoint_news(&mut self, driver: &mut Driver, keeping: Keeping) -> CheckpointChange {
        let Some(handle) = driver.handle else {
            return CheckpointChange::Same;
        };
        let before = driver.checkpoint.take();
        driver.checkpoint = self.storage.checkpoint(handle, keeping);
        match &driver.checkpoint {
            now if *now == before && now.is_some() => CheckpointChange::Same,
            Some(checkpoint) => CheckpointChange::New(checkpoint.clone()),
            None => {
                if keeping != Keeping::NoCheckpoint
                    && let Some(truth) = self.truth.get_mut(&driver.key)
                {
                    truth.lost_checkpoint = true;
                    truth.lost_record = true;
                }
                CheckpointChange::Absent
            }
        }
    }

    /// RESUME-2: a writer may have nothing to go on from only where the upload
    /// ended by right.
    fn check_gone(&mut self, key: Key) {
        let Some(truth) = self.truth.get(&key) else {
            return;
        };
        if !truth.may_be_gone && !self.is_lossy {
            self.fail("2: what a record promises is gone".into());
        }
    }

    /// The core learns what became of a call.
    pub(crate) fn writer_answers(&mut self, conn: usize, entry: EntryId, answer: Answer) {
        let Some(mut host) = self.conns[conn].host.take() else {
            return;
        };
        let Some(driver) = host.drivers.get_mut(&entry) else {
            self.conns[conn].host = Some(host);
            return;
        };
        let was_reopening = matches!(driver.call, Some(Call::Reopen(..)));
        driver.call = None;
        let answer = match answer {
            Answer::Event(WriterEvent::Wrote { .. }) if driver.abandons => {
                // Whatever it came to, the core hears of the checkpoint with the next batch.
                driver.checkpoint = None;
                Answer::Silent
            }
            answer => answer,
        };
        driver.abandons = false;
        let mut is_over = false;
        if let Some(life) = host.entries.get_mut(&entry) {
            let stage = match &answer {
                Answer::Event(
                    WriterEvent::Opened { .. }
                    | WriterEvent::Reopened { .. }
                    | WriterEvent::Unparked(_),
                ) => Stage::Open,
                Answer::Event(WriterEvent::Failed(_)) => Stage::Broken,
                Answer::Event(WriterEvent::Closed { .. } | WriterEvent::ClosedBefore { .. }) => {
                    life.has_closed = true;
                    is_over = true;
                    Stage::Ended
                }
                Answer::Event(WriterEvent::Gone) => {
                    is_over = true;
                    Stage::Ended
                }
                _ => life.stage,
            };
            if let Answer::Event(WriterEvent::Unparked(parked)) = &answer {
                life.offset = parked.received;
            }
            if life.stage != Stage::Ended {
                life.stage = stage;
            }
        }
        let mut told = true;
        if let Answer::Event(WriterEvent::Failed(fault)) = &answer {
            told = !driver.has_failed;
            driver.has_failed = true;
            // Who can not reopen has not lost what is stored.
            if !matches!(fault, StorageFault::Full | StorageFault::Throttled)
                && !was_reopening
                && let Some(truth) = self.truth.get_mut(&driver.key)
            {
                truth.may_be_gone = true;
            }
        }
        let was_aborted = driver.handle.is_none() && matches!(answer, Answer::Silent);
        if is_over || was_aborted {
            if let Some(handle) = driver.handle.take() {
                self.storage.release(handle);
            }
            host.drivers.remove(&entry);
        }
        self.drive(conn, &mut host, entry);
        self.conns[conn].host = Some(host);
        self.expect_flush(conn, entry, &answer);
        match answer {
            Answer::Event(event) if told => {
                self.input(conn, |session, now| {
                    session.handle_writer(entry, event, now)
                });
            }
            _ => self.input(conn, |_, _| {}),
        }
    }

    /// Notes what a writer took that a flush could make durable, to look at it again later.
    fn expect_flush(&mut self, conn: usize, entry: EntryId, answer: &Answer) {
        let written = match answer {
            Answer::Event(WriterEvent::Wrote {
                received, durable, ..
            }) => (*received, *durable),
            Answer::Event(WriterEvent::Unparked(parked)) => (parked.received, parked.durable),
            _ => return,
        };
        if self.plan.setup.keeping.flushed(written) != written {
            self.after(FLUSHED_AFTER, Happening::FlushOverdue(conn, entry, written));
        }
    }

    /// Invariant 8: what a writer took does not wait for its client to become durable.
    pub(crate) fn check_flushed(&mut self, conn: usize, entry: EntryId, written: (u64, u64)) {
        let Some(host) = &self.conns[conn].host else {
            return;
        };
        let (driver, life) = (host.drivers.get(&entry), host.entries.get(&entry));
        let (Some(driver), Some(life)) = (driver, life) else {
            return;
        };
        if life.stage == Stage::Open
            && !life.is_halted
            && driver.is_idle()
            && driver.written == written
        {
            let (received, durable) = written;
            self.fail(format!(
                "8: {durable} of {received} bytes are durable, and nobody flushes the writer"
            ));
        }
    }

    /// Calls that were under way when a process died took effect, or did not.
    pub(crate) fn half_done(&mut self, host: &mut Host) {
        for driver in host.drivers.values_mut() {
            if let Some(mut call) = driver.call.take()
                && !matches!(call, Call::Unpark(_) | Call::Reopen(..))
                && self.rng.chance(50)
            {
                let node = usize::MAX;
                self.effect(node, driver, &mut call);
                if let Some(handle) = driver.handle.take() {
                    self.storage.release(handle);
                }
            }
        }
    }

    fn park(&mut self, conn: usize, key: Key, writer: ParkedWriter) {
        let node = self.conns[conn].node;
        let most = self.plan.setup.parked_max;
        let lot = &mut self.nodes[node].parked;
        let mut left = Vec::new();
        if let Some(place) = lot.iter().position(|(of, _)| *of == key) {
            left.extend(lot.remove(place));
        }
        while lot.len() >= most {
            left.extend(lot.pop_front());
        }
        lot.push_back((key, writer));
        for (_, parked) in left {
            self.storage.release(parked.handle);
        }
    }
}
