//! Connections over TLS: HTTP/1 or HTTP/2, as the client chose in the handshake.
//!
//! Sockets are opened over HTTP/1: a browser makes a separate connection for them where a server does not
//! offer them over HTTP/2.

#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::Request;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::{Service, service_fn},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

use super::{
    forwarded::OverTls,
    listener::{HEAD_BYTES_MAX, WRITE_TIMEOUT, speak},
    tls::H2,
    write_timeout::WriteTimeout,
};

/// Requests of one connection that run at a time.
const STREAMS_MAX: u32 = 64;
/// What a client may send of each body before somebody reads it, in bytes.
const WINDOW_BYTES: u32 = 256 * 1024;
/// What may wait for a client to take it, in bytes for each request.
const SEND_BYTES_MAX: usize = 64 * 1024;
/// How often a client has to show that it is there.
const PING: Duration = Duration::from_secs(20);

/// Speaks TLS.
#[derive(Clone)]
pub(crate) struct Tls {
    acceptor: TlsAcceptor,
    /// How long a handshake may take, and how long a connection may have no request.
    limit: Duration,
    http2: http2::Builder<TokioExecutor>,
}

impl Tls {
    pub(crate) fn new(acceptor: TlsAcceptor, limit: Duration) -> Self {
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES.saturating_mul(4))
            .max_send_buf_size(SEND_BYTES_MAX)
            .keep_alive_interval(PING)
            .keep_alive_timeout(WRITE_TIMEOUT);
        Self {
            acceptor,
            limit,
            http2,
        }
    }

    /// Serves a connection to its end, or until it is upgraded.
    pub(super) async fn serve<S, T>(
        &self,
        http1: &http1::Builder,
        socket: S,
        inner: T,
        stop: CancellationToken,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: Service<
                Request<Incoming>,
                Response = axum::response::Response,
                Error = std::convert::Infallible,
                Future: Send + 'static,
            >,
    {
        let socket = match timeout(self.limit, self.acceptor.accept(socket)).await {
            Ok(Ok(socket)) => socket,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a TLS handshake failed");
                return;
            }
            Err(_) => {
                tracing::debug!("a TLS handshake took too long");
                return;
            }
        };
        let is_http2 = socket.get_ref().1.alpn_protocol() == Some(H2);
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(OverTls);
            inner.call(request)
        });
        let served = match is_http2 {
            true => self.speak_http2(socket, service, stop).await,
            false => speak(http1, socket, service, stop).await,
        };
        if let Err(error) = served {
            tracing::debug!(%error, "an HTTP connection failed");
        }
    }

    async fn speak_http2<S, T>(
        &self,
        socket: TlsStream<S>,
        service: T,
        stop: CancellationToken,
    ) -> hyper::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: Service<
                Request<Incoming>,
                Response = axum::response::Response,
                Error = std::convert::Infallible,
                Future: Send + 'static,
            >,
    {
        let activity = Activity::default();
        let counted = activity.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let running = counted.begin();
            let answer = service.call(request);
            async move {
                let _running = running;
                answer.await
            }
        });
        let socket = TokioIo::new(WriteTimeout::new(socket, WRITE_TIMEOUT));
        let serving = self.http2.serve_connection(socket, service);
        let mut serving = std::pin::pin!(serving);
        tokio::select! {
            served = &mut serving => return served,
            () = stop.cancelled() => {}
            // A head that does not end is no request, either.
            () = activity.is_idle_for(self.limit) => {}
        }
        serving.as_mut().graceful_shutdown();
        tokio::select! {
            served = serving => served,
            () = activity.is_idle_for(self.limit) => Ok(()),
        }
    }
}

/// Counts requests of one connection.
#[derive(Clone, Default)]
struct Activity(Arc<Counts>);

#[derive(Default)]
struct Counts {
    begun: AtomicUsize,
    ended: AtomicUsize,
}

/// One that runs.
struct Running(Arc<Counts>);

impl Activity {
    fn begin(&self) -> Running {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(&self.0))
    }

    /// Ends once there was no request for so long.
    async fn is_idle_for(&self, limit: Duration) {
        let seen = || {
            let begun = self.0.begun.load(Ordering::Relaxed);
            (begun, self.0.ended.load(Ordering::Relaxed))
        };
        loop {
            let before = seen();
            sleep(limit).await;
            let now = seen();
            if now == before && now.0 == now.1 {
                return;
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}
