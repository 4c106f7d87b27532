//! Ten thousand uploads that wait for their clients.

use std::time::{Duration, Instant};

use serde_json::Value;
use uuid::Uuid;

use crate::support::{
    client::{Client, chunk_frame, registration},
    pattern,
    server::{EMBEDDED, Server, slots},
};

const UPLOADS: usize = 10_000;
/// Uploads of one connection, so that few files are open at once.
const AT_ONCE: usize = 500;
/// Past the content gate, so that each has a file of its own.
const SENT: usize = 9_000;
const SIZE: usize = 20_000;
/// From the start of the process to the first accepted resume.
const RESUME_MAX: Duration = Duration::from_millis(500);
/// Restarts; the quickest counts, since other tests run beside this one.
const RESTARTS: usize = 5;

/// RESUME-3: with 10,000 detached uploads in the embedded store, a killed server
/// accepts the first resume within half a second of its start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_records() {
    let config = slots(EMBEDDED).replace("_per_owner = 4096", "_per_owner = 20000");
    let mut server = Server::start(&config);
    let cookie = Client::connect(&server.ws()).await.cookie;
    let file = pattern::file(10, SIZE);
    let mut uploads = Vec::new();
    while uploads.len() < UPLOADS {
        uploads.extend(park(&server, &cookie, &file).await);
    }
    let mut times = Vec::new();
    for upload in uploads.iter().rev().step_by(1777).take(RESTARTS) {
        server.kill();
        let began = Instant::now();
        tokio::task::block_in_place(|| server.restart());
        let again = Client::connect_as(&server.ws(), &cookie, true).await;
        let mut client = again.expect("a connection");
        let resumed = client.resume(*upload, Some("me")).await;
        times.push(began.elapsed());
        assert_eq!(resumed["status"], "resumed", "{resumed}");
        assert_eq!(resumed["bytes_received"], SENT);
        let chunk = chunk_frame(*upload, 0, &file[SENT..]);
        client.send_binary(chunk).await;
        client.complete(*upload, Some(crc32c::crc32c(&file))).await;
        assert_eq!(client.ending(*upload).await["status"], "complete");
    }
    assert_eq!(server.temporary().len(), UPLOADS - times.len());
    let best = times.iter().min().expect("some");
    println!(
        "{UPLOADS} parked records: from start to first accepted resume {best:?} (all: {times:?})"
    );
    assert!(*best <= RESUME_MAX, "{times:?}");
}

/// Begins some uploads, waits until all of them are recorded, and is gone.
async fn park(server: &Server, cookie: &str, file: &[u8]) -> Vec<Uuid> {
    let again = Client::connect_as(&server.ws(), cookie, true).await;
    let mut client = again.expect("a connection");
    let uploads: Vec<_> = (0..AT_ONCE).map(|_| Uuid::new_v4()).collect();
    for upload in &uploads {
        let mut message = registration(*upload, "resumable", "a.bin", "", SIZE as u64);
        message["client_id"] = "me".into();
        client.send(message).await;
    }
    let mut registered = 0;
    while registered < AT_ONCE {
        let answer = client.next().await;
        assert_ne!(answer["status"], "error", "{answer}");
        registered += usize::from(answer["type"] == "upload_registered");
    }
    for upload in &uploads {
        client.chunk(*upload, 0, &file[..SENT]).await;
    }
    let mut durable = std::collections::HashSet::new();
    while durable.len() < AT_ONCE {
        let told: Value = client.next().await;
        if told["bytes_durable"] == SENT {
            durable.insert(told["ref"].to_string());
        }
    }
    uploads
}
