//! The parking lot: what waits for a return, bounded by count, memory and time.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use tokio::time::Instant;

use super::Key;

/// What is parked under each key, oldest first out.
pub(super) struct Lot<T> {
    places: usize,
    held_max: u64,
    held: u64,
    stay: Duration,
    by_key: HashMap<Key, Place<T>>,
    /// The same keys in the order they came.
    order: BTreeMap<u64, Key>,
    next: u64,
}

struct Place<T> {
    what: T,
    held: u64,
    epoch: u64,
    turn: u64,
    since: Instant,
}

impl<T> Lot<T> {
    /// Makes a lot of `places`, in which everything stays for `stay` at most, and holds at most
    /// `held_max` bytes together.
    pub(super) fn new(places: usize, held_max: u64, stay: Duration) -> Self {
        Self {
            places,
            held_max,
            held: 0,
            stay,
            by_key: HashMap::new(),
            order: BTreeMap::new(),
            next: 0,
        }
    }

    /// Parks `what`, which holds so many bytes; returns what has to leave for it, itself where there
    /// is no place at all.
    pub(super) fn park(
        &mut self,
        key: Key,
        epoch: u64,
        what: T,
        held: u64,
        now: Instant,
    ) -> Vec<T> {
        if self.places == 0 || held > self.held_max {
            return vec![what];
        }
        let mut left: Vec<T> = self
            .remove(&key)
            .map(|place| place.what)
            .into_iter()
            .collect();
        while self.by_key.len() >= self.places || self.held.saturating_add(held) > self.held_max {
            let Some(oldest) = self.oldest() else { break };
            left.extend(self.remove(&oldest).map(|place| place.what));
        }
        let turn = self.next;
        self.next = self.next.wrapping_add(1);
        self.order.insert(turn, key.clone());
        self.held = self.held.saturating_add(held);
        let place = Place {
            what,
            held,
            epoch,
            turn,
            since: now,
        };
        self.by_key.insert(key, place);
        left
    }

    /// Takes what is parked under `key`: `Ok` if of exactly this epoch, `Err` if stale.
    pub(super) fn take(&mut self, key: &Key, epoch: u64) -> Option<Result<T, T>> {
        let place = self.remove(key)?;
        Some(if place.epoch == epoch {
            Ok(place.what)
        } else {
            Err(place.what)
        })
    }

    /// Takes out everything that stayed long enough.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<T> {
        let mut left = Vec::new();
        while let Some(key) = self.oldest() {
            let since = self.by_key.get(&key).map(|place| place.since);
            if since.is_some_and(|since| now.saturating_duration_since(since) < self.stay) {
                break;
            }
            left.extend(self.remove(&key).map(|place| place.what));
        }
        left
    }

    /// Empties the lot.
    pub(super) fn clear(&mut self) -> Vec<T> {
        self.order.clear();
        self.held = 0;
        self.by_key.drain().map(|(_, place)| place.what).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    fn oldest(&self) -> Option<Key> {
        self.order.first_key_value().map(|(_, key)| key.clone())
    }

    fn remove(&mut self, key: &Key) -> Option<Place<T>> {
        let place = self.by_key.remove(key)?;
        self.order.remove(&place.turn);
        self.held = self.held.saturating_sub(place.held);
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use upload_proto::UploadRef;

    use super::*;

    fn key(byte: u8) -> Key {
        Key::new("owner".into(), UploadRef::from_bytes([byte; 16]))
    }

    /// RESUME-3: a full lot lets the oldest go.
    #[test]
    fn the_oldest_leaves_first() {
        let now = Instant::now();
        let mut lot = Lot::new(2, 100, Duration::from_secs(9));
        assert!(lot.park(key(1), 1, "one", 10, now).is_empty());
        assert!(lot.park(key(2), 1, "two", 10, now).is_empty());
        assert_eq!(lot.park(key(3), 1, "three", 10, now), ["one"]);
        assert_eq!(lot.take(&key(1), 1), None);
        assert_eq!(lot.take(&key(2), 1), Some(Ok("two")));
        assert_eq!(lot.len(), 1);
    }

    /// RESUME-3: so does a lot whose writers hold as much memory as they may.
    #[test]
    fn the_oldest_leaves_for_memory() {
        let now = Instant::now();
        let mut lot = Lot::new(9, 100, Duration::from_secs(9));
        assert!(lot.park(key(1), 1, "one", 60, now).is_empty());
        assert!(lot.park(key(2), 1, "two", 40, now).is_empty());
        assert_eq!(lot.park(key(3), 1, "three", 50, now), ["one"]);
        assert_eq!(lot.park(key(4), 1, "large", 101, now), ["large"]);
        assert_eq!(lot.take(&key(2), 1), Some(Ok("two")));
        assert!(lot.park(key(5), 1, "five", 50, now).is_empty());
        assert_eq!(lot.len(), 2);
    }

    /// RESUME-4: what was parked under another epoch is stale, and gone once seen.
    #[test]
    fn another_epoch_is_stale() {
        let now = Instant::now();
        let mut lot = Lot::new(2, 100, Duration::from_secs(9));
        lot.park(key(1), 4, "old", 10, now);
        assert_eq!(lot.take(&key(1), 5), Some(Err("old")));
        assert_eq!(lot.take(&key(1), 4), None);
    }

    #[test]
    fn the_same_key_replaces() {
        let now = Instant::now();
        let mut lot = Lot::new(1, 100, Duration::from_secs(9));
        lot.park(key(1), 1, "first", 10, now);
        assert_eq!(lot.park(key(1), 2, "second", 10, now), ["first"]);
        assert_eq!(lot.take(&key(1), 2), Some(Ok("second")));
        assert!(lot.order.is_empty());
    }

    /// RESUME-3: nothing stays longer than its time.
    #[test]
    fn time_is_up_after_the_stay() {
        let start = Instant::now();
        let stay = Duration::from_secs(9);
        let mut lot = Lot::new(8, 100, stay);
        lot.park(key(1), 1, "one", 10, start);
        lot.park(key(2), 1, "two", 10, start + Duration::from_secs(1));
        assert!(lot.overdue(start + Duration::from_secs(8)).is_empty());
        assert_eq!(lot.overdue(start + stay), ["one"]);
        assert_eq!(lot.clear(), ["two"]);
        assert_eq!(lot.len(), 0);
    }

    #[test]
    fn a_lot_without_places_keeps_nothing() {
        let mut lot = Lot::new(0, 100, Duration::from_secs(9));
        assert_eq!(lot.park(key(1), 1, "one", 10, Instant::now()), ["one"]);
        assert_eq!(lot.len(), 0);
    }
}
