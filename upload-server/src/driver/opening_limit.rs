//! Whose writer is opened next, where a client begins many uploads at once.
//!
//! Storage opens so many writers at a time, in the order in which they were asked for. Without a limit
//! of its own, one connection with hundreds of them would have everybody else's wait behind them; and
//! what is left before its turn comes needs no writer at all.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use upload_core::EntryId;

/// Writers of one slot and connection that are opened at once.
pub(super) const OPENINGS_MAX: usize = 16;

/// The openings of one connection; slots do not wait for each other, as their storage differs.
#[derive(Default)]
pub(super) struct Openings {
    by_slot: BTreeMap<Arc<str>, Slot>,
}

#[derive(Default)]
struct Slot {
    /// How many are under way.
    count: usize,
    /// In the order in which they came: entries are counted upwards.
    waiting: BTreeSet<EntryId>,
}

impl Openings {
    /// Begins one, or has the entry wait for its turn; returns whether it may begin. None that came
    /// later goes before it.
    pub(super) fn enter(&mut self, slot: &Arc<str>, entry: EntryId) -> bool {
        let openings = self.by_slot.entry(Arc::clone(slot)).or_default();
        let first = openings.waiting.first();
        let may = openings.count < OPENINGS_MAX && first.is_none_or(|first| entry < *first);
        if may {
            openings.count = openings.count.saturating_add(1);
        } else {
            openings.waiting.insert(entry);
        }
        may
    }

    /// Ends one.
    pub(super) fn leave(&mut self, slot: &Arc<str>) {
        if let Some(openings) = self.by_slot.get_mut(slot) {
            openings.count = openings.count.saturating_sub(1);
            self.tidy(slot);
        }
    }

    /// Forgets one that waits no more.
    pub(super) fn give_up(&mut self, slot: &Arc<str>, entry: EntryId) {
        if let Some(openings) = self.by_slot.get_mut(slot) {
            openings.waiting.remove(&entry);
            self.tidy(slot);
        }
    }

    /// Returns who waited longest in a slot that has room; it has to enter anew.
    pub(super) fn next(&mut self, slot: &Arc<str>) -> Option<EntryId> {
        let openings = self.by_slot.get_mut(slot)?;
        if openings.count >= OPENINGS_MAX {
            return None;
        }
        let next = openings.waiting.pop_first();
        self.tidy(slot);
        next
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.by_slot.is_empty()
    }

    fn tidy(&mut self, slot: &Arc<str>) {
        let is_empty = |slot: &Slot| slot.count == 0 && slot.waiting.is_empty();
        if self.by_slot.get(slot).is_some_and(is_empty) {
            self.by_slot.remove(slot);
        }
    }
}
