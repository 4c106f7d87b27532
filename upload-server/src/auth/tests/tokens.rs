//! Good tokens, and a table of bad ones.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::{
    super::{jwks::Source, jwt::Jwt, jwt::JwtParts},
    keys::{SECRET, Signer, claims, in_seconds},
    *,
};

/// Holds tokens to the issuer and audience of good ones.
fn parts() -> JwtParts<'static> {
    JwtParts {
        issuer: Some("us"),
        audience: Some("uploads"),
        leeway: Duration::from_secs(5),
        refresh: Duration::from_secs(600),
        cookie: Some("token"),
        ..JwtParts::default()
    }
}

fn with_secret() -> Router {
    let parts = JwtParts {
        secret: Some(SECRET),
        ..parts()
    };
    app(&Auth::with_tokens(Jwt::new(parts, names()).expect("keys")))
}

/// A server of keys that counts how often it is asked.
struct Published {
    document: Mutex<Option<Value>>,
    asked: AtomicUsize,
}

impl Published {
    async fn serve(document: Option<Value>) -> (Arc<Self>, Router) {
        let published = Arc::new(Self {
            document: Mutex::new(document),
            asked: AtomicUsize::new(0),
        });
        let ours = Arc::clone(&published);
        let answer = async move || {
            ours.asked.fetch_add(1, Ordering::Relaxed);
            let document = ours.document.lock().expect("whole").clone();
            match document {
                Some(document) => axum::Json(document).into_response(),
                None => StatusCode::BAD_GATEWAY.into_response(),
            }
        };
        let address = served(Router::new().route("/jwks.json", get(answer))).await;
        let uri = format!("http://{address}/jwks.json").parse();
        let parts = JwtParts {
            jwks: Some(Source::At(uri.expect("an address"))),
            ..parts()
        };
        let jwt = Jwt::new(parts, names()).expect("no key to read");
        (published, app(&Auth::with_tokens(jwt)))
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

async fn with_token(app: &Router, token: &str) -> u16 {
    let value = format!("Bearer {token}");
    send(app, "GET", "/who", &[("authorization", &value)])
        .await
        .0
}

fn secret() -> Signer {
    Signer::Hmac(SECRET.to_vec())
}

#[tokio::test]
async fn each_algorithm_signs_in_with_keys_of_files_and_of_a_document() {
    let dir = tempfile::tempdir().expect("a directory");
    let good = claims(json!({}));
    assert_eq!(
        with_token(&with_secret(), &secret().token(&good)).await,
        200
    );
    for (name, signer) in [
        ("rsa", Signer::rsa()),
        ("ec", Signer::ec()),
        ("ed", Signer::ed()),
    ] {
        let file = dir.path().join(name);
        std::fs::write(&file, signer.public_pem()).expect("written");
        let keys = [file];
        let by_file = JwtParts {
            public_keys: &keys,
            ..parts()
        };
        let by_file = app(&Auth::with_tokens(
            Jwt::new(by_file, names()).expect("a key"),
        ));
        assert_eq!(
            with_token(&by_file, &signer.token(&good)).await,
            200,
            "{name}"
        );
        let document = json!({ "keys": [signer.jwk(name)] });
        let (_, by_document) = Published::serve(Some(document.clone())).await;
        let named = signer.named_token(name, &good);
        for token in [named.clone(), signer.token(&good)] {
            assert_eq!(with_token(&by_document, &token).await, 200, "{name}");
        }
        let file = dir.path().join("jwks.json");
        std::fs::write(&file, document.to_string()).expect("written");
        let by_kept = JwtParts {
            jwks: Some(Source::File(file)),
            ..parts()
        };
        let by_kept = app(&Auth::with_tokens(
            Jwt::new(by_kept, names()).expect("a path"),
        ));
        assert_eq!(with_token(&by_kept, &named).await, 200, "{name}");
    }
}

#[tokio::test]
async fn forty_bad_tokens_sign_no_one_in() {
    let app = with_secret();
    let ours = secret();
    let good = ours.token(&claims(json!({})));
    assert_eq!(with_token(&app, &good).await, 200);
    let parts: Vec<_> = good.split('.').collect();
    let [header, body, signature] = parts[..] else {
        panic!("a token has three parts");
    };
    let with = |other: Value| ours.token(&claims(other));
    let without = |name: &str| {
        let mut claims = claims(json!({}));
        claims.as_object_mut().expect("an object").remove(name);
        ours.token(&claims)
    };
    let under = |header: Value| ours.token_with(&header, &claims(json!({})));
    let good_claims = claims(json!({})).to_string();
    // A public key as everybody knows it, treated as a secret.
    let confused = Signer::Hmac(Signer::rsa().public_pem().into_bytes());
    let table = [
        ("nothing", String::new()),
        ("a word", "alice".to_owned()),
        ("two parts", format!("{header}.{body}")),
        ("four parts", format!("{good}.{signature}")),
        ("no signature", format!("{header}.{body}.")),
        ("no claims", format!("{header}..{signature}")),
        ("no header", format!(".{body}.{signature}")),
        ("a cut signature", good[..good.len() - 4].to_owned()),
        ("a padded signature", format!("{good}=")),
        ("a signature of another token", {
            let other = with(json!({ "sub": "bob" }));
            let other = other.rsplit('.').next().expect("a signature").to_owned();
            format!("{header}.{body}.{other}")
        }),
        ("claims of another token", {
            let other = with(json!({ "sub": "bob" }));
            let other = other.split('.').nth(1).expect("claims").to_owned();
            format!("{header}.{other}.{signature}")
        }),
        ("alg none", under(json!({ "alg": "none" }))),
        ("alg none without a signature", {
            let none = under(json!({ "alg": "none" }));
            none.rsplit_once('.').expect("a signature").0.to_owned() + "."
        }),
        ("alg NONE", under(json!({ "alg": "NONE" }))),
        ("alg missing", under(json!({ "typ": "JWT" }))),
        ("alg empty", under(json!({ "alg": "" }))),
        ("alg of another size", under(json!({ "alg": "HS512" }))),
        (
            "alg of RSA under a secret's signature",
            under(json!({ "alg": "RS256" })),
        ),
        ("alg unknown", under(json!({ "alg": "XS256" }))),
        (
            "another secret",
            Signer::Hmac(vec![7; 32]).token(&claims(json!({}))),
        ),
        ("RSA", Signer::rsa().token(&claims(json!({})))),
        ("P-256", Signer::ec().token(&claims(json!({})))),
        ("Ed25519", Signer::ed().token(&claims(json!({})))),
        (
            "a public key treated as a secret",
            confused.token(&claims(json!({}))),
        ),
        ("expired", with(json!({ "exp": in_seconds(-60) }))),
        ("expired long ago", with(json!({ "exp": 1 }))),
        ("without an end", without("exp")),
        ("an end in words", with(json!({ "exp": "tomorrow" }))),
        ("an end that is null", with(json!({ "exp": null }))),
        ("an end below none", with(json!({ "exp": -1 }))),
        ("not yet", with(json!({ "nbf": in_seconds(60) }))),
        ("not yet, in words", with(json!({ "nbf": "tomorrow" }))),
        ("for somebody else", with(json!({ "aud": "mail" }))),
        ("for others", with(json!({ "aud": ["mail", "shop"] }))),
        ("for no one", without("aud")),
        ("by somebody else", with(json!({ "iss": "them" }))),
        ("by no one", without("iss")),
        ("without an owner", without("sub")),
        ("an empty owner", with(json!({ "sub": "" }))),
        (
            "an owner of 256 bytes",
            with(json!({ "sub": "x".repeat(256) })),
        ),
        ("an owner that is a list", with(json!({ "sub": ["alice"] }))),
        (
            "slots that are a number",
            with(json!({ "upload_slots": 1 })),
        ),
        (
            "a size in words",
            with(json!({ "upload_max_file_size": "much" })),
        ),
        (
            "a size below none",
            with(json!({ "upload_max_file_size": -1 })),
        ),
        (
            "a count that is a fraction",
            with(json!({ "upload_max_uploads": 1.5 })),
        ),
        (
            "claims that are a list",
            ours.token_of(r#"{"alg":"HS256"}"#, "[]"),
        ),
        (
            "claims that are cut",
            ours.token_of(r#"{"alg":"HS256"}"#, &good_claims[..20]),
        ),
        ("huge", with(json!({ "more": "x".repeat(9_000) }))),
        (
            "an unknown key",
            ours.named_token("other", &claims(json!({ "exp": 1 }))),
        ),
    ];
    assert!(table.len() >= 40, "{}", table.len());
    for (name, token) in &table {
        assert_eq!(with_token(&app, token).await, 401, "{name}");
        assert_eq!(
            send(
                &app,
                "GET",
                "/who",
                &[("cookie", &format!("token={token}"))]
            )
            .await
            .0,
            401,
            "{name}, in a cookie"
        );
        // In an address only tickets count.
        if !token.is_empty() {
            let path = format!("/ws?token={token}");
            assert_eq!(send(&app, "GET", &path, &[]).await.0, 401, "{name}");
        }
    }
    let path = format!("/ws?token={good}");
    assert_eq!(
        send(&app, "GET", &path, &[]).await.0,
        401,
        "a good one in an address"
    );
}

#[tokio::test]
async fn a_token_is_read_from_one_header_or_one_cookie() {
    let app = with_secret();
    let alice = secret().token(&claims(json!({})));
    let bob = secret().token(&claims(json!({ "sub": "bob" })));
    let bearer = |token: &str| format!("bearer  {token}");
    let (alices, bobs) = (bearer(&alice), bearer(&bob));
    let cookie = format!("a=b; token={alice}; c=\u{e4}");
    for (headers, expected) in [
        (vec![("authorization", &*alices)], (200, "alice")),
        (vec![("cookie", &*cookie)], (200, "alice")),
        (
            vec![("authorization", &*bobs), ("cookie", &*cookie)],
            (200, "bob"),
        ),
        (
            vec![("authorization", &*bobs), ("authorization", &*alices)],
            (401, ""),
        ),
        (
            vec![("authorization", "Basic YTpi"), ("cookie", &*cookie)],
            (401, ""),
        ),
        (
            vec![("cookie", &*cookie), ("cookie", &*format!("token={bob}"))],
            (401, ""),
        ),
        (vec![], (401, "")),
    ] {
        let (status, who) = send(&app, "GET", "/who", &headers).await;
        assert_eq!((status, &*who), expected, "{headers:?}");
    }
}

#[tokio::test]
async fn a_socket_opens_with_a_ticket_once() {
    let app = with_secret();
    let value = format!("Bearer {}", secret().token(&claims(json!({}))));
    let signed = [("authorization", &*value)];
    assert_eq!(send(&app, "POST", "/ticket", &[]).await.0, 401);
    let (status, answer) = send(&app, "POST", "/ticket", &signed).await;
    assert_eq!(status, 200);
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer["expires_in"], 60);
    let path = format!("/ws?token={}", answer["ticket"].as_str().expect("text"));
    // Nowhere but where a socket is opened.
    let elsewhere = path.replace("/ws", "/who");
    assert_eq!(send(&app, "GET", &elsewhere, &[]).await.0, 401);
    assert_eq!(
        send(&app, "GET", &path, &[]).await,
        (200, "alice".to_owned())
    );
    assert_eq!(send(&app, "GET", &path, &[]).await.0, 401, "used");
}

#[tokio::test]
async fn unknown_keys_cause_one_look_in_half_a_minute() {
    let (first, second) = (Signer::ec(), Signer::ed());
    let document = json!({ "keys": [first.jwk("first")] });
    let (published, app) = Published::serve(Some(document)).await;
    let good = claims(json!({}));
    let token = first.named_token("first", &good);
    assert_eq!(with_token(&app, &token).await, 200);
    let unknown = (0..50).map(|id| second.named_token(&format!("{id}"), &good));
    for token in unknown {
        assert_eq!(with_token(&app, &token).await, 401);
    }
    assert_eq!(published.asked(), 1);
    let document = json!({ "keys": [second.jwk("second"), json!({ "kty": "oct", "k": "AAAA" })] });
    *published.document.lock().expect("whole") = Some(document);
    let renewed = second.named_token("second", &good);
    assert_eq!(with_token(&app, &renewed).await, 401, "not yet");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    tokio::time::resume();
    assert_eq!(with_token(&app, &renewed).await, 200);
    assert_eq!(
        with_token(&app, &token).await,
        401,
        "the first key was withdrawn"
    );
    assert_eq!(published.asked(), 2);
}

#[tokio::test]
async fn without_any_key_nothing_can_be_told() {
    let (published, app) = Published::serve(None).await;
    let key = Signer::rsa();
    let token = key.named_token("a", &claims(json!({})));
    for _ in 0..20 {
        assert_eq!(with_token(&app, &token).await, 503);
    }
    assert_eq!(published.asked(), 1);
    // Nor can a secret's signature be one of published keys.
    assert_eq!(
        with_token(&app, &secret().token(&claims(json!({})))).await,
        401
    );
    *published.document.lock().expect("whole") = Some(json!({ "keys": [key.jwk("a")] }));
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    tokio::time::resume();
    assert_eq!(with_token(&app, &token).await, 200);
    *published.document.lock().expect("whole") = None;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(3600)).await;
    tokio::time::resume();
    // What was known holds for a day.
    assert_eq!(with_token(&app, &token).await, 200);
}
