//! Walks the product of an upload's three machines, and asserts which combinations can be reached.
//!
//! Uploads are begun, fed, finished, released, cancelled and resumed in random order, over a host
//! whose answers come in any order and with any content.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde_json::{Value, json};
use upload_proto::{Code, Register, UploadRef};

use crate::{
    Asks, CheckpointChange, DisconnectReason, Effect, EntryId, Holder, Notice, Now, Order, Output,
    Query, Question, SessionConfig, SessionLimits, SlotRules, StorageFault, StoreEvent, Uploads,
    Verdict, Why, WriterEvent,
    host::Records,
    time::tests::epoch,
    upload::{recorder::Recorder, stay::Stay, writer::tests::name},
};

/// Each writer, and with which record and stay an upload can be: `o`ff, `k`ept, `d`eleting,
/// `u`nsure; held (`H`), finishing (`F`), leaving (`L`).
///
/// So an upload leaves only while its record is kept, and a file that has its name is never held.
/// A receipt is awaited only where a record is kept, and a writer is gone only from what leaves.
const REACHABLE: &[(&str, &str)] = &[
    ("An", "dF kF oF uF"),
    ("Cd", "kF"),
    ("Cg", "dF kF oF uF"),
    ("Cl", "kF kH kL oF oH"),
    ("Ga", "dH kH kL oH uH"),
    ("Gc", "kL"),
    ("Gr", "kL"),
    ("Gu", "kL"),
    ("Ju", "dH kF kH kL oF oH uF uH"),
    ("OK", "dF dH kF kH kL oF oH uF uH"),
    ("Op", "dH kF kH kL oF oH uF uH"),
    ("gr", "dH kH kL oH uH"),
    ("jr", "dH kF kH kL oF oH uH"),
];

/// What is reached so seldom that a walk may miss it.
const SELDOM: &[(&str, &str)] = &[
    ("Ju", "uH"),
    ("gr", "uH"),
    ("jr", "kL"),
    ("jr", "oF"),
    ("jr", "uH"),
];

/// A number that follows from the last.
struct Rng(u64);

impl Rng {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

struct Walk {
    rng: Rng,
    uploads: Uploads,
    due: Vec<Output>,
    records: Records,
    parked: Vec<crate::Parked>,
    ms: u64,
    sessions: u64,
    seen: BTreeMap<&'static str, BTreeSet<String>>,
}

fn config(session: u64) -> SessionConfig {
    let slot = |name: &str, resumable: bool, authorize: bool| {
        let rules = SlotRules {
            max_entries: 9,
            chunk_size: 4,
            head_bytes: 4,
            resumable,
            authorize,
            keep_on_leave: authorize,
            consume_on_complete: true,
            ..SlotRules::new(name)
        };
        (name.to_owned(), Arc::new(rules))
    };
    SessionConfig {
        slots: BTreeMap::from([
            slot("0", true, false),
            slot("1", true, true),
            slot("2", false, false),
        ]),
        plain: false,
        holder: Holder {
            boot: "boot".into(),
            session,
        },
        tally: Arc::default(),
        limits: SessionLimits::default(),
        checksum: true,
        announces: session.is_multiple_of(2),
    }
}

impl Walk {
    fn new(seed: u64) -> Self {
        Self {
            rng: Rng(seed),
            uploads: Uploads::new(config(1)),
            due: Vec::new(),
            records: Records::default(),
            parked: Vec::new(),
            ms: 0,
            sessions: 1,
            seen: BTreeMap::new(),
        }
    }

    fn now(&self) -> Now {
        Now {
            instant: crate::time::later(start(), Duration::from_millis(self.ms)),
            unix_ms: self.ms,
        }
    }

    fn step(&mut self) {
        let now = self.now();
        let upload = UploadRef::from_bytes([1 + self.rng.below(2) as u8; 16]);
        let entry = self.uploads.find(upload);
        match self.rng.below(22) {
            0 | 1 => {
                let register = Register {
                    upload,
                    upload_name: self.rng.below(3).to_string(),
                    client_name: "a".into(),
                    client_type: String::new(),
                    client_size: [Some(0), Some(3), Some(8), None][self.rng.below(4) as usize],
                    resumable: None,
                    client_id: Some("tab".into()),
                    last_modified: None,
                    relative_path: None,
                    meta: None,
                };
                self.uploads.begin(register, now);
            }
            2 => {
                let asks = match self.rng.below(5) {
                    0 => Asks::Receipt,
                    1 => Asks::Cancel,
                    2 => Asks::Look,
                    _ => Asks::Continue(Some("tab".into())),
                };
                self.uploads.reach(upload, asks, now);
            }
            3..=5 => {
                let length = self.rng.below(5) as usize;
                if let Some(entry) = entry {
                    let data = Bytes::from_static(&[7; 4][..length]);
                    let at = self.uploads.position(entry);
                    let at = at.map_or(0, |position| position.received);
                    self.uploads.append(entry, at, data, now);
                }
            }
            6 | 7 => {
                if let Some(entry) = entry {
                    self.uploads.finish(entry, None, now);
                }
            }
            8 => match (entry, self.rng.below(4)) {
                (Some(entry), 0) => drop(self.uploads.cancel(entry, now)),
                (Some(entry), 1) => self.uploads.release(entry, Why::Lost, now),
                (Some(_), 2) => self.uploads.handle_evict(upload, now),
                _ => {}
            },
            9 => {
                self.ms += self.rng.below(20_000);
                self.uploads.handle_timeout(self.now());
            }
            10 if self.rng.below(20) == 0 => {
                let reason = match self.rng.below(2) {
                    0 => DisconnectReason::Left,
                    _ => DisconnectReason::Lost,
                };
                self.uploads.disconnect(reason, now);
            }
            11 if self.rng.below(20) == 0 => {
                self.sessions += 1;
                self.due.clear();
                self.uploads = Uploads::new(config(self.sessions));
            }
            12 if self.rng.below(9) == 0 => {
                self.records.forget(upload);
            }
            _ => {
                if !self.due.is_empty() {
                    let at = self.rng.below(self.due.len() as u64) as usize;
                    let output = self.due.remove(at);
                    self.answer(output);
                }
            }
        }
        while let Some(effect) = self.uploads.poll() {
            if let Effect::Do(output) = effect {
                match output {
                    Output::Neighbour(entry, Notice::Reserve(_)) => {
                        self.uploads.handle_reserved(entry, true, now);
                    }
                    Output::Writer(_, Order::Park { parked, .. }) => self.parked.push(*parked),
                    other @ (Output::Send(_)
                    | Output::Writer(..)
                    | Output::Store(..)
                    | Output::Neighbour(..)
                    | Output::App(_)
                    | Output::Fact(_)
                    | Output::Close(_)) => self.due.push(other),
                }
            }
            self.look();
        }
        self.look();
    }

    fn look(&mut self) {
        for upload in self.uploads.all() {
            let record = match upload.recorder {
                Recorder::Off => 'o',
                Recorder::Kept(_) => 'k',
                Recorder::Deleting(_) => 'd',
                Recorder::Unsure(_) => 'u',
            };
            let stay = match upload.stay {
                Stay::Held => 'H',
                Stay::Finishing(_) => 'F',
                Stay::Leaving(_) => 'L',
                Stay::Gone(_) => unreachable!("what left is taken out"),
            };
            let seen = self.seen.entry(name(&upload.writer)).or_default();
            seen.insert(format!("{record}{stay}"));
        }
    }

    fn answer(&mut self, output: Output) {
        let now = self.now();
        let how = self.rng.below(8);
        let fault = match self.rng.below(2) {
            0 => StorageFault::Full,
            _ => StorageFault::Failed,
        };
        match output {
            Output::App(Question::Inspect { entry, .. }) => {
                let verdict = match how {
                    0 => Verdict::Refuse(Code::Forbidden.into()),
                    _ => Verdict::Accept,
                };
                self.uploads.handle_verdict(entry, verdict, now);
            }
            Output::App(Question::Authorize { entry, .. }) => {
                self.uploads.handle_authorized(entry, Ok(()), now);
            }
            Output::App(Question::Announce { entry, .. }) => {
                self.uploads.handle_announced(entry, now);
            }
            Output::Neighbour(entry, Notice::FindParked(_)) => {
                let parked = self.parked.first();
                let parked = parked.map(|parked| (parked.fence.clone(), parked.received));
                self.uploads
                    .handle_store(entry, StoreEvent::Parked(parked), now);
            }
            Output::Neighbour(entry, Notice::Evict(_)) => {
                self.uploads.handle_store(entry, StoreEvent::Evicted, now);
            }
            Output::Store(entry, query) => {
                let event = self.store(query, how);
                self.uploads.handle_store(entry, event, now);
            }
            Output::Writer(entry, order) => self.write(entry, order, how, fault),
            Output::Send(_)
            | Output::Fact(_)
            | Output::Close(_)
            | Output::Neighbour(..)
            | Output::App(
                Question::Call { .. } | Question::List { .. } | Question::Remove { .. },
            ) => {}
        }
    }

    fn store(&mut self, query: Query, how: u64) -> StoreEvent {
        if how == 0 {
            return StoreEvent::Failed;
        }
        let event = self.records.answer(query);
        let is_lost = how == 1 && matches!(event, StoreEvent::Saved(_));
        if is_lost { StoreEvent::Failed } else { event }
    }

    fn write(&mut self, entry: EntryId, order: Order, how: u64, fault: StorageFault) {
        let now = self.now();
        let all = self
            .uploads
            .position(entry)
            .map_or(0, |position| position.received);
        let checkpoint = match self.rng.below(6) {
            0 => CheckpointChange::Absent,
            1 => CheckpointChange::New(json!({ "at": all, "pad": "x".repeat(17_000) })),
            2 => CheckpointChange::New(json!({ "at": all })),
            _ => CheckpointChange::Same,
        };
        let event = match order {
            _ if how == 0 => WriterEvent::Failed(fault),
            Order::Open => WriterEvent::Opened {
                checkpoint: (how > 2).then(|| Value::from(1)),
            },
            Order::Reopen { fence, .. } => {
                let parked = self.parked.iter().position(|it| it.fence == fence);
                match (parked, how) {
                    (Some(at), 4..) => WriterEvent::Unparked(Box::new(self.parked.swap_remove(at))),
                    (_, 1) => WriterEvent::Gone,
                    (_, 2) => WriterEvent::ClosedBefore {
                        result: Value::Null,
                    },
                    (_, _) => WriterEvent::Reopened { checkpoint },
                }
            }
            Order::Write(_) | Order::Flush => WriterEvent::Wrote {
                received: all,
                durable: all.saturating_sub(how / 3),
                buffered: how / 4,
                checkpoint,
            },
            Order::Close => WriterEvent::Closed {
                result: Value::Null,
            },
            Order::Halt | Order::Abort(_) | Order::Release => return,
            Order::Remove(_) | Order::Park { .. } => return,
        };
        self.uploads.handle_writer(entry, event, now);
    }
}

fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(epoch)
}

#[test]
fn only_these_combinations_are_reachable() {
    let mut seen: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
    for seed in 0..2_000 {
        let mut walk = Walk::new(seed);
        for _ in 0..500 {
            walk.step();
        }
        for (writer, rest) in walk.seen {
            seen.entry(writer).or_default().extend(rest);
        }
    }
    for (writer, rest) in SELDOM {
        seen.entry(writer).or_default().insert((*rest).to_owned());
    }
    let seen: Vec<_> = seen
        .into_iter()
        .map(|(writer, rest)| (writer, rest.into_iter().collect::<Vec<_>>().join(" ")))
        .collect();
    let seen: Vec<_> = seen
        .iter()
        .map(|(writer, rest)| (*writer, &**rest))
        .collect();
    assert_eq!(seen, REACHABLE);
}
