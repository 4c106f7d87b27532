//! The parked writers: what waits for a return, bounded by count, memory and time.

use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

use super::registry::Key;

/// What is parked under each key, oldest first out.
pub(super) struct Parking<F, T> {
    places: usize,
    held_max: u64,
    held: u64,
    ttl: Duration,
    /// Nothing in it is used before it is taken out, so the least recently used is the oldest.
    entries: LruCache<Key, ParkedEntry<F, T>>,
}

struct ParkedEntry<F, T> {
    what: T,
    held: u64,
    /// Who may take it.
    fence: F,
    since: Instant,
}

impl<F: PartialEq, T> Parking<F, T> {
    /// Makes room for `places`, in which everything stays for `ttl` at most, and holds at most
    /// `held_max` bytes together.
    pub(super) fn new(places: usize, held_max: u64, ttl: Duration) -> Self {
        Self {
            places,
            held_max,
            held: 0,
            ttl,
            entries: LruCache::unbounded(),
        }
    }

    /// Parks `what`, which holds so many bytes; returns what has to leave for it, itself where there
    /// is no place at all.
    pub(super) fn park(&mut self, key: Key, fence: F, what: T, held: u64, now: Instant) -> Vec<T> {
        if self.places == 0 || held > self.held_max {
            return vec![what];
        }
        let mut left: Vec<T> = self.remove(&key).into_iter().map(|old| old.what).collect();
        while self.entries.len() >= self.places || self.held.saturating_add(held) > self.held_max {
            let Some(oldest) = self.remove_oldest() else {
                break;
            };
            left.push(oldest.what);
        }
        self.held = self.held.saturating_add(held);
        let entry = ParkedEntry {
            what,
            held,
            fence,
            since: now,
        };
        self.entries.put(key, entry);
        left
    }

    /// Takes what is parked under `key`: `Ok` if of exactly this fence, `Err` if stale.
    pub(super) fn take(&mut self, key: &Key, fence: &F) -> Option<Result<T, T>> {
        let entry = self.remove(key)?;
        Some(if entry.fence == *fence {
            Ok(entry.what)
        } else {
            Err(entry.what)
        })
    }

    /// Returns what is parked under `key`, whatever its fence.
    pub(super) fn find(&self, key: &Key) -> Option<&T> {
        self.entries.peek(key).map(|entry| &entry.what)
    }

    /// Takes out everything that stayed long enough.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<T> {
        let mut left = Vec::new();
        while let Some((_, oldest)) = self.entries.peek_lru() {
            if now.saturating_duration_since(oldest.since) < self.ttl {
                break;
            }
            left.extend(self.remove_oldest().map(|entry| entry.what));
        }
        left
    }

    /// Takes out everything.
    pub(super) fn clear(&mut self) -> Vec<T> {
        std::iter::from_fn(|| self.remove_oldest())
            .map(|entry| entry.what)
            .collect()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn remove(&mut self, key: &Key) -> Option<ParkedEntry<F, T>> {
        let entry = self.entries.pop(key)?;
        self.held = self.held.saturating_sub(entry.held);
        Some(entry)
    }

    fn remove_oldest(&mut self) -> Option<ParkedEntry<F, T>> {
        let (_, entry) = self.entries.pop_lru()?;
        self.held = self.held.saturating_sub(entry.held);
        Some(entry)
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
        let mut parking = Parking::new(2, 100, Duration::from_secs(9));
        assert!(parking.park(key(1), 1, "one", 10, now).is_empty());
        assert!(parking.park(key(2), 1, "two", 10, now).is_empty());
        assert_eq!(parking.park(key(3), 1, "three", 10, now), ["one"]);
        assert_eq!(parking.take(&key(1), &1), None);
        assert_eq!(parking.take(&key(2), &1), Some(Ok("two")));
        assert_eq!(parking.len(), 1);
    }

    /// RESUME-3: so does one whose writers hold as much memory as they may.
    #[test]
    fn the_oldest_leaves_for_memory() {
        let now = Instant::now();
        let mut parking = Parking::new(9, 100, Duration::from_secs(9));
        assert!(parking.park(key(1), 1, "one", 60, now).is_empty());
        assert!(parking.park(key(2), 1, "two", 40, now).is_empty());
        assert_eq!(parking.park(key(3), 1, "three", 50, now), ["one"]);
        assert_eq!(parking.park(key(4), 1, "large", 101, now), ["large"]);
        assert_eq!(parking.take(&key(2), &1), Some(Ok("two")));
        assert!(parking.park(key(5), 1, "five", 50, now).is_empty());
        assert_eq!(parking.len(), 2);
    }

    /// RESUME-4: what was parked under another epoch is stale, and gone once seen.
    #[test]
    fn another_epoch_is_stale() {
        let now = Instant::now();
        let mut parking = Parking::new(2, 100, Duration::from_secs(9));
        parking.park(key(1), 4, "old", 10, now);
        assert_eq!(parking.find(&key(1)), Some(&"old"));
        assert_eq!(parking.take(&key(1), &5), Some(Err("old")));
        assert_eq!(parking.take(&key(1), &4), None);
    }

    #[test]
    fn the_same_key_replaces() {
        let now = Instant::now();
        let mut parking = Parking::new(1, 100, Duration::from_secs(9));
        parking.park(key(1), 1, "first", 10, now);
        assert_eq!(parking.park(key(1), 2, "second", 10, now), ["first"]);
        assert_eq!(parking.take(&key(1), &2), Some(Ok("second")));
        assert_eq!((parking.len(), parking.held), (0, 0));
    }

    /// RESUME-3: nothing stays longer than its time.
    #[test]
    fn time_is_up_after_the_stay() {
        let start = Instant::now();
        let ttl = Duration::from_secs(9);
        let mut parking = Parking::new(8, 100, ttl);
        parking.park(key(1), 1, "one", 10, start);
        parking.park(key(2), 1, "two", 10, start + Duration::from_secs(1));
        assert!(parking.overdue(start + Duration::from_secs(8)).is_empty());
        assert_eq!(parking.overdue(start + ttl), ["one"]);
        assert_eq!(parking.clear(), ["two"]);
        assert_eq!(parking.len(), 0);
    }

    #[test]
    fn a_lot_without_places_keeps_nothing() {
        let mut parking = Parking::new(0, 100, Duration::from_secs(9));
        assert_eq!(parking.park(key(1), 1, "one", 10, Instant::now()), ["one"]);
        assert_eq!(parking.len(), 0);
    }
}
