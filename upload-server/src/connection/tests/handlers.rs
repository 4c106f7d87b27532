//! Handlers that are slow, many, or say too much, and what is asked of a connection.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::{Value, json};
use tokio::sync::{Semaphore, oneshot};
use upload_core::SlotRules;
use upload_proto::{Frame, UploadRef};

use super::harness::{CHUNK, Server, drain, pattern, upload};
use crate::{
    server::{limits::Limits, registry::Key},
    slots::events::{Command, EventContext, Handler},
};

fn nth(number: u16) -> UploadRef {
    let mut bytes = [1; 16];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    UploadRef::from_bytes(bytes)
}

/// Empty files complete as fast as they are registered; handlers that take long hold their connection up.
#[tokio::test]
async fn completion_handlers_of_a_connection_are_bounded() {
    const FILES: u16 = 90;
    let mut server = Server::new();
    let (gate, begun) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let shared = Arc::get_mut(&mut server.shared).expect("no connection yet");
    let handler = (Arc::clone(&gate), Arc::clone(&begun));
    shared.on_upload_complete = Some(Arc::new(move |_| {
        let (gate, begun) = handler.clone();
        Box::pin(async move {
            begun.fetch_add(1, Ordering::SeqCst);
            gate.acquire().await.expect("stays open").forget();
        })
    }));
    let mut client = server.connect_over(1 << 20).await;
    for number in 0..FILES {
        client
            .text(json!({
                "type": "upload_register", "upload_name": "files", "ref": nth(number),
                "client_name": "a.bin", "client_type": "", "client_size": 0,
            }))
            .await;
        client
            .frame(Frame::Complete {
                upload: nth(number),
                crc32c: None,
            })
            .await;
        drain().await;
    }
    drain().await;
    // Sixteen, and what was running when the last of them began.
    let running = begun.load(Ordering::SeqCst);
    assert!((16..20).contains(&running), "{running}");
    gate.add_permits(FILES.into());
    for number in 0..FILES {
        let ending = client.ending(nth(number)).await;
        assert_eq!(ending["status"], "complete", "{ending}");
    }
}

/// A result that is too large is the handler's failure, and no reason to drop the connection.
#[tokio::test]
async fn a_result_that_is_too_large_is_a_failed_event() {
    let large: Handler = Arc::new(|context: EventContext| {
        let bytes = context.params.get("bytes").and_then(Value::as_u64);
        let bytes = usize::try_from(bytes.unwrap_or(0)).expect("small");
        Box::pin(async move { Ok(json!("x".repeat(bytes))) })
    });
    let handlers = HashMap::from([("large".to_owned(), large)]);
    let server = Server::with(Limits::default(), handlers);
    let mut client = server.connect_over(4 << 20).await;
    for (bytes, code) in [
        (500_000, Value::Null),
        (1_100_000, json!("event_failed")),
        (5_000_000, json!("event_failed")),
    ] {
        client
            .text(json!({
                "type": "event", "event": "large", "id": 1, "params": { "bytes": bytes },
            }))
            .await;
        let answer = client.next().await;
        assert_eq!(
            (&answer["type"], &answer["code"]),
            (&json!("event_result"), &code)
        );
    }
    client.text(json!({ "type": "ping" })).await;
    assert_eq!(client.next().await["type"], "pong");
}

/// A connection knows the chunk size of slots that only it has.
#[tokio::test]
async fn an_upload_to_a_mounted_slot_is_found_with_its_chunk_size() {
    let server = Server::new();
    let mut slot = server.shared.slots["files"].clone();
    let mut rules = SlotRules::new("mounted");
    rules.max_file_size = 1 << 30;
    slot.rules = Arc::new(rules);
    let slots = BTreeMap::from([("mounted".to_owned(), slot)]);
    let mut client = server.connect_with(256 * 1024, Arc::new(slots)).await;
    client.register("mounted", upload(1), 3 * CHUNK).await;
    client.chunk(upload(1), 0, &pattern(CHUNK)).await;
    client
        .until(|message| message["bytes_received"] == CHUNK)
        .await;
    let key = Key::new("alice".into(), upload(1));
    let holder = server.shared.registry.holder(&key).expect("a holder");
    let (answer, answered) = oneshot::channel();
    let find = Command::Find {
        upload: upload(1),
        answer,
    };
    holder.commands.send(find).await.expect("sent");
    let (entry, chunk_size) = answered.await.expect("answered").expect("found");
    assert_eq!(
        (entry.bytes_received, u64::from(chunk_size)),
        (65_536, 65_536)
    );
}
