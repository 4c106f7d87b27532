//! What is charged to whom, and for how long.

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

/// CONN-4: an upload that comes in many requests gains nothing by each of them.
#[cfg(feature = "doors")]
#[test]
fn requests_of_one_upload_are_charged_together() {
    let rates = AllRates::new(RateLimits {
        bytes_per_connection: Some(MIB),
        ..limits()
    });
    let start = Instant::now();
    let (mut own, mut now) = (rates.of("alice", None), start);
    for _ in 0..160 {
        own = rates.of("alice", None).continuing(&own);
        now = own.bytes(64 * 1024, now).unwrap_or(now);
    }
    let took = now - start;
    assert!(took > Duration::from_secs(9), "{took:?}");
}
