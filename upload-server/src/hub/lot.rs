//! The parking lot: what waits for a return, bounded by count and time.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use tokio::time::Instant;

use super::Key;

/// What is parked under each key, oldest first out.
pub(super) struct Lot<T> {
    places: usize,
    stay: Duration,
    by_key: HashMap<Key, Place<T>>,
    /// The same keys in the order they came.
    order: BTreeMap<u64, Key>,
    next: u64,
}

struct Place<T> {
    what: T,
    epoch: u64,
    turn: u64,
    since: Instant,
}

impl<T> Lot<T> {
    /// Makes a lot of `places`, in which everything stays for `stay` at most.
    pub(super) fn new(places: usize, stay: Duration) -> Self {
        Self {
            places,
            stay,
            by_key: HashMap::new(),
            order: BTreeMap::new(),
            next: 0,
        }
    }

    /// Parks `what`; returns what has to leave for it, itself where there is no place at all.
    pub(super) fn park(&mut self, key: Key, epoch: u64, what: T, now: Instant) -> Vec<T> {
        if self.places == 0 {
            return vec![what];
        }
        let mut left: Vec<T> = self
            .remove(&key)
            .map(|place| place.what)
            .into_iter()
            .collect();
        while self.by_key.len() >= self.places {
            let Some(oldest) = self.oldest() else { break };
            left.extend(self.remove(&oldest).map(|place| place.what));
        }
        let turn = self.next;
        self.next = self.next.wrapping_add(1);
        self.order.insert(turn, key.clone());
        let place = Place {
            what,
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
        let mut lot = Lot::new(2, Duration::from_secs(9));
        assert!(lot.park(key(1), 1, "one", now).is_empty());
        assert!(lot.park(key(2), 1, "two", now).is_empty());
        assert_eq!(lot.park(key(3), 1, "three", now), ["one"]);
        assert_eq!(lot.take(&key(1), 1), None);
        assert_eq!(lot.take(&key(2), 1), Some(Ok("two")));
        assert_eq!(lot.len(), 1);
    }

    /// RESUME-4: what was parked under another epoch is stale, and gone once seen.
    #[test]
    fn another_epoch_is_stale() {
        let now = Instant::now();
        let mut lot = Lot::new(2, Duration::from_secs(9));
        lot.park(key(1), 4, "old", now);
        assert_eq!(lot.take(&key(1), 5), Some(Err("old")));
        assert_eq!(lot.take(&key(1), 4), None);
    }

    #[test]
    fn the_same_key_replaces() {
        let now = Instant::now();
        let mut lot = Lot::new(1, Duration::from_secs(9));
        lot.park(key(1), 1, "first", now);
        assert_eq!(lot.park(key(1), 2, "second", now), ["first"]);
        assert_eq!(lot.take(&key(1), 2), Some(Ok("second")));
        assert!(lot.order.is_empty());
    }

    /// RESUME-3: nothing stays longer than its time.
    #[test]
    fn time_is_up_after_the_stay() {
        let start = Instant::now();
        let stay = Duration::from_secs(9);
        let mut lot = Lot::new(8, stay);
        lot.park(key(1), 1, "one", start);
        lot.park(key(2), 1, "two", start + Duration::from_secs(1));
        assert!(lot.overdue(start + Duration::from_secs(8)).is_empty());
        assert_eq!(lot.overdue(start + stay), ["one"]);
        assert_eq!(lot.clear(), ["two"]);
        assert_eq!(lot.len(), 0);
    }

    #[test]
    fn a_lot_without_places_keeps_nothing() {
        let mut lot = Lot::new(0, Duration::from_secs(9));
        assert_eq!(lot.park(key(1), 1, "one", Instant::now()), ["one"]);
        assert_eq!(lot.len(), 0);
    }
}
