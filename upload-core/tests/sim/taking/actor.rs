//! The actors around a finished upload: a handler, its page, and time.

use upload_core::{
    Lending, Loan, Record, RecordExpect, RecordPhase, RecordVersion, Removal, Settlement,
    StoreEvent,
};
use upload_proto::Code;

use super::{Call, END, REAP_EVERY, Taking, What};

/// How often a step is tried before a handler stops trying.
const TRIES_MAX: u32 = 6;

/// What an actor is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    Take,
    /// Notes a target first, then takes.
    Persist,
    GiveBack,
    Refuse,
    Remove,
    Reap,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Its first look, or one after another had the upload.
    Asking,
    /// It wrote that it is lent the upload.
    Borrowing,
    /// It has it, and renews until then.
    Holding,
    /// A step of the loan is being written.
    Settling(Step),
    /// It has to look before it writes the step again.
    Looking(Step),
    /// It wrote that the upload ended.
    Ending,
    Done,
}

/// A step of a loan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Renew,
    Aim,
    Last,
}

pub(super) struct Actor {
    pub(super) node: usize,
    /// Which start of its process it belongs to.
    pub(super) boot: u32,
    pub(super) session: u64,
    job: Job,
    stage: Stage,
    found: Option<(Record, RecordVersion)>,
    next: Option<Box<Record>>,
    loan: Option<Loan>,
    decides_at: u64,
    has_aimed: bool,
    tries: u32,
}

impl Actor {
    pub(super) fn new(node: usize, boot: u32, session: u64, job: Job) -> Self {
        Self {
            node,
            boot,
            session,
            job,
            stage: Stage::Asking,
            found: None,
            next: None,
            loan: None,
            decides_at: 0,
            has_aimed: false,
            tries: 0,
        }
    }
}

impl Taking {
    pub(super) fn goes(&mut self, actor: usize) {
        let it = &self.actors[actor];
        match it.stage {
            Stage::Asking | Stage::Looking(_) => self.call(actor, Call::Get),
            Stage::Holding => {
                let step = match (self.now >= it.decides_at, it.job) {
                    (false, _) => Step::Renew,
                    (true, Job::Persist) if !it.has_aimed => Step::Aim,
                    (true, _) => Step::Last,
                };
                self.actors[actor].tries = 0;
                self.settle(actor, step);
            }
            Stage::Borrowing | Stage::Settling(_) | Stage::Ending | Stage::Done => {}
        }
    }

    pub(super) fn hears(&mut self, actor: usize, event: StoreEvent) {
        if let StoreEvent::Found(found) = &event {
            let read = |(bytes, version): &(Vec<u8>, RecordVersion)| {
                (Record::decode(bytes).expect("a record"), *version)
            };
            self.actors[actor].found = found.as_ref().map(read);
        }
        if let (StoreEvent::Saved(version), Some(next)) = (&event, self.actors[actor].next.take()) {
            self.actors[actor].found = Some((*next, *version));
        }
        match (self.actors[actor].stage, event) {
            (Stage::Asking, StoreEvent::Found(_)) => self.asks(actor),
            (Stage::Looking(step), StoreEvent::Found(_)) => self.settle(actor, step),
            (Stage::Borrowing, StoreEvent::Saved(_)) => self.has_it(actor),
            (Stage::Settling(step), StoreEvent::Saved(_)) => self.settled(actor, step),
            (Stage::Ending, StoreEvent::Saved(_)) => self.clears(actor),
            (Stage::Settling(step) | Stage::Looking(step), _) => {
                self.again(actor, Stage::Looking(step), 60);
            }
            (Stage::Asking | Stage::Borrowing | Stage::Ending, _) => {
                self.again(actor, Stage::Asking, 60);
            }
            (Stage::Holding | Stage::Done, _) => {}
        }
    }

    /// Looks again after a pause, unless it did so often enough.
    fn again(&mut self, actor: usize, stage: Stage, pause: u64) {
        let it = &mut self.actors[actor];
        it.tries += 1;
        if it.job == Job::Reap {
            it.stage = Stage::Asking;
            return self.reaps_later(actor);
        }
        let settles = matches!(stage, Stage::Looking(_));
        it.stage = stage;
        if (settles && it.tries > TRIES_MAX) || self.now > END {
            return self.ends(actor);
        }
        self.at(self.now + pause, What::Go(actor));
    }

    /// It has nothing to do with the upload any more.
    fn ends(&mut self, actor: usize) {
        self.actors[actor].stage = Stage::Done;
        self.truth.loans.remove(&actor);
    }

    fn reaps_later(&mut self, actor: usize) {
        if self.now < END {
            self.at(self.now + REAP_EVERY, What::Go(actor));
        }
    }

    /// Decides by what it found.
    fn asks(&mut self, actor: usize) {
        let (job, by, now) = (
            self.actors[actor].job,
            self.borrower(actor),
            self.unix_ms(actor),
        );
        let Some((record, version)) = self.actors[actor].found.clone() else {
            return match job {
                Job::Reap => {}
                _ => self.ends(actor),
            };
        };
        match job {
            Job::Reap => {
                if record.phase == RecordPhase::Ended {
                    if !record.result.is_null() {
                        self.clears(actor);
                    }
                } else if let Some(ended) = record.expire(&by, now) {
                    return self.put(actor, Stage::Ending, ended, version);
                }
                self.reaps_later(actor);
            }
            Job::Remove => match record.remove(&by, Code::Cancelled, now) {
                Removal::End(ended) => self.put(actor, Stage::Ending, ended, version),
                Removal::Lent => self.again(actor, Stage::Asking, 200),
                Removal::Ended(_) => self.clears(actor),
                Removal::Taken | Removal::Unknown => self.ends(actor),
            },
            Job::Take | Job::Persist | Job::GiveBack | Job::Refuse => {
                let take_id = format!("take {actor} at {}", self.now);
                let lending = record.lend(&by, &take_id, now);
                self.judge_lending(actor, &record, &lending);
                match lending {
                    Lending::Lend(lent, loan) => {
                        self.actors[actor].loan = Some(loan);
                        self.put(actor, Stage::Borrowing, lent, version);
                    }
                    Lending::Lent(_) => self.again(actor, Stage::Asking, 100),
                    Lending::Taken | Lending::Unknown => self.ends(actor),
                }
            }
        }
    }

    fn put(&mut self, actor: usize, stage: Stage, next: Box<Record>, at: RecordVersion) {
        let it = &mut self.actors[actor];
        it.stage = stage;
        it.next = Some(next.clone());
        let job = it.job;
        self.call(actor, Call::Put(next, RecordExpect::Version(at), job));
    }

    fn has_it(&mut self, actor: usize) {
        let holds = self.rng.range(0, 3 * self.lease_ttl);
        let it = &mut self.actors[actor];
        it.decides_at = self.now + holds;
        self.counts_on(actor);
        self.holds(actor);
    }

    /// Notes until when it may believe that the upload is its alone.
    fn counts_on(&mut self, actor: usize) {
        let it = &self.actors[actor];
        let (Some((record, _)), Some(loan)) = (&it.found, &it.loan) else {
            return;
        };
        let until = record
            .lease
            .as_ref()
            .map_or(0, |lease| lease.expires_unix_ms);
        self.truth.loans.insert(actor, (loan.attempt, until));
    }

    fn holds(&mut self, actor: usize) {
        let it = &mut self.actors[actor];
        it.stage = Stage::Holding;
        let renews = self.now + self.lease_ttl / 3;
        let at = it.decides_at.clamp(self.now, renews);
        // A process that stands still loses its lease.
        let frozen = match self.now < super::FAULTS_END && self.rng.chance(8) {
            true => 2 * self.lease_ttl,
            false => 0,
        };
        self.at(at + frozen, What::Go(actor));
    }

    fn settle(&mut self, actor: usize, step: Step) {
        let (by, now) = (self.borrower(actor), self.unix_ms(actor));
        let it = &self.actors[actor];
        let (Some((record, version)), Some(loan)) = (&it.found, &it.loan) else {
            return self.ends(actor);
        };
        let settlement = match (step, it.job) {
            (Step::Renew, _) => record.renew(loan, &by, now),
            (Step::Aim, _) => record.aim(loan, &format!("target of {actor}"), None, now),
            (Step::Last, Job::GiveBack) => record.give_back(loan, now),
            (Step::Last, Job::Refuse) => record.refuse(loan, Code::Cancelled, now),
            (Step::Last, _) => record.commit(loan, now),
        };
        let version = *version;
        // It wants it no longer, whenever the store hears of that.
        if step == Step::Last && matches!(it.job, Job::GiveBack | Job::Refuse) {
            self.truth.loans.remove(&actor);
        }
        match settlement {
            Settlement::Write(next) => self.put(actor, Stage::Settling(step), next, version),
            Settlement::Done => self.settled(actor, step),
            Settlement::Lost => {
                self.judge_loss(actor);
                self.ends(actor);
            }
        }
    }

    fn settled(&mut self, actor: usize, step: Step) {
        match step {
            Step::Renew => {
                self.counts_on(actor);
                self.holds(actor);
            }
            Step::Aim => {
                self.actors[actor].has_aimed = true;
                self.holds(actor);
            }
            Step::Last => {
                let job = self.actors[actor].job;
                self.truth.loans.remove(&actor);
                match job {
                    Job::Refuse => self.clears(actor),
                    Job::GiveBack => self.ends(actor),
                    _ => {
                        self.judge_commit(actor);
                        self.ends(actor);
                    }
                }
            }
        }
    }

    /// Removes the file of an upload that ended.
    fn clears(&mut self, actor: usize) {
        let it = &mut self.actors[actor];
        let job = it.job;
        it.stage = match job {
            Job::Reap => Stage::Asking,
            _ => Stage::Done,
        };
        if let Some((ended, version)) = it.found.clone() {
            let takes = self.rng.range(0, 300);
            let clear = What::Clear(actor, Box::new(ended), RecordExpect::Version(version));
            // Its process may die meanwhile.
            if self.now > super::FAULTS_END || self.rng.chance(80) {
                self.at(self.now + takes, clear);
            }
        }
        if job == Job::Reap {
            self.reaps_later(actor);
        }
    }
}
