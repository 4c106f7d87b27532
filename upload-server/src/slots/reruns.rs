//! Handlers of stored files that run again because an earlier run did not finish: which, and how many at a time.
//!
//! Places are few, and a handler that hangs keeps one for as long as a handler may take. So a slot has a share of
//! them, and those run that waited longest: a run notes its time in the record, and so puts it behind the others.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Handlers that run again at a time, over all slots. The others' turn comes with a later look, so that those that
/// hang hold up neither it nor what time makes due.
const RERUNS_MAX: usize = 64;
/// Those of one slot, so that other slots have places when its handler hangs.
const RERUNS_OF_SLOT_MAX: usize = 16;
/// Uploads that one look keeps in mind for them, over all slots.
const CANDIDATES_MAX: usize = 1024;

/// How many handlers run again, by the names of their slots.
#[derive(Default)]
pub(super) struct Reruns(Mutex<HashMap<Box<str>, usize>>);

/// A place for a handler that runs again; free when dropped.
pub(super) struct Rerun {
    of: Arc<Reruns>,
    slot: Box<str>,
}

impl Reruns {
    /// Takes a place for a handler of this slot, if there is one.
    pub(super) fn begin(self: &Arc<Self>, slot: &str) -> Option<Rerun> {
        let mut running = self.lock();
        let all = running.values().copied().fold(0, usize::saturating_add);
        let own = running.get(slot).copied().unwrap_or_default();
        if all >= RERUNS_MAX || own >= RERUNS_OF_SLOT_MAX {
            return None;
        }
        running.insert(slot.into(), own.saturating_add(1));
        Some(Rerun {
            of: Arc::clone(self),
            slot: slot.into(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, usize>> {
        // Whole after every step, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Rerun {
    fn drop(&mut self) {
        let mut running = self.of.lock();
        if let Some(own) = running.get_mut(&self.slot) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                running.remove(&self.slot);
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
        if own.len() > RERUNS_OF_SLOT_MAX {
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

    /// Returns them, the one that waited longest first.
    pub(super) fn in_turn(self) -> impl Iterator<Item = T> {
        let all = self.of_slots.into_values().flatten();
        all.collect::<BTreeMap<_, _>>().into_values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_has_a_share_of_the_places() {
        let reruns = Arc::new(Reruns::default());
        let hangs: Vec<_> = (0..100).map_while(|_| reruns.begin("hangs")).collect();
        assert_eq!(hangs.len(), RERUNS_OF_SLOT_MAX);
        let other = reruns.begin("other").expect("it has its own share");
        drop(other);
        let mut all = hangs;
        for slot in ["a", "b", "c", "d", "e"] {
            all.extend((0..100).map_while(|_| reruns.begin(slot)));
        }
        assert_eq!(all.len(), RERUNS_MAX);
        assert!(reruns.begin("other").is_none());
        all.truncate(1);
        assert!(reruns.begin("other").is_some());
        drop(all);
        assert!(reruns.lock().is_empty());
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
        let turns: Vec<_> = due.in_turn().collect();
        assert_eq!(turns.len(), RERUNS_OF_SLOT_MAX + 1);
        assert_eq!(turns[..4], [500, 501, 0, 1]);
    }

    #[test]
    fn candidates_are_bounded_over_all_slots() {
        let mut due = Candidates::default();
        for number in (0..3 * CANDIDATES_MAX as u64).rev() {
            due.add(&number.to_string(), number, number);
        }
        assert_eq!(
            (due.count, due.of_slots.len()),
            (CANDIDATES_MAX, CANDIDATES_MAX)
        );
        let turns: Vec<_> = due.in_turn().collect();
        let oldest: Vec<_> = (0..CANDIDATES_MAX as u64).collect();
        assert_eq!(turns, oldest);
    }
}
