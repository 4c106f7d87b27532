//! Histories of one unfinished upload that expires: holders renew and leave, others resume it, and every node
//! looks through the store (RESUME-8). Answers of the store are lost or late, and processes die.
//!
//! Invariants:
//! - Bytes are removed only once the record says that the upload ended, and the record only after them.
//! - Whoever resumes the upload finds its bytes.
//! - Nothing is claimed before its time, nor under a holder that lives and whose store works.
//! - In the end neither a record nor bytes are left.

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

/// No fault begins after this time, in milliseconds, and nobody resumes it any more.
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

/// What an actor wrote, or is about to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It read the record, to resume the upload.
    Asking,
    /// It wrote that it holds the upload.
    Taking,
    /// It holds the upload, and renews its lease.
    Holding,
    /// It has to look what became of its save.
    Looking,
    /// It gives the lease back.
    Leaving,
    /// It looks whether time is over.
    Reaping,
    /// It wrote that the upload ended.
    Claiming,
    /// It removes the bytes.
    Removing,
    /// It deletes the record.
    Deleting,
    Done,
}

struct Actor {
    node: usize,
    boot: u32,
    session: u64,
    stage: Stage,
    found: Option<(Record, RecordVersion)>,
    next: Option<Box<Record>>,
    epoch: u64,
    leaves_at: u64,
}

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
    has_bytes: bool,
    wrong: Option<String>,
}

/// Runs the history of a seed; returns its steps, and what went wrong.
pub(crate) fn run(seed: u64, is_loud: bool) -> (u64, Option<String>) {
    let mut rng = Rng::new(seed ^ 0xe0_d1e5);
    let is_shared = rng.chance(60);
    let nodes = if is_shared { 1 + rng.below(3) } else { 1 };
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
            relative_path: None,
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
        let trouble = match self.now < FAULTS_END {
            true => self.rng.below(30),
            false => 30,
        };
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
            holds && actor.boot == self.boots[actor.node] && Some(actor.session) == holder
        };
        let is_held = self.actors.values().any(lives);
        if is_held && self.down_until + SAVED_WITHIN <= self.now {
            self.fail("an upload expires under its holder");
        }
    }

    fn goes(&mut self, actor: usize) {
        let it = &self.actors[&actor];
        let (stage, leaves_at) = (it.stage, it.leaves_at);
        match stage {
            Stage::Holding => {
                let is_leaving = self.now >= leaves_at;
                self.save(actor, is_leaving);
            }
            Stage::Claiming => {
                let found = self.actors[&actor].found.clone();
                let next = self.actors[&actor].next.clone();
                if let (Some((_, version)), Some(next)) = (found, next) {
                    self.call(actor, Call::Put(next, version));
                }
            }
            Stage::Asking | Stage::Looking | Stage::Reaping => self.call(actor, Call::Get),
            Stage::Taking | Stage::Leaving | Stage::Removing | Stage::Deleting | Stage::Done => {}
        }
    }

    fn save(&mut self, actor: usize, is_leaving: bool) {
        let lease = (!is_leaving).then(|| self.lease(actor));
        let it = self.actors.get_mut(&actor).expect("an actor");
        let Some((record, version)) = it.found.clone() else {
            return;
        };
        if is_leaving {
            it.stage = Stage::Leaving;
        }
        let next = Box::new(Record {
            lease,
            updated_unix_ms: EPOCH + self.now,
            ..record
        });
        it.next = Some(next.clone());
        self.call(actor, Call::Put(next, version));
    }

    fn hears(&mut self, actor: usize, event: StoreEvent) {
        let it = self.actors.get_mut(&actor).expect("an actor");
        if let StoreEvent::Found(found) = &event {
            let found = found.as_ref();
            it.found =
                found.map(|(bytes, version)| (Record::decode(bytes).expect("a record"), *version));
        }
        if let (StoreEvent::Saved(version), Some(next)) = (&event, it.next.take()) {
            it.found = Some((*next, *version));
        }
        let works = !matches!(event, StoreEvent::Failed);
        let renews = LEASE_TTL / 3;
        match (it.stage, event) {
            (Stage::Asking, StoreEvent::Found(_)) => self.asks(actor),
            (Stage::Taking, StoreEvent::Saved(_)) => {
                self.actors.get_mut(&actor).expect("an actor").stage = Stage::Holding;
                if !self.has_bytes {
                    self.fail("who resumes an upload finds no bytes");
                }
                self.at(self.now + renews, What::Go(actor));
            }
            (Stage::Holding, StoreEvent::Saved(_)) => self.at(self.now + renews, What::Go(actor)),
            (Stage::Holding, _) => {
                it.stage = Stage::Looking;
                let pause = if works { 0 } else { self.rng.range(250, RETRY) };
                self.at(self.now + pause, What::Go(actor));
            }
            (Stage::Looking, StoreEvent::Found(_)) => {
                let holds = |(record, _): &(Record, RecordVersion)| {
                    record.phase == RecordPhase::Receiving && record.epoch == it.epoch
                };
                let is_ours = it.found.as_ref().is_some_and(holds);
                it.stage = if is_ours { Stage::Holding } else { Stage::Done };
                self.at(self.now, What::Go(actor));
            }
            (Stage::Looking, _) => {
                let pause = self.rng.range(250, RETRY);
                self.at(self.now + pause, What::Go(actor));
            }
            (Stage::Reaping, StoreEvent::Found(_)) => self.reaps(actor),
            (Stage::Claiming, StoreEvent::Saved(_)) => self.removes(actor),
            (Stage::Reaping | Stage::Claiming | Stage::Deleting, _) => self.rests(actor),
            (Stage::Asking | Stage::Taking | Stage::Leaving, _) => {
                it.stage = Stage::Done;
            }
            (Stage::Removing | Stage::Done, _) => {}
        }
    }

    /// Takes the upload over if nobody holds it.
    fn asks(&mut self, actor: usize) {
        let lease = self.lease(actor);
        let is_shared = self.is_shared;
        let it = self.actors.get_mut(&actor).expect("an actor");
        it.stage = Stage::Done;
        let Some((record, version)) = it.found.clone() else {
            return;
        };
        let is_live = |old: &Lease| {
            let counts = is_shared || old.boot == lease.boot;
            counts && old.expires_unix_ms > EPOCH + self.now
        };
        if record.phase != RecordPhase::Receiving || record.lease.as_ref().is_some_and(is_live) {
            return;
        }
        it.stage = Stage::Taking;
        it.epoch = record.epoch + 1;
        let next = Box::new(Record {
            epoch: record.epoch + 1,
            lease: Some(lease),
            updated_unix_ms: EPOCH + self.now,
            ..record
        });
        it.next = Some(next.clone());
        self.call(actor, Call::Put(next, version));
    }

    fn reaps(&mut self, actor: usize) {
        let by = self.borrower(actor);
        let it = self.actors.get_mut(&actor).expect("an actor");
        let Some((record, _)) = &it.found else {
            it.stage = Stage::Done;
            return;
        };
        let ttl = Duration::from_millis(RECORD_TTL);
        let expired = record.expire_unfinished(&by, ttl, EPOCH + self.now);
        if record.is_to_be_removed() {
            self.removes(actor);
        } else if let Some(expired) = expired {
            it.stage = Stage::Claiming;
            it.next = Some(expired.record);
            let pause = expired.held_for.map_or(0, |time| time.as_millis() as u64);
            self.at(self.now + pause, What::Go(actor));
        } else {
            self.rests(actor);
        }
    }

    fn removes(&mut self, actor: usize) {
        let it = self.actors.get_mut(&actor).expect("an actor");
        it.stage = Stage::Removing;
        let pause = self.rng.range(0, 3_000);
        self.at(self.now + pause, What::Removed(actor));
    }

    fn remove_bytes(&mut self, actor: usize) {
        let is_claimed = |record: Record| record.is_to_be_removed();
        if self.has_bytes && !self.records.record(KEY).is_some_and(is_claimed) {
            self.fail("bytes are removed under a record that promises them");
        }
        self.has_bytes = false;
        let it = self.actors.get_mut(&actor).expect("an actor");
        it.stage = Stage::Deleting;
        if let Some((_, version)) = it.found {
            self.call(actor, Call::Delete(version));
        }
    }

    fn rests(&mut self, actor: usize) {
        let it = self.actors.get_mut(&actor).expect("an actor");
        it.stage = Stage::Reaping;
        it.next = None;
        self.at(self.now + REAP_EVERY, What::Go(actor));
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
