//! The WebSocket handshake (RFC 6455, section 4.2), and the stream that comes of it.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use axum_extra::headers::{HeaderMapExt, SecWebsocketAccept, SecWebsocketKey};
use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header, request::Parts};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
};
use upload_proto::{
    close,
    limits::{SUBPROTOCOL, TEXT_BYTES_MAX},
};

use crate::{
    app::App,
    identity::Who,
    metrics,
    session::{self, Hello},
    shared::Shared,
    socket::{GOODBYE, Socket},
};

/// When a client is told to come back where there is no place for it, in seconds.
const RETRY_AFTER_SECONDS: u64 = 5;

/// Answers `GET …/ws`: lets the connection in and hands it to a session, or says why not.
pub(crate) async fn upgrade(State(app): State<Arc<App>>, request: Request) -> Response {
    app.start_tasks();
    let (mut parts, _) = request.into_parts();
    match admit(&app, &mut parts) {
        Ok(admitted) => open(app, admitted),
        Err(refusal) => {
            metrics::handshake_refused(refusal.status());
            refusal
        }
    }
}

/// A connection that may be opened.
struct Admitted {
    accept: SecWebsocketAccept,
    plain: bool,
    /// `None` for a connection that belongs to nobody: it is opened only to be told so.
    guest: Option<(Who, Hello)>,
    on_upgrade: OnUpgrade,
    permit: OwnedSemaphorePermit,
}

#[expect(
    clippy::result_large_err,
    reason = "the error is the answer, made once per connection"
)]
fn admit(app: &App, parts: &mut Parts) -> Result<Admitted, Response> {
    let key = handshake_key(parts)?;
    app.origins
        .check(&parts.headers, &parts.uri)
        .map_err(|_| StatusCode::FORBIDDEN.into_response())?;
    // Scripts see close codes, but not how a handshake was answered (PROTOCOL CONN-2).
    let who = app.identity.identify(parts).ok();
    if app.shared.draining.is_cancelled() {
        return Err(unavailable());
    }
    let permit = Arc::clone(&app.shared.connections)
        .try_acquire_owned()
        .map_err(|_| unavailable())?;
    let plain = !offers_subprotocol(&parts.headers);
    let guest = match who {
        Some(who) => {
            let slots = app.slots_of(&who.owner, parts);
            let slots = slots.map_err(IntoResponse::into_response)?;
            let owner = who.owner.clone();
            let hello = Hello {
                owner,
                plain,
                slots,
            };
            Some((who, hello))
        }
        None => None,
    };
    // A server without upgrades (HTTP/1.0, or one that was not asked to support them).
    let on_upgrade = parts
        .extensions
        .remove::<OnUpgrade>()
        .ok_or_else(|| StatusCode::UPGRADE_REQUIRED.into_response())?;
    Ok(Admitted {
        accept: key.into(),
        plain,
        guest,
        on_upgrade,
        permit,
    })
}

/// Spawns the session and answers 101.
fn open(app: Arc<App>, admitted: Admitted) -> Response {
    let Admitted {
        accept,
        plain,
        guest,
        on_upgrade,
        permit,
    } = admitted;
    let (who, hello) = guest.unzip();
    if hello.is_none() {
        metrics::handshake_refused(StatusCode::UNAUTHORIZED);
    }
    let shared = Arc::clone(&app.shared);
    let handshake = shared.limits.handshake;
    app.shared.tracker.spawn(async move {
        let _place = permit;
        match upgraded(on_upgrade, handshake).await {
            Ok(stream) => match hello {
                Some(hello) => {
                    let _open = metrics::connection_opened();
                    session::run(shared, stream, hello).await;
                }
                None => turn_away(&shared, stream).await,
            },
            Err(error) => tracing::debug!(%error, "the client left before the upgrade"),
        }
    });

    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.typed_insert(accept);
    if !plain {
        let protocol = HeaderValue::from_static(SUBPROTOCOL);
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    if let Some(cookie) = who.and_then(|who| who.set_cookie) {
        headers.insert(header::SET_COOKIE, cookie);
    }
    response
}

/// Closes a connection that belongs to nobody with 4401 (PROTOCOL CONN-2); nothing of it is read.
async fn turn_away(shared: &Shared, stream: Stream) {
    let limits = &shared.limits;
    let ping_interval = limits.session.ping_interval;
    let mut socket = Socket::new(
        stream,
        TEXT_BYTES_MAX,
        ping_interval,
        limits.missed_pongs_max,
    );
    socket.close(close::UNAUTHENTICATED);
    let end = poll_fn(|cx| socket.poll_end(cx));
    tokio::select! {
        _ = tokio::time::timeout(GOODBYE, end) => {}
        () = shared.closing.cancelled() => {}
    }
}

fn unavailable() -> Response {
    let retry_after = [(header::RETRY_AFTER, RETRY_AFTER_SECONDS.to_string())];
    (StatusCode::SERVICE_UNAVAILABLE, retry_after).into_response()
}

/// Checks that the request asks for a WebSocket of version 13, and returns its key.
#[expect(
    clippy::result_large_err,
    reason = "the error is the answer, made once per connection"
)]
fn handshake_key(parts: &Parts) -> Result<SecWebsocketKey, Response> {
    let headers = &parts.headers;
    if parts.method != Method::GET {
        return Err(StatusCode::METHOD_NOT_ALLOWED.into_response());
    }
    if !has_token(headers, header::CONNECTION, "upgrade")
        || !has_token(headers, header::UPGRADE, "websocket")
    {
        let upgrade = [
            (header::UPGRADE, "websocket"),
            (header::CONNECTION, "Upgrade"),
        ];
        return Err((StatusCode::UPGRADE_REQUIRED, upgrade).into_response());
    }
    if headers
        .get(header::SEC_WEBSOCKET_VERSION)
        .is_none_or(|version| version != "13")
    {
        let version = [(header::SEC_WEBSOCKET_VERSION, "13")];
        return Err((StatusCode::UPGRADE_REQUIRED, version).into_response());
    }
    let key = headers.typed_get::<SecWebsocketKey>();
    match key {
        Some(key) if parts.version == Version::HTTP_11 && has_nonce(headers) => Ok(key),
        _ => Err(StatusCode::BAD_REQUEST.into_response()),
    }
}

/// Returns whether there is one key, and it looks like 16 bytes in base64.
fn has_nonce(headers: &HeaderMap) -> bool {
    let mut keys = headers.get_all(header::SEC_WEBSOCKET_KEY).iter();
    let key = keys.next().map(HeaderValue::as_bytes).unwrap_or_default();
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let nonce = key.strip_suffix(b"==").unwrap_or_default();
    keys.next().is_none() && nonce.len() == 22 && nonce.iter().all(is_base64)
}

fn offers_subprotocol(headers: &HeaderMap) -> bool {
    // Names of subprotocols differ in case (RFC 6455, 4.1).
    tokens(headers, header::SEC_WEBSOCKET_PROTOCOL).any(|token| token == SUBPROTOCOL)
}

fn has_token(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|found| found.eq_ignore_ascii_case(token))
}

fn tokens(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter();
    let values = values.filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',').map(str::trim))
}

/// Waits until the 101 is sent, and returns the stream behind the HTTP connection.
async fn upgraded(on_upgrade: OnUpgrade, handshake: Duration) -> io::Result<Stream> {
    let upgraded = tokio::time::timeout(handshake, on_upgrade)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
        .map_err(io::Error::other)?;
    // hyper and hyper-util each wrap the socket in a type of their own.
    let stream = match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => Stream::tcp(parts.io, parts.read_buf),
        Err(upgraded) => match hyper_util::server::conn::auto::upgrade::downcast(upgraded) {
            Ok(parts) => Stream::tcp(parts.io, parts.read_buf),
            Err(upgraded) => Stream::Other(TokioIo::new(upgraded)),
        },
    };
    if let Stream::Tcp { socket, .. } = &stream {
        // Without it, small answers wait for the client's acknowledgements.
        socket.set_nodelay(true)?;
    }
    Ok(stream)
}

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
    fn tcp(io: TokioIo<TcpStream>, ahead: Bytes) -> Self {
        let socket = io.into_inner();
        // Empty or not, it would keep the whole buffer that the request was read into.
        let ahead = Bytes::copy_from_slice(&ahead);
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
