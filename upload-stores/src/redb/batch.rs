//! What each operation does to the tables, within one transaction.

use std::collections::HashMap;
use std::ops::Bound;

use redb::{Error, ReadableTable, Table, WriteTransaction};

use super::records::{Op, Outcome, Stored};
use super::tables::{
    OWNERS, RECORDS, Row, Sums, TOTAL, bytes_of, facts_of, from_sums, is_live, owner_prefix,
    parse_key, table_key, to_sums, versioned,
};
use crate::count::{Counts, Facts};
use crate::key::UploadKey;
use crate::list::{Cursor, Listed, Page};
use crate::store::{Expect, Version, Versioned};

/// Records one step of a sweep looks at.
const SWEEP_STEP: usize = 1024;

/// The most a store may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) records: u64,
    pub(super) bytes: u64,
}

impl Bounds {
    fn have_room(self, counts: Counts) -> bool {
        counts.all.records <= self.records && counts.all.bytes <= self.bytes
    }
}

/// A transaction in progress.
pub(super) struct Batch<'a, 't> {
    records: Table<'t, &'static [u8], Row<'static>>,
    owners: Table<'t, &'static str, Sums>,
    totals: Table<'t, (), Sums>,
    now: u64,
    bounds: Bounds,
    next_version: &'a mut u64,
    full_sweep: &'a mut Vec<u8>,
    total: Counts,
    /// What the owners have whose records were counted in or out.
    counts: HashMap<Box<str>, Counts>,
}

impl<'a, 't> Batch<'a, 't> {
    /// Opens the tables. `full_sweep` is where the sweep is that makes room in a full store.
    pub(super) fn begin(
        transaction: &'t WriteTransaction,
        now: u64,
        bounds: Bounds,
        next_version: &'a mut u64,
        full_sweep: &'a mut Vec<u8>,
    ) -> Result<Self, Error> {
        let totals = transaction.open_table(TOTAL)?;
        let total = totals
            .get(())?
            .map_or_else(Counts::default, |sums| from_sums(sums.value()));
        Ok(Self {
            records: transaction.open_table(RECORDS)?,
            owners: transaction.open_table(OWNERS)?,
            totals,
            now,
            bounds,
            next_version,
            full_sweep,
            total,
            counts: HashMap::new(),
        })
    }

    /// Writes the counts that changed.
    pub(super) fn end(mut self) -> Result<(), Error> {
        if self.counts.is_empty() {
            return Ok(());
        }
        for (owner, counts) in self.counts {
            if counts.all.records == 0 {
                self.owners.remove(&*owner)?;
            } else {
                self.owners.insert(&*owner, to_sums(counts))?;
            }
        }
        self.totals.insert((), to_sums(self.total))?;
        Ok(())
    }

    pub(super) fn apply(&mut self, op: &Op) -> Result<Outcome, Error> {
        match op {
            Op::Get { key } => Ok(Outcome::Record(record(&self.records, key, self.now)?)),
            Op::Put(put) => self.put(put),
            Op::Delete { key, expect } => self.delete(key, *expect),
            Op::List { owner, after, most } => {
                let page = page(&self.records, owner.as_deref(), after, *most, self.now)?;
                Ok(Outcome::Page(page))
            }
            Op::Count { owner: Some(owner) } => {
                Ok(Outcome::Counts(counts(&self.records, owner, self.now)?))
            }
            Op::Count { owner: None } => Ok(Outcome::Counts(self.total)),
            Op::Sweep { after } => self.sweep(after),
        }
    }

    fn put(&mut self, put: &Stored) -> Result<Outcome, Error> {
        let name = table_key(&put.key);
        // What is there, and whether it has not expired.
        let old = self.records.get(name.as_slice())?.map(|stored| {
            let row = stored.value();
            let bytes = bytes_of(&put.key, row.4);
            (Version(row.0), facts_of(row), bytes, is_live(row, self.now))
        });
        let live = old.filter(|&(.., is_live)| is_live);
        if !put.expect.holds(live.map(|(version, ..)| version)) {
            return Ok(Outcome::Conflict);
        }
        let bytes = bytes_of(&put.key, &put.record);
        let owner = put.key.owner();
        // What expired and is replaced now leaves its place first.
        if let Some((_, facts, bytes, false)) = old {
            self.records.remove(name.as_slice())?;
            self.count_out(owner, facts, bytes)?;
        }
        if let Some(limit) = put.limit {
            let old = live.map(|(_, facts, ..)| facts);
            if !limit.permits(&self.counts_of(owner)?, old, put.facts) {
                self.drop_expired_of(owner)?;
                if !limit.permits(&self.counts_of(owner)?, old, put.facts) {
                    return Ok(Outcome::OverLimit);
                }
            }
        }
        let mut change = (
            live.map(|(_, facts, bytes, _)| (facts, bytes)),
            (put.facts, bytes),
        );
        if !self.has_room(change.0, change.1) {
            let after = std::mem::take(self.full_sweep);
            if let Outcome::Swept { last, .. } = self.sweep(&after)? {
                *self.full_sweep = last.unwrap_or_default();
            }
            if !self.has_room(change.0, change.1) {
                return Ok(Outcome::Full);
            }
        }
        if change.0 != Some(change.1) {
            if let Some((facts, bytes)) = change.0.take() {
                self.count_out(owner, facts, bytes)?;
            }
            self.total.add(put.facts, bytes);
            self.counts_mut(owner)?.add(put.facts, bytes);
        }
        let version = *self.next_version;
        *self.next_version = version.saturating_add(1);
        let row = (
            version,
            self.now.saturating_add(put.ttl_ms),
            put.facts.counts_as.code(),
            put.facts.bytes(),
            put.record.as_slice(),
        );
        self.records.insert(name.as_slice(), row)?;
        Ok(Outcome::Stored(Version(version)))
    }

    /// Returns whether the store can take this in place of that.
    fn has_room(&self, old: Option<(Facts, u64)>, new: (Facts, u64)) -> bool {
        let mut after = self.total;
        if let Some((facts, bytes)) = old {
            after.subtract(facts, bytes);
        }
        after.add(new.0, new.1);
        self.bounds.have_room(after) || after.all.bytes <= self.total.all.bytes
    }

    fn delete(&mut self, key: &UploadKey, expect: Expect) -> Result<Outcome, Error> {
        let name = table_key(key);
        let old = self.records.get(name.as_slice())?.map(|stored| {
            let row = stored.value();
            let live = is_live(row, self.now).then_some(Version(row.0));
            (live, facts_of(row), bytes_of(key, row.4))
        });
        if !expect.holds(old.and_then(|(live, ..)| live)) {
            return Ok(Outcome::Conflict);
        }
        if let Some((_, facts, bytes)) = old {
            self.records.remove(name.as_slice())?;
            self.count_out(key.owner(), facts, bytes)?;
        }
        Ok(Outcome::Deleted)
    }

    fn sweep(&mut self, after: &[u8]) -> Result<Outcome, Error> {
        let mut expired = Vec::new();
        let mut last = Vec::new();
        let mut seen = 0;
        let from: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Excluded(after), Bound::Unbounded);
        for entry in self.records.range::<&[u8]>(from)?.take(SWEEP_STEP) {
            let (key, stored) = entry?;
            if !is_live(stored.value(), self.now) {
                expired.push(key.value().to_vec());
            }
            seen += 1;
            if seen == SWEEP_STEP {
                last = key.value().to_vec();
            }
        }
        self.drop_all(&expired)?;
        Ok(Outcome::Swept {
            dropped: expired.len() as u64,
            last: (seen == SWEEP_STEP).then_some(last),
        })
    }

    /// Drops what expired of one owner, so that its counts are exact.
    fn drop_expired_of(&mut self, owner: &str) -> Result<(), Error> {
        let mut expired = Vec::new();
        for entry in of_owner(&self.records, owner)? {
            let (name, stored) = entry?;
            if !is_live(stored.value(), self.now) {
                expired.push(name.value().to_vec());
            }
        }
        self.drop_all(&expired)
    }

    fn drop_all(&mut self, names: &[Vec<u8>]) -> Result<(), Error> {
        for name in names {
            let Some(stored) = self.records.remove(name.as_slice())? else {
                continue;
            };
            let row = stored.value();
            let counted = parse_key(name).map(|key| (bytes_of(&key, row.4), key));
            let facts = facts_of(row);
            drop(stored);
            if let Some((bytes, key)) = counted {
                self.count_out(key.owner(), facts, bytes)?;
            }
        }
        Ok(())
    }

    fn count_out(&mut self, owner: &str, facts: Facts, bytes: u64) -> Result<(), Error> {
        self.total.subtract(facts, bytes);
        self.counts_mut(owner)?.subtract(facts, bytes);
        Ok(())
    }

    /// What the owner has, with what expired and was not swept yet.
    fn counts_of(&self, owner: &str) -> Result<Counts, Error> {
        match self.counts.get(owner) {
            Some(counts) => Ok(*counts),
            None => Ok(self
                .owners
                .get(owner)?
                .map_or_else(Counts::default, |sums| from_sums(sums.value()))),
        }
    }

    fn counts_mut(&mut self, owner: &str) -> Result<&mut Counts, Error> {
        let counts = self.counts_of(owner)?;
        Ok(self.counts.entry(owner.into()).or_insert(counts))
    }
}

pub(super) fn record(
    records: &impl ReadableTable<&'static [u8], Row<'static>>,
    key: &UploadKey,
    now: u64,
) -> Result<Option<Versioned>, Error> {
    Ok(records
        .get(table_key(key).as_slice())?
        .filter(|stored| is_live(stored.value(), now))
        .map(|stored| versioned(stored.value())))
}

/// What an owner has, counted one by one.
pub(super) fn counts(
    records: &impl ReadableTable<&'static [u8], Row<'static>>,
    owner: &str,
    now: u64,
) -> Result<Counts, Error> {
    let mut counts = Counts::default();
    for entry in of_owner(records, owner)? {
        let (name, stored) = entry?;
        let row = stored.value();
        if let Some(key) = parse_key(name.value())
            && is_live(row, now)
        {
            counts.add(facts_of(row), bytes_of(&key, row.4));
        }
    }
    Ok(counts)
}

/// A page of the records after the cursor, which is a name of the table, or empty for the first page.
pub(super) fn page(
    records: &impl ReadableTable<&'static [u8], Row<'static>>,
    owner: Option<&str>,
    after: &[u8],
    most: usize,
    now: u64,
) -> Result<Page, Error> {
    let prefix = owner.map(owner_prefix).unwrap_or_default();
    let from = if after.is_empty() {
        Bound::Included(prefix.as_slice())
    } else {
        Bound::Excluded(after)
    };
    let mut page = Page::default();
    let mut last = Vec::new();
    for (seen, entry) in records
        .range::<&[u8]>((from, Bound::Unbounded))?
        .enumerate()
    {
        let (name, stored) = entry?;
        if !is_of(name.value(), owner, &prefix) {
            break;
        }
        if seen == most {
            page.next = Some(Cursor::new(last));
            break;
        }
        name.value().clone_into(&mut last);
        let row = stored.value();
        if let Some(key) = parse_key(name.value())
            && is_live(row, now)
        {
            page.records.push(Listed {
                key,
                stored: versioned(row),
                facts: facts_of(row),
            });
        }
    }
    Ok(page)
}

type Entry<'a> = (
    redb::AccessGuard<'a, &'static [u8]>,
    redb::AccessGuard<'a, Row<'static>>,
);

/// The rows of an owner, live or not.
fn of_owner<'a>(
    records: &'a impl ReadableTable<&'static [u8], Row<'static>>,
    owner: &str,
) -> Result<impl Iterator<Item = Result<Entry<'a>, redb::StorageError>>, Error> {
    let prefix = owner_prefix(owner);
    let owner = owner.to_owned();
    Ok(records
        .range::<&[u8]>(prefix.as_slice()..)?
        .take_while(move |entry| match entry {
            Ok((name, _)) => is_of(name.value(), Some(&owner), &prefix),
            Err(_) => true,
        }))
}

/// Returns whether a row of this name is one of the owner's, or of any owner for `None`.
fn is_of(name: &[u8], owner: Option<&str>, prefix: &[u8]) -> bool {
    owner.is_none() || name.starts_with(prefix)
}
