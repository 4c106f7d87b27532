//! How fast an owner, an address and all together may send.
//!
//! Token buckets that connections share: a connection charges what it received to each of them, and is read
//! again when the emptiest has recovered. Nothing is dropped (PROTOCOL CONN-4), and what has no limit costs
//! nothing. Buckets outlive connections, so that coming back buys nothing; those used longest ago are forgotten
//! first.

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
    /// Payload bytes of one connection; no limit by default.
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
        let own = own.map(|bytes| Bucket::of_bytes(bytes, begun));
        let bytes = parties.iter().filter_map(|party| party.bytes.clone());
        let bytes = own.into_iter().chain(bytes).chain(self.all.clone());
        Rates {
            bytes: bytes.collect(),
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
        let charged = self.bytes.iter().map(|bucket| bucket.charge(bytes, now));
        charged.max().flatten()
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

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn limits() -> RateLimits {
        RateLimits {
            registrations_per_owner: 10,
            registrations_per_address: 20,
            requests_per_owner: 10,
            requests_per_address: 10,
            ..RateLimits::default()
        }
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    /// Sends `bytes` in chunks of 64 KiB as a connection does; returns how long it took.
    fn send(rates: &Rates, bytes: u64, start: Instant) -> Duration {
        let (mut now, mut sent) = (start, 0);
        while sent < bytes {
            sent += 64 * 1024;
            now = rates.bytes(64 * 1024, now).unwrap_or(now);
        }
        now - start
    }

    /// CONN-4: each bound on bytes holds by itself, and delays instead of dropping.
    #[test]
    fn bytes_are_bounded_per_connection_owner_address_and_in_all() {
        let bound = |set: fn(&mut RateLimits)| {
            let mut limits = limits();
            set(&mut limits);
            AllRates::new(limits)
        };
        let here = address("192.0.2.1");
        for (rates, is_shared) in [
            (
                bound(|limits| limits.bytes_per_connection = Some(MIB)),
                [false, false, false],
            ),
            (
                bound(|limits| limits.bytes_per_owner = Some(MIB)),
                [true, false, false],
            ),
            (
                bound(|limits| limits.bytes_per_address = Some(MIB)),
                [true, true, false],
            ),
            (bound(|limits| limits.bytes = Some(MIB)), [true, true, true]),
        ] {
            let start = Instant::now();
            let took = send(&rates.of("alice", here), 10 * MIB, start);
            let range = Duration::from_millis(9_600)..=Duration::from_millis(10_000);
            assert!(range.contains(&took), "{took:?} {rates:?}");
            let others = [
                rates.of("alice", here),
                rates.of("bob", here),
                rates.of("bob", address("192.0.2.2")),
            ];
            for (other, is_shared) in others.iter().zip(is_shared) {
                let waits = other.bytes(64 * 1024, start).is_some();
                assert_eq!(waits, is_shared, "{rates:?}");
            }
        }
        let free = AllRates::new(limits());
        let took = send(&free.of("alice", here), 10 * MIB, Instant::now());
        assert_eq!(took, Duration::ZERO);
    }

    /// CONN-4: coming back on another connection, or as another owner from there, buys nothing.
    #[test]
    fn registrations_are_bounded_per_owner_and_address() {
        let rates = AllRates::new(limits());
        let (here, now) = (address("192.0.2.1"), Instant::now());
        for _ in 0..100 {
            assert_eq!(rates.of("alice", here).registration(now), None);
        }
        assert!(rates.of("alice", None).registration(now).is_some());
        for owner in 0..100 {
            let rates = rates.of(&owner.to_string(), here);
            assert_eq!(rates.registration(now), None, "{owner}");
        }
        let other = rates.of("one more", here);
        assert!(other.registration(now).is_some());
        assert!(rates.of("elsewhere", None).registration(now).is_none());
        assert!(
            rates
                .of("elsewhere", address("192.0.2.2"))
                .registration(now)
                .is_none()
        );
    }

    #[test]
    fn requests_are_bounded_per_network_and_recover() {
        let rates = AllRates::new(limits());
        let now = Instant::now();
        let ask = |text: &str, now| rates.may_ask(address(text), now);
        assert!((0..100).all(|host| ask(&format!("2001:db8::{host}"), now)));
        assert!(!ask("2001:db8::ffff", now));
        assert!(ask("2001:db8:0:1::1", now), "another network");
        let later = now + Duration::from_secs(1);
        assert!((0..10).all(|_| ask("2001:db8::1", later)));
        assert!(!ask("2001:db8::1", later));
        assert!((0..1_000).all(|_| ask("127.0.0.1", now) && rates.may_ask(None, now)));
        let alice = || rates.of("alice", None).may_ask(now);
        assert!((0..100).all(|_| alice()) && !alice());
        assert!(rates.of("bob", None).may_ask(now));
    }

    #[test]
    fn parties_that_came_long_ago_are_forgotten() {
        let rates = AllRates::new(limits());
        for owner in 0..2 * KEPT_MAX.get() {
            let _ = rates.of(&owner.to_string(), None);
        }
        let kept = rates.owners.0.lock().expect("whole").len();
        assert_eq!(kept, KEPT_MAX.get());
    }
}
