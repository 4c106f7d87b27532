//! The writers of one session's uploads, driven by the session's own task.
//!
//! Commands of one upload run strictly in order, one call at a time; what
//! arrives while a call runs waits and goes into the next one as a batch. A call
//! is polled once where it is made, so a writer that is quick has written before
//! the session does anything else; one that is not is polled with the others.
//! There is no task, no channel and no copy per chunk, and the memory of queues
//! and futures is used again (`spares`).

mod held;
mod job;
mod openings;
mod report;
mod spares;
#[cfg(test)]
mod tests;
mod upload;

use std::{
    collections::{BTreeMap, VecDeque},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::ReusableBoxFuture;
use tracing::Span;
use upload_core::{AbortReason, EntryId, Parked, WriterEvent};
use upload_writers::BoxWriter;
use uuid::Uuid;

pub(crate) use self::{
    held::Held,
    job::{Storage, Subject, chain},
    report::Report,
};
use self::{
    job::{Done, Outcome},
    openings::Openings,
    spares::Spares,
    upload::{Call, Driver, First, Last, Next},
};
use crate::metrics::WriterTimes;

/// How long nothing must have come for a writer that holds bytes before it is flushed.
const DRY: Duration = Duration::from_millis(150);

/// All drivers of one session.
#[derive(Default)]
pub(crate) struct Drivers {
    /// In boxes, since a map has room for more than it holds.
    by_entry: BTreeMap<EntryId, Box<Driver>>,
    /// Drivers that may have something to do, each once.
    listed: VecDeque<EntryId>,
    running: FuturesUnordered<Running>,
    openings: Openings,
    told: VecDeque<Report>,
    /// Drivers whose queue ran dry and when to look at them, each once.
    dry: VecDeque<(Instant, EntryId)>,
    /// What all writers hold.
    held: Held,
    spares: Spares,
    /// Made with the first writer.
    times: Option<WriterTimes>,
}

impl Drivers {
    /// Makes a writer and opens it.
    pub(crate) fn open(&mut self, entry: EntryId, storage: Storage) {
        let subject = storage.subject.clone();
        let first = First::Open(Box::new(storage));
        self.insert(entry, Driver::new(subject, Some(first)));
    }

    /// Reopens a writer at `offset`.
    pub(crate) fn reopen(
        &mut self,
        entry: EntryId,
        storage: Storage,
        checkpoint: Option<Value>,
        offset: u64,
    ) {
        let subject = storage.subject.clone();
        let first = First::Reopen {
            storage: Box::new(storage),
            checkpoint,
            offset,
        };
        self.insert(entry, Driver::new(subject, Some(first)));
    }

    /// Goes on with a writer that was parked.
    pub(crate) fn unpark(
        &mut self,
        entry: EntryId,
        subject: Subject,
        writer: BoxWriter,
        parked: Box<Parked>,
    ) {
        self.insert(entry, Driver::unparked(subject, writer, &parked));
        self.told.push_back(Report::Event {
            entry,
            event: WriterEvent::Unparked(parked),
        });
    }

    /// Appends bytes.
    pub(crate) fn write(&mut self, entry: EntryId, data: Bytes) {
        if let Some(driver) = self.by_entry.get_mut(&entry) {
            driver.write(data, &mut self.spares);
            self.list(entry);
        }
    }

    /// Ends the file.
    pub(crate) fn close(&mut self, entry: EntryId) {
        self.end(entry, Last::Close);
    }

    /// Writes nothing more; how it ends is told later.
    pub(crate) fn halt(&mut self, entry: EntryId) {
        if let Some(driver) = self.by_entry.get_mut(&entry) {
            driver.halt();
        }
    }

    /// Undoes what was written.
    pub(crate) fn abort(&mut self, entry: EntryId, reason: AbortReason) {
        self.end(entry, Last::Abort(reason));
    }

    /// Lets go of the writer and keeps what it stored.
    pub(crate) fn release(&mut self, entry: EntryId) {
        self.end(entry, Last::Release);
    }

    /// Hands the writer out, once it is quiet.
    pub(crate) fn park(&mut self, entry: EntryId, parked: Box<Parked>) {
        self.end(entry, Last::Park(parked));
    }

    /// Returns whether an entry has a driver still.
    pub(crate) fn has(&self, entry: EntryId) -> bool {
        self.by_entry.contains_key(&entry)
    }

    /// Returns whether nothing runs, waits or is yet to be told.
    pub(crate) fn are_at_rest(&self) -> bool {
        self.running.is_empty() && self.listed.is_empty() && self.told.is_empty()
    }

    /// Returns the payload bytes of running calls that the core no longer counts.
    pub(crate) fn orphaned_bytes(&self) -> u64 {
        if self.running.is_empty() {
            return 0;
        }
        self.by_entry
            .values()
            .fold(0, |sum, driver| sum.saturating_add(driver.orphaned_bytes))
    }

    /// Returns the payload bytes in the memory of writers, as far as they told.
    pub(crate) fn held(&self) -> Held {
        self.held
    }

    /// Returns when to call [`Drivers::handle_timeout`], if ever.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.dry.front().map(|(at, _)| *at)
    }

    /// Has writers flushed for which nothing came for long enough.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(at, entry)) = self.dry.front()
            && at <= now
        {
            self.dry.pop_front();
            let Some(driver) = self.by_entry.get_mut(&entry) else {
                continue;
            };
            match driver.flush_after(DRY, now) {
                Some(later) => self.dry.push_back((later, entry)),
                None => {
                    driver.is_dry_listed = false;
                    self.list(entry);
                }
            }
        }
    }

    /// Makes the calls that wait and returns the next report.
    ///
    /// Poll it until it is pending, after commands and whenever the task is woken.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Report> {
        loop {
            if let Some(report) = self.told.pop_front() {
                return Poll::Ready(report);
            }
            if let Some(entry) = self.listed.pop_front() {
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
    pub(crate) fn poll_reading(&mut self, cx: &mut Context<'_>) -> Poll<Report> {
        for _ in 0..self.listed.len() {
            if !self.told.is_empty() {
                break;
            }
            let Some(entry) = self.listed.pop_front() else {
                break;
            };
            let driver = self.by_entry.get(&entry);
            if driver.is_some_and(|driver| driver.is_short()) {
                self.listed.push_back(entry);
            } else {
                self.start(entry, cx);
            }
        }
        self.told.pop_front().map_or(Poll::Pending, Poll::Ready)
    }

    fn insert(&mut self, entry: EntryId, driver: Driver) {
        self.held = self.held.plus(driver.held);
        self.by_entry.insert(entry, Box::new(driver));
        self.list(entry);
    }

    fn remove(&mut self, entry: EntryId) {
        if let Some(driver) = self.by_entry.remove(&entry) {
            self.held = self.held.minus(driver.held);
            if driver.waits_to_open {
                self.openings.give_up(&driver.subject.slot, entry);
            }
            // It may have been given a turn that it did not come to use.
            self.open_next(&driver.subject.slot);
        }
        if self.by_entry.is_empty() {
            self.spares = Spares::default();
        }
    }

    fn end(&mut self, entry: EntryId, last: Last) {
        if let Some(driver) = self.by_entry.get_mut(&entry) {
            driver.end(last);
            self.list(entry);
        }
    }

    /// Puts an idle driver on the list; a busy one gets there when its call is done.
    fn list(&mut self, entry: EntryId) {
        if let Some(driver) = self.by_entry.get_mut(&entry)
            && !driver.is_busy
            && !driver.is_listed
        {
            driver.is_listed = true;
            self.listed.push_back(entry);
        }
    }

    fn start(&mut self, entry: EntryId, cx: &mut Context<'_>) {
        let Some(driver) = self.by_entry.get_mut(&entry) else {
            return;
        };
        driver.is_listed = false;
        if driver.is_to_open() {
            let may_open =
                !driver.waits_to_open && self.openings.enter(&driver.subject.slot, entry);
            driver.is_opening = may_open;
            driver.waits_to_open = !may_open;
            if !may_open {
                return;
            }
        }
        let job = match driver.next() {
            Next::Run(job) => job,
            Next::Rest => {
                if let Some(since) = driver.dry_since
                    && !driver.is_dry_listed
                {
                    driver.is_dry_listed = true;
                    let at = since.checked_add(DRY).unwrap_or(since);
                    self.dry.push_back((at, entry));
                }
                return;
            }
            Next::End(parked) => {
                self.remove(entry);
                self.told.push_back(Report::end(entry, parked));
                return;
            }
        };
        let mut call = match self.spares.call() {
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
                span: driver.subject.span(),
            }),
        }
    }

    fn finish(&mut self, entry: EntryId, mut done: Done, call: Call) {
        let Some(driver) = self.by_entry.get_mut(&entry) else {
            return;
        };
        self.spares.keep_call(call);
        self.spares.keep_batch(std::mem::take(&mut done.batch));
        let times = self.times.get_or_insert_with(WriterTimes::new);
        match done.outcome {
            Outcome::Wrote(_) if !driver.was_flush => times.wrote_in(done.took),
            Outcome::Closed(_) => times.closed_in(done.took),
            _ => {}
        }
        if let Some(error) = done.trouble.take() {
            // The client reads a fixed text (PROTOCOL MSG-4); the log has the rest.
            tracing::warn!(
                incident = %Uuid::new_v4(),
                upload = %driver.subject.upload,
                slot = &*driver.subject.slot,
                call = done.what,
                error,
                "a writer failed"
            );
        }
        let before = driver.held;
        let (event, is_over) = driver.finish(done);
        self.held = self.held.minus(before).plus(driver.held);
        let opened_in = std::mem::take(&mut driver.is_opening).then(|| driver.subject.slot.clone());
        if let Some(event) = event {
            self.told.push_back(Report::Event { entry, event });
        }
        if is_over {
            self.remove(entry);
            self.told.push_back(Report::Rested { entry });
        } else {
            self.list(entry);
        }
        if let Some(slot) = opened_in {
            self.openings.leave(&slot);
            self.open_next(&slot);
        }
    }

    /// Has the next of a slot open its writer, if one waits and may.
    fn open_next(&mut self, slot: &Arc<str>) {
        let next = self.openings.next(slot);
        if let Some(driver) = next.and_then(|entry| self.by_entry.get_mut(&entry)) {
            driver.waits_to_open = false;
        }
        if let Some(entry) = next {
            self.list(entry);
        }
    }
}

impl Subject {
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
