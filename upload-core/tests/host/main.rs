//! The small host in memory: a connection, a loss, a takeover, a death.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde_json::json;
use upload_core::{
    DisconnectReason, Now, SessionLimits, SlotRules,
    host::{ConnectionId, InMemory},
};
use upload_proto::{ClientMessage, Frame, ServerMessage, UploadRef};

const FILE: &[u8] = b"abcdefghijkl";

fn up() -> UploadRef {
    UploadRef::from_bytes([1; 16])
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one reading all others count from"
)]
fn at(ms: u64) -> Now {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    Now {
        instant: *EPOCH.get_or_init(Instant::now) + Duration::from_millis(ms),
        unix_ms: ms,
    }
}

fn server() -> InMemory {
    let slot = SlotRules {
        resumable: true,
        chunk_size: 4,
        head_bytes: 4,
        ..SlotRules::new("slot")
    };
    InMemory::new([slot], SessionLimits::default())
}

fn register(server: &mut InMemory, connection: ConnectionId) {
    let message = json!({
        "type": "upload_register", "ref": up().to_string(), "upload_name": "slot",
        "client_name": "a", "client_type": "", "client_size": FILE.len(), "client_id": "tab",
    });
    server.message(
        connection,
        ClientMessage::parse(&message.to_string()),
        at(0),
    );
}

fn chunk(server: &mut InMemory, connection: ConnectionId, index: u32) {
    let from = 4 * index as usize;
    let frame = Frame::Chunk {
        upload: up(),
        index,
        data: Bytes::from_static(&FILE[from..from + 4]),
    };
    assert!(server.wants_input(connection));
    server.frame(connection, Ok(frame), at(0));
}

/// Asks to continue; returns where.
fn resume(server: &mut InMemory, connection: ConnectionId, now: Now) -> Option<u64> {
    let message = json!({
        "type": "upload_resume", "ref": up().to_string(), "client_id": "tab",
    });
    server.message(connection, ClientMessage::parse(&message.to_string()), now);
    std::iter::from_fn(|| server.poll_sent(connection)).find_map(|message| match message {
        ServerMessage::Resumed(resumed) => Some(resumed.bytes_received),
        _ => None,
    })
}

fn finish(server: &mut InMemory, connection: ConnectionId, from: u32) {
    for index in from..3 {
        chunk(server, connection, index);
    }
    let (upload, crc32c) = (up(), Some(crc32c::crc32c(FILE)));
    server.frame(connection, Ok(Frame::Complete { upload, crc32c }), at(0));
    let published: Vec<_> = server.files().iter().filter(|it| it.is_published).collect();
    assert_eq!(published.len(), 1);
    assert_eq!(published[0].bytes, FILE);
}

/// RESUME-3: back to the same process, nothing is sent again.
#[test]
fn a_lost_connection_continues_where_it_was() {
    let mut server = server();
    let first = server.connect(at(0));
    register(&mut server, first);
    chunk(&mut server, first, 0);
    server.disconnect(first, DisconnectReason::Lost, at(0));
    let second = server.connect(at(0));
    assert_eq!(resume(&mut server, second, at(0)), Some(4));
    finish(&mut server, second, 1);
}

/// RESUME-4: the same client takes over from a connection that still looks alive.
#[test]
fn a_newer_connection_takes_over() {
    let mut server = server();
    let first = server.connect(at(0));
    register(&mut server, first);
    chunk(&mut server, first, 0);
    let second = server.connect(at(0));
    assert_eq!(resume(&mut server, second, at(0)), Some(4));
    let told = std::iter::from_fn(|| server.poll_sent(first)).last();
    let Some(ServerMessage::Progress(snapshot)) = told else {
        panic!("the older connection hears of it");
    };
    assert_eq!(snapshot.detached, Some(true));
    finish(&mut server, second, 1);
}

/// RESUME-3: and after the death of the process, it continues at the durable offset.
#[test]
fn a_dead_process_continues_from_the_record() {
    let mut server = server();
    let first = server.connect(at(0));
    register(&mut server, first);
    chunk(&mut server, first, 0);
    server.timeout(at(500));
    server.restart();
    let second = server.connect(at(500));
    let received = resume(&mut server, second, at(500)).expect("it is resumed");
    assert_eq!(received, 4);
    finish(&mut server, second, 1);
    assert!(server.record(up()).is_some(), "the receipt");
}

/// CTRL-4: a ref that one connection holds is not another's to register.
#[test]
fn a_ref_is_held_once() {
    let mut server = server();
    let first = server.connect(at(0));
    register(&mut server, first);
    let second = server.connect(at(0));
    register(&mut server, second);
    let told = std::iter::from_fn(|| server.poll_sent(second)).last();
    assert!(matches!(told, Some(ServerMessage::Error(_))), "{told:?}");
}
