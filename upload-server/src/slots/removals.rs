//! The removals of one look: those of one storage one after another, and those of several side by side.
//!
//! Storage that does not answer takes half a minute for each call. It holds up its own removals only, and after a few
//! calls none of them is tried again before the next look. What an earlier look could not remove comes after all
//! others.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::Instant;
use upload_stores::UploadKey;
use upload_writers::WriterFactory;

use super::{
    expired::Overdue,
    overdue::Done,
    unclaimed::{Found, Unclaimed},
};

/// How long a removal takes at least whose failure says that storage is stuck, and not that one upload is bad.
const SLOW: Duration = Duration::from_secs(5);
/// So many of them in a row, and the storage is left alone until the next look. One bad upload alone stops no other,
/// and several do so once, since the next look tries them last.
const SLOW_MAX: u32 = 2;
/// Storages that are at work at the same time.
const LANES_MAX: usize = 16;

/// Something to remove.
pub(super) enum Removal {
    Overdue(Overdue),
    /// Finished, and perhaps not taken in time.
    Finished(Found),
}

/// What became of a removal.
pub(super) enum Removed {
    Gone,
    /// It was not due, or changed meanwhile, or its store failed.
    Left,
    /// Its bytes could not be removed.
    Failed,
}

/// How often each storage was slow in this look, since it last did what it was asked to.
#[derive(Default)]
pub(super) struct Slowness(Vec<(Arc<dyn WriterFactory>, u32)>);

/// The removals of one storage.
struct Lane {
    /// `None` where the slot is not known, and there is nothing to ask of storage.
    storage: Option<Arc<dyn WriterFactory>>,
    slow: u32,
    removals: Vec<Removal>,
}

/// Removals that come after all others of their look, in their turns.
pub(super) type Last = BTreeMap<u64, Removal>;

impl Removal {
    fn found(&self) -> &Found {
        match self {
            Self::Overdue(overdue) => &overdue.found,
            Self::Finished(found) => found,
        }
    }

    fn key(&self) -> &UploadKey {
        &self.found().key
    }

    fn storage(&self) -> Option<&Arc<dyn WriterFactory>> {
        self.found().slot.as_ref().map(|slot| &slot.writers)
    }
}

impl Slowness {
    fn of(&self, storage: &Arc<dyn WriterFactory>) -> u32 {
        let mut all = self.0.iter();
        let known = all.find(|(known, _)| Arc::ptr_eq(known, storage));
        known.map_or(0, |(_, slow)| *slow)
    }

    fn note(&mut self, storage: Arc<dyn WriterFactory>, slow: u32) {
        self.0.retain(|(known, _)| !Arc::ptr_eq(known, &storage));
        // Each entry cost its look some time, so there are few.
        if slow > 0 {
            self.0.push((storage, slow));
        }
    }

    /// Sorts removals by their storage.
    fn lanes(&self, removals: Vec<Removal>) -> Vec<Lane> {
        let mut lanes: Vec<Lane> = Vec::new();
        for removal in removals {
            let storage = removal.storage();
            let is_own = |lane: &&mut Lane| match (&lane.storage, storage) {
                (Some(one), Some(other)) => Arc::ptr_eq(one, other),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
            match lanes.iter_mut().find(is_own) {
                Some(lane) => lane.removals.push(removal),
                None => lanes.push(Lane {
                    storage: storage.cloned(),
                    slow: storage.map_or(0, |storage| self.of(storage)),
                    removals: vec![removal],
                }),
            }
        }
        lanes
    }
}

impl Unclaimed {
    /// Takes out what an earlier look could not remove in time.
    pub(super) fn put_off(&self, removals: Vec<Removal>, last: &mut Last) -> Vec<Removal> {
        let mut others = Vec::with_capacity(removals.len());
        for removal in removals {
            match self.stuck.turn_of(removal.key()) {
                Some(turn) => drop(last.insert(turn, removal)),
                None => others.push(removal),
            }
        }
        others
    }

    /// Removes what is due of these. Returns how many are gone.
    pub(super) async fn remove_all(&self, removals: Vec<Removal>, slowness: &mut Slowness) -> Done {
        let mut done = Done::default();
        let mut waiting = slowness.lanes(removals).into_iter();
        let mut running = FuturesUnordered::new();
        for lane in waiting.by_ref().take(LANES_MAX) {
            running.push(self.run_lane(lane));
        }
        while let Some((lane, of_lane)) = running.next().await {
            done.add(of_lane);
            if let Some(storage) = lane.storage {
                slowness.note(storage, lane.slow);
            }
            if let Some(lane) = waiting.next() {
                running.push(self.run_lane(lane));
            }
        }
        done
    }

    async fn run_lane(&self, mut lane: Lane) -> (Lane, Done) {
        let mut done = Done::default();
        for removal in std::mem::take(&mut lane.removals) {
            if lane.slow >= SLOW_MAX {
                break;
            }
            let (key, begun) = (removal.key().clone(), Instant::now());
            let (removed, count) = match removal {
                Removal::Overdue(overdue) => {
                    (self.remove_claimed(overdue).await, &mut done.expired)
                }
                Removal::Finished(found) => (self.remove_when_due(&found).await, &mut done.untaken),
            };
            match removed {
                Removed::Gone => {
                    self.stuck.passed(&key);
                    lane.slow = 0;
                    *count = count.saturating_add(1);
                }
                Removed::Failed if begun.elapsed() >= SLOW => {
                    self.stuck.failed(&key);
                    lane.slow = lane.slow.saturating_add(1);
                    if lane.slow == SLOW_MAX {
                        tracing::warn!("storage does not answer: what is due there waits");
                    }
                }
                Removed::Failed | Removed::Left => self.stuck.passed(&key),
            }
        }
        (lane, done)
    }
}
