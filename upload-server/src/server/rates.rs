//! How fast an owner, an address and all together may send.
//!
//! Token buckets that connections share: a connection charges what it received to each of them, and is read
//! again when the emptiest has recovered. Nothing is dropped (PROTOCOL CONN-4), and what has no limit costs
//! nothing. Buckets outlive connections, so that coming back buys nothing; those used longest ago are forgotten
//! first.

#[cfg(test)]
mod tests;

use std::{
    fmt,
    hash::Hash,
    net::IpAddr,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use lru::LruCache;
use tokio::time::Instant;

use super::shares::network_of;

/// Owners, and addresses, whose buckets are kept.
const KEPT_MAX: NonZeroUsize = NonZeroUsize::new(16 * 1024).expect("more than none");
/// What may be sent at once, as time at the full rate: registrations and requests.
const CALLS_BURST: Duration = Duration::from_secs(10);
/// The same of bytes, where that is more than [`BYTES_BURST`].
const BYTES_BURST_TIME: Duration = Duration::from_millis(250);
/// What of bytes may be sent at once in any case: a few chunks.
const BYTES_BURST: u64 = 256 * 1024;

/// How much may be sent in a second, once the burst is used up; see [`Limits::rates`](super::limits::Limits::rates).
#[derive(Clone, Debug)]
pub struct RateLimits {
    /// Payload bytes of one connection, or by HTTP of one upload; no limit by default.
    pub bytes_per_connection: Option<u64>,
    /// Payload bytes of one owner, over all connections of this server; no limit by default.
    pub bytes_per_owner: Option<u64>,
    /// Payload bytes from one address, or of IPv6 one network of 64 bits; no limit by default.
    pub bytes_per_address: Option<u64>,
    /// Payload bytes of everybody together; no limit by default.
    pub bytes: Option<u64>,
    /// Registrations of one owner; ten times as many at once.
    pub registrations_per_owner: u32,
    /// Registrations from one address; ten times as many at once.
    pub registrations_per_address: u32,
    /// HTTP requests and new sockets of one owner; ten times as many at once. Beyond it, 503, 423 or 429 is answered.
    pub requests_per_owner: u32,
    /// The same from one address; plain bodies and forms are answered 429, too.
    pub requests_per_address: u32,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            bytes_per_connection: None,
            bytes_per_owner: None,
            bytes_per_address: None,
            bytes: None,
            registrations_per_owner: 1_000,
            registrations_per_address: 2_000,
            requests_per_owner: 1_000,
            requests_per_address: 1_000,
        }
    }
}

/// The buckets of everybody.
#[derive(Debug)]
pub(crate) struct AllRates {
    limits: RateLimits,
    begun: Instant,
    all: Option<Arc<Bucket>>,
    owners: Kept<String>,
    addresses: Kept<IpAddr>,
}

/// The buckets of one party.
#[derive(Debug)]
struct Party {
    bytes: Option<Arc<Bucket>>,
    registrations: Arc<Bucket>,
    requests: Arc<Bucket>,
}

struct Kept<K>(Mutex<LruCache<K, Arc<Party>>>);

/// What one connection is charged to.
#[derive(Clone, Debug)]
pub(crate) struct Rates {
    parties: Vec<Arc<Party>>,
    /// The connection's, which no other has.
    own: Option<Arc<Bucket>>,
    /// Those that it shares.
    bytes: Vec<Arc<Bucket>>,
}

impl AllRates {
    pub(crate) fn new(limits: RateLimits) -> Self {
        let begun = Instant::now();
        Self {
            all: limits.bytes.map(|bytes| Bucket::of_bytes(bytes, begun)),
            begun,
            limits,
            owners: Kept::new(),
            addresses: Kept::new(),
        }
    }

    /// Returns what a connection of this owner from there is charged to.
    ///
    /// Programs of this very machine share nothing by their address: an unlisted proxy speaks for everyone
    /// behind it.
    pub(crate) fn of(&self, owner: &str, address: Option<IpAddr>) -> Rates {
        let (limits, begun) = (&self.limits, self.begun);
        let owner = self.owners.of(owner.to_owned(), || Party {
            bytes: (limits.bytes_per_owner).map(|bytes| Bucket::of_bytes(bytes, begun)),
            registrations: Bucket::of_calls(limits.registrations_per_owner, begun),
            requests: Bucket::of_calls(limits.requests_per_owner, begun),
        });
        let parties: Vec<_> = [Some(owner), self.of_address(address)]
            .into_iter()
            .flatten()
            .collect();
        let own = limits.bytes_per_connection;
        let bytes = parties.iter().filter_map(|party| party.bytes.clone());
        Rates {
            own: own.map(|bytes| Bucket::of_bytes(bytes, begun)),
            bytes: bytes.chain(self.all.clone()).collect(),
            parties,
        }
    }

    /// Counts a request from there; returns whether it is looked at.
    pub(crate) fn may_ask(&self, address: Option<IpAddr>, now: Instant) -> bool {
        let party = self.of_address(address);
        party.is_none_or(|party| party.requests.take(now))
    }

    fn of_address(&self, address: Option<IpAddr>) -> Option<Arc<Party>> {
        let address = address?.to_canonical();
        if address.is_loopback() {
            return None;
        }
        let (limits, begun) = (&self.limits, self.begun);
        Some(self.addresses.of(network_of(address), || Party {
            bytes: (limits.bytes_per_address).map(|bytes| Bucket::of_bytes(bytes, begun)),
            registrations: Bucket::of_calls(limits.registrations_per_address, begun),
            requests: Bucket::of_calls(limits.requests_per_address, begun),
        }))
    }
}

impl<K: Eq + Hash> Kept<K> {
    fn new() -> Self {
        Self(Mutex::new(LruCache::new(KEPT_MAX)))
    }

    fn of(&self, key: K, make: impl FnOnce() -> Party) -> Arc<Party> {
        // The map is whole after every step, so a panic elsewhere does not spoil it.
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(kept.get_or_insert(key, || Arc::new(make())))
    }
}

impl<K> fmt::Debug for Kept<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

impl Rates {
    /// Charges payload; returns when more may be read, or `None` for at once.
    pub(crate) fn bytes(&self, bytes: u64, now: Instant) -> Option<Instant> {
        let buckets = self.own.iter().chain(&self.bytes);
        let charged = buckets.map(|bucket| bucket.charge(bytes, now));
        charged.max().flatten()
    }

    /// Charges what was its own before: a request continues what another one began.
    #[cfg(feature = "doors")]
    pub(crate) fn continuing(self, before: &Self) -> Self {
        Self {
            own: before.own.clone(),
            ..self
        }
    }

    /// Charges a registration; returns when more may be read, or `None` for at once.
    pub(crate) fn registration(&self, now: Instant) -> Option<Instant> {
        let parties = self.parties.iter();
        let charged = parties.map(|party| party.registrations.charge(1, now));
        charged.max().flatten()
    }

    /// Counts a request of the owner; returns whether it is answered. Its address was charged before.
    pub(crate) fn may_ask(&self, now: Instant) -> bool {
        self.parties
            .first()
            .is_none_or(|owner| owner.requests.take(now))
    }

    /// Counts a registration unless there were too many; returns whether it is counted.
    #[cfg(any(feature = "doors", feature = "presign"))]
    pub(crate) fn may_register(&self, now: Instant) -> bool {
        self.parties
            .iter()
            .all(|party| party.registrations.take(now))
    }
}

/// A token bucket that several share, kept as the one moment at which it is full again.
#[derive(Debug)]
struct Bucket {
    begun: Instant,
    per_second: u64,
    /// The whole bucket's worth of time, in nanoseconds.
    depth: u64,
    /// In nanoseconds after `begun`.
    full_at: AtomicU64,
}

impl Bucket {
    fn of_bytes(per_second: u64, begun: Instant) -> Arc<Self> {
        let least = cost(BYTES_BURST, per_second);
        Self::new(per_second, least.max(nanos(BYTES_BURST_TIME)), begun)
    }

    fn of_calls(per_second: u32, begun: Instant) -> Arc<Self> {
        Self::new(per_second.into(), nanos(CALLS_BURST), begun)
    }

    fn new(per_second: u64, depth: u64, begun: Instant) -> Arc<Self> {
        Arc::new(Self {
            begun,
            per_second,
            depth,
            full_at: AtomicU64::new(0),
        })
    }

    /// Takes so many tokens, on credit where there are none; returns when the debt is paid.
    fn charge(&self, tokens: u64, now: Instant) -> Option<Instant> {
        let at = self.since(now);
        let cost = cost(tokens, self.per_second);
        let charged = |full_at: u64| full_at.max(at).saturating_add(cost);
        let (done, seen) = (Ordering::Relaxed, Ordering::Relaxed);
        let before = self
            .full_at
            .fetch_update(done, seen, |full_at| Some(charged(full_at)));
        let full_at = charged(before.unwrap_or_default());
        let debt = full_at.saturating_sub(self.depth).saturating_sub(at);
        (debt > 0).then(|| {
            let wait = Duration::from_nanos(debt);
            now.checked_add(wait).unwrap_or(now)
        })
    }

    /// Takes a token if there is one; returns whether there was.
    fn take(&self, now: Instant) -> bool {
        let at = self.since(now);
        let cost = cost(1, self.per_second);
        let (done, seen) = (Ordering::Relaxed, Ordering::Relaxed);
        let taken = self.full_at.fetch_update(done, seen, |full_at| {
            let full_at = full_at.max(at).saturating_add(cost);
            (full_at.saturating_sub(self.depth) <= at).then_some(full_at)
        });
        taken.is_ok()
    }

    fn since(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.begun))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Returns the time that so many tokens take, in nanoseconds.
fn cost(tokens: u64, per_second: u64) -> u64 {
    let nanos = u128::from(tokens).saturating_mul(1_000_000_000);
    let nanos = nanos.checked_div(per_second.into());
    nanos.map_or(u64::MAX, |nanos| u64::try_from(nanos).unwrap_or(u64::MAX))
}
