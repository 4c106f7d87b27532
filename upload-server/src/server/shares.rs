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

/// Some of them, which one address has; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    of: Arc<Shares>,
    address: IpAddr,
    count: usize,
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
        let mut place = self.begin(address);
        if let Some(place) = &mut place {
            place.grow(1)?;
        }
        Ok(place)
    }

    /// Begins to count for an address, from none; nothing is counted for programs of this very machine.
    pub(crate) fn begin(self: &Arc<Self>, address: Option<IpAddr>) -> Option<Place> {
        let address = address?.to_canonical();
        (!address.is_loopback()).then(|| Place {
            of: Arc::clone(self),
            address: network_of(address),
            count: 0,
        })
    }

    /// The map is whole after every step, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An address has its share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Place {
    /// Counts so many more, unless the address has its share.
    pub(crate) fn grow(&mut self, more: usize) -> Result<(), Full> {
        let mut held = self.of.lock();
        let count = held.get(&self.address).copied().unwrap_or_default();
        let count = count.saturating_add(more);
        if count > self.of.most {
            return Err(Full);
        }
        if more > 0 {
            held.insert(self.address, count);
            self.count = self.count.saturating_add(more);
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.of.lock();
        if let Some(count) = held.get_mut(&self.address) {
            *count = count.saturating_sub(self.count);
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
    fn a_place_grows_within_the_share_of_its_address() {
        let shares = Shares::of(40);
        let mut first = shares.begin(address("192.0.2.1")).expect("it is counted");
        let mut second = shares.begin(address("192.0.2.1")).expect("it is counted");
        assert_eq!((first.grow(6), second.grow(4)), (Ok(()), Ok(())));
        assert_eq!((first.grow(0), second.grow(1)), (Ok(()), Err(Full)));
        drop(first);
        assert_eq!(second.grow(6), Ok(()));
        assert_eq!(second.grow(1), Err(Full));
        drop(second);
        assert!(shares.lock().is_empty());
        assert!(shares.begin(address("127.0.0.1")).is_none());
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
