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
use upload_core::{OwnerTally, SessionLimits};
use upload_stores::UploadStateStore;

use crate::{
    budget::Budget,
    events::Handler,
    hub::Hub,
    slot::{OnComplete, Slot, Slots},
};

/// Times and bounds of a server; every one has a default.
#[derive(Clone, Debug)]
pub struct Limits {
    /// What holds within one connection.
    pub session: SessionLimits,
    /// Connections at a time; beyond it, 503.
    pub max_connections: usize,
    /// Longest time from accepting a connection to its request (PROTOCOL CONN-3).
    pub handshake: Duration,
    /// Missed pongs before a connection counts as dead (PROTOCOL CONN-3).
    pub missed_pongs_max: u32,
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
            handshake: Duration::from_secs(10),
            missed_pongs_max: 2,
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

impl Shared {
    /// Returns a number no other connection of this start has.
    pub(crate) fn next_session(&self) -> u64 {
        self.sessions.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns the store of a slot's records.
    pub(crate) fn store_of(&self, slot: &Slot) -> &Arc<dyn UploadStateStore> {
        slot.store.as_ref().unwrap_or(&self.store)
    }
}

/// How many uploads each owner has; owners without any are forgotten.
#[derive(Debug, Default)]
pub(crate) struct OwnerTallies(Mutex<Tallies>);

#[derive(Debug, Default)]
struct Tallies {
    by_owner: HashMap<String, Weak<OwnerTally>>,
    /// When to look for owners who left: at twice as many as were alive then.
    prune_at: usize,
}

impl OwnerTallies {
    /// Returns the tally of `owner`, the same one for as long as anybody holds it.
    pub(crate) fn of(&self, owner: &str) -> Arc<OwnerTally> {
        // The map is whole after every step, so a panic elsewhere does not spoil it.
        let mut tallies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tally) = tallies.by_owner.get(owner).and_then(Weak::upgrade) {
            return tally;
        }
        if tallies.by_owner.len() >= tallies.prune_at {
            tallies.by_owner.retain(|_, tally| tally.strong_count() > 0);
            tallies.prune_at = tallies.by_owner.len().saturating_mul(2).max(1024);
        }
        let tally = Arc::new(OwnerTally::default());
        tallies.by_owner.insert(owner.to_owned(), Arc::downgrade(&tally));
        tally
    }
}
