//! Slots that only `mount` gives, kept for as long as uploads in them have records. What time makes due among these
//! is done by the slot that their owner was given last, as it is for slots of all.
//!
//! A process knows those of the uploads it saved. After a restart it knows one again once an upload of its owner saves
//! its record there; until then such a record is left alone until its store lets it go.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use upload_core::Record;
use upload_stores::{Listed, UploadStateStore};

use super::{
    slot::{Slot, Slots},
    unclaimed::Unclaimed,
};

/// How many are known at most, over all owners; of others the records are left to their store.
const KNOWN_MAX: usize = 10_000;

/// Slots that are not those of all, by owner and name.
#[derive(Default)]
pub(super) struct MountedSlots(Mutex<Known>);

#[derive(Default)]
struct Known {
    owners: HashMap<Box<str>, HashMap<Box<str>, Mounted>>,
    count: usize,
    /// How many looks through all records began.
    looks: u64,
}

struct Mounted {
    slot: Slot,
    /// The look in which a record of it was seen last, or that had begun when one was written.
    seen: u64,
}

impl MountedSlots {
    fn lock(&self) -> MutexGuard<'_, Known> {
        // Whole after every step, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, owner: &str, name: &str) -> Option<Slot> {
        let known = self.lock();
        let mounted = known.owners.get(owner)?.get(name)?;
        Some(mounted.slot.clone())
    }

    fn note(&self, owner: &str, slot: &Slot) {
        let mut known = self.lock();
        let (seen, is_full) = (known.looks, known.count >= KNOWN_MAX);
        let name = &*slot.rules.name;
        if let Some(mounted) = known
            .owners
            .get_mut(owner)
            .and_then(|own| own.get_mut(name))
        {
            mounted.seen = seen;
            if !Arc::ptr_eq(&mounted.slot.rules, &slot.rules) {
                mounted.slot = slot.clone();
            }
        } else if !is_full {
            let slot = slot.clone();
            let own = known.owners.entry(owner.into()).or_default();
            own.insert(name.into(), Mounted { slot, seen });
            known.count = known.count.saturating_add(1);
        }
    }

    fn begin_look(&self) {
        let mut known = self.lock();
        known.looks = known.looks.saturating_add(1);
    }

    fn see(&self, owner: &str, name: &str) {
        let mut known = self.lock();
        let looks = known.looks;
        let own = known.owners.get_mut(owner);
        if let Some(mounted) = own.and_then(|own| own.get_mut(name)) {
            mounted.seen = looks;
        }
    }

    /// Forgets those of which neither this look nor the one before saw a record.
    fn end_look(&self) {
        let mut known = self.lock();
        let looks = known.looks;
        known.owners.retain(|_, own| {
            own.retain(|_, mounted| mounted.seen.saturating_add(1) >= looks);
            !own.is_empty()
        });
        known.count = known.owners.values().map(HashMap::len).sum();
    }

    fn stores(&self, of_owner: Option<&str>) -> Vec<Arc<dyn UploadStateStore>> {
        let known = self.lock();
        let store = |mounted: &Mounted| mounted.slot.store.clone();
        match of_owner {
            Some(owner) => {
                let own = known.owners.get(owner).into_iter();
                own.flat_map(HashMap::values).filter_map(store).collect()
            }
            None => {
                let all = known.owners.values();
                all.flat_map(HashMap::values).filter_map(store).collect()
            }
        }
    }
}

impl Unclaimed {
    /// Notes the slot of an upload whose record is written.
    pub(crate) fn note(&self, owner: &str, slot: &Slot) {
        let of_all = self.slots().get(&slot.rules.name);
        if of_all.is_none_or(|of_all| !Arc::ptr_eq(&of_all.rules, &slot.rules)) {
            self.mounted.note(owner, slot);
        }
    }

    /// Returns an owner's slot of this name: of those it is given now, or else the last one.
    pub(super) fn slot_of(&self, slots: &Slots, owner: &str, name: &str) -> Option<Slot> {
        let given = || slots.get(name).cloned();
        match Arc::ptr_eq(slots, self.slots()) {
            // Nothing was mounted for this call, which says nothing of the owner.
            true => self.mounted.of(owner, name).or_else(given),
            false => given().or_else(|| self.mounted.of(owner, name)),
        }
    }

    /// Returns the stores in which records of an owner may be, or of any owner for `None`, each once.
    pub(super) fn stores_of(
        &self,
        slots: &Slots,
        owner: Option<&str>,
    ) -> Vec<Arc<dyn UploadStateStore>> {
        let mut stores = self.stores(slots);
        for store in self.mounted.stores(owner) {
            if !stores.iter().any(|known| Arc::ptr_eq(known, &store)) {
                stores.push(store);
            }
        }
        stores
    }

    /// A look through all records begins.
    pub(super) fn begin_look(&self) {
        self.mounted.begin_look();
        self.stuck.begin_look();
    }

    /// Its slot is needed for as long as there is a record.
    pub(super) fn see(&self, listed: &Listed, record: &Record) {
        self.mounted.see(listed.key.owner(), &record.slot);
    }

    /// Every record was looked at.
    pub(super) fn end_look(&self) {
        self.mounted.end_look();
        self.stuck.end_look();
    }
}

#[cfg(test)]
mod tests {
    use upload_stores::MemoryStore;
    use upload_writers::DiscardWriterFactory;

    use super::*;
    use crate::app::slot_options::{SlotDefaults, SlotOptions};

    fn slot(name: &str) -> Slot {
        let defaults = SlotDefaults {
            writers: Arc::new(DiscardWriterFactory),
            data_dir: "files".into(),
            authorize: None,
            on_upload_complete: None,
            shared_store: false,
        };
        let slot = SlotOptions::new().into_slot(name, &defaults);
        slot.expect("good options")
    }

    #[test]
    fn a_slot_is_known_as_long_as_looks_see_its_records() {
        let mounted = MountedSlots::default();
        mounted.note("alice", &slot("own"));
        for _ in 0..3 {
            mounted.begin_look();
            mounted.see("alice", "own");
            mounted.see("bob", "own");
            mounted.end_look();
            assert!(mounted.of("alice", "own").is_some());
            assert!(mounted.of("bob", "own").is_none());
        }
        for is_known in [true, false] {
            mounted.begin_look();
            mounted.end_look();
            assert_eq!(mounted.of("alice", "own").is_some(), is_known);
        }
        assert!(mounted.lock().owners.is_empty());
    }

    #[test]
    fn the_last_slot_of_a_name_counts_and_their_number_is_bounded() {
        let mounted = MountedSlots::default();
        let (first, mut last) = (slot("own"), slot("own"));
        last.store = Some(Arc::new(MemoryStore::new()));
        mounted.note("alice", &first);
        mounted.note("alice", &last);
        let known = mounted.of("alice", "own").expect("it was noted");
        assert!(Arc::ptr_eq(&known.rules, &last.rules));
        assert_eq!(mounted.stores(Some("alice")).len(), 1);
        assert_eq!(mounted.stores(None).len(), 1);
        assert_eq!(mounted.stores(Some("bob")).len(), 0);
        for n in 0..2 * KNOWN_MAX {
            mounted.note(&n.to_string(), &first);
        }
        assert_eq!(mounted.lock().count, KNOWN_MAX);
        mounted.note("alice", &first);
        let known = mounted.of("alice", "own").expect("it was noted");
        assert!(Arc::ptr_eq(&known.rules, &first.rules));
    }
}
