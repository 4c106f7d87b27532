//! The byte stream that comes of a handshake.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// The bytes of an upgraded connection; plain TCP is spared hyper's dynamic dispatch.
pub(crate) enum Stream {
    Tcp {
        socket: TcpStream,
        /// What was read along with the request.
        ahead: Bytes,
    },
    Other(TokioIo<Upgraded>),
}

impl Stream {
    /// Makes one of a socket and what was read of it along with the request.
    pub(super) fn tcp(socket: TcpStream, ahead: &[u8]) -> Self {
        // Empty or not, the buffer that the request was read into would be kept whole.
        let ahead = Bytes::copy_from_slice(ahead);
        Self::Tcp { socket, ahead }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp { ahead, .. } if !ahead.is_empty() => {
                let bytes = ahead.split_to(ahead.remaining().min(buf.remaining()));
                buf.put_slice(&bytes);
                Poll::Ready(Ok(()))
            }
            Self::Tcp { socket, .. } => Pin::new(socket).poll_read(cx, buf),
            Self::Other(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp { socket, .. } => Pin::new(socket).poll_write(cx, buf),
            Self::Other(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp { socket, .. } => Pin::new(socket).poll_write_vectored(cx, bufs),
            Self::Other(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp { socket, .. } => socket.is_write_vectored(),
            Self::Other(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp { socket, .. } => Pin::new(socket).poll_flush(cx),
            Self::Other(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp { socket, .. } => Pin::new(socket).poll_shutdown(cx),
            Self::Other(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
