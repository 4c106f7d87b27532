//! Many uploads that begin at once on one connection.

use super::*;
use crate::driver::opening_limit::OPENINGS_MAX;

/// How many writers were made, each of which is opened at once.
fn begun(gate: &Gate) -> usize {
    let calls = gate.calls();
    calls
        .iter()
        .filter(|call| **call == Recorded::Create)
        .count()
}

fn entries() -> impl Iterator<Item = EntryId> {
    (1..=100).map(EntryId)
}

/// Others' writers do not wait behind all that one connection begins, nor one slot's behind another's.
#[test]
fn a_connection_opens_so_many_writers_at_once() {
    let slow = Gate::open();
    let permits = slow.writers.hold_up_opens("u");
    let mut drivers = Drivers::default();
    for entry in entries() {
        drivers.open(entry, slow.storage(false));
        drivers.write(entry, chunk("abc"));
    }
    assert!(drive(&mut drivers).is_empty());
    assert_eq!(begun(&slow), OPENINGS_MAX);
    drivers.write(EntryId(100), chunk("d"));
    assert!(drive(&mut drivers).is_empty());
    assert_eq!(begun(&slow), OPENINGS_MAX, "it still waits");

    let other = Gate::open();
    let mut storage = other.storage(false);
    storage.label.slot = "other".into();
    drivers.open(EntryId(101), storage);
    assert_eq!(drive(&mut drivers), [OPENED]);

    permits.add_permits(3);
    assert_eq!(drive(&mut drivers).len(), 6, "three are opened and written");
    assert_eq!(begun(&slow), OPENINGS_MAX + 3);
    permits.add_permits(97);
    assert_eq!(drive(&mut drivers).len(), 194);
    assert_eq!(begun(&slow), 100, "each once");
    assert!(drivers.are_at_rest());
}

/// What is left before its turn comes makes no writer, and takes nobody's turn.
#[test]
fn who_gives_up_before_its_turn_opens_nothing() {
    let slow = Gate::open();
    let permits = slow.writers.hold_up_opens("u");
    let mut drivers = Drivers::default();
    for entry in entries() {
        drivers.open(entry, slow.storage(false));
    }
    assert!(drive(&mut drivers).is_empty());
    // One that is given a turn and has not come to use it when it is aborted is among them.
    permits.add_permits(1);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(drivers.poll(&mut cx).is_ready());
    for entry in entries().take(90) {
        drivers.abort(entry, AbortReason::Cancelled);
    }
    let rested = drive(&mut drivers);
    assert!(rested.iter().all(|report| report == "rested"));
    assert!(begun(&slow) <= OPENINGS_MAX + 1);
    permits.add_permits(100);
    drive(&mut drivers);
    let left: Vec<_> = entries().filter(|entry| drivers.has(*entry)).collect();
    assert_eq!(left, (91..=100).map(EntryId).collect::<Vec<_>>());
    assert!(begun(&slow) <= OPENINGS_MAX + 11);
    assert!(drivers.are_at_rest() && drivers.openings.is_empty());
}
