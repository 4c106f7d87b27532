//! Histories of one unfinished upload that expires: holders renew and leave, others resume it, and every node
//! looks through the store (RESUME-8). Answers of the store are lost or late, and processes die.
//!
//! Invariants:
//! - Bytes are removed only once the record says that the upload ended, and the record only after them.
//! - A client that resumes the upload finds its bytes.
//! - Nothing is claimed before its time, nor under a holder that lives and whose store works.
//! - In the end neither a record nor bytes are left.

mod actor;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::Duration,
};

use serde_json::json;
use upload_core::{
    Borrower, Holder, Lease, Length, Record, RecordExpect, RecordPhase, RecordVersion, StoreEvent,
};

use crate::{due::Due, records::Records, rng::Rng, taking::KEY};

use self::actor::{Actor, Stage};

/// No fault begins after this time, in milliseconds, and no one resumes it any more.
const FAULTS_END: u64 = 300_000;
/// When nothing may be left.
const END: u64 = 600_000;
/// How long an upload is kept without progress.
const RECORD_TTL: u64 = 30_000;
const LEASE_TTL: u64 = 6_000;
/// How often each node looks through the store.
const REAP_EVERY: u64 = 7_000;
/// A holder's longest pause after a save that failed.
const RETRY: u64 = 10_000;
/// How long a store has to work before a holder is owed its upload.
const SAVED_WITHIN: u64 = 20_000;
const EPOCH: u64 = 1_700_000_000_000;

#[derive(Debug)]
enum Call {
    Get,
    Put(Box<Record>, RecordVersion),
    Delete(RecordVersion),
}

#[derive(Debug)]
enum What {
    Come(usize, Stage),
    Go(usize),
    Effect(usize, Call, Option<u64>),
    Answer(usize, StoreEvent),
    Removed(usize),
    Crash(usize),
    Down(u64),
}

struct Expiring {
    now: u64,
    rng: Rng,
    queue: BinaryHeap<Reverse<Due<What>>>,
    seq: u64,
    records: Records,
    actors: BTreeMap<usize, Actor>,
    /// Which start of the process it is.
    boots: Vec<u32>,
    is_shared: bool,
    down_until: u64,
    /// One call in this many has trouble of its own; 0 for none.
    trouble_one_in: u64,
    has_bytes: bool,
    wrong: Option<String>,
}

/// Runs the history of a seed; returns its steps, and what went wrong.
pub(crate) fn run(seed: u64, is_loud: bool) -> (u64, Option<String>) {
    let mut rng = Rng::new(seed ^ 0xe0_d1e5);
    let is_shared = rng.chance(60);
    let nodes = if is_shared { 1 + rng.below(3) } else { 1 };
    let trouble_one_in = rng.pick(&[0, 10, 100]);
    let mut world = Expiring {
        now: 0,
        rng,
        queue: BinaryHeap::new(),
        seq: 0,
        records: Records::default(),
        actors: BTreeMap::new(),
        boots: vec![0; nodes],
        is_shared,
        down_until: 0,
        trouble_one_in,
        has_bytes: true,
        wrong: None,
    };
    world.begin();
    let mut steps = 0;
    while let Some(Reverse(due)) = world.queue.pop() {
        if due.at > END || world.wrong.is_some() {
            break;
        }
        world.now = due.at;
        steps += 1;
        if is_loud {
            println!("    {} expiring {:?}", world.now, due.what);
        }
        world.step(due.what);
        world.check();
    }
    let is_left = world.records.is_there(KEY, world.now) || world.has_bytes;
    if world.wrong.is_none() && is_left {
        world.fail("it is left behind");
    }
    let wrong = world.wrong.map(|wrong| format!("expiring: {wrong}"));
    (steps, wrong)
}

impl Expiring {
    fn begin(&mut self) {
        let record = Record {
            layout: 1,
            slot: "keep".into(),
            client_name: "a".into(),
            stored_name: None,
            client_type: String::new(),
            length: Length::Known(9),
            ends_by_word: false,
            relative_path: None,
            folder: None,
            last_modified: None,
            meta: serde_json::Map::new(),
            chunk_size: 4,
            phase: RecordPhase::Receiving,
            offset: 8,
            head: bytes::Bytes::new(),
            crc32c: None,
            file_crc32c: None,
            opened: true,
            checkpoint: Some(json!({"file": 1})),
            epoch: 1,
            lease: None,
            result: serde_json::Value::Null,
            unclaimed: None,
            birth: "birth".into(),
            created_unix_ms: EPOCH,
            updated_unix_ms: EPOCH,
        };
        let bytes = record.encode().expect("a small record");
        let put = (bytes, record.charge());
        let ttl = self.ttl(&record);
        let put = self.records.put(KEY, put, RecordExpect::Absent, ttl, 0);
        assert_eq!(put.1, Ok(()));
        for node in 0..self.boots.len() {
            let at = self.rng.range(0, REAP_EVERY);
            self.at(at, What::Come(node, Stage::Reaping));
        }
        for _ in 0..self.rng.range(0, 5) {
            let node = self.rng.below(self.boots.len());
            let at = self.rng.range(0, FAULTS_END / 2);
            self.at(at, What::Come(node, Stage::Asking));
        }
        for _ in 0..self.rng.range(0, 2) {
            let node = self.rng.below(self.boots.len());
            let at = self.rng.range(0, FAULTS_END);
            self.at(at, What::Crash(node));
        }
        for _ in 0..self.rng.range(0, 2) {
            let (at, long) = (
                self.rng.range(0, FAULTS_END - 100_000),
                self.rng.range(1, 100_000),
            );
            self.at(at, What::Down(long));
        }
    }

    fn at(&mut self, at: u64, what: What) {
        self.seq += 1;
        let seq = self.seq;
        self.queue.push(Reverse(Due { at, seq, what }));
    }

    fn step(&mut self, what: What) {
        match what {
            What::Come(node, stage) => {
                let session = self.actors.len() as u64;
                let leaves_at = self.now + self.rng.range(0, 60_000);
                let actor = Actor {
                    node,
                    boot: self.boots[node],
                    session,
                    stage,
                    found: None,
                    next: None,
                    epoch: 0,
                    leaves_at,
                    failed_at: 0,
                };
                let number = self.actors.len();
                self.actors.insert(number, actor);
                self.call(number, Call::Get);
            }
            What::Go(actor) if self.is_alive(actor) => self.goes(actor),
            What::Answer(actor, event) if self.is_alive(actor) => self.hears(actor, event),
            What::Effect(actor, call, back) => self.effect(actor, call, back),
            What::Removed(actor) if self.is_alive(actor) => {
                self.remove_bytes(actor);
            }
            What::Go(_) | What::Answer(..) | What::Removed(_) => {}
            What::Crash(node) => {
                self.boots[node] += 1;
                self.at(self.now + 50, What::Come(node, Stage::Reaping));
            }
            What::Down(long) => self.down_until = self.now + long,
        }
    }

    fn is_alive(&self, actor: usize) -> bool {
        let actor = &self.actors[&actor];
        actor.boot == self.boots[actor.node] && actor.stage != Stage::Done
    }

    fn call(&mut self, actor: usize, call: Call) {
        let (there, back) = (self.now + self.rng.range(0, 40), self.rng.range(0, 40));
        let one_in = self.trouble_one_in;
        let is_troubled = one_in > 0 && self.now < FAULTS_END && self.rng.range(1, one_in) == 1;
        let trouble = match is_troubled {
            true => self.rng.below(3),
            false => 3,
        };
        if let (true, Some(it)) = (is_troubled, self.actors.get_mut(&actor)) {
            it.failed_at = self.now;
        }
        let failed = What::Answer(actor, StoreEvent::Failed);
        match trouble {
            0 => self.at(there + back, failed),
            1 => {
                self.at(there, What::Effect(actor, call, None));
                self.at(there + back, failed);
            }
            2 => {
                let late = self.rng.range(0, 2_000);
                self.at(there + back, failed);
                self.at(there + back + late, What::Effect(actor, call, None));
            }
            _ => self.at(there, What::Effect(actor, call, Some(back))),
        }
    }

    fn effect(&mut self, actor: usize, call: Call, back: Option<u64>) {
        let event = match call {
            _ if self.now < self.down_until => StoreEvent::Failed,
            Call::Get => self.records.get(KEY, self.now),
            Call::Put(record, version) => {
                let before = self.records.record(KEY);
                let (ttl, charge) = (self.ttl(&record), record.charge());
                let bytes = record.encode().expect("a small record");
                let expect = RecordExpect::Version(version);
                let put = self
                    .records
                    .put(KEY, (bytes, charge), expect, ttl, self.now);
                if let Err(what) = put.1 {
                    self.fail(&what);
                }
                if let (StoreEvent::Saved(_), Some(before)) = (&put.0, before) {
                    self.judge(&before, &record);
                }
                put.0
            }
            Call::Delete(version) => {
                let event = self.records.delete(KEY, version, self.now);
                if matches!(event, StoreEvent::Deleted) && self.has_bytes {
                    self.fail("a record is deleted before the bytes that it names");
                }
                event
            }
        };
        if let Some(back) = back {
            self.at(self.now + back, What::Answer(actor, event));
        }
    }

    /// What a write means that took effect.
    fn judge(&mut self, before: &Record, after: &Record) {
        if before.phase == RecordPhase::Ended && after.phase != RecordPhase::Ended {
            self.fail("an upload continues that expired");
        }
        if before.phase == RecordPhase::Ended || after.phase != RecordPhase::Ended {
            return;
        }
        if before.updated_unix_ms + RECORD_TTL > EPOCH + self.now {
            self.fail("an upload expires before its time");
        }
        let holder = before.lease.as_ref().map(|lease| lease.session);
        let lives = |actor: &Actor| {
            let holds = matches!(actor.stage, Stage::Holding | Stage::Looking);
            let worked = actor.failed_at == 0 || actor.failed_at + SAVED_WITHIN <= self.now;
            let is_alive = actor.boot == self.boots[actor.node];
            holds && worked && is_alive && Some(actor.session) == holder
        };
        let is_held = self.actors.values().any(lives);
        if is_held && self.down_until + SAVED_WITHIN <= self.now {
            self.fail("an upload expires under its holder");
        }
    }

    /// There is never a record whose bytes are gone, but one that says so, nor bytes without a record.
    fn check(&mut self) {
        let is_there = self.records.is_there(KEY, self.now);
        let record = self.records.record(KEY).filter(|_| is_there);
        if record.is_none() && self.has_bytes {
            self.fail("bytes are left without a record");
        }
        if !self.has_bytes && record.is_some_and(|record| record.phase != RecordPhase::Ended) {
            self.fail("a record is left without its bytes");
        }
    }

    fn ttl(&self, record: &Record) -> u64 {
        let ttl = record.kept_for(Duration::from_millis(RECORD_TTL), EPOCH + self.now);
        ttl.as_millis() as u64
    }

    fn lease(&self, actor: usize) -> Lease {
        let by = self.borrower(actor);
        Lease {
            boot: by.holder.boot,
            session: by.holder.session,
            client_id: None,
            expires_unix_ms: EPOCH + self.now + LEASE_TTL,
        }
    }

    fn borrower(&self, actor: usize) -> Borrower {
        let actor = &self.actors[&actor];
        Borrower {
            holder: Holder {
                boot: format!("{} of {}", actor.boot, actor.node),
                session: actor.session,
            },
            lease_ttl: Duration::from_millis(LEASE_TTL),
            shared_store: self.is_shared,
        }
    }

    fn fail(&mut self, what: &str) {
        let now = self.now;
        self.wrong
            .get_or_insert_with(|| format!("at {now} ms: {what}"));
    }
}
