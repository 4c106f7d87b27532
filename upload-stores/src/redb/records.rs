//! The tables of the database, and what each operation does to them in a transaction.

use std::ops::Bound;
use std::time::{SystemTime, UNIX_EPOCH};

use redb::{
    Database, Error, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table,
    TableDefinition, TableError,
};

use crate::key::UploadKey;
use crate::store::{Expect, Version, Versioned};

/// Upload id and owner, to version, expiry (milliseconds since 1970) and record.
const RECORDS: TableDefinition<&[u8], (u64, u64, &[u8])> = TableDefinition::new("records");

/// Where the next process begins its versions, under [`NEXT_VERSION`].
const COUNTERS: TableDefinition<&str, u64> = TableDefinition::new("counters");
const NEXT_VERSION: &str = "next_version";

/// Versions set apart at a time, so that not every put has to write the counter.
const VERSIONS_PER_BLOCK: u64 = 1 << 32;

/// Records one step of a sweep looks at.
const SWEEP_STEP: usize = 1024;

/// What a caller asks.
#[derive(Debug)]
pub(super) enum Op {
    Get {
        key: UploadKey,
    },
    Put {
        key: UploadKey,
        record: Vec<u8>,
        expect: Expect,
        ttl_ms: u64,
    },
    Delete {
        key: UploadKey,
        expect: Expect,
    },
    /// Looks at the next records after this key of the table, empty for the first.
    Sweep {
        after: Vec<u8>,
    },
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Outcome {
    Record(Option<Versioned>),
    Stored(Version),
    Deleted,
    Conflict,
    Full,
    Swept {
        dropped: u64,
        /// The last key looked at, if there may be more.
        last: Option<Vec<u8>>,
    },
}

/// An open database and the versions set apart for it.
#[derive(Debug)]
pub(super) struct Records {
    database: Database,
    records_max: u64,
    next_version: u64,
    block_end: u64,
    /// Where the sweep stands that makes room when the table is full.
    full_sweep: Vec<u8>,
}

impl Records {
    /// Takes over an open database and sets versions apart.
    pub(super) fn new(database: Database, records_max: u64) -> Result<Self, Error> {
        let mut records = Self {
            database,
            records_max,
            next_version: 0,
            block_end: 0,
            full_sweep: Vec::new(),
        };
        records.take_block()?;
        Ok(records)
    }

    /// Applies all operations in order, in one transaction, and returns as many outcomes.
    ///
    /// When this returns, what changed is committed. After an error nothing changed or the last
    /// commit is in doubt, and the database should be opened anew.
    pub(super) fn apply<'a>(
        &mut self,
        ops: impl Iterator<Item = &'a Op> + Clone,
    ) -> Result<Vec<Outcome>, Error> {
        let now = now_ms();
        if ops.clone().all(|op| matches!(op, Op::Get { .. })) {
            return self.read(ops, now);
        }
        if self.block_end.saturating_sub(self.next_version) < 1 << 20 {
            self.take_block()?;
        }
        let transaction = self.database.begin_write()?;
        let mut outcomes = Vec::new();
        let mut changed = false;
        {
            let mut batch = Batch {
                table: transaction.open_table(RECORDS)?,
                now,
                records_max: self.records_max,
                next_version: &mut self.next_version,
                full_sweep: &mut self.full_sweep,
            };
            for op in ops {
                let outcome = batch.apply(op)?;
                changed |= match &outcome {
                    // A full table may have been swept.
                    Outcome::Stored(_) | Outcome::Deleted | Outcome::Full => true,
                    Outcome::Swept { dropped, .. } => *dropped > 0,
                    Outcome::Record(_) | Outcome::Conflict => false,
                };
                outcomes.push(outcome);
            }
        }
        if changed {
            transaction.commit()?;
        } else {
            transaction.abort()?;
        }
        Ok(outcomes)
    }

    fn read<'a>(&self, ops: impl Iterator<Item = &'a Op>, now: u64) -> Result<Vec<Outcome>, Error> {
        let transaction = self.database.begin_read()?;
        let table = match transaction.open_table(RECORDS) {
            Ok(table) => Some(table),
            Err(TableError::TableDoesNotExist(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let mut outcomes = Vec::new();
        for op in ops {
            let found = match (&table, op) {
                (Some(table), Op::Get { key }) => record(table, key, now)?,
                _ => None,
            };
            outcomes.push(Outcome::Record(found));
        }
        Ok(outcomes)
    }

    /// Sets versions apart that no earlier holder of the file gave out.
    fn take_block(&mut self) -> Result<(), Error> {
        let transaction = self.database.begin_write()?;
        let (start, end);
        {
            let mut counters = transaction.open_table(COUNTERS)?;
            // A new file begins at the time of its making, past any file it may replace.
            start = counters
                .get(NEXT_VERSION)?
                .map_or_else(|| now_ms() << 20, |next| next.value());
            end = start.saturating_add(VERSIONS_PER_BLOCK);
            counters.insert(NEXT_VERSION, end)?;
        }
        transaction.commit()?;
        (self.next_version, self.block_end) = (start, end);
        Ok(())
    }
}

/// One transaction under way.
struct Batch<'a, 't> {
    table: Table<'t, &'static [u8], (u64, u64, &'static [u8])>,
    now: u64,
    records_max: u64,
    next_version: &'a mut u64,
    full_sweep: &'a mut Vec<u8>,
}

impl Batch<'_, '_> {
    fn apply(&mut self, op: &Op) -> Result<Outcome, Error> {
        match op {
            Op::Get { key } => Ok(Outcome::Record(record(&self.table, key, self.now)?)),
            Op::Put {
                key,
                record,
                expect,
                ttl_ms,
            } => self.put(key, record, *expect, *ttl_ms),
            Op::Delete { key, expect } => self.delete(key, *expect),
            Op::Sweep { after } => self.sweep(after),
        }
    }

    fn put(
        &mut self,
        key: &UploadKey,
        record: &[u8],
        expect: Expect,
        ttl_ms: u64,
    ) -> Result<Outcome, Error> {
        let name = table_key(key);
        let (present, current) = match self.table.get(name.as_slice())? {
            Some(stored) => (true, live_version(stored.value(), self.now)),
            None => (false, None),
        };
        if !expect.holds(current) {
            return Ok(Outcome::Conflict);
        }
        if !present && self.table.len()? >= self.records_max {
            let after = std::mem::take(self.full_sweep);
            if let Outcome::Swept { last, .. } = self.sweep(&after)? {
                *self.full_sweep = last.unwrap_or_default();
            }
            if self.table.len()? >= self.records_max {
                return Ok(Outcome::Full);
            }
        }
        let version = *self.next_version;
        *self.next_version = version.saturating_add(1);
        let expires = self.now.saturating_add(ttl_ms);
        self.table
            .insert(name.as_slice(), (version, expires, record))?;
        Ok(Outcome::Stored(Version(version)))
    }

    fn delete(&mut self, key: &UploadKey, expect: Expect) -> Result<Outcome, Error> {
        let name = table_key(key);
        let current = self
            .table
            .get(name.as_slice())?
            .and_then(|stored| live_version(stored.value(), self.now));
        if !expect.holds(current) {
            return Ok(Outcome::Conflict);
        }
        self.table.remove(name.as_slice())?;
        Ok(Outcome::Deleted)
    }

    fn sweep(&mut self, after: &[u8]) -> Result<Outcome, Error> {
        let mut expired = Vec::new();
        let mut last = Vec::new();
        let mut seen = 0;
        let from: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Excluded(after), Bound::Unbounded);
        for entry in self.table.range::<&[u8]>(from)?.take(SWEEP_STEP) {
            let (key, stored) = entry?;
            if live_version(stored.value(), self.now).is_none() {
                expired.push(key.value().to_vec());
            }
            seen += 1;
            if seen == SWEEP_STEP {
                last = key.value().to_vec();
            }
        }
        for key in &expired {
            self.table.remove(key.as_slice())?;
        }
        Ok(Outcome::Swept {
            dropped: expired.len() as u64,
            last: (seen == SWEEP_STEP).then_some(last),
        })
    }
}

/// Upload ids come first: they have one length, so no two keys run together.
fn table_key(key: &UploadKey) -> Vec<u8> {
    [key.upload().as_slice(), key.owner().as_bytes()].concat()
}

fn record(
    table: &impl ReadableTable<&'static [u8], (u64, u64, &'static [u8])>,
    key: &UploadKey,
    now: u64,
) -> Result<Option<Versioned>, Error> {
    Ok(table.get(table_key(key).as_slice())?.and_then(|stored| {
        let version = live_version(stored.value(), now)?;
        Some(Versioned {
            record: stored.value().2.to_vec(),
            version,
        })
    }))
}

fn live_version((version, expires, _): (u64, u64, &[u8]), now: u64) -> Option<Version> {
    (now < expires).then_some(Version(version))
}

/// Milliseconds since 1970; a clock set before that counts as 1970.
fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}
