//! What all connections of one server share.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use upload_stores::UploadStateStore;
use uuid::Uuid;

use super::{
    budget::Budget, error_links::ErrorLinks, limits::Limits, log_limit::LogLimit,
    owner_counts::OwnerCounts, pages::Pages, rates::AllRates, registry::Registry, shares::Shares,
};
use crate::{
    metrics,
    outbox::hooks::{Hooks, Stops},
    slots::{
        events::Handler,
        handlers::OnComplete,
        slot::{Slot, Slots},
        unclaimed::Unclaimed,
    },
};

/// Parked writers may hold one part in this many of the budget.
const PARKED_SHARE: u64 = 4;

/// How many sockets without an owner may be closing at the same time; further ones are answered 503.
const UNAUTHENTICATED_MAX: usize = 64;

/// What all connections share.
pub(crate) struct Shared {
    /// The slots of connections for which nothing else was mounted.
    pub(crate) slots: Slots,
    /// Where records live, unless a slot names its own store.
    pub(crate) store: Arc<dyn UploadStateStore>,
    pub(crate) limits: Limits,
    /// Who holds which upload in this process, and what is parked.
    pub(crate) registry: Registry,
    pub(crate) budget: Budget,
    /// Unique for this start of the process.
    pub(crate) boot: String,
    pub(crate) handlers: HashMap<String, Handler>,
    /// Runs for every stored file, after the slot's own.
    pub(crate) on_upload_complete: Option<OnComplete>,
    /// Told of every stored file before its receipt is kept; `None` where there is no hook.
    pub(crate) hooks: Option<Arc<Hooks>>,
    /// Finds and lends finished uploads that wait for their application.
    pub(crate) unclaimed: Arc<Unclaimed>,
    /// Every task that must come to rest before the process may end.
    pub(crate) tracker: TaskTracker,
    /// Cancelled when the server is told to stop: sessions get `handle_drain`.
    pub(crate) draining: CancellationToken,
    /// Cancelled at the drain's deadline: sessions get `handle_disconnect(Lost)`.
    pub(crate) closing: CancellationToken,
    pub(crate) connections: Arc<Semaphore>,
    /// What each address has of [`connections`](Self::connections).
    pub(crate) connection_shares: Arc<Shares>,
    /// Places of sockets that are opened only to be closed with 4401, so that they take none of those that
    /// have an owner.
    pub(crate) unauthenticated: Arc<Semaphore>,
    /// What each address has of [`unauthenticated`](Self::unauthenticated).
    pub(crate) unauthenticated_shares: Arc<Shares>,
    pub(crate) owner_counts: OwnerCounts,
    pub(crate) rates: AllRates,
    pub(crate) log_limits: LogLimits,
    /// The open pages of each owner.
    pub(crate) pages: Arc<Pages>,
    sessions: AtomicU64,
}

/// Lines that peers can cause, by what they tell of.
#[derive(Debug, Default)]
pub(crate) struct LogLimits {
    pub(crate) origins: LogLimit,
    pub(crate) handshakes: LogLimit,
    /// Where the codes in the log are explained.
    pub(crate) codes: ErrorLinks,
    sizes: LogLimit,
}

impl LogLimits {
    /// Tells of a file that is too large, once a minute.
    pub(crate) fn too_large(&self, slot: Option<&str>, address: Option<IpAddr>) {
        let Some(left_out) = self.sizes.pass() else {
            return;
        };
        tracing::warn!(
            slot,
            address = address.map(tracing::field::display),
            expected = "at most max_file_size of its slot, limits.max_bytes_per_owner and limits.max_stored_bytes_per_owner",
            left_out,
            "a file is refused by its size"
        );
    }
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
    /// Returns when work beside the connections ends.
    pub(crate) fn stops(&self) -> Stops {
        Stops {
            draining: self.draining.clone(),
            closing: self.closing.clone(),
        }
    }

    /// Starts a server that has no connection yet.
    pub(crate) fn new(parts: Parts) -> Self {
        let limits = parts.limits;
        let owner_counts = OwnerCounts::new(limits.max_uploads, limits.capabilities());
        let places = limits.max_connections.min(Semaphore::MAX_PERMITS);
        let boot = Uuid::new_v4().simple().to_string();
        let tracker = TaskTracker::new();
        let unclaimed = Unclaimed::new(
            Arc::clone(&parts.store),
            Arc::clone(&parts.slots),
            boot.clone(),
            (limits.session.lease_ttl, limits.session.record_ttl),
            tracker.clone(),
        );
        Self {
            slots: parts.slots,
            store: parts.store,
            registry: Registry::new(
                limits.parked_max,
                limits.buffer_budget / PARKED_SHARE,
                limits.parked_for,
            ),
            budget: Budget::new(limits.buffer_budget),
            rates: AllRates::new(limits.rates.clone()),
            log_limits: LogLimits::default(),
            limits,
            boot,
            unclaimed,
            handlers: parts.handlers,
            on_upload_complete: parts.on_upload_complete,
            hooks: parts.hooks,
            tracker,
            draining: CancellationToken::new(),
            closing: CancellationToken::new(),
            connections: Arc::new(Semaphore::new(places)),
            connection_shares: Shares::of(places),
            unauthenticated: Arc::new(Semaphore::new(UNAUTHENTICATED_MAX)),
            unauthenticated_shares: Shares::of(UNAUTHENTICATED_MAX),
            owner_counts,
            pages: Arc::default(),
            sessions: AtomicU64::new(0),
        }
    }

    /// Returns the server's store and those of `slots`, each once.
    pub(crate) fn stores(&self, slots: &Slots) -> Vec<Arc<dyn UploadStateStore>> {
        let mut stores = vec![Arc::clone(&self.store)];
        for store in slots.values().map(|slot| self.store_of(slot)) {
            if !stores.iter().any(|known| Arc::ptr_eq(known, store)) {
                stores.push(Arc::clone(store));
            }
        }
        stores
    }

    /// Returns the name of a slot as metrics have it, which must not be without number.
    pub(crate) fn slot_label<'a>(&self, slot: &'a str) -> &'a str {
        match self.slots.contains_key(slot) {
            true => slot,
            false => metrics::MOUNTED,
        }
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
