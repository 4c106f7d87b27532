//! Many uploads that begin at once on one connection.

use super::*;
use crate::driver::opening_limit::{OPENINGS_MAX, SMALL_BYTES};

/// How much there is of an upload that is large.
const LARGE: u64 = SMALL_BYTES + 1;

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

/// How often a writer was reopened at `offset`, or is being so.
fn reopened(gate: &Gate, offset: u64) -> usize {
    let calls = gate.calls();
    let at = |call: &&Recorded| **call == Recorded::Reopen(offset);
    calls.iter().filter(at).count()
}

/// Makes two uploads that are stored in part, a large and a small one, and reopens the first eight times and the
/// second once, none of which comes to its end.
fn reopen_many(gate: &Gate, drivers: &mut Drivers) -> Arc<Semaphore> {
    for (entry, bytes) in [(EntryId(1), LARGE), (EntryId(2), 4)] {
        let bytes = usize::try_from(bytes).expect("fits");
        drivers.open(entry, gate.storage(true));
        drivers.write(entry, Bytes::from(vec![7; bytes]));
        drive(drivers);
        drivers.release(entry);
        drive(drivers);
    }
    let permits = gate.writers.hold_up_opens("u");
    for number in 11..=18 {
        let checkpoint = Some(json!({ "object": 1 }));
        drivers.reopen(EntryId(number), gate.storage(true), checkpoint, LARGE);
    }
    let checkpoint = Some(json!({ "object": 2 }));
    drivers.reopen(EntryId(19), gate.storage(true), checkpoint, 4);
    assert!(drive(drivers).is_empty());
    permits
}

/// RESUME-3: storage may have to read what it has of a large upload again, so one connection asks for that once at a
/// time. Its small uploads do not wait for it.
#[test]
fn large_uploads_are_reopened_one_after_another() {
    let gate = Gate::open();
    let mut drivers = Drivers::default();
    let permits = reopen_many(&gate, &mut drivers);
    assert_eq!((reopened(&gate, LARGE), reopened(&gate, 4)), (1, 1));
    permits.add_permits(2);
    assert_eq!(drive(&mut drivers).len(), 2);
    assert_eq!(reopened(&gate, LARGE), 2);
    permits.add_permits(7);
    assert_eq!(drive(&mut drivers).len(), 7);
    assert_eq!(reopened(&gate, LARGE), 8, "each once");
    assert!(drivers.are_at_rest() && drivers.openings.is_empty());
}

/// Storage that reads nothing again is asked for many at once, however large they are.
#[test]
fn large_uploads_are_reopened_together_where_that_is_quick() {
    let mut gate = Gate::open();
    gate.writers.reopen_quickly = true;
    let mut drivers = Drivers::default();
    let permits = reopen_many(&gate, &mut drivers);
    assert_eq!((reopened(&gate, LARGE), reopened(&gate, 4)), (8, 1));
    permits.add_permits(9);
    assert_eq!(drive(&mut drivers).len(), 9);
}
