//! Records in the memory of one process, for tests and for servers whose uploads need not outlive them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::error::{PutError, StoreError, StoreErrorKind};
use crate::key::UploadKey;
use crate::store::{Expect, UploadStateStore, Version, Versioned, check_record, ttl_millis};

/// How many records a [`MemoryStore`] holds by default.
pub const MEMORY_RECORDS_MAX: usize = 1_000_000;

/// How many bytes of records a [`MemoryStore`] holds by default.
pub const MEMORY_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// Expired records each put drops, so that the store shrinks without a sweep.
const DROPS_PER_PUT: usize = 4;

/// Expired records a sweep drops before it lets others at the lock.
const DROPS_PER_LOCK: usize = 1024;

/// Keeps records in memory until they expire or the process ends.
///
/// Time is tokio's monotonic clock, so tests can pause it. A store at its limit first drops what
/// expired, then refuses new records as [`StoreErrorKind::Unavailable`].
#[derive(Debug)]
pub struct MemoryStore {
    records_max: usize,
    bytes_max: usize,
    shelf: Mutex<Shelf>,
}

impl MemoryStore {
    /// Makes an empty store with the default limits.
    pub fn new() -> Self {
        Self::with_limits(MEMORY_RECORDS_MAX, MEMORY_BYTES_MAX)
    }

    /// Makes an empty store for at most `records_max` records of together at most `bytes_max` bytes.
    pub fn with_limits(records_max: usize, bytes_max: usize) -> Self {
        Self {
            records_max,
            bytes_max,
            shelf: Mutex::default(),
        }
    }

    /// Returns how many records take up space, expired ones included.
    pub fn len(&self) -> usize {
        self.lock().slots.len()
    }

    /// Returns whether no record takes up space.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        // Every change leaves the shelf whole before anything can panic.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl UploadStateStore for MemoryStore {
    async fn get(&self, key: &UploadKey) -> Result<Option<Versioned>, StoreError> {
        let shelf = self.lock();
        Ok(shelf.live(key, Instant::now()).map(|slot| Versioned {
            record: slot.record.to_vec(),
            version: slot.version,
        }))
    }

    async fn put(
        &self,
        key: &UploadKey,
        record: &[u8],
        expect: Expect,
        ttl: Duration,
    ) -> Result<Version, PutError> {
        check_record(record)?;
        let now = Instant::now();
        let expires = now
            .checked_add(Duration::from_millis(ttl_millis(ttl)))
            .ok_or_else(|| StoreError::new(StoreErrorKind::Failed, "the clock ran out"))?;

        let mut shelf = self.lock();
        shelf.drop_expired(now, DROPS_PER_PUT);
        if !expect.holds(shelf.live(key, now).map(|slot| slot.version)) {
            return Err(PutError::Conflict);
        }
        if !self.has_room(&shelf, key, record) {
            shelf.drop_expired(now, DROPS_PER_LOCK);
            if !self.has_room(&shelf, key, record) {
                return Err(StoreError::new(StoreErrorKind::Unavailable, "memory is full").into());
            }
        }
        Ok(shelf.insert(key.clone(), record, expires))
    }

    async fn delete(&self, key: &UploadKey, expect: Expect) -> Result<(), PutError> {
        let mut shelf = self.lock();
        if !expect.holds(shelf.live(key, Instant::now()).map(|slot| slot.version)) {
            return Err(PutError::Conflict);
        }
        shelf.remove(key);
        Ok(())
    }

    fn is_shared(&self) -> bool {
        false
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        let now = Instant::now();
        let mut total = 0_u64;
        loop {
            let dropped = self.lock().drop_expired(now, DROPS_PER_LOCK);
            total = total.saturating_add(dropped as u64);
            if dropped < DROPS_PER_LOCK {
                return Ok(total);
            }
            tokio::task::yield_now().await;
        }
    }
}

impl MemoryStore {
    fn has_room(&self, shelf: &Shelf, key: &UploadKey, record: &[u8]) -> bool {
        let (records, bytes) = match shelf.slots.get(key) {
            Some(old) => (
                shelf.slots.len(),
                shelf.bytes.saturating_sub(old.record.len()),
            ),
            None => (shelf.slots.len().saturating_add(1), shelf.bytes),
        };
        records <= self.records_max && bytes.saturating_add(record.len()) <= self.bytes_max
    }
}

/// All records, and the order in which they expire.
#[derive(Debug, Default)]
struct Shelf {
    slots: HashMap<UploadKey, Slot>,
    /// One entry per slot; the version tells slots apart that expire together.
    by_expiry: BTreeMap<(Instant, u64), UploadKey>,
    /// Bytes of all records.
    bytes: usize,
    last_version: u64,
}

#[derive(Debug)]
struct Slot {
    record: Box<[u8]>,
    version: Version,
    expires: Instant,
}

impl Shelf {
    fn live(&self, key: &UploadKey, now: Instant) -> Option<&Slot> {
        self.slots.get(key).filter(|slot| now < slot.expires)
    }

    fn insert(&mut self, key: UploadKey, record: &[u8], expires: Instant) -> Version {
        self.remove(&key);
        // One counter for all keys: no key can see a number twice.
        self.last_version = self.last_version.wrapping_add(1);
        let version = Version(self.last_version);
        self.bytes = self.bytes.saturating_add(record.len());
        self.by_expiry.insert((expires, version.0), key.clone());
        self.slots.insert(
            key,
            Slot {
                record: record.into(),
                version,
                expires,
            },
        );
        version
    }

    fn remove(&mut self, key: &UploadKey) {
        if let Some(slot) = self.slots.remove(key) {
            self.bytes = self.bytes.saturating_sub(slot.record.len());
            self.by_expiry.remove(&(slot.expires, slot.version.0));
        }
    }

    fn drop_expired(&mut self, now: Instant, most: usize) -> usize {
        let mut dropped = 0;
        while dropped < most {
            let Some(first) = self.by_expiry.first_entry() else {
                break;
            };
            if first.key().0 > now {
                break;
            }
            if let Some(slot) = self.slots.remove(&first.remove()) {
                self.bytes = self.bytes.saturating_sub(slot.record.len());
            }
            dropped += 1;
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn key(byte: u8) -> UploadKey {
        UploadKey::new("owner", [byte; 16]).expect("a short owner")
    }

    #[tokio::test(start_paused = true)]
    async fn expired_records_free_their_space() {
        let store = MemoryStore::new();
        for byte in 0..100 {
            store
                .put(&key(byte), b"record", Expect::Absent, MINUTE)
                .await
                .expect("put");
        }
        assert_eq!(store.len(), 100);
        tokio::time::advance(MINUTE).await;
        assert_eq!(store.get(&key(3)).await.expect("get"), None);
        assert_eq!(store.sweep().await.expect("sweep"), 100);
        assert!(store.is_empty());
        assert_eq!(store.lock().bytes, 0);
        assert!(store.lock().by_expiry.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_store_refuses_new_records_until_old_ones_expire() {
        let store = MemoryStore::with_limits(2, 100);
        let first = store
            .put(&key(1), b"1", Expect::Absent, MINUTE)
            .await
            .expect("put");
        store
            .put(&key(2), b"2", Expect::Absent, MINUTE)
            .await
            .expect("put");

        let refused = store.put(&key(3), b"3", Expect::Absent, MINUTE).await;
        assert!(matches!(
            refused,
            Err(PutError::Store(error)) if error.kind() == StoreErrorKind::Unavailable
        ));
        store
            .put(&key(1), b"one", Expect::Version(first), MINUTE)
            .await
            .expect("what is there can still change");

        tokio::time::advance(MINUTE).await;
        store
            .put(&key(3), b"3", Expect::Absent, MINUTE)
            .await
            .expect("room again");
    }

    #[tokio::test]
    async fn bytes_are_bounded_over_all_records() {
        let store = MemoryStore::with_limits(10, 10);
        let version = store
            .put(&key(1), &[0; 6], Expect::Absent, MINUTE)
            .await
            .expect("put");
        assert!(
            store
                .put(&key(2), &[0; 5], Expect::Absent, MINUTE)
                .await
                .is_err()
        );
        let version = store
            .put(&key(1), &[0; 10], Expect::Version(version), MINUTE)
            .await
            .expect("its own bytes do not count twice");
        store
            .delete(&key(1), Expect::Version(version))
            .await
            .expect("delete");
        store
            .put(&key(2), &[0; 5], Expect::Absent, MINUTE)
            .await
            .expect("room again");
    }
}
