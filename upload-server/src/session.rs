//! One connection: its socket, the core's session, and the writers of its uploads, in one task.
//!
//! The task is one [`Connection`], polled in rounds. A round hears what came
//! back (stores, handlers, writers), reads a bounded number of messages, lets
//! writers take what was read, and sends what there is to say. So a busy socket
//! starves neither its own acknowledgements nor other connections, and what
//! arrives while a writer works is its next batch. The core decides everything;
//! the rooms beside this one carry it out: `effects` (what the core asks for),
//! `errands` (what is waited for), `presence` (what other sessions see), `alarm`
//! (what time makes due), `signal` (what the server has to say), `line` (the socket)
//! and `meters`.

mod alarm;
mod effects;
mod errands;
mod line;
mod meters;
mod presence;
mod signal;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};
use tracing::Instrument;
use upload_core::{DisconnectReason, Holder, Now, Session, SessionConfig};
use upload_proto::{close, limits::message_bytes_max};

use self::{
    alarm::Alarm,
    errands::{Errand, Input, Stores},
    meters::Meters,
    presence::Presence,
    signal::Signal,
};
use crate::{
    budget::Share,
    driver::{Drivers, Report},
    events::Command,
    hub::ParkedWriter,
    pace::Pace,
    shared::Shared,
    slot::Slots,
    socket::Socket,
};

/// Answers of writers, stores and handlers taken per round.
const ANSWERS_PER_ROUND: u32 = 64;
/// Smallest window a short budget leaves an upload, in bytes; the core keeps two chunks.
const WINDOW_MIN: u64 = 128 * 1024;
/// How often a connection looks whether another one that may exceed the budget stands still.
const OVERDRAFT_LOOK: Duration = Duration::from_secs(1);
/// Longest time uploads have to come to rest once the connection is gone.
const WIND_DOWN: Duration = Duration::from_secs(30);

/// What a connection is told before its first message.
pub(crate) struct Hello {
    /// Who it belongs to; at most [`upload_stores::OWNER_BYTES_MAX`] bytes.
    pub(crate) owner: String,
    /// Whether the client offered no subprotocol.
    pub(crate) plain: bool,
    /// The slots it may use.
    pub(crate) slots: Slots,
}

/// Serves one upgraded connection until it is over and its uploads are at rest.
pub(crate) async fn run<S>(shared: Arc<Shared>, stream: S, hello: Hello)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let number = shared.next_session();
    let span = tracing::info_span!("session", number);
    let mut connection = Connection::new(shared, stream, hello, number);
    poll_fn(move |cx| connection.poll(cx))
        .instrument(span)
        .await;
}

/// Returns what the core is told as the time.
fn now() -> Now {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Now {
        // Tokio's clock, which tests can pause.
        instant: Instant::now().into_std(),
        unix_ms: since.map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        }),
    }
}

struct Connection<S> {
    shared: Arc<Shared>,
    hello: Hello,
    number: u64,
    /// The time of this step: the clock is read once per message or answer, not for every look at it.
    now: Now,
    core: Session,
    /// `None` once it is closed.
    socket: Option<Socket<S>>,
    /// When a socket that is closing is dropped as it is.
    drop_socket_at: Option<Instant>,
    drivers: Drivers,
    errands: FuturesUnordered<Errand>,
    /// What is known at once and waits for the core's turn.
    answers: VecDeque<Input>,
    stores: Stores,
    presence: Presence,
    share: Share,
    meters: Meters,
    pace: Pace,
    window: u64,
    /// The connection is gone or going, for this reason; the core is yet to hear of it.
    lost: Option<DisconnectReason>,
    /// Set once the core heard that the connection is gone.
    end_by: Option<Instant>,
    /// Whether the socket was not read although it may hold messages.
    is_held_up: bool,
    draining: Signal,
    closing: Signal,
    alarm: Alarm,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    fn new(shared: Arc<Shared>, stream: S, hello: Hello, number: u64) -> Self {
        let now = now();
        let limits = &shared.limits;
        let chunks = hello.slots.values().map(|slot| slot.rules.chunk_size);
        let largest_chunk = chunks.max().unwrap_or_default();
        let stores = Stores::new(&hello.slots, &shared);
        let rules = hello.slots.iter();
        let config = SessionConfig {
            slots: rules
                .map(|(name, slot)| (name.clone(), Arc::clone(&slot.rules)))
                .collect::<BTreeMap<_, _>>(),
            plain: hello.plain,
            holder: Holder {
                boot: shared.boot.clone(),
                session: number,
            },
            tally: shared.tallies.of(&hello.owner),
            limits: limits.session.clone(),
            checksum: limits.checksum,
        };
        let socket = Socket::new(
            stream,
            message_bytes_max(largest_chunk),
            limits.session.ping_interval,
            limits.missed_pongs_max,
        );
        Self {
            core: Session::new(config, now),
            now,
            socket: Some(socket),
            drop_socket_at: None,
            drivers: Drivers::default(),
            errands: FuturesUnordered::new(),
            answers: VecDeque::new(),
            stores,
            presence: Presence::new(Arc::clone(&shared), hello.owner.as_str().into(), number),
            share: shared.budget.share(),
            meters: Meters::new(),
            pace: Pace::new(Instant::from_std(now.instant)),
            window: limits.session.window_bytes,
            lost: None,
            end_by: None,
            is_held_up: false,
            draining: Signal::new(shared.draining.clone()),
            closing: Signal::new(shared.closing.clone()),
            alarm: Alarm::new(),
            shared,
            hello,
            number,
        }
    }

    /// Does one round; ready when the connection is over and all is at rest.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.look_at_clock();
        self.settle();
        self.do_what_is_due(cx);
        let mut has_more = self.read(cx);
        has_more |= self.hear(cx);
        has_more |= self.account();
        self.write(cx);
        // What was held up may go on by what happened since it was looked at.
        has_more |= self.is_held_up && self.may_read(cx);
        has_more |= self.lost.is_some() && self.end_by.is_none();
        if self.is_over() {
            return Poll::Ready(());
        }
        let next = self.next_deadline();
        if self.alarm.poll(next, cx) || has_more {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Begins a step.
    fn look_at_clock(&mut self) {
        self.now = now();
    }

    /// Returns the time of this step.
    fn instant(&self) -> Instant {
        Instant::from_std(self.now.instant)
    }

    fn do_what_is_due(&mut self, cx: &mut Context<'_>) {
        if self.draining.is_news(cx) {
            let reconnect_after = self.shared.limits.reconnect_after;
            self.core.handle_drain(reconnect_after, self.now);
            self.settle();
        }
        if self.closing.is_news(cx) {
            self.close_socket(close::RESTARTING);
            self.lose(DisconnectReason::Lost);
        }
        let due = self.core.poll_timeout();
        if due.is_some_and(|at| at <= self.now.instant) {
            self.core.handle_timeout(self.now);
            self.settle();
        }
        let instant = self.instant();
        self.drivers.handle_timeout(instant);
        if let Some(at) = self.drop_socket_at {
            if at <= instant {
                self.socket = None;
            }
        } else if let Some(socket) = &mut self.socket
            && socket.beat(instant).is_err()
        {
            tracing::info!("the peer does not answer");
            self.drop_socket();
        }
    }

    /// Takes what comes back, and has idle writers take what waits; returns
    /// whether there may be more.
    fn hear(&mut self, cx: &mut Context<'_>) -> bool {
        for _ in 0..ANSWERS_PER_ROUND {
            if let Poll::Ready(report) = self.drivers.poll(cx) {
                self.look_at_clock();
                self.report(report);
            } else if let Poll::Ready(Some(input)) = self.errands.poll_next_unpin(cx) {
                self.look_at_clock();
                self.feed(input);
            } else if let Poll::Ready(upload) = self.presence.poll_eviction(cx) {
                self.core.handle_evict(upload, self.now);
            } else if let Poll::Ready(command) = self.presence.poll_command(cx) {
                self.command(command);
            } else {
                return false;
            }
            self.settle();
        }
        true
    }

    fn report(&mut self, report: Report) {
        match report {
            Report::Event { entry, event } => {
                if let Some(event) = self.tell_hooks(entry, event) {
                    self.feed(Input::Writer(entry, event));
                }
            }
            Report::Parked {
                entry,
                writer,
                parked,
            } => {
                if let Some(upload) = self.presence.newest(entry) {
                    let key = self.presence.key(upload);
                    let mut share = self.shared.budget.share();
                    share.hold(writer.held());
                    let writer = ParkedWriter {
                        writer,
                        parked,
                        share,
                    };
                    self.shared.hub.park(key, self.number, writer);
                }
                self.presence.rest(entry);
            }
            Report::Rested { entry } => self.presence.rest(entry),
        }
    }

    fn command(&mut self, command: Command) {
        // Who asked may be gone by now, which changes nothing here.
        match command {
            Command::Consume { slot, answer } => {
                let _ = answer.send(self.core.consume(&slot));
            }
            Command::Cancel { upload, answer } => {
                let _ = answer.send(self.core.cancel(upload, self.now));
            }
            Command::Snapshot { answer } => {
                let _ = answer.send(self.core.entries().cloned().collect());
            }
        }
    }

    /// Tells the budget what is buffered, and the core what the budget leaves;
    /// returns whether that is news to it.
    fn account(&mut self) -> bool {
        let buffered = self.buffered();
        self.share.hold(buffered);
        self.share.open(self.core.opening());
        self.meters.buffered(buffered);
        let most = self.shared.limits.session.window_bytes;
        let window = self.share.window(WINDOW_MIN.min(most), most);
        // A quarter is worth telling, and so is the end of a shortage.
        let change = window.abs_diff(self.window);
        let is_news = change > 0 && (change >= self.window / 4 || window == most);
        if is_news {
            self.window = window;
            self.core.handle_window(window);
        }
        is_news
    }

    /// Returns the payload bytes that wait for this connection's writers, or are in their memory.
    fn buffered(&self) -> u64 {
        let orphaned = self.drivers.orphaned_bytes();
        let held = self.drivers.held().bytes;
        let waiting = self.core.buffered().saturating_add(orphaned);
        waiting.saturating_add(held)
    }

    /// Notes that the connection is gone or going; [`Connection::settle`] tells the core.
    fn lose(&mut self, reason: DisconnectReason) {
        self.lost.get_or_insert(reason);
    }

    /// Tells the core once that the connection is gone.
    fn tell_loss(&mut self) -> bool {
        let Some(reason) = self.lost else {
            return false;
        };
        if self.end_by.is_some() {
            return false;
        }
        self.end_by = Some(after(WIND_DOWN));
        self.core.handle_disconnect(reason, self.now);
        true
    }

    fn is_over(&self) -> bool {
        let Some(end_by) = self.end_by else {
            return false;
        };
        if end_by <= self.instant() {
            tracing::warn!("uploads of a lost connection did not come to rest");
            return true;
        }
        self.socket.is_none()
            && self.core.is_finished()
            && self.drivers.are_at_rest()
            && self.errands.is_empty()
    }

    fn next_deadline(&mut self) -> Option<Instant> {
        let beat = match &self.socket {
            Some(socket) if self.drop_socket_at.is_none() => Some(socket.next_beat()),
            Some(_) => self.drop_socket_at,
            None => None,
        };
        let core = self.core.poll_timeout().map(Instant::from_std);
        let pace = self.pace.wait(self.instant());
        let dry = self.drivers.next_deadline();
        let look = self.share.is_outrun().then(|| after(OVERDRAFT_LOOK));
        let deadlines = [beat, core, pace, dry, look, self.end_by];
        deadlines.into_iter().flatten().min()
    }
}

/// Returns the moment `wait` from now.
fn after(wait: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(wait).unwrap_or(now)
}
