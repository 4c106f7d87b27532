//! PROTOCOL 7 and 8 from the other side: the sender.

use std::time::{Duration, Instant};

use bytes::Bytes;
use upload_core::{FileFacts, Now, Outcome, Sender, SenderConfig, SenderOutput};
use upload_proto::{
    ClientMessage, Code, Frame, ResumeStatus, Resumed, ServerMessage, Snapshot, Status, crc32c_hex,
};

use crate::rig::up;

const FILE: &[u8] = b"abcdefghijklmnop";

/// A sender of 16 bytes that resumes what it knows.
fn resuming(now: Now) -> Sender {
    let facts = FileFacts {
        upload: up(1),
        is_known: true,
        slot: "keep".into(),
        name: "a.txt".into(),
        media_type: String::new(),
        size: FILE.len() as u64,
        last_modified: None,
        relative_path: None,
        meta: None,
        client_id: Some("tab".into()),
    };
    let mut sender = Sender::new(facts, SenderConfig::default(), now);
    sender.handle_connected(now);
    drain(&mut sender);
    sender
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

fn drain(sender: &mut Sender) -> Vec<SenderOutput> {
    std::iter::from_fn(|| sender.poll_output()).collect()
}

fn resumed(received: u64) -> ServerMessage {
    let prefix = &FILE[..usize::try_from(received).expect("small")];
    ServerMessage::Resumed(Resumed {
        upload: up(1),
        status: ResumeStatus::Resumed,
        bytes_received: received,
        next_index: received / 4,
        chunks_received: Vec::new(),
        crc32c: Some(crc32c_hex(crc32c::crc32c(prefix))),
        chunk_size: 4,
        credit: 100,
    })
}

fn read(offset: u64, length: u32) -> SenderOutput {
    SenderOutput::Read { offset, length }
}

/// RESUME-6: an answer to a question of the past is not a file that shrank.
#[test]
fn a_stale_read_is_asked_again() {
    let now = start();
    let mut sender = resuming(now);
    sender.handle_message(&resumed(4), now);
    assert_eq!(drain(&mut sender), [read(0, 4)]);
    sender.handle_disconnected(now);
    sender.handle_connected(now);
    sender.handle_message(&resumed(8), now);
    drain(&mut sender);
    sender.handle_data(0, Bytes::from_static(&FILE[..4]), now);
    assert_eq!(drain(&mut sender), [read(0, 8)]);
    sender.handle_data(0, Bytes::from_static(&FILE[..8]), now);
    assert_eq!(drain(&mut sender), [read(8, 4), read(12, 4)]);
    // More than a chunk is no chunk.
    sender.handle_data(8, Bytes::from_static(&FILE[8..]), now);
    let chunk = SenderOutput::Frame(Frame::Chunk {
        upload: up(1),
        index: 2,
        data: Bytes::from_static(&FILE[8..12]),
    });
    assert_eq!(drain(&mut sender), [chunk]);
}

/// RESUME-6: a file that shrank is another file.
#[test]
fn a_short_read_ends_it() {
    let now = start();
    let mut sender = resuming(now);
    sender.handle_message(&resumed(8), now);
    drain(&mut sender);
    sender.handle_data(0, Bytes::from_static(&FILE[..4]), now);
    assert_eq!(sender.outcome(), Some(&Outcome::FileChanged));
}

/// RESUME-6: not a byte is sent after a prefix that differs.
#[test]
fn another_prefix_begins_anew() {
    let now = start();
    let mut sender = resuming(now);
    sender.handle_message(&resumed(8), now);
    drain(&mut sender);
    sender.handle_data(0, Bytes::from_static(b"ABCDEFGH"), now);
    assert_eq!(drain(&mut sender), [SenderOutput::NeedRef]);
    sender.handle_ref(up(2));
    let asked = drain(&mut sender);
    let [SenderOutput::Message(ClientMessage::Register(register))] = &asked[..] else {
        panic!("{asked:?}");
    };
    assert_eq!(register.upload, up(2));
}

/// RESUME-3a: the late word of a detaching does not make it ask for ever.
#[test]
fn a_second_word_of_detaching() {
    let now = start();
    let mut sender = resuming(now);
    let mut detached = Snapshot::new(up(1), Status::Uploading).with_code(Code::StorageFull);
    detached.detached = Some(true);
    detached.retry_after_ms = Some(5_000);
    sender.handle_message(&ServerMessage::Progress(Box::new(detached)), now);
    sender.handle_message(&resumed(8), now);
    assert_eq!(drain(&mut sender), [read(0, 8)]);
}

/// CTRL-4: a registration whose answer was lost is resumed, not made again.
#[test]
fn a_lost_answer_is_asked_for() {
    let now = start();
    let mut sender = resuming(now);
    sender.handle_message(
        &ServerMessage::Resumed(Resumed {
            status: ResumeStatus::NotFound,
            ..match resumed(0) {
                ServerMessage::Resumed(it) => it,
                other => panic!("{other:?}"),
            }
        }),
        now,
    );
    drain(&mut sender);
    sender.handle_ref(up(2));
    drain(&mut sender);
    sender.handle_disconnected(now);
    let later = Now {
        instant: now.instant + Duration::from_secs(60),
        ..now
    };
    sender.handle_timeout(later);
    assert_eq!(drain(&mut sender), [SenderOutput::Connect]);
    sender.handle_connected(later);
    let asked = drain(&mut sender);
    let [SenderOutput::Message(ClientMessage::Resume(resume))] = &asked[..] else {
        panic!("{asked:?}");
    };
    assert_eq!(resume.upload, up(2));
}
