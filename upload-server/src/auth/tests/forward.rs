//! Forward authentication against a small server.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::response::IntoResponse;
use http::HeaderMap;
use serde_json::{Map, json};
use upload_core::AuthorizeStage;

use super::{
    super::forward::{Forward, ForwardParts},
    *,
};
use crate::slots::{answer::Denial, slot::AuthorizeRequest};

/// Answers by what follows `Bearer`, and notes what it was asked.
#[derive(Default)]
struct Backend {
    asked: AtomicUsize,
    seen: Mutex<HeaderMap>,
}

async fn backend() -> (Arc<Backend>, SocketAddr) {
    let backend = Arc::new(Backend::default());
    let ours = Arc::clone(&backend);
    let answer = async move |headers: HeaderMap| {
        ours.asked.fetch_add(1, Ordering::Relaxed);
        *ours.seen.lock().expect("whole") = headers.clone();
        let credential = headers
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        let complete = headers
            .get("x-upload-stage")
            .is_some_and(|stage| stage == "complete");
        match credential.unwrap_or_default() {
            "Bearer alice" => {
                axum::Json(json!({ "owner": "alice", "slots": ["a"], "max_uploads": 2 }))
                    .into_response()
            }
            "Bearer withdrawn" if complete => StatusCode::FORBIDDEN.into_response(),
            "Bearer ended" if complete => StatusCode::UNAUTHORIZED.into_response(),
            "Bearer mute" if complete => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            "Bearer bob" | "Bearer withdrawn" | "Bearer ended" | "Bearer mute" => {
                axum::Json(json!({ "owner": "bob" })).into_response()
            }
            "Bearer banned" => StatusCode::FORBIDDEN.into_response(),
            "Bearer late" => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                axum::Json(json!({ "owner": "late" })).into_response()
            }
            "Bearer large" => "x".repeat(100_000).into_response(),
            "Bearer text" => "owner".into_response(),
            "Bearer ownerless" => axum::Json(json!({ "slots": ["a"] })).into_response(),
            "Bearer odd" => {
                axum::Json(json!({ "owner": "odd", "max_bytes": "many" })).into_response()
            }
            "Bearer moved" => (StatusCode::FOUND, [("location", "/other")]).into_response(),
            "Bearer broken" => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            "Bearer empty" => StatusCode::NO_CONTENT.into_response(),
            _ => StatusCode::UNAUTHORIZED.into_response(),
        }
    };
    let address = served(Router::new().route("/auth", get(answer))).await;
    (backend, address)
}

fn forward(address: SocketAddr, remember: Duration) -> Forward {
    let parts = ForwardParts {
        uri: format!("http://{address}/auth")
            .parse()
            .expect("an address"),
        headers: vec![http::header::AUTHORIZATION, http::header::COOKIE],
        limit: Duration::from_millis(500),
        remember,
        transport: Default::default(),
    };
    Forward::new(parts).expect("a client")
}

async fn as_whom(app: &Router, who: &str) -> (u16, String) {
    let value = format!("Bearer {who}");
    send(app, "GET", "/who", &[("authorization", &value)]).await
}

#[tokio::test]
async fn only_a_whole_yes_lets_in() {
    let (_, address) = backend().await;
    let app = app(&Auth::forwarding(forward(address, Duration::from_secs(10))));
    for (who, expected) in [
        ("alice", (200, "alice")),
        ("bob", (200, "bob")),
        ("no one", (401, "")),
        ("banned", (403, "")),
        ("late", (503, "")),
        ("large", (503, "")),
        ("text", (503, "")),
        ("ownerless", (503, "")),
        ("odd", (503, "")),
        ("moved", (503, "")),
        ("broken", (503, "")),
        ("empty", (503, "")),
    ] {
        let (status, owner) = as_whom(&app, who).await;
        assert_eq!((status, &*owner), expected, "{who}");
    }
    // No one listens there any more.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let nowhere = listener.local_addr().expect("its address");
    drop(listener);
    let app = super::app(&Auth::forwarding(forward(nowhere, Duration::ZERO)));
    assert_eq!(as_whom(&app, "alice").await.0, 503);
}

#[tokio::test]
async fn only_a_yes_is_remembered_and_for_the_very_same_question() {
    let (backend, address) = backend().await;
    let app = app(&Auth::forwarding(forward(address, Duration::from_secs(10))));
    let asked = || backend.asked.swap(0, Ordering::Relaxed);
    for _ in 0..5 {
        assert_eq!(as_whom(&app, "alice").await.0, 200);
    }
    assert_eq!(asked(), 1);
    for _ in 0..5 {
        assert_eq!(as_whom(&app, "no one").await.0, 401);
    }
    assert_eq!(asked(), 5, "no no is remembered");
    let alice = ("authorization", "Bearer alice");
    for (method, path, headers) in [
        ("GET", "/who", vec![alice, ("cookie", "a=b")]),
        ("GET", "/who", vec![alice, ("cookie", "a=c")]),
        ("GET", "/ws", vec![alice]),
        ("HEAD", "/who", vec![alice]),
        ("GET", "/who", vec![alice, ("host", "other.example")]),
    ] {
        assert_eq!(send(&app, method, path, &headers).await.0, 200);
        assert_eq!(asked(), 1, "{method} {path} {headers:?}");
    }
    // What is not passed on makes no difference.
    assert_eq!(
        send(&app, "GET", "/who", &[alice, ("x-other", "1")])
            .await
            .0,
        200
    );
    assert_eq!(asked(), 0);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(10)).await;
    tokio::time::resume();
    assert_eq!(as_whom(&app, "alice").await.0, 200);
    assert_eq!(asked(), 1, "ten seconds are over");
}

#[tokio::test]
async fn the_question_says_where_the_visitor_wanted_to_go() {
    let (backend, address) = backend().await;
    let app = app(&Auth::forwarding(forward(address, Duration::ZERO)));
    let headers = [
        ("authorization", "Bearer alice"),
        ("host", "uploads.example"),
        ("x-forwarded-for", "203.0.113.9"),
        ("x-secret-of-a-proxy", "1"),
    ];
    assert_eq!(
        send(&app, "GET", "/who?ticket=secret", &headers).await.0,
        200
    );
    let seen = backend.seen.lock().expect("whole").clone();
    for (name, value) in [
        ("x-forwarded-method", "GET"),
        ("x-forwarded-uri", "/who"),
        ("x-forwarded-host", "uploads.example"),
        ("x-forwarded-proto", "http"),
        // No one said that a proxy is to be believed.
        ("x-forwarded-for", "192.0.2.7"),
        ("x-upload-stage", "connect"),
    ] {
        assert_eq!(seen.get(name).expect(name), value);
    }
    assert!(!seen.contains_key("x-secret-of-a-proxy"));
}

/// Requests of HTTP/2 name their host in the address.
#[tokio::test]
async fn the_question_has_the_host_of_a_request_without_the_header() {
    let (backend, address) = backend().await;
    let app = app(&Auth::forwarding(forward(address, Duration::ZERO)));
    let alice = [("authorization", "Bearer alice")];
    let url = "http://uploads.example:8443/who";
    assert_eq!(send(&app, "GET", url, &alice).await.0, 200);
    let seen = backend.seen.lock().expect("whole").clone();
    let host = seen.get("x-forwarded-host").expect("a host");
    assert_eq!(host, "uploads.example:8443");
    assert_eq!(seen.get("x-forwarded-uri").expect("a path"), "/who");
}

/// An address that asks too much is answered before anyone is asked about it, tickets included.
#[tokio::test]
async fn an_address_that_asks_too_much_is_asked_about_no_more() {
    let (backend, address) = backend().await;
    let auth = Auth::forwarding(forward(address, Duration::ZERO));
    let mut limits = crate::Limits::default();
    limits.rates.requests_per_address = 1;
    let dir = tempfile::tempdir().expect("a directory");
    let builder = crate::Uploads::builder().data_dir(dir.path());
    let uploads = builder.limits(limits).build().expect("good options");
    let app = uploads.router_behind(|routes| auth.protect(routes));
    let alice = [("authorization", "Bearer alice")];
    let mut admitted = 0;
    for (method, path) in [("GET", "/session"), ("POST", "/ticket")] {
        let mut refused = 0;
        for _ in 0..20 {
            match send(&app, method, path, &alice).await.0 {
                429 => refused += 1,
                200..300 => admitted += 1,
                other => panic!("{other} for {path}"),
            }
        }
        assert!(refused > 0, "{path}");
    }
    assert_eq!(backend.asked.load(Ordering::Relaxed), admitted);
}

/// The method that is meant is what the application decides about, where an override counts.
#[tokio::test]
async fn the_question_is_about_the_method_that_is_meant() {
    let (backend, address) = backend().await;
    let app = app(&Auth::forwarding(forward(address, Duration::ZERO)));
    for (path, meant, expected) in [
        ("/files/slot/upload", "DELETE", "DELETE"),
        ("/files/slot/upload", "HEAD", "HEAD"),
        ("/files/slot/upload", "CONNECT", "POST"),
        ("/who", "DELETE", "POST"),
    ] {
        let headers = [
            ("authorization", "Bearer alice"),
            ("x-http-method-override", meant),
        ];
        send(&app, "POST", path, &headers).await;
        let seen = backend.seen.lock().expect("whole").clone();
        assert_eq!(seen.get("x-forwarded-method").expect("a method"), expected);
    }
}

#[tokio::test]
async fn completion_asks_again_and_waits_for_an_answer() {
    let (backend, address) = backend().await;
    let forward = Arc::new(forward(address, Duration::from_secs(10)));
    let visitor = async |who: &str| {
        let request = Request::get("/ws").header("authorization", format!("Bearer {who}"));
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        forward.admit(&parts).await.expect("let in")
    };
    let slots = {
        let defaults = crate::app::slot_options::SlotDefaults {
            writers: Arc::new(upload_writers::DiscardWriterFactory),
            data_dir: "files".into(),
            authorize: None,
            on_upload_complete: None,
            shared_store: false,
        };
        let slot = |name: &str| {
            let options = crate::SlotOptions::new();
            let slot = options.into_slot(name, &defaults).expect("good options");
            (name.to_owned(), slot)
        };
        Arc::new([slot("a"), slot("b")].into())
    };
    let alice = visitor("alice").await.narrow(Arc::clone(&slots));
    assert_eq!(alice.keys().collect::<Vec<_>>(), ["a"]);
    let bob = visitor("withdrawn").await.narrow(Arc::clone(&slots));
    assert_eq!(bob.len(), 2);
    let request = |owner: &str, stage| AuthorizeRequest {
        stage,
        owner: owner.to_owned(),
        slot: "a".to_owned(),
        client_name: String::new(),
        safe_client_name: String::new(),
        client_type: String::new(),
        client_size: Some(0),
        relative_path: None,
        meta: Map::new(),
        amendment: Arc::default(),
    };
    backend.asked.store(0, Ordering::Relaxed);
    let ask = |slots: &crate::slots::slot::Slots, owner: &str, stage| {
        let ask = slots["a"].authorize.clone().expect("asks");
        let answer = ask(request(owner, stage));
        async move { answer.await.is_ok() }
    };
    assert!(ask(&alice, "alice", AuthorizeStage::Register).await);
    assert!(ask(&bob, "bob", AuthorizeStage::Register).await);
    assert_eq!(backend.asked.load(Ordering::Relaxed), 0);
    assert!(ask(&alice, "alice", AuthorizeStage::Complete).await);
    assert!(
        !ask(&bob, "bob", AuthorizeStage::Complete).await,
        "withdrawn meanwhile"
    );
    assert!(
        !ask(&alice, "bob", AuthorizeStage::Complete).await,
        "somebody else's"
    );
    assert_eq!(backend.asked.load(Ordering::Relaxed), 3);
    let seen = backend.seen.lock().expect("whole").clone();
    assert_eq!(seen["x-upload-slot"], "a");
    // What is no answer about the upload does not end it.
    for (who, is_over) in [("ended", true), ("mute", false)] {
        let theirs = visitor(who).await.narrow(Arc::clone(&slots));
        let ask = theirs["a"].authorize.clone().expect("asks");
        let denial = ask(request("bob", AuthorizeStage::Complete)).await;
        match denial.expect_err("no yes") {
            Denial::SignedOut => assert!(is_over, "{who}"),
            Denial::Undecided => assert!(!is_over, "{who}"),
            Denial::Refused(refusal) => panic!("{who}: {refusal:?}"),
        }
    }
}
