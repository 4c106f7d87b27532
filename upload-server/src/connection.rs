//! One connection: its socket, the core's session, and the writers of its uploads, in one task.
//!
//! The task is one [`Connection`], polled in rounds ([`Connection::poll`]). A round takes what is due,
//! what came over the socket, a bounded number of messages, and what came back (writers, stores,
//! handlers); each part returns what happened, and the core receives it. What arrives while a writer
//! works is its next batch. The core decides everything, and these modules carry it out:
//!
//! - `round`: what happened;
//! - `host`, `effects`: what the core asks for;
//! - `pending`, `record_stores`: what is waited for;
//! - `registration`: what other connections see;
//! - `phase`: the life of the socket;
//! - `shutdown_watch`: what the server has to say;
//! - `read`, `close`, `websocket`: the socket;
//! - `rate_limit`, `timer`: how often, and when.

mod close;
mod commands;
mod effects;
pub(crate) mod host;
mod pending;
mod phase;
pub(crate) mod rate_limit;
mod read;
mod record_stores;
mod registration;
mod round;
pub(crate) mod shutdown_watch;
#[cfg(test)]
mod tests;
pub(crate) mod timer;
pub(crate) mod websocket;

use std::{
    collections::VecDeque,
    future::poll_fn,
    net::IpAddr,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::request::Parts;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};
use tracing::Instrument;
use upload_core::{Door, Fact, Output, Session, SessionLimits};
use upload_proto::limits::message_bytes_max;

use self::{
    host::Host,
    phase::Phase,
    rate_limit::RateLimit,
    round::{Due, Round, Step},
    shutdown_watch::Signal,
    timer::Timer,
    websocket::WebSocket,
};
use crate::{
    server::{pages::Page, rates::Rates, shared::Shared, shares::network_of},
    slots::slot::Slots,
};

/// Longest time uploads have to come to rest once the connection is gone.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// What a connection is told before its first message.
#[derive(Clone)]
pub(crate) struct ConnectionConfig {
    /// Who it belongs to; at most [`upload_stores::OWNER_BYTES_MAX`] bytes.
    pub(crate) owner: String,
    /// What it is, as metrics name it.
    pub(crate) door: &'static str,
    /// Whether the client offered no subprotocol.
    pub(crate) plain: bool,
    /// The slots it may use.
    pub(crate) slots: Slots,
    /// The request that opened it, where a handler may ask for it.
    pub(crate) request: Option<Arc<Parts>>,
    /// Where it comes from, as far as that can be believed.
    pub(crate) address: Option<IpAddr>,
    /// What it is charged to for what it sends.
    pub(crate) rates: Rates,
    /// What holds for it, and for its owner.
    pub(crate) limits: SessionLimits,
    /// When its owner's sign-in ends.
    pub(crate) until: Option<Instant>,
    /// Whether its uploads stay when the client says that it goes away (RESUME-7).
    pub(crate) keeps_on_leave: bool,
}

impl ConnectionConfig {
    /// Returns whom what it leaves behind is counted for: its address, or its owner where that speaks for
    /// many.
    pub(crate) fn party(&self) -> Arc<str> {
        let address = self.address.filter(|address| !address.is_loopback());
        match address {
            Some(address) => network_of(address.to_canonical()).to_string().into(),
            None => self.owner.as_str().into(),
        }
    }
}

/// Serves one upgraded connection until it is over and its uploads are at rest.
pub(crate) async fn run<S>(shared: Arc<Shared>, stream: S, config: ConnectionConfig)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let number = shared.next_session();
    let address = config.address.map(tracing::field::display);
    let span = tracing::info_span!("session", number, address, owner = config.owner);
    let mut connection = Connection::new(shared, stream, config, number);
    poll_fn(move |cx| connection.poll(cx))
        .instrument(span)
        .await;
}

struct Connection<S> {
    host: Host<Session>,
    phase: Phase<S>,
    rate_limit: RateLimit,
    window: u64,
    draining: Signal,
    closing: Signal,
    timer: Timer,
    /// What the application tells this page.
    page: Page,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    fn new(shared: Arc<Shared>, stream: S, config: ConnectionConfig, number: u64) -> Self {
        let limits = &shared.limits;
        let chunks = config.slots.values().map(|slot| slot.rules.chunk_size);
        let largest_chunk = chunks.max().unwrap_or_default();
        let socket = WebSocket::new(
            stream,
            message_bytes_max(largest_chunk),
            limits.session.ping_interval,
            limits.missed_pongs_max,
        );
        let window = limits.session.largest_window();
        let draining = Signal::new(shared.draining.clone());
        let closing = Signal::new(shared.closing.clone());
        let page = shared.pages.open(&config.owner);
        let host = Host::new(shared, config, number, Session::new);
        Self {
            phase: Phase::new(socket),
            rate_limit: RateLimit::new(host.config.rates.clone(), host.instant()),
            window,
            draining,
            closing,
            timer: Timer::new(),
            page,
            host,
        }
    }

    /// Does one round; ready when the connection is over and all is at rest.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.host.look_at_clock();
        self.drain();
        let mut round = Round::new(self.due(cx));
        while let Some(step) = self.next(&mut round, cx) {
            match step {
                Step::Due(due) => self.take_due(due),
                Step::Incoming(incoming) => self.take_in(incoming),
                Step::Answer(answer) => self.host.take(answer),
            }
            self.drain();
            self.host.share.open(self.host.core.opening());
        }
        let mut has_more = round.has_more;
        has_more |= self.account();
        self.phase.write(cx);
        // What was held up may go on by what happened since it was looked at.
        has_more |= self.phase.is_held_up() && self.may_read(cx);
        has_more |= self.tell_page(cx);
        has_more |= self.phase.has_news();
        if self.is_over() {
            return Poll::Ready(());
        }
        let next = self.next_deadline();
        if self.timer.poll(next, cx) || has_more {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Returns what time and the server make due.
    fn due(&mut self, cx: &mut Context<'_>) -> [Option<Due>; 5] {
        let now = self.host.instant();
        let core = self.host.core.poll_timeout().map(Instant::from_std);
        let is_past = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        [
            self.draining.is_news(cx).then_some(Due::Draining),
            self.closing.is_news(cx).then_some(Due::Closing),
            is_past(self.signed_in_until()).then_some(Due::SignedOut),
            is_past(core).then_some(Due::Core),
            is_past(self.phase.deadline()).then_some(Due::Socket),
        ]
    }

    fn take_due(&mut self, due: Due) {
        match due {
            Due::Draining => {
                let reconnect_after = self.host.shared.limits.reconnect_after;
                self.host.core.handle_drain(reconnect_after, self.host.now);
            }
            Due::Closing => self.close_socket(upload_proto::close::RESTARTING),
            // A client that has a new sign-in comes back with it and resumes.
            Due::SignedOut => self.close_socket(upload_proto::close::UNAUTHENTICATED),
            Due::Core => self.host.core.handle_timeout(self.host.now),
            Due::Socket => self.phase.look_after(self.host.instant()),
        }
    }

    /// Tells the page what the application has for it, as long as its socket takes it; returns whether that was
    /// something, which is to be sent.
    fn tell_page(&mut self, cx: &Context<'_>) -> bool {
        let mut has_told = false;
        while let Some(socket) = self.phase.open()
            && !socket.is_congested()
            && let Some(push) = self.page.poll(cx)
        {
            let value = Arc::unwrap_or_clone(push.value);
            self.host.core.push_event(push.event.to_string(), value);
            self.drain();
            has_told = true;
        }
        has_told
    }

    /// Carries out everything the core asks for, and tells it what is known at once.
    fn drain(&mut self) {
        let mut known = VecDeque::new();
        loop {
            match self.host.core.poll_output() {
                Some(Output::Send(message)) => self.phase.send(&message),
                Some(Output::Close(reason)) => self.close_socket(reason.code()),
                Some(output) => {
                    if matches!(output, Output::Fact(Fact::Completed(_))) {
                        self.rate_limit.stored();
                    }
                    if let Some(input) = self.host.carry_out(output) {
                        known.push_back(input);
                    }
                }
                None => match known.pop_front() {
                    Some(input) => self.host.apply(input),
                    None if self.phase.has_news() => {
                        if let Some(reason) = self.phase.take_loss(after(DRAIN_TIMEOUT)) {
                            self.host.core.handle_disconnect(reason, self.host.now);
                        }
                    }
                    None => return,
                },
            }
        }
    }

    /// Tells the budget what is buffered, and the core what the budget leaves;
    /// returns whether that is news to it.
    fn account(&mut self) -> bool {
        self.host.account();
        let most = self.host.shared.limits.session.largest_window();
        let window = self.host.window();
        // A quarter is worth telling, and so is the end of a shortage.
        let change = window.abs_diff(self.window);
        let is_news = change > 0 && (change >= self.window / 4 || window == most);
        if is_news {
            self.window = window;
            self.host.core.handle_window(window);
        }
        is_news
    }

    /// Returns when an open connection loses its owner.
    fn signed_in_until(&mut self) -> Option<Instant> {
        self.phase.open().and(self.host.config.until)
    }

    fn is_over(&self) -> bool {
        let Some((is_socket_gone, end_by)) = self.phase.end_by() else {
            return false;
        };
        if end_by <= self.host.instant() {
            tracing::warn!("uploads of a lost connection did not come to rest");
            return true;
        }
        is_socket_gone && self.host.core.is_finished() && self.host.is_idle()
    }

    fn next_deadline(&mut self) -> Option<Instant> {
        let deadlines = [
            self.phase.deadline(),
            self.phase.end_by().map(|(_, by)| by),
            self.host.core.poll_timeout().map(Instant::from_std),
            self.rate_limit.wait(self.host.instant()),
            self.host.next_deadline(),
            self.signed_in_until(),
        ];
        deadlines.into_iter().flatten().min()
    }
}

/// Returns the moment `wait` from now.
fn after(wait: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(wait).unwrap_or(now)
}
