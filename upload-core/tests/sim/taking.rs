//! Histories of one finished upload: handlers on several nodes take it, its page removes it, time expires it
//! (CTRL-6, COMPLETE-7). Answers of the store are lost or late, and processes die.
//!
//! Invariants:
//! - There are never two live loans, and a live loan is neither removed nor expired.
//! - What was taken, removed or expired is never lent again.
//! - Every attempt has the same take id and a higher number.
//! - The target of a move is never forgotten.
//! - A record counts as waiting exactly while its upload waits.
//! - The only record that names a file outlives it.
//! - In the end the upload is taken, or its file is gone.

mod actor;
mod truth;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::Duration,
};

use serde_json::json;
use upload_core::{Borrower, Holder, Record, RecordExpect, StoreEvent};
use upload_proto::UploadRef;

use crate::{due::Due, records::Records, rng::Rng, world::Key};

use self::{
    actor::{Actor, Job},
    truth::Truth,
};

/// No fault begins after this time, in milliseconds.
const FAULTS_END: u64 = 6_000;
/// When everything has to have ended well, if the upload waits that long.
const END: u64 = 60_000;
/// How long a record is kept that only tells how an upload ended.
const RECORD_TTL: Duration = Duration::from_secs(3);
/// How often a store is looked through.
const REAP_EVERY: u64 = 2_000;
/// Milliseconds since the Unix epoch when a history begins.
const EPOCH: u64 = 1_700_000_000_000;
pub(crate) const KEY: Key = (1, UploadRef::from_bytes([7; 16]));

/// What an actor asks of the store.
#[derive(Debug)]
enum Call {
    Get,
    Put(Box<Record>, RecordExpect, Job),
}

#[derive(Debug)]
enum What {
    /// Somebody of this node wants something.
    Come(usize, Job),
    /// The actor's turn.
    Go(usize),
    /// A call takes effect, and is answered so long after that; `None` where its failure was reported before.
    Effect(usize, Call, Option<u64>),
    Answer(usize, StoreEvent),
    /// The process dies, and another one begins.
    Crash(usize),
    /// The file of an upload that ended is removed.
    Clear(usize, Box<Record>, RecordExpect),
}

/// What there is in one history.
pub(crate) struct Taking {
    now: u64,
    rng: Rng,
    queue: BinaryHeap<Reverse<Due<What>>>,
    seq: u64,
    records: Records,
    actors: Vec<Actor>,
    /// Which start of the process it is, and how far its clock is off.
    nodes: Vec<(u32, i64)>,
    is_shared: bool,
    lease_ttl: u64,
    delay: u64,
    until: u64,
    truth: Truth,
    steps: u64,
    wrong: Option<String>,
}

/// Runs the history of a seed; returns its steps, and what went wrong.
pub(crate) fn run(seed: u64, is_loud: bool) -> (u64, Option<String>) {
    let mut taking = Taking::new(seed);
    while taking.wrong.is_none() {
        let Some(Reverse(due)) = taking.queue.pop() else {
            break;
        };
        taking.now = taking.now.max(due.at);
        taking.steps += 1;
        if is_loud {
            println!("{:>7} {:?}", taking.now, due.what);
        }
        taking.step(due.what);
        taking.check_record();
    }
    taking.look_back();
    (taking.steps, taking.wrong)
}

impl Taking {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x7a41);
        let is_shared = rng.chance(75);
        let count = if is_shared { rng.range(1, 3) } else { 1 };
        let skewed = is_shared && rng.chance(25);
        let mut skew = || match skewed {
            true => rng.range(0, 6000) as i64 - 3000,
            false => 0,
        };
        let nodes = (0..count).map(|_| (0, skew())).collect();
        let until = rng.pick(&[4_000, 9_000, 3_600_000]);
        let mut taking = Self {
            now: 0,
            lease_ttl: rng.pick(&[300, 1_000]),
            delay: rng.pick(&[1, 20, 150]),
            rng,
            queue: BinaryHeap::new(),
            seq: 0,
            records: Records::default(),
            actors: Vec::new(),
            nodes,
            is_shared,
            until,
            truth: Truth::default(),
            steps: 0,
            wrong: None,
        };
        taking.begin();
        taking
    }

    fn begin(&mut self) {
        let record = json!({
            "layout": 3, "slot": "files", "client_name": "a.txt", "client_type": "", "client_size": 10,
            "chunk_size": 8, "phase": "waiting", "offset": 10, "opened": true, "epoch": 1,
            "result": { "path": "files/a.txt" }, "birth": "b",
            "unclaimed": { "until_unix_ms": EPOCH + self.until },
            "created_unix_ms": EPOCH, "updated_unix_ms": EPOCH,
        });
        let bytes = serde_json::to_vec(&record).expect("JSON");
        let record = Record::decode(&bytes).expect("a record");
        let ttl = millis(record.kept_for(RECORD_TTL, EPOCH));
        let put = self
            .records
            .put(KEY, (bytes, record.charge()), RecordExpect::Absent, ttl, 0);
        assert!(matches!(put, (StoreEvent::Saved(_), Ok(()))), "{put:?}");
        for node in 0..self.nodes.len() {
            self.at(node as u64 * 100, What::Come(node, Job::Reap));
        }
        for _ in 0..self.rng.range(1, 5) {
            let node = self.rng.below(self.nodes.len());
            let job = self.job();
            let at = self.rng.range(0, FAULTS_END);
            self.at(at, What::Come(node, job));
        }
        for _ in 0..self.rng.range(0, 2) {
            let (node, at) = (
                self.rng.below(self.nodes.len()),
                self.rng.range(0, FAULTS_END),
            );
            self.at(at, What::Crash(node));
        }
        // After all faults one more handler comes, which has to get what is there.
        self.at(FAULTS_END + 8_000, What::Come(0, Job::Take));
    }

    fn job(&mut self) -> Job {
        match self.rng.below(8) {
            0..3 => Job::Take,
            3..5 => Job::Persist,
            5 => Job::GiveBack,
            6 => Job::Refuse,
            _ => Job::Remove,
        }
    }

    fn at(&mut self, at: u64, what: What) {
        self.seq += 1;
        let seq = self.seq;
        self.queue.push(Reverse(Due { at, seq, what }));
    }

    fn step(&mut self, what: What) {
        match what {
            What::Come(node, job) => {
                let (boot, session) = (self.nodes[node].0, self.actors.len() as u64);
                self.actors.push(Actor::new(node, boot, session, job));
                self.goes(self.actors.len() - 1);
            }
            What::Go(actor) => {
                if self.is_alive(actor) {
                    self.goes(actor);
                }
            }
            What::Effect(actor, call, answers) => self.effect(actor, call, answers),
            What::Answer(actor, event) => {
                if self.is_alive(actor) {
                    self.hears(actor, event);
                }
            }
            What::Crash(node) => {
                self.nodes[node].0 += 1;
                // What looks through the store begins again with its process.
                self.at(self.now + 50, What::Come(node, Job::Reap));
            }
            What::Clear(actor, ended, expect) => {
                self.truth.file_is_there = false;
                if let (true, Some(told)) = (self.is_alive(actor), ended.removed()) {
                    let put = Call::Put(Box::new(told), expect, Job::Reap);
                    self.effect(actor, put, None);
                }
            }
        }
    }

    fn is_alive(&self, actor: usize) -> bool {
        let actor = &self.actors[actor];
        actor.boot == self.nodes[actor.node].0
    }

    /// Sends a call to the store, which may not hear it, or not be heard.
    fn call(&mut self, actor: usize, call: Call) {
        let there = self.now + self.rng.range(0, self.delay);
        let back = self.rng.range(0, self.delay);
        let trouble = if self.now < FAULTS_END {
            self.rng.below(30)
        } else {
            30
        };
        let failed = || What::Answer(actor, StoreEvent::Failed);
        match trouble {
            0 => self.at(there + back, failed()),
            1 => {
                self.at(there, What::Effect(actor, call, None));
                self.at(there + back, failed());
            }
            2 => {
                let late = self.rng.range(0, 2_000);
                self.at(there + back, failed());
                self.at(there + back + late, What::Effect(actor, call, None));
            }
            _ => self.at(there, What::Effect(actor, call, Some(back))),
        }
    }

    fn effect(&mut self, actor: usize, call: Call, answers: Option<u64>) {
        let event = match call {
            Call::Get => self.records.get(KEY, self.now),
            Call::Put(record, expect, job) => {
                let before = self.records.record(KEY);
                let bytes = record.encode().expect("a small record");
                let ttl = millis(record.kept_for(RECORD_TTL, self.unix_ms(actor)));
                let put = (bytes, record.charge());
                let (event, judged) = self.records.put(KEY, put, expect, ttl, self.now);
                if let Err(what) = judged {
                    self.fail(&what);
                }
                if let (StoreEvent::Saved(_), Some(before)) = (&event, before) {
                    self.judge(actor, job, &before, &record);
                }
                event
            }
        };
        if let Some(back) = answers {
            self.at(self.now + back, What::Answer(actor, event));
        }
    }

    fn unix_ms(&self, actor: usize) -> u64 {
        let (_, skew) = self.nodes[self.actors[actor].node];
        EPOCH.saturating_add(self.now).saturating_add_signed(skew)
    }

    /// Whether all clocks agree.
    fn is_exact(&self) -> bool {
        self.nodes.iter().all(|(_, skew)| *skew == 0)
    }

    fn borrower(&self, actor: usize) -> Borrower {
        let actor = &self.actors[actor];
        Borrower {
            holder: Holder {
                boot: format!("{} of {}", actor.boot, actor.node),
                session: actor.session,
            },
            lease_ttl: Duration::from_millis(self.lease_ttl),
            shared_store: self.is_shared,
        }
    }

    fn fail(&mut self, what: &str) {
        let now = self.now;
        self.wrong
            .get_or_insert_with(|| format!("at {now} ms: {what}"));
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Loans that their borrowers count on, by actor: which attempt, and until when.
type Loans = BTreeMap<usize, (u32, u64)>;
