//! T46: refusals arrive at a client that sends all of its content before it listens, whatever the reason.

use std::net::SocketAddr;

use axum::{
    extract::{ConnectInfo, Request},
    middleware::{Next, from_fn},
};
use upload_server::Limits;

use crate::wire::{LAST, Server, pattern};

const FILES: &str = "/uploads/files/files";
/// More than sockets hold of content that is not read.
const BYTES: usize = 8_000_000;

/// T46: there is no place for another upload.
#[tokio::test]
async fn t46_refusals_arrive_where_there_is_no_place() {
    let limits = Limits {
        max_visits: 1,
        ..Limits::default()
    };
    let server = Server::with(|builder| builder.limits(limits)).await;
    server.create(3).await;
    let body = pattern(BYTES);
    for headers in [&[][..], &[LAST]] {
        let answer = server.ask("POST", FILES, headers, &body).await;
        assert_eq!(answer.status, 503, "{answer:?}");
    }
}

/// T46: the server restarts.
#[tokio::test]
async fn t46_refusals_arrive_while_the_server_drains() {
    let server = Server::start().await;
    let path = server.create(BYTES).await;
    assert!(server.uploads.shutdown().await, "everything is idle");
    let body = pattern(BYTES);
    assert_eq!(server.append(&path, 0, &body).await.status, 503);
    let answer = server.ask("POST", FILES, &[], &body).await;
    assert_eq!(answer.status, 503, "{answer:?}");
}

/// T46: an owner, or an address, asks too much.
#[tokio::test]
async fn t46_refusals_arrive_where_too_much_is_asked() {
    let body = pattern(BYTES);
    let mut limits = Limits::default();
    limits.rates.requests_per_owner = 0;
    let server = Server::with(|builder| builder.limits(limits)).await;
    let answer = server.ask("POST", FILES, &[], &body).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    let mut limits = Limits::default();
    limits.rates.requests_per_address = 0;
    let far = async |mut request: Request, next: Next| {
        let peer = SocketAddr::from(([203, 0, 113, 7], 1));
        request.extensions_mut().insert(ConnectInfo(peer));
        next.run(request).await
    };
    let server = Server::behind(
        |builder| builder.limits(limits),
        |router| router.layer(from_fn(far)),
    )
    .await;
    let answer = server.ask("POST", FILES, &[], &body).await;
    assert_eq!(answer.status, 429, "{answer:?}");
}

/// T46: the request is for a host that is none of the server's.
#[tokio::test]
async fn t46_refusals_arrive_from_another_host() {
    let server = Server::with(|builder| builder.allowed_hosts(["uploads.example.org"])).await;
    let host = [("host", "evil.example")];
    let answer = server.ask("POST", FILES, &host, &pattern(BYTES)).await;
    assert_eq!(answer.status, 421, "{answer:?}");
}

/// T46: as much content as is read at a time, all of it of one address, takes no answer from others.
#[tokio::test]
async fn t46_one_address_takes_no_others_answers() {
    const READ_AT_A_TIME: usize = 256;
    const NOTHING: &str = "/uploads/files/nothing";

    let server = Server::with(|builder| builder.trust_proxy(true)).await;
    let near = ("x-forwarded-for", "203.0.113.7");
    let length = ("content-length", "1000000000");
    let mut slow = Vec::new();
    for _ in 0..READ_AT_A_TIME {
        let mut wire = server.connect().await;
        wire.send("POST", NOTHING, &[near, length], b"").await;
        assert_eq!(wire.answer("POST").await.status, 404);
        slow.push(wire);
    }
    let far = ("x-forwarded-for", "198.51.100.9");
    let body = pattern(BYTES);
    let answer = server.ask("POST", NOTHING, &[far], &body).await;
    assert_eq!(answer.status, 404, "{answer:?}");
}
