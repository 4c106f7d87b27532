//! Uploads that outlive their connection.

use std::sync::Arc;

use serde_json::{Value, json};
use upload_writers::Recorded;

use super::harness::*;
use crate::connection::ConnectionConfig;

async fn resume(client: &mut Client, number: u8) -> Value {
    client
        .text(json!({ "type": "upload_resume", "ref": upload(number), "client_id": "c" }))
        .await;
    client
        .until(|message| message["type"] == "upload_resumed")
        .await
}

async fn finish(server: &Server, client: &mut Client, number: u8, bytes: &[u8], from: usize) {
    let first = from / CHUNK;
    for (index, data) in bytes[from..].chunks(CHUNK).enumerate() {
        client.chunk(upload(number), first + index, data).await;
    }
    client.complete(upload(number), bytes).await;
    let ending = client.ending(upload(number)).await;
    assert_eq!(ending["status"], "complete", "{ending}");
    let stored = server.storage.recorded.read(&ending["result"]);
    assert!(stored.expect("is stored") == bytes, "differs");
}

async fn begin(server: &Server, number: u8, bytes: &[u8]) -> Client {
    begin_over(server.connect().await, number, bytes).await
}

async fn begin_over(mut client: Client, number: u8, bytes: &[u8]) -> Client {
    let registered = client.register("videos", upload(number), bytes.len()).await;
    assert_eq!(registered["resumable"], true);
    for index in 0..2 {
        let data = &bytes[index * CHUNK..(index + 1) * CHUNK];
        client.chunk(upload(number), index, data).await;
    }
    client
        .until(|message| message["bytes_received"] == 2 * CHUNK)
        .await;
    client
}

/// RESUME-3: a return to the same process goes on with the parked writer.
#[tokio::test]
async fn resume_3_a_parked_writer_goes_on() {
    let server = Server::new();
    let bytes = pattern(4 * CHUNK + 5);
    begin(&server, 1, &bytes).await.vanish().await;
    assert_eq!(server.shared.registry.parked(), 1);

    let mut client = server.connect().await;
    let resumed = resume(&mut client, 1).await;
    assert_eq!(resumed["status"], "resumed", "{resumed}");
    assert_eq!(resumed["bytes_received"], 2 * CHUNK);
    assert_eq!(server.shared.registry.parked(), 0);
    finish(&server, &mut client, 1, &bytes, 2 * CHUNK).await;
    let calls = server.storage.recorded.calls(&upload(1).to_string());
    assert!(
        !calls.iter().any(|call| matches!(call, Recorded::Reopen(_))),
        "{calls:?}"
    );
}

/// RESUME-3: without a parked writer it is reopened at the durable offset.
#[tokio::test]
async fn resume_3_a_released_writer_is_reopened() {
    let server = Server::new();
    let bytes = pattern(4 * CHUNK + 5);
    begin(&server, 1, &bytes).await.vanish().await;
    server.shared.registry.release_all();

    let mut client = server.connect().await;
    let resumed = resume(&mut client, 1).await;
    assert_eq!(resumed["status"], "resumed", "{resumed}");
    assert_eq!(resumed["bytes_received"], 2 * CHUNK);
    finish(&server, &mut client, 1, &bytes, 2 * CHUNK).await;
    let calls = server.storage.recorded.calls(&upload(1).to_string());
    let reopened = Recorded::Reopen((2 * CHUNK) as u64);
    assert!(calls.contains(&reopened), "{calls:?}");
}

/// RESUME-4: the same client takes over from a socket that still looks alive.
#[tokio::test]
async fn resume_4_the_same_client_takes_over() {
    let server = Server::new();
    let bytes = pattern(4 * CHUNK);
    let mut old = begin(&server, 1, &bytes).await;
    let mut client = server.connect().await;
    let resumed = resume(&mut client, 1).await;
    assert_eq!(resumed["status"], "resumed", "{resumed}");
    assert_eq!(resumed["bytes_received"], 2 * CHUNK);
    let told = old.until(|message| message["code"] == "superseded").await;
    assert_eq!(told["detached"], true);
    finish(&server, &mut client, 1, &bytes, 2 * CHUNK).await;
}

/// RESUME-7: closing the tab undoes; RESUME-5: then there is nothing to resume.
#[tokio::test]
async fn resume_7_leaving_undoes() {
    let server = Server::new();
    let bytes = pattern(4 * CHUNK);
    begin(&server, 1, &bytes).await.leave(1001).await;
    assert_eq!(server.shared.registry.parked(), 0);
    assert_eq!(server.storage.recorded.kept(), 0);
    let mut client = server.connect().await;
    assert_eq!(resume(&mut client, 1).await["status"], "not_found");
}

/// RESUME-7: a client that said at its handshake that it keeps its uploads may leave with 1001 and return.
#[tokio::test]
async fn resume_7_leaving_detaches_where_the_client_asked_for_it() {
    let server = Server::new();
    let bytes = pattern(4 * CHUNK);
    let config = ConnectionConfig {
        keeps_on_leave: true,
        ..server.config(Arc::clone(&server.shared.slots))
    };
    let client = server.connect_as(256 * 1024, config).await;
    begin_over(client, 1, &bytes).await.leave(1001).await;
    assert_eq!(server.shared.registry.parked(), 1);
    let mut client = server.connect().await;
    let resumed = resume(&mut client, 1).await;
    assert_eq!(resumed["bytes_received"], 2 * CHUNK, "{resumed}");
    finish(&server, &mut client, 1, &bytes, 2 * CHUNK).await;
}

/// A drained server leaves uploads that another process can go on with.
#[tokio::test]
async fn a_drain_detaches_and_frees_the_lease() {
    let server = Server::new();
    let bytes = pattern(4 * CHUNK);
    let mut client = begin(&server, 1, &bytes).await;
    server.shared.draining.cancel();
    let detached = client.until(|message| message["code"] == "draining").await;
    assert_eq!(detached["bytes_durable"], 2 * CHUNK, "{detached}");
    let end = client.until(|message| message["type"] == "closed").await;
    assert_eq!(end["code"], 1012);
    client.vanish().await;
    assert_eq!(server.shared.registry.parked(), 1);
}
