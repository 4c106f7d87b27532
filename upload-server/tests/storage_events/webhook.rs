//! The rows of S3's events, over a real listener.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::Router;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use upload_server::{ObjectCreated, SlotOptions, Uploads};
use upload_writers::DiscardWriterFactory;

use crate::http::{Answer, send, serve, signature};

const SECRET: &str = "the webhook's secret of 32 bytes and more";
const ID: &str = "11111111-2222-3333-4444-555555555555";

type Objects = Arc<Mutex<Vec<ObjectCreated>>>;

struct Server {
    url: String,
    uploads: Uploads,
    objects: Objects,
}

async fn start(dir: &Path, has_handler: bool) -> Server {
    let objects = Objects::default();
    let mut builder = Uploads::builder()
        .data_dir(dir)
        .secret([7; 32])
        .state_dir(dir.join(".state"))
        .webhook(SECRET);
    if has_handler {
        let kept = Arc::clone(&objects);
        builder = builder.on_object_created(move |object| {
            let kept = Arc::clone(&kept);
            async move {
                kept.lock().expect("whole").push(object);
            }
        });
    }
    let uploads = builder.build().expect("good options");
    let address = serve(uploads.webhook_router()).await;
    Server {
        url: format!("http://{address}/webhooks/s3"),
        uploads,
        objects,
    }
}

impl Server {
    async fn post(&self, body: impl AsRef<[u8]>) -> Answer {
        let body = body.as_ref().to_vec();
        let signature = signature(SECRET, &body);
        let headers = [("x-upload-signature", signature.as_bytes())];
        send("POST", &self.url, &headers, body).await
    }

    async fn fires(&self, body: &Value) -> u64 {
        let answer = self.post(body.to_string()).await;
        assert_eq!(answer.status, 200, "{body}: {answer:?}");
        let answer = answer.json();
        assert_eq!(answer["ok"], true);
        answer["fired"].as_u64().expect("a number")
    }

    /// Ends the server, which waits for handlers, and tells what they were told.
    async fn objects(self) -> Vec<ObjectCreated> {
        let ended = self.uploads.shutdown();
        assert!(timeout(Duration::from_secs(20), ended).await.expect("ends"));
        self.objects.lock().expect("whole").clone()
    }
}

fn record(event: &str, object: Value) -> Value {
    json!({ "eventName": event, "s3": { "bucket": { "name": "b" }, "object": object } })
}

fn event(records: &[Value]) -> Value {
    json!({ "Records": records })
}

fn created(key: &str, sequencer: &str) -> Value {
    let object =
        json!({ "key": key, "size": 4096, "eTag": "\"deadbeef\"", "sequencer": sequencer });
    record("ObjectCreated:Put", object)
}

/// WH-1, with both headers, and a record as small as it can be.
#[tokio::test]
async fn wh_1_a_signed_event_fires() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = start(dir.path(), true).await;
    let key = format!("uploads/{ID}/report.pdf");
    let first = event(&[created(&key, "01")]);
    assert_eq!(server.fires(&first).await, 1);
    let bare = json!({ "Records": [{ "s3": {
        "bucket": { "name": "b" },
        "object": { "key": key, "size": 1, "eTag": "x" },
    } }] })
    .to_string();
    let signed = signature(SECRET, bare.as_bytes());
    let headers = [("x-djust-signature", signed.as_bytes())];
    let answer = send("POST", &server.url, &headers, bare).await;
    assert_eq!(
        (answer.status, answer.json()["fired"].as_u64()),
        (200, Some(1))
    );
    let objects = server.objects().await;
    assert_eq!(objects.len(), 2);
    let object = &objects[0];
    assert_eq!((&*object.upload_id, &*object.key), (ID, &*key));
    assert_eq!(
        (object.size, object.etag.as_deref()),
        (4096, Some("deadbeef"))
    );
    assert_eq!(object.bucket, "b");
}

/// WH-2: anything but the very signature of the very bytes is 403.
#[tokio::test]
async fn wh_2_other_signatures_are_403() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = start(dir.path(), true).await;
    let body = event(&[created(&format!("{ID}/x"), "01")]).to_string();
    let good = signature(SECRET, body.as_bytes());
    let wrong = signature("another", body.as_bytes());
    let spaced = signature(SECRET, format!("{body} ").as_bytes());
    let upper = good.to_uppercase();
    let prefixed = format!("sha256={good}");
    let mut cases: Vec<Vec<(&str, &[u8])>> = vec![vec![]];
    let not_text = [0xe9_u8; 64];
    for bad in [
        wrong.as_bytes(),
        spaced.as_bytes(),
        upper.as_bytes(),
        prefixed.as_bytes(),
    ]
    .into_iter()
    .chain([&b""[..], &good.as_bytes()[..32], &not_text])
    {
        cases.push(vec![("x-upload-signature", bad)]);
        cases.push(vec![("x-djust-signature", bad)]);
    }
    let good = good.as_bytes();
    cases.push(vec![
        ("x-upload-signature", good),
        ("x-upload-signature", good),
    ]);
    for headers in cases {
        let answer = send("POST", &server.url, &headers, body.clone()).await;
        assert_eq!(answer.status, 403, "{headers:?}");
    }
    assert!(server.objects().await.is_empty());
}

/// WH-2: what cannot be a signature is refused before the body comes.
#[tokio::test]
async fn wh_2_no_body_is_awaited_without_a_signature() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = start(dir.path(), true).await;
    let address = server.url.strip_prefix("http://").expect("a URL");
    let (address, path) = address.split_once('/').expect("a path");
    for header in ["", "X-Upload-Signature: 0123\r\n"] {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        let head = format!(
            "POST /{path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 100000\r\n{header}\r\n"
        );
        stream.write_all(head.as_bytes()).await.expect("is sent");
        let mut answer = [0; 12];
        let read = timeout(Duration::from_secs(5), stream.read_exact(&mut answer));
        read.await.expect("at once").expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 403");
    }
}

/// WH-3, and bodies without end.
#[tokio::test]
async fn wh_3_other_methods_are_405() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = start(dir.path(), true).await;
    for method in ["GET", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS"] {
        let answer = send(method, &server.url, &[], "").await;
        assert_eq!(answer.status, 405, "{method}");
    }
    let large = server.post(vec![b' '; 256 * 1024 + 1]).await;
    assert_eq!(large.status, 413);
}

/// WH-4: without a secret there is no route.
#[tokio::test]
async fn wh_4_without_a_secret_it_is_404() {
    let slot = SlotOptions::new().writer(DiscardWriterFactory);
    let builder = Uploads::builder().secret([7; 32]);
    let uploads = builder.allow_upload("a", slot).build().expect("good");
    let app = Router::new()
        .nest("/uploads", uploads.router())
        .merge(uploads.webhook_router());
    let address = serve(app).await;
    let answer = send("POST", &format!("http://{address}/webhooks/s3"), &[], "{}").await;
    assert_eq!(answer.status, 404);
}

/// WH-5, and everything the reference crashed on: signed rubbish is 400.
#[tokio::test]
async fn wh_5_signed_rubbish_is_400() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = start(dir.path(), true).await;
    let object = |object: &str| {
        format!(
            "{{\"Records\":[{{\"eventName\":\"ObjectCreated:Put\",\
             \"s3\":{{\"bucket\":{{\"name\":\"b\"}},\"object\":{object}}}}}]}}"
        )
    };
    let size = |size: &str| object(&format!("{{\"key\":\"k\",\"size\":{size},\"eTag\":\"e\"}}"));
    let mut bodies: Vec<Vec<u8>> = [
        "{",
        "",
        "nonsense",
        "{\"Records\":null}",
        "{\"Records\":5}",
        "{\"Records\":[null]}",
        "{\"Records\":[5,\"x\"]}",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into();
    bodies.push(b"{\"Records\":[\"\xff\"]}".to_vec());
    bodies.push("[".repeat(100_000).into_bytes());
    bodies.push(format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)).into_bytes());
    for bad in [
        "null",
        "5",
        "{\"key\":null,\"size\":1}",
        "{\"key\":5,\"size\":1}",
        "{\"size\":1}",
    ] {
        bodies.push(object(bad).into_bytes());
    }
    bodies.push(object("{\"key\":\"k\",\"size\":1,\"eTag\":null}").into_bytes());
    let forty = format!("1{}", "0".repeat(40));
    for bad in ["\"abc\"", "null", "NaN", "1e999", "-1", &forty, "1.5"] {
        bodies.push(size(bad).into_bytes());
    }
    for body in bodies {
        let answer = server.post(&body).await;
        let start = String::from_utf8_lossy(&body)
            .chars()
            .take(200)
            .collect::<String>();
        assert_eq!(answer.status, 400, "{start}");
    }
    assert!(server.objects().await.is_empty());
}

/// WH-6: an SNS envelope holds the event as text; EventBridge has a shape of its own.
#[tokio::test]
async fn wh_6_envelopes_are_opened() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = start(dir.path(), true).await;
    let inner = event(&[created(&format!("uploads/{ID}/sns.pdf"), "01")]);
    let sns = json!({ "Type": "Notification", "Message": inner.to_string() });
    assert_eq!(server.fires(&sns).await, 1);
    let bridge = json!({
        "source": "aws.s3", "detail-type": "Object Created", "time": "2026-01-01T00:00:00Z",
        "detail": { "bucket": { "name": "b" }, "object": {
            "key": format!("uploads/{ID}/a+b.pdf"), "size": 7, "etag": "e", "sequencer": "02",
            "version-id": "v1",
        } },
    });
    assert_eq!(server.fires(&bridge).await, 1);
    assert_eq!(server.fires(&bridge).await, 0);
    let mut deleted = bridge.clone();
    deleted["detail-type"] = json!("Object Deleted");
    assert_eq!(server.fires(&deleted).await, 0);
    let keys: Vec<_> = server
        .objects()
        .await
        .into_iter()
        .map(|object| object.key)
        .collect();
    assert_eq!(
        keys,
        [
            format!("uploads/{ID}/sns.pdf"),
            format!("uploads/{ID}/a+b.pdf")
        ]
    );
}

/// WH-7: what is no event fires nothing, and no address in it is fetched.
#[tokio::test]
async fn wh_7_what_is_no_event_fires_nothing() {
    let trap = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = trap.local_addr().expect("an address");
    let dir = tempfile::tempdir().expect("a directory");
    let server = start(dir.path(), true).await;
    for body in [
        json!({ "Type": "Notification", "Message": "not JSON" }),
        json!({ "Type": "Notification", "Message": null }),
        json!({ "Type": "SubscriptionConfirmation", "Message": "You have chosen to subscribe",
            "SubscribeURL": format!("http://{address}/confirm") }),
        json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b" }),
        json!([]),
        json!(5),
        json!(null),
        json!({}),
        event(&[]),
    ] {
        assert_eq!(server.fires(&body).await, 0, "{body}");
    }
    assert!(server.objects().await.is_empty());
    let connected = timeout(Duration::from_millis(1), trap.accept()).await;
    assert!(connected.is_err(), "somebody fetched it");
}

/// WH-8: a handler that panics was called all the same, and stops no other.
#[tokio::test]
async fn wh_8_a_handler_that_fails_is_counted() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = start(dir.path(), true).await;
    server
        .uploads
        .on_object_created(ID, |_| async { panic!("on purpose") });
    let body = event(&[
        created(&format!("{ID}/a"), "01"),
        created(&format!("{ID}/b"), "01"),
    ]);
    assert_eq!(server.fires(&body).await, 2);
    assert_eq!(server.objects().await.len(), 2);
}

/// WH-9: an event without a listener fires nothing, and a listener that comes later still gets the next one.
#[tokio::test]
async fn wh_9_without_a_handler_nothing_fires() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = start(dir.path(), false).await;
    let body = event(&[created(&format!("{ID}/a"), "01")]);
    assert_eq!(server.fires(&body).await, 0);
    let (sender, told) = tokio::sync::oneshot::channel();
    let sender = Mutex::new(Some(sender));
    server.uploads.on_object_created(ID, move |object| {
        let sender = sender.lock().expect("whole").take();
        async move {
            let _ = sender.expect("called once").send(object);
        }
    });
    assert_eq!(server.fires(&body).await, 1);
    let object = timeout(Duration::from_secs(20), told).await;
    assert_eq!(object.expect("in time").expect("told").upload_id, ID);
    let later = event(&[created(&format!("{ID}/a"), "02")]);
    assert_eq!(server.fires(&later).await, 0, "each watcher runs once");
}

/// WH-10, WH-11, and keys written as forms do.
#[tokio::test]
async fn wh_10_11_keys_name_uploads() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = start(dir.path(), true).await;
    let cases = [
        (
            "uploads/2024/legacy/foo.bin".to_owned(),
            "uploads/2024/legacy/foo.bin",
        ),
        (format!("tenant-foo/{ID}/file.bin"), ID),
        (format!("uploads%2F{ID}%2Fx"), ID),
        ("my+file+%281%29.pdf".to_owned(), "my file (1).pdf"),
        (
            format!("a/{}/x", "-".repeat(34)),
            "a/----------------------------------/x",
        ),
    ];
    let records: Vec<_> = cases.iter().map(|(key, _)| created(key, "01")).collect();
    assert_eq!(server.fires(&event(&records)).await, 5);
    let ids: Vec<_> = server
        .objects()
        .await
        .into_iter()
        .map(|object| object.upload_id)
        .collect();
    assert_eq!(ids, cases.map(|(_, id)| id.to_owned()));
}

/// Only creations fire, also beside records that make no sense.
#[tokio::test]
async fn a_bad_record_does_not_stop_the_others() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = start(dir.path(), true).await;
    let removed = record(
        "ObjectRemoved:Delete",
        json!({ "key": "gone", "sequencer": "01" }),
    );
    let minio = record(
        "s3:ObjectCreated:Post",
        json!({ "key": "minio", "size": 1, "eTag": "e" }),
    );
    let text = format!(
        "{{\"Records\":[null,{},{{\"s3\":{{\"object\":null}}}},{},{{\"s3\":{{\"bucket\":{{\"name\":\"b\"}},\
         \"object\":{{\"key\":\"k\",\"size\":1e999}}}}}},{}]}}",
        created("first", "01"),
        removed,
        minio
    );
    let answer = server.post(text).await;
    assert_eq!(
        (answer.status, answer.json()["fired"].as_u64()),
        (200, Some(2))
    );
    assert_eq!(server.fires(&event(&[removed])).await, 0);
    let keys: Vec<_> = server
        .objects()
        .await
        .into_iter()
        .map(|object| object.key)
        .collect();
    assert_eq!(keys, ["first", "minio"]);
}

/// Replays fire once: within a body, at the same time, and after a restart; older ones never.
#[tokio::test]
async fn replays_fire_once_also_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = start(dir.path(), true).await;
    let body = event(&[created("k", "0A"), created("k", "0A")]);
    let fired = futures_util::future::join_all((0..8).map(|_| server.fires(&body))).await;
    assert_eq!(fired.iter().sum::<u64>(), 1);
    assert_eq!(server.objects().await.len(), 1);
    let again = start(dir.path(), true).await;
    assert_eq!(again.fires(&body).await, 0);
    assert_eq!(again.fires(&event(&[created("k", "09FF")])).await, 0);
    assert_eq!(again.fires(&event(&[created("k", "0B")])).await, 1);
    assert_eq!(again.objects().await.len(), 1);
}
