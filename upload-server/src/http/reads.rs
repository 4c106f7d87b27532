//! A stream of which little is read at once, or much where a large content comes.
//!
//! Large reads cost less. But a read buffer stays as large as it once became, and anyone can fill one.
//! So some connections read much at a time, each of them to its end, and the others less.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, Take},
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// Most bytes of a read: one less than what would have the buffer grow, to a size of which the allocator
/// holds many.
const READ_BYTES: usize = 128 * 1024 - 1;

/// Most bytes of a read on a connection that has a place for large ones.
pub(super) const LARGE_READ_BYTES: usize = 256 * 1024;

/// Bytes that come between two answers before reads are large: what is shorter gains little.
const LARGE_FROM: u64 = 2 * 1024 * 1024;

/// Connections that have one at a time.
const LARGE_READERS_MAX: usize = 64;

/// The places for large reads of one listener; clones are the same places.
#[derive(Clone)]
pub(super) struct LargeReads(Arc<Semaphore>);

/// Limits how much is read at once.
pub(super) struct Reads<S> {
    stream: Take<S>,
    large: LargeReads,
    place: Option<OwnedSemaphorePermit>,
    /// Bytes since something was answered.
    unanswered: u64,
}

impl LargeReads {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(LARGE_READERS_MAX)))
    }
}

impl<S: AsyncRead> Reads<S> {
    pub(super) fn new(stream: S, large: LargeReads) -> Self {
        Self {
            stream: stream.take(0),
            large,
            place: None,
            unanswered: 0,
        }
    }

    /// Returns the stream without a limit.
    pub(super) fn into_inner(self) -> S {
        self.stream.into_inner()
    }

    fn most(&self) -> usize {
        match self.place {
            Some(_) => LARGE_READ_BYTES,
            None => READ_BYTES,
        }
    }

    /// Takes a place once much came, if there is one.
    fn note(&mut self, bytes: usize) {
        self.unanswered = self.unanswered.saturating_add(bytes as u64);
        if self.place.is_none() && self.unanswered >= LARGE_FROM {
            self.place = Arc::clone(&self.large.0).try_acquire_owned().ok();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Reads<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let most = u64::try_from(self.most()).unwrap_or(u64::MAX);
        self.stream.set_limit(most);
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_ready() {
            self.note(buf.filled().len().saturating_sub(before));
        }
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Reads<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.unanswered = 0;
        Pin::new(self.stream.get_mut()).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.unanswered = 0;
        Pin::new(self.stream.get_mut()).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.get_ref().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.stream.get_mut()).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.stream.get_mut()).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    struct Pair {
        ours: Reads<DuplexStream>,
        theirs: DuplexStream,
    }

    impl Pair {
        fn of(large: &LargeReads) -> Self {
            let (ours, theirs) = duplex(2 * LARGE_READ_BYTES);
            let ours = Reads::new(ours, large.clone());
            Self { ours, theirs }
        }

        /// Returns how much is read at once while so many bytes are there.
        async fn read(&mut self, bytes: usize) -> usize {
            self.theirs.write_all(&vec![1; bytes]).await.expect("sent");
            let mut buffer = vec![0; 2 * LARGE_READ_BYTES];
            let read = self.ours.read(&mut buffer).await.expect("read");
            let mut rest = vec![0; bytes - read];
            let below = self.ours.stream.get_mut();
            below.read_exact(&mut rest).await.expect("read");
            read
        }

        /// Has the other side send much, and returns whether more is read at once behind that.
        async fn is_large_after_much(&mut self) -> bool {
            let rounds = LARGE_FROM / READ_BYTES as u64 + 1;
            for _ in 0..rounds {
                assert_eq!(self.read(LARGE_READ_BYTES).await, READ_BYTES);
            }
            self.read(LARGE_READ_BYTES).await == LARGE_READ_BYTES
        }
    }

    #[tokio::test]
    async fn reads_are_large_once_much_came() {
        let mut pair = Pair::of(&LargeReads::new());
        assert!(pair.is_large_after_much().await);
        assert_eq!(pair.read(10).await, 10);
        assert_eq!(pair.read(2 * LARGE_READ_BYTES).await, LARGE_READ_BYTES);
    }

    /// Contents of 1 MiB each would gain little by it, and hold more memory.
    #[tokio::test]
    async fn what_is_answered_in_between_is_not_much() {
        let mut pair = Pair::of(&LargeReads::new());
        for _ in 0..LARGE_FROM / READ_BYTES as u64 {
            for _ in 0..8 {
                assert_eq!(pair.read(LARGE_READ_BYTES).await, READ_BYTES);
            }
            pair.ours.write_all(b"an answer").await.expect("sent");
        }
    }

    #[tokio::test]
    async fn some_connections_read_much_at_a_time() {
        let large = LargeReads::new();
        let mut some = Vec::new();
        for _ in 0..LARGE_READERS_MAX {
            let mut pair = Pair::of(&large);
            assert!(pair.is_large_after_much().await);
            some.push(pair);
        }
        let mut next = Pair::of(&large);
        assert!(!next.is_large_after_much().await);
        some.pop();
        assert_eq!(next.read(LARGE_READ_BYTES).await, READ_BYTES);
        assert_eq!(next.read(LARGE_READ_BYTES).await, LARGE_READ_BYTES);
    }
}
