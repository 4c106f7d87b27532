//! The WebSocket of one connection; which library speaks it, only `lazy_stream` knows.
//!
//! One task reads and writes: messages to send wait in a bounded queue, and
//! neither direction waits for the other. A message over the limit is refused by
//! its header, before it is buffered; payload becomes [`Bytes`] without a copy
//! unless the peer cut the message into fragments. Compression is never negotiated.

mod counting_io;
mod idle_buffer;
mod keepalive;
mod lazy_stream;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};
use upload_proto::{ClientMessage, Frame, FrameError, MessageError, ServerMessage, close};

use self::{
    idle_buffer::IdleBuffer,
    keepalive::{Action, Activity, Keepalive},
    lazy_stream::{Failure, LazyStream, Outgoing, Received},
};

/// Messages that wait for a peer at most; one more and it is disconnected.
pub(crate) const OUTGOING_MESSAGES_MAX: usize = 1024;
/// Bytes that wait for a peer at most; one message more and it is disconnected.
pub(crate) const OUTGOING_BYTES_MAX: usize = 1024 * 1024;
/// Messages that wait for a peer before it is not listened to.
const CONGESTED_MESSAGES: usize = 256;
/// Bytes that wait for a peer before it is not listened to; many such peers must not add up to much.
const CONGESTED_BYTES: usize = 64 * 1024;
/// Longest wait for a peer's part in closing the socket.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Pings answered to a peer that does not read the answers.
const PONGS_OWED_MAX: u32 = 256;
/// Messages thrown away per wake while a close is under way.
const IGNORED_PER_WAKE: u32 = 64;
/// Bytes thrown away per read while a close is under way.
const SCRAP_BYTES: usize = 4096;

/// What came from the peer.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A text message of `bytes` bytes, read.
    Message {
        message: Box<Result<ClientMessage, MessageError>>,
        bytes: usize,
    },
    /// A binary message of `bytes` bytes, decoded.
    Frame {
        frame: Result<Frame, FrameError>,
        bytes: usize,
    },
    /// A ping or a pong, already dealt with.
    Control,
    /// The connection is over; see the socket to its end with [`WebSocket::poll_end`].
    Over {
        /// The peer's close code, if it said goodbye.
        code: Option<u16>,
        /// What was wrong, for the log.
        why: &'static str,
    },
}

/// The peer does not take what it is sent, or is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

/// A WebSocket on the server's side.
pub(crate) struct WebSocket<S> {
    ws: LazyStream<S>,
    outgoing: VecDeque<Outgoing>,
    outgoing_bytes: usize,
    pongs_owed: u32,
    keepalive: Keepalive,
    is_caught_up: bool,
    /// Whether the library has handed over everything it was given to send.
    is_flushed: bool,
    idle_buffer: IdleBuffer,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Our close frame is on its way; the peer's answer is awaited.
    Closing,
    /// The library flushes its own close frame. With `lingers`, the peer may still be
    /// sending, and closing over unread bytes would reset the connection before it
    /// read why.
    Answering {
        lingers: bool,
    },
    /// Our side is shut; what still comes is thrown away until the peer closes.
    Lingering {
        is_shut: bool,
    },
    Over,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Takes over an upgraded stream; messages have at most `message_bytes_max` bytes (PROTOCOL FRAME-3).
    pub(crate) fn new(
        stream: S,
        message_bytes_max: usize,
        ping_interval: Duration,
        missed_pongs_max: u32,
    ) -> Self {
        Self {
            ws: LazyStream::new(stream, message_bytes_max),
            outgoing: VecDeque::new(),
            outgoing_bytes: 0,
            pongs_owed: 0,
            keepalive: Keepalive::new(ping_interval, missed_pongs_max, Instant::now()),
            is_caught_up: true,
            is_flushed: true,
            idle_buffer: IdleBuffer::default(),
            state: State::Open,
        }
    }

    /// Queues a message.
    ///
    /// # Errors
    ///
    /// [`Gone`] if too much waits already: the peer does not read.
    pub(crate) fn send(&mut self, message: &ServerMessage) -> Result<(), Gone> {
        if self.state != State::Open {
            return Ok(());
        }
        let text = message.to_json();
        let bytes = self.outgoing_bytes.saturating_add(text.len());
        if self.outgoing.len() >= OUTGOING_MESSAGES_MAX || bytes > OUTGOING_BYTES_MAX {
            return Err(Gone);
        }
        self.queue(Outgoing::text(text));
        Ok(())
    }

    /// Returns whether so much waits for the peer that it should not be listened to.
    pub(crate) fn is_congested(&self) -> bool {
        self.outgoing.len() >= CONGESTED_MESSAGES || self.outgoing_bytes >= CONGESTED_BYTES
    }

    /// Says that the peer is not listened to for now, so that it is not held dead for that.
    pub(crate) fn hold(&mut self) {
        self.is_caught_up = false;
    }

    /// Reads the next message.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        if self.state != State::Open {
            return Poll::Pending;
        }
        let Poll::Ready(next) = self.ws.poll_next(cx) else {
            self.is_caught_up = true;
            self.rest();
            return Poll::Pending;
        };
        Poll::Ready(match next {
            Some(Ok((received, bytes))) => self.receive(received, bytes),
            Some(Err(failure)) => self.fail(&failure),
            None => self.over(State::Over, None, "the stream ended"),
        })
    }

    /// Sends what waits; ready when nothing does.
    ///
    /// # Errors
    ///
    /// [`Gone`] if the connection broke.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        if matches!(self.state, State::Over | State::Lingering { .. }) {
            return Poll::Ready(Ok(()));
        }
        if self.is_flushed {
            return Poll::Ready(Ok(()));
        }
        while !self.outgoing.is_empty() {
            if ready!(self.ws.poll_ready(cx)).is_err() {
                return Poll::Ready(Err(Gone));
            }
            let Some(message) = self.outgoing.pop_front() else {
                break;
            };
            self.outgoing_bytes = self.outgoing_bytes.saturating_sub(message.len());
            if self.ws.start_send(message).is_err() {
                // Already closed: what comes after a close frame is not sent.
                self.outgoing.clear();
                self.outgoing_bytes = 0;
            }
        }
        let flushed = ready!(self.ws.poll_flush(cx));
        self.is_flushed = true;
        self.pongs_owed = 0;
        self.rest();
        Poll::Ready(flushed.map_err(|_| Gone))
    }

    /// Returns when [`WebSocket::check_keepalive`] has something to do.
    pub(crate) fn next_check(&self) -> Instant {
        self.keepalive.next
    }

    /// Pings where it is time.
    ///
    /// # Errors
    ///
    /// [`Gone`] if the peer missed too many (PROTOCOL CONN-3).
    pub(crate) fn check_keepalive(&mut self, now: Instant) -> Result<(), Gone> {
        if now >= self.keepalive.next {
            self.idle_buffer.forget_largest();
        }
        let stream = self.ws.stream();
        let activity = Activity {
            bytes_read: stream.bytes_read,
            bytes_written: stream.bytes_written,
            is_caught_up: self.is_caught_up,
            is_stuck: !self.outgoing.is_empty(),
        };
        match self.keepalive.check(activity, now) {
            Action::Wait => Ok(()),
            Action::Ping => {
                self.queue(Outgoing::ping());
                Ok(())
            }
            Action::Dead => Err(Gone),
        }
    }

    /// Queues a close frame behind what waits; nothing more is sent or read.
    pub(crate) fn close(&mut self, code: u16) {
        if self.state == State::Open {
            self.queue(Outgoing::close(code));
            self.state = State::Closing;
        }
    }

    /// Sees a connection to its end after [`WebSocket::close`] or [`Incoming::Over`].
    ///
    /// A peer can draw this out; give it a deadline.
    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..IGNORED_PER_WAKE {
            match self.state {
                State::Open | State::Over => return Poll::Ready(()),
                State::Closing => {
                    if let Poll::Ready(Err(Gone)) = self.poll_write(cx) {
                        self.state = State::Over;
                        continue;
                    }
                    // The peer may be sending still; its close frame comes after that.
                    if !matches!(ready!(self.ws.poll_next(cx)), Some(Ok(_))) {
                        self.state = State::Over;
                    }
                }
                State::Answering { lingers } => {
                    match ready!(self.ws.poll_next(cx)) {
                        Some(Ok(_)) => {}
                        None if lingers => self.state = State::Lingering { is_shut: false },
                        None | Some(Err(_)) => self.state = State::Over,
                    };
                }
                State::Lingering { is_shut: false } => {
                    let stream = Pin::new(self.ws.stream_mut());
                    self.state = match ready!(stream.poll_shutdown(cx)) {
                        Ok(()) => State::Lingering { is_shut: true },
                        Err(_) => State::Over,
                    };
                }
                State::Lingering { is_shut: true } => {
                    let mut scrap = [0; SCRAP_BYTES];
                    let mut scrap = ReadBuf::new(&mut scrap);
                    let stream = Pin::new(self.ws.stream_mut());
                    let read = ready!(stream.poll_read(cx, &mut scrap));
                    if read.is_err() || scrap.filled().is_empty() {
                        self.state = State::Over;
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Gives back buffers that nothing is in and nothing large is expected for.
    fn rest(&mut self) {
        if self.state == State::Open
            && self.is_flushed
            && !self.ws.is_resting()
            && self.idle_buffer.can_shrink(self.ws.stream().bytes_read)
        {
            self.ws.rest();
            self.outgoing = VecDeque::new();
        }
    }

    fn queue(&mut self, message: Outgoing) {
        self.outgoing_bytes = self.outgoing_bytes.saturating_add(message.len());
        self.outgoing.push_back(message);
        self.is_flushed = false;
    }

    fn receive(&mut self, received: Received, bytes: usize) -> Incoming {
        self.idle_buffer.received(bytes);
        match received {
            Received::Binary(payload) => Incoming::Frame {
                frame: Frame::decode(payload),
                bytes,
            },
            // The library misses a code point that is cut off by an empty last fragment.
            Received::Text(payload) => match std::str::from_utf8(&payload) {
                Ok(text) => Incoming::Message {
                    message: Box::new(ClientMessage::parse(text)),
                    bytes,
                },
                Err(_) => self.violation(close::BAD_UTF8, "a text message was not UTF-8"),
            },
            Received::Close(code) => {
                let state = State::Answering { lingers: false };
                self.over(state, code, "the peer closed")
            }
            Received::Ping => {
                // The library has queued the answer.
                self.is_flushed = false;
                self.pongs_owed = self.pongs_owed.saturating_add(1);
                if self.pongs_owed > PONGS_OWED_MAX {
                    return self.over(State::Over, None, "the peer pings and does not read");
                }
                Incoming::Control
            }
            Received::Pong => Incoming::Control,
        }
    }

    fn fail(&mut self, failure: &Failure) -> Incoming {
        match failure {
            Failure::TooLong => self.violation(close::TOO_BIG, "a message was too big"),
            Failure::Violation => {
                let state = State::Answering { lingers: true };
                self.over(state, None, "the peer broke the WebSocket protocol")
            }
            Failure::Broken => self.over(State::Over, None, "the connection broke"),
        }
    }

    /// Closes for what the peer did.
    fn violation(&mut self, code: u16, why: &'static str) -> Incoming {
        let is_queued = self.ws.start_send(Outgoing::close(code)).is_ok();
        self.is_flushed = false;
        // Where it was not, the library found the same thing first and has queued its own.
        let state = if is_queued {
            State::Closing
        } else {
            State::Answering { lingers: true }
        };
        self.over(state, None, why)
    }

    fn over(&mut self, state: State, code: Option<u16>, why: &'static str) -> Incoming {
        // Nothing may follow a close frame.
        self.outgoing.clear();
        self.outgoing_bytes = 0;
        self.state = state;
        Incoming::Over { code, why }
    }
}
