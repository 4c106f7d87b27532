//! The socket's side of a connection: what is read, and when; what is sent; how it closes.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncWrite};
use upload_core::DisconnectReason;
use upload_proto::close;

use super::{Connection, after};
use crate::{
    budget::Stuck,
    socket::{GOODBYE, Incoming},
};

/// Messages read per round.
const MESSAGES_PER_ROUND: u32 = 128;
/// Bytes read per round; one message more may come.
///
/// As much as a client may have sent: a socket whose buffer is full and is read only in part has its peer push
/// a little more at once, at our expense, whereas an empty one lets it send at its own.
const BYTES_PER_ROUND: u64 = 4 * 1024 * 1024;
/// Time after which a round reads no more, so that others get their turn however slow a file is.
const ROUND_MAX: Duration = Duration::from_millis(1);
/// Bytes after which writers are asked whether that is enough for them.
const BYTES_PER_WRITE: u64 = 64 * 1024;
/// As [`GOODBYE`] where the server restarts, and everybody is sent away at once: enough to read why, also from
/// far away, and no more, since the process waits for it.
const GOODBYE_AT_RESTART: Duration = Duration::from_secs(1);

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Reads messages and has the core take them; returns whether there may be more.
    pub(super) fn read(&mut self, cx: &mut Context<'_>) -> bool {
        let begun = self.now.instant;
        let (mut messages, mut total) = (0, 0u64);
        let mut unwritten = 0u64;
        let mut held = self.share.held();
        let has_more = loop {
            if messages >= MESSAGES_PER_ROUND || total >= BYTES_PER_ROUND {
                break true;
            }
            self.look_at_clock();
            let elapsed = self.now.instant.saturating_duration_since(begun);
            if messages > 0 && elapsed >= ROUND_MAX {
                break true;
            }
            if !self.may_read(cx) {
                break false;
            }
            let Some(socket) = &mut self.socket else {
                break false;
            };
            let Poll::Ready(incoming) = socket.poll_read(cx) else {
                break false;
            };
            let bytes = match &incoming {
                Incoming::Message { bytes, .. } | Incoming::Frame { bytes, .. } => *bytes,
                Incoming::Control | Incoming::Over { .. } => 0,
            };
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
            messages = messages.saturating_add(1);
            total = total.saturating_add(bytes);
            // The exact figure follows when writers took what they can.
            held = held.saturating_add(bytes);
            self.share.hold(held);
            self.take_in(incoming);
            self.share.open(self.core.opening());
            unwritten = unwritten.saturating_add(bytes);
            if unwritten >= BYTES_PER_WRITE {
                unwritten = 0;
                self.let_writers(cx);
                held = self.buffered();
            }
        };
        if messages > 0 {
            self.meters.received(u64::from(messages), total);
        }
        has_more
    }

    /// Has idle writers take what waits where it is enough for them, before the next message is read.
    fn let_writers(&mut self, cx: &mut Context<'_>) {
        for _ in 0..MESSAGES_PER_ROUND {
            let Poll::Ready(report) = self.drivers.poll_reading(cx) else {
                return;
            };
            self.report(report);
            self.settle();
        }
    }

    fn take_in(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Frame { frame, bytes } => {
                self.pace.binary(bytes, self.instant());
                self.core.handle_frame(frame, self.now);
            }
            Incoming::Message { message, .. } => {
                self.pace.text(self.instant());
                self.core.handle_message(message, self.now);
            }
            Incoming::Control => self.pace.control(self.instant()),
            Incoming::Over { code, why } => {
                tracing::debug!(code, why, "the connection is over");
                self.drop_socket_at = Some(after(GOODBYE));
                self.lose(match code {
                    Some(close::GOING_AWAY) => DisconnectReason::Left,
                    _ => DisconnectReason::Lost,
                });
            }
        }
        self.settle();
    }

    /// Returns whether the socket may be read; it is woken for or looked at again when not.
    pub(super) fn may_read(&mut self, cx: &mut Context<'_>) -> bool {
        let instant = self.instant();
        let Some(socket) = &mut self.socket else {
            return false;
        };
        if self.drop_socket_at.is_some() {
            return false;
        }
        let may = self.core.wants_input()
            && !socket.is_congested()
            && self.pace.wait(instant).is_none()
            && {
                let stuck = || Stuck {
                    gated: self.core.gated(),
                    lacking: self.drivers.held().lacking,
                };
                self.share.poll_room(stuck, cx).is_ready()
            };
        if !may {
            socket.hold();
        }
        if may == self.is_held_up {
            self.is_held_up = !may;
            self.core.handle_listening(may, self.now);
        }
        may
    }

    /// Sends what waits, or sees a closing socket to its end.
    pub(super) fn write(&mut self, cx: &mut Context<'_>) {
        let Some(socket) = &mut self.socket else {
            return;
        };
        if self.drop_socket_at.is_some() {
            if socket.poll_end(cx).is_ready() {
                self.socket = None;
            }
        } else if let Poll::Ready(Err(_)) = socket.poll_write(cx) {
            self.drop_socket();
        }
    }

    /// Says goodbye with this code, behind everything that waits to be sent.
    pub(super) fn close_socket(&mut self, code: u16) {
        if let Some(socket) = &mut self.socket
            && self.drop_socket_at.is_none()
        {
            socket.close(code);
            let patience = match code {
                close::RESTARTING => GOODBYE_AT_RESTART,
                _ => GOODBYE,
            };
            self.drop_socket_at = Some(after(patience));
        }
    }

    /// Gives the socket up as it is.
    pub(super) fn drop_socket(&mut self) {
        self.socket = None;
        self.lose(DisconnectReason::Lost);
    }
}
