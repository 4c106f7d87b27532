//! What a process and its storage hold.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};
use upload_core::{
    Charge, CheckpointChange, EntryId, OwnerQuota, Parked, Record, RecordExpect, RecordVersion,
    StorageFault, StoreEvent, Verdict, WriterEvent,
};
use upload_proto::UploadRef;

use super::up;

/// How something outside behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It does what it is asked.
    Works,
    /// It fails without effect.
    Fails,
    /// It does what it is asked and says that it failed.
    FailsAfter,
    /// It does not answer; the output waits in [`Rig::unanswered`].
    Silent,
}

/// What a process and its storage hold, shared by the sessions of a test.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) store: BTreeMap<UploadRef, (Vec<u8>, u64)>,
    pub(super) version: u64,
    /// How long each record that was written is to be kept.
    pub(crate) ttls: Vec<Duration>,
    pub(crate) files: Vec<File>,
    pub(crate) parked: BTreeMap<UploadRef, (usize, Box<Parked>)>,
    /// Which connection holds what.
    pub(super) holders: BTreeMap<UploadRef, u64>,
    pub(crate) clock_ms: u64,
    pub(crate) store_mood: Mood,
    pub(crate) open_mood: Mood,
    pub(crate) write_mood: Mood,
    pub(crate) close_mood: Mood,
    pub(crate) fault: StorageFault,
    /// The first bytes that were judged.
    pub(crate) heads: Vec<Bytes>,
    /// `None`: the verdict waits in [`Rig::unanswered`].
    pub(crate) verdict: Option<Verdict>,
    /// The name that the content check gives every file, before its verdict.
    pub(crate) stored_name: Option<String>,
    /// Whether writers can be reopened.
    pub(crate) checkpoints: bool,
    /// The most durable bytes of which a checkpoint can tell.
    pub(crate) told_max: u64,
    /// Bytes become durable in steps of this many.
    pub(crate) durable_step: u64,
    /// What the next close returns.
    pub(crate) result: Value,
}

/// What one writer keeps.
#[derive(Debug, Default)]
pub(crate) struct File {
    pub(crate) bytes: Vec<u8>,
    pub(crate) published: bool,
    pub(crate) aborted: bool,
}

impl Room {
    pub(super) fn new() -> Self {
        Self {
            store: BTreeMap::new(),
            version: 0,
            ttls: Vec::new(),
            files: Vec::new(),
            parked: BTreeMap::new(),
            holders: BTreeMap::new(),
            clock_ms: 0,
            store_mood: Mood::Works,
            open_mood: Mood::Works,
            write_mood: Mood::Works,
            close_mood: Mood::Works,
            fault: StorageFault::Failed,
            heads: Vec::new(),
            verdict: Some(Verdict::Accept),
            stored_name: None,
            checkpoints: true,
            told_max: u64::MAX,
            durable_step: 1,
            result: json!({"stored": true}),
        }
    }

    pub(crate) fn record(&self, n: u8) -> Option<Record> {
        let (bytes, _) = self.store.get(&up(n))?;
        Some(Record::decode(bytes).expect("the core wrote it"))
    }

    /// Changes a record behind the holder's back.
    pub(crate) fn rewrite(&mut self, n: u8, change: impl FnOnce(&mut Record)) {
        let mut record = self.record(n).expect("there is a record");
        change(&mut record);
        self.version += 1;
        let bytes = record.encode().expect("a small record");
        self.store.insert(up(n), (bytes, self.version));
    }

    pub(super) fn put(
        &mut self,
        upload: UploadRef,
        record: Vec<u8>,
        expect: RecordExpect,
        quota: Option<OwnerQuota>,
    ) -> StoreEvent {
        let stands = self.store.get(&upload).map(|(_, version)| *version);
        let matches = match expect {
            RecordExpect::Absent => stands.is_none(),
            RecordExpect::Version(version) => stands == Some(version.0),
        };
        match self.store_mood {
            Mood::Fails => return StoreEvent::Failed,
            _ if !matches => return StoreEvent::Conflict,
            _ if quota.is_some_and(|quota| !self.has_room(upload, &record, quota)) => {
                return StoreEvent::OverQuota;
            }
            _ => {}
        }
        self.version += 1;
        self.store.insert(upload, (record, self.version));
        match self.store_mood {
            Mood::FailsAfter => StoreEvent::Failed,
            _ => StoreEvent::Saved(RecordVersion(self.version)),
        }
    }

    /// CTRL-3: counts what the record counts as.
    fn has_room(&self, upload: UploadRef, record: &[u8], quota: OwnerQuota) -> bool {
        let charge = |record: &[u8]| Record::decode(record).expect("a record").charge();
        let ours = charge(record);
        let others = self.store.iter().filter(|(other, _)| **other != upload);
        let same = others
            .map(|(_, (record, _))| charge(record))
            .filter(|other| std::mem::discriminant(other) == std::mem::discriminant(&ours));
        let bytes = same.clone().chain([ours]).map(|charge| match charge {
            Charge::Nothing => 0,
            Charge::Unfinished(bytes) | Charge::Waiting(bytes) => bytes,
        });
        (same.count() as u64) < quota.uploads && bytes.sum::<u64>() <= quota.bytes
    }

    pub(super) fn delete(&mut self, upload: UploadRef, expect: RecordVersion) -> StoreEvent {
        let stands = self.store.get(&upload).map(|(_, version)| *version);
        match self.store_mood {
            Mood::Fails => return StoreEvent::Failed,
            _ if stands != Some(expect.0) => return StoreEvent::Conflict,
            _ => {}
        }
        self.store.remove(&upload);
        match self.store_mood {
            Mood::FailsAfter => StoreEvent::Failed,
            _ => StoreEvent::Deleted,
        }
    }
}

/// Continues a file from its checkpoint, or begins one.
pub(super) fn reopen(
    room: &mut Room,
    files: &mut BTreeMap<EntryId, usize>,
    entry: EntryId,
    checkpoint: Option<Value>,
    offset: u64,
) -> WriterEvent {
    // A test may pad the checkpoint.
    let number = |value: Value| value.as_u64().or_else(|| value["file"].as_u64());
    let Some(file) = checkpoint.and_then(number) else {
        assert_eq!(
            offset, 0,
            "RESUME-2: nothing is durable without a checkpoint"
        );
        files.insert(entry, room.files.len());
        room.files.push(File::default());
        return WriterEvent::Reopened {
            checkpoint: CheckpointChange::Same,
        };
    };
    let number = usize::try_from(file).expect("a small number");
    let file = &mut room.files[number];
    if file.published {
        let result = room.result.clone();
        return WriterEvent::ClosedBefore { result };
    }
    if file.aborted {
        return WriterEvent::Gone;
    }
    assert!(offset as usize <= file.bytes.len(), "RESUME-2");
    file.bytes.truncate(offset as usize);
    files.insert(entry, number);
    WriterEvent::Reopened {
        checkpoint: CheckpointChange::Same,
    }
}
