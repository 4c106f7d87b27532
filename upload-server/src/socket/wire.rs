//! The library's stream, which exists only while there is something to read or to send.
//!
//! Its read buffer is larger than everything else that an idle connection has.
//! So a connection at rest keeps the bare stream, and the library takes over with the next byte.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_websockets::{Error, Limits, Message, ServerBuilder, WebSocketStream};

use super::metered::Metered;

/// Read at once from a stream at rest; what is longer, the library reads.
const SIP_BYTES: usize = 1024;

/// A stream, with the library's state or at rest.
pub(super) struct Wire<S> {
    awake: Option<WebSocketStream<Metered<S>>>,
    /// The bare stream, exactly while the library has none.
    resting: Option<Metered<S>>,
    limits: Limits,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Begins at rest.
    pub(super) fn new(stream: S, limits: Limits) -> Self {
        Self {
            awake: None,
            resting: Some(Metered::new(stream)),
            limits,
        }
    }

    /// Returns the library's stream.
    #[expect(clippy::expect_used, reason = "the stream is in one of the two")]
    pub(super) fn awake(&mut self) -> &mut WebSocketStream<Metered<S>> {
        self.awake.get_or_insert_with(|| {
            let stream = self.resting.take();
            let stream = stream.expect("the stream is here or with the library");
            ServerBuilder::new().limits(self.limits).serve(stream)
        })
    }

    /// Reads the next message.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Message, Error>>> {
        if let Some(stream) = &mut self.resting {
            let mut sip = [0; SIP_BYTES];
            let mut sip = ReadBuf::new(&mut sip);
            // An end or an error is met once more by the library.
            if ready!(Pin::new(&mut *stream).poll_read(cx, &mut sip)).is_ok() {
                stream.give_back(sip.filled());
            }
        }
        self.awake().poll_next_unpin(cx)
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
    pub(super) fn stream(&self) -> &Metered<S> {
        let awake = self.awake.as_ref().map(WebSocketStream::get_ref);
        awake
            .or(self.resting.as_ref())
            .expect("the stream is here or with the library")
    }
}
