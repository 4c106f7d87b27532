//! Text messages of servers (PROTOCOL section 6), ranges and all, and what a sender makes of them.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use upload_core::{FileCheck, FileFacts, Now, Sender, SenderConfig, SenderOutput};
use upload_proto::{Frame, ServerMessage, UploadRef};

/// The ref that all golden vectors name.
const REF: [u8; 16] = [
    0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99,
];

/// Size of the file that is sent.
const SIZE: u64 = 500;

/// Frames that are looked at after one message; chunks may be of one byte each.
const FRAMES_MAX: usize = 600;

/// Messages, a line each.
pub(super) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let facts = FileFacts {
        upload: UploadRef::from_bytes(REF),
        is_known: input.first() == Some(&b' '),
        slot: "any".to_owned(),
        name: "photo.png".to_owned(),
        media_type: String::new(),
        size: SIZE,
        last_modified: None,
        relative_path: None,
        meta: None,
        client_id: None,
    };
    let mut sender = Sender::new(facts, SenderConfig::default());
    let mut credit = 0;
    drain(&mut sender, 0);
    sender.handle_connected(now(0));
    drain(&mut sender, 0);
    for (line, at) in text.lines().zip(1..) {
        let Ok(Some(message)) = ServerMessage::parse(line) else {
            continue;
        };
        let again = ServerMessage::parse(&message.to_json());
        assert_eq!(
            again.ok().flatten().as_ref(),
            Some(&message),
            "what was read is written the same"
        );
        credit = credit.max(credit_of(&message));
        sender.handle_message(&message, now(at));
        drain_within(&mut sender, credit, at);
    }
}

/// The largest offset that any message allowed (CREDIT-1).
fn credit_of(message: &ServerMessage) -> u64 {
    match message {
        ServerMessage::Registered(it) => it.credit,
        ServerMessage::Resumed(it) => it.credit,
        ServerMessage::Progress(it) => it.credit,
        _ => 0,
    }
}

fn drain(sender: &mut Sender, at: u64) {
    drain_within(sender, 0, at);
}

/// Answers every effect, and holds what is sent against the credit and the file.
fn drain_within(sender: &mut Sender, credit: u64, at: u64) {
    for _ in 0..FRAMES_MAX {
        let Some(output) = sender.poll_output() else {
            break;
        };
        match output {
            SenderOutput::CheckFile { id } => {
                assert_eq!(sender.progress().sent, SIZE, "all was read before");
                sender.handle_checked(id, FileCheck::Unchanged, now(at));
            }
            SenderOutput::Read { id, offset, length } => {
                assert!(
                    offset + u64::from(length) <= SIZE,
                    "only what is in the file is read"
                );
                let data = (offset..offset + u64::from(length))
                    .map(|at| at as u8)
                    .collect::<Vec<_>>();
                sender.handle_data(id, data.into(), now(at));
            }
            SenderOutput::Frame(Frame::Chunk { data, .. }) => {
                assert!(data.len() as u64 <= credit.min(SIZE), "CREDIT-1");
            }
            SenderOutput::NeedRef => {
                sender.handle_ref(UploadRef::from_bytes(REF), now(at));
            }
            SenderOutput::Disconnect => {
                sender.handle_disconnected(now(at));
                break;
            }
            SenderOutput::Connect => {
                sender.handle_connected(now(at));
            }
            SenderOutput::Message(_) | SenderOutput::Frame(_) => {}
        }
        let progress = sender.progress();
        assert_eq!(progress.size, SIZE);
        assert!(progress.sent <= SIZE, "{progress:?}");
    }
}

pub(super) fn now(ms: u64) -> Now {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    Now {
        instant: *EPOCH.get_or_init(Instant::now) + Duration::from_millis(ms),
        unix_ms: ms,
    }
}
