//! Handlers of stored files that run again because an earlier run did not finish: which, and how many at a time.
//!
//! Places are few, and a handler that hangs keeps one for as long as a handler may take. So a slot has a share of
//! them, and a place that is free goes to the slot that has the fewest. Of a slot those run first that waited
//! longest: a run notes its time in the record, and so puts it behind the others.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Handlers that run again at a time, over all slots, so that those that hang hold up neither a look nor what time
/// makes due.
const RERUNS_MAX: usize = 64;
/// Those of one slot, so that other slots have places when its handler hangs.
const RERUNS_OF_SLOT_MAX: usize = 16;
/// Uploads that one look keeps in mind for them, over all slots.
const CANDIDATES_MAX: usize = 16_384;
/// Those of one slot; the others' turn comes with a later look.
const CANDIDATES_OF_SLOT_MAX: usize = 4096;

/// The handlers that run again, and the uploads that wait for one of their places.
pub(super) struct Reruns<T>(Mutex<Queue<T>>);

struct Queue<T> {
    /// How many run, by the names of their slots.
    running: HashMap<Box<str>, usize>,
    /// Those of the last look whose turn has not come.
    waiting: Candidates<T>,
}

/// A place for a handler that runs again; free when dropped.
pub(super) struct Rerun<T> {
    of: Arc<Reruns<T>>,
    slot: Box<str>,
}

impl<T> Default for Reruns<T> {
    fn default() -> Self {
        Self(Mutex::new(Queue {
            running: HashMap::new(),
            waiting: Candidates::default(),
        }))
    }
}

impl<T> Reruns<T> {
    /// Has the uploads of a look wait, in place of those that are left of the one before.
    pub(super) fn renew(&self, due: Candidates<T>) {
        self.lock().waiting = due;
    }

    /// Takes the upload whose turn it is, with a place for its handler, if there are both.
    pub(super) fn begin(self: &Arc<Self>) -> Option<(T, Rerun<T>)> {
        let mut queue = self.lock();
        let Queue { running, waiting } = &mut *queue;
        let all = running.values().copied().fold(0, usize::saturating_add);
        if all >= RERUNS_MAX {
            return None;
        }
        let (slot, upload) = waiting.take_next(running)?;
        let own = running.entry(slot.clone()).or_default();
        *own = own.saturating_add(1);
        let of = Arc::clone(self);
        Some((upload, Rerun { of, slot }))
    }

    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        // Whole after every step, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Rerun<T> {
    /// Forgets the uploads of its slot that wait: their turn comes with a later look.
    pub(super) fn forget_others(&self) {
        self.of.lock().waiting.forget(&self.slot);
    }
}

impl<T> Drop for Rerun<T> {
    fn drop(&mut self) {
        let mut queue = self.of.lock();
        if let Some(own) = queue.running.get_mut(&self.slot) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                queue.running.remove(&self.slot);
            }
        }
    }
}

/// The uploads of one look whose handlers are due to run again: of each slot, those that waited longest.
pub(super) struct Candidates<T> {
    /// By slot, then by the time of the last run and a number that tells them apart.
    of_slots: HashMap<Box<str>, BTreeMap<(u64, u64), T>>,
    count: usize,
    added: u64,
}

impl<T> Default for Candidates<T> {
    fn default() -> Self {
        Self {
            of_slots: HashMap::new(),
            count: 0,
            added: 0,
        }
    }
}

impl<T> Candidates<T> {
    /// Adds an upload of a slot, whose handler ran last at this time.
    pub(super) fn add(&mut self, slot: &str, ran_unix_ms: u64, upload: T) {
        self.added = self.added.saturating_add(1);
        let own = self.of_slots.entry(slot.into()).or_default();
        own.insert((ran_unix_ms, self.added), upload);
        self.count = self.count.saturating_add(1);
        if own.len() > CANDIDATES_OF_SLOT_MAX {
            own.pop_last();
            self.count = self.count.saturating_sub(1);
        }
        if self.count > CANDIDATES_MAX {
            self.drop_last();
        }
    }

    /// Drops the one that ran last.
    fn drop_last(&mut self) {
        let last = self.of_slots.iter().max_by_key(|(_, own)| {
            let last = own.last_key_value();
            last.map(|(key, _)| *key)
        });
        let Some(slot) = last.map(|(slot, _)| slot.clone()) else {
            return;
        };
        if let Some(own) = self.of_slots.get_mut(&slot) {
            own.pop_last();
            self.count = self.count.saturating_sub(1);
            if own.is_empty() {
                self.of_slots.remove(&slot);
            }
        }
    }

    /// Takes the one whose turn it is: of the slots that may run another one, that with the fewest, and of those the
    /// one that waited longest.
    fn take_next(&mut self, running: &HashMap<Box<str>, usize>) -> Option<(Box<str>, T)> {
        let turns = self.of_slots.iter().filter_map(|(slot, own)| {
            let runs = running.get(slot).copied().unwrap_or_default();
            let (since, _) = own.first_key_value()?;
            (runs < RERUNS_OF_SLOT_MAX).then_some((runs, *since, slot))
        });
        let (_, _, slot) = turns.min()?;
        let slot = slot.clone();
        let own = self.of_slots.get_mut(&slot)?;
        let (_, upload) = own.pop_first()?;
        if own.is_empty() {
            self.of_slots.remove(&slot);
        }
        self.count = self.count.saturating_sub(1);
        Some((slot, upload))
    }

    /// Forgets those of a slot.
    fn forget(&mut self, slot: &str) {
        let own = self.of_slots.remove(slot);
        let count = own.as_ref().map_or(0, BTreeMap::len);
        self.count = self.count.saturating_sub(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Has so many uploads of each slot wait.
    fn waiting(slots: &[&str], of_each: u64) -> Arc<Reruns<u64>> {
        let mut due = Candidates::default();
        for slot in slots {
            for number in 0..of_each {
                due.add(slot, number, number);
            }
        }
        let reruns = Arc::new(Reruns::default());
        reruns.renew(due);
        reruns
    }

    fn begin_all(reruns: &Arc<Reruns<u64>>) -> Vec<(u64, Rerun<u64>)> {
        std::iter::from_fn(|| reruns.begin()).collect()
    }

    #[test]
    fn a_slot_has_a_share_of_the_places() {
        let reruns = waiting(&["hangs"], 100);
        let mut all = begin_all(&reruns);
        assert_eq!(all.len(), RERUNS_OF_SLOT_MAX);
        for slots in [&["other"][..], &["a", "b", "c", "d", "e"]] {
            let others = waiting(slots, 100);
            let due = std::mem::take(&mut others.lock().waiting);
            reruns.renew(due);
            all.extend(begin_all(&reruns));
        }
        assert_eq!(all.len(), RERUNS_MAX);
        drop(all);
        assert!(reruns.lock().running.is_empty());
    }

    #[test]
    fn a_place_that_is_free_goes_to_the_slot_that_has_the_fewest() {
        // Those that hang take every place, and waited longest.
        let reruns = waiting(&["a", "b", "c", "d"], 100);
        let mut all = begin_all(&reruns);
        assert_eq!(all.len(), RERUNS_MAX);
        reruns.lock().waiting.add("good", 1_000, 1_000);
        assert!(reruns.begin().is_none());
        drop(all.pop());
        let (upload, place) = reruns.begin().expect("there is a place");
        assert_eq!((upload, &*place.slot), (1_000, "good"));
        assert!(reruns.begin().is_none());
    }

    #[test]
    fn those_that_waited_longest_have_their_turn_first() {
        let mut due = Candidates::default();
        // Those that come first in the store ran a moment ago.
        for number in 0..500 {
            due.add("hangs", 1_000 + number, number);
        }
        due.add("hangs", 7, 500);
        due.add("good", 900, 501);
        let reruns = Arc::new(Reruns::default());
        reruns.renew(due);
        let mut all = begin_all(&reruns);
        assert_eq!(all.len(), RERUNS_OF_SLOT_MAX + 1);
        let turns: Vec<_> = all.iter().map(|(upload, _)| *upload).collect();
        assert_eq!(turns[..4], [500, 501, 0, 1]);
        // Whenever one ends, the next one of the same look begins.
        drop(all.remove(1));
        for next in 15..500 {
            drop(all.remove(0));
            let (upload, place) = reruns.begin().expect("it waits");
            assert_eq!(upload, next);
            all.push((upload, place));
        }
        all.clear();
        assert!(reruns.begin().is_none());
    }

    #[test]
    fn a_slot_whose_store_fails_waits_for_the_next_look() {
        let reruns = waiting(&["fails", "works"], 100);
        let all = begin_all(&reruns);
        assert_eq!(all.len(), 2 * RERUNS_OF_SLOT_MAX);
        let failing = all.iter().find(|(_, place)| &*place.slot == "fails");
        let (_, place) = failing.expect("it began");
        place.forget_others();
        drop(all);
        let all = begin_all(&reruns);
        assert_eq!(all.len(), RERUNS_OF_SLOT_MAX);
        assert!(all.iter().all(|(_, place)| &*place.slot == "works"));
        let left = 100 - 2 * RERUNS_OF_SLOT_MAX;
        assert_eq!(reruns.lock().waiting.count, left);
    }

    #[test]
    fn candidates_are_bounded_over_all_slots() {
        let mut due = Candidates::default();
        for number in (0..3 * CANDIDATES_MAX as u64).rev() {
            due.add(&(number % 8).to_string(), number, number);
        }
        assert_eq!((due.count, due.of_slots.len()), (CANDIDATES_MAX, 8));
        let kept = due.of_slots.values().flat_map(BTreeMap::values);
        let newest = kept.copied().max();
        assert_eq!(newest, Some(CANDIDATES_MAX as u64 - 1));
        let mut of_one = Candidates::default();
        for number in 0..2 * CANDIDATES_OF_SLOT_MAX as u64 {
            of_one.add("one", number, number);
        }
        assert_eq!(of_one.count, CANDIDATES_OF_SLOT_MAX);
    }
}
