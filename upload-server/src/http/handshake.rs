//! The WebSocket handshake (RFC 6455, section 4.2).

use std::{future::poll_fn, io, net::IpAddr, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use axum_extra::headers::{HeaderMapExt, SecWebsocketAccept, SecWebsocketKey};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header, request::Parts};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::OwnedSemaphorePermit, time::Instant};
use upload_proto::{
    close,
    limits::{SUBPROTOCOL, TEXT_BYTES_MAX},
};

use super::{
    identity::{Identity, NoOwner},
    reads::Reads,
    state::App,
    stream::Stream,
    write_timeout::WriteTimeout,
};
use crate::{
    connection::{
        self, ConnectionConfig,
        websocket::{CLOSE_TIMEOUT, WebSocket},
    },
    metrics,
    server::{shared::Shared, shares::Place},
};

/// When a client is told to come back where there is no place for it, in seconds.
const RETRY_AFTER_SECONDS: u64 = 5;

/// Answers `GET …/ws`: lets the connection in and hands it to a session, or says why not.
pub(crate) async fn upgrade(State(app): State<Arc<App>>, request: Request) -> Response {
    app.start_tasks();
    let (parts, _) = request.into_parts();
    let address = app.identity.transport.address(&parts);
    match admit(&app, parts).await {
        Ok(admitted) => open(app, admitted),
        Err(refusal) => {
            metrics::handshake_refused(refusal.status());
            log_refusal(&app, refusal.status(), address);
            refusal
        }
    }
}

/// Tells what was expected, once a minute and status.
fn log_refusal(app: &App, status: StatusCode, address: Option<IpAddr>) {
    let expected = match status {
        // Its origin is logged where that is compared.
        StatusCode::FORBIDDEN => return,
        StatusCode::SERVICE_UNAVAILABLE => {
            "a place among max_connections, of which an address has a quarter"
        }
        StatusCode::TOO_MANY_REQUESTS => "fewer of them a second: requests_per_owner",
        _ => "GET by HTTP/1.1 with Upgrade: websocket, Sec-WebSocket-Version: 13 and a key",
    };
    if let Some(left_out) = app.shared.log_limits.handshakes.pass() {
        let address = address.map(tracing::field::display);
        let status = status.as_u16();
        tracing::warn!(
            status,
            address,
            expected,
            left_out,
            "a handshake is refused"
        );
    }
}

/// A connection that may be opened.
struct Admitted {
    accept: SecWebsocketAccept,
    plain: bool,
    /// `None` for a connection that belongs to nobody: it is opened only to be told so.
    guest: Option<(Identity, ConnectionConfig)>,
    on_upgrade: OnUpgrade,
    /// Its place among all, and among those of its address.
    places: (OwnedSemaphorePermit, Option<Place>),
}

async fn admit(app: &App, mut parts: Parts) -> Result<Admitted, Response> {
    let key = handshake_key(&parts)?;
    app.origins
        .check(
            &parts.headers,
            &parts.uri,
            app.identity.transport.scheme(&parts),
        )
        .map_err(|_| {
            app.log_origin(&parts);
            StatusCode::FORBIDDEN.into_response()
        })?;
    // Scripts see close codes, but not how a handshake was answered (PROTOCOL CONN-2).
    let who = match app.identity.identify(&mut parts).await {
        Ok(who) => Some(who),
        Err(NoOwner::Unauthenticated) => None,
        Err(failed @ NoOwner::Failed(_)) => return Err(failed.into_response()),
    };
    if app.shared.draining.is_cancelled() {
        return Err(unavailable());
    }
    let shared = &app.shared;
    let (places, shares) = match who {
        Some(_) => (&shared.connections, &shared.connection_shares),
        None => (&shared.unauthenticated, &shared.unauthenticated_shares),
    };
    let permit = Arc::clone(places)
        .try_acquire_owned()
        .map_err(|_| unavailable())?;
    let address = app.identity.transport.address(&parts);
    let share = shares.take(address).map_err(|_| unavailable())?;
    let plain = !offers_subprotocol(&parts.headers);
    // A server without upgrades (HTTP/1.0, or one that was not asked to support them).
    let on_upgrade = parts
        .extensions
        .remove::<OnUpgrade>()
        .ok_or_else(|| StatusCode::UPGRADE_REQUIRED.into_response())?;
    let guest = match who {
        Some(who) => {
            let slots = app.slots_of(&who.owner, &mut parts).await;
            let slots = slots.map_err(|answer| *answer)?;
            let hello = ConnectionConfig {
                plain,
                ..app.connection_of(who.owner.clone(), slots, &parts)
            };
            if !hello.rates.may_ask(Instant::now()) {
                return Err(StatusCode::TOO_MANY_REQUESTS.into_response());
            }
            let hello = ConnectionConfig {
                request: app.keeps_requests.then(|| Arc::new(parts)),
                ..hello
            };
            Some((who, hello))
        }
        None => None,
    };
    Ok(Admitted {
        accept: key.into(),
        plain,
        guest,
        on_upgrade,
        places: (permit, share),
    })
}

/// Spawns the session and answers 101.
fn open(app: Arc<App>, admitted: Admitted) -> Response {
    let Admitted {
        accept,
        plain,
        guest,
        on_upgrade,
        places,
    } = admitted;
    let (who, hello) = guest.unzip();
    if hello.is_none() {
        metrics::handshake_refused(StatusCode::UNAUTHORIZED);
    }
    let shared = Arc::clone(&app.shared);
    let handshake = shared.limits.handshake;
    app.shared.tracker.spawn(async move {
        let _places = places;
        match upgraded(on_upgrade, handshake).await {
            Ok(stream) => match hello {
                Some(hello) => {
                    let _open = metrics::connection_opened();
                    connection::run(shared, stream, hello).await;
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
    let mut socket = WebSocket::new(
        stream,
        TEXT_BYTES_MAX,
        ping_interval,
        limits.missed_pongs_max,
    );
    socket.close(close::UNAUTHENTICATED);
    let end = poll_fn(|cx| socket.poll_end(cx));
    tokio::select! {
        _ = tokio::time::timeout(CLOSE_TIMEOUT, end) => {}
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
    let stream = bare(upgraded);
    if let Stream::Tcp { socket, .. } = &stream {
        // Without it, small answers wait for the client's acknowledgements.
        socket.set_nodelay(true)?;
    }
    Ok(stream)
}

/// Takes a stream out of what hyper, hyper-util and our own listener wrap around it.
fn bare(upgraded: Upgraded) -> Stream {
    let upgraded = match upgraded.downcast::<TokioIo<WriteTimeout<Reads<TcpStream>>>>() {
        Ok(parts) => {
            let socket = parts.io.into_inner().into_inner().into_inner();
            return Stream::tcp(socket, &parts.read_buf);
        }
        Err(upgraded) => upgraded,
    };
    let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => return Stream::tcp(parts.io.into_inner(), &parts.read_buf),
        Err(upgraded) => upgraded,
    };
    match hyper_util::server::conn::auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
        Ok(parts) => Stream::tcp(parts.io.into_inner(), &parts.read_buf),
        Err(upgraded) => Stream::Other(TokioIo::new(upgraded)),
    }
}
