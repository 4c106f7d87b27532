//! PROTOCOL 7 and 8 from the other side: a sender, and what the server says to it.

mod finishing;
mod resuming;

use std::time::{Duration, Instant};

use bytes::Bytes;
use upload_core::{
    FileCheck, FileFacts, Now, Outcome, ReadId, Sender, SenderConfig, SenderOutput, SenderPhase,
    Violation,
};
use upload_proto::{
    ClientMessage, Code, ErrorMessage, Frame, Registered, ResumeStatus, Resumed, Retry,
    ServerMessage, Snapshot, Status, UploadRef, crc32c_hex,
};

use crate::rig::up;

const FILE: &[u8] = b"abcdefghijklmnop";

/// What the server says that the file is.
fn facts(is_known: bool) -> FileFacts {
    FileFacts {
        upload: up(1),
        is_known,
        slot: "keep".into(),
        name: "a.txt".into(),
        media_type: String::new(),
        size: FILE.len() as u64,
        last_modified: None,
        relative_path: None,
        meta: None,
        client_id: Some("tab".into()),
    }
}

/// A sender of 16 bytes that asked for what it knows.
fn resuming(now: Now) -> Sender {
    connected(facts(true), now)
}

/// A sender of 16 bytes in chunks of 4 that may send.
fn registered(now: Now) -> Sender {
    let mut sender = connected(facts(false), now);
    sender.handle_message(&registration(up(1)), now);
    sender
}

fn connected(facts: FileFacts, now: Now) -> Sender {
    let mut sender = Sender::new(facts, SenderConfig::default());
    sender.handle_connected(now);
    drain(&mut sender);
    sender
}

fn registration(upload: UploadRef) -> ServerMessage {
    ServerMessage::Registered(Registered {
        upload,
        upload_name: "keep".into(),
        chunk_size: 4,
        credit: 100,
        resumable: true,
        expires_in: None,
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one reading all others count from"
)]
fn start() -> Now {
    Now {
        instant: Instant::now(),
        unix_ms: 0,
    }
}

fn after(now: Now, pause: Duration) -> Now {
    Now {
        instant: now.instant + pause,
        ..now
    }
}

fn drain(sender: &mut Sender) -> Vec<SenderOutput> {
    std::iter::from_fn(|| sender.poll_output()).collect()
}

/// Drains and returns the ids of the reads that are asked for at these places.
fn drain_reads(sender: &mut Sender, expected: &[(u64, u32)]) -> Vec<ReadId> {
    let asked = drain(sender).into_iter().map(|output| match output {
        SenderOutput::Read { id, offset, length } => (id, (offset, length)),
        other => panic!("{other:?}"),
    });
    let (ids, places): (Vec<_>, Vec<_>) = asked.unzip();
    assert_eq!(places, expected);
    ids
}

/// Answers all reads and checks until something else is to be done.
fn feed(sender: &mut Sender, file: &[u8], now: Now) -> Vec<SenderOutput> {
    let mut others = Vec::new();
    while let Some(output) = sender.poll_output() {
        match output {
            SenderOutput::Read { id, offset, length } => {
                let from = offset as usize;
                let data = Bytes::copy_from_slice(&file[from..from + length as usize]);
                sender.handle_data(id, data, now);
            }
            SenderOutput::CheckFile { id } => {
                sender.handle_checked(id, FileCheck::Unchanged, now);
            }
            other => others.push(other),
        }
    }
    others
}

fn chunk(index: u32) -> SenderOutput {
    let from = index as usize * 4;
    SenderOutput::Frame(Frame::Chunk {
        upload: up(1),
        index,
        data: Bytes::from_static(&FILE[from..from + 4]),
    })
}

fn cancel(upload: UploadRef) -> SenderOutput {
    SenderOutput::Frame(Frame::Cancel { upload })
}

fn resumed(received: u64) -> ServerMessage {
    ServerMessage::Resumed(resumed_at(received))
}

fn resumed_at(received: u64) -> Resumed {
    let prefix = &FILE[..usize::try_from(received).expect("small").min(FILE.len())];
    Resumed {
        upload: up(1),
        status: ResumeStatus::Resumed,
        bytes_received: received,
        next_index: received / 4,
        chunks_received: Vec::new(),
        crc32c: Some(crc32c_hex(crc32c::crc32c(prefix))),
        chunk_size: 4,
        credit: 100,
    }
}

fn snapshot(upload: UploadRef, status: Status) -> Snapshot {
    Snapshot::new(upload, status)
}

fn progress(snapshot: Snapshot) -> ServerMessage {
    ServerMessage::Progress(Box::new(snapshot))
}
