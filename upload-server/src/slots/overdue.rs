//! What time alone makes due among finished uploads: those that waited long enough are removed, files
//! whose removal failed are removed again, and handlers of stored files that did not finish run again. What
//! time makes due among the others is in `expired`.

use std::{sync::Arc, time::Duration};

use upload_core::{Lending, Record, RecordPhase};
use upload_proto::UploadRef;
use upload_stores::{Cursor, Expect, Listed, PAGE_RECORDS_MAX, UploadKey, UploadStateStore};

use super::{
    expired::Held,
    removals::{Last, Removal, Removed, Slowness},
    reruns::{Candidates, Rerun},
    slot::{CompletedEntry, Slot, Slots},
    timeouts,
    unclaimed::{Found, Unclaimed, failed, unix_ms},
    waiting::TakeError,
};

/// First and longest pause before a handler runs again that failed; it doubles.
const RERUN_MIN: Duration = Duration::from_secs(1);
const RERUN_MAX: Duration = Duration::from_secs(3600);

/// What one look through all records removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    /// Finished uploads that no handler took.
    pub(crate) untaken: u64,
    /// Unfinished uploads without progress.
    pub(crate) expired: u64,
}

impl Done {
    /// Counts what else was removed.
    pub(super) fn add(&mut self, more: Self) {
        self.untaken = self.untaken.saturating_add(more.untaken);
        self.expired = self.expired.saturating_add(more.expired);
    }
}

impl Unclaimed {
    /// Looks through all records once.
    pub(crate) async fn do_what_is_due(self: &Arc<Self>) -> Done {
        let (mut done, mut held) = (Done::default(), Held::default());
        let (mut slowness, mut last) = (Slowness::default(), Last::new());
        let mut to_run = Candidates::default();
        self.begin_look();
        let mut is_whole = true;
        for store in self.stores_of(self.slots(), None) {
            let mut after: Option<Cursor> = None;
            loop {
                let page = store.list(None, after.as_ref(), PAGE_RECORDS_MAX);
                let Some(Ok(page)) = timeouts::of_store(page).await else {
                    tracing::warn!("could not look through a store's finished uploads");
                    is_whole = false;
                    break;
                };
                let mut removals = Vec::new();
                for listed in page.records {
                    let Ok(record) = Record::decode(&listed.stored.record) else {
                        continue;
                    };
                    self.see(&listed, &record);
                    if let Some(overdue) = self.overdue(&listed, &record, &store) {
                        removals.extend(held.keep(overdue).map(Removal::Overdue));
                    } else if let Some(found) = self.finished(listed, record, &store) {
                        if self.is_due_to_run(&found) {
                            let ran = found.record.updated_unix_ms;
                            to_run.add(&found.record.slot, ran, found.key.clone());
                        } else {
                            removals.push(Removal::Finished(found));
                        }
                    }
                }
                let removals = self.put_off(removals, &mut last);
                done.add(self.remove_all(removals, &mut slowness).await);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        if is_whole {
            self.end_look();
        }
        self.reruns.renew(to_run);
        self.run_again();
        done.add(self.remove_held(held, &mut slowness).await);
        let last = last.into_values().collect();
        done.add(self.remove_all(last, &mut slowness).await);
        done
    }

    /// Runs handlers of stored files again without waiting for them: as many as have places, and whenever one ends, the
    /// next.
    fn run_again(self: &Arc<Self>) {
        while let Some((key, place)) = self.reruns.begin() {
            let unclaimed = Arc::clone(self);
            self.spawn(async move {
                unclaimed.handle_again(&key, &place).await;
                drop(place);
                unclaimed.run_again();
            });
        }
    }

    /// Has no handler run again that does not run by now: the server ends.
    pub(crate) fn forget_reruns(&self) {
        self.reruns.renew(Candidates::default());
    }

    /// Has a stored file handled again, unless something became of it since it was seen.
    async fn handle_again(self: &Arc<Self>, key: &UploadKey, place: &Rerun<UploadKey>) {
        let (upload, slots) = (UploadRef::from_bytes(*key.upload()), self.slots());
        match self.find(key.owner(), upload, slots).await {
            Ok(Some(found)) if self.is_due_to_run(&found) => {
                if let Some(slot) = &found.slot
                    && !self.handle(key.owner(), upload, slot, slots).await
                {
                    place.forget_others();
                }
            }
            Ok(Some(_) | None) => {}
            // The others need the same store.
            Err(_) => place.forget_others(),
        }
    }

    /// Has the handler of its slot take a stored file. What it does not finish is handed to it again later,
    /// after a restart too. Returns whether the store did its part.
    pub(crate) async fn handle(
        self: &Arc<Self>,
        owner: &str,
        upload: UploadRef,
        slot: &Slot,
        slots: &Slots,
    ) -> bool {
        let Some(handler) = slot.on_complete.clone() else {
            return true;
        };
        let lent = match self
            .lend(owner, upload, Some(&slot.rules.name), slots)
            .await
        {
            Ok(Some(lent)) => lent,
            Ok(None) | Err(TakeError::Taken | TakeError::Unknown) => return true,
            Err(error) => {
                tracing::warn!(%upload, %error, "a completion handler has to wait");
                return false;
            }
        };
        let completed = CompletedEntry {
            owner: owner.to_owned(),
            entry: lent.entry().clone(),
        };
        // The closure itself may panic before there is a future.
        let ran = timeouts::of_handler(async move { handler(completed).await }).await;
        let settled = match ran {
            Ok(()) => lent.take().await.map(drop),
            Err(why) => {
                tracing::error!(%upload, why, "a completion handler did not finish");
                lent.give_back().await
            }
        };
        if let Err(error) = &settled {
            tracing::warn!(%upload, %error, "a finished upload could not be settled");
        }
        settled.is_ok()
    }

    /// Reads a listed record, if it is one of a finished upload that this store keeps.
    fn finished(
        &self,
        listed: Listed,
        record: Record,
        store: &Arc<dyn UploadStateStore>,
    ) -> Option<Found> {
        let slot = self.slot_of(self.slots(), listed.key.owner(), &record.slot);
        let is_finished = record.unclaimed.is_some() && record.phase != RecordPhase::Taken;
        (is_finished && self.keeps(slot.as_ref(), store)).then(|| Found {
            slot,
            key: listed.key,
            record,
            version: listed.stored.version,
            store: Arc::clone(store),
        })
    }

    /// Removes a finished upload whose time is over, or the file of one that ended.
    pub(super) async fn remove_when_due(&self, found: &Found) -> Removed {
        if found.record.phase == RecordPhase::Ended {
            // Its file could not be removed, or its process died before.
            return match self.clear(found).await {
                true => Removed::Left,
                false => Removed::Failed,
            };
        }
        let by = self.borrower(&*found.store);
        let Some(ended) = found.record.expire(&by, unix_ms()) else {
            return Removed::Left;
        };
        let deletes = found.slot.as_ref().is_some_and(|slot| slot.delete_untaken);
        if deletes {
            let Ok(version) = self.put(found, &ended).await else {
                return Removed::Left;
            };
            let ended = Found {
                record: *ended,
                version,
                ..found.clone()
            };
            return match self.clear(&ended).await {
                true => Removed::Gone,
                false => Removed::Failed,
            };
        }
        // The file is kept: only what the record promised is over.
        let expect = Expect::Version(found.version);
        match timeouts::of_store(found.store.delete(&found.key, expect)).await {
            Some(Ok(())) => {
                let upload = UploadRef::from_bytes(*found.key.upload());
                self.free(found.key.owner(), upload);
                Removed::Gone
            }
            Some(Err(error)) => {
                if !error.is_conflict() {
                    failed("expire", &error);
                }
                Removed::Left
            }
            None => Removed::Left,
        }
    }

    /// Returns whether the handler of an upload's slot did not finish, and may try again.
    fn is_due_to_run(&self, found: &Found) -> bool {
        let is_handled = found.slot.as_ref().is_some_and(Slot::is_handled);
        let unclaimed = found.record.unclaimed.as_ref();
        let (Some(unclaimed), true) = (unclaimed, found.record.phase.is_unclaimed()) else {
            return false;
        };
        let doublings = unclaimed.attempts.saturating_sub(1).min(16);
        let pause = RERUN_MIN.saturating_mul(1 << doublings).min(RERUN_MAX);
        let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        let now = unix_ms();
        let by = self.borrower(&*found.store);
        is_handled
            && now < unclaimed.until_unix_ms
            && found.record.updated_unix_ms.saturating_add(pause) <= now
            && !matches!(found.record.lend(&by, "", now), Lending::Lent(_))
    }
}
