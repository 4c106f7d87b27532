//! Finished uploads in the hands of handlers: of an event, and of an ordinary form or JSON request.

use std::{
    fs,
    path::{Path, PathBuf},
};

use axum::{
    Router,
    extract::{FromRef, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use upload_server::{
    Entries, HandlerError, LendError, Owner, SlotOptions, Submitted, TakeError, Uploads,
    testing::{TestClient, Uploaded},
};

use crate::{App, app, app_with};

/// Keeps what is called `keep…`, refuses what is called `refuse…`, and fails at what is called `fail…`.
async fn sort(State(dir): State<PathBuf>, entries: Entries) -> Result<u32, HandlerError> {
    let mut kept = 0;
    for entry in entries.of("notes").await? {
        let name = entry.safe_client_name();
        if name.starts_with("refuse") {
            entry.refuse().await?;
        } else if name.starts_with("fail") {
            return Err(HandlerError::new("It failed"));
        } else {
            entry.persist(dir.join("kept").join(name)).await?;
            kept += 1;
        }
    }
    Ok(kept)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("listed");
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
    let mut names: Vec<String> = entries
        .map(|entry| name(entry).into_string().expect("text"))
        .collect();
    names.sort();
    names
}

fn sorting() -> (App, TempDir) {
    let kept = TempDir::new().expect("a directory");
    let state = kept.path().to_owned();
    let app = app(|builder| {
        builder
            .with_state(state)
            .handle_event("sort", sort)
            .handle_event("typo", async |entries: Entries| {
                let entries = entries.of("nots").await?;
                Ok::<_, HandlerError>(entries.len())
            })
    });
    (app, kept)
}

#[tokio::test]
async fn each_entry_is_settled_alone_and_a_failure_gives_the_others_back() {
    let (app, kept) = sorting();
    let mut ann = app.client.owner("ann");
    for name in ["keep-1.txt", "refuse.txt", "fail.txt", "keep-2.txt"] {
        ann.upload("notes", name, name).await.expect("stored");
    }
    let failed = ann.event("sort", json!({})).await.expect_err("it fails");
    assert_eq!(failed.to_string(), "refused with event_failed: It failed");
    assert_eq!(names(&kept.path().join("kept")), ["keep-1.txt"]);
    // What was refused is gone; what was neither kept nor refused waits.
    let left = names(&app.dir.path().join("notes"));
    assert_eq!(left.len(), 2, "{left:?}");
    let failed = ann
        .event("sort", json!({}))
        .await
        .expect_err("it fails again");
    assert_eq!(failed.code(), Some("event_failed"));
    assert_eq!(names(&app.dir.path().join("notes")).len(), 2);
}

#[tokio::test]
async fn a_slot_that_is_not_there_is_an_error_and_no_empty_list() {
    let (app, _kept) = sorting();
    let refused = app.client.owner("ann").event("typo", json!({})).await;
    assert_eq!(
        refused.expect_err("no such slot").code(),
        Some("event_failed")
    );
}

/// The state of an ordinary app.
#[derive(Clone)]
struct Site {
    uploads: Uploads,
    dir: PathBuf,
}

impl FromRef<Site> for Uploads {
    fn from_ref(site: &Site) -> Self {
        site.uploads.clone()
    }
}

impl FromRef<Site> for PathBuf {
    fn from_ref(site: &Site) -> Self {
        site.dir.clone()
    }
}

#[derive(Deserialize)]
struct Profile {
    name: String,
    age: Option<u8>,
}

struct Failed(LendError);

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let status = match self.0 {
            LendError::Take(TakeError::Taken) => StatusCode::GONE,
            LendError::Take(TakeError::Unknown) => StatusCode::NOT_FOUND,
            _ => StatusCode::BAD_REQUEST,
        };
        status.into_response()
    }
}

async fn profile(State(dir): State<PathBuf>, form: Submitted<Profile>) -> Result<String, Failed> {
    let mut saved = 0;
    for note in form.of("notes").await.map_err(Failed)? {
        let target = dir.join("saved").join(note.safe_client_name());
        note.persist(target).await.expect("saved");
        saved += 1;
    }
    let Profile { name, age } = form.fields;
    Ok(format!("{saved} of {name}, {age:?}, {}", form.owner))
}

async fn waiting(
    State(uploads): State<Uploads>,
    Owner(owner): Owner,
) -> Result<axum::Json<Vec<Value>>, StatusCode> {
    let list = uploads.list(&owner).await;
    let list = list.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let values = list.iter().map(serde_json::to_value);
    let values = values.collect::<Result<_, _>>();
    values
        .map(axum::Json)
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

fn site() -> (App, TempDir) {
    let saved = TempDir::new().expect("a directory");
    let dir = saved.path().to_owned();
    let app = app_with(
        |builder| builder.allow_upload("other", SlotOptions::new()),
        |uploads, app| {
            let uploads = uploads.clone();
            let routes = Router::new()
                .route("/profile", post(profile))
                .route("/waiting", get(waiting))
                .with_state(Site { uploads, dir });
            app.merge(routes)
        },
    );
    (app, saved)
}

async fn stored(client: &mut TestClient, slot: &str, name: &str) -> Uploaded {
    client.upload(slot, name, name).await.expect("stored")
}

#[tokio::test]
async fn a_plain_form_takes_the_uploads_that_it_names() {
    let (app, saved) = site();
    let mut ann = app.client.another().owner("ann");
    let mut refs = Vec::new();
    for name in ["a.txt", "b.txt", "c.txt"] {
        refs.push(stored(&mut ann, "notes", name).await.upload.to_string());
    }
    // The tab that uploaded is gone; the form comes from another one of the same owner.
    drop(ann);
    let ann = app.client.another().owner("ann");
    let listed = ann.get("/waiting").await.expect("an answer").json();
    assert_eq!(listed.as_array().map(Vec::len), Some(3));
    assert!(
        listed.to_string().contains("\"client_name\":\"b.txt\""),
        "{listed}"
    );
    let fields = [
        ("name", "Ann"),
        ("age", "42"),
        ("notes", &refs[0]),
        ("notes", &refs[1]),
    ];
    let answer = ann.form("/profile", &fields).await.expect("an answer");
    assert_eq!(answer.text(), "2 of Ann, Some(42), ann");
    assert_eq!(names(&saved.path().join("saved")), ["a.txt", "b.txt"]);
    // As JSON, and what was taken is not taken again.
    let taken = ann
        .post("/profile", json!({ "name": "Ann", "notes": refs }))
        .await;
    assert_eq!(taken.expect("an answer").status, StatusCode::GONE);
    let body = json!({ "name": "Ann", "notes": refs[2] });
    let answer = ann.post("/profile", body).await.expect("an answer");
    assert_eq!(answer.text(), "1 of Ann, None, ann");
    let none = ann
        .form("/profile", &[("name", "Ann"), ("notes", "")])
        .await;
    assert_eq!(none.expect("an answer").text(), "0 of Ann, None, ann");
    let listed = ann.get("/waiting").await.expect("an answer").json();
    assert_eq!(listed, json!([]));
}

#[tokio::test]
async fn a_form_takes_nothing_of_others_and_of_no_other_slot() {
    let (app, saved) = site();
    let mut ann = app.client.another().owner("ann");
    let note = stored(&mut ann, "notes", "a.txt").await.upload.to_string();
    let other = stored(&mut ann, "other", "b.txt").await.upload.to_string();
    let named = |upload: &str| json!({ "name": "x", "notes": upload });
    let bob = app.client.another().owner("bob");
    let stolen = bob.post("/profile", named(&note)).await.expect("an answer");
    assert_eq!(stolen.status, StatusCode::NOT_FOUND);
    let misplaced = ann
        .post("/profile", named(&other))
        .await
        .expect("an answer");
    assert_eq!(misplaced.status, StatusCode::NOT_FOUND);
    let no_ref = ann
        .post("/profile", named("../x"))
        .await
        .expect("an answer");
    assert_eq!(no_ref.status, StatusCode::BAD_REQUEST);
    let unknown = named(&uuid::Uuid::from_u128(7).to_string());
    let unknown = ann.post("/profile", unknown).await.expect("an answer");
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let stranger = app.client.another().post("/profile", named(&note)).await;
    assert_eq!(
        stranger.expect("an answer").status,
        StatusCode::UNAUTHORIZED
    );
    let foreign = app
        .client
        .another()
        .owner("ann")
        .header("origin", "https://evil.example");
    let foreign = foreign
        .post("/profile", named(&note))
        .await
        .expect("an answer");
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    let misfit = ann
        .post("/profile", json!({ "notes": note }))
        .await
        .expect("an answer");
    assert_eq!(misfit.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(!saved.path().join("saved").exists());
    let kept = ann.post("/profile", named(&note)).await.expect("an answer");
    assert_eq!(kept.status, StatusCode::OK, "it still waits");
}
