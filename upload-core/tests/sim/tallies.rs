//! What each owner's records count as, and all together: kept up with each change as stores do, by what the
//! core says, and compared with what the records say (CTRL-3).

use std::collections::BTreeMap;

use upload_core::{Charge, OwnerQuota, Record, RecordExpect, RecordPhase};

use crate::world::{Key, World};

/// Records and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    records: u64,
    bytes: u64,
}

/// What counts as unfinished, and what waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    unfinished: Sum,
    waiting: Sum,
}

impl Tally {
    fn of(&mut self, charge: Charge) -> Option<(&mut Sum, u64)> {
        match charge {
            Charge::Nothing => None,
            Charge::Unfinished(bytes) => Some((&mut self.unfinished, bytes)),
            Charge::Waiting(bytes) => Some((&mut self.waiting, bytes)),
        }
    }

    pub(crate) fn add(&mut self, charge: Charge) {
        if let Some((sum, bytes)) = self.of(charge) {
            sum.records += 1;
            sum.bytes += bytes;
        }
    }

    pub(crate) fn take(&mut self, charge: Charge) {
        if let Some((sum, bytes)) = self.of(charge) {
            sum.records -= 1;
            sum.bytes -= bytes;
        }
    }
}

/// The counts of all owners, and in all.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tallies {
    owners: BTreeMap<u8, Tally>,
    all: Tally,
}

impl Tallies {
    pub(crate) fn add(&mut self, key: Key, charge: Charge) {
        self.owners.entry(key.0).or_default().add(charge);
        self.all.add(charge);
    }

    pub(crate) fn take(&mut self, key: Key, charge: Charge) {
        self.owners.entry(key.0).or_default().take(charge);
        self.all.take(charge);
    }

    /// Counts records anew, and compares.
    pub(crate) fn are_of<'a>(&self, records: impl Iterator<Item = (Key, &'a Record)>) -> bool {
        let mut counted = Self::default();
        for (key, record) in records {
            counted.add(key, record.charge());
        }
        let is_empty = |tally: &Tally| *tally == Tally::default();
        let owners = |all: &Self| -> Vec<_> {
            let owners = all.owners.iter().filter(|(_, tally)| !is_empty(tally));
            owners.map(|(owner, tally)| (*owner, *tally)).collect()
        };
        self.all == counted.all && owners(self) == owners(&counted)
    }
}

impl World {
    /// Invariant 9: stores count what the records say, for each owner and in all; and the step that creates a
    /// record is the one that is held within its owner's limit.
    pub(crate) fn check_charge(
        &mut self,
        key: Key,
        record: &Record,
        charge: Charge,
        expect: RecordExpect,
        quota: Option<OwnerQuota>,
    ) {
        if charge != record.charge() {
            let says = record.charge();
            self.fail(format!(
                "9: a record counts as {charge:?}, and says {says:?}"
            ));
        }
        // A record that a store lost is written again for an upload that was counted.
        let is_new = expect == RecordExpect::Absent && !self.records.last.contains_key(&key);
        let is_first = is_new && record.phase == RecordPhase::Receiving && record.epoch == 1;
        let is_limited = quota.is_some_and(|quota| quota.uploads < u64::MAX);
        // One whose first save failed has begun without a record.
        let is_late = record.opened || record.offset > 0 || !self.store_worked;
        if is_first && !is_limited && !is_late {
            self.fail("9: a record is created outside of any limit".into());
        }
    }

    /// Invariant 9: a process counts in all what it counts for its owners.
    pub(crate) fn check_node(&mut self, node: usize) {
        let it = &self.nodes[node];
        let owners: u32 = it.tallies.values().map(|tally| tally.count()).sum();
        let all = it.all.count();
        if owners != all {
            self.fail(format!("9: {all} uploads in all, {owners} of owners"));
        }
    }

    /// Invariant 9, at any moment.
    pub(crate) fn check_tallies(&mut self) {
        if !self.records.are_counted() {
            self.fail("9: the counts are not those of the records".into());
        }
    }
}
