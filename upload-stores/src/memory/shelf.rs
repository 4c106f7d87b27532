//! The records in memory, the order in which they expire, and what each owner has.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tokio::time::Instant;

use super::MEMORY_OVERHEAD_BYTES;
use crate::count::{Counts, Facts, Tally};
use crate::key::UploadKey;
use crate::store::{Put, Version, Versioned};

/// What a record takes up, in bytes.
pub(super) fn bytes_of(key: &UploadKey, record: &[u8]) -> u64 {
    let names = key.owner().len().saturating_add(MEMORY_OVERHEAD_BYTES);
    record.len().saturating_add(names) as u64
}

/// All records, the order in which they expire, and what each owner has.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// Ordered by owner first.
    pub(super) slots: BTreeMap<UploadKey, Slot>,
    /// One entry per slot; the version tells slots apart that expire together.
    pub(super) by_expiry: BTreeMap<(Instant, u64), UploadKey>,
    /// One entry per slot, for what is to be dropped of one owner: no other slot is looked at for it.
    pub(super) of_owners: BTreeSet<Place>,
    /// One entry per owner that has a slot.
    pub(super) owners: HashMap<Box<str>, Counts>,
    pub(super) total: Counts,
    last_version: u64,
}

/// Where a slot is among those of its owner: receipts last, and each kind by expiry.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    owner: Arc<str>,
    is_receipt: bool,
    /// `None` is before all times.
    expires: Option<Instant>,
    version: u64,
}

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) record: Box<[u8]>,
    pub(super) facts: Facts,
    is_receipt: bool,
    pub(super) version: Version,
    pub(super) expires: Instant,
}

impl Slot {
    pub(super) fn versioned(&self) -> Versioned {
        Versioned {
            record: self.record.to_vec(),
            version: self.version,
        }
    }

    fn place(&self, key: &UploadKey) -> Place {
        Place {
            owner: key.shared_owner(),
            is_receipt: self.is_receipt,
            expires: Some(self.expires),
            version: self.version.0,
        }
    }
}

impl Shelf {
    pub(super) fn live(&self, key: &UploadKey, now: Instant) -> Option<&Slot> {
        self.slots.get(key).filter(|slot| now < slot.expires)
    }

    /// What the owner has, with what expired and was not dropped yet.
    pub(super) fn counts_of(&self, owner: &str) -> Counts {
        self.owners.get(owner).copied().unwrap_or_default()
    }

    /// Returns a tally after a record takes the place of what is under its key, if it counts that.
    pub(super) fn after(&self, tally: Tally, key: &UploadKey, record: &[u8]) -> Tally {
        let others = match self.slots.get(key) {
            Some(old) => tally.without(bytes_of(key, &old.record)),
            None => tally,
        };
        others.with(bytes_of(key, record))
    }

    pub(super) fn insert(&mut self, key: UploadKey, put: &Put<'_>, expires: Instant) -> Version {
        self.remove(&key);
        let (record, facts) = (put.record, put.facts);
        // One counter for all keys: no key can see a number twice.
        self.last_version = self.last_version.wrapping_add(1);
        let version = Version(self.last_version);
        let bytes = bytes_of(&key, record);
        self.total.add(facts, bytes);
        match self.owners.get_mut(key.owner()) {
            Some(counts) => counts.add(facts, bytes),
            None => {
                let mut counts = Counts::default();
                counts.add(facts, bytes);
                self.owners.insert(key.owner().into(), counts);
            }
        }
        self.by_expiry.insert((expires, version.0), key.clone());
        let slot = Slot {
            record: record.into(),
            facts,
            is_receipt: put.is_receipt(),
            version,
            expires,
        };
        self.of_owners.insert(slot.place(&key));
        self.slots.insert(key, slot);
        version
    }

    pub(super) fn remove(&mut self, key: &UploadKey) {
        let Some(slot) = self.slots.remove(key) else {
            return;
        };
        self.by_expiry.remove(&(slot.expires, slot.version.0));
        self.of_owners.remove(&slot.place(key));
        let bytes = bytes_of(key, &slot.record);
        self.total.subtract(slot.facts, bytes);
        if let Some(counts) = self.owners.get_mut(key.owner()) {
            counts.subtract(slot.facts, bytes);
            if counts.all.records == 0 {
                self.owners.remove(key.owner());
            }
        }
    }

    pub(super) fn drop_expired(&mut self, now: Instant, most: usize) -> usize {
        let mut dropped = 0;
        while dropped < most {
            let Some((&(expires, _), key)) = self.by_expiry.first_key_value() else {
                break;
            };
            if expires > now {
                break;
            }
            let key = key.clone();
            self.remove(&key);
            dropped += 1;
        }
        dropped
    }

    /// Drops some of one owner's receipts that expired, or of its other records, and returns how many.
    pub(super) fn drop_expired_of(
        &mut self,
        key: &UploadKey,
        is_receipt: bool,
        now: Instant,
        most: usize,
    ) -> usize {
        let expired: Vec<UploadKey> = self
            .of_owner(key, is_receipt)
            .take_while(|(expires, _)| *expires <= now)
            .take(most)
            .map(|(_, key)| key.clone())
            .collect();
        for key in &expired {
            self.remove(key);
        }
        expired.len()
    }

    /// Drops the receipt that expires first of the owner of `key`, but not what is under `key`. Returns whether
    /// there was one.
    pub(super) fn drop_oldest_receipt(&mut self, key: &UploadKey) -> bool {
        let mut receipts = self.of_owner(key, true);
        let oldest = receipts.find(|(_, found)| *found != key);
        let Some(oldest) = oldest.map(|(_, found)| found.clone()) else {
            return false;
        };
        drop(receipts);
        self.remove(&oldest);
        true
    }

    /// The receipts of the owner of `key`, or its other records, by expiry.
    fn of_owner(
        &self,
        key: &UploadKey,
        is_receipt: bool,
    ) -> impl Iterator<Item = (Instant, &UploadKey)> {
        let first = Place {
            owner: key.shared_owner(),
            is_receipt,
            expires: None,
            version: 0,
        };
        let owner = key.shared_owner();
        self.of_owners
            .range(first..)
            .take_while(move |place| place.owner == owner && place.is_receipt == is_receipt)
            .filter_map(|place| {
                let expires = place.expires?;
                let key = self.by_expiry.get(&(expires, place.version))?;
                Some((expires, key))
            })
    }
}
