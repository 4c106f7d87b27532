//! Drives one upload by hand: a sender and a session, no socket, no runtime.
//!
//! `cargo run -p upload-core --example by_hand`

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use bytes::Bytes;
use serde_json::json;
use upload_core::{
    CheckpointNews, FileFacts, Holder, Now, Outcome, Output, OwnerTally, Sender, SenderConfig,
    SenderOutput, Session, SessionConfig, SessionLimits, SlotRules, Verdict, WriterEvent,
};
use upload_proto::UploadRef;

fn main() {
    let file: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_be_bytes).collect();
    let mut stored = Vec::new();
    let now = Now {
        instant: start(),
        unix_ms: 0,
    };
    let mut session = Session::new(config(), now);
    let mut sender = Sender::new(facts(file.len() as u64), SenderConfig::default(), now);

    while sender.outcome().is_none() {
        // The client's host: carry out what the sender wants.
        while let Some(output) = sender.poll_output() {
            match output {
                SenderOutput::Connect => sender.handle_connected(now),
                SenderOutput::Message(message) => session.handle_message(Ok(message), now),
                SenderOutput::Frame(frame) => session.handle_frame(Ok(frame), now),
                SenderOutput::Read { offset, length } => {
                    let from = offset as usize;
                    let data = Bytes::copy_from_slice(&file[from..from + length as usize]);
                    sender.handle_data(offset, data, now);
                }
                SenderOutput::Disconnect | SenderOutput::NeedRef => unreachable!("no faults here"),
            }
        }
        // The server's host: carry out what the session wants.
        while let Some(output) = session.poll_output() {
            match output {
                Output::Send(message) => {
                    println!("< {}", message.to_json());
                    sender.handle_message(&message, now);
                }
                Output::Inspect { entry, .. } => {
                    session.handle_verdict(entry, Verdict::Accept, now);
                }
                Output::Open { entry } => {
                    let opened = WriterEvent::Opened { checkpoint: None };
                    session.handle_writer(entry, opened, now);
                }
                Output::Write { entry, data } => {
                    stored.extend_from_slice(&data);
                    let taken = stored.len() as u64;
                    let wrote = WriterEvent::Wrote {
                        received: taken,
                        durable: taken,
                        checkpoint: CheckpointNews::Same,
                    };
                    session.handle_writer(entry, wrote, now);
                }
                Output::Close { entry } => {
                    let result = json!({ "size": stored.len() });
                    session.handle_writer(entry, WriterEvent::Closed { result }, now);
                }
                Output::Notify(event) => println!("# {event:?}"),
                other => unreachable!("nothing asks for {other:?} here"),
            }
        }
    }
    assert_eq!(stored, file);
    assert!(matches!(sender.outcome(), Some(Outcome::Complete { .. })));
    println!("{} bytes arrived as they were sent", stored.len());
}

fn config() -> SessionConfig {
    let slot = SlotRules::new("documents");
    SessionConfig {
        slots: BTreeMap::from([(slot.name.clone(), Arc::new(slot))]),
        plain: false,
        holder: Holder {
            boot: "example".into(),
            session: 1,
        },
        tally: Arc::new(OwnerTally::default()),
        limits: SessionLimits::default(),
        checksum: true,
    }
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
