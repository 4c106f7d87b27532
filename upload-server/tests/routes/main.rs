//! The routes over real connections: handshake, cookie, status, files.

mod raw;
mod shares;

use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;
use upload_server::{DemoSlot, Limits, SlotOptions, Unauthenticated, Uploads, UploadsBuilder};

use raw::{Answer, Server};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

async fn start(make: impl FnOnce(UploadsBuilder) -> UploadsBuilder) -> Server {
    let dir = tempfile::tempdir().expect("a directory");
    let builder = Uploads::builder()
        .data_dir(dir.path())
        .allow_upload("avatar", SlotOptions::new().accept(".png"));
    let uploads = make(builder).build().expect("good options");
    let app = Router::new()
        .nest("/uploads", uploads.router())
        .merge(uploads.demo_router([DemoSlot::new("avatar")]));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, app).await });
    Server {
        address,
        uploads,
        _dir: Arc::new(dir),
    }
}

fn handshake(extra: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", KEY),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    for (name, value) in extra {
        headers.retain(|(known, _)| known != name);
        if !value.is_empty() {
            headers.push(((*name).to_owned(), (*value).to_owned()));
        }
    }
    headers
}

async fn connect(server: &Server, extra: &[(&str, &str)]) -> Answer {
    server
        .request("GET", "/uploads/ws", &handshake(extra))
        .await
}

/// The handshake of RFC 6455, section 1.3, key and answer included.
#[tokio::test]
async fn the_handshake_is_answered_with_101() {
    let server = start(|builder| builder).await;
    let answer = connect(&server, &[("sec-websocket-protocol", "chat, upload.v1")]).await;
    assert_eq!(answer.status, 101);
    assert_eq!(
        answer.header("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    assert_eq!(answer.header("upgrade"), Some("websocket"));
    assert_eq!(answer.header("sec-websocket-protocol"), Some("upload.v1"));
    assert_eq!(answer.header("sec-websocket-extensions"), None);

    let plain = connect(&server, &[]).await;
    assert_eq!(plain.status, 101);
    assert_eq!(plain.header("sec-websocket-protocol"), None);
    let other = connect(&server, &[("sec-websocket-protocol", "UPLOAD.V1, chat")]).await;
    assert_eq!(
        (other.status, other.header("sec-websocket-protocol")),
        (101, None)
    );
}

#[tokio::test]
async fn what_is_no_handshake_is_refused() {
    let server = start(|builder| builder).await;
    for (extra, status) in [
        (("connection", ""), 426),
        (("connection", "keep-alive"), 426),
        (("upgrade", ""), 426),
        (("upgrade", "h2c"), 426),
        (("sec-websocket-version", ""), 426),
        (("sec-websocket-version", "8"), 426),
        (("sec-websocket-key", ""), 400),
        (("sec-websocket-key", "short"), 400),
        (("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ!="), 400),
        (
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZSBhbmQgbW9yZQ=="),
            400,
        ),
    ] {
        let answer = connect(&server, &[extra]).await;
        assert_eq!(answer.status, status, "{extra:?}");
        if extra.0 == "sec-websocket-version" {
            assert_eq!(answer.header("sec-websocket-version"), Some("13"));
        }
    }
    let post = server.request("POST", "/uploads/ws", &handshake(&[])).await;
    assert_eq!(post.status, 405);
}

/// CONN-1: a page of another host is refused before the upgrade.
#[tokio::test]
async fn conn_1_foreign_pages_get_403() {
    let server = start(|builder| builder).await;
    let own = format!("http://{}", server.address);
    assert_eq!(connect(&server, &[("origin", &own)]).await.status, 101);
    for origin in ["http://evil.example", "null", "http://127.0.0.1"] {
        assert_eq!(
            connect(&server, &[("origin", origin)]).await.status,
            403,
            "{origin}"
        );
    }
    let strict = start(|builder| builder.require_origin(true)).await;
    assert_eq!(connect(&strict, &[]).await.status, 403);
    let open = start(|builder| builder.allowed_origins(["*"])).await;
    assert_eq!(
        connect(&open, &[("origin", "http://evil.example")])
            .await
            .status,
        101
    );
}

/// CONN-2: a script sees the close code 4401, where it could not see a 401.
#[tokio::test]
async fn conn_2_a_visitor_without_an_identity_is_closed_with_4401() {
    let server = start(|builder| {
        builder.owner(|parts| match parts.headers.get("x-user") {
            Some(user) => Ok(user.to_str().ok().map(str::to_owned)),
            None => Err(Unauthenticated),
        })
    })
    .await;
    let mut nobody = connect(&server, &[("sec-websocket-protocol", "upload.v1")]).await;
    assert_eq!(
        (nobody.status, nobody.header("set-cookie")),
        (101, None),
        "nobody gets no cookie either"
    );
    assert_eq!(nobody.close_code().await, 4401, "before any message");
    assert_eq!(server.get("/uploads/session", &[]).await.status, 401);
    let foreign = [("origin", "http://evil.example")];
    assert_eq!(connect(&server, &foreign).await.status, 403);
    let known = connect(&server, &[("x-user", "alice")]).await;
    assert_eq!((known.status, known.header("set-cookie")), (101, None));
}

/// A connection without an owner takes no place of those who have one, not even while it is told so.
#[tokio::test]
async fn unauthenticated_connections_take_no_place_of_others() {
    let limits = Limits {
        max_connections: 1,
        ..Limits::default()
    };
    let server = start(|builder| {
        builder
            .limits(limits)
            .owner(|parts| match parts.headers.get("x-user") {
                Some(_) => Ok(None),
                None => Err(Unauthenticated),
            })
    })
    .await;
    for _ in 0..3 {
        let mut first = connect(&server, &[]).await;
        let second = connect(&server, &[]).await;
        assert_eq!((first.status, second.status), (101, 101));
        drop(let_in(&server, &[("x-user", "alice")]).await);
        assert_eq!(first.close_code().await, 4401);
        first.leave().await;
    }
}

/// Sockets that are only told that they have no owner have a bound of their own.
#[tokio::test]
async fn unauthenticated_connections_are_bounded() {
    let server = start(|builder| builder.owner(|_| Err(Unauthenticated))).await;
    let mut open = Vec::new();
    let refused = loop {
        let answer = connect(&server, &[]).await;
        if answer.status != 101 || open.len() > 200 {
            break answer.status;
        }
        open.push(answer);
    };
    assert_eq!(refused, 503, "after {} of them", open.len());
}

/// Connects once the place of the connection before is free, which is soon after its end.
async fn let_in(server: &Server, headers: &[(&str, &str)]) -> Answer {
    let asking = async {
        loop {
            let answer = connect(server, headers).await;
            if answer.status != 503 {
                break answer;
            }
        }
    };
    let patience = std::time::Duration::from_secs(20);
    let answer = tokio::time::timeout(patience, asking).await;
    let answer = answer.expect("a place in time");
    assert_eq!(answer.status, 101);
    answer
}

#[tokio::test]
async fn the_cookie_comes_with_the_first_contact_and_only_then() {
    let server = start(|builder| builder).await;
    for first in [
        connect(&server, &[]).await,
        server.get("/uploads/session", &[]).await,
    ] {
        let cookie = first.header("set-cookie").expect("a cookie").to_owned();
        assert!(
            cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"),
            "{cookie}"
        );
        let pair = cookie.split(';').next().expect("a pair");
        let again = connect(&server, &[("cookie", pair)]).await;
        assert_eq!((again.status, again.header("set-cookie")), (101, None));
        let again = server.get("/uploads/session", &[("cookie", pair)]).await;
        assert_eq!((again.status, again.header("set-cookie")), (204, None));
    }
}

/// Beyond `max_connections` and while draining there is no place, and clients are told when to ask
/// again.
#[tokio::test]
async fn without_a_place_it_is_503() {
    let limits = Limits {
        max_connections: 1,
        ..Limits::default()
    };
    let server = start(|builder| builder.limits(limits)).await;
    let first = connect(&server, &[]).await;
    assert_eq!(first.status, 101);
    let second = connect(&server, &[]).await;
    assert_eq!(second.status, 503);
    assert!(second.header("retry-after").is_some());

    let drained = start(|builder| builder).await;
    assert!(drained.uploads.shutdown().await, "nothing was open");
    assert_eq!(connect(&drained, &[]).await.status, 503);
}

#[tokio::test]
async fn mount_decides_the_slots_and_its_errors_are_500() {
    let server = start(|builder| {
        builder.mount(|cx| {
            let name = if cx.parts().headers.contains_key("x-bad") {
                "a/b"
            } else {
                "extra"
            };
            assert!(cx.remove_upload("avatar"));
            cx.allow_upload(name, SlotOptions::new())
        })
    })
    .await;
    assert_eq!(connect(&server, &[("x-bad", "1")]).await.status, 500);
    let mut good = connect(&server, &[]).await;
    let configs = good.next_text().await;
    assert!(
        configs.contains("\"extra\"") && !configs.contains("\"avatar\""),
        "{configs}"
    );
}

/// Every failure of the status endpoint is the same answer, byte by byte.
#[tokio::test]
async fn status_tells_nobody_else_anything() {
    let server = start(|builder| builder).await;
    let cookie = server.get("/uploads/session", &[]).await;
    let cookie = cookie.header("set-cookie").expect("a cookie").to_owned();
    let pair = cookie.split(';').next().expect("a pair");
    let unknown = "11111111-2222-3333-4444-555555555555";
    let mut bodies = Vec::new();
    for (upload, cookie) in [
        (unknown, ""),
        (unknown, pair),
        ("not-a-uuid", pair),
        ("00000000-0000-0000-0000-000000000000", pair),
        ("%2e%2e", pair),
    ] {
        let path = format!("/uploads/{upload}/status");
        let answer = server.get(&path, &[("cookie", cookie)]).await;
        assert_eq!(answer.status, 404, "{upload}");
        assert_eq!(answer.header("set-cookie"), None);
        bodies.push(answer.body);
    }
    assert!(
        bodies
            .iter()
            .all(|body| body == "{\"status\":\"not_found\"}"),
        "{bodies:?}"
    );
    let post = server
        .request("POST", &format!("/uploads/{unknown}/status"), &[])
        .await;
    assert_eq!(post.status, 405);
}

#[tokio::test]
async fn the_page_and_the_client_are_served() {
    let server = start(|builder| builder).await;
    let page = server.get("/", &[]).await;
    assert_eq!(page.status, 200);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert!(page.header("content-security-policy").is_some());
    let client = server.get("/uploads/client/index.js", &[]).await;
    assert_eq!(
        client.header("content-type"),
        Some("text/javascript; charset=utf-8")
    );
    let tag = client.header("etag").expect("a tag").to_owned();
    let again = server
        .get("/uploads/client/index.js", &[("if-none-match", &tag)])
        .await;
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    assert_eq!(server.get("/uploads/demo/demo.css", &[]).await.status, 200);
    assert_eq!(server.get("/uploads/client/none.js", &[]).await.status, 404);
}

/// CONN-3: a client that does not send its request in time is let go.
#[tokio::test]
async fn conn_3_a_slow_request_is_not_waited_for() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let limits = Limits {
        handshake: std::time::Duration::from_millis(50),
        ..Limits::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let stop = tokio_util::sync::CancellationToken::new();
    let stopped = stop.clone();
    let serving = tokio::spawn(async move {
        upload_server::serve(listener, Router::new(), &limits, stopped).await
    });
    let mut socket = tokio::net::TcpStream::connect(address)
        .await
        .expect("connected");
    socket
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n")
        .await
        .expect("sent");
    let mut answer = Vec::new();
    socket
        .read_to_end(&mut answer)
        .await
        .expect("closed by the server");
    stop.cancel();
    serving.await.expect("no panic").expect("served");
}

/// The owner, and nobody else, sees how a resumable upload stands.
#[tokio::test]
async fn status_answers_the_owner() {
    let resumable = SlotOptions::new().resumable(true);
    let server = start(|builder| builder.allow_upload("photo", resumable)).await;
    let session = server.get("/uploads/session", &[]).await;
    let cookie = session.header("set-cookie").expect("a cookie").to_owned();
    let pair = cookie.split(';').next().expect("a pair");
    let mut socket = connect(&server, &[("cookie", pair)]).await;
    assert!(socket.next_text().await.contains("upload_configs"));
    let upload = "11111111-2222-3333-4444-555555555555";
    socket
        .send_text(&format!(
            "{{\"type\":\"upload_register\",\"upload_name\":\"photo\",\"ref\":\"{upload}\",\
             \"client_name\":\"a.png\",\"client_type\":\"image/png\",\"client_size\":99}}"
        ))
        .await;
    assert!(socket.next_text().await.contains("upload_registered"));
    let path = format!("/uploads/{upload}/status");
    let status = server.get(&path, &[("cookie", pair)]).await;
    let body: serde_json::Value = serde_json::from_str(&status.body).expect("JSON");
    assert_eq!(
        body,
        serde_json::json!({
            "upload_id": upload, "status": "uploading", "bytes_received": 0,
            "chunks_received": [], "filename": "a.png", "expected_size": 99,
        })
    );
    assert_eq!(server.get(&path, &[]).await.status, 404);
}
