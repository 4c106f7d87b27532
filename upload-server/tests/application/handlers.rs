//! Handlers in axum's shape.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use axum::{
    Extension, Json,
    extract::{FromRef, FromRequestParts, State},
    http::{HeaderMap, StatusCode, request::Parts},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use upload_server::{
    BuildError, EventContext, HandlerError, IntoHandlerError, Limits, NotifyError, Owner, Params,
    SlotOptions, Uploads, testing::TestError,
};
use upload_writers::DiscardWriterFactory;

use crate::{app, app_with};

#[derive(Clone, Default)]
struct Db(Arc<AtomicU32>);

#[derive(Clone)]
struct AppState {
    db: Db,
    greeting: &'static str,
}

impl FromRef<AppState> for Db {
    fn from_ref(state: &AppState) -> Self {
        state.db.clone()
    }
}

/// What a page sends.
#[derive(Deserialize)]
struct Profile {
    name: String,
    age: u8,
}

#[derive(Serialize)]
struct Saved {
    text: String,
    visits: u32,
}

/// An error of the application, with its words.
enum AppError {
    TooYoung(u8),
    Broken(std::io::Error),
}

impl IntoHandlerError for AppError {
    fn into_handler_error(self) -> HandlerError {
        match self {
            Self::TooYoung(age) => {
                HandlerError::new(format!("{age} is too young")).with_code("too_young")
            }
            Self::Broken(error) => error.into(),
        }
    }
}

async fn save(
    State(db): State<Db>,
    State(state): State<AppState>,
    Extension(city): Extension<&'static str>,
    headers: HeaderMap,
    Owner(owner): Owner,
    Params(profile): Params<Profile>,
) -> Result<Saved, AppError> {
    if profile.age < 18 {
        return Err(AppError::TooYoung(profile.age));
    }
    if profile.name == "broken" {
        let secret = std::io::Error::other("/etc/secret is full");
        return Err(AppError::Broken(secret));
    }
    let visits = db.0.fetch_add(1, Ordering::Relaxed) + 1;
    let language = headers
        .get("accept-language")
        .and_then(|it| it.to_str().ok());
    let text = format!(
        "{} {} of {owner} in {city}, {}",
        state.greeting,
        profile.name,
        language.unwrap_or("no language")
    );
    Ok(Saved { text, visits })
}

fn refused(answer: Result<Value, TestError>) -> (String, String) {
    match answer {
        Err(TestError::Refused { code, text }) => (code, text),
        other => panic!("a refusal, and not {other:?}"),
    }
}

#[tokio::test]
async fn a_handler_takes_state_extensions_headers_owner_and_typed_parameters() {
    let state = AppState {
        db: Db::default(),
        greeting: "Hello",
    };
    let db = state.db.clone();
    let app = app_with(
        |builder| builder.with_state(state).handle_event("save", save),
        |_, app| app.layer(Extension("Ghent")),
    );
    let mut ann = app.client.owner("ann").header("accept-language", "nl");
    // As a form sends it: everything is text.
    let params = json!({ "name": "Ann", "age": "42" });
    let saved = ann.event("save", &params).await.expect("saved");
    assert_eq!(
        saved,
        json!({ "text": "Hello Ann of ann in Ghent, nl", "visits": 1 })
    );
    let saved = ann.event("save", &params).await.expect("saved");
    assert_eq!(saved["visits"], 2);
    assert_eq!(db.0.load(Ordering::Relaxed), 2, "the state is shared");
}

#[tokio::test]
async fn an_error_of_the_application_is_told_in_its_words_and_others_are_not() {
    let state = AppState {
        db: Db::default(),
        greeting: "Hello",
    };
    let app = app_with(
        |builder| builder.with_state(state).handle_event("save", save),
        |_, app| app.layer(Extension("Ghent")),
    );
    let mut ann = app.client.owner("ann");
    let young = ann.event("save", json!({ "name": "Ann", "age": 7 })).await;
    assert_eq!(
        refused(young),
        ("too_young".into(), "7 is too young".into())
    );
    let broken = ann
        .event("save", json!({ "name": "broken", "age": 42 }))
        .await;
    let (code, text) = refused(broken);
    assert_eq!(code, "event_failed");
    assert!(!text.contains("secret"), "{text}");
    let misfit = ann.event("save", json!({ "name": "Ann" })).await;
    let (code, text) = refused(misfit);
    assert_eq!(code, "event_failed");
    assert!(text.contains("missing field `age`"), "{text}");
    let saved = ann.event("save", json!({ "name": "Ann", "age": 42 })).await;
    saved.expect("the connection is open");
}

/// A text of the application is bounded, and so is a code.
#[tokio::test]
async fn words_of_the_application_are_cut() {
    async fn talk() -> Result<(), HandlerError> {
        Err(HandlerError::new("é".repeat(4000)).with_code("c".repeat(100)))
    }

    let app = app(|builder| builder.handle_event("talk", talk));
    let (code, text) = refused(app.client.owner("ann").event("talk", json!({})).await);
    assert_eq!((code.len(), text.len()), (64, 1024));
}

#[tokio::test]
async fn closures_may_capture_and_move() {
    let db = Db::default();
    let counted = db.clone();
    let greeting = String::from("Hello");
    let app = app(|builder| {
        builder
            .on_event("old", async |event| Ok(json!(event.owner)))
            .on_event("moved", async move |event| {
                counted.0.fetch_add(1, Ordering::Relaxed);
                Ok(json!(event.params.len()))
            })
            .handle_event("new", async move |Owner(owner): Owner| {
                Json(format!("{greeting}, {owner}"))
            })
            .handle_event("nothing", async || {})
            .handle_event("context", async |event: EventContext| {
                Ok::<_, HandlerError>(event.event)
            })
    });
    let mut ann = app.client.owner("ann");
    for (event, wanted) in [
        ("old", json!("ann")),
        ("moved", json!(1)),
        ("moved", json!(1)),
        ("new", json!("Hello, ann")),
        ("nothing", Value::Null),
        ("context", json!("context")),
    ] {
        let result = ann.event(event, json!({ "a": 1 })).await;
        assert_eq!(result.expect("a result"), wanted, "{event}");
    }
    assert_eq!(db.0.load(Ordering::Relaxed), 2);
}

/// An extractor of the application, which sees the event in the request's extensions.
struct Shouted(String);

impl<S: Sync> FromRequestParts<S> for Shouted {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let event = parts.extensions.get::<EventContext>();
        let event = event.ok_or((StatusCode::INTERNAL_SERVER_ERROR, "/etc/secret is missing"))?;
        match event.params.get("text").and_then(Value::as_str) {
            Some(text) => Ok(Self(text.to_uppercase())),
            None => Err((StatusCode::BAD_REQUEST, "Say something")),
        }
    }
}

#[tokio::test]
async fn an_extractor_that_rejects_says_why() {
    async fn shout(Shouted(text): Shouted) -> Result<String, HandlerError> {
        Ok(text)
    }

    async fn never(Extension(_): Extension<Db>) -> Result<(), HandlerError> {
        Ok(())
    }

    let app = app(|builder| {
        builder
            .handle_event("shout", shout)
            .handle_event("never", never)
    });
    let mut ann = app.client.owner("ann");
    let shouted = ann.event("shout", json!({ "text": "hey" })).await;
    assert_eq!(shouted.expect("a result"), json!("HEY"));
    let silent = ann.event("shout", json!({})).await;
    assert_eq!(
        refused(silent),
        ("event_failed".into(), "Say something".into())
    );
    // What it says of the server stays there.
    let (_, text) = refused(ann.event("never", json!({})).await);
    assert_eq!(text, upload_proto::Code::EventFailed.text());
}

#[tokio::test]
async fn a_handler_that_panics_is_an_error_and_the_connection_stays_open() {
    async fn panics() -> Result<(), HandlerError> {
        panic!("a bug of the application")
    }

    let app = app(|builder| {
        builder
            .handle_event("panics", panics)
            .handle_event("works", async || Json(1))
    });
    let mut ann = app.client.owner("ann");
    let (code, _) = refused(ann.event("panics", json!({})).await);
    assert_eq!(code, "event_failed");
    assert_eq!(ann.event("works", json!({})).await.expect("works"), 1);
}

#[test]
fn limits_that_undo_each_other_are_errors() {
    let build = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        let slot = SlotOptions::new().writer(DiscardWriterFactory);
        let builder = Uploads::builder().secret([7; 32]).allow_upload("a", slot);
        builder.limits(limits).buffer_budget(1024).build().map(drop)
    };
    // The budget counts, whichever of the two was called first.
    build(|limits| limits.buffer_budget = 0).expect("a budget");
    let changes: [fn(&mut Limits); 4] = [
        |limits| limits.max_connections = 0,
        |limits| limits.session.calls_max = 0,
        |limits| limits.session.lease_ttl = limits.session.save_interval,
        |limits| limits.session.record_ttl = limits.session.lease_ttl / 2,
    ];
    for change in changes {
        assert!(matches!(build(change), Err(BuildError::Limits(_))));
    }
}

#[test]
fn names_that_occur_twice_are_errors() {
    let dir = tempfile::tempdir().expect("a directory");
    let twice = Uploads::builder()
        .data_dir(dir.path())
        .allow_upload("a", SlotOptions::new())
        .allow_upload("a", SlotOptions::new().max_entries(2))
        .build();
    assert!(matches!(
        twice,
        Err(BuildError::Duplicate { what: "slot", .. })
    ));
    let twice = Uploads::builder()
        .data_dir(dir.path())
        .on_event("save", async |_| Ok(Value::Null))
        .handle_event("save", async || {})
        .build();
    let error = twice.expect_err("the name occurs twice");
    assert_eq!(
        error.to_string(),
        "there are two events of the name \"save\""
    );
}

/// `event_push`: the open pages of an owner receive what the application tells them, and no others do.
#[tokio::test]
async fn an_application_tells_the_open_pages_of_an_owner() {
    let mut told = None;
    let app = app_with(
        |builder| builder.handle_event("works", async || Json(1)),
        |uploads, app| {
            told = Some(uploads.clone());
            app
        },
    );
    let uploads = told.expect("the uploads");
    assert_eq!(uploads.notify("ann", "scanned", &1).expect("short"), 0);
    let mut pages = [app.client.another(), app.client.another()].map(|page| page.owner("ann"));
    let mut bob = app.client.another().owner("bob");
    for page in pages.iter_mut().chain([&mut bob]) {
        page.event("works", json!({})).await.expect("connected");
    }
    let value = json!({ "clean": true });
    assert_eq!(uploads.notify("ann", "scanned", &value).expect("short"), 2);
    for page in &mut pages {
        let pushed = page.pushed().await.expect("told");
        assert_eq!(pushed, ("scanned".to_owned(), value.clone()));
    }
    uploads.notify("bob", "hello", &()).expect("short");
    assert_eq!(
        bob.pushed().await.expect("told"),
        ("hello".to_owned(), Value::Null)
    );
    let long = "x".repeat(300 * 1024);
    assert!(matches!(
        uploads.notify("ann", "long", &long),
        Err(NotifyError::TooLarge)
    ));

    // A page that reads nothing for a while stays connected, and misses the oldest alone.
    let text = "x".repeat(200 * 1024);
    for number in 0..100 {
        let value = json!({ "number": number, "text": text });
        uploads.notify("bob", "many", &value).expect("short");
        tokio::task::yield_now().await;
    }
    loop {
        let (event, value) = bob.pushed().await.expect("still connected");
        assert_eq!(event, "many");
        if value["number"] == 99 {
            break;
        }
    }
}
