//! The actors around an unfinished upload: who holds it, who resumes it, and what looks through the store.

use std::time::Duration;

use upload_core::{Lease, Record, RecordPhase, RecordVersion, StoreEvent};

use super::{Call, EPOCH, Expiring, KEY, LEASE_TTL, REAP_EVERY, RECORD_TTL, RETRY, What};

/// What an actor wrote, or is about to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
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

pub(super) struct Actor {
    pub(super) node: usize,
    pub(super) boot: u32,
    pub(super) session: u64,
    pub(super) stage: Stage,
    pub(super) found: Option<(Record, RecordVersion)>,
    pub(super) next: Option<Box<Record>>,
    pub(super) epoch: u64,
    pub(super) leaves_at: u64,
    /// When a call of its last had trouble; 0 for never.
    pub(super) failed_at: u64,
}

impl Expiring {
    pub(super) fn goes(&mut self, actor: usize) {
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

    pub(super) fn hears(&mut self, actor: usize, event: StoreEvent) {
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

    /// Takes the upload over if it has no holder.
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

    pub(super) fn remove_bytes(&mut self, actor: usize) {
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
}
