//! The product of a sender's machines: which of their states occur together.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use bytes::Bytes;
use upload_proto::{
    Code, ErrorMessage, Registered, ResumeStatus, Resumed, Retry, ServerMessage, Snapshot, Status,
    UploadRef, crc32c_hex,
};

use super::{
    FileCheck, FileFacts, Link, Outcome, Pace, ReadId, RefUse, Sender, SenderConfig, SenderOutput,
    Stage, Wake,
};
use crate::{Now, time::tests::epoch};

const FILE: &[u8] = b"abcdefghijklmnopqrst";

/// The state of each machine by name.
type Product = (&'static str, &'static str, &'static str, &'static str);

const LINKS: [&str; 4] = ["down", "connecting", "up", "draining"];
const REFS: [&str; 4] = ["unused", "offered", "known", "wanted"];
const STAGES: [&str; 12] = [
    "idle",
    "asking",
    "verifying",
    "sending",
    "checking",
    "completing",
    "until",
    "unpaused",
    "reconnected",
    "fresh ref",
    "cancelling",
    "done",
];
const PACES: [&str; 2] = ["running", "paused"];

fn product(sender: &Sender) -> Product {
    let link = match sender.link {
        Link::Down { .. } => "down",
        Link::Connecting => "connecting",
        Link::Up { .. } => "up",
        Link::Draining { .. } => "draining",
    };
    let ref_use = match sender.ref_use {
        RefUse::Unused(_) => "unused",
        RefUse::Offered(_) => "offered",
        RefUse::Known(_) => "known",
        RefUse::Wanted(_) => "wanted",
    };
    let stage = match sender.stage {
        Stage::Idle => "idle",
        Stage::Asking => "asking",
        Stage::Verifying { .. } => "verifying",
        Stage::Sending { .. } => "sending",
        Stage::Checking { .. } => "checking",
        Stage::Completing => "completing",
        Stage::Waiting(Wake::At(_)) => "until",
        Stage::Waiting(Wake::Unpaused) => "unpaused",
        Stage::Waiting(Wake::Reconnected) => "reconnected",
        Stage::Waiting(Wake::FreshRef) => "fresh ref",
        Stage::Cancelling => "cancelling",
        Stage::Done(_) => "done",
    };
    let pace = match sender.pace {
        Pace::Running => "running",
        Pace::Paused => "paused",
    };
    (link, ref_use, stage, pace)
}

/// Whether these states belong together.
fn occurs((link, ref_use, stage, pace): Product) -> bool {
    let is_up = matches!(link, "up" | "draining");
    let is_settled = matches!(ref_use, "unused" | "known");
    match stage {
        "idle" => !is_up && ref_use != "offered",
        "asking" => is_up && matches!(ref_use, "offered" | "known"),
        "verifying" | "sending" | "checking" | "completing" => is_up && ref_use == "known",
        "until" => is_up && is_settled,
        // Going on ends this wait at once.
        "unpaused" => is_up && is_settled && pace == "paused",
        "reconnected" => link == "draining" && is_settled,
        "fresh ref" => is_up && ref_use == "wanted",
        "cancelling" => !is_up && ref_use == "known",
        "done" => true,
        other => panic!("{other} is no stage"),
    }
}

/// A random walk over all inputs reaches every combination of states that belongs together, and
/// no other.
#[test]
fn the_states_that_occur_together() {
    let mut seen = BTreeSet::new();
    for seed in 1..=4_000 {
        let mut walk = Walk::new(seed);
        for _ in 0..120 {
            walk.step();
            let product = product(&walk.sender);
            assert!(occurs(product), "{product:?} in walk {seed}");
            seen.insert(product);
        }
    }
    for link in LINKS {
        for ref_use in REFS {
            for stage in STAGES {
                for pace in PACES {
                    let product = (link, ref_use, stage, pace);
                    // How it ended does not matter: nothing is asked of the others any more.
                    let is_end = stage == "done";
                    assert!(
                        is_end || occurs(product) == seen.contains(&product),
                        "{product:?} does not occur"
                    );
                }
            }
        }
    }
    assert!(seen.iter().any(|(_, _, stage, _)| *stage == "done"));
}

struct Walk {
    sender: Sender,
    random: u64,
    at: Instant,
    refs: u8,
    reads: Vec<(ReadId, u64, u32)>,
    checks: Vec<ReadId>,
}

impl Walk {
    fn new(seed: u64) -> Self {
        let facts = FileFacts {
            upload: UploadRef::from_bytes([1; 16]),
            is_known: seed.is_multiple_of(3),
            slot: "keep".into(),
            name: "a".into(),
            media_type: String::new(),
            size: FILE.len() as u64,
            last_modified: None,
            relative_path: None,
            meta: None,
            client_id: None,
        };
        let config = SenderConfig {
            stall: Duration::from_secs(5),
            attempts_max: 1_000,
            restarts_max: 1_000,
            ..SenderConfig::default()
        };
        Self {
            sender: Sender::new(facts, config),
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            at: epoch(),
            refs: 1,
            reads: Vec::new(),
            checks: Vec::new(),
        }
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % limit
    }

    fn step(&mut self) {
        let pause = self.below(2_000);
        self.at += Duration::from_millis(pause);
        let now = Now {
            instant: self.at,
            unix_ms: 0,
        };
        match self.below(40) {
            0..6 => self.sender.handle_connected(now),
            6 => self.sender.handle_disconnected(now),
            7..10 => self.sender.handle_timeout(now),
            10 => self.sender.pause(),
            11 => self.sender.unpause(now),
            12..16 => {
                self.refs = self.refs.wrapping_add(1);
                let fresh = UploadRef::from_bytes([self.refs.max(1); 16]);
                self.sender.handle_ref(fresh, now);
            }
            16 if self.below(60) == 0 => self.sender.cancel(),
            16..18 => self.poll(),
            18..24 => self.answer_reads(now),
            24..26 => {
                if let Some(id) = self.checks.pop() {
                    self.sender.handle_checked(id, FileCheck::Unchanged, now);
                }
            }
            _ => {
                let message = self.message();
                self.sender.handle_message(&message, now);
            }
        }
    }

    fn poll(&mut self) {
        for _ in 0..3 {
            match self.sender.poll_output() {
                Some(SenderOutput::Read { id, offset, length }) => {
                    self.reads.push((id, offset, length));
                }
                Some(SenderOutput::CheckFile { id }) => self.checks.push(id),
                Some(_) | None => {}
            }
        }
    }

    fn answer_reads(&mut self, now: Now) {
        self.poll();
        for _ in 0..3 {
            if self.reads.is_empty() {
                return;
            }
            let place = self.below(self.reads.len() as u64) as usize;
            let (id, offset, length) = self.reads.swap_remove(place);
            let data = &FILE[offset as usize..offset as usize + length as usize];
            self.sender.handle_data(id, Bytes::from_static(data), now);
        }
    }

    fn message(&mut self) -> ServerMessage {
        let upload = self.sender.upload();
        let received = self.below(FILE.len() as u64 + 1);
        let prefix = &FILE[..received as usize];
        let mut snapshot = Snapshot::new(upload, Status::Uploading);
        snapshot.credit = self.below(60);
        snapshot.next_index = received / 4;
        match self.below(12) {
            0..3 => ServerMessage::Registered(Registered {
                upload,
                upload_name: "keep".into(),
                chunk_size: 4,
                credit: self.below(40),
                resumable: true,
                expires_in: None,
            }),
            3..7 => {
                let differs = self.below(8) == 0;
                ServerMessage::Resumed(Resumed {
                    upload,
                    status: match self.below(8) {
                        0 => ResumeStatus::Complete,
                        1 => ResumeStatus::NotFound,
                        2 => ResumeStatus::Locked,
                        _ => ResumeStatus::Resumed,
                    },
                    bytes_received: received,
                    next_index: received / 4,
                    chunks_received: Vec::new(),
                    crc32c: Some(crc32c_hex(crc32c::crc32c(prefix) ^ u32::from(differs))),
                    chunk_size: 4,
                    credit: self.below(40),
                })
            }
            7 => {
                snapshot.bytes_received = received;
                snapshot.code = Some(Code::Incomplete);
                snapshot.retry = Some(Retry::Resend);
                ServerMessage::Progress(Box::new(snapshot))
            }
            8 => {
                snapshot.detached = Some(true);
                ServerMessage::Progress(Box::new(snapshot))
            }
            9 => {
                let code = [Code::RateLimited, Code::IdleTimeout][self.below(2) as usize];
                let snapshot = Snapshot::new(upload, Status::Error).with_code(code);
                ServerMessage::Progress(Box::new(snapshot))
            }
            10 => ServerMessage::Error(ErrorMessage::new(Code::RateLimited, Some(upload))),
            _ if self.below(4) == 0 => ServerMessage::Draining {
                reconnect_after_ms: 100,
            },
            _ => ServerMessage::Progress(Box::new(snapshot)),
        }
    }
}

/// What comes after the end changes nothing.
#[test]
fn an_end_is_final() {
    for seed in 1..200 {
        let mut walk = Walk::new(seed);
        for _ in 0..50 {
            walk.step();
        }
        walk.sender.cancel();
        walk.sender.handle_connected(Now {
            instant: walk.at,
            unix_ms: 0,
        });
        let Some(outcome) = walk.sender.outcome().cloned() else {
            panic!("walk {seed} has not ended");
        };
        let last: Vec<_> = std::iter::from_fn(|| walk.sender.poll_output()).collect();
        assert!(last.len() <= 1, "{last:?}");
        for _ in 0..200 {
            walk.step();
            assert_eq!(walk.sender.outcome(), Some(&outcome));
            assert_eq!(walk.sender.poll_output(), None);
            assert_eq!(walk.sender.poll_timeout(), None);
        }
        assert!(!matches!(outcome, Outcome::Complete { .. }));
    }
}
