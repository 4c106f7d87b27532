//! Chunks in, files out: what uploads of one connection do.

use std::{collections::HashMap, sync::Arc};

use serde_json::json;
use tokio_websockets::Message;
use upload_proto::Frame;
use upload_writers::{AbortReason, Recorded};

use super::harness::*;
use crate::{
    server::limits::Limits,
    slots::events::{EventContext, Handler},
};

/// COMPLETE-3: every byte, in order, under the result the client is told.
#[tokio::test]
async fn a_file_arrives_byte_exact() {
    let server = Server::new();
    let mut client = server.connect().await;
    let bytes = pattern(5 * CHUNK + 777);
    let registered = client.register("files", upload(1), bytes.len()).await;
    assert_eq!(registered["chunk_size"], CHUNK);
    client.chunks(upload(1), &bytes).await;
    client.complete(upload(1), &bytes).await;
    let ending = client.ending(upload(1)).await;
    assert_eq!(ending["status"], "complete", "{ending}");
    assert_eq!(ending["bytes_received"], bytes.len());
    let stored = server.storage.recorded.read(&ending["result"]);
    assert!(stored.expect("is stored") == bytes, "differs");
    client.leave(1000).await;
    assert_eq!(*server.completed.lock().expect("whole"), ["a.bin"]);
    assert_eq!(server.shared.budget.buffered(), 0);
}

/// COMPLETE-5: an empty file is opened and closed.
#[tokio::test]
async fn an_empty_file_is_a_file() {
    let server = Server::new();
    let mut client = server.connect().await;
    client.register("files", upload(1), 0).await;
    client.complete(upload(1), b"").await;
    let ending = client.ending(upload(1)).await;
    assert_eq!(ending["status"], "complete", "{ending}");
    assert_eq!(
        server.storage.recorded.read(&ending["result"]),
        Some(Vec::new())
    );
}

/// CHUNK-3: a chunk beyond the next one is answered once and not stored.
#[tokio::test]
async fn chunk_3_a_gap_is_told_and_healed() {
    let server = Server::new();
    let mut client = server.connect().await;
    let bytes = pattern(3 * CHUNK);
    client.register("files", upload(1), bytes.len()).await;
    client.chunk(upload(1), 0, &bytes[..CHUNK]).await;
    client.chunk(upload(1), 2, &bytes[2 * CHUNK..]).await;
    let trouble = client
        .until(|message| message["code"] == "chunk_out_of_order")
        .await;
    assert_eq!(trouble["next_index"], 1);
    client.chunk(upload(1), 1, &bytes[CHUNK..2 * CHUNK]).await;
    client.chunk(upload(1), 2, &bytes[2 * CHUNK..]).await;
    client.complete(upload(1), &bytes).await;
    let ending = client.ending(upload(1)).await;
    let stored = server.storage.recorded.read(&ending["result"]);
    assert!(stored.expect("is stored") == bytes, "differs");
}

/// COMPLETE-6: a cancelled upload is undone, and says so again when asked.
#[tokio::test]
async fn a_cancel_undoes_what_was_written() {
    let server = Server::new();
    let mut client = server.connect().await;
    let bytes = pattern(3 * CHUNK);
    client.register("files", upload(1), bytes.len()).await;
    client.chunk(upload(1), 0, &bytes[..CHUNK]).await;
    client
        .until(|message| message["bytes_received"] == CHUNK)
        .await;
    for _ in 0..2 {
        client.frame(Frame::Cancel { upload: upload(1) }).await;
        assert_eq!(client.ending(upload(1)).await["status"], "cancelled");
    }
    client.leave(1000).await;
    let calls = server.storage.recorded.calls(&upload(1).to_string());
    assert_eq!(calls.last(), Some(&Recorded::Abort(AbortReason::Cancelled)));
    assert_eq!(server.storage.recorded.kept(), 0);
}

/// CREDIT-4: a writer that hangs holds up its own upload only.
#[tokio::test]
async fn credit_4_a_slow_writer_delays_nobody_else() {
    let server = Server::new();
    let gate = server.storage.hold_up(&upload(1).to_string());
    let mut client = server.connect().await;
    let bytes = pattern(4 * CHUNK);
    client.register("files", upload(1), bytes.len()).await;
    client.register("files", upload(2), bytes.len()).await;
    client.chunks(upload(1), &bytes).await;
    client.complete(upload(1), &bytes).await;
    client.chunks(upload(2), &bytes).await;
    client.complete(upload(2), &bytes).await;
    assert_eq!(client.ending(upload(2)).await["status"], "complete");
    gate.permits.add_permits(100);
    let ending = client.ending(upload(1)).await;
    let stored = server.storage.recorded.read(&ending["result"]);
    assert!(stored.expect("is stored") == bytes, "differs");
}

/// CREDIT-3: a client that ignores its credit is not read for a while, and
/// loses nothing.
#[tokio::test]
async fn credit_3_ignoring_credit_loses_nothing() {
    let server = Server::new();
    let gate = server.storage.hold_up(&upload(1).to_string());
    let mut client = server.connect().await;
    let bytes = pattern(12 * 1024 * 1024);
    let window = client.register("files", upload(1), bytes.len()).await["credit"]
        .as_u64()
        .expect("credit is a number");
    assert_eq!(window, 4 * 1024 * 1024);
    let sent = bytes.clone();
    let sending = tokio::spawn(async move {
        client.chunks(upload(1), &sent).await;
        client.complete(upload(1), &sent).await;
        client.ending(upload(1)).await
    });
    drain().await;
    let buffered = server.shared.budget.buffered();
    assert!(buffered >= window, "{buffered}");
    assert!(buffered <= window + 2 * CHUNK as u64, "{buffered}");
    assert!(!sending.is_finished());
    gate.permits.add_permits(1000);
    let ending = sending.await.expect("does not panic");
    let stored = server.storage.recorded.read(&ending["result"]);
    assert!(stored.expect("is stored") == bytes, "differs");
}

/// CREDIT-2: a budget that is used up stops reading, and frees again.
#[tokio::test]
async fn credit_2_the_budget_bounds_all_connections() {
    let limits = Limits {
        buffer_budget: 256 * 1024,
        ..Limits::default()
    };
    let server = Server::with(limits, HashMap::new());
    let bytes = pattern(2 * 1024 * 1024);
    let mut gates = Vec::new();
    let mut sending = Vec::new();
    for number in 1..=8 {
        gates.push(server.storage.hold_up(&upload(number).to_string()));
        let mut client = server.connect().await;
        client.register("files", upload(number), bytes.len()).await;
        let sent = bytes.clone();
        sending.push(tokio::spawn(async move {
            client.chunks(upload(number), &sent).await;
            client.complete(upload(number), &sent).await;
            client.ending(upload(number)).await
        }));
    }
    for _ in 0..50 {
        drain().await;
        let buffered = server.shared.budget.buffered();
        assert!(
            buffered <= (256 * 1024 + 9 * (CHUNK + 21)) as u64,
            "{buffered}"
        );
    }
    for gate in gates {
        gate.permits.add_permits(1000);
    }
    for ending in sending {
        let ending = ending.await.expect("does not panic");
        let stored = server.storage.recorded.read(&ending["result"]);
        assert!(stored.expect("is stored") == bytes, "differs");
    }
}

/// CONN-4: many tiny chunks all arrive.
#[tokio::test]
async fn conn_4_tiny_chunks_all_arrive() {
    let server = Server::new();
    let mut client = server.connect().await;
    let bytes = pattern(20_000 * 100);
    client.register("files", upload(1), bytes.len()).await;
    for (index, data) in bytes.chunks(100).enumerate() {
        client.chunk(upload(1), index, data).await;
    }
    client.complete(upload(1), &bytes).await;
    let ending = client.ending(upload(1)).await;
    assert_eq!(ending["status"], "complete", "{ending}");
    let stored = server.storage.recorded.read(&ending["result"]);
    assert!(stored.expect("is stored") == bytes, "differs");
}

/// Handlers reach the uploads of their connection, and only what they may is told.
#[tokio::test]
async fn events_run_their_handlers() {
    let cancel: Handler = Arc::new(|context: EventContext| {
        Box::pin(async move {
            let under_way = context.uploads.uploads().await;
            let count: usize = under_way.values().map(Vec::len).sum();
            let cancelled = context.uploads.cancel_upload(upload(1)).await;
            Ok(json!({ "count": count, "cancelled": cancelled, "owner": context.owner }))
        })
    });
    let broken: Handler = Arc::new(|_| Box::pin(async { panic!("a bug of the application") }));
    let handlers = HashMap::from([("cancel".to_owned(), cancel), ("broken".to_owned(), broken)]);
    let server = Server::with(Limits::default(), handlers);
    let mut client = server.connect().await;
    client.register("files", upload(1), 10).await;
    client
        .text(json!({ "type": "event", "event": "cancel", "id": 1 }))
        .await;
    assert_eq!(client.ending(upload(1)).await["status"], "cancelled");
    let answer = client
        .until(|message| message["type"] == "event_result")
        .await;
    assert_eq!(
        answer["result"],
        json!({ "count": 1, "cancelled": true, "owner": "alice" })
    );
    for (event, code) in [("broken", "event_failed"), ("nobody", "unknown_event")] {
        client
            .text(json!({ "type": "event", "event": event, "id": "x" }))
            .await;
        let answer = client
            .until(|message| message["type"] == "event_result")
            .await;
        assert_eq!(answer["code"], code, "{answer}");
    }
}

/// FRAME-1, CTRL-1: what cannot be read is answered, and the socket stays open.
#[tokio::test]
async fn bad_frames_and_messages_are_answered() {
    let server = Server::new();
    let mut client = server.connect().await;
    client.send(Message::binary(b"\x09".as_slice())).await;
    assert_eq!(client.next().await["code"], "bad_frame");
    client.text(json!([])).await;
    assert_eq!(client.next().await["code"], "bad_message");
    client.text(json!({ "type": "ping" })).await;
    assert_eq!(client.next().await["type"], "pong");
}
