//! An HTTP server whose clients must send their request in time (PROTOCOL CONN-3).

#[cfg(test)]
mod tests;

use std::{
    any::Any,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{Router, extract::ConnectInfo, serve::Listener};
use http::Request;
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, Semaphore},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    forwarded::Proxies,
    reads::{LARGE_READ_BYTES, LargeReads, Reads},
    write_timeout::WriteTimeout,
};
use crate::server::{limits::Limits, shares::Shares};

/// Largest head of a request, in bytes.
pub(super) const HEAD_BYTES_MAX: usize = 32 * 1024;

/// How long a client may take nothing of what is sent to it.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client that had just connected may take to send its request once the server stops.
const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// Connections that are refused with an answer at a time, of one address a quarter; further ones are closed at once.
const REFUSALS_MAX: usize = 64;

/// How long that may take.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);

/// The answer.
const NO_PLACE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    connection: close\r\nretry-after: 5\r\ncontent-length: 0\r\n\r\n";

/// The answer to a client that asks how far its upload has come: after any other, tus clients forget the upload (T8).
const NO_PLACE_FOR_HEAD: &[u8] = b"HTTP/1.1 423 Locked\r\n\
    connection: close\r\nretry-after: 5\r\ncontent-length: 0\r\n\r\n";

/// What the requests of such clients begin with.
const HEAD: &[u8; 5] = b"HEAD ";

/// Serves `app` on a TCP socket, a Unix socket or any other of axum's [`Listener`]s until `stop` is cancelled; requests under way are then finished.
///
/// Unlike `axum::serve`, it limits what a client may keep:
///
/// - A client has [`Limits::handshake`] to send its request, and 10 seconds to take something of the answer.
/// - At most [`Limits::max_connections`] are connected without a WebSocket, a quarter of them from one address of
///   another machine; further ones are answered 503, and a `HEAD` 423, after which tus clients keep their upload.
///
/// Requests carry axum's `ConnectInfo<L::Addr>`, which is `ConnectInfo<SocketAddr>` for TCP.
/// Upgraded connections are not waited for: that is [`Uploads::shutdown`](crate::Uploads::shutdown).
///
/// ```no_run
/// use tokio_util::sync::CancellationToken;
/// use upload_server::{Limits, Uploads, serve, terminated};
///
/// # async fn run(uploads: Uploads) -> std::io::Result<()> {
/// let app = axum::Router::new().nest("/uploads", uploads.router());
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
/// let stop = CancellationToken::new();
/// let stopping = stop.clone();
/// tokio::spawn(async move {
///     let _ = terminated().await;
///     uploads.shutdown().await;
///     stopping.cancel();
/// });
/// serve(listener, app, &Limits::default(), stop).await
/// # }
/// ```
///
/// # Errors
///
/// The listener is unusable from the start.
pub async fn serve<L>(
    listener: L,
    app: Router,
    limits: &Limits,
    stop: CancellationToken,
) -> io::Result<()>
where
    L: Listener,
    L::Addr: Clone + Sync + 'static,
{
    listener.local_addr()?;
    serve_as(listener, app, Speech::plain(limits), limits, stop).await;
    Ok(())
}

/// How connections of a listener are spoken with.
#[derive(Clone)]
pub(crate) struct Speech {
    http: Arc<http1::Builder>,
    large_reads: LargeReads,
    /// Whose connections are those of many visitors.
    proxies: Proxies,
    #[cfg(feature = "cli")]
    tls: Option<super::http2::Tls>,
}

impl Speech {
    /// HTTP/1 as it is.
    pub(crate) fn plain(limits: &Limits) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(limits.handshake)
            .max_header_size(HEAD_BYTES_MAX)
            .max_buf_size(LARGE_READ_BYTES);
        Self {
            http: Arc::new(http),
            large_reads: LargeReads::new(),
            proxies: Proxies::None,
            #[cfg(feature = "cli")]
            tls: None,
        }
    }

    /// Does not count what proxies have against their addresses.
    #[cfg(feature = "cli")]
    pub(crate) fn behind(mut self, proxies: Proxies) -> Self {
        self.proxies = proxies;
        self
    }

    /// Speaks TLS, and below it HTTP/1 or HTTP/2.
    #[cfg(feature = "cli")]
    pub(crate) fn over_tls(mut self, acceptor: tokio_rustls::TlsAcceptor, limits: &Limits) -> Self {
        self.tls = Some(super::http2::Tls::new(acceptor, limits.handshake));
        self
    }

    /// Returns whether a client understands what is written without a handshake; another one is only closed.
    fn has_words(&self) -> bool {
        #[cfg(feature = "cli")]
        if self.tls.is_some() {
            return false;
        }
        true
    }

    /// Returns the address whose share a connection takes, if there is one.
    fn address(&self, peer: &dyn Any) -> Option<IpAddr> {
        let address = peer.downcast_ref::<SocketAddr>()?.ip();
        (!self.proxies.has(address)).then_some(address)
    }
}

/// Serves `app` as [`serve`] does, in any of these ways.
pub(crate) async fn serve_as<L>(
    mut listener: L,
    app: Router,
    speech: Speech,
    limits: &Limits,
    stop: CancellationToken,
) where
    L: Listener,
    L::Addr: Clone + Sync + 'static,
{
    let places_max = limits.max_connections.min(Semaphore::MAX_PERMITS);
    let places = Arc::new(Semaphore::new(places_max));
    let shares = Shares::of(places_max);
    let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
    let refusal_shares = Shares::of(REFUSALS_MAX);
    loop {
        let (socket, peer) = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let place = Arc::clone(&places).try_acquire_owned();
        let address = speech.address(&peer);
        let share = shares.take(address);
        let (Ok(place), Ok(share)) = (place, share) else {
            if speech.has_words()
                && let Ok(share) = refusal_shares.take(address)
                && let Ok(permit) = Arc::clone(&refusals).try_acquire_owned()
            {
                tokio::spawn(async move {
                    let _ = timeout(REFUSAL_TIMEOUT, refuse(socket)).await;
                    drop((permit, share));
                });
            }
            continue;
        };
        let (speech, app, stop) = (speech.clone(), app.clone(), stop.clone());
        tokio::spawn(async move {
            connection(&speech, socket, peer, app, stop).await;
            drop((place, share));
        });
    }
    // Every place that comes back is a connection that ended.
    let all = u32::try_from(places_max).unwrap_or(u32::MAX);
    let ended = tokio::time::timeout(limits.drain, places.acquire_many(all)).await;
    if ended.is_err() {
        tracing::debug!("some HTTP connections did not end in time");
    }
}

async fn connection<S, A>(speech: &Speech, socket: S, peer: A, app: Router, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Clone + Send + Sync + 'static,
{
    // Other sockets than TCP's hold nothing back.
    if let Some(tcp) = (&socket as &dyn Any).downcast_ref::<TcpStream>()
        && let Err(error) = tcp.set_nodelay(true)
    {
        tracing::debug!(%error, "the client left at once");
        return;
    }
    let app = TowerToHyperService::new(app);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer.clone()));
        app.call(request)
    });
    #[cfg(feature = "cli")]
    if let Some(tls) = &speech.tls {
        tls.serve(&speech.http, socket, service, stop).await;
        return;
    }
    let socket = Reads::new(socket, speech.large_reads.clone());
    if let Err(error) = speak(&speech.http, socket, service, stop).await {
        tracing::debug!(%error, "an HTTP connection failed");
    }
}

/// Speaks HTTP/1 until the connection ends or is upgraded.
pub(super) async fn speak<S, T>(
    http: &http1::Builder,
    socket: S,
    service: T,
    stop: CancellationToken,
) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: Service<
            Request<Incoming>,
            Response = axum::response::Response,
            Error = std::convert::Infallible,
        >,
{
    let socket = WriteTimeout::new(socket, WRITE_TIMEOUT);
    let heard = Notify::new();
    let service = service_fn(|request| {
        heard.notify_one();
        service.call(request)
    });
    let serving = http
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        served = &mut serving => return served,
        () = stop.cancelled() => {}
    }
    // A connection that was just accepted cannot go elsewhere, so its first request is still answered.
    tokio::select! {
        served = &mut serving => return served,
        _ = timeout(FIRST_REQUEST, heard.notified()) => {}
    }
    serving.as_mut().graceful_shutdown();
    serving.await
}

/// Tells a client that there is no place for it.
async fn refuse(mut socket: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let mut first = [0; HEAD.len()];
    let answer = match socket.read_exact(&mut first).await {
        Ok(_) if first == *HEAD => NO_PLACE_FOR_HEAD,
        _ => NO_PLACE,
    };
    socket.write_all(answer).await?;
    socket.shutdown().await?;
    // Closed over unread bytes, the connection would be reset before the client read why.
    let mut scrap = [0; 1024];
    while socket.read(&mut scrap).await? > 0 {}
    Ok(())
}
