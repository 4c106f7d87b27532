//! What all connections of one server share.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use upload_core::{OwnerTally, ServerTally, SessionLimits};
use upload_stores::UploadStateStore;
use uuid::Uuid;

use crate::{
    budget::Budget,
    descriptors,
    events::Handler,
    hooks::Hooks,
    hub::Hub,
    slot::{OnComplete, Slot, Slots},
};

/// Parked writers may hold one part in this many of the budget.
const PARKED_SHARE: u64 = 4;

/// Times and bounds of a server; every one has a default.
#[derive(Clone, Debug)]
pub struct Limits {
    /// What holds within one connection.
    pub session: SessionLimits,
    /// Connections at a time; beyond it, 503.
    pub max_connections: usize,
    /// Uploads of all owners at a time; beyond it, registrations are told to come later. By default
    /// three quarters of the files that the process may have open.
    pub max_uploads: u32,
    /// Longest time from accepting a connection to its request (PROTOCOL CONN-3).
    pub handshake: Duration,
    /// Missed pongs before a connection counts as dead (PROTOCOL CONN-3).
    pub missed_pongs_max: u32,
    /// Whether CRC32C of whole files is computed and checked (PROTOCOL COMPLETE-2).
    pub checksum: bool,
    /// Payload bytes that wait for writers, over all connections.
    pub buffer_budget: u64,
    /// Writers kept for clients that may come back (PROTOCOL RESUME-3).
    pub parked_max: usize,
    /// How long a writer stays parked.
    pub parked_for: Duration,
    /// How long a drain may take before connections are closed anyway.
    pub drain: Duration,
    /// When a draining server tells clients to come back.
    pub reconnect_after: Duration,
    /// How often what nobody holds any more is removed (PROTOCOL RESUME-8).
    pub sweep_interval: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            session: SessionLimits::default(),
            max_connections: 20_000,
            max_uploads: descriptors::uploads_max(),
            handshake: Duration::from_secs(10),
            missed_pongs_max: 2,
            checksum: true,
            buffer_budget: 256 * 1024 * 1024,
            parked_max: 1024,
            parked_for: Duration::from_secs(600),
            drain: Duration::from_millis(2500),
            reconnect_after: Duration::from_millis(500),
            sweep_interval: Duration::from_secs(300),
        }
    }
}

/// What all connections share.
pub(crate) struct Shared {
    /// The slots of connections for which nothing else was mounted.
    pub(crate) slots: Slots,
    /// Where records live, unless a slot names its own store.
    pub(crate) store: Arc<dyn UploadStateStore>,
    pub(crate) limits: Limits,
    /// Who holds which upload in this process, and what is parked.
    pub(crate) hub: Hub,
    pub(crate) budget: Budget,
    /// Unique for this start of the process.
    pub(crate) boot: String,
    pub(crate) handlers: HashMap<String, Handler>,
    /// Runs for every stored file, after the slot's own.
    pub(crate) on_upload_complete: Option<OnComplete>,
    /// Told of every stored file before its receipt is kept; `None` where there is no hook.
    pub(crate) hooks: Option<Arc<Hooks>>,
    /// Every task that must come to rest before the process may end.
    pub(crate) tracker: TaskTracker,
    /// Cancelled when the server is told to stop: sessions get `handle_drain`.
    pub(crate) draining: CancellationToken,
    /// Cancelled at the drain's deadline: sessions get `handle_disconnect(Lost)`.
    pub(crate) closing: CancellationToken,
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) tallies: OwnerTallies,
    sessions: AtomicU64,
}

/// What the builder decides of [`Shared`].
pub(crate) struct Parts {
    pub(crate) slots: Slots,
    pub(crate) store: Arc<dyn UploadStateStore>,
    pub(crate) limits: Limits,
    pub(crate) handlers: HashMap<String, Handler>,
    pub(crate) on_upload_complete: Option<OnComplete>,
    pub(crate) hooks: Option<Arc<Hooks>>,
}

impl Shared {
    /// Starts a server that has no connection yet.
    pub(crate) fn new(parts: Parts) -> Self {
        let limits = parts.limits;
        let tallies = OwnerTallies::new(limits.max_uploads);
        let places = limits.max_connections.min(Semaphore::MAX_PERMITS);
        Self {
            slots: parts.slots,
            store: parts.store,
            hub: Hub::new(
                limits.parked_max,
                limits.buffer_budget / PARKED_SHARE,
                limits.parked_for,
            ),
            budget: Budget::new(limits.buffer_budget),
            limits,
            boot: Uuid::new_v4().simple().to_string(),
            handlers: parts.handlers,
            on_upload_complete: parts.on_upload_complete,
            hooks: parts.hooks,
            tracker: TaskTracker::new(),
            draining: CancellationToken::new(),
            closing: CancellationToken::new(),
            connections: Arc::new(Semaphore::new(places)),
            tallies,
            sessions: AtomicU64::new(0),
        }
    }

    /// Returns every store of the server's slots, each once.
    pub(crate) fn stores(&self) -> Vec<Arc<dyn UploadStateStore>> {
        let mut stores = vec![Arc::clone(&self.store)];
        for store in self.slots.values().map(|slot| self.store_of(slot)) {
            if !stores.iter().any(|known| Arc::ptr_eq(known, store)) {
                stores.push(Arc::clone(store));
            }
        }
        stores
    }

    /// Returns a number no other connection of this start has.
    pub(crate) fn next_session(&self) -> u64 {
        self.sessions.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns the store of a slot's records.
    pub(crate) fn store_of<'a>(&'a self, slot: &'a Slot) -> &'a Arc<dyn UploadStateStore> {
        slot.store.as_ref().unwrap_or(&self.store)
    }

    /// Returns whether the slot of this name keeps its records in `store`; `None` if `slots` does
    /// not have it.
    pub(crate) fn keeps(
        &self,
        slots: &Slots,
        slot: &str,
        store: &Arc<dyn UploadStateStore>,
    ) -> Option<bool> {
        let slot = slots.get(slot)?;
        Some(Arc::ptr_eq(self.store_of(slot), store))
    }
}

/// How many uploads each owner has, and all together; owners without any are forgotten.
#[derive(Debug)]
pub(crate) struct OwnerTallies {
    tallies: Mutex<Tallies>,
    server: Arc<ServerTally>,
}

#[derive(Debug, Default)]
struct Tallies {
    by_owner: HashMap<String, Weak<OwnerTally>>,
    /// When to look for owners who left: at twice as many as were alive then.
    prune_at: usize,
}

impl OwnerTallies {
    /// Begins to count, up to `uploads_max` of all owners.
    pub(crate) fn new(uploads_max: u32) -> Self {
        Self {
            tallies: Mutex::default(),
            server: Arc::new(ServerTally::new(uploads_max)),
        }
    }

    /// Returns the tally of `owner`, the same one for as long as anybody holds it.
    pub(crate) fn of(&self, owner: &str) -> Arc<OwnerTally> {
        // The map is whole after every step, so a panic elsewhere does not spoil it.
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tally) = tallies.by_owner.get(owner).and_then(Weak::upgrade) {
            return tally;
        }
        if tallies.by_owner.len() >= tallies.prune_at {
            tallies.by_owner.retain(|_, tally| tally.strong_count() > 0);
            tallies.prune_at = tallies.by_owner.len().saturating_mul(2).max(1024);
        }
        let tally = Arc::new(OwnerTally::within(Arc::clone(&self.server)));
        tallies
            .by_owner
            .insert(owner.to_owned(), Arc::downgrade(&tally));
        tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CTRL-3: all connections of an owner share one tally.
    #[test]
    fn ctrl_3_an_owner_has_one_tally() {
        let tallies = OwnerTallies::new(u32::MAX);
        let first = tallies.of("alice");
        assert!(Arc::ptr_eq(&first, &tallies.of("alice")));
        assert!(!Arc::ptr_eq(&first, &tallies.of("bob")));
    }

    #[test]
    fn owners_who_left_are_forgotten() {
        let tallies = OwnerTallies::new(u32::MAX);
        let kept = tallies.of("kept");
        for owner in 0..10_000 {
            tallies.of(&owner.to_string());
        }
        let known = tallies.tallies.lock().expect("whole").by_owner.len();
        assert!(known <= 1025, "{known}");
        assert!(Arc::ptr_eq(&kept, &tallies.of("kept")));
    }
}
