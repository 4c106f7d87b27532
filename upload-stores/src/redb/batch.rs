//! What each operation does to the tables, within one transaction.

use std::collections::HashMap;
use std::ops::Bound;

use redb::{Error, ReadableTable, Table, WriteTransaction};

use super::index::{self, PLACES, name_of, place_of};
use super::reads::{page, record};
use super::records::{Op, Outcome, Stored};
use super::tables::{
    OWNERS, RECORDS, Row, Sums, TOTAL, bytes_of, code_of, facts_of, from_sums, is_live, parse_key,
    table_key, to_sums,
};
use crate::count::{Counts, Facts};
use crate::key::UploadKey;
use crate::room::{RECEIPTS_PER_PUT, Room};
use crate::store::{Expect, Version};

#[cfg(test)]
mod tests;

/// Records one step of a sweep looks at.
const SWEEP_STEP: usize = 1024;

/// Expired records of one owner that a call drops at most, of its receipts and of its others.
pub(super) const EXPIRED_PER_CALL: usize = 256;

/// The most a store may have, and one owner in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) all: Room,
    pub(super) owner: Room,
}

/// What a put finds under its key.
struct Old {
    version: Version,
    facts: Facts,
    bytes: u64,
    is_live: bool,
    place: Option<Vec<u8>>,
}

/// A transaction in progress.
pub(super) struct Batch<'a, 't> {
    records: Table<'t, &'static [u8], Row<'static>>,
    places: Table<'t, &'static [u8], ()>,
    owners: Table<'t, &'static str, Sums>,
    totals: Table<'t, (), Sums>,
    now: u64,
    bounds: Bounds,
    next_version: &'a mut u64,
    full_sweep: &'a mut Vec<u8>,
    /// Whether a sweep for room found nothing, so that no other put of the batch tries again.
    swept_in_vain: bool,
    total: Counts,
    /// What the owners have whose records were counted in or out.
    counts: HashMap<Box<str>, Counts>,
    has_changed: bool,
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
            places: transaction.open_table(PLACES)?,
            owners: transaction.open_table(OWNERS)?,
            totals,
            now,
            bounds,
            next_version,
            full_sweep,
            swept_in_vain: false,
            total,
            counts: HashMap::new(),
            has_changed: false,
        })
    }

    /// Writes the counts that changed, and returns whether anything did.
    pub(super) fn end(mut self) -> Result<bool, Error> {
        if !self.has_changed {
            return Ok(false);
        }
        for (owner, counts) in self.counts {
            if counts.all.records == 0 {
                self.owners.remove(&*owner)?;
            } else {
                self.owners.insert(&*owner, to_sums(counts))?;
            }
        }
        self.totals.insert((), to_sums(self.total))?;
        Ok(true)
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
            Op::Count { owner: Some(owner) } => self.count(owner),
            Op::Count { owner: None } => Ok(Outcome::Counts(self.total)),
            Op::Sweep { after } => self.sweep(after),
        }
    }

    fn put(&mut self, put: &Stored) -> Result<Outcome, Error> {
        let name = table_key(&put.key);
        let old = self.records.get(name.as_slice())?.map(|stored| {
            let row = stored.value();
            Old {
                version: Version(row.0),
                facts: facts_of(row),
                bytes: bytes_of(&put.key, row.4),
                is_live: is_live(row, self.now),
                place: place_of(&name, row),
            }
        });
        let (old, is_expired) = match old {
            Some(old) if old.is_live => (Some(old), false),
            Some(_) => (None, true),
            None => (None, false),
        };
        if !put.expect.holds(old.as_ref().map(|old| old.version)) {
            return Ok(Outcome::Conflict);
        }
        // What expired and is replaced now leaves its place first.
        if is_expired {
            self.remove(&name)?;
        }
        let owner = put.key.owner();
        if let Some(limit) = put.limit {
            let old = old.as_ref().map(|old| old.facts);
            if !limit.permits(&self.counts_of(owner)?, old, put.facts) {
                self.drop_expired_of(owner, false)?;
                if !limit.permits(&self.counts_of(owner)?, old, put.facts) {
                    return Ok(Outcome::OverLimit);
                }
            }
        }
        let bytes = bytes_of(&put.key, &put.record);
        if let Some(refusal) = self.make_room(put, &name, old.as_ref(), bytes)? {
            return Ok(refusal);
        }
        self.has_changed = true;
        let (facts, place) = old.map_or((None, None), |old| {
            (Some((old.facts, old.bytes)), old.place)
        });
        if facts != Some((put.facts, bytes)) {
            if let Some((facts, bytes)) = facts {
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
            code_of(put.facts, put.is_receipt),
            put.facts.bytes(),
            put.record.as_slice(),
        );
        self.records.insert(name.as_slice(), row)?;
        self.index(place, place_of(&name, row))?;
        Ok(Outcome::Stored(Version(version)))
    }

    /// Makes room for a put: in its owner's share of what expired and of the owner's receipts, and in the store of
    /// what expired. Returns the refusal where there is none.
    fn make_room(
        &mut self,
        put: &Stored,
        name: &[u8],
        old: Option<&Old>,
        bytes: u64,
    ) -> Result<Option<Outcome>, Error> {
        let owner = put.key.owner();
        let after = |mut counts: Counts| {
            if let Some(old) = old {
                counts.subtract(old.facts, old.bytes);
            }
            counts.add(put.facts, bytes);
            counts.all
        };
        let before = self.counts_of(owner)?.all;
        let share = self.bounds.owner;
        if !share.permits(before, after(self.counts_of(owner)?)) {
            self.drop_expired_of(owner, false)?;
            for _ in 0..RECEIPTS_PER_PUT {
                if share.permits(before, after(self.counts_of(owner)?)) {
                    break;
                }
                let Some(oldest) = index::oldest_receipt(&self.places, owner, name)? else {
                    break;
                };
                self.drop_at(&oldest)?;
            }
            if old.is_none() && !share.permits(before, after(self.counts_of(owner)?)) {
                return Ok(Some(Outcome::OwnerFull));
            }
        }
        let before = self.total.all;
        if !self.bounds.all.permits(before, after(self.total)) {
            self.sweep_for_room()?;
            if !self.bounds.all.permits(before, after(self.total)) {
                return Ok(Some(Outcome::Full));
            }
        }
        Ok(None)
    }

    fn delete(&mut self, key: &UploadKey, expect: Expect) -> Result<Outcome, Error> {
        let name = table_key(key);
        let live = self.records.get(name.as_slice())?.and_then(|stored| {
            let row = stored.value();
            is_live(row, self.now).then_some(Version(row.0))
        });
        if !expect.holds(live) {
            return Ok(Outcome::Conflict);
        }
        self.remove(&name)?;
        Ok(Outcome::Deleted)
    }

    /// Counts what an owner has, unless there is more of it that expired than one call drops.
    fn count(&mut self, owner: &str) -> Result<Outcome, Error> {
        for is_receipt in [false, true] {
            if self.drop_expired_of(owner, is_receipt)? >= EXPIRED_PER_CALL {
                return Ok(Outcome::More);
            }
        }
        Ok(Outcome::Counts(self.counts_of(owner)?))
    }

    /// Takes the next step of the sweep that makes room in a full store.
    fn sweep_for_room(&mut self) -> Result<(), Error> {
        if self.swept_in_vain {
            return Ok(());
        }
        let after = std::mem::take(self.full_sweep);
        if let Outcome::Swept { dropped, last } = self.sweep(&after)? {
            self.swept_in_vain = dropped == 0;
            *self.full_sweep = last.unwrap_or_default();
        }
        Ok(())
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
        for name in &expired {
            self.remove(name)?;
        }
        Ok(Outcome::Swept {
            dropped: expired.len() as u64,
            last: (seen == SWEEP_STEP).then_some(last),
        })
    }

    /// Drops some of one owner's receipts that expired, or of its other records, and returns how many.
    fn drop_expired_of(&mut self, owner: &str, is_receipt: bool) -> Result<usize, Error> {
        let most = EXPIRED_PER_CALL;
        let expired = index::expired(&self.places, owner, is_receipt, self.now, most)?;
        for place in &expired {
            self.drop_at(place)?;
        }
        Ok(expired.len())
    }

    /// Drops the record that has this place.
    fn drop_at(&mut self, place: &[u8]) -> Result<(), Error> {
        let name = name_of(place).unwrap_or_default();
        let has_place = self.records.get(name.as_slice())?.is_some_and(|stored| {
            let found = place_of(&name, stored.value());
            found.is_some_and(|found| found == place)
        });
        if has_place {
            return self.remove(&name);
        }
        self.has_changed = true;
        self.places.remove(place)?;
        Ok(())
    }

    /// Removes the record of this name, if there is one, and counts it out.
    fn remove(&mut self, name: &[u8]) -> Result<(), Error> {
        let Some(stored) = self.records.remove(name)? else {
            return Ok(());
        };
        let row = stored.value();
        let (facts, place) = (facts_of(row), place_of(name, row));
        let counted = parse_key(name).map(|key| (bytes_of(&key, row.4), key));
        drop(stored);
        self.has_changed = true;
        self.index(place, None)?;
        if let Some((bytes, key)) = counted {
            self.count_out(key.owner(), facts, bytes)?;
        }
        Ok(())
    }

    /// Moves a record from one place to another.
    fn index(&mut self, from: Option<Vec<u8>>, to: Option<Vec<u8>>) -> Result<(), Error> {
        if from == to {
            return Ok(());
        }
        if let Some(from) = from {
            self.places.remove(from.as_slice())?;
        }
        if let Some(to) = to {
            self.places.insert(to.as_slice(), ())?;
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
