//! The records in memory, the order in which they expire, and what each owner has.

use std::collections::{BTreeMap, HashMap};

use tokio::time::Instant;

use super::MEMORY_OVERHEAD_BYTES;
use crate::count::{Counts, Facts};
use crate::key::UploadKey;
use crate::store::{Version, Versioned};

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
    /// One entry per owner that has a slot.
    pub(super) owners: HashMap<Box<str>, Counts>,
    pub(super) total: Counts,
    last_version: u64,
}

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) record: Box<[u8]>,
    pub(super) facts: Facts,
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
}

impl Shelf {
    pub(super) fn live(&self, key: &UploadKey, now: Instant) -> Option<&Slot> {
        self.slots.get(key).filter(|slot| now < slot.expires)
    }

    /// What the owner has, with what expired and was not dropped yet.
    pub(super) fn counts_of(&self, owner: &str) -> Counts {
        self.owners.get(owner).copied().unwrap_or_default()
    }

    pub(super) fn insert(
        &mut self,
        key: UploadKey,
        record: &[u8],
        facts: Facts,
        expires: Instant,
    ) -> Version {
        self.remove(&key);
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
        self.slots.insert(
            key,
            Slot {
                record: record.into(),
                facts,
                version,
                expires,
            },
        );
        version
    }

    pub(super) fn remove(&mut self, key: &UploadKey) {
        let Some(slot) = self.slots.remove(key) else {
            return;
        };
        self.by_expiry.remove(&(slot.expires, slot.version.0));
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

    /// Drops what expired of one owner, so that its counts are exact.
    pub(super) fn drop_expired_of(&mut self, owner: &str, now: Instant) {
        let Ok(first) = UploadKey::new(owner, [0; 16]) else {
            return;
        };
        let expired: Vec<UploadKey> = self
            .slots
            .range(first..)
            .take_while(|(key, _)| key.owner() == owner)
            .filter(|(_, slot)| slot.expires <= now)
            .map(|(key, _)| key.clone())
            .collect();
        for key in expired {
            self.remove(&key);
        }
    }
}
