//! A byte stream that counts what passes, so that a slow peer is told from a dead one, and that takes back
//! what was read too early.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Counts the bytes read from and written to a stream.
#[derive(Debug)]
pub(super) struct CountingIo<S> {
    stream: S,
    /// Read and given back.
    ahead: Bytes,
    pub(super) bytes_read: u64,
    pub(super) bytes_written: u64,
}

impl<S> CountingIo<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            ahead: Bytes::new(),
            bytes_read: 0,
            bytes_written: 0,
        }
    }

    /// Takes bytes back that were read last, to be read once more and counted once.
    pub(super) fn give_back(&mut self, bytes: &[u8]) {
        self.bytes_read = self.bytes_read.saturating_sub(count(bytes.len()));
        self.ahead = Bytes::copy_from_slice(bytes);
    }

    fn wrote(&mut self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = result {
            self.bytes_written = self.bytes_written.saturating_add(count(bytes));
        }
        result
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for CountingIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let bytes = self.ahead.remaining().min(buf.remaining());
            buf.put_slice(&self.ahead.split_to(bytes));
            if self.ahead.is_empty() {
                self.ahead = Bytes::new();
            }
            self.bytes_read = self.bytes_read.saturating_add(count(bytes));
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        let bytes = buf.filled().len().saturating_sub(before);
        self.bytes_read = self.bytes_read.saturating_add(count(bytes));
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CountingIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
