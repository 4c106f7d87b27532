//! An open database: transactions over what callers ask, and the versions set apart for them.

use std::time::{SystemTime, UNIX_EPOCH};

use redb::{
    CompactionError, Database, Error, ReadTransaction, ReadableDatabase, ReadableTable, TableError,
};

use super::batch::{Batch, Bounds};
use super::index::{self, INDEXED};
use super::reads;
use super::tables::{COUNTERS, NEXT_VERSION, RECORDS, TOTAL, from_sums, move_old_records};
use crate::count::{Counts, Facts, OwnerLimit};
use crate::key::UploadKey;
use crate::list::Page;
use crate::store::{Expect, Version, Versioned};

/// Versions set apart at a time, so that not every put has to write the counter.
const VERSIONS_PER_BLOCK: u64 = 1 << 32;

/// What a caller asks.
#[derive(Debug)]
pub(super) enum Op {
    Get {
        key: UploadKey,
    },
    Put(Stored),
    Delete {
        key: UploadKey,
        expect: Expect,
    },
    List {
        owner: Option<Box<str>>,
        /// A key of the table, empty for the first page.
        after: Vec<u8>,
        most: usize,
    },
    /// Of one owner it drops what expired, and may have to be asked again.
    Count {
        owner: Option<Box<str>>,
    },
    /// Looks at the next records after this key of the table, empty for the first.
    Sweep {
        after: Vec<u8>,
    },
}

/// What is to be stored.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) key: UploadKey,
    pub(super) record: Vec<u8>,
    pub(super) expect: Expect,
    pub(super) ttl_ms: u64,
    pub(super) facts: Facts,
    pub(super) limit: Option<OwnerLimit>,
    pub(super) is_receipt: bool,
}

/// Its result.
#[derive(Debug)]
pub(super) enum Outcome {
    Record(Option<Versioned>),
    Stored(Version),
    Deleted,
    Conflict,
    OverLimit,
    /// The owner has its share.
    OwnerFull,
    Full,
    Page(Page),
    Counts(Counts),
    /// More expired than one call drops: ask again.
    More,
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
    bounds: Bounds,
    next_version: u64,
    block_end: u64,
    /// Where the sweep is that makes room when the table is full.
    full_sweep: Vec<u8>,
}

impl Records {
    /// Takes over an open database, brings its tables to today's layout and sets versions apart.
    pub(super) fn new(database: Database, bounds: Bounds) -> Result<Self, Error> {
        move_old_records(&database)?;
        index::build(&database)?;
        let mut records = Self {
            database,
            bounds,
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
        if ops.clone().all(is_read) {
            return self.read(ops, now);
        }
        if self.block_end.saturating_sub(self.next_version) < 1 << 20 {
            self.take_block()?;
        }
        let transaction = self.database.begin_write()?;
        let mut outcomes = Vec::new();
        let changed = {
            let mut batch = Batch::begin(
                &transaction,
                now,
                self.bounds,
                &mut self.next_version,
                &mut self.full_sweep,
            )?;
            for op in ops {
                outcomes.push(batch.apply(op)?);
            }
            batch.end()?
        };
        if changed {
            transaction.commit()?;
        } else {
            transaction.abort()?;
        }
        Ok(outcomes)
    }

    fn read<'a>(&self, ops: impl Iterator<Item = &'a Op>, now: u64) -> Result<Vec<Outcome>, Error> {
        let transaction = self.database.begin_read()?;
        let records = match transaction.open_table(RECORDS) {
            Ok(records) => Some(records),
            Err(TableError::TableDoesNotExist(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let mut outcomes = Vec::new();
        for op in ops {
            outcomes.push(match (&records, op) {
                (Some(records), Op::Get { key }) => {
                    Outcome::Record(reads::record(records, key, now)?)
                }
                (Some(records), Op::List { owner, after, most }) => {
                    Outcome::Page(reads::page(records, owner.as_deref(), after, *most, now)?)
                }
                (_, Op::Count { owner: None }) => Outcome::Counts(total(&transaction)?),
                (_, Op::List { .. }) => Outcome::Page(Page::default()),
                (_, Op::Get { .. } | Op::Put(_) | Op::Delete { .. } | Op::Sweep { .. })
                | (_, Op::Count { owner: Some(_) }) => Outcome::Record(None),
            });
        }
        Ok(outcomes)
    }

    /// Returns how many bytes the records take up, with what expired and was not swept yet.
    pub(super) fn bytes(&self) -> Result<u64, Error> {
        let transaction = self.database.begin_read()?;
        Ok(total(&transaction)?.all.bytes)
    }

    /// Moves pages to the front of the file and cuts its end off.
    pub(super) fn compact(&mut self) -> Result<(), Error> {
        match self.database.compact() {
            Ok(_) => Ok(()),
            Err(CompactionError::Storage(error)) => Err(error.into()),
            // A running read keeps pages where they are, until the next time.
            Err(_) => Ok(()),
        }
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
            counters.insert(INDEXED, end)?;
        }
        transaction.commit()?;
        (self.next_version, self.block_end) = (start, end);
        Ok(())
    }
}

/// Returns what all owners have together, which is nothing in a file that is new.
fn total(transaction: &ReadTransaction) -> Result<Counts, Error> {
    let total = match transaction.open_table(TOTAL) {
        Ok(total) => total,
        Err(TableError::TableDoesNotExist(_)) => return Ok(Counts::default()),
        Err(error) => return Err(error.into()),
    };
    let sums = total.get(())?;
    Ok(sums.map_or_else(Counts::default, |sums| from_sums(sums.value())))
}

/// Returns whether the operation changes nothing.
fn is_read(op: &Op) -> bool {
    match op {
        Op::Get { .. } | Op::List { .. } | Op::Count { owner: None } => true,
        Op::Count { owner: Some(_) } | Op::Put(_) | Op::Delete { .. } | Op::Sweep { .. } => false,
    }
}

/// Milliseconds since 1970; a clock set before that counts as 1970.
fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}
