//! Records in the memory of one process, for tests and for servers whose uploads need not outlive them.

use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::count::Counts;
use crate::error::{PutError, StoreError, StoreErrorKind};
use crate::key::UploadKey;
use crate::list::{Cursor, Listed, Page};
use crate::store::{
    Expect, Put, UploadStateStore, Version, Versioned, check_record, foreign_cursor, page_records,
    ttl_millis,
};

mod shelf;

use shelf::{Shelf, Slot, bytes_of};

/// How many records a [`MemoryStore`] holds by default.
pub const MEMORY_RECORDS_MAX: usize = 1_000_000;

/// How many bytes a [`MemoryStore`] takes up by default.
pub const MEMORY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of memory that a [`MemoryStore`] reckons with for each record, beyond the record and the name of its
/// owner.
pub const MEMORY_OVERHEAD_BYTES: usize = 512;

/// Expired records each put drops, so that the store shrinks without a sweep.
const DROPS_PER_PUT: usize = 4;

/// Expired records a sweep drops before it lets others at the lock.
const DROPS_PER_LOCK: usize = 1024;

/// Keeps records in memory until they expire or the process ends.
///
/// Time is tokio's monotonic clock, so tests can pause it; setting the machine's clock changes nothing. A store at its limit first drops what
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

    /// Makes an empty store for at most `records_max` records that together take up at most `bytes_max` bytes.
    ///
    /// A record takes up its own bytes, those of its owner's name, and [`MEMORY_OVERHEAD_BYTES`].
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
        Ok(shelf.live(key, Instant::now()).map(Slot::versioned))
    }

    async fn put_with(&self, key: &UploadKey, put: Put<'_>) -> Result<Version, PutError> {
        check_record(put.record)?;
        let now = Instant::now();
        let expires = now
            .checked_add(Duration::from_millis(ttl_millis(put.ttl)))
            .ok_or_else(|| StoreError::new(StoreErrorKind::Failed, "the clock ran out"))?;

        let mut shelf = self.lock();
        shelf.drop_expired(now, DROPS_PER_PUT);
        let old = shelf.live(key, now).map(|slot| (slot.version, slot.facts));
        if !put.expect.holds(old.map(|(version, _)| version)) {
            return Err(PutError::Conflict);
        }
        if let Some(limit) = put.limit {
            let old = old.map(|(_, facts)| facts);
            if !limit.permits(&shelf.counts_of(key.owner()), old, put.facts) {
                shelf.drop_expired_of(key.owner(), now);
                if !limit.permits(&shelf.counts_of(key.owner()), old, put.facts) {
                    return Err(PutError::OverLimit);
                }
            }
        }
        if !self.has_room(&shelf, key, put.record) {
            shelf.drop_expired(now, DROPS_PER_LOCK);
            if !self.has_room(&shelf, key, put.record) {
                return Err(StoreError::new(StoreErrorKind::Unavailable, "memory is full").into());
            }
        }
        Ok(shelf.insert(key.clone(), put.record, put.facts, expires))
    }

    async fn delete(&self, key: &UploadKey, expect: Expect) -> Result<(), PutError> {
        let mut shelf = self.lock();
        if !expect.holds(shelf.live(key, Instant::now()).map(|slot| slot.version)) {
            return Err(PutError::Conflict);
        }
        shelf.remove(key);
        Ok(())
    }

    async fn list(
        &self,
        owner: Option<&str>,
        after: Option<&Cursor>,
        most: usize,
    ) -> Result<Page, StoreError> {
        let after = after
            .map(|after| UploadKey::from_bytes(after.as_bytes()).ok_or_else(foreign_cursor))
            .transpose()?;
        let from = match (&after, owner) {
            (Some(after), _) => Bound::Excluded(after.clone()),
            (None, None) => Bound::Unbounded,
            (None, Some(owner)) => match UploadKey::new(owner, [0; 16]) {
                Ok(first) => Bound::Included(first),
                Err(_) => return Ok(Page::default()),
            },
        };
        let most = page_records(most);
        let now = Instant::now();
        let shelf = self.lock();
        let mut page = Page::default();
        let mut last = None;
        let asked = shelf
            .slots
            .range((from, Bound::Unbounded))
            .take_while(|(key, _)| owner.is_none_or(|owner| key.owner() == owner));
        for (seen, (key, slot)) in asked.enumerate() {
            if seen == most {
                page.next = last.map(|key: &UploadKey| Cursor::new(key.to_bytes()));
                break;
            }
            last = Some(key);
            if now < slot.expires {
                page.records.push(Listed {
                    key: key.clone(),
                    stored: slot.versioned(),
                    facts: slot.facts,
                });
            }
        }
        Ok(page)
    }

    async fn count(&self, owner: Option<&str>) -> Result<Counts, StoreError> {
        let Some(owner) = owner else {
            self.sweep().await?;
            return Ok(self.lock().total);
        };
        let mut shelf = self.lock();
        shelf.drop_expired_of(owner, Instant::now());
        Ok(shelf.counts_of(owner))
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
        let others = match shelf.slots.get(key) {
            Some(old) => shelf.total.all.without(bytes_of(key, &old.record)),
            None => shelf.total.all,
        };
        let after = others.with(bytes_of(key, record));
        after.records <= self.records_max as u64 && after.bytes <= self.bytes_max as u64
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
        assert_eq!(store.lock().total, Counts::default());
        assert!(store.lock().owners.is_empty());
        assert!(store.lock().by_expiry.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_store_refuses_new_records_until_old_ones_expire() {
        let store = MemoryStore::with_limits(2, MEMORY_BYTES_MAX);
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
        let store = MemoryStore::with_limits(10, 10 + "owner".len() + MEMORY_OVERHEAD_BYTES);
        let version = store
            .put(&key(1), &[0; 6], Expect::Absent, MINUTE)
            .await
            .expect("put");
        assert!(
            store
                .put(&key(2), &[], Expect::Absent, MINUTE)
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
