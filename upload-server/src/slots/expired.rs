//! Unfinished uploads whose time is over: claimed, then without bytes, then without a record (PROTOCOL
//! RESUME-8). `upload_core` decides; whatever dies half way is done by the next look.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use upload_core::{Expired, Record};
use upload_proto::UploadRef;
use upload_stores::{Expect, Listed, UploadStateStore};
use upload_writers::{Checkpoint, Unfinished, remove_unfinished};

use super::{
    entry::upload_facts,
    overdue::Done,
    removals::{Removal, Removed, Slowness},
    timeouts,
    unclaimed::{Found, Unclaimed, failed, unix_ms},
};
use crate::text;

/// Expired uploads with a holder that may be alive, of one look; the rest's turn comes with the next.
const HELD_MAX: usize = 1024;

/// An unfinished upload whose time is over.
pub(super) struct Overdue {
    pub(super) found: Found,
    /// `None` where an earlier look claimed it.
    claim: Option<Expired>,
}

/// The overdue uploads of one look whose holders are given time to save.
#[derive(Default)]
pub(super) struct Held {
    all: Vec<Overdue>,
    patience: Duration,
}

impl Held {
    /// Keeps an overdue upload for later in the same look, if it has a holder; returns it otherwise.
    pub(super) fn keep(&mut self, overdue: Overdue) -> Option<Overdue> {
        let Some(patience) = overdue.claim.as_ref().and_then(|claim| claim.held_for) else {
            return Some(overdue);
        };
        if self.all.len() < HELD_MAX {
            self.patience = self.patience.max(patience);
            self.all.push(overdue);
        }
        None
    }
}

impl Unclaimed {
    /// Returns a listed upload if it is unfinished, overdue, and this process has its slot.
    pub(super) fn overdue(
        &self,
        listed: &Listed,
        record: &Record,
        store: &Arc<dyn UploadStateStore>,
    ) -> Option<Overdue> {
        let slot = Some(self.slot_of(self.slots(), listed.key.owner(), &record.slot)?);
        if !self.keeps(slot.as_ref(), store) {
            return None;
        }
        let by = self.borrower(&**store);
        let claim = record.expire_unfinished(&by, self.record_ttl, unix_ms());
        (claim.is_some() || record.is_to_be_removed()).then(|| Overdue {
            claim,
            found: Found {
                slot,
                key: listed.key.clone(),
                record: record.clone(),
                version: listed.stored.version,
                store: Arc::clone(store),
            },
        })
    }

    /// Removes those whose holders did not save meanwhile. Returns how many are gone.
    pub(super) async fn remove_held(&self, held: Held, slowness: &mut Slowness) -> Done {
        if !held.all.is_empty() {
            sleep(held.patience).await;
        }
        let all = held.all.into_iter().map(Removal::Overdue);
        self.remove_all(all.collect(), slowness).await
    }

    /// Removes an upload that is overdue: claims it, unless that was done, then its bytes, then its record.
    pub(super) async fn remove_claimed(&self, overdue: Overdue) -> Removed {
        let Overdue { mut found, claim } = overdue;
        if let Some(claim) = claim {
            match self.put(&found, &claim.record).await {
                Ok(version) => {
                    found.version = version;
                    found.record = *claim.record;
                }
                // It was resumed, or its holder saved.
                Err(error) if error.is_conflict() => return Removed::Left,
                Err(error) => {
                    failed("expire", &error);
                    return Removed::Left;
                }
            }
        }
        if !self.remove_bytes(&found).await {
            return Removed::Failed;
        }
        let expect = Expect::Version(found.version);
        match timeouts::of_store(found.store.delete(&found.key, expect)).await {
            Some(Ok(())) => Removed::Gone,
            Some(Err(error)) if error.is_conflict() => Removed::Left,
            Some(Err(error)) => {
                failed("expire", &error);
                Removed::Left
            }
            None => Removed::Left,
        }
    }

    /// Returns whether the bytes of a claimed upload are gone.
    async fn remove_bytes(&self, found: &Found) -> bool {
        let (Some(slot), Some(checkpoint)) = (&found.slot, &found.record.checkpoint) else {
            return false;
        };
        let upload = UploadRef::from_bytes(*found.key.upload());
        let mut facts = upload_facts(found.key.owner(), &found.record.entry(upload));
        facts.epoch = found.record.epoch;
        facts.resumable = true;
        let (checkpoint, durable) = (Checkpoint(checkpoint.clone()), found.record.offset);
        let removed = timeouts::of_handler(async {
            remove_unfinished(&*slot.writers, &facts, &checkpoint, durable).await
        });
        match removed.await {
            Ok(Ok(Unfinished::Published)) => {
                tracing::warn!(%upload, "an upload expired whose file is stored: the file stays");
                true
            }
            Ok(Ok(Unfinished::Removed)) => true,
            Ok(Err(error)) => {
                let error = text::chain(&error);
                tracing::warn!(%upload, error, "an expired upload could not be removed");
                false
            }
            Err(why) => {
                tracing::warn!(%upload, why, "an expired upload could not be removed");
                false
            }
        }
    }
}
