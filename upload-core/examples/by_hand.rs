//! Drives one upload by hand: a sender and a session, no socket, no runtime.
//!
//! `cargo run -p upload-core --features testing --example by_hand`

use std::time::Instant;

use bytes::Bytes;
use upload_core::{
    FileCheck, FileFacts, Now, Outcome, Sender, SenderConfig, SenderOutput, SessionLimits,
    SlotRules, host::InMemory,
};
use upload_proto::UploadRef;

fn main() {
    let file: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_be_bytes).collect();
    let now = Now {
        instant: start(),
        unix_ms: 0,
    };
    let slot = SlotRules::new("documents");
    let mut server = InMemory::new([slot], SessionLimits::default());
    let connection = server.connect(now);
    let mut sender = Sender::new(facts(file.len() as u64), SenderConfig::default());

    while sender.outcome().is_none() {
        // The client's host: carry out what the sender wants.
        while let Some(output) = sender.poll_output() {
            match output {
                SenderOutput::Connect => sender.handle_connected(now),
                SenderOutput::Message(message) => server.message(connection, Ok(message), now),
                SenderOutput::Frame(frame) => server.frame(connection, Ok(frame), now),
                SenderOutput::Read { id, offset, length } => {
                    let from = offset as usize;
                    let data = Bytes::copy_from_slice(&file[from..from + length as usize]);
                    sender.handle_data(id, data, now);
                }
                SenderOutput::CheckFile { id } => {
                    sender.handle_checked(id, FileCheck::Unchanged, now);
                }
                SenderOutput::Disconnect | SenderOutput::NeedRef => unreachable!("no faults here"),
            }
        }
        // The server's host carried out what its session wants; this is what it sent.
        while let Some(message) = server.poll_sent(connection) {
            println!("< {}", message.to_json());
            sender.handle_message(&message, now);
        }
        for fact in server.take_facts() {
            println!("# {fact:?}");
        }
    }
    assert_eq!(server.files()[0].bytes, file);
    assert!(matches!(sender.outcome(), Some(Outcome::Complete { .. })));
    println!("{} bytes arrived as they were sent", file.len());
}

fn facts(size: u64) -> FileFacts {
    FileFacts {
        upload: UploadRef::from_bytes([7; 16]),
        is_known: false,
        slot: "documents".into(),
        name: "numbers.bin".into(),
        media_type: "application/octet-stream".into(),
        size,
        last_modified: None,
        relative_path: None,
        meta: None,
        client_id: None,
    }
}

/// The core reads no clock; a host does.
#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    Instant::now()
}
