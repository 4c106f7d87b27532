//! Requests that each sign in, and a server that cannot find out who sends them.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use axum::{
    extract::{ConnectInfo, Request},
    middleware::{Next, from_fn},
    response::Response,
};
use upload_server::{Limits, SignIn, Visitor};

use crate::wire::{LAST, MORE, OFFSET_TYPE, Server, files};

const FILES: &str = "/uploads/files/files";

/// A layer that lets alice in for so many milliseconds as the request says, and does not know where it says nothing.
pub(crate) async fn sign_in(mut request: Request, next: Next) -> Response {
    let lasts = request.headers().get("x-lasts");
    let lasts = lasts.and_then(|value| value.to_str().ok()?.parse().ok());
    let sign_in = match lasts {
        Some(ms) => {
            let until = SystemTime::now() + Duration::from_millis(ms);
            SignIn::Visitor(Arc::new(Visitor::new("alice").until(until)))
        }
        None => SignIn::Unavailable,
    };
    request.extensions_mut().insert(sign_in);
    next.run(request).await
}

pub(crate) async fn server() -> Server {
    let layer = from_fn(sign_in);
    Server::behind(|builder| builder, |router| router.layer(layer)).await
}

/// T8: a tus client takes every other answer for the end of its upload, and begins anew.
#[tokio::test]
async fn t8_head_is_423_where_nobody_knows_who_asks() {
    let server = server().await;
    let long = ("x-lasts", "60000");
    let length = ("upload-length", "6");
    let created = server.tus("POST", FILES, &[length, long], b"").await;
    let path = created.header("location").expect("a location");
    for answer in [
        server.tus("HEAD", path, &[], b"").await,
        server.ask("HEAD", path, &[], b"").await,
    ] {
        assert_eq!(answer.status, 423, "{answer:?}");
        assert!(answer.header("retry-after").is_some());
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let draft = ("upload-draft-interop-version", "8");
    let append = [OFFSET_TYPE, ("upload-offset", "0")];
    for answer in [
        server.ask("HEAD", path, &[draft], b"").await,
        server.tus("PATCH", path, &append, b"abc").await,
        server.tus("POST", FILES, &[length], b"").await,
        server.ask("POST", FILES, &[LAST], b"abc").await,
        server.ask("GET", "/uploads/slots", &[], b"").await,
        server.ask("GET", "/uploads/session", &[], b"").await,
    ] {
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
    }
    assert_eq!(server.tus("HEAD", path, &[long], b"").await.status, 200);
    assert!(server.stored().is_empty());
}

/// A page that asks for the status of its upload does not hear that there is none where that is not known.
#[tokio::test]
async fn the_status_of_an_upload_waits_for_who_asks() {
    const STATUS: &str = "/uploads/11111111-2222-3333-4444-555555555555/status";

    let server = server().await;
    let answer = server.ask("GET", STATUS, &[], b"").await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.header("retry-after").is_some());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let long = ("x-lasts", "60000");
    let answer = server.ask("GET", STATUS, &[long], b"").await;
    assert_eq!(answer.status, 404, "{answer:?}");
    // The application does not say which slots there are, so their stores are not known.
    let server = Server::with(|builder| {
        let builder = builder.owner(|_| Ok(Some("alice".to_owned())));
        builder.mount(|cx| cx.allow_upload("no/slot", files()))
    })
    .await;
    let answer = server.ask("GET", STATUS, &[], b"").await;
    assert_eq!(answer.status, 500, "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

/// T8: the same where a closure of the application does not answer.
#[tokio::test]
async fn t8_head_is_423_where_the_application_fails() {
    let fails = Arc::new(Mutex::new(false));
    let (of_owner, of_slots) = (Arc::clone(&fails), Arc::clone(&fails));
    let server = Server::with(|builder| {
        builder.owner(move |parts| {
            let fails = *of_owner.lock().expect("a lock") && parts.uri.query() == Some("owner");
            assert!(!fails, "a fault of the application");
            Ok(Some("alice".to_owned()))
        })
    })
    .await;
    let path = server.create(3).await;
    *of_slots.lock().expect("a lock") = true;
    let asked = format!("{path}?owner");
    let answer = server.tus("HEAD", &asked, &[], b"").await;
    assert_eq!(answer.status, 423, "{answer:?}");
    assert!(answer.header("retry-after").is_some());
    let answer = server.tus("DELETE", &asked, &[], b"").await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.header("retry-after").is_some());
    assert_eq!(server.offset(&path).await, 0);
}

/// T8, T40: the same where an address asks too much, which a page reads as well.
#[tokio::test]
async fn t8_head_is_423_where_an_address_asks_too_much() {
    let mut limits = Limits::default();
    limits.rates.requests_per_address = 2;
    let far = async |mut request: Request, next: Next| {
        if request.headers().contains_key("origin") {
            let peer = SocketAddr::from(([203, 0, 113, 7], 1));
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        next.run(request).await
    };
    let server = Server::behind(
        |builder| {
            let builder = builder.limits(limits);
            builder.allowed_origins(["https://app.example"])
        },
        |router| router.layer(from_fn(far)),
    )
    .await;
    let path = server.create(3).await;
    let from = [("origin", "https://app.example")];
    let mut refused = Vec::new();
    for (method, is_tus, status) in [
        ("HEAD", true, 423),
        ("PATCH", true, 503),
        ("POST", false, 429),
    ] {
        let ask = async || match is_tus {
            true => server.tus(method, &path, &from, b"").await,
            false => server.ask(method, &path, &from, b"").await,
        };
        let answer = loop {
            let answer = ask().await;
            if answer.header("retry-after").is_some() {
                break answer;
            }
        };
        assert_eq!(answer.status, status, "{answer:?}");
        refused.push(answer);
    }
    for answer in refused {
        let allowed = answer.header("access-control-allow-origin");
        assert_eq!(allowed, Some("https://app.example"));
    }
}

/// T8: the same where an owner asks too much, by whatever door.
#[tokio::test]
async fn t8_head_is_423_where_an_owner_asks_too_much() {
    let mut limits = Limits::default();
    limits.rates.requests_per_owner = 2;
    let server = Server::with(|builder| {
        let builder = builder.limits(limits);
        builder.owner(|_| Ok(Some("alice".to_owned())))
    })
    .await;
    let path = server.create(3).await;
    let ask = async |method: &str| match method {
        "HEAD" => server.tus("HEAD", &path, &[], b"").await,
        "PATCH" => server.append(&path, 0, b"").await,
        _ => server.ask("POST", FILES, &[], b"abc").await,
    };
    for (method, status) in [("HEAD", 423), ("PATCH", 503), ("POST", 503)] {
        let answer = loop {
            let answer = ask(method).await;
            if answer.header("retry-after").is_some() {
                break answer;
            }
        };
        assert_eq!(answer.status, status, "{answer:?}");
    }
}

/// The application is asked about what a request does, whatever method carries it.
#[tokio::test]
async fn the_application_sees_the_method_that_is_meant() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sees = Arc::clone(&seen);
    let server = Server::with(|builder| {
        builder.owner(move |parts| {
            let mut seen = sees.lock().expect("a lock");
            seen.push(parts.method.to_string());
            Ok(Some("alice".to_owned()))
        })
    })
    .await;
    let path = server.create(3).await;
    let meant = ("x-http-method-override", "DELETE");
    assert_eq!(server.tus("POST", &path, &[meant], b"").await.status, 204);
    let seen = seen.lock().expect("a lock");
    assert_eq!(seen.last().map(String::as_str), Some("DELETE"), "{seen:?}");
    assert!(
        !seen.iter().skip(1).any(|method| method == "POST"),
        "{seen:?}"
    );
}

/// R6: only its client ends an upload, and be it empty.
#[tokio::test]
async fn r6_an_empty_creation_is_no_end() {
    let server = Server::start().await;
    let created = server
        .ask("POST", FILES, &[MORE, ("upload-length", "0")], b"")
        .await;
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(created.header("upload-complete"), Some("?0"));
    assert!(server.stored().is_empty());
    let path = created.header("location").expect("a location");
    let partial = ("content-type", "application/partial-upload");
    let headers = [partial, LAST, ("upload-offset", "0")];
    let ended = server.ask("PATCH", path, &headers, b"").await;
    assert_eq!(ended.status, 200, "{ended:?}");
    assert_eq!(server.stored(), [b""]);
}

/// A ready server that asks another one about visitors, which lets alice in and no one else.
#[cfg(feature = "cli")]
async fn asking() -> Server {
    use axum::{
        Json, Router,
        http::{HeaderMap, StatusCode},
        response::IntoResponse,
        routing::get,
    };
    use tokio::net::TcpListener;
    use upload_server::config::Config;

    let who = async |headers: HeaderMap| match headers.get("authorization") {
        Some(value) if value == "Bearer alice" => {
            Json(serde_json::json!({ "owner": "alice" })).into_response()
        }
        _ => StatusCode::FORBIDDEN.into_response(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let asked = listener.local_addr().expect("an address");
    let backend = Router::new().route("/who", get(who));
    tokio::spawn(async move { axum::serve(listener, backend).await });
    let dir = Arc::new(tempfile::tempdir().expect("a directory"));
    let file = dir.path().join(".uploads.toml");
    let text = format!(
        "data_dir = {:?}\nallowed_origins = [\"https://app.example\"]\n\
         [state]\nstore = \"memory\"\n\
         [slots.files]\nresumable = true\nmax_entries = 100\n\
         [auth.forward]\nurl = \"http://{asked}/who\"\n",
        dir.path(),
    );
    std::fs::write(&file, text).expect("written");
    let config = Config::load(Some(&file)).expect("a good configuration");
    let server = config.open().await.expect("a server");
    let app = Router::new().nest("/uploads", server.router());
    let uploads = server.uploads.clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, app).await });
    Server {
        address,
        uploads,
        dir,
    }
}

/// T40, T43, T46, R22: a visitor who may not upload hears it in the words of the door, and never as from a firewall.
#[cfg(feature = "cli")]
#[tokio::test]
async fn t43_a_sign_in_that_refuses_does_so_in_the_words_of_the_door() {
    let server = asking().await;
    let alice = ("authorization", "Bearer alice");
    let length = ("upload-length", "8000000");
    let created = server.tus("POST", FILES, &[length, alice], b"").await;
    assert_eq!(created.status, 201, "{created:?}");
    let path = created.header("location").expect("a location");
    let mallory = ("authorization", "Bearer mallory");
    let page = ("origin", "https://app.example");
    let tus = ("tus-resumable", "1.0.0");
    let draft = ("upload-draft-interop-version", "8");
    let partial = ("content-type", "application/partial-upload");
    let at = ("upload-offset", "0");
    let body = crate::wire::pattern(8_000_000);
    for (method, path, headers, body, problem) in [
        ("PATCH", path, &[tus, OFFSET_TYPE, at][..], &*body, false),
        ("PATCH", path, &[draft, partial, MORE, at], &*body, true),
        ("POST", FILES, &[], &*body, false),
        ("HEAD", path, &[tus], b"", false),
        ("GET", "/uploads/slots", &[], b"", true),
    ] {
        let headers = [headers, &[mallory, page]].concat();
        let answer = server.ask(method, path, &headers, body).await;
        assert_eq!(answer.status, 403, "{answer:?}");
        assert_eq!(answer.header("upload-code"), Some("forbidden"));
        let allowed = answer.header("access-control-allow-origin");
        assert_eq!(allowed, Some("https://app.example"), "{answer:?}");
        let is_tus = headers.contains(&tus);
        assert_eq!(answer.header("tus-resumable").is_some(), is_tus);
        let kind = answer.header("content-type");
        let is_problem = kind == Some("application/problem+json");
        assert_eq!(is_problem, problem, "{answer:?}");
    }
    let head = server.tus("HEAD", path, &[alice], b"").await;
    assert_eq!(head.number("upload-offset"), 0, "nothing changed");
    let headers = [mallory, page];
    let answer = server.ask("GET", "/uploads/session", &headers, b"").await;
    assert_eq!((answer.status, answer.header("upload-code")), (403, None));
}
