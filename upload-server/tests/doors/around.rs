//! What holds for every door: pages of other sites, owners, answers that arrive, a server that restarts.

use upload_server::{Limits, Unauthenticated};

use crate::wire::{OFFSET_TYPE, Server, files, pattern};

const FILES: &str = "/uploads/files/files";

/// T40: a page of a listed origin reads the answers, refusals too, and no other page does.
#[tokio::test]
async fn t40_listed_pages_read_every_answer() {
    let page = ("origin", "https://app.example");
    let server = Server::with(|builder| builder.allowed_origins(["https://app.example"])).await;
    for headers in [&[page, ("upload-length", "3")][..], &[page]] {
        let answer = server.tus("POST", FILES, headers, b"").await;
        let allowed = answer.header("access-control-allow-origin");
        assert_eq!(allowed, Some("https://app.example"), "{answer:?}");
        assert_eq!(
            answer.header("access-control-allow-credentials"),
            Some("true")
        );
        assert_eq!(answer.header("vary"), Some("Origin"));
        let exposed = answer
            .header("access-control-expose-headers")
            .expect("a list");
        for name in ["Location", "Upload-Offset", "Upload-Expires", "Retry-After"] {
            assert!(exposed.contains(name), "{exposed}");
        }
    }
    let answer = server
        .ask("HEAD", FILES, &[("origin", "https://evil.example")], b"")
        .await;
    assert_eq!(answer.header("access-control-allow-origin"), None);
    let open = Server::with(|builder| builder.allowed_origins(["*"])).await;
    let answer = open
        .tus("POST", FILES, &[page, ("upload-length", "3")], b"")
        .await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("access-control-allow-credentials"), None);
}

/// Endpoints of tusd end in a slash, and so do those that people configure.
#[tokio::test]
async fn an_address_may_end_in_a_slash() {
    let server = Server::start().await;
    let slashed = format!("{FILES}/");
    let answer = server.ask("POST", &slashed, &[], b"abc").await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let length = [("upload-length", "3")];
    let answer = server.tus("POST", &slashed, &length, b"").await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let location = answer.header("location").expect("a location");
    let upload = location.strip_prefix(&slashed).expect("it is below");
    assert!(!upload.contains('/'), "{location}");
    let answer = server.tus("HEAD", location, &[], b"").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = server.tus("OPTIONS", &slashed, &[], b"").await;
    assert_eq!(answer.status, 204, "{answer:?}");
}

#[tokio::test]
async fn t41_preflights_allow_what_clients_send() {
    let server = Server::with(|builder| builder.allowed_origins(["https://app.example"])).await;
    let asked = ("access-control-request-method", "PATCH");
    let headers = [("origin", "https://app.example"), asked];
    let answer = server.ask("OPTIONS", FILES, &headers, b"").await;
    assert_eq!(answer.status, 204);
    let methods = answer
        .header("access-control-allow-methods")
        .expect("methods");
    let allowed = answer
        .header("access-control-allow-headers")
        .expect("headers");
    for method in ["POST", "HEAD", "PATCH", "PUT", "DELETE"] {
        assert!(methods.contains(method), "{methods}");
    }
    for name in [
        "Tus-Resumable",
        "Upload-Offset",
        "X-HTTP-Method-Override",
        "Upload-Complete",
    ] {
        assert!(allowed.contains(name), "{allowed}");
    }
    assert_eq!(answer.header("access-control-max-age"), Some("86400"));
    let headers = [("origin", "https://evil.example"), asked];
    let answer = server.ask("OPTIONS", FILES, &headers, b"").await;
    assert_eq!(answer.header("access-control-allow-methods"), None);
}

/// CONN-1: no form and no script of another site uploads anything, with a cookie or without.
#[tokio::test]
async fn conn_1_pages_of_other_sites_change_nothing() {
    let server = Server::start().await;
    let path = server.create(3).await;
    for headers in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "null")],
        &[("origin", "null"), ("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "cross-site")],
        &[
            ("origin", "https://evil.example"),
            ("cookie", "upload_session=x"),
        ],
    ] {
        let length = [&[("upload-length", "3")][..], headers].concat();
        let answer = server.tus("POST", FILES, &length, b"").await;
        assert_eq!(answer.status, 403, "{headers:?}");
        assert_eq!(server.ask("POST", FILES, headers, b"abc").await.status, 403);
        let append = [&[OFFSET_TYPE, ("upload-offset", "0")][..], headers].concat();
        assert_eq!(
            server.tus("PATCH", &path, &append, b"abc").await.status,
            403
        );
        assert_eq!(server.tus("DELETE", &path, headers, b"").await.status, 403);
        let overridden = [&[("x-http-method-override", "DELETE")][..], headers].concat();
        assert_eq!(
            server.tus("POST", &path, &overridden, b"").await.status,
            403
        );
    }
    assert_eq!(server.offset(&path).await, 0);
    let own = format!("http://{}", server.address);
    for headers in [
        &[("origin", &*own)][..],
        &[("origin", "null"), ("sec-fetch-site", "same-origin")],
    ] {
        let length = [&[("upload-length", "3")][..], headers].concat();
        assert_eq!(server.tus("POST", FILES, &length, b"").await.status, 201);
    }
}

/// T43: what a refusal says is fixed, and no browser takes it for anything else.
#[tokio::test]
async fn t43_refusals_are_plain() {
    let server = Server::start().await;
    let answer = server.tus("POST", FILES, &[], b"").await;
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let body = answer.json();
    assert_eq!(body["code"], "bad_request");
    assert_eq!(body["retry"], "never");
    assert_eq!(answer.header("upload-code"), Some("bad_request"));
}

/// The owner of a cookie reaches its uploads; others do not.
#[tokio::test]
async fn an_upload_belongs_to_the_owner_of_its_cookie() {
    let server = Server::start().await;
    let session = server.ask("GET", "/uploads/session", &[], b"").await;
    let cookie = session.header("set-cookie").expect("a cookie");
    let pair = cookie.split(';').next().expect("a pair").to_owned();
    let headers = [("upload-length", "3"), ("cookie", &*pair)];
    let created = server.tus("POST", FILES, &headers, b"").await;
    let path = created.header("location").expect("a location");
    assert!(!path.contains('~'), "{path}");
    let head = server.tus("HEAD", path, &[("cookie", &pair)], b"").await;
    assert_eq!(head.status, 200);
    assert_eq!(server.tus("HEAD", path, &[], b"").await.status, 404);
}

#[tokio::test]
async fn requests_without_an_identity_are_401() {
    let server = Server::with(|builder| {
        builder.owner(|parts| match parts.headers.get("x-user") {
            Some(user) => Ok(user.to_str().ok().map(str::to_owned)),
            None => Err(Unauthenticated),
        })
    })
    .await;
    let length = ("upload-length", "3");
    assert_eq!(server.tus("POST", FILES, &[length], b"").await.status, 401);
    let alice = ("x-user", "alice");
    let created = server.tus("POST", FILES, &[length, alice], b"").await;
    let path = created.header("location").expect("a location");
    assert!(!path.contains('~'), "{path}");
    assert_eq!(server.tus("HEAD", path, &[alice], b"").await.status, 200);
    let bob = ("x-user", "bob");
    assert_eq!(server.tus("HEAD", path, &[bob], b"").await.status, 404);
}

/// T44: a client that sends nothing more holds nothing for longer than it may.
#[tokio::test]
async fn t44_content_that_stops_is_given_a_time() {
    let mut limits = Limits::default();
    limits.session.idle_upload = std::time::Duration::from_millis(100);
    let server = Server::with(|builder| builder.limits(limits)).await;
    let path = server.create(100).await;
    let mut wire = server.connect().await;
    let headers = [
        ("tus-resumable", "1.0.0"),
        OFFSET_TYPE,
        ("upload-offset", "0"),
        ("content-length", "100"),
    ];
    wire.send("PATCH", &path, &headers, b"abc").await;
    assert_eq!(wire.answer("PATCH").await.status, 503);
    assert_eq!(server.offset(&path).await, 3, "what came is kept");
}

/// T45: HEAD while an append runs ends it, and tells what came.
#[tokio::test]
async fn t45_the_newest_request_wins() {
    let server = Server::start().await;
    let path = server.create(100_000).await;
    let mut wire = server.connect().await;
    let headers = [
        ("tus-resumable", "1.0.0"),
        OFFSET_TYPE,
        ("upload-offset", "0"),
        ("content-length", "100000"),
    ];
    wire.send("PATCH", &path, &headers, &pattern(50_000)).await;
    let at = server.offset(&path).await;
    let answer = wire.answer("PATCH").await;
    assert_eq!(answer.status, 423);
    assert!(answer.header("retry-after").is_some());
    let rest = &pattern(100_000)[at..];
    assert_eq!(server.append(&path, at, rest).await.status, 204);
    assert_eq!(server.stored(), [pattern(100_000)]);
}

/// T46: the answer to a request that is refused at once reaches a client that sends it whole first.
#[tokio::test]
async fn t46_refusals_arrive() {
    let server = Server::start().await;
    let body = pattern(8_000_000);
    let answer = server
        .append("/uploads/files/files/nothing", 0, &body)
        .await;
    assert_eq!(answer.status, 404);
    let mut wire = server.connect().await;
    let headers = [
        ("tus-resumable", "1.0.0"),
        ("content-type", "text/plain"),
        ("upload-length", "1"),
    ];
    wire.send("POST", FILES, &headers, &body).await;
    assert_eq!(wire.answer("POST").await.status, 415);
    wire.send("OPTIONS", FILES, &[], b"").await;
    assert_eq!(
        wire.answer("OPTIONS").await.status,
        204,
        "the connection is good"
    );
}

/// T8: while the server restarts, a tus client has to come again, and keeps its upload.
#[tokio::test]
async fn t8_head_is_423_while_the_server_restarts() {
    let server = Server::start().await;
    let path = server.create(100).await;
    server.append(&path, 0, b"abc").await;
    assert!(server.uploads.shutdown().await, "everything is idle");
    let answer = server.tus("HEAD", &path, &[], b"").await;
    assert_eq!(answer.status, 423);
    assert!(answer.header("retry-after").is_some());
    assert_eq!(server.append(&path, 3, b"def").await.status, 503);
}

/// T42: what a proxy forwards is believed only where that is configured.
#[tokio::test]
async fn t42_forwarded_headers_make_no_location() {
    let server = Server::start().await;
    let headers = [
        ("upload-length", "3"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "host=evil.example;proto=https"),
    ];
    let answer = server.tus("POST", FILES, &headers, b"").await;
    let location = answer.header("location").expect("a location");
    assert!(location.starts_with("/uploads/"), "{location}");
}

/// A slot says which doors it has.
#[tokio::test]
async fn a_slot_without_a_door_is_not_found() {
    use upload_server::Door;

    const SLOT: &str = "/uploads/files/plain";

    let server = Server::with(|builder| {
        let options = files().doors([Door::Plain]);
        builder.allow_upload("plain", options)
    })
    .await;
    assert_eq!(
        server
            .tus("POST", SLOT, &[("upload-length", "3")], b"")
            .await
            .status,
        404
    );
    assert_eq!(server.ask("POST", SLOT, &[], b"abc").await.status, 201);
}

/// MSG-4: what a check of the application says is in the answer of every door.
#[tokio::test]
async fn msg_4_every_door_has_the_words_of_the_application() {
    use upload_server::validate::{FileFacts, Head, OwnRefusal, Verdict};

    let judge = |_: &FileFacts<'_>, head: &Head<'_>| match head.bytes {
        [b'#', ..] => OwnRefusal::new("No headings")
            .with_code("no_headings")
            .into(),
        _ => Verdict::Accept,
    };
    let server = Server::with(|it| it.allow_upload("strict", files().validator(judge))).await;
    let path = "/uploads/files/strict";
    let tus = [
        ("tus-resumable", "1.0.0"),
        ("upload-length", "3"),
        ("content-type", "application/offset+octet-stream"),
    ];
    let named = [("content-disposition", "attachment; filename=\"a.txt\"")];
    let draft = [("upload-complete", "?1")];
    for headers in [&tus[..], &named, &draft] {
        let answer = server.ask("POST", path, headers, b"# A").await;
        assert_eq!(answer.status, 403, "{answer:?}");
        let body = answer.json();
        let said = [&body["code"], &body["reason"], &body["error"]];
        assert_eq!(said, ["forbidden", "no_headings", "No headings"], "{body}");
    }
    assert!(server.stored().is_empty());
}
