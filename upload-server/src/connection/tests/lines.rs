//! How connections end: peers that misbehave, vanish or never read, and servers that stop.

use std::{collections::HashMap, time::Duration};

use futures_util::StreamExt;
use serde_json::json;
use tokio_websockets::Message;
use upload_writers::{AbortReason, Recorded};

use super::harness::*;
use crate::server::limits::Limits;

/// FRAME-3: a chunk of the announced size fits, one byte more closes with 1009.
#[tokio::test]
async fn frame_3_the_limit_is_the_largest_chunk() {
    let server = Server::new();
    let mut client = server.connect().await;
    let bytes = pattern(2 * CHUNK);
    client.register("files", upload(1), bytes.len()).await;
    client.chunk(upload(1), 0, &bytes[..CHUNK]).await;
    client
        .until(|message| message["bytes_received"] == CHUNK)
        .await;
    client.chunk(upload(1), 1, &bytes[..CHUNK + 1]).await;
    let end = client.until(|message| message["type"] == "closed").await;
    assert_eq!(end["code"], 1009);
    client.vanish().await;
    assert_eq!(server.storage.recorded.kept(), 0);
}

/// CTRL-1: text that is not UTF-8 closes with 1007.
#[tokio::test]
async fn ctrl_1_bad_text_closes() {
    let server = Server::new();
    let mut client = server.connect().await;
    client
        .send(Message::text(bytes::Bytes::from_static(b"\xff")))
        .await;
    let end = client.until(|message| message["type"] == "closed").await;
    assert_eq!(end["code"], 1007);
    client.vanish().await;
}

/// CONN-3: a client that never sends anything is closed with 4408.
#[tokio::test(start_paused = true)]
async fn conn_3_silence_is_closed() {
    let server = Server::new();
    let mut client = server.connect().await;
    // The library answers pings while it is read from.
    let end = tokio::time::timeout(Duration::from_secs(100), async {
        while let Some(Ok(message)) = client.ws.next().await {
            if let Some((code, _)) = message.as_close() {
                return u16::from(code);
            }
        }
        0
    });
    assert_eq!(end.await.expect("in time"), 4408);
}

/// CONN-3: a peer that answers no ping is dead, and everything of it is freed.
#[tokio::test(start_paused = true)]
async fn conn_3_a_dead_peer_is_dropped() {
    let server = Server::new();
    let mut client = server.connect().await;
    client.register("files", upload(1), 10).await;
    client.chunk(upload(1), 0, b"12345").await;
    client.until(|message| message["bytes_received"] == 5).await;
    // Nobody reads, nobody answers.
    let Client { ws, session } = client;
    let over = tokio::time::timeout(Duration::from_secs(90), session).await;
    over.expect("given up in time").expect("does not panic");
    drop(ws);
    assert_eq!(server.storage.recorded.kept(), 0);
    assert_eq!(server.shared.budget.buffered(), 0);
}

/// A peer that sends and never reads is given up, and everything of it is freed.
#[tokio::test(start_paused = true)]
async fn a_peer_that_never_reads_is_dropped() {
    let server = Server::new();
    let mut client = server.connect_over(4096).await;
    client.register("files", upload(1), 1 << 20).await;
    client.chunk(upload(1), 0, &pattern(CHUNK)).await;
    let Client { mut ws, session } = client;
    let flood = async {
        use futures_util::SinkExt;
        // Each answer is larger than the question, so the pipe back is full first.
        let question = Message::text(json!({ "type": "no_such_type" }).to_string());
        while ws.send(question.clone()).await.is_ok() {}
    };
    let given_up = async {
        tokio::select! {
            () = flood => {}
            () = tokio::time::sleep(Duration::from_secs(600)) => panic!("is still fed"),
        }
    };
    given_up.await;
    let over = tokio::time::timeout(Duration::from_secs(60), session).await;
    over.expect("ends").expect("does not panic");
    assert_eq!(server.shared.budget.buffered(), 0);
    assert_eq!(server.storage.recorded.kept(), 0);
}

/// A connection that ends while its writer hangs is given up after a while.
#[tokio::test(start_paused = true)]
async fn a_hanging_writer_does_not_keep_a_session_for_ever() {
    let server = Server::new();
    let _gate = server.storage.hold_up(&upload(1).to_string());
    let mut client = server.connect().await;
    client.register("files", upload(1), 2 * CHUNK).await;
    client.chunks(upload(1), &pattern(CHUNK)).await;
    client
        .until(|message| message["bytes_received"] == CHUNK)
        .await;
    let Client { ws, session } = client;
    drop(ws);
    let over = tokio::time::timeout(Duration::from_secs(40), session).await;
    over.expect("given up in time").expect("does not panic");
    assert_eq!(server.shared.budget.buffered(), 0);
}

/// What cannot be resumed is undone when its connection is lost.
#[tokio::test]
async fn a_lost_connection_undoes_what_cannot_be_resumed() {
    let server = Server::new();
    let mut client = server.connect().await;
    client.register("files", upload(1), 2 * CHUNK).await;
    client.chunks(upload(1), &pattern(CHUNK)).await;
    client
        .until(|message| message["bytes_received"] == CHUNK)
        .await;
    client.vanish().await;
    let calls = server.storage.recorded.calls(&upload(1).to_string());
    assert_eq!(
        calls.last(),
        Some(&Recorded::Abort(AbortReason::SessionClosed))
    );
    assert_eq!(server.shared.owner_counts.of("alice", None).count(), 0);
}

/// CONN-2: a draining server tells its clients and closes with 1012.
#[tokio::test]
async fn a_draining_server_says_so() {
    let server = Server::new();
    let mut client = server.connect().await;
    server.shared.draining.cancel();
    assert_eq!(client.next().await["type"], "draining");
    let end = client.next().await;
    assert_eq!(
        (&end["type"], &end["code"]),
        (&json!("closed"), &json!(1012))
    );
    client.vanish().await;
}

/// A server that must close does, with what is under way.
#[tokio::test]
async fn a_closing_server_closes() {
    let server = Server::new();
    let mut client = server.connect().await;
    client.register("files", upload(1), 10).await;
    server.shared.draining.cancel();
    client.until(|message| message["type"] == "draining").await;
    server.shared.closing.cancel();
    let end = client.until(|message| message["type"] == "closed").await;
    assert_eq!(end["code"], 1012);
    client.vanish().await;
    assert_eq!(server.storage.recorded.kept(), 0);
}

/// CONN-4: who keeps sending what is refused is closed with 4429.
#[tokio::test(start_paused = true)]
async fn conn_4_abuse_is_closed() {
    let mut limits = Limits::default();
    limits.session.max_refused_per_minute = 10;
    let server = Server::with(limits, HashMap::new());
    let mut client = server.connect().await;
    for _ in 0..11 {
        client.send(Message::binary(b"\x09".as_slice())).await;
    }
    let end = client.until(|message| message["type"] == "closed").await;
    assert_eq!(end["code"], 4429);
    client.vanish().await;
}
