//! What a writer lives through, over a real socket (rows WL of the catalogue of
//! observed behaviours), and what an application sees of it (rows PC).

#[path = "../integration/support/client.rs"]
#[expect(dead_code, reason = "shared with the tests of the binary")]
#[allow(unreachable_pub, reason = "shared with the tests of the binary")]
mod client;
mod pictures;
mod rights;

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use upload_server::{SlotOptions, Uploads, UploadsBuilder};
use upload_writers::{
    AbortReason, Call, Fault, FaultyWriterFactory, Recorded, RecordingWriterFactory, WriteErrorKind,
};
use uuid::Uuid;

use client::Client;

struct World {
    recorder: RecordingWriterFactory,
    faults: FaultyWriterFactory,
    url: String,
    _dir: TempDir,
}

impl World {
    /// Serves a slot `files` of disturbed, recorded writers, taking at most 20,000 bytes.
    async fn start() -> Self {
        Self::with(|builder| builder).await
    }

    async fn with(more: impl FnOnce(UploadsBuilder) -> UploadsBuilder) -> Self {
        let dir = TempDir::new().expect("a directory");
        let recorder = RecordingWriterFactory::new();
        let faults = FaultyWriterFactory::new(Arc::new(recorder.clone()));
        let slot = SlotOptions::new()
            .max_entries(16)
            .max_file_size(20_000)
            .writer(faults.clone());
        let builder = Uploads::builder()
            .data_dir(dir.path())
            .allow_upload("files", slot);
        let uploads = more(builder).build().expect("the uploads");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let app = axum::Router::new().nest("/uploads", uploads.router());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self {
            recorder,
            faults,
            url: format!("ws://{address}/uploads/ws"),
            _dir: dir,
        }
    }

    async fn client(&self) -> Client {
        Client::connect(&self.url).await
    }

    fn calls(&self, upload: Uuid) -> Vec<Recorded> {
        self.recorder.calls(&upload.to_string())
    }

    /// Waits until the writers were aborted this often.
    async fn aborted(&self, times: usize) {
        for _ in 0..500 {
            if self.recorder.aborts() >= times {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(self.recorder.aborts(), times);
    }
}

/// The bytes of all writes, in order.
fn written(calls: &[Recorded]) -> Vec<u8> {
    calls
        .iter()
        .filter_map(|call| match call {
            Recorded::Write(chunks) => Some(chunks.concat()),
            _ => None,
        })
        .flatten()
        .collect()
}

fn count(calls: &[Recorded], wanted: &Recorded) -> usize {
    calls.iter().filter(|call| *call == wanted).count()
}

/// WL-1, WL-2, WL-3: made once, opened once, exact bytes in order, closed once;
/// what close returned is the result.
#[tokio::test]
async fn wl_1_to_3_a_whole_life() {
    let world = World::start().await;
    let mut client = world.client().await;
    let upload = Uuid::new_v4();
    client.register(upload, "files", "a.bin", 10).await;
    client.send_file(upload, b"0123456789", 2).await;
    let ended = client.ending(upload).await;
    let calls = world.calls(upload);
    assert_eq!(calls.first(), Some(&Recorded::Create));
    assert_eq!(written(&calls), b"0123456789");
    assert_eq!(calls.last(), Some(&Recorded::Close));
    for once in [Recorded::Create, Recorded::Close] {
        assert_eq!(count(&calls, &once), 1, "{once:?}");
    }
    assert_eq!(ended["result"]["size"], 10);
    let stored = world.recorder.read(&ended["result"]);
    assert_eq!(stored.as_deref(), Some(&b"0123456789"[..]));
    assert_eq!(world.recorder.aborts(), 0);
}

/// WL-5, WL-6, WL-7, MSG-4: a writer that fails is aborted once, with its own
/// error; the client reads a fixed text; nothing is called after it.
#[tokio::test]
async fn wl_5_to_7_failures() {
    let rows = [
        (Call::Write, WriteErrorKind::Denied, "storage_denied"),
        (Call::Write, WriteErrorKind::Full, "storage_full"),
        (Call::Close, WriteErrorKind::Throttled, "storage_throttled"),
    ];
    for (call, kind, code) in rows {
        let world = World::start().await;
        world.faults.disturb(call, 0, Fault::Fail(kind));
        let mut client = world.client().await;
        let upload = Uuid::new_v4();
        client.register(upload, "files", "a.bin", 10).await;
        client.send_file(upload, b"0123456789", 5).await;
        let ended = client.ending(upload).await;
        assert_eq!(
            (&ended["status"], &ended["code"]),
            (&json!("error"), &json!(code))
        );
        let text = ended["error"].as_str().expect("a text");
        assert!(!text.contains("injected") && !text.contains('/'), "{text}");
        world.aborted(1).await;
        assert_eq!(world.faults.aborts(), [AbortReason::Storage(kind)]);
        let calls = world.calls(upload);
        assert!(
            matches!(calls.last(), Some(Recorded::Abort(_))),
            "{calls:?}"
        );
        if call != Call::Close {
            assert_eq!(count(&calls, &Recorded::Close), 0, "WL-18: {calls:?}");
        }
    }
}

/// WL-5, MSG-4: where no writer can be made there is none to abort; the client reads a fixed text.
#[tokio::test]
async fn wl_5_a_writer_that_cannot_be_made() {
    let world = World::start().await;
    let fault = Fault::Fail(WriteErrorKind::Failed);
    world.faults.disturb(Call::Create, 0, fault);
    let mut client = world.client().await;
    let upload = Uuid::new_v4();
    client.register(upload, "files", "a.bin", 10).await;
    client.send_file(upload, b"0123456789", 5).await;
    let ended = client.ending(upload).await;
    assert_eq!(ended["code"], "storage_failed");
    assert_eq!(world.faults.aborts(), []);
    assert_eq!(world.calls(upload), []);
}

/// WL-8: an abort that fails is swallowed; the server goes on.
#[tokio::test]
async fn wl_8_an_abort_that_fails() {
    let world = World::start().await;
    world
        .faults
        .disturb(Call::Abort, 0, Fault::Fail(WriteErrorKind::Failed));
    let mut client = world.client().await;
    let upload = Uuid::new_v4();
    client.register(upload, "files", "a.bin", 10).await;
    client.chunk(upload, 0, b"01234").await;
    client.cancel(upload).await;
    assert_eq!(client.ending(upload).await["status"], "cancelled");
    assert_eq!(
        client.upload("files", "b.bin", b"0123456789").await["status"],
        "complete"
    );
}

/// WL-9, WL-10, WL-18: past the size the writer is aborted once, and late
/// frames, a complete among them, do not touch it. (The first chunk fills the
/// content gate, so the writer is open.)
#[tokio::test]
async fn wl_9_10_18_past_the_size() {
    let world = World::start().await;
    let mut client = world.client().await;
    let upload = Uuid::new_v4();
    client.register(upload, "files", "a.bin", 20_000).await;
    client.chunk(upload, 0, &[5; 10_000]).await;
    client
        .until(|message| message["bytes_durable"] == 10_000)
        .await;
    client.chunk(upload, 1, &[6; 10_001]).await;
    client.chunk(upload, 2, b"late").await;
    client.complete(upload, None).await;
    assert_eq!(client.ending(upload).await["code"], "size_exceeded");
    let again = client.ending(upload).await;
    assert_eq!(again["code"], "size_exceeded", "COMPLETE-6");
    world.aborted(1).await;
    let reason = AbortReason::SizeLimit(20_000);
    assert_eq!(reason.to_string(), "File size exceeds limit (20000 bytes)");
    assert_eq!(world.faults.aborts(), [reason]);
    let calls = world.calls(upload);
    assert_eq!(written(&calls), [5; 10_000]);
    assert_eq!(count(&calls, &Recorded::Close), 0);
}

/// WL-11: a cancel frame aborts with its reason.
#[tokio::test]
async fn wl_11_cancelled() {
    let world = World::start().await;
    let mut client = world.client().await;
    let upload = Uuid::new_v4();
    client.register(upload, "files", "a.bin", 10).await;
    client.chunk(upload, 0, b"12345").await;
    client.until(|message| message["bytes_received"] == 5).await;
    // The gate holds a head that is not whole yet, so let it pass first.
    client.chunk(upload, 1, b"67890").await;
    client
        .until(|message| message["bytes_received"] == 10)
        .await;
    client.cancel(upload).await;
    assert_eq!(client.ending(upload).await["status"], "cancelled");
    world.aborted(1).await;
    assert_eq!(world.faults.aborts(), [AbortReason::Cancelled]);
    assert_eq!(AbortReason::Cancelled.to_string(), "upload cancelled");
}

/// WL-12, WL-13: a connection that ends aborts what is open, not what is complete.
#[tokio::test]
async fn wl_12_13_the_end_of_the_connection() {
    let world = World::start().await;
    let mut client = world.client().await;
    let done = client.upload("files", "a.bin", b"0123456789").await;
    assert_eq!(done["status"], "complete");
    let open = Uuid::new_v4();
    client.register(open, "files", "a.bin", 10).await;
    client.chunk(open, 0, b"0123456789").await;
    client
        .until(|message| message["bytes_received"] == 10)
        .await;
    drop(client);
    world.aborted(1).await;
    assert_eq!(world.faults.aborts(), [AbortReason::SessionClosed]);
    assert_eq!(AbortReason::SessionClosed.to_string(), "session closed");
    assert!(world.recorder.read(&done["result"]).is_some());
}

/// WL-14: uploads at the same time have their own writers, and nothing mixes.
#[tokio::test]
async fn wl_14_three_at_a_time() {
    let world = World::start().await;
    let mut client = world.client().await;
    let files: [&[u8]; 3] = [b"aaaaaaaaaa", b"bbbbbbbbbb", b"cccccccccc"];
    let uploads = files.map(|_| Uuid::new_v4());
    for upload in uploads {
        client.register(upload, "files", "a.bin", 10).await;
    }
    for (index, at) in (0..).zip([0, 5]) {
        for (upload, file) in uploads.iter().zip(files) {
            client.chunk(*upload, index, &file[at..at + 5]).await;
        }
    }
    for (upload, file) in uploads.iter().zip(files) {
        client.complete(*upload, None).await;
        assert_eq!(client.ending(*upload).await["status"], "complete");
        assert_eq!(written(&world.calls(*upload)), file);
    }
}

/// WL-19, COMPLETE-5: an empty file opens and closes its writer.
#[tokio::test]
async fn wl_19_an_empty_file() {
    let world = World::start().await;
    let mut client = world.client().await;
    let upload = Uuid::new_v4();
    client.register(upload, "files", "a.txt", 0).await;
    client.complete(upload, None).await;
    let ended = client.ending(upload).await;
    assert_eq!(
        (&ended["status"], &ended["progress"]),
        (&json!("complete"), &json!(100))
    );
    let expected = [Recorded::Create, Recorded::Close];
    assert_eq!(world.calls(upload), expected);
}

/// A refused file never touches storage: the gate stands before `open`.
#[tokio::test]
async fn a_refused_file_never_opens_a_writer() {
    let world = World::start().await;
    let mut client = world.client().await;
    let upload = Uuid::new_v4();
    client.register(upload, "files", "a.png", 10).await;
    client.send_file(upload, b"MZ01234567", 3).await;
    assert_eq!(client.ending(upload).await["code"], "content_mismatch");
    assert_eq!(world.calls(upload), []);
}

/// PC-10, PC-12: a handler consumes completed entries in the order of their
/// registration, once; the snapshot tells every property.
#[tokio::test]
async fn pc_10_12_an_application_consumes() {
    let world = World::with(|builder| {
        builder
            .on_event("save", async |cx| {
                let entries = cx.uploads.consume_uploaded_entries("files").await;
                let names: Vec<_> = entries
                    .iter()
                    .map(|entry| entry.client_name().to_owned())
                    .collect();
                Ok(json!(names))
            })
            .on_event("list", async |cx| {
                let entries = cx.uploads.uploads_of("files").await;
                let rows = entries.iter().map(|entry| {
                    json!([
                        entry.client_name(),
                        entry.client_type(),
                        entry.client_size(),
                        entry.progress(),
                        entry.complete(),
                        entry.writer_result()
                    ])
                });
                Ok(Value::Array(rows.collect()))
            })
    })
    .await;
    let mut client = world.client().await;
    let uploads = [Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4()];
    for (upload, name) in uploads.iter().zip(["1.bin", "2.bin", "3.bin"]) {
        client.register(*upload, "files", name, 10).await;
    }
    for upload in [uploads[1], uploads[0]] {
        client.send_file(upload, b"0123456789", 10).await;
        assert_eq!(client.ending(upload).await["status"], "complete");
    }
    let mut ask = async |event: &str| {
        client
            .send(json!({ "type": "event", "event": event, "id": 7 }))
            .await;
        client
            .until(|message| message["type"] == "event_result")
            .await
    };
    let listed = ask("list").await;
    assert_eq!(listed["id"], 7);
    let rows = listed["result"].as_array().expect("rows").clone();
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[2], json!(["3.bin", "", 10, 0, false, null]));
    assert_eq!(
        (&rows[0][0], &rows[0][3], &rows[0][4]),
        (&json!("1.bin"), &json!(100), &json!(true))
    );
    assert_eq!(ask("save").await["result"], json!(["1.bin", "2.bin"]));
    assert_eq!(ask("save").await["result"], json!([]), "once");
    let unknown = ask("nothing").await;
    assert_eq!(
        (&unknown["ok"], &unknown["code"]),
        (&json!(false), &json!("unknown_event"))
    );
}
