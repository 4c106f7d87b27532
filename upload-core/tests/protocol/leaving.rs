//! How uploads leave a connection: it is closed or drained, or storage is short.

use std::time::Duration;

use upload_core::{DisconnectReason, StorageFault};
use upload_proto::{Code, Retry, Status};

use crate::{
    resume::{finish, half_way},
    rig::{Mood, Rig},
};

/// RESUME-3a: idleness detaches and releases the lease.
#[test]
fn idleness_detaches() {
    let mut rig = half_way("keep");
    rig.pass(60_000);
    let snapshot = rig.snapshot();
    assert_eq!(snapshot.status, Status::Uploading);
    assert_eq!(snapshot.detached, Some(true));
    assert_eq!(snapshot.code, Some(Code::IdleTimeout));
    assert_eq!(snapshot.retry, Some(Retry::Later));
    assert_eq!(rig.told(), ["park"]);
    assert_eq!(rig.room.borrow().record(1).expect("a record").lease, None);
    assert_eq!(
        rig.resume(1, None).sent(),
        ["1:resumed 4@1"],
        "the same connection"
    );
    finish(&mut rig);
}

/// RESUME-7: who closes the tab gives up, unless the slot keeps it.
#[test]
fn closing_the_tab() {
    for (slot, told, resumed) in [
        ("keep", "abort SessionClosed", "1:not found 0@0"),
        ("stay", "park", "1:resumed 4@1"),
    ] {
        let mut rig = half_way(slot);
        rig.disconnect(DisconnectReason::Left);
        assert_eq!(rig.told(), [told]);
        let mut rig = rig.next_connection(2, |_| {});
        assert_eq!(rig.resume(1, None).sent(), [resumed]);
    }
}

/// RESUME-7: also while the writer is busy and the store slow.
#[test]
fn closing_the_tab_while_all_is_slow() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().store_mood = Mood::Silent;
    rig.register(1, "keep", 8)
        .disconnect(DisconnectReason::Left);
    assert!(!rig.session.is_finished(), "a record is to be deleted");
    rig.answer();
    rig.answer();
    assert!(rig.session.is_finished());
    assert!(rig.room.borrow().record(1).is_none());
}

/// RESUME-3: a registration of which nothing came leaves no record with its connection, also while the
/// store is slow; its ref can be registered again.
#[test]
fn resume_3_a_bare_registration_goes_with_its_connection() {
    for is_slow in [false, true] {
        let mut rig = Rig::new();
        if is_slow {
            rig.room.borrow_mut().store_mood = Mood::Silent;
        }
        rig.register(1, "keep", 8);
        rig.disconnect(DisconnectReason::Lost);
        if is_slow {
            assert!(!rig.session.is_finished(), "a record is to be deleted");
            rig.answer().answer();
        }
        assert!(rig.session.is_finished() && rig.told().is_empty());
        assert!(rig.room.borrow().record(1).is_none());
        let mut rig = rig.next_connection(2, |_| {});
        rig.room.borrow_mut().store_mood = Mood::Works;
        assert_eq!(rig.resume(1, None).sent(), ["1:not found 0@0"]);
        assert_eq!(rig.register(1, "keep", 8).sent(), ["1:registered"]);
    }
}

/// RESUME-3: what came, what the client was told to come back for, and what was resumed before keeps
/// its record.
#[test]
fn resume_3_what_has_a_byte_or_a_promise_keeps_its_record() {
    let mut rig = Rig::new();
    rig.register(1, "keep", 8).chunk(1, 0, "ab");
    rig.register(2, "keep", 8).pass(60_000);
    rig.resume(3, None);
    let mut rig = {
        rig.disconnect(DisconnectReason::Lost);
        rig.next_connection(2, |_| {})
    };
    rig.sent();
    rig.resume(1, None).resume(2, None);
    assert_eq!(rig.sent(), ["1:resumed 2@0", "2:resumed 0@0"]);
    rig.disconnect(DisconnectReason::Lost);
    let mut rig = rig.next_connection(3, |_| {});
    assert_eq!(rig.resume(2, None).sent(), ["2:resumed 0@0"]);
}

/// RESUME-3: a record of which nothing is stored is kept for minutes, and as long as it is held.
#[test]
fn resume_3_a_reservation_is_short() {
    let ttls = |rig: &Rig| rig.room.borrow().ttls.clone();
    let mut rig = Rig::new();
    let limits = upload_core::SessionLimits::default();
    rig.register(1, "keep", 8);
    assert_eq!(ttls(&rig), [limits.reserved_ttl]);
    rig.pass(20_000).chunk(1, 0, "abcd").pass(1_000);
    let longest = ttls(&rig).into_iter().max();
    assert!(longest.is_some_and(|ttl| ttl > limits.record_ttl));
    let renewed = ttls(&rig)
        .iter()
        .filter(|ttl| **ttl == limits.reserved_ttl)
        .count();
    assert!(renewed > 1, "its lease is renewed");
}

/// RESUME-3: a lost connection detaches only once the writer took what came.
#[test]
fn detaching_waits_for_the_writer() {
    let mut rig = half_way("keep");
    rig.room.borrow_mut().write_mood = Mood::Silent;
    rig.chunk(1, 1, "ef").disconnect(DisconnectReason::Lost);
    assert!(rig.told().is_empty());
    assert!(!rig.session.is_finished());
    rig.answer();
    assert_eq!(rig.told(), ["write ef", "park"]);
    assert!(rig.session.is_finished());
    let mut rig = rig.next_connection(2, |_| {});
    assert_eq!(rig.resume(1, None).sent(), ["1:resumed 6@1"]);
}

/// RESUME-10: storage that is full keeps what is durable, to be resumed later.
#[test]
fn full_storage_is_waited_for() {
    for fault in [StorageFault::Full, StorageFault::Throttled] {
        let mut rig = half_way("keep");
        rig.pass(200).sent();
        rig.room.borrow_mut().write_mood = Mood::Fails;
        rig.room.borrow_mut().fault = fault;
        rig.chunk(1, 1, "ef");
        let snapshot = rig.snapshot();
        assert_eq!(snapshot.status, Status::Uploading);
        assert_eq!(snapshot.code, Some(fault_code(fault)));
        assert_eq!(
            (snapshot.detached, snapshot.retry),
            (Some(true), Some(Retry::Later))
        );
        assert_eq!(snapshot.retry_after_ms, Some(5000));
        assert_eq!(rig.told(), ["write ef", "release"]);
        rig.room.borrow_mut().write_mood = Mood::Works;
        assert_eq!(rig.resume(1, None).sent(), ["1:resumed 4@1"]);
        finish(&mut rig);
    }
}

/// RESUME-10: a plain client would wait for ever.
#[test]
fn full_storage_ends_a_plain_upload() {
    let mut rig = Rig::with(|config| config.plain = true);
    rig.register(1, "keep", 8).chunk(1, 0, "abcd").sent();
    rig.room.borrow_mut().write_mood = Mood::Fails;
    rig.room.borrow_mut().fault = StorageFault::Full;
    let snapshot = rig.chunk(1, 1, "efgh").snapshot();
    assert_eq!(
        (snapshot.status, snapshot.code),
        (Status::Error, Some(Code::StorageFull))
    );
}

/// Section 6, `draining`: what can be resumed is detached, the rest goes on, and
/// then the connection closes with 1012.
#[test]
fn draining() {
    let mut rig = half_way("keep");
    rig.register(2, "file", 4).sent();
    rig.restart(Duration::from_secs(2));
    assert_eq!(
        rig.sent(),
        ["draining 2000", "1:uploading draining detached 4@1"]
    );
    assert_eq!(rig.register(3, "file", 4).sent(), ["3:error draining 0@0"]);
    assert_eq!(rig.resume(1, None).sent(), ["error draining 1"]);
    assert_eq!(rig.closed, None);
    rig.chunk(2, 0, "abcd").complete(2);
    assert_eq!(rig.sent().last().expect("an ending"), "2:complete 4@1");
    assert_eq!(rig.closed, Some(1012));
}

fn fault_code(fault: StorageFault) -> Code {
    match fault {
        StorageFault::Full => Code::StorageFull,
        _ => Code::StorageThrottled,
    }
}

/// Section 6, `draining`: what the application allows too late begins nowhere.
#[test]
fn draining_lets_no_upload_in() {
    let mut rig = Rig::new();
    rig.register(2, "file", 4).register(1, "ask", 4).sent();
    rig.restart(Duration::from_secs(2)).sent();
    assert_eq!(rig.authorize(Ok(())).sent(), ["1:error draining 0@0"]);
    rig.cancel(2);
    assert_eq!(rig.closed, Some(1012));
}

/// Section 6, `draining`: a record that is read too late is not taken over, even if nothing else
/// keeps the connection.
#[test]
fn draining_takes_no_upload_over() {
    for is_alone in [true, false] {
        let mut rig = half_way("keep");
        rig.disconnect(DisconnectReason::Lost);
        let mut rig = rig.next_connection(2, |_| {});
        if !is_alone {
            rig.register(2, "file", 8);
        }
        rig.room.borrow_mut().store_mood = Mood::Silent;
        rig.resume(1, None).restart(Duration::from_secs(2));
        rig.answer();
        assert!(rig.told().is_empty() && rig.unanswered.is_empty());
        let record = rig.room.borrow().record(1).expect("a record");
        assert_eq!((record.epoch, record.lease), (1, None));
    }
}

/// CONN-4: after a connection was closed nothing is sent, and what it held becomes idle.
#[test]
fn a_closed_connection_says_nothing() {
    let mut rig = Rig::with(|config| config.limits.max_refused_per_minute = 1);
    rig.room.borrow_mut().write_mood = Mood::Silent;
    rig.register(1, "keep", 8).chunk(1, 0, "abcd");
    rig.binary(vec![9]).binary(vec![9]);
    assert_eq!(rig.closed, Some(4429));
    rig.sent();
    rig.answer().pass(10_000);
    assert!(rig.sent().is_empty());
    assert!(rig.session.is_finished());
    rig.disconnect(DisconnectReason::Lost);
    assert!(rig.session.is_finished());
}
