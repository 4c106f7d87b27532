//! What a connection reads from its socket, and when.

use std::{
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::io::{AsyncRead, AsyncWrite};
use upload_core::{DisconnectReason, Session};
use upload_proto::{ClientMessage, close};

use super::{
    Connection, after,
    host::{Answer, Host},
    phase::Reading,
    websocket::{CLOSE_TIMEOUT, Incoming},
};

/// Messages read per round.
const MESSAGES_PER_ROUND: u32 = 128;
/// Messages from one look at the clock, memory and rates to the next, unless a writer comes between.
const MESSAGES_PER_LOOK: u32 = 4;
/// Their bytes; one message more may come.
const BYTES_PER_LOOK: u64 = 16 * 1024;
/// Bytes read per round; one message more may come.
///
/// As much as a client may have sent.
/// If a full socket is read only in part, the peer pushes a little more at once, at our expense; an empty one lets
/// it send at its own.
const BYTES_PER_ROUND: u64 = 4 * 1024 * 1024;
/// Time after which a round reads no more, so that others get their turn however slow a file is.
const ROUND_MAX: Duration = Duration::from_millis(1);
/// Bytes after which writers are asked whether that is enough for them.
const BYTES_PER_WRITE: u64 = 64 * 1024;

/// What comes of a look at the socket.
pub(super) enum Read {
    Incoming(Incoming),
    /// What a writer did that took some of what was read.
    Answer(Answer),
    /// Nothing comes before the task is woken.
    Nothing,
    /// The round has read enough.
    Enough,
}

/// What a round has read so far.
pub(super) struct ReadSoFar {
    begun: Instant,
    messages: u32,
    bytes: u64,
    /// Messages and bytes since the last look at the clock, memory and rates.
    unlooked: (u32, u64),
    /// Bytes of which writers were not asked yet whether they are enough for them.
    unwritten: u64,
    /// What writers answered since they were asked.
    answers: u32,
    /// Payload bytes of the connection that wait, or are in memory of writers.
    held: u64,
}

impl ReadSoFar {
    pub(super) fn begin(host: &Host<Session>) -> Self {
        Self {
            begun: host.now.instant,
            messages: 0,
            bytes: 0,
            unlooked: (MESSAGES_PER_LOOK, 0),
            unwritten: 0,
            answers: 0,
            held: host.share.held(),
        }
    }

    /// Tells the metrics.
    pub(super) fn count(&self, host: &Host<Session>) {
        if self.messages > 0 {
            host.received(u64::from(self.messages), self.bytes);
        }
    }

    /// Returns whether others are to have their turn by `now`.
    fn is_long(&self, now: Instant) -> bool {
        self.messages > 0 && now.saturating_duration_since(self.begun) >= ROUND_MAX
    }

    fn is_full(&self) -> bool {
        self.messages >= MESSAGES_PER_ROUND || self.bytes >= BYTES_PER_ROUND
    }

    fn looks(&self) -> bool {
        let (messages, bytes) = self.unlooked;
        messages >= MESSAGES_PER_LOOK || bytes >= BYTES_PER_LOOK
    }

    fn add(&mut self, incoming: &Incoming) {
        let bytes = match incoming {
            Incoming::Message { bytes, .. } | Incoming::Frame { bytes, .. } => *bytes,
            Incoming::Control | Incoming::Over { .. } => 0,
        };
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.messages = self.messages.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
        let (messages, unlooked) = self.unlooked;
        self.unlooked = (messages.saturating_add(1), unlooked.saturating_add(bytes));
        self.unwritten = self.unwritten.saturating_add(bytes);
        self.held = self.held.saturating_add(bytes);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Returns the next message, or what a writer did that took what was read.
    pub(super) fn poll_read(&mut self, so_far: &mut ReadSoFar, cx: &mut Context<'_>) -> Read {
        let mut looks = so_far.looks();
        if so_far.unwritten >= BYTES_PER_WRITE {
            if so_far.answers < MESSAGES_PER_ROUND
                && let Poll::Ready(answer) = self.host.poll_writers(cx)
            {
                so_far.answers = so_far.answers.saturating_add(1);
                return Read::Answer(answer);
            }
            (so_far.unwritten, so_far.answers) = (0, 0);
            so_far.held = self.host.buffered();
            // Writers may have taken their time.
            looks = true;
        }
        if so_far.is_full() {
            return Read::Enough;
        }
        if looks {
            so_far.unlooked = (0, 0);
            self.host.look_at_clock();
            // The exact figure follows when writers took what they can.
            self.host.share.hold(so_far.held);
        }
        // The clock does not move from one look to the next.
        if looks && so_far.is_long(self.host.now.instant) {
            return Read::Enough;
        }
        if (looks || !self.host.core.wants_input()) && !self.may_read(cx) {
            return Read::Nothing;
        }
        let Some(socket) = self.phase.open() else {
            return Read::Nothing;
        };
        let Poll::Ready(incoming) = socket.poll_read(cx) else {
            return Read::Nothing;
        };
        so_far.add(&incoming);
        Read::Incoming(incoming)
    }

    pub(super) fn take_in(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Frame { frame, bytes } => {
                self.rate_limit.binary(bytes, self.host.instant());
                self.host.core.handle_frame(frame, self.host.now);
            }
            Incoming::Message { message, .. } => {
                self.rate_limit.text(self.host.instant());
                if matches!(*message, Ok(ClientMessage::Register(_))) {
                    self.rate_limit.registration(self.host.instant());
                }
                self.host.core.handle_message(*message, self.host.now);
            }
            Incoming::Control => self.rate_limit.control(self.host.instant()),
            Incoming::Over { code, why } => {
                tracing::debug!(code, why, "the connection is over");
                let keeps = self.host.config.keeps_on_leave;
                let reason = match code {
                    Some(close::GOING_AWAY) if !keeps => DisconnectReason::Left,
                    _ => DisconnectReason::Lost,
                };
                self.phase.end(reason, after(CLOSE_TIMEOUT));
            }
        }
    }

    /// Returns whether the socket may be read; it is woken for or looked at again when not.
    pub(super) fn may_read(&mut self, cx: &mut Context<'_>) -> bool {
        let instant = self.host.instant();
        let Some(socket) = self.phase.open() else {
            return false;
        };
        let may = self.host.core.wants_input()
            && !socket.is_congested()
            && self.rate_limit.wait(instant).is_none()
            && self.host.has_room(cx);
        if !may {
            socket.hold();
        }
        let reading = match may {
            true => Reading::Listening,
            false => Reading::HeldUp,
        };
        if self.phase.set_reading(reading) {
            self.host.core.handle_listening(may, self.host.now);
        }
        may
    }
}
