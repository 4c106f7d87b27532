//! How many uploads each owner has.

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use upload_core::{OwnerQuota, OwnerTally, ServerTally};

use super::shares::network_of;

/// What the names of owners begin with who are known by the address of their upload only.
pub(crate) const CAPABILITY: &str = "cap:";

/// One address may have one part in this many of all uploads.
const ADDRESS_PART: u32 = 4;
/// What an address may have at least, where there is little to share.
const ADDRESS_LEAST: u32 = 16;

/// How many uploads each owner has, each address, and all together; who has none is forgotten.
#[derive(Debug)]
pub(crate) struct OwnerCounts {
    owners: Tallies<String, OwnerTally>,
    addresses: Tallies<IpAddr, ServerTally>,
    server: Arc<ServerTally>,
    address_max: u32,
    /// Owners who are known by an address only, all together: to become one costs nothing.
    capabilities: Arc<OwnerTally>,
    capabilities_max: OwnerQuota,
}

/// Tallies that somebody holds.
#[derive(Debug)]
struct Tallies<K, T>(Mutex<Known<K, T>>);

#[derive(Debug)]
struct Known<K, T> {
    tallies: HashMap<K, Weak<T>>,
    /// When to look for those who left: at twice as many as were alive then.
    prune_at: usize,
}

impl<K: Eq + Hash, T> Tallies<K, T> {
    fn new() -> Self {
        Self(Mutex::new(Known {
            tallies: HashMap::new(),
            prune_at: 0,
        }))
    }

    /// Returns the tally of `key`, the same one for as long as it is held.
    fn of(&self, key: K, make: impl FnOnce() -> T) -> Arc<T> {
        // The map is whole after every step, so a panic elsewhere does not spoil it.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tally) = known.tallies.get(&key).and_then(Weak::upgrade) {
            return tally;
        }
        if known.tallies.len() >= known.prune_at {
            known.tallies.retain(|_, tally| tally.strong_count() > 0);
            known.prune_at = known.tallies.len().saturating_mul(2).max(1024);
        }
        let tally = Arc::new(make());
        known.tallies.insert(key, Arc::downgrade(&tally));
        tally
    }
}

impl OwnerCounts {
    /// Begins to count, up to `uploads_max` of all owners, and so many of those made of capabilities.
    pub(crate) fn new(uploads_max: u32, capabilities_max: OwnerQuota) -> Self {
        Self {
            owners: Tallies::new(),
            addresses: Tallies::new(),
            server: Arc::new(ServerTally::new(uploads_max)),
            address_max: (uploads_max / ADDRESS_PART).max(ADDRESS_LEAST),
            capabilities: Arc::default(),
            capabilities_max,
        }
    }

    /// Notes that there is no room for an upload, so that slow ones leave.
    pub(crate) fn refuse(&self) {
        self.server.refuse();
    }

    /// Returns the tally of `owner` for a connection from `address`.
    ///
    /// Programs of this very machine share nothing: an unlisted proxy speaks for everyone behind it.
    pub(crate) fn of(&self, owner: &str, address: Option<IpAddr>) -> Arc<OwnerTally> {
        let server = Arc::clone(&self.server);
        let make = || {
            let tally = OwnerTally::within(server);
            match owner.starts_with(CAPABILITY) {
                true => tally.within_group(Arc::clone(&self.capabilities), self.capabilities_max),
                false => tally,
            }
        };
        let tally = self.owners.of(owner.to_owned(), make);
        let Some(address) = address.filter(|address| !address.is_loopback()) else {
            return tally;
        };
        let most = self.address_max;
        let network = network_of(address.to_canonical());
        let address = self.addresses.of(network, || ServerTally::new(most));
        Arc::new(tally.from_address(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CTRL-3: all connections of an owner share one tally, wherever they come from.
    #[test]
    fn ctrl_3_an_owner_has_one_tally() {
        let tallies = OwnerCounts::new(u32::MAX, OwnerQuota::NONE);
        let address = "192.0.2.1".parse().ok();
        let first = tallies.of("alice", None);
        assert!(first.is_same_owner(&tallies.of("alice", None)));
        let elsewhere = tallies.of("alice", address);
        drop(first);
        assert!(elsewhere.is_same_owner(&tallies.of("alice", None)));
        assert!(!elsewhere.is_same_owner(&tallies.of("bob", address)));
    }

    #[test]
    fn owners_who_left_are_forgotten() {
        let tallies = OwnerCounts::new(u32::MAX, OwnerQuota::NONE);
        let kept = tallies.of("kept", None);
        for owner in 0..10_000_u32 {
            let address = IpAddr::from(owner.to_be_bytes());
            tallies.of(&owner.to_string(), Some(address));
        }
        let known = tallies.owners.0.lock().expect("whole").tallies.len();
        assert!(known <= 1025, "{known}");
        let known = tallies.addresses.0.lock().expect("whole").tallies.len();
        assert!(known <= 1025, "{known}");
        assert!(kept.is_same_owner(&tallies.of("kept", None)));
    }
}
