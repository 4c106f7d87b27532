//! What a session asks of the store and of its neighbours.

use upload_core::{EntryId, StoreEvent};
use upload_proto::UploadRef;

use crate::{
    host::StoreCall,
    plan::StoreTrouble,
    world::{Happening, World},
};

/// Longest time the store takes to answer after it did what it was asked, in milliseconds.
const STORE_CALL: u64 = 2_500;
/// Longest wait for another session to give an upload up, in milliseconds.
const EVICTION: u64 = 3_000;

impl World {
    pub(super) fn evict(&mut self, conn: usize, entry: EntryId, upload: UploadRef) {
        let number = self.conns[conn].node;
        let key = (self.conns[conn].owner, upload);
        match self.nodes[number].holders.get(&key) {
            Some(holder) if *holder != conn => {
                let holder = *holder;
                self.nodes[number].waiters.push((key, conn, entry));
                let delay = self.rng.range(0, 3);
                self.after(delay, Happening::EvictArrives(holder, upload));
                self.after(EVICTION, Happening::EvictDone(conn, entry));
            }
            _ => self.after(0, Happening::EvictDone(conn, entry)),
        }
    }

    pub(super) fn release_waiters(&mut self, number: usize, key: (u8, UploadRef)) {
        let waiting = std::mem::take(&mut self.nodes[number].waiters);
        for (of, conn, entry) in waiting {
            if of == key {
                self.after(0, Happening::EvictDone(conn, entry));
            } else {
                self.nodes[number].waiters.push((of, conn, entry));
            }
        }
    }

    /// The wait is over once, by the other's leaving or by time.
    pub(crate) fn evict_done(&mut self, conn: usize, entry: EntryId) {
        let number = self.conns[conn].node;
        self.nodes[number]
            .waiters
            .retain(|(_, asker, waits)| (*asker, *waits) != (conn, entry));
        let answered = &mut self.conns[conn].host;
        let Some(host) = answered else { return };
        if !host.evicted.insert(entry) {
            return;
        }
        self.input(conn, |session, now| {
            session.handle_store(entry, StoreEvent::Evicted, now);
        });
    }

    pub(super) fn call_store(&mut self, conn: usize, call: StoreCall) {
        let number = self.store_calls;
        self.store_calls += 1;
        let trouble = self.store_troubles.remove(&number);
        self.faults_felt += u32::from(trouble.is_some());
        let mut delay = self.rng.range(0, self.plan.setup.store_delay);
        if let Some((until, by)) = self.weather.store_slow
            && until > self.now
        {
            delay += by;
        }
        if let Some(StoreTrouble::Slow(by)) = trouble {
            delay += by;
        }
        self.after(delay, Happening::StoreEffect(conn, call, trouble));
    }

    /// The store does what it was asked, whether or not the asker lives.
    pub(crate) fn store_effect(
        &mut self,
        conn: usize,
        call: StoreCall,
        trouble: Option<StoreTrouble>,
    ) {
        let entry = match &call {
            StoreCall::Get(entry, _) | StoreCall::Put(entry, ..) | StoreCall::Delete(entry, ..) => {
                *entry
            }
        };
        let is_down = self
            .weather
            .store_down
            .filter(|(until, _)| *until > self.now);
        let (before, after) = match (trouble, is_down) {
            (Some(StoreTrouble::FailsBefore), _) | (_, Some((_, false))) => (true, false),
            (Some(StoreTrouble::FailsAfter), _) | (_, Some((_, true))) => (false, true),
            _ => (false, false),
        };
        if let Some(StoreTrouble::Late(by)) = trouble {
            self.store_worked = false;
            if by == 0 {
                self.do_store(conn, call);
                return;
            }
            let later = Some(StoreTrouble::Late(0));
            self.after(by, Happening::StoreEffect(conn, call, later));
            self.after(1, Happening::StoreAnswer(conn, entry, StoreEvent::Failed));
            return;
        }
        self.store_worked &= !before && !after;
        let event = match before {
            true => StoreEvent::Failed,
            false => self.do_store(conn, call),
        };
        let event = if after { StoreEvent::Failed } else { event };
        let delay = self
            .rng
            .range(0, self.plan.setup.store_delay)
            .min(STORE_CALL);
        self.after(delay, Happening::StoreAnswer(conn, entry, event));
    }

    fn do_store(&mut self, conn: usize, call: StoreCall) -> StoreEvent {
        let owner = self.conns[conn].owner;
        match call {
            StoreCall::Get(_, upload) => self.records.get((owner, upload), self.now),
            StoreCall::Put(_, upload, put) => {
                let key = (owner, upload);
                let record = upload_core::Record::decode(&put.record).ok();
                if let Some(record) = &record {
                    self.check_charge(key, record, put.charge, put.expect, put.quota);
                }
                let before = self.records.record(key);
                let counted = (put.record, put.charge);
                let (event, judged) = self
                    .records
                    .put(key, counted, put.expect, put.ttl, self.now);
                self.check_tallies();
                if let Err(wrong) = judged {
                    self.fail(format!("4: {wrong}"));
                }
                if let (StoreEvent::Saved(_), Some(record)) = (&event, record) {
                    if let Some(truth) = self.truth.get_mut(&key) {
                        truth.may_be_gone |= record.phase == upload_core::RecordPhase::Ended;
                    }
                    self.check_lease(conn, key, before.as_ref(), &record);
                    self.check_record(key, &record);
                }
                event
            }
            StoreCall::Delete(_, upload, version) => {
                let key = (owner, upload);
                let event = self.records.delete(key, version, self.now);
                if let (StoreEvent::Deleted, Some(truth)) = (&event, self.truth.get_mut(&key)) {
                    truth.may_be_gone = true;
                }
                event
            }
        }
    }

    /// Each question is answered once: a late effect after a failure is silent.
    pub(crate) fn store_answers(&mut self, conn: usize, entry: EntryId, event: StoreEvent) {
        let owner = self.conns[conn].owner;
        let Some(host) = &mut self.conns[conn].host else {
            return;
        };
        let failed = match event {
            StoreEvent::Failed => Some(true),
            // Another holder's record, or none: a receipt may be impossible.
            StoreEvent::Found(_) => Some(true),
            StoreEvent::Saved(_) => Some(false),
            _ => None,
        };
        if let Some(failed) = failed {
            host.store_failed.insert(entry, failed);
        }
        // A client over HTTP is not told that its upload can not be resumed for a while.
        if matches!(event, StoreEvent::Failed)
            && let Some(upload) = host.session.entry(entry).map(|entry| entry.upload)
            && let Some(truth) = self.truth.get_mut(&(owner, upload))
        {
            truth.store_failed = true;
            truth.lost_record |= host.session.visited().is_some();
        }
        self.input(conn, |session, now| session.handle_store(entry, event, now));
    }
}
