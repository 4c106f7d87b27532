//! All writers of one connection: whose turn it is, and what runs.
//!
//! The core says when a writer is flushed; a flush is dropped when data comes: waiting for one part must
//! not delay the next.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use serde_json::Value;
use tokio_util::sync::ReusableBoxFuture;
use tracing::Span;
use upload_core::{AbortReason, EntryId, Parked, WriterEvent};
use upload_writers::CheckedWriter;
use uuid::Uuid;

use super::{
    call::{Done, Outcome, Storage, UploadLabel},
    event::DriverEvent,
    free_list::FreeList,
    held_bytes::HeldBytes,
    listed::Listed,
    opening_limit::{Line, Openings},
    stage::Driver,
    step::{Call, Finish, Finished, Kind, Start, Step},
};
use crate::metrics::WriterTimes;

/// All drivers of one session.
#[derive(Default)]
pub(crate) struct Drivers {
    /// In boxes, since a map has room for more than it holds.
    by_entry: BTreeMap<EntryId, Box<Driver>>,
    /// Drivers that may have something to do.
    listed: Listed,
    running: FuturesUnordered<Running>,
    openings: Openings,
    events: VecDeque<DriverEvent>,
    /// What all writers hold.
    held: HeldBytes,
    /// Payload bytes of running calls that the core no longer counts.
    orphaned_bytes: u64,
    free_list: FreeList,
    /// Made with the first writer.
    times: Option<WriterTimes>,
}

impl Drivers {
    /// Makes a writer and opens it.
    pub(crate) fn open(&mut self, entry: EntryId, storage: Storage) {
        let label = storage.label.clone();
        let first = Start::Open(Box::new(storage));
        self.insert(entry, Driver::new(label, first));
    }

    /// Reopens a writer at `offset`.
    pub(crate) fn reopen(
        &mut self,
        entry: EntryId,
        storage: Storage,
        checkpoint: Option<Value>,
        offset: u64,
    ) {
        let label = storage.label.clone();
        let first = Start::Reopen {
            storage: Box::new(storage),
            checkpoint,
            offset,
        };
        self.insert(entry, Driver::new(label, first));
    }

    /// Goes on with a writer that was parked.
    pub(crate) fn unpark(
        &mut self,
        entry: EntryId,
        label: UploadLabel,
        writer: CheckedWriter,
        parked: Box<Parked>,
    ) {
        self.insert(entry, Driver::unparked(label, writer, &parked));
        self.events.push_back(DriverEvent::Event {
            entry,
            event: WriterEvent::Unparked(parked),
        });
    }

    /// Appends bytes.
    pub(crate) fn write(&mut self, entry: EntryId, data: Bytes) {
        if let Some(driver) = self.by_entry.get_mut(&entry) {
            driver.write(data, &mut self.free_list);
            self.list(entry);
        }
    }

    /// Has the writer make durable what it took, unless something else comes first.
    pub(crate) fn flush(&mut self, entry: EntryId) {
        self.change(entry, Driver::flush);
        self.list(entry);
    }

    /// Ends the file.
    pub(crate) fn close(&mut self, entry: EntryId) {
        self.end(entry, Finish::Close);
    }

    /// Writes nothing more; how it ends is told later.
    pub(crate) fn halt(&mut self, entry: EntryId) {
        self.change(entry, Driver::halt);
    }

    /// Undoes what was written.
    pub(crate) fn abort(&mut self, entry: EntryId, reason: AbortReason) {
        self.end(entry, Finish::Abort(reason));
    }

    /// Lets go of the writer and keeps what it stored.
    pub(crate) fn release(&mut self, entry: EntryId) {
        self.end(entry, Finish::Release);
    }

    /// Hands the writer out, once it is quiet.
    pub(crate) fn park(&mut self, entry: EntryId, parked: Box<Parked>) {
        self.end(entry, Finish::Park(parked));
    }

    /// Returns whether an entry has a driver still.
    pub(crate) fn has(&self, entry: EntryId) -> bool {
        self.by_entry.contains_key(&entry)
    }

    /// Returns whether nothing runs, waits or is yet to be told.
    pub(crate) fn are_at_rest(&self) -> bool {
        self.running.is_empty() && self.listed.is_empty() && self.events.is_empty()
    }

    /// Returns the payload bytes of running calls that the core no longer counts.
    pub(crate) fn orphaned_bytes(&self) -> u64 {
        self.orphaned_bytes
    }

    /// Returns the payload bytes in the memory of writers, as far as they told.
    pub(crate) fn held(&self) -> HeldBytes {
        self.held
    }

    /// Makes the calls that wait and returns the next report.
    ///
    /// Poll it until it is pending, after commands and whenever the task is woken.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<DriverEvent> {
        loop {
            if let Some(report) = self.events.pop_front() {
                return Poll::Ready(report);
            }
            if let Some(entry) = self.listed.pop() {
                self.start(entry, cx);
                continue;
            }
            match self.running.poll_next_unpin(cx) {
                Poll::Ready(Some((entry, done, call))) => self.finish(entry, done, call),
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Makes the calls for which enough waits, while more is being read, and returns the next report.
    ///
    /// Poll it until it is pending, and [`Drivers::poll`] once nothing more is read.
    pub(crate) fn poll_reading(&mut self, cx: &mut Context<'_>) -> Poll<DriverEvent> {
        for _ in 0..self.listed.len() {
            if !self.events.is_empty() {
                break;
            }
            let Some(entry) = self.listed.pop() else {
                break;
            };
            let driver = self.by_entry.get(&entry);
            if driver.is_some_and(|driver| driver.is_short()) {
                self.listed.push(entry);
            } else {
                self.start(entry, cx);
            }
        }
        self.events.pop_front().map_or(Poll::Pending, Poll::Ready)
    }

    fn insert(&mut self, entry: EntryId, driver: Driver) {
        self.held = self.held.plus(driver.held);
        self.by_entry.insert(entry, Box::new(driver));
        self.list(entry);
    }

    fn remove(&mut self, entry: EntryId) {
        if let Some(driver) = self.by_entry.remove(&entry) {
            self.held = self.held.minus(driver.held);
            let line = driver.line();
            self.openings.give_up(&line, entry);
            // It may have been given a turn that it did not come to use.
            self.open_next(&line);
        }
        if self.by_entry.is_empty() {
            // An idle connection is small.
            self.free_list = FreeList::default();
            self.listed = Listed::default();
        }
    }

    fn end(&mut self, entry: EntryId, last: Finish) {
        self.change(entry, |driver| driver.end(last));
        self.list(entry);
    }

    /// Changes a driver, and what is summed up of all of them.
    fn change<T>(&mut self, entry: EntryId, change: impl FnOnce(&mut Driver) -> T) -> Option<T> {
        let driver = self.by_entry.get_mut(&entry)?;
        let (held, orphaned) = (driver.held, driver.orphaned_bytes());
        let changed = change(driver);
        self.held = self.held.minus(held).plus(driver.held);
        let others = self.orphaned_bytes.saturating_sub(orphaned);
        self.orphaned_bytes = others.saturating_add(driver.orphaned_bytes());
        Some(changed)
    }

    /// Puts an idle driver on the list; a busy one gets there when its call is done.
    fn list(&mut self, entry: EntryId) {
        let driver = self.by_entry.get(&entry);
        if driver.is_some_and(|driver| driver.running().is_none()) {
            self.listed.push(entry);
        }
    }

    fn start(&mut self, entry: EntryId, cx: &mut Context<'_>) {
        let Some(driver) = self.by_entry.get_mut(&entry) else {
            return;
        };
        if driver.is_to_open() && !self.openings.enter(driver.line(), entry) {
            return;
        }
        let job = match driver.next() {
            Step::Run(job) => job,
            Step::Rest => return,
            Step::End(parked) => {
                self.remove(entry);
                self.events.push_back(DriverEvent::end(entry, parked));
                return;
            }
        };
        let mut call = match self.free_list.call() {
            Some(mut call) => {
                call.set(job.run());
                call
            }
            None => ReusableBoxFuture::new(job.run()),
        };
        match call.poll(cx) {
            Poll::Ready(done) => self.finish(entry, done, call),
            Poll::Pending => self.running.push(Running {
                entry,
                call: Some(call),
                span: driver.label.span(),
            }),
        }
    }

    fn finish(&mut self, entry: EntryId, mut done: Done, call: Call) {
        let Some(driver) = self.by_entry.get_mut(&entry) else {
            return;
        };
        self.free_list.keep_call(call);
        self.free_list.keep_batch(std::mem::take(&mut done.batch));
        let times = self.times.get_or_insert_with(WriterTimes::new);
        match done.outcome {
            Outcome::Wrote(_) if driver.running() == Some(Kind::Writing) => {
                times.wrote_in(done.took);
            }
            Outcome::Closed(_) => times.closed_in(done.took),
            _ => {}
        }
        if let Some(error) = done.trouble.take() {
            // The client reads a fixed text (PROTOCOL MSG-4); the log has the rest.
            tracing::warn!(
                incident = %Uuid::new_v4(),
                upload = %driver.label.upload,
                slot = &*driver.label.slot,
                call = done.what,
                error,
                "a writer failed"
            );
        }
        let was_opening = driver.running() == Some(Kind::Opening);
        let opened_in = was_opening.then(|| driver.line());
        match self.change(entry, |driver| driver.finish(done)) {
            Some(Finished::GoesOn(event)) => {
                self.announce(entry, event);
                self.list(entry);
            }
            Some(Finished::Ended(event)) => {
                self.announce(entry, event);
                self.remove(entry);
                self.events.push_back(DriverEvent::Rested { entry });
            }
            None => {}
        }
        if let Some(line) = opened_in {
            self.openings.leave(&line);
            self.open_next(&line);
        }
    }

    /// Has the next of a line open its writer, if one waits and may.
    fn open_next(&mut self, line: &Line) {
        if let Some(entry) = self.openings.next(line) {
            self.list(entry);
        }
    }

    fn announce(&mut self, entry: EntryId, event: Option<WriterEvent>) {
        let event = event.map(|event| DriverEvent::Event { entry, event });
        self.events.extend(event);
    }
}

impl UploadLabel {
    /// Returns what the log lines of a writer stand in, while it is waited for.
    fn span(&self) -> Span {
        tracing::info_span!("upload", upload = %self.upload, slot = &*self.slot)
    }
}

/// A call that was not done at once.
struct Running {
    entry: EntryId,
    call: Option<Call>,
    span: Span,
}

impl Future for Running {
    type Output = (EntryId, Done, Call);

    #[expect(clippy::expect_used, reason = "what was ready is polled no more")]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { entry, call, span } = &mut *self;
        let polled = span.in_scope(|| {
            let call = call.as_mut().expect("is not polled after it was ready");
            call.poll(cx)
        });
        let Poll::Ready(done) = polled else {
            return Poll::Pending;
        };
        let call = call.take().expect("was there a line ago");
        Poll::Ready((*entry, done, call))
    }
}
