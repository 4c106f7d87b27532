//! Loses a connection, then the whole process, and resumes the upload each time.
//!
//! `cargo run -p upload-core --features testing --example resume_by_hand`

use std::time::Instant;

use bytes::Bytes;
use serde_json::json;
use upload_core::{
    DisconnectReason, Now, SessionLimits, SlotRules,
    host::{ConnectionId, InMemory},
};
use upload_proto::{ClientMessage, Frame, ServerMessage, UploadRef};

const UPLOAD: UploadRef = UploadRef::from_bytes([7; 16]);
const CHUNK: usize = 65_536;

fn main() {
    let file: Vec<u8> = (0..250_000_u32).flat_map(u32::to_be_bytes).collect();
    let now = Now {
        instant: start(),
        unix_ms: 0,
    };
    let slot = SlotRules {
        resumable: true,
        ..SlotRules::new("documents")
    };
    let mut server = InMemory::new([slot], SessionLimits::default());

    let first = server.connect(now);
    let register = json!({
        "type": "upload_register", "ref": UPLOAD.to_string(), "upload_name": "documents",
        "client_name": "numbers.bin", "client_type": "", "client_size": file.len(),
        "client_id": "this tab",
    });
    say(&mut server, first, &register.to_string(), now);
    send_chunks(&mut server, first, &file, (0, 0), 5, now);
    println!("-- the connection is lost");
    server.disconnect(first, DisconnectReason::Lost, now);

    // The writer is parked in memory, so nothing that was received is sent again.
    let second = server.connect(now);
    let at = resume(&mut server, second, now);
    assert_eq!(at, (5 * CHUNK as u64, 5));
    send_chunks(&mut server, second, &file, at, 4, now);
    println!("-- the process dies");
    server.restart();

    // The record says where the bytes are, so that a new writer continues at what was durable.
    let now = Now {
        instant: now.instant,
        unix_ms: 60_000,
    };
    let third = server.connect(now);
    let at = resume(&mut server, third, now);
    send_chunks(&mut server, third, &file, at, usize::MAX, now);
    let complete = Frame::Complete {
        upload: UPLOAD,
        crc32c: None,
    };
    server.frame(third, Ok(complete), now);
    print_sent(&mut server, third);

    let stored: Vec<_> = server.files().iter().filter(|it| it.is_published).collect();
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].bytes, file);
    println!("{} bytes arrived as they were sent", file.len());
}

/// Asks to continue; returns the offset and the index of the next chunk.
fn resume(server: &mut InMemory, connection: ConnectionId, now: Now) -> (u64, u32) {
    let message = json!({
        "type": "upload_resume", "ref": UPLOAD.to_string(), "client_id": "this tab",
    });
    server.message(connection, ClientMessage::parse(&message.to_string()), now);
    while let Some(message) = server.poll_sent(connection) {
        println!("< {}", message.to_json());
        if let ServerMessage::Resumed(resumed) = message {
            let next_index = u32::try_from(resumed.next_index).expect("a small file");
            return (resumed.bytes_received, next_index);
        }
    }
    unreachable!("everything is answered at once here");
}

fn send_chunks(
    server: &mut InMemory,
    connection: ConnectionId,
    file: &[u8],
    (offset, index): (u64, u32),
    count: usize,
    now: Now,
) {
    let rest = &file[usize::try_from(offset).expect("a small file")..];
    for (index, data) in (index..).zip(rest.chunks(CHUNK)).take(count) {
        assert!(server.wants_input(connection), "the writer is always done");
        let frame = Frame::Chunk {
            upload: UPLOAD,
            index,
            data: Bytes::copy_from_slice(data),
        };
        server.frame(connection, Ok(frame), now);
    }
    print_sent(server, connection);
}

fn say(server: &mut InMemory, connection: ConnectionId, text: &str, now: Now) {
    println!("> {text}");
    server.message(connection, ClientMessage::parse(text), now);
    print_sent(server, connection);
}

fn print_sent(server: &mut InMemory, connection: ConnectionId) {
    while let Some(message) = server.poll_sent(connection) {
        println!("< {}", message.to_json());
    }
}

/// The core reads no clock; a host does.
#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    Instant::now()
}
