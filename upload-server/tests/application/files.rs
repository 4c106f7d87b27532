//! Where finished files go, and how they are given out.

use std::fs;

use axum::http::{Method, StatusCode};
use upload_server::{BuildError, SlotError, SlotOptions, Uploads, testing::TestClient};
use upload_writers::DiscardWriterFactory;

use crate::{App, app, app_with};

/// Serves a public slot `notes`, and `diary`, whose files are in folders of their owners.
fn served() -> App {
    app_with(
        |builder| {
            let diary = SlotOptions::new().folder(|owner, _| format!("users/{owner}"));
            builder.allow_upload("diary", diary)
        },
        |uploads, app| {
            let public = uploads.public_files(["notes"]).expect("slots of files");
            let owned = uploads.owned_files(["diary"], |owner| format!("users/{owner}"));
            app.nest("/public", public)
                .nest("/mine", owned.expect("a slot with folders"))
        },
    )
}

/// Uploads a file and returns its place below the data directory.
async fn store(client: &mut TestClient, slot: &str, name: &str, text: &str) -> String {
    let stored = client.upload(slot, name, text).await.expect("stored");
    stored.result["path"].as_str().expect("a path").to_owned()
}

#[tokio::test]
async fn a_slot_chooses_a_folder_for_each_owner() {
    let app = served();
    for owner in ["ann", "bob"] {
        let mut client = app.client.another().owner(owner);
        let path = store(&mut client, "diary", "day.txt", owner).await;
        assert!(path.starts_with(&format!("users/{owner}/diary/")), "{path}");
        let stored = fs::read_to_string(app.dir.path().join(path)).expect("stored");
        assert_eq!(stored, owner);
    }
}

#[tokio::test]
async fn a_folder_that_leads_elsewhere_stores_nothing() {
    let app = app(|builder| {
        let astray = SlotOptions::new().folder(|_, _| "../elsewhere".to_owned());
        let panics = SlotOptions::new().folder(|_, _| panic!("a bug of the application"));
        builder
            .allow_upload("astray", astray)
            .allow_upload("panics", panics)
    });
    let mut ann = app.client.owner("ann");
    for slot in ["astray", "panics"] {
        let refused = ann
            .upload(slot, "a.txt", "text")
            .await
            .expect_err("refused");
        assert_eq!(refused.code(), Some("storage_failed"), "{slot}");
    }
    let stored = ann.upload("notes", "a.txt", "text").await;
    stored.expect("the connection is open");
}

#[tokio::test]
async fn a_file_is_given_out_so_that_no_browser_runs_it() {
    let app = served();
    let mut ann = app.client.another().owner("ann");
    let path = store(&mut ann, "notes", "résumé.txt", "0123456789").await;
    let url = format!("/public/{path}");
    let got = app.client.get(&url).await.expect("an answer");
    assert_eq!(
        (got.status, got.text().as_str()),
        (StatusCode::OK, "0123456789")
    );
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox"),
        ("content-type", "text/plain"),
        ("content-length", "10"),
        ("accept-ranges", "bytes"),
        (
            "content-disposition",
            "inline; filename=\"r_sum_.txt\"; filename*=UTF-8''r%C3%A9sum%C3%A9.txt",
        ),
    ] {
        assert_eq!(got.headers[name], value, "{name}");
    }
    let head = app
        .client
        .send(Method::HEAD, &url)
        .await
        .expect("an answer");
    assert_eq!(head.headers["content-length"], "10");
    assert!(head.body.is_empty());
}

#[tokio::test]
async fn downloads_resume_and_are_asked_for_changes() {
    let app = served();
    let mut ann = app.client.another().owner("ann");
    let path = store(&mut ann, "notes", "a.txt", "0123456789").await;
    let url = format!("/public/{path}");
    let got = app.client.get(&url).await.expect("an answer");
    let tag = got.headers["etag"].to_str().expect("text").to_owned();
    let modified = got.headers["last-modified"]
        .to_str()
        .expect("text")
        .to_owned();
    let weak = format!("\"other\", W/{tag}");
    let old = "Wed, 01 Jan 2020 00:00:00 GMT";
    let part = "bytes=2-4";
    for (headers, status, body) in [
        (&[("range", part)][..], 206, "234"),
        (&[("range", "bytes=-2")], 206, "89"),
        (&[("range", "bytes=10-")], 416, ""),
        (&[("range", "bytes=0-1,4-5")], 200, "0123456789"),
        (&[("range", part), ("if-range", &tag)], 206, "234"),
        (
            &[("range", part), ("if-range", "\"other\"")],
            200,
            "0123456789",
        ),
        (&[("if-none-match", &tag)], 304, ""),
        (&[("if-none-match", &weak)], 304, ""),
        (&[("if-none-match", "*")], 304, ""),
        (&[("if-none-match", "\"other\"")], 200, "0123456789"),
        (&[("if-modified-since", &modified)], 304, ""),
        (&[("if-modified-since", old)], 200, "0123456789"),
        (&[("if-match", "\"other\"")], 412, ""),
        (&[("if-match", &tag)], 200, "0123456789"),
        (&[("if-unmodified-since", old)], 412, ""),
    ] {
        let mut client = app.client.another();
        for (name, value) in headers {
            client = client.header(name, value);
        }
        let got = client.get(&url).await.expect("an answer");
        assert_eq!(
            (got.status.as_u16(), got.text().as_str()),
            (status, body),
            "{headers:?}"
        );
        assert_eq!(got.headers["x-content-type-options"], "nosniff");
    }
    let got = app.client.another().header("range", part).get(&url).await;
    assert_eq!(
        got.expect("an answer").headers["content-range"],
        "bytes 2-4/10"
    );
}

/// No listing, nothing hidden, no way out, and nothing of another owner.
#[tokio::test]
async fn only_what_was_uploaded_is_there() {
    let app = served();
    let mut ann = app.client.another().owner("ann");
    let path = store(&mut ann, "diary", "day.txt", "mine").await;
    let (_, file) = path.rsplit_once('/').expect("a name");
    let mine = format!("/mine/diary/{file}");
    assert_eq!(ann.get(&mine).await.expect("an answer").text(), "mine");
    let note = store(&mut ann, "notes", "a.txt", "text").await;
    let (_, note) = note.rsplit_once('/').expect("a name");
    fs::write(app.dir.path().join("notes/plain.txt"), "not uploaded").expect("written");
    let link = format!("{}-link.txt", uuid::Uuid::nil());
    std::os::unix::fs::symlink("/etc/passwd", app.dir.path().join("notes").join(&link))
        .expect("linked");
    let link = format!("/public/notes/{link}");
    let hidden = "/public/notes/..%2F.secret";
    let other_slot = format!("/public/diary/{file}");
    let not_mine = format!("/mine/notes/{note}");
    for url in [
        "/public/notes/",
        "/public/notes",
        "/public/",
        "/public/notes/plain.txt",
        "/public/notes/.secret",
        "/public/.tmp/x",
        "/public/notes/%2Fetc%2Fpasswd",
        &link,
        hidden,
        &other_slot,
        &not_mine,
    ] {
        let got = ann.get(url).await.expect("an answer");
        assert_eq!(got.status, StatusCode::NOT_FOUND, "{url}");
    }
    for stranger in [app.client.another(), app.client.another().owner("bob")] {
        let got = stranger.get(&mine).await.expect("an answer");
        assert_eq!(got.status, StatusCode::NOT_FOUND);
    }
}

#[test]
fn slots_that_cannot_be_given_out_are_errors() {
    let dir = tempfile::tempdir().expect("a directory");
    let uploads = Uploads::builder()
        .data_dir(dir.path())
        .allow_upload("files", SlotOptions::new())
        .allow_upload("nowhere", SlotOptions::new().writer(DiscardWriterFactory))
        .build()
        .expect("the uploads");
    let unknown = uploads.public_files(["flies"]);
    assert!(matches!(unknown, Err(BuildError::UnknownSlot(name)) if name == "flies"));
    let nowhere = uploads.public_files(["nowhere"]);
    assert!(matches!(nowhere, Err(BuildError::NoFiles(_))));
    let no_folder = uploads.owned_files(["files"], str::to_owned);
    assert!(matches!(no_folder, Err(BuildError::NoFolder(_))));
    let folder = SlotOptions::new()
        .writer(DiscardWriterFactory)
        .folder(|owner, _| owner.to_owned());
    let both = Uploads::builder()
        .data_dir(dir.path())
        .allow_upload("a", folder)
        .build();
    assert!(matches!(
        both,
        Err(BuildError::Slot {
            source: SlotError::Folder,
            ..
        })
    ));
}
