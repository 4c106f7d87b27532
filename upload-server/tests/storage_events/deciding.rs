//! The hook that decides, before the binary.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router, body::Bytes, http::HeaderMap, http::StatusCode, response::IntoResponse, routing::post,
};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_websockets::{ClientBuilder, Message};

use crate::{
    hooks::{Server, command},
    http::{serve, signature},
};

const SECRET: &str = "the hook's secret of 32 bytes and more";

/// Decides by the file's name, and keeps what it was asked.
async fn decider() -> (Arc<Mutex<Vec<Value>>>, SocketAddr) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&asked);
    let decide = async move |headers: HeaderMap, body: Bytes| {
        let question: Value = serde_json::from_slice(&body).expect("JSON");
        let signed = headers["x-upload-signature"].to_str().expect("text");
        assert_eq!(signed, signature(SECRET, &body));
        kept.lock().expect("whole").push(question.clone());
        let begins = question["event"] == "before_begin";
        let answer = |answer: Value| axum::Json(answer).into_response();
        match question["client_name"].as_str().expect("text") {
            "no.txt" => answer(json!({ "accept": false, "code": "too_large", "text": "no more" })),
            "never.txt" => StatusCode::FORBIDDEN.into_response(),
            "late.txt" if !begins => answer(json!({ "accept": false })),
            "before.txt" => answer(json!({ "name": "after/../it.txt", "meta": { "album": 7 } })),
            "into.txt" => answer(json!({ "prefix": "customers/42/", "name": "it.txt" })),
            "up.txt" => answer(json!({ "prefix": "../customers" })),
            "root.txt" => answer(json!({ "prefix": "/customers" })),
            "hidden.txt" => answer(json!({ "prefix": "a/.state" })),
            "long.txt" => answer(json!({ "prefix": "a/".repeat(129) + "b" })),
            "page.txt" => answer(json!({ "name": "page.html" })),
            "broken.txt" => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            "odd.txt" => "yes".into_response(),
            "none.txt" => StatusCode::OK.into_response(),
            "slow.txt" => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                StatusCode::NO_CONTENT.into_response()
            }
            _ => StatusCode::NO_CONTENT.into_response(),
        }
    };
    let address = serve(Router::new().route("/decide", post(decide))).await;
    (asked, address)
}

fn start(dir: &Path, hook: SocketAddr, more: &str) -> Server {
    let config = format!(
        "listen = \"127.0.0.1:0\"\ndata_dir = \"data\"\n[slots.docs]\nmax_entries = 4\n\
         [deciding_hook]\nurl = \"http://{hook}/decide\"\nsecret = \"{SECRET}\"\ntimeout = \"1s\"\n{more}"
    );
    fs::write(dir.join("uploads.toml"), config).expect("written");
    Server::start(dir)
}

/// Sends a file; returns whether it was stored, and what was said.
async fn send(dir: &Path, server: &Server, name: &str) -> (bool, String) {
    send_to(dir, server, name, "docs").await
}

async fn send_to(dir: &Path, server: &Server, name: &str, slot: &str) -> (bool, String) {
    fs::write(dir.join(name), "hello").expect("written");
    let url = format!("ws://{}/uploads/ws", server.address);
    let mut sending = command(dir);
    sending.args(["send", name, "--url", &url, "--slot", slot]);
    sending.env("XDG_STATE_HOME", dir).env("HOME", dir);
    let sent = tokio::task::spawn_blocking(move || sending.output());
    let sent = sent.await.expect("no panic").expect("the binary runs");
    let said = String::from_utf8_lossy(&sent.stderr).into_owned();
    (sent.status.success(), said)
}

/// What is stored, without the UUID in front.
fn stored(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir.join("data/docs")) else {
        return Vec::new();
    };
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<_> = names
        .map(|name| name.to_string_lossy().chars().skip(37).collect::<String>())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn an_address_decides_about_uploads() {
    let dir = tempfile::tempdir().expect("a directory");
    let (asked, address) = decider().await;
    let server = start(dir.path(), address, "");
    let (is_stored, said) = send(dir.path(), &server, "yes.txt").await;
    assert!(is_stored, "{said}");
    {
        let asked = asked.lock().expect("whole");
        let events: Vec<_> = asked.iter().map(|question| &question["event"]).collect();
        assert_eq!(events, ["before_begin", "before_complete"]);
        assert_ne!(asked[0]["event_id"], asked[1]["event_id"]);
        assert_eq!(
            (&asked[0]["slot"], &asked[0]["size"]),
            (&json!("docs"), &json!(5))
        );
        assert!(asked[0]["owner"].is_string() && asked[0]["at"].is_string());
    }
    for (name, code) in [
        ("no.txt", "too_large"),
        ("never.txt", "forbidden"),
        ("late.txt", "forbidden"),
        // Its new name is checked as the client's would be.
        ("page.txt", "active_content"),
        ("broken.txt", "forbidden"),
        ("odd.txt", "forbidden"),
        ("none.txt", "forbidden"),
        ("slow.txt", "forbidden"),
    ] {
        let (is_stored, said) = send(dir.path(), &server, name).await;
        assert!(!is_stored && said.contains(code), "{name}: {said}");
    }
    // Its words are for the user (MSG-4).
    let (_, said) = send(dir.path(), &server, "no.txt").await;
    assert!(said.contains("no more"), "{said}");
    assert_eq!(stored(dir.path()), ["yes.txt"]);
    let (is_stored, said) = send(dir.path(), &server, "before.txt").await;
    assert!(is_stored, "{said}");
    assert_eq!(stored(dir.path()).len(), 2);
    assert!(
        stored(dir.path())
            .iter()
            .any(|name| name.ends_with("it.txt"))
    );
    let asked = asked.lock().expect("whole");
    let last = asked.last().expect("asked");
    assert_eq!(last["event"], "before_complete");
    assert_eq!(
        (&last["meta"], &last["client_name"]),
        (&json!({ "album": 7 }), &json!("after/../it.txt"))
    );
}

/// Its prefix is the folder of a file and the beginning of a key; one that leads elsewhere is no answer.
#[tokio::test]
async fn a_prefix_of_the_hook_is_where_the_file_is_stored() {
    let dir = tempfile::tempdir().expect("a directory");
    let (_, address) = decider().await;
    let bucket = dir.path().join("bucket");
    fs::create_dir(&bucket).expect("made");
    let more = format!(
        "[slots.bucket]\nwriter = \"object_store\"\n[slots.bucket.object_store]\nurl = \"file://{}\"\n",
        bucket.display()
    );
    let server = start(dir.path(), address, &more);
    let (is_stored, said) = send(dir.path(), &server, "into.txt").await;
    assert!(is_stored, "{said}");
    let folder = dir.path().join("data/customers/42/docs");
    let names: Vec<_> = fs::read_dir(folder).expect("the folder").collect();
    let name = names[0].as_ref().expect("an entry").file_name();
    assert!(names.len() == 1 && name.to_string_lossy().ends_with("-it.txt"));
    let (is_stored, said) = send_to(dir.path(), &server, "into.txt", "bucket").await;
    assert!(is_stored, "{said}");
    let scopes = fs::read_dir(bucket.join("customers/42")).expect("the prefix");
    assert_eq!(scopes.count(), 1);
    for name in ["up.txt", "root.txt", "hidden.txt", "long.txt"] {
        let (is_stored, said) = send(dir.path(), &server, name).await;
        assert!(!is_stored && said.contains("forbidden"), "{name}: {said}");
    }
    assert!(!dir.path().join("customers").exists());
}

#[tokio::test]
async fn without_an_answer_it_is_as_configured() {
    let dir = tempfile::tempdir().expect("a directory");
    let (asked, address) = decider().await;
    let more = "without_answer = \"accept\"\nmoments = \"begin\"\n";
    let server = start(dir.path(), address, more);
    for name in ["broken.txt", "odd.txt", "none.txt", "slow.txt", "late.txt"] {
        let (is_stored, said) = send(dir.path(), &server, name).await;
        assert!(is_stored, "{name}: {said}");
    }
    let (is_stored, _) = send(dir.path(), &server, "no.txt").await;
    assert!(!is_stored, "a refusal is an answer");
    let asked = asked.lock().expect("whole");
    assert!(
        asked
            .iter()
            .all(|question| question["event"] == "before_begin")
    );
}

/// What is in flight is listed, shown and cancelled from the command line.
#[tokio::test]
async fn uploads_running_are_listed_and_cancelled() {
    let dir = tempfile::tempdir().expect("a directory");
    let (_, address) = decider().await;
    let server = start(dir.path(), address, "moments = \"complete\"\n");
    let (client, answer) = ClientBuilder::new()
        .uri(&format!("ws://{}/uploads/ws", server.address))
        .expect("an address")
        .add_header(
            http::header::SEC_WEBSOCKET_PROTOCOL,
            http::HeaderValue::from_static("upload.v1"),
        )
        .expect("a header")
        .connect()
        .await
        .expect("connected");
    assert_eq!(answer.status(), 101);
    let mut client = client;
    let upload = "0c616890-3cb6-4159-8dbe-059670948764";
    let register = json!({
        "type": "upload_register", "ref": upload, "upload_name": "docs",
        "client_name": "a.txt", "client_type": "text/plain", "client_size": 5,
    });
    client
        .send(Message::text(register.to_string()))
        .await
        .expect("sent");
    loop {
        let message = client.next().await.expect("open").expect("read");
        if message
            .as_text()
            .is_some_and(|text| text.contains("upload_registered"))
        {
            break;
        }
    }
    let ask = async |arguments: &[&str]| {
        let mut asking = command(dir.path());
        asking.args(["--config", "uploads.toml"]).args(arguments);
        asking.env("UPLOAD_LISTEN", &server.address);
        let asked = tokio::task::spawn_blocking(move || asking.output());
        let asked = asked.await.expect("no panic").expect("the binary runs");
        let said = String::from_utf8_lossy(&asked.stdout).into_owned();
        (asked.status.success(), said)
    };
    let (is_ok, said) = ask(&["list"]).await;
    assert!(
        is_ok && said.starts_with(&format!("{upload} docs uploading 0/5 - session:")),
        "{said}"
    );
    assert!(ask(&["show", upload]).await.0);
    assert!(
        !ask(&["show", "0c616890-3cb6-4159-8dbe-000000000000"])
            .await
            .0
    );
    assert_eq!(
        ask(&["cancel", upload]).await,
        (true, "cancelled 1\n".to_owned())
    );
    assert!(!ask(&["cancel", upload]).await.0);
    assert_eq!(ask(&["list"]).await, (true, String::new()));
    // A page of another origin cannot send the header along.
    let url = format!("http://{}/admin/uploads", server.address);
    assert_eq!(crate::http::send("GET", &url, &[], "").await.status, 403);
    let local: &[(&str, &[u8])] = &[("x-upload-admin", b"1")];
    assert_eq!(crate::http::send("GET", &url, local, "").await.status, 200);
    let passed_on: &[(&str, &[u8])] =
        &[("x-upload-admin", b"1"), ("x-forwarded-for", b"192.0.2.1")];
    assert_eq!(
        crate::http::send("GET", &url, passed_on, "").await.status,
        404
    );
    let owners = format!("http://{}/admin/owners", server.address);
    let unnamed = crate::http::send("GET", &owners, local, "").await;
    assert_eq!(unnamed.status, 400);
    let ann = format!("{owners}?owner=ann");
    let counted = crate::http::send("GET", &ann, local, "").await;
    assert_eq!(counted.status, 200);
    assert_eq!(
        counted.json(),
        json!({
            "owner": "ann", "unfinished_uploads": 0, "unfinished_bytes": 0,
            "waiting_uploads": 0, "waiting_bytes": 0, "max_stored_bytes": null,
        })
    );
    // An address that nothing serves is no business of /admin.
    let nothing = format!("http://{}/nothing", server.address);
    assert_eq!(
        crate::http::send("POST", &nothing, &[], "").await.status,
        404
    );
}
