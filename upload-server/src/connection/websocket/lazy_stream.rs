//! The library that speaks WebSocket, which only this file names. Its stream exists only while there is something
//! to read or to send.
//!
//! Its read buffer is larger than everything else that an idle connection has.
//! So a connection at rest keeps the bare stream, and the library takes over with the next byte.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_websockets::{
    CloseCode, Error, Limits, Message, Payload, ServerBuilder, WebSocketStream,
};

use super::counting_io::CountingIo;

/// Read at once from a stream at rest; what is longer, the library reads.
const SIP_BYTES: usize = 1024;

/// What the peer sent; each with its number of bytes.
pub(super) enum Received {
    /// Text, which ends within a code point where the peer cut it there.
    Text(Payload),
    /// Bytes, without a copy unless they came in fragments.
    Binary(Bytes),
    /// A ping, whose answer is queued already.
    Ping,
    Pong,
    /// The peer's close frame, with its code if it has one.
    Close(Option<u16>),
}

/// Why nothing more can be read.
pub(super) enum Failure {
    /// A message is over the limit, by its header.
    TooLong,
    /// The peer broke the protocol; the library has queued its close frame: 1007 for bad UTF-8, 1002 for the rest.
    Violation,
    /// The stream below broke.
    Broken,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::PayloadTooLong { .. } => Self::TooLong,
            Error::Protocol(_) => Self::Violation,
            _ => Self::Broken,
        }
    }
}

/// A message to send.
pub(super) struct Outgoing(Message);

impl Outgoing {
    pub(super) fn text(text: String) -> Self {
        Self(Message::text(text))
    }

    pub(super) fn ping() -> Self {
        Self(Message::ping(Bytes::new()))
    }

    /// Makes a close frame; a code that may not be sent becomes that of a normal end.
    pub(super) fn close(code: u16) -> Self {
        let code = CloseCode::try_from(code)
            .ok()
            .filter(|code| !code.is_reserved());
        let code = code.unwrap_or(CloseCode::NORMAL_CLOSURE);
        Self(Message::close(Some(code), ""))
    }

    /// Returns the length of its payload, in bytes.
    pub(super) fn len(&self) -> usize {
        self.0.as_payload().len()
    }
}

/// A stream, with the library's state or at rest.
pub(super) struct LazyStream<S> {
    awake: Option<WebSocketStream<CountingIo<S>>>,
    /// The bare stream, exactly while the library has none.
    resting: Option<CountingIo<S>>,
    limits: Limits,
}

impl<S: AsyncRead + AsyncWrite + Unpin> LazyStream<S> {
    /// Begins at rest; messages have at most `message_bytes_max` bytes.
    pub(super) fn new(stream: S, message_bytes_max: usize) -> Self {
        Self {
            awake: None,
            resting: Some(CountingIo::new(stream)),
            limits: Limits::default().max_payload_len(Some(message_bytes_max)),
        }
    }

    /// Returns the library's stream.
    #[expect(clippy::expect_used, reason = "the stream is in one of the two")]
    fn awake(&mut self) -> &mut WebSocketStream<CountingIo<S>> {
        self.awake.get_or_insert_with(|| {
            let stream = self.resting.take();
            let stream = stream.expect("the stream is here or with the library");
            ServerBuilder::new().limits(self.limits).serve(stream)
        })
    }

    /// Reads the next message, and tells its length in bytes; none at the end of the stream.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<(Received, usize), Failure>>> {
        if let Some(stream) = &mut self.resting {
            let mut sip = [0; SIP_BYTES];
            let mut sip = ReadBuf::new(&mut sip);
            // An end or an error is met once more by the library.
            if ready!(Pin::new(&mut *stream).poll_read(cx, &mut sip)).is_ok() {
                stream.give_back(sip.filled());
            }
        }
        let next = ready!(self.awake().poll_next_unpin(cx));
        Poll::Ready(next.map(|next| match next {
            Ok(message) => Ok(received(message)),
            Err(error) => Err(error.into()),
        }))
    }

    /// Waits until a message can be handed over.
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let ready = ready!(self.awake().poll_ready_unpin(cx));
        Poll::Ready(ready.map_err(Failure::from))
    }

    /// Hands a message over; nothing is taken after a close frame.
    pub(super) fn start_send(&mut self, message: Outgoing) -> Result<(), Failure> {
        let sent = self.awake().start_send_unpin(message.0);
        sent.map_err(Failure::from)
    }

    /// Sends what was handed over.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let flushed = ready!(self.awake().poll_flush_unpin(cx));
        Poll::Ready(flushed.map_err(Failure::from))
    }

    /// Returns the stream below, to be seen to its end.
    pub(super) fn stream_mut(&mut self) -> &mut CountingIo<S> {
        self.awake().get_mut()
    }

    /// Gives back what the library holds; only where no byte is half way in or out of it.
    pub(super) fn rest(&mut self) {
        if let Some(awake) = self.awake.take() {
            self.resting = Some(awake.into_inner());
        }
    }

    /// Returns whether the library holds nothing.
    pub(super) fn is_resting(&self) -> bool {
        self.awake.is_none()
    }

    /// Returns the stream below.
    #[expect(clippy::expect_used, reason = "the stream is in one of the two")]
    pub(super) fn stream(&self) -> &CountingIo<S> {
        let awake = self.awake.as_ref().map(WebSocketStream::get_ref);
        awake
            .or(self.resting.as_ref())
            .expect("the stream is here or with the library")
    }
}

fn received(message: Message) -> (Received, usize) {
    let bytes = message.as_payload().len();
    let received = if message.is_binary() {
        Received::Binary(message.into_payload().into())
    } else if message.is_text() {
        Received::Text(message.into_payload())
    } else if message.is_close() {
        let code = message.as_payload().first_chunk().copied();
        Received::Close(code.map(u16::from_be_bytes))
    } else if message.is_ping() {
        Received::Ping
    } else {
        Received::Pong
    };
    (received, bytes)
}
