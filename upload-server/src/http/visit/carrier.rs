//! One visit: requests about an upload, and the upload.
//!
//! As a socket's task, it is polled in rounds: it hears what came back, takes requests, reads a bounded
//! part of the content, and lets the writer take it.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::Span;
use upload_core::{ContentEnd, Door, RequestId, Taken, Visit, VisitOutput};

use super::{
    Ask, Held, Key, Visits,
    content::{Piece, Served},
    driven::Driven,
};
use crate::{
    connection::{ConnectionConfig, host::Host, shutdown_watch::Signal, timer::Timer},
    metrics::{OpenVisit, visit_opened},
    server::shared::Shared,
};

/// Answers of writers, stores and the application taken per round.
const ANSWERS_PER_ROUND: u32 = 64;
/// Pieces of content read per round.
const PIECES_PER_ROUND: u32 = 128;
/// Bytes read per round; one piece more may come.
const BYTES_PER_ROUND: u64 = 4 * 1024 * 1024;
/// Time after which a round reads no more, so that others get their turn.
const ROUND_MAX: Duration = Duration::from_millis(1);
/// Bytes a second that content which waits for its checksum has to bring, beyond one pause.
const HELD_BACK_PER_SECOND: u32 = 8 * 1024;
/// Bytes after which writers are asked whether that is enough for them.
const BYTES_PER_WRITE: u64 = 64 * 1024;

/// How a round ended.
pub(super) enum Outcome {
    /// The visit is over.
    Over,
    /// This request drives it from now on.
    HandOver(oneshot::Sender<Driven>),
}

/// Serves requests about one upload until none comes for a while and the upload is at its end or let go of.
pub(super) struct Carrier {
    host: Host<Visit>,
    key: Key,
    inbox: mpsc::Receiver<Box<Ask>>,
    visits: Arc<Visits>,
    /// The request that is to drive this visit.
    successor: Option<oneshot::Sender<Driven>>,
    served: Option<Served>,
    /// The request before it, which is about to be answered.
    replaced: Option<Served>,
    /// Whether content waits for room.
    is_paused: bool,
    last_id: u64,
    /// When content may be read again, after too much of it.
    rest_until: Option<Instant>,
    /// When content must have come.
    content_by: Option<Instant>,
    /// When the sign-in ends that content comes with, where what comes is kept.
    content_until: Option<Instant>,
    draining: Signal,
    closing: Signal,
    timer: Timer,
    span: Span,
    /// The process ends after it.
    _running: TaskTrackerToken,
    _held: Held,
    _open: OpenVisit,
}

impl Carrier {
    pub(super) fn new(
        shared: &Arc<Shared>,
        config: ConnectionConfig,
        (key, client_id): (Key, String),
        (inbox, visits, held): (mpsc::Receiver<Box<Ask>>, Arc<Visits>, Held),
    ) -> Self {
        let number = shared.next_session();
        let address = config.address.map(tracing::field::display);
        let span =
            tracing::info_span!(parent: None, "visit", number, address, owner = config.owner);
        let host = Host::new(Arc::clone(shared), config, number, |config, _| {
            Visit::new(key.upload, config).of_client(client_id)
        });
        Self {
            host,
            key,
            inbox,
            visits,
            successor: None,
            served: None,
            replaced: None,
            is_paused: false,
            last_id: 0,
            rest_until: None,
            content_by: None,
            content_until: None,
            draining: Signal::new(shared.draining.clone()),
            closing: Signal::new(shared.closing.clone()),
            timer: Timer::new(),
            span,
            _running: shared.tracker.token(),
            _held: held,
            _open: visit_opened(),
        }
    }

    /// Does one round.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        let span = self.span.clone();
        span.in_scope(|| self.round(cx))
    }

    fn round(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        self.host.look_at_clock();
        self.do_what_is_due(cx);
        let mut has_more = self.take_requests(cx);
        if let Some(successor) = self.successor.take() {
            return Poll::Ready(Outcome::HandOver(successor));
        }
        has_more |= self.read(cx);
        let was_receiving = self.is_receiving();
        has_more |= self.poll_answers(cx);
        // Content that is wanted since was not polled, so nothing would wake this task for it.
        has_more |= !was_receiving && self.is_receiving();
        let (held_back, to_come) = self.served.as_ref().map_or((0, 0), Served::held_back);
        self.host.hold_back(held_back, to_come);
        self.host.account();
        // What was held up may continue by what happened since it was looked at.
        has_more |= std::mem::take(&mut self.is_paused) && self.may_read(cx);
        if self.host.core.is_over() && self.host.is_idle() {
            match self.visits.close(&self.key, &mut self.inbox) {
                Some(ask) => {
                    self.take(ask);
                    has_more = true;
                }
                None => return Poll::Ready(Outcome::Over),
            }
        }
        let next = self.next_deadline();
        if self.timer.poll(next, cx) || has_more {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn do_what_is_due(&mut self, cx: &mut Context<'_>) {
        let now = self.host.now;
        if self.draining.is_news(cx) {
            self.host.core.drain(now);
        }
        if self.closing.is_news(cx) {
            self.host.core.disconnect(now);
        }
        let due = self.host.core.poll_timeout();
        if due.is_some_and(|at| at <= now.instant) {
            self.host.core.handle_timeout(now);
        }
        if self.content_by.is_some_and(|by| by <= self.host.instant()) {
            self.content_by = None;
            self.end_content(ContentEnd::TimedOut);
        }
        self.drain();
    }

    /// Takes the requests that came; returns whether there may be more.
    fn take_requests(&mut self, cx: &mut Context<'_>) -> bool {
        let Poll::Ready(Some(ask)) = self.inbox.poll_recv(cx) else {
            return false;
        };
        self.take(ask);
        true
    }

    fn take(&mut self, mut ask: Box<Ask>) {
        self.last_id = self.last_id.saturating_add(1);
        self.successor = ask.successor.take();
        let id = RequestId(self.last_id);
        let (mut config, request, served) = ask.into_parts(id);
        // Many small requests about an upload send no faster than one.
        config.rates = config.rates.continuing(&self.host.config.rates);
        // Its file could not be complete behind that, and what came is worth another request.
        self.content_until = config.until.filter(|_| !request.is_all_or_nothing());
        self.host.config = config;
        self.replaced = self.served.replace(served);
        // It was about the request before, and must not stop this one before its content is read.
        self.content_by = None;
        self.host.core.request(id, request, self.host.now);
        self.drain();
        self.replaced = None;
    }

    /// Carries out everything the core asks for, and tells it what is known at once.
    fn drain(&mut self) {
        let mut known = VecDeque::new();
        loop {
            match self.host.core.poll_output() {
                Some(VisitOutput::Do(output)) => known.extend(self.host.carry_out(output)),
                Some(VisitOutput::Receive(id)) => {
                    if let Some(served) = self.served.as_mut().filter(|served| served.id == id) {
                        served.receive();
                        self.host.core.content_begins(self.host.now);
                        self.content_by = Some(self.content_deadline());
                    }
                }
                Some(VisitOutput::Answer(id, reply)) => {
                    let is_it = |served: &mut Served| served.id == id;
                    if let Some(served) = self.replaced.take_if(is_it) {
                        served.answer(reply);
                    } else if let Some(served) = self.served.take_if(is_it) {
                        self.content_by = None;
                        served.answer(reply);
                    }
                }
                None => match known.pop_front() {
                    Some(input) => self.host.apply(input),
                    None => return,
                },
            }
        }
    }

    /// Reads content and has the core take it; returns whether there may be more.
    fn read(&mut self, cx: &mut Context<'_>) -> bool {
        let begun = self.host.now.instant;
        let (mut pieces, mut total, mut unwritten) = (0, 0u64, 0u64);
        let has_more = loop {
            if !self.is_receiving() {
                break false;
            }
            self.host.look_at_clock();
            let elapsed = self.host.now.instant.saturating_duration_since(begun);
            if pieces >= PIECES_PER_ROUND
                || total >= BYTES_PER_ROUND
                || (pieces > 0 && elapsed >= ROUND_MAX)
            {
                break true;
            }
            self.is_paused = !self.may_read(cx);
            if self.is_paused {
                // Waiting for storage is not the client's pause.
                self.host.core.content_begins(self.host.now);
                self.content_by = Some(self.content_deadline());
                break false;
            }
            let Some(served) = &mut self.served else {
                break false;
            };
            let before = served.held_back().0;
            match served.poll(cx) {
                Poll::Pending => {
                    let held = served.held_back().0.saturating_sub(before);
                    self.came_held_back(held);
                    break false;
                }
                Poll::Ready(Piece::Data(data)) => {
                    if before > 0 {
                        // It has its checksum by now, and none of it counted before.
                        self.host.core.content_begins(self.host.now);
                    }
                    let bytes = u64::try_from(data.len()).unwrap_or(u64::MAX);
                    pieces = pieces.saturating_add(1);
                    total = total.saturating_add(bytes);
                    unwritten = unwritten.saturating_add(bytes);
                    let rest = self.host.config.rates.bytes(bytes, self.host.instant());
                    self.rest_until = self.rest_until.max(rest);
                    self.content_by = Some(self.content_deadline());
                    self.take_in(data);
                    self.host.account();
                }
                Poll::Ready(Piece::End(end)) => self.end_content(end),
            }
            self.drain();
            if unwritten >= BYTES_PER_WRITE {
                unwritten = 0;
                while let Poll::Ready(answer) = self.host.poll_writers(cx) {
                    self.host.take(answer);
                    self.drain();
                }
            }
        };
        if pieces > 0 {
            self.host.received(u64::from(pieces), total);
        }
        has_more
    }

    fn is_receiving(&self) -> bool {
        self.served.as_ref().is_some_and(Served::is_receiving)
    }

    fn take_in(&mut self, data: bytes::Bytes) {
        let Some(served) = &mut self.served else {
            return;
        };
        let taken = self.host.core.content(served.id, data, self.host.now);
        if taken == Taken::Enough {
            served.stop();
            self.content_by = None;
        }
    }

    fn end_content(&mut self, end: ContentEnd) {
        if let Some(served) = &mut self.served {
            served.stop();
            self.content_by = None;
            self.host.core.content_end(served.id, end, self.host.now);
        }
    }

    fn may_read(&mut self, cx: &mut Context<'_>) -> bool {
        let now = self.host.instant();
        self.rest_until = self.rest_until.filter(|until| *until > now);
        let window = self.host.request_window();
        self.rest_until.is_none() && self.host.core.buffered() < window && self.host.has_room(cx)
    }

    /// Takes what comes back; returns whether there may be more.
    fn poll_answers(&mut self, cx: &mut Context<'_>) -> bool {
        for _ in 0..ANSWERS_PER_ROUND {
            let Poll::Ready(answer) = self.host.poll_answer(cx) else {
                // What was taken may have made room to read.
                return false;
            };
            self.host.take(answer);
            self.drain();
        }
        true
    }

    /// Content that waits for its checksum goes nowhere yet, and so its pace is looked at here, and not by the
    /// core.
    fn came_held_back(&mut self, bytes: u64) {
        let Some(by) = self.content_by.filter(|_| bytes > 0) else {
            return;
        };
        self.host.core.content_begins(self.host.now);
        let earned = Duration::from_secs(1)
            .saturating_mul(u32::try_from(bytes).unwrap_or(u32::MAX))
            .checked_div(HELD_BACK_PER_SECOND)
            .unwrap_or_default();
        let later = by.checked_add(earned).unwrap_or(by);
        self.content_by = Some(later.min(self.content_deadline()));
    }

    fn content_deadline(&self) -> Instant {
        let now = self.host.instant();
        let by = now.checked_add(self.host.content_pause()).unwrap_or(now);
        self.content_until.map_or(by, |until| by.min(until))
    }

    fn next_deadline(&self) -> Option<Instant> {
        let core = self.host.core.poll_timeout().map(Instant::from_std);
        let host = self.host.next_deadline();
        [core, host, self.content_by, self.rest_until]
            .into_iter()
            .flatten()
            .min()
    }
}
