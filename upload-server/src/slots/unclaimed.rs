//! Finished uploads that wait for their application (PROTOCOL CTRL-6): found by owner and ref, lent,
//! taken, removed.
//!
//! `upload_core` decides every step; here records are read and written under its conditions, so that it
//! does not matter which connection, process or node an upload came to. The rooms next to this one:
//! `lent` (what a handler holds), `waiting` (what a list shows).

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;
use upload_core::{Borrower, Charge, Entry, Holder, Lending, Record, Removal, Removed};
use upload_proto::{Code, UploadRef};
use upload_stores::{
    Cursor, Expect, Facts, PAGE_RECORDS_MAX, Put, PutError, UploadKey, UploadStateStore, Version,
};
use uuid::Uuid;

use super::{
    entry::upload_facts,
    lent::LentUpload,
    mounted::MountedSlots,
    places::Places,
    reruns::Reruns,
    slot::{Slot, Slots},
    stuck::Stuck,
    timeouts,
    waiting::{TakeError, WaitingUpload},
};
use crate::text;

/// How long one who wants an upload waits for another one that has it.
const LENT_WAIT: Duration = Duration::from_secs(5);
/// How often it looks meanwhile.
const LENT_LOOK: Duration = Duration::from_millis(100);
/// How often a step that others overtook is tried again.
const ROUNDS_MAX: u32 = 8;
/// How many finished uploads of an owner a list has at most.
const LISTED_MAX: usize = 1024;

/// What finds finished uploads that wait, and lends them.
pub(crate) struct Unclaimed {
    /// Where records live, unless a slot names its own store.
    store: Arc<dyn UploadStateStore>,
    /// The slots of connections for which nothing else was mounted.
    slots: Slots,
    /// Unique for this start of the process.
    boot: String,
    lease_ttl: Duration,
    pub(super) record_ttl: Duration,
    loans: AtomicU64,
    pub(super) places: Mutex<Places>,
    /// Slots that are not those of all.
    pub(super) mounted: MountedSlots,
    /// Handlers that may run because an earlier run did not finish.
    pub(super) reruns: Arc<Reruns<UploadKey>>,
    /// What was not removed in time.
    pub(super) stuck: Stuck,
    /// Loans come to an end before the process does.
    tracker: TaskTracker,
}

/// A record, and where it is.
#[derive(Clone)]
pub(super) struct Found {
    pub(super) key: UploadKey,
    pub(super) record: Record,
    pub(super) version: Version,
    pub(super) store: Arc<dyn UploadStateStore>,
    /// `None` where only other connections have the slot, and none wrote this record since the process began.
    pub(super) slot: Option<Slot>,
}

impl Unclaimed {
    pub(crate) fn new(
        store: Arc<dyn UploadStateStore>,
        slots: Slots,
        boot: String,
        (lease_ttl, record_ttl): (Duration, Duration),
        tracker: TaskTracker,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            slots,
            boot,
            lease_ttl,
            record_ttl,
            loans: AtomicU64::new(0),
            places: Mutex::default(),
            mounted: MountedSlots::default(),
            reruns: Arc::default(),
            stuck: Stuck::default(),
            tracker,
        })
    }

    /// Returns the slots of connections for which nothing else was mounted.
    pub(crate) fn slots(&self) -> &Slots {
        &self.slots
    }

    /// Returns the finished uploads of an owner that wait, the newest first.
    pub(crate) async fn list(&self, owner: &str) -> Result<Vec<WaitingUpload>, TakeError> {
        let now = unix_ms();
        let mut all = Vec::new();
        for store in self.stores_of(&self.slots, Some(owner)) {
            let mut after: Option<Cursor> = None;
            loop {
                let page = store.list(Some(owner), after.as_ref(), PAGE_RECORDS_MAX);
                let page = match timeouts::of_store(page).await {
                    Some(Ok(page)) => page,
                    Some(Err(error)) => return Err(failed("list", &error)),
                    None => return Err(TakeError::Unavailable),
                };
                for listed in page.records {
                    let upload = UploadRef::from_bytes(*listed.key.upload());
                    if let Ok(record) = Record::decode(&listed.stored.record)
                        && record.phase.is_unclaimed()
                        && let slot = self.slot_of(&self.slots, owner, &record.slot)
                        && self.keeps(slot.as_ref(), &store)
                    {
                        let files = slot.and_then(|slot| slot.files);
                        all.extend(WaitingUpload::of(&record, upload, files, now));
                    }
                }
                after = page.next;
                if after.is_none() || all.len() >= LISTED_MAX {
                    break;
                }
            }
        }
        all.sort_by_key(|waiting| std::cmp::Reverse(waiting.completed_unix_ms()));
        all.truncate(LISTED_MAX);
        Ok(all)
    }

    /// Lends a finished upload, once no other handler has it; `None` if it is of another slot than this.
    pub(crate) async fn lend(
        self: &Arc<Self>,
        owner: &str,
        upload: UploadRef,
        of_slot: Option<&str>,
        slots: &Slots,
    ) -> Result<Option<LentUpload>, TakeError> {
        let begun = Instant::now();
        let mut rounds = 0;
        loop {
            let found = self.find(owner, upload, slots).await?;
            let found = found.ok_or(TakeError::Unknown)?;
            if of_slot.is_some_and(|slot| slot != found.record.slot) {
                return Ok(None);
            }
            let by = self.borrower(&*found.store);
            let take_id = Uuid::new_v4().to_string();
            match found.record.lend(&by, &take_id, unix_ms()) {
                Lending::Lend(record, loan) => match self.borrow(found, *record, loan, by).await {
                    Ok(lent) => return Ok(Some(lent)),
                    // A faster one has it, or the store took it and its answer was lost: then it is
                    // not lent until the lease ends.
                    Err(PutError::Conflict) if rounds < ROUNDS_MAX => {}
                    Err(error) => return Err(failed("lend", &error)),
                },
                Lending::Lent(_) if begun.elapsed() < LENT_WAIT => {
                    sleep(LENT_LOOK).await;
                    continue;
                }
                Lending::Lent(_) => return Err(TakeError::Lent),
                Lending::Taken => return Err(TakeError::Taken),
                Lending::Unknown => return Err(TakeError::Unknown),
            }
            rounds = rounds.saturating_add(1);
        }
    }

    /// Removes a finished upload that was not taken: its file, its place, and in the end its record.
    pub(crate) async fn remove(
        self: &Arc<Self>,
        owner: &str,
        upload: UploadRef,
        slots: &Slots,
    ) -> Result<Code, TakeError> {
        for _ in 0..ROUNDS_MAX {
            let found = self.find(owner, upload, slots).await?;
            let found = found.ok_or(TakeError::Unknown)?;
            let by = self.borrower(&*found.store);
            match found.record.remove(&by, Code::Cancelled, unix_ms()) {
                Removal::End(record) => match self.put(&found, &record).await {
                    Ok(version) => {
                        let ended = Found {
                            record: *record,
                            version,
                            ..found
                        };
                        self.clear(&ended).await;
                        return Ok(Code::Cancelled);
                    }
                    Err(PutError::Conflict) => {}
                    Err(error) => return Err(failed("remove", &error)),
                },
                Removal::Ended(code) => {
                    self.clear(&found).await;
                    return Ok(code);
                }
                Removal::Lent => return Err(TakeError::Lent),
                Removal::Taken => return Err(TakeError::Taken),
                Removal::Unknown => return Err(TakeError::Unknown),
            }
        }
        Err(TakeError::Unavailable)
    }

    /// Removes the file of an upload that ended, and keeps for a while what only tells how. What fails is
    /// tried again by the reaper. Returns whether storage did what it was asked to.
    pub(super) async fn clear(&self, ended: &Found) -> bool {
        let upload = UploadRef::from_bytes(*ended.key.upload());
        self.free(ended.key.owner(), upload);
        if ended.record.result.is_null() {
            return true;
        }
        let entry = ended.record.entry(upload);
        let Some(slot) = &ended.slot else {
            tracing::warn!(%upload, slot = ended.record.slot, "a file of a slot that is not known stays");
            return true;
        };
        let is_gone = delete(slot, ended.key.owner(), &entry).await;
        if is_gone && let Some(told) = ended.record.removed() {
            let _ = self.put(ended, &told).await;
        }
        is_gone
    }

    /// Runs what has to come to an end before the process does.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(work);
    }

    pub(super) fn borrower(&self, store: &dyn UploadStateStore) -> Borrower {
        Borrower {
            holder: Holder {
                boot: self.boot.clone(),
                session: self.loans.fetch_add(1, Ordering::Relaxed),
            },
            lease_ttl: self.lease_ttl,
            shared_store: store.is_shared(),
        }
    }

    /// Returns the default store and those of slots, each once.
    pub(super) fn stores(&self, slots: &Slots) -> Vec<Arc<dyn UploadStateStore>> {
        let mut stores = vec![Arc::clone(&self.store)];
        for store in slots.values().filter_map(|slot| slot.store.as_ref()) {
            if !stores.iter().any(|known| Arc::ptr_eq(known, store)) {
                stores.push(Arc::clone(store));
            }
        }
        stores
    }

    /// Returns whether records of a slot are kept in `store`; where no slot is known, they are where all others
    /// are.
    pub(super) fn keeps(&self, slot: Option<&Slot>, store: &Arc<dyn UploadStateStore>) -> bool {
        let own = slot.and_then(|slot| slot.store.as_ref());
        Arc::ptr_eq(own.unwrap_or(&self.store), store)
    }

    /// Reads the record of an upload.
    pub(super) async fn find(
        &self,
        owner: &str,
        upload: UploadRef,
        slots: &Slots,
    ) -> Result<Option<Found>, TakeError> {
        let Ok(key) = UploadKey::new(owner, *upload.as_bytes()) else {
            return Ok(None);
        };
        for store in self.stores_of(slots, Some(owner)) {
            let Some((record, version)) = self.read(&*store, &key).await? else {
                continue;
            };
            let slot = self.slot_of(slots, owner, &record.slot);
            if self.keeps(slot.as_ref(), &store) {
                return Ok(Some(Found {
                    key,
                    record,
                    version,
                    store,
                    slot,
                }));
            }
        }
        Ok(None)
    }

    /// Reads a record; one of another version is none for this one.
    pub(super) async fn read(
        &self,
        store: &dyn UploadStateStore,
        key: &UploadKey,
    ) -> Result<Option<(Record, Version)>, TakeError> {
        match timeouts::of_store(store.get(key)).await {
            Some(Ok(None)) => Ok(None),
            Some(Ok(Some(found))) => {
                let record = Record::decode(&found.record);
                Ok(record.ok().map(|record| (record, found.version)))
            }
            Some(Err(error)) => Err(failed("read", &error)),
            None => Err(TakeError::Unavailable),
        }
    }

    /// Returns what puts the next record in the place of one that was read, within a transaction.
    #[cfg(feature = "postgres")]
    pub(super) fn taking(&self, at: &Found, next: &Record) -> super::take_in::Taking {
        super::take_in::Taking {
            key: at.key.clone(),
            record: next.encode().unwrap_or_default(),
            version: at.version,
            ttl: next.kept_for(self.record_ttl, unix_ms()),
            facts: facts(next.charge()),
            store: Arc::clone(&at.store),
        }
    }

    /// Writes the next record in the place of one that was read.
    pub(super) async fn put(&self, at: &Found, next: &Record) -> Result<Version, PutError> {
        let Ok(bytes) = next.encode() else {
            return Err(PutError::Conflict);
        };
        let ttl = next.kept_for(self.record_ttl, unix_ms());
        let put = Put::new(&bytes, Expect::Version(at.version), ttl)
            .counted(facts(next.charge()))
            .receipt(next.is_receipt());
        let put = at.store.put_with(&at.key, put);
        timeouts::of_store(put)
            .await
            .unwrap_or_else(|| Err(PutError::Store(timeouts::too_slow())))
    }
}

/// Removes a finished file; returns whether it is gone.
pub(crate) async fn delete(slot: &Slot, owner: &str, stored: &Entry) -> bool {
    let facts = upload_facts(owner, stored);
    let (upload, result) = (
        stored.upload,
        stored.result.as_ref().unwrap_or(&Value::Null),
    );
    match timeouts::of_handler(async { slot.writers.delete(&facts, result).await }).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            let error = text::chain(&error);
            tracing::warn!(%upload, error, "a finished file could not be removed");
            false
        }
        Err(why) => {
            tracing::warn!(%upload, why, "a finished file could not be removed");
            false
        }
    }
}

/// Returns what a store counts of a record.
pub(crate) fn facts(charge: Charge) -> Facts {
    match charge {
        Charge::Nothing => Facts::default(),
        Charge::Unfinished(bytes) => Facts::unfinished(bytes),
        Charge::Waiting(bytes) => Facts::waiting(bytes),
    }
}

/// Returns what the core learns of a removal.
pub(crate) fn removed(removal: Result<Code, TakeError>) -> Removed {
    match removal {
        Ok(code) => Removed::Ended(code),
        Err(TakeError::Lent) => Removed::Lent,
        Err(TakeError::Taken | TakeError::Unknown | TakeError::Lost) => Removed::Taken,
        Err(TakeError::NotInPostgres | TakeError::Unavailable) => Removed::Failed,
    }
}

/// Logs the trouble of a store; the application learns that there was one.
pub(super) fn failed(call: &'static str, error: &dyn std::error::Error) -> TakeError {
    let (incident, error) = (Uuid::new_v4(), text::chain(error));
    tracing::warn!(%incident, call, error, "a store failed for a finished upload");
    TakeError::Unavailable
}

/// Returns the time as records have it.
pub(super) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
