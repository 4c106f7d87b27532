//! TLS, HTTP/2 and certificates, with real clients.

use std::{net::SocketAddr, path::Path, sync::Arc};

use axum::{Router, body::Body, routing::get};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::StatusCode;
use hyper::client::conn;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    time::Instant,
};
use tokio_rustls::{TlsConnector, client::TlsStream as ClientStream};
use upload_writers::DiscardWriterFactory;

use super::*;
use crate::{
    SlotOptions, Uploads,
    http::{
        bodies::Bodies,
        listener::{Speech, serve_as},
        tls::Certificates,
    },
    server::limits::Limits,
};

/// Longest time that anything may take.
const GUARD: Duration = Duration::from_secs(60);

/// A server over TLS, with its certificate in files.
struct World {
    dir: tempfile::TempDir,
    address: SocketAddr,
    stop: CancellationToken,
    /// Told when an endless answer is abandoned.
    left: Arc<Notify>,
}

/// Tells that an answer is abandoned.
struct Leaving(Arc<Notify>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// Writes a new certificate, and returns it.
fn renew(dir: &Path) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    std::fs::write(dir.join("key.pem"), signing_key.serialize_pem()).expect("written");
    std::fs::write(dir.join("cert.pem"), cert.pem()).expect("written");
    cert.der().clone()
}

impl World {
    async fn serve(handshake: Duration) -> (Self, CertificateDer<'static>) {
        let dir = tempfile::tempdir().expect("a directory");
        let certificate = renew(dir.path());
        let slot = SlotOptions::new().writer(DiscardWriterFactory);
        let uploads = Uploads::builder().secret([7; 32]).allow_upload("a", slot);
        let uploads = uploads.build().expect("good options");
        let version = async |request: axum::extract::Request| {
            let is_secure = request.extensions().get::<OverTls>().is_some();
            format!("{:?} {is_secure}", request.version())
        };
        let left = Arc::new(Notify::new());
        let leaving = Arc::clone(&left);
        let endless = async move || {
            let leaving = Leaving(Arc::clone(&leaving));
            let piece = Bytes::from(vec![7; 64 * 1024]);
            Body::from_stream(stream::repeat_with(move || {
                let _ = &leaving;
                std::io::Result::Ok(piece.clone())
            }))
        };
        let bodies = Arc::new(Bodies::new(1024));
        let read = async move |body: Body| {
            bodies
                .read(body, None)
                .await
                .err()
                .unwrap_or(StatusCode::OK)
        };
        let app = Router::new()
            .route("/", get(version).post(read))
            .route("/endless", get(endless))
            .nest("/uploads", uploads.router());
        let limits = Limits {
            handshake,
            drain: Duration::from_millis(20),
            ..Limits::default()
        };
        let certificates =
            Certificates::load(&dir.path().join("cert.pem"), &dir.path().join("key.pem"));
        let certificates = certificates.expect("a pair");
        let acceptor = certificates.acceptor().expect("versions of TLS");
        tokio::spawn(Arc::clone(&certificates).keep_up());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let stop = CancellationToken::new();
        let stopping = stop.clone();
        tokio::spawn(async move {
            let speech = Speech::plain(&limits).over_tls(acceptor, &limits);
            serve_as(listener, app, speech, &limits, stopping).await;
        });
        let world = Self {
            dir,
            address,
            stop,
            left,
        };
        (world, certificate)
    }

    async fn connect(
        &self,
        trusted: &CertificateDer<'static>,
        protocol: &str,
    ) -> std::io::Result<ClientStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.clone()).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions();
        let mut config = config
            .expect("versions of TLS")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let name = ServerName::try_from("localhost").expect("a name");
        let socket = TcpStream::connect(self.address).await?;
        TlsConnector::from(Arc::new(config))
            .connect(name, socket)
            .await
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn text(answer: axum::http::Response<Incoming>) -> String {
    let body = axum::body::to_bytes(Body::new(answer.into_body()), 1 << 20).await;
    String::from_utf8(body.expect("a body").to_vec()).expect("text")
}

/// Sends one request over HTTP/2.
async fn get_over_http2(socket: ClientStream<TcpStream>) -> String {
    let handshake = conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket));
    let (mut sender, connection) = handshake.await.expect("HTTP/2");
    let driving = tokio::spawn(connection);
    let request = Request::get("https://localhost/").body(Body::empty());
    let answer = sender.send_request(request.expect("a request")).await;
    let text = text(answer.expect("an answer")).await;
    driving.abort();
    text
}

#[tokio::test]
async fn pages_and_sockets_share_a_port() {
    let (world, certificate) = World::serve(Duration::from_secs(10)).await;
    let socket = world.connect(&certificate, "h2").await.expect("TLS");
    assert_eq!(get_over_http2(socket).await, "HTTP/2.0 true");
    let mut socket = world.connect(&certificate, "http/1.1").await.expect("TLS");
    let request = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    socket.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.expect("read");
    assert!(String::from_utf8_lossy(&answer).ends_with("HTTP/1.1 true"));
    let mut socket = world.connect(&certificate, "http/1.1").await.expect("TLS");
    let request = "GET /uploads/ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\n\
        upgrade: websocket\r\nsec-websocket-version: 13\r\norigin: https://localhost\r\n\
        sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: upload.v1\r\n\r\n";
    socket.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    let mut buffer = [0; 1024];
    while !answer.contains("upload_configs") {
        let read = socket.read(&mut buffer).await.expect("read");
        assert_ne!(read, 0, "{answer}");
        answer += &String::from_utf8_lossy(&buffer[..read]);
    }
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    // Known to come by HTTPS, the cookie is for this very host and secure.
    assert!(
        answer.contains("set-cookie: __Host-upload_session="),
        "{answer}"
    );
    // A page that came in the clear is not of the same host.
    let mut socket = world.connect(&certificate, "http/1.1").await.expect("TLS");
    let foreign = request.replace("origin: https", "origin: http");
    socket.write_all(foreign.as_bytes()).await.expect("sent");
    let read = socket.read(&mut buffer).await.expect("read");
    assert!(buffer[..read].starts_with(b"HTTP/1.1 403 "));
}

#[tokio::test]
async fn a_certificate_is_exchanged_while_clients_connect() {
    let (world, before) = World::serve(Duration::from_secs(10)).await;
    world.connect(&before, "h2").await.expect("the first one");
    let after = renew(world.dir.path());
    let begun = Instant::now();
    let mut connected = 0;
    while world.connect(&after, "h2").await.is_err() {
        world.connect(&before, "h2").await.ok();
        connected += 1;
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "after {connected}"
        );
        sleep(Duration::from_millis(20)).await;
    }
    assert!(world.connect(&before, "h2").await.is_err());
    // What cannot be used leaves what there is.
    std::fs::write(world.dir.path().join("cert.pem"), "nothing").expect("written");
    sleep(Duration::from_millis(2_500)).await;
    world.connect(&after, "h2").await.expect("as before");
}

#[tokio::test]
async fn clients_that_do_not_go_on_are_left() {
    let limit = Duration::from_millis(300);
    let (world, certificate) = World::serve(limit).await;
    let begun = Instant::now();
    let mut silent = TcpStream::connect(world.address).await.expect("connected");
    let ended = timeout(Duration::from_secs(10), silent.read_u8()).await;
    assert!(ended.expect("in time").is_err());
    assert!(begun.elapsed() >= limit);
    for protocol in ["h2", "http/1.1"] {
        let mut idle = world.connect(&certificate, protocol).await.expect("TLS");
        let mut rest = Vec::new();
        let ended = timeout(Duration::from_secs(10), idle.read_to_end(&mut rest)).await;
        ended.expect("in time").ok();
    }
    // A connection over HTTP/2 with nothing to do ends as well, and hears of it before.
    let idle = world.connect(&certificate, "h2").await.expect("TLS");
    let handshake = conn::http2::handshake(TokioExecutor::new(), TokioIo::new(idle));
    let (mut sender, connection) = handshake.await.expect("HTTP/2");
    let driving = tokio::spawn(connection);
    let request = Request::get("https://localhost/").body(Body::empty());
    let answer = sender.send_request(request.expect("a request")).await;
    assert_eq!(text(answer.expect("an answer")).await, "HTTP/2.0 true");
    let ended = timeout(Duration::from_secs(10), driving).await;
    assert!(ended.expect("in time").expect("no panic").is_ok());
}

/// CONN-3: a body that does not go on is answered 408, over either version.
#[tokio::test]
async fn bodies_that_do_not_go_on_are_answered() {
    let (world, certificate) = World::serve(Duration::from_secs(10)).await;
    let mut socket = world.connect(&certificate, "http/1.1").await.expect("TLS");
    let request = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nonly this";
    socket.write_all(request.as_bytes()).await.expect("sent");
    let mut buffer = [0; 1024];
    let read = timeout(GUARD, socket.read(&mut buffer)).await;
    let read = read.expect("in time").expect("an answer");
    assert!(buffer[..read].starts_with(b"HTTP/1.1 408 "));

    let socket = world.connect(&certificate, "h2").await.expect("TLS");
    let handshake = conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket));
    let (mut sender, connection) = handshake.await.expect("HTTP/2");
    let driving = tokio::spawn(connection);
    let first = stream::iter([std::io::Result::Ok(Bytes::from_static(b"only this"))]);
    let body = Body::from_stream(first.chain(stream::pending()));
    let request = Request::post("https://localhost/").body(body);
    let answer = timeout(GUARD, sender.send_request(request.expect("a request"))).await;
    let answer = answer.expect("in time").expect("an answer");
    assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT);
    driving.abort();
}

/// CONN-3: an answer of which nothing is taken is abandoned, over either version.
#[tokio::test]
async fn answers_that_nobody_takes_are_abandoned() {
    let (world, certificate) = World::serve(Duration::from_millis(300)).await;
    let mut socket = world.connect(&certificate, "http/1.1").await.expect("TLS");
    let request = "GET /endless HTTP/1.1\r\nhost: localhost\r\n\r\n";
    socket.write_all(request.as_bytes()).await.expect("sent");
    timeout(GUARD, world.left.notified())
        .await
        .expect("abandoned");

    let socket = world.connect(&certificate, "h2").await.expect("TLS");
    let handshake = conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket));
    let (mut sender, connection) = handshake.await.expect("HTTP/2");
    let driving = tokio::spawn(connection);
    let request = Request::get("https://localhost/endless").body(Body::empty());
    let answer = sender.send_request(request.expect("a request")).await;
    let untaken = answer.expect("an answer");
    timeout(GUARD, world.left.notified())
        .await
        .expect("abandoned");
    drop(untaken);
    driving.abort();
}

#[test]
fn a_pair_that_does_not_fit_is_refused() {
    let (one, other) = (
        tempfile::tempdir().expect("a directory"),
        tempfile::tempdir().expect("a directory"),
    );
    renew(one.path());
    renew(other.path());
    let certificate = one.path().join("cert.pem");
    let load = |key: &Path| Certificates::load(&certificate, key).map(|_| ());
    assert!(load(&one.path().join("key.pem")).is_ok());
    let error = load(&other.path().join("key.pem")).expect_err("of another one");
    assert!(error.to_string().contains("does not belong"), "{error}");
    for missing in [one.path().join("none.pem"), certificate.clone()] {
        let error = load(&missing).expect_err("no key");
        assert!(error.to_string().contains("cannot be read"), "{error}");
    }
}
