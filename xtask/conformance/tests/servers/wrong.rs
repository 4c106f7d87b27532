//! Servers that are wrong fail by the names of the rules that they break.

use std::net::SocketAddr;

use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, Method, StatusCode, header::CONTENT_TYPE},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
};
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_websockets::{Message, ServerBuilder};
use upload_conformance::Stop;

use crate::{Server, failed, ietf, serve, socket, tus};

/// A tus server that takes content at any offset's word, lets answers be cached and looks at no checksum.
async fn wrong_tus(mut request: Request, next: Next) -> Response {
    let method = request.method().clone();
    request.headers_mut().remove("upload-checksum");
    let mut answer = next.run(request).await;
    if answer.status() == StatusCode::CONFLICT {
        *answer.status_mut() = StatusCode::NO_CONTENT;
    }
    if method == Method::HEAD {
        answer.headers_mut().remove("cache-control");
    }
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_tus_server_fails_by_the_rules_it_breaks() {
    let server = Server::start(|app| app.layer(from_fn(wrong_tus))).await;
    let report = tus(server.address).await;
    let expected = ["T10", "T16", "T31", "T6"];
    assert!(
        failed(&report).into_iter().eq(expected),
        "\n{}",
        report.table()
    );
    assert!(!report.meets_every_must());
}

/// A server of the draft that confirms lengths that disagree, looks at no digest, tells no limits, and writes
/// its refusals in another form.
async fn wrong_ietf(mut request: Request, next: Next) -> Response {
    let method = request.method().clone();
    request.headers_mut().remove("content-digest");
    let mut answer = next.run(request).await;
    if method == Method::POST && answer.status() == StatusCode::BAD_REQUEST {
        *answer.status_mut() = StatusCode::OK;
    }
    if method == Method::OPTIONS {
        answer.headers_mut().remove("upload-limit");
    }
    let is_problem = |kind: &HeaderValue| kind == "application/problem+json";
    if answer.headers().get(CONTENT_TYPE).is_some_and(is_problem) {
        let plain = HeaderValue::from_static("application/json");
        answer.headers_mut().insert(CONTENT_TYPE, plain);
    }
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_server_of_the_draft_fails_by_the_rules_it_breaks() {
    let server = Server::start(|app| app.layer(from_fn(wrong_ietf))).await;
    let report = ietf(server.address).await;
    let expected = ["R13", "R18", "R20", "R22", "R3"];
    assert!(
        failed(&report).into_iter().eq(expected),
        "\n{}",
        report.table()
    );
    assert!(!report.meets_every_must());
    let left = report.rows().iter().filter(|row| !row.was_checked());
    assert_eq!(left.count(), 1, "max-size is not told: {}", report.table());
}

/// A socket that lets every page in, and takes no subprotocol.
async fn wrong_socket(mut request: Request, next: Next) -> Response {
    request.headers_mut().remove("origin");
    let mut answer = next.run(request).await;
    answer.headers_mut().remove("sec-websocket-protocol");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_socket_fails_by_the_rules_it_breaks() {
    let server = Server::start(|app| app.layer(from_fn(wrong_socket))).await;
    let report = socket(server.address).await;
    let expected = ["CONN-1", "Overview"];
    assert!(
        failed(&report).into_iter().eq(expected),
        "\n{}",
        report.table()
    );
    assert!(!report.meets_every_must());
}

/// Announces everything, and says yes to every request.
async fn yes() -> Response {
    let extensions = "creation,creation-with-upload,creation-defer-length,expiration,termination,\
                      checksum,concatenation";
    let headers = [
        ("tus-extension", extensions),
        ("tus-max-size", "1000"),
        ("upload-limit", "max-size=1000"),
        ("access-control-allow-origin", "*"),
    ];
    headers.into_response()
}

/// No check passes by itself: a server that says yes to everything passes none but the one that looks for
/// `Upload-Limit`, which this one has.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_always_says_yes_passes_nothing() {
    let address = serve(Router::new().fallback(yes)).await;
    for report in [
        tus(address).await,
        ietf(address).await,
        socket(address).await,
    ] {
        for row in report.rows() {
            let says_yes = matches!(&row.outcome, Err(Stop::Failed(_)));
            let looks_for_limits = row.says == "OPTIONS has Upload-Limit";
            assert!(
                says_yes || looks_for_limits,
                "{}\n{}",
                row.says,
                report.table()
            );
        }
    }
}

/// A socket that greets well, answers pings, and hangs up on everything else.
async fn greet(stream: TcpStream) -> Option<()> {
    const CONFIGS: &str = r#"{"type":"upload_configs","protocol":1,"upload_configs":{"files":
        {"accept":"","chunk_size":65536,"max_file_size":1000,"resumable":true}},
        "limits":{"message_bytes_max":1000000,"window_bytes":1,"max_uploads_per_owner":1}}"#;
    let (_, mut socket) = ServerBuilder::new().accept(stream).await.ok()?;
    socket.send(Message::text(CONFIGS)).await.ok()?;
    while let Some(Ok(message)) = socket.next().await {
        if message.as_text() != Some(r#"{"type":"ping"}"#) {
            break;
        }
        let pong = Message::text(r#"{"type":"pong"}"#);
        socket.send(pong).await.ok()?;
    }
    socket.close().await.ok()
}

async fn greeter() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(greet(stream));
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_only_greets_passes_only_what_it_does() {
    let report = socket(greeter().await).await;
    let passed = report.rows().iter().filter(|row| row.outcome.is_ok());
    let passed: Vec<_> = passed.map(|row| row.says).collect();
    let expected = [
        "a client that offers no subprotocol is served",
        "the first message has version, slots and limits",
        "ping is answered with pong",
        // The library of this server does so by itself.
        "text that is not UTF-8 closes with 1007",
    ];
    assert_eq!(passed, expected, "\n{}", report.table());
}
