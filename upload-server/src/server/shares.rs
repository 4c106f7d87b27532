//! What each address has of something that all share.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// One address may have one part in this many.
const PARTS: usize = 4;
/// What an address may have at least, where there is little to share.
const LEAST: usize = 8;

/// How many of something each address has; addresses with none are forgotten.
#[derive(Debug)]
pub(crate) struct Shares {
    most: usize,
    held: Mutex<HashMap<IpAddr, usize>>,
}

/// One of them; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    of: Arc<Shares>,
    address: IpAddr,
}

impl Shares {
    /// Begins to count, where there are `all` for everybody together.
    pub(crate) fn of(all: usize) -> Arc<Self> {
        Arc::new(Self {
            most: (all / PARTS).max(LEAST),
            held: Mutex::default(),
        })
    }

    /// Counts one more, unless the address has its share. Programs of this very machine share nothing: an
    /// unlisted proxy speaks for everyone behind it.
    pub(crate) fn take(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Option<Place>, Full> {
        let Some(address) = address.map(|address| address.to_canonical()) else {
            return Ok(None);
        };
        if address.is_loopback() {
            return Ok(None);
        }
        let address = network_of(address);
        let mut held = self.lock();
        let count = held.entry(address).or_default();
        if *count >= self.most {
            return Err(Full);
        }
        *count = count.saturating_add(1);
        let of = Arc::clone(self);
        Ok(Some(Place { of, address }))
    }

    /// The map is whole after every step, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An address has its share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.of.lock();
        if let Some(count) = held.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                held.remove(&self.address);
            }
        }
    }
}

/// Returns what one party is likely to have: an address, or of IPv6 a network of 64 bits, which is what a
/// single machine is given.
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    #[test]
    fn an_address_has_a_part_and_no_more() {
        let shares = Shares::of(40);
        let mut held: Vec<_> = (0..10)
            .map(|_| shares.take(address("192.0.2.1")).expect("its part"))
            .collect();
        assert_eq!(shares.take(address("192.0.2.1")).err(), Some(Full));
        assert_eq!(shares.take(address("::ffff:192.0.2.1")).err(), Some(Full));
        assert!(shares.take(address("192.0.2.2")).is_ok());
        held.pop();
        assert!(shares.take(address("192.0.2.1")).is_ok());
        held.clear();
        assert!(shares.lock().is_empty());
    }

    #[test]
    fn addresses_of_one_network_are_one() {
        let shares = Shares::of(0);
        let held: Vec<_> = (0..LEAST)
            .map(|host| shares.take(address(&format!("2001:db8::{host}"))))
            .collect();
        assert!(held.iter().all(Result::is_ok));
        assert!(shares.take(address("2001:db8::ffff:1")).is_err());
        assert!(shares.take(address("2001:db8:0:1::1")).is_ok());
    }

    #[test]
    fn this_machine_shares_nothing() {
        let shares = Shares::of(0);
        let held: Vec<_> = (0..100)
            .map(|_| shares.take(address("127.0.0.1")))
            .collect();
        assert!(held.iter().all(Result::is_ok));
        assert!(shares.take(None).is_ok());
    }
}
