//! The conditional store, and what must be true of every record in it.

use std::collections::BTreeMap;

use upload_core::{Charge, Record, RecordExpect, RecordPhase, RecordVersion, StoreEvent};

use crate::{tallies::Tallies, world::Key};

/// All records that are visible to every node.
#[derive(Debug, Default)]
pub(crate) struct Records {
    stands: BTreeMap<Key, Standing>,
    version: u64,
    tallies: Tallies,
    /// The newest of each key, also after it was deleted.
    pub(crate) last: BTreeMap<Key, Record>,
}

#[derive(Debug)]
struct Standing {
    bytes: Vec<u8>,
    version: u64,
    expires: u64,
    charge: Charge,
}

impl Records {
    pub(crate) fn get(&mut self, key: Key, now: u64) -> StoreEvent {
        self.expire(key, now);
        let found = self.stands.get(&key);
        StoreEvent::Found(found.map(|it| (it.bytes.clone(), RecordVersion(it.version))))
    }

    pub(crate) fn record(&self, key: Key) -> Option<Record> {
        let bytes = &self.stands.get(&key)?.bytes;
        Record::decode(bytes).ok()
    }

    /// Writes if `expect` holds; returns the answer, and what was wrong with it.
    pub(crate) fn put(
        &mut self,
        key: Key,
        (bytes, charge): (Vec<u8>, Charge),
        expect: RecordExpect,
        ttl: u64,
        now: u64,
    ) -> (StoreEvent, Result<(), String>) {
        self.expire(key, now);
        let stands = self.stands.get(&key).map(|it| it.version);
        let matches = match expect {
            RecordExpect::Absent => stands.is_none(),
            RecordExpect::Version(version) => stands == Some(version.0),
        };
        if !matches {
            return (StoreEvent::Conflict, Ok(()));
        }
        let record = match Record::decode(&bytes) {
            Ok(record) => record,
            Err(error) => return (StoreEvent::Failed, Err(format!("a bad record: {error}"))),
        };
        let before = stands.and_then(|_| self.record(key));
        let judged = before.map_or(Ok(()), |before| follows(&before, &record));
        self.version += 1;
        self.last.insert(key, record);
        let version = self.version;
        let expires = now + ttl;
        self.tallies.add(key, charge);
        let stands = Standing {
            bytes,
            version,
            expires,
            charge,
        };
        if let Some(before) = self.stands.insert(key, stands) {
            self.tallies.take(key, before.charge);
        }
        (StoreEvent::Saved(RecordVersion(self.version)), judged)
    }

    pub(crate) fn delete(&mut self, key: Key, version: RecordVersion, now: u64) -> StoreEvent {
        self.expire(key, now);
        let stands = self.stands.get(&key);
        if stands.is_none_or(|it| it.version != version.0) {
            return StoreEvent::Conflict;
        }
        self.remove(key);
        StoreEvent::Deleted
    }

    /// A store in memory dies with its process.
    pub(crate) fn forget_all(&mut self) {
        self.stands.clear();
        self.tallies = Tallies::default();
        self.last.clear();
    }

    pub(crate) fn is_there(&mut self, key: Key, now: u64) -> bool {
        self.expire(key, now);
        self.stands.contains_key(&key)
    }

    fn expire(&mut self, key: Key, now: u64) {
        if self.stands.get(&key).is_some_and(|it| it.expires <= now) {
            self.remove(key);
        }
    }

    fn remove(&mut self, key: Key) {
        if let Some(stood) = self.stands.remove(&key) {
            self.tallies.take(key, stood.charge);
        }
    }

    /// Returns whether what is counted is what the records say.
    pub(crate) fn are_counted(&self) -> bool {
        let records: Vec<_> = self
            .stands
            .keys()
            .filter_map(|key| Some((*key, self.record(*key)?)))
            .collect();
        self.tallies
            .are_of(records.iter().map(|(key, record)| (*key, record)))
    }
}

/// Nothing in a record ever goes back; only a new holder changes who holds it.
fn follows(before: &Record, after: &Record) -> Result<(), String> {
    let rank = |phase: RecordPhase| match phase {
        RecordPhase::Receiving => 0,
        RecordPhase::Completing => 1,
        RecordPhase::Complete | RecordPhase::Waiting | RecordPhase::Lent | RecordPhase::Taken => 2,
        RecordPhase::Ended => 3,
    };
    if after.epoch < before.epoch || after.epoch > before.epoch + 1 {
        return Err(format!("epoch {} after {}", after.epoch, before.epoch));
    }
    let holder = |record: &Record| {
        let lease = record.lease.as_ref();
        lease.map(|lease| (lease.boot.clone(), lease.session))
    };
    // Whom a finished upload is lent to is no matter of epochs.
    if after.epoch == before.epoch
        && !after.phase.is_unclaimed()
        && let (Some(old), Some(new)) = (holder(before), holder(after))
        && old != new
    {
        return Err(format!("two holders of one epoch: {old:?}, {new:?}"));
    }
    if after.offset < before.offset {
        return Err(format!(
            "RESUME-2: offset {} after {}",
            after.offset, before.offset
        ));
    }
    if rank(before.phase) == 2 && rank(after.phase) < 2 {
        return Err("COMPLETE-6: a receipt was overwritten".into());
    }
    if rank(before.phase) == 3 && rank(after.phase) < 3 {
        return Err("COMPLETE-7: what ended has a holder again".into());
    }
    // What is left of an upload that ended need not name its bytes, and what is stored is never reopened.
    let names_bytes = !matches!(after.phase, RecordPhase::Ended | RecordPhase::Waiting);
    if (before.opened && !after.opened)
        || (names_bytes && before.checkpoint.is_some() && after.checkpoint.is_none())
    {
        return Err("the writer of a record was forgotten".into());
    }
    let facts = |record: &Record| {
        (
            record.slot.clone(),
            record.client_name.clone(),
            record.birth.clone(),
        )
    };
    let is_declared = before
        .length
        .known()
        .is_none_or(|_| before.length == after.length);
    // Only what began by word ends so, and tus may change that.
    let is_by_word_since = after.ends_by_word && !before.ends_by_word;
    if facts(before) != facts(after) || !is_declared || is_by_word_since {
        return Err("the facts of an upload changed".into());
    }
    Ok(())
}
