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
use crate::room::{OWNER_SHARE, RECEIPTS_PER_PUT, Room};
use crate::store::{
    Expect, Put, UploadStateStore, Version, Versioned, check_record, foreign_cursor, page_records,
    ttl_millis,
};

mod shelf;
#[cfg(test)]
mod tests;

use shelf::{Shelf, Slot};

/// How many records a [`MemoryStore`] holds by default.
pub const MEMORY_RECORDS_MAX: usize = 1_000_000;

/// How many bytes a [`MemoryStore`] takes up by default.
pub const MEMORY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of memory that a [`MemoryStore`] reckons with for each record, beyond the record and the name of its
/// owner.
pub const MEMORY_OVERHEAD_BYTES: usize = 512;

/// Expired records each put drops, so that the store shrinks without a sweep.
const DROPS_PER_PUT: usize = 4;

/// Expired records a sweep, a count or a put drops before it lets others at the lock.
const DROPS_PER_LOCK: usize = 1024;

/// Keeps records in memory until they expire or the process ends.
///
/// Time is tokio's monotonic clock, so tests can pause it; setting the machine's clock changes nothing. A store at its limit first drops what
/// expired, then refuses new records as [`StoreErrorKind::Unavailable`]. One owner has a share of it,
/// see [`with_owner_share`](Self::with_owner_share).
#[derive(Debug)]
pub struct MemoryStore {
    room: Room,
    /// The room of one owner.
    share: Room,
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
        let room = Room {
            records: records_max as u64,
            bytes: bytes_max as u64,
        };
        Self {
            room,
            share: room.share(OWNER_SHARE),
            shelf: Mutex::default(),
        }
    }

    /// Lets the records of one owner take up one part in `parts` of the store, 1 for all of it; by default
    /// one in [`OWNER_SHARE`].
    ///
    /// A put that would raise what its owner has past this drops the owner's oldest [receipts](Put::receipt).
    /// Where none are left, a new record is refused as [`StoreErrorKind::Unavailable`].
    #[must_use]
    pub fn with_owner_share(self, parts: u64) -> Self {
        Self {
            share: self.room.share(parts),
            ..self
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
                shelf.drop_expired_of(key, false, now, DROPS_PER_LOCK);
                if !limit.permits(&shelf.counts_of(key.owner()), old, put.facts) {
                    return Err(PutError::OverLimit);
                }
            }
        }
        let is_new = old.is_none();
        if !self.make_share(&mut shelf, key, put.record, now) && is_new {
            let full = "the owner has its share of the memory";
            return Err(StoreError::new(StoreErrorKind::Unavailable, full).into());
        }
        if !self.has_room(&shelf, key, put.record) {
            shelf.drop_expired(now, DROPS_PER_LOCK);
            if !self.has_room(&shelf, key, put.record) {
                return Err(StoreError::new(StoreErrorKind::Unavailable, "memory is full").into());
            }
        }
        Ok(shelf.insert(key.clone(), &put, expires))
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
        let Ok(any) = UploadKey::new(owner, [0; 16]) else {
            return Ok(Counts::default());
        };
        loop {
            let now = Instant::now();
            {
                let mut shelf = self.lock();
                let mut drop_some =
                    |is_receipt| shelf.drop_expired_of(&any, is_receipt, now, DROPS_PER_LOCK);
                if drop_some(false) < DROPS_PER_LOCK && drop_some(true) < DROPS_PER_LOCK {
                    return Ok(shelf.counts_of(owner));
                }
            }
            tokio::task::yield_now().await;
        }
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
        let before = shelf.total.all;
        self.room.permits(before, shelf.after(before, key, record))
    }

    /// Makes room for a record in its owner's share, of what expired and of the owner's receipts. Returns
    /// whether there is any.
    fn make_share(&self, shelf: &mut Shelf, key: &UploadKey, record: &[u8], now: Instant) -> bool {
        let before = shelf.counts_of(key.owner()).all;
        let has_room = |shelf: &Shelf| {
            let now = shelf.counts_of(key.owner()).all;
            self.share.permits(before, shelf.after(now, key, record))
        };
        if has_room(shelf) {
            return true;
        }
        shelf.drop_expired_of(key, false, now, DROPS_PER_LOCK);
        for _ in 0..RECEIPTS_PER_PUT {
            if has_room(shelf) || !shelf.drop_oldest_receipt(key) {
                break;
            }
        }
        has_room(shelf)
    }
}
