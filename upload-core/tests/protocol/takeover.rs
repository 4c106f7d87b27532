//! RESUME-4: one holder takes an upload over from another.

use upload_core::{DisconnectReason, Notice, Output, StoreEvent};
use upload_proto::{Code, Status};

use crate::{
    resume::{finish, half_way},
    rig::{Mood, Rig, up},
};

/// RESUME-4: the same client takes over at once, and the old connection can
/// change nothing any more.
#[test]
fn the_same_client_takes_over() {
    let mut old = half_way("keep");
    let mut new = old.next_connection(2, |_| {});
    new.resume(1, Some("tab"));
    assert!(new.sent().is_empty());
    let Some(Output::Neighbour(entry, Notice::Evict(upload))) = new.unanswered.pop_front() else {
        panic!("the old connection is asked first");
    };
    assert_eq!(upload, up(1));
    old.evict(1);
    let snapshot = old.snapshot();
    assert_eq!(
        (snapshot.status, snapshot.code),
        (Status::Error, Some(Code::Superseded))
    );
    new.store(entry, StoreEvent::Evicted);
    assert_eq!(new.sent(), ["1:resumed 4@1"]);
    old.told();
    old.chunk(1, 1, "XXXX");
    assert!(old.told().is_empty());
    assert_eq!(new.room.borrow().record(1).expect("a record").epoch, 2);
    finish(&mut new);
}

/// RESUME-4: a second tab does not take over; without an id, the lease decides.
#[test]
fn another_client_is_locked_out() {
    let old = half_way("keep");
    let mut new = old.next_connection(2, |_| {});
    for client_id in [Some("other"), None] {
        assert_eq!(new.resume(1, client_id).sent(), ["1:locked 0@0"]);
    }
    drop(old);
    new.room.borrow_mut().clock_ms += 30_000;
    new.resume(1, Some("other"));
    let Some(Output::Neighbour(entry, Notice::Evict(_))) = new.unanswered.pop_front() else {
        panic!("the holder in this process is asked");
    };
    new.store(entry, StoreEvent::Evicted);
    assert_eq!(new.sent(), ["1:resumed 4@1"]);
}

/// RESUME-4: a holder that renews its lease in time keeps it.
#[test]
fn the_lease_is_renewed() {
    let mut rig = Rig::new();
    rig.register(1, "keep", 100);
    for index in 0..10 {
        rig.pass(12_000).chunk(1, index, "abcd");
        let record = rig.room.borrow().record(1).expect("a record");
        let lease = record.lease.expect("a holder");
        let now = rig.now().unix_ms;
        assert!(lease.expires_unix_ms > now + 15_000);
    }
}

/// RESUME-4: an old holder whose record was taken over stops, and keeps what is
/// the new holder's.
#[test]
fn an_old_holder_stops() {
    let mut rig = half_way("keep");
    rig.room.borrow_mut().rewrite(1, |record| {
        record.epoch = 2;
        record.lease.as_mut().expect("a holder").boot = "there".into();
    });
    rig.chunk(1, 1, "efg").pass(200);
    let sent = rig.sent();
    assert_eq!(
        sent.last().expect("an ending"),
        "1:error superseded detached 7@2"
    );
    assert_eq!(rig.told(), ["write efg", "release"]);
    let record = rig.room.borrow().record(1).expect("the new holder's");
    assert_eq!((record.epoch, record.offset), (2, 4));
    rig.cancel(1).pass(100_000);
    assert!(
        rig.room.borrow().record(1).is_some(),
        "it can change nothing any more"
    );
    assert!(rig.told().is_empty());
}

/// RESUME-4: who loses the race for a record looks again, and takes nothing
/// from who asked later, not even under the same name.
#[test]
fn a_lost_race_starts_over() {
    for client_id in [None, Some("tab")] {
        let mut rig = half_way("keep");
        rig.disconnect(DisconnectReason::Lost);
        let mut rig = rig.next_connection(2, |_| {});
        rig.room.borrow_mut().store_mood = Mood::Silent;
        rig.resume(1, client_id).answer();
        assert_eq!(rig.unanswered.len(), 1, "the record is about to be written");
        let mut winner = rig.next_connection(3, |_| {});
        winner.room.borrow_mut().store_mood = Mood::Works;
        assert_eq!(winner.resume(1, client_id).sent(), ["1:resumed 4@1"]);
        rig.answer();
        assert_eq!(rig.sent(), ["1:locked 0@0"]);
        finish(&mut winner);
    }
}

/// RESUME-3: a parked writer is given back only to the registration that it belongs to.
#[test]
fn a_parked_writer_of_another_registration_is_not_taken() {
    let mut rig = half_way("keep");
    rig.disconnect(DisconnectReason::Lost);
    let mut rig = rig.next_connection(2, |_| {});
    // The same ref, registered anew by someone else: epochs begin at 1 everywhere.
    rig.room.borrow_mut().rewrite(1, |record| {
        record.birth = "elsewhere.1.1".into();
        record.checkpoint = None;
        record.offset = 0;
        record.crc32c = Some(0);
    });
    assert_eq!(rig.resume(1, None).sent(), ["1:resumed 0@0"]);
    let room = rig.room.borrow();
    assert_eq!(room.files.len(), 2, "a new writer");
}
