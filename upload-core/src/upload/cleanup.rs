//! Ended uploads whose record and bytes are removed once no other holder can have them.
//!
//! A session may have lost an upload without knowing it: another process wrote
//! the record, and continues with the very bytes that an abort would remove. So an
//! ending first deletes the record under the condition that it is still the
//! session's own, and the writer is aborted only after that took effect. Where
//! it can not be known, the writer is released and what it stored is left to the
//! reaper (RESUME-8).
//!
//! A process that dies after the record is gone and before the writer was aborted leaves bytes that no
//! record names. The reaper removes those too, by their age. Unlike the record of an upload that expired
//! (`expiry`), none is kept until its bytes are removed. That would cost each cancel two more writes of the
//! store, and the core an answer to each abort.
//!
//! It is the other way round where the session itself took the upload from another process a moment ago. The old
//! holder finds out by its next save. If that finds no record, it writes its own anew and tells its client of durable
//! bytes that are removed. So a mark takes the place of the record for as long as a holder may need to save. So it
//! does where the writer was released before, since nothing else names the bytes then.

use std::{sync::Arc, time::Duration};

use upload_proto::UploadRef;

use crate::{
    AbortReason, Charge, EntryId, Fence, Holder, Lease, Order, Output, OwnerToken, Query, Record,
    RecordExpect, RecordPhase, RecordVersion, Save, StoreEvent,
    news::Effects,
    upload::{mark::Mark, recorder::Standing},
};

/// How often the store is asked for one ending before it is left alone.
const ROUNDS_MAX: u32 = 4;

impl Fence {
    /// Returns whether the last holder, which wrote `record`, had this fence.
    pub(crate) fn wrote(&self, record: &Record) -> bool {
        record.epoch == self.epoch && *record.birth == *self.registration
    }

    /// Returns whether `record` is the one that this holder of this registration writes.
    ///
    /// Every new holder raises the epoch, so an equal one was written by us; but
    /// all begin at 1, so one of another upload of this ref differs by its
    /// registration.
    pub(crate) fn is_of(&self, record: &Record, holder: &Holder) -> bool {
        let is_holder =
            |lease: &Lease| lease.boot == holder.boot && lease.session == holder.session;
        self.wrote(record) && record.lease.as_ref().is_none_or(is_holder)
    }
}

/// What takes the place of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remains {
    /// Nothing: it is deleted.
    Nothing,
    /// A mark, once the record was read.
    Mark(Mark),
    /// A mark, which the store was asked to write.
    Marking(Mark),
}

/// An upload that ended and whose record is not known to be gone.
#[derive(Debug)]
pub(crate) struct Cleanup {
    upload: UploadRef,
    slot: Arc<str>,
    fence: Fence,
    /// What its writer receives once the record is gone, if it has one.
    abort: Option<AbortReason>,
    remains: Remains,
    /// Counts it among the owner's uploads until all is done, so that the store is never asked
    /// about more of them at once than an owner may have (CTRL-3).
    _token: Option<OwnerToken>,
    rounds: u32,
}

/// Whether a cleanup waits for the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Waits,
    Done,
}

impl Cleanup {
    pub(crate) fn new(
        upload: UploadRef,
        slot: Arc<str>,
        fence: Fence,
        abort: Option<AbortReason>,
        mark: Option<Mark>,
        token: Option<OwnerToken>,
    ) -> Self {
        Self {
            upload,
            slot,
            fence,
            abort,
            remains: mark.map_or(Remains::Nothing, Remains::Mark),
            _token: token,
            rounds: 0,
        }
    }

    /// Asks the first question, unless an answer is in flight already.
    pub(crate) fn begin(&mut self, entry: EntryId, standing: Standing, effects: &mut Effects) {
        match standing {
            Standing::At(version) => self.remove(entry, version, effects),
            Standing::Unknown => self.look(entry, effects),
            Standing::Awaited | Standing::Nothing => {}
        }
    }

    /// Learns what the store did.
    pub(crate) fn store(
        &mut self,
        entry: EntryId,
        event: StoreEvent,
        holder: &Holder,
        effects: &mut Effects,
    ) -> Progress {
        self.rounds = self.rounds.saturating_add(1);
        match event {
            StoreEvent::Deleted => return self.undo(entry, effects),
            StoreEvent::Saved(_) if matches!(self.remains, Remains::Marking(_)) => {
                return self.undo(entry, effects);
            }
            // A save that was in flight when the upload ended.
            StoreEvent::Saved(version) => self.remove(entry, version, effects),
            StoreEvent::Found(Some((bytes, version)))
                if self.rounds < ROUNDS_MAX && self.is_ours(&bytes, holder) =>
            {
                return self.found(entry, &bytes, version, effects);
            }
            // Also where nothing is found: a newer holder may have ended it, or continue it
            // without a record.
            StoreEvent::Found(_) => return self.leave(entry, effects),
            StoreEvent::Conflict | StoreEvent::Failed if self.rounds < ROUNDS_MAX => {
                self.look(entry, effects);
            }
            StoreEvent::Conflict | StoreEvent::Failed => return self.leave(entry, effects),
            // A save of its registration that was refused left nothing.
            StoreEvent::OverQuota => return self.undo(entry, effects),
            StoreEvent::Evicted | StoreEvent::Parked(_) => {}
        }
        Progress::Waits
    }

    fn is_ours(&self, bytes: &[u8], holder: &Holder) -> bool {
        Record::decode(bytes).is_ok_and(|record| self.fence.is_of(&record, holder))
    }

    /// Deletes the record, or reads it where a mark is to take its place.
    fn remove(&self, entry: EntryId, version: RecordVersion, effects: &mut Effects) {
        match self.remains {
            Remains::Nothing => self.delete(entry, version, effects),
            Remains::Mark(_) | Remains::Marking(_) => self.look(entry, effects),
        }
    }

    /// The record is still ours: deletes it, or has a mark take its place.
    fn found(
        &mut self,
        entry: EntryId,
        bytes: &[u8],
        version: RecordVersion,
        effects: &mut Effects,
    ) -> Progress {
        let (Remains::Mark(mark) | Remains::Marking(mark)) = self.remains else {
            self.delete(entry, version, effects);
            return Progress::Waits;
        };
        let marked = match Record::decode(bytes) {
            // An earlier try took effect, and its answer was lost.
            Ok(record) if record.phase == RecordPhase::Ended => return self.undo(entry, effects),
            Ok(record) => mark.of(&record).map(|record| record.encode()),
            Err(_) => None,
        };
        match marked {
            Some(Ok(record)) => {
                self.remains = Remains::Marking(mark);
                let expect = RecordExpect::Version(version);
                self.save(entry, (record, expect), mark.kept_for, effects);
            }
            // It leaves no room for what a mark says, or names nothing that is left.
            Some(Err(_)) | None => self.delete(entry, version, effects),
        }
        Progress::Waits
    }

    fn save(
        &self,
        entry: EntryId,
        (record, expect): (Vec<u8>, RecordExpect),
        ttl: Duration,
        effects: &mut Effects,
    ) {
        let save = Save {
            upload: self.upload,
            slot: Arc::clone(&self.slot),
            record,
            expect,
            ttl,
            charge: Charge::Nothing,
            quota: None,
        };
        effects.push(Output::Store(entry, Query::Save(Box::new(save))));
    }

    fn delete(&self, entry: EntryId, expect: RecordVersion, effects: &mut Effects) {
        let query = Query::Delete {
            upload: self.upload,
            slot: Arc::clone(&self.slot),
            expect,
        };
        effects.push(Output::Store(entry, query));
    }

    fn look(&self, entry: EntryId, effects: &mut Effects) {
        let query = Query::Read {
            upload: self.upload,
            slot: Some(Arc::clone(&self.slot)),
        };
        effects.push(Output::Store(entry, query));
    }

    fn undo(&self, entry: EntryId, effects: &mut Effects) -> Progress {
        if let Some(reason) = self.abort {
            effects.push(Output::Writer(entry, Order::Abort(reason)));
        }
        Progress::Done
    }

    fn leave(&self, entry: EntryId, effects: &mut Effects) -> Progress {
        if self.abort.is_some() {
            effects.push(Output::Writer(entry, Order::Release));
        }
        Progress::Done
    }
}

#[cfg(test)]
mod tests {
    use upload_proto::Code;

    use super::*;
    use crate::{news::Effect, record::tests::sample, upload::mark::Removal};

    const ID: EntryId = EntryId(1);
    const VERSION: RecordVersion = RecordVersion(7);

    fn holder() -> Holder {
        Holder {
            boot: "here".into(),
            session: 1,
        }
    }

    /// Every state of what remains, with what a record is then.
    fn states() -> [(&'static str, Remains); 3] {
        let mark = Mark {
            code: Code::Cancelled,
            unix_ms: 5,
            kept_for: Duration::from_secs(30),
            removal: Removal::ByWriter,
        };
        [
            ("nothing", Remains::Nothing),
            ("mark", Remains::Mark(mark)),
            ("marking", Remains::Marking(mark)),
        ]
    }

    fn cleanup(remains: Remains) -> Cleanup {
        let record = sample();
        let fence = Fence {
            registration: record.birth.as_str().into(),
            epoch: record.epoch,
        };
        let abort = Some(AbortReason::Cancelled);
        let upload = UploadRef::from_bytes([1; 16]);
        let cleanup = Cleanup::new(upload, "video".into(), fence, abort, None, None);
        Cleanup { remains, ..cleanup }
    }

    fn found(record: &Record) -> StoreEvent {
        let bytes = record.encode().expect("a small record");
        StoreEvent::Found(Some((bytes, VERSION)))
    }

    /// The events, in the order of the table's columns.
    fn events() -> [StoreEvent; 10] {
        let ours = sample();
        let marked = ours.marked(Code::Cancelled, 5);
        let later = Record {
            epoch: ours.epoch + 1,
            ..sample()
        };
        [
            StoreEvent::Saved(VERSION),
            found(&ours),
            found(&marked),
            found(&later),
            StoreEvent::Found(None),
            StoreEvent::Deleted,
            StoreEvent::Conflict,
            StoreEvent::Failed,
            StoreEvent::OverQuota,
            StoreEvent::Evicted,
        ]
    }

    fn asked(effects: &mut Effects) -> String {
        let Some(effect) = effects.pop() else {
            return ".".into();
        };
        match effect {
            Effect::Do(Output::Store(_, Query::Read { .. })) => "read".into(),
            Effect::Do(Output::Store(_, Query::Save(save))) => {
                assert_eq!(save.expect, RecordExpect::Version(VERSION));
                let record = Record::decode(&save.record).expect("a mark");
                assert_eq!(record.code(), Some(Code::Cancelled));
                assert_eq!(save.charge, record.charge());
                "save".into()
            }
            Effect::Do(Output::Store(_, Query::Delete { .. })) => "delete".into(),
            Effect::Do(Output::Writer(_, Order::Abort(_))) => "abort".into(),
            Effect::Do(Output::Writer(_, Order::Release)) => "release".into(),
            Effect::Do(_) | Effect::News(..) => panic!("{effect:?}"),
        }
    }

    /// One row per state, one column per event: what is asked then.
    const TABLE: [(&str, &str); 3] = [
        // saved ours marked later none deleted conflict failed over-quota evicted
        (
            "nothing",
            "delete delete delete release release abort read read abort .",
        ),
        (
            "mark",
            "read save abort release release abort read read abort .",
        ),
        (
            "marking",
            "abort save abort release release abort read read abort .",
        ),
    ];

    #[test]
    fn every_state_meets_every_event() {
        for ((name, remains), (row, cells)) in states().into_iter().zip(TABLE) {
            assert_eq!(name, row);
            let cells: Vec<_> = cells.split(' ').collect();
            assert_eq!(cells.len(), events().len(), "{name}");
            for (event, cell) in events().into_iter().zip(cells) {
                let what = format!("{name} {event:?}");
                let mut cleanup = cleanup(remains);
                let mut effects = Effects::default();
                let progress = cleanup.store(ID, event, &holder(), &mut effects);
                assert_eq!(asked(&mut effects), cell, "{what}");
                let is_done = matches!(cell, "abort" | "release");
                assert_eq!(progress == Progress::Done, is_done, "{what}");
            }
        }
    }

    /// A mark that the store does not take is left alone after a few tries.
    #[test]
    fn a_mark_is_tried_a_few_times() {
        let [_, (_, remains), _] = states();
        let mut cleanup = cleanup(remains);
        let mut effects = Effects::default();
        cleanup.begin(ID, Standing::At(VERSION), &mut effects);
        let mut all = vec![asked(&mut effects)];
        for event in [
            found(&sample()),
            StoreEvent::Failed,
            found(&sample()),
            StoreEvent::Failed,
        ] {
            cleanup.store(ID, event, &holder(), &mut effects);
            all.push(asked(&mut effects));
        }
        assert_eq!(all, ["read", "save", "read", "save", "release"]);
    }
}
