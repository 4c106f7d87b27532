//! PROTOCOL 8: what a session that lost an upload can not do to it any more.

use std::time::Duration;

use serde_json::json;
use upload_core::{
    DisconnectReason, Door, Notice, Output, Query, RecordPhase, StorageFault, StoreEvent,
};
use upload_proto::{Code, Retry, Status};

use crate::rig::{Mood, Rig, up};

fn half_way() -> Rig {
    let mut rig = Rig::new();
    rig.register_as(1, json!({"upload_name": "keep", "client_id": "tab"}));
    rig.chunk(1, 0, "abcd").pass(200).sent();
    rig.told();
    rig
}

/// Another process has the upload, and nobody told this one.
fn is_taken(rig: &mut Rig) {
    rig.room.borrow_mut().rewrite(1, |record| {
        record.epoch = 2;
        record.lease.as_mut().expect("a holder").boot = "there".into();
    });
}

/// RESUME-4: whatever ends an upload on a connection that lost it, the bytes and
/// the record are the new holder's.
#[test]
fn an_old_holder_undoes_nothing() {
    let endings: [fn(&mut Rig); 4] = [
        |rig| {
            rig.cancel(1);
        },
        |rig| {
            let now = rig.now();
            rig.session.cancel(up(1), now);
            rig.text(r#"{"type":"ping"}"#);
        },
        |rig| {
            rig.chunk(1, 1, "efgh").chunk(1, 2, "i");
        },
        |rig| {
            rig.disconnect(DisconnectReason::Left);
        },
    ];
    for end in endings {
        let mut rig = half_way();
        is_taken(&mut rig);
        end(&mut rig);
        assert_eq!(rig.told().pop().expect("an end"), "release");
        let room = rig.room.borrow();
        assert!(!room.files[0].aborted);
        assert_eq!(room.record(1).expect("the new holder's").epoch, 2);
    }
}

/// RESUME-4: also where the writer failed, or an application's word came late.
#[test]
fn an_old_holder_whose_writer_fails_undoes_nothing() {
    let mut rig = half_way();
    is_taken(&mut rig);
    rig.room.borrow_mut().write_mood = Mood::Fails;
    rig.chunk(1, 1, "efgh");
    assert_eq!(rig.sent().pop().expect("it"), "1:error storage_failed 8@2");
    assert_eq!(rig.told(), ["write efgh", "release"]);
}

/// The writer is aborted once the record is gone, and writes nothing meanwhile.
#[test]
fn a_holder_undoes_what_is_its_own() {
    let mut rig = half_way();
    rig.room.borrow_mut().store_mood = Mood::Silent;
    assert_eq!(rig.cancel(1).sent(), ["1:cancelled cancelled 4@1"]);
    assert!(rig.told().is_empty(), "the store did not answer yet");
    assert!(matches!(
        rig.unanswered[0],
        Output::Store(_, Query::Delete { .. })
    ));
    rig.disconnect(DisconnectReason::Lost);
    assert!(!rig.session.is_finished());
    rig.answer();
    assert_eq!(rig.told(), ["abort Cancelled"]);
    assert!(rig.session.is_finished());
    assert!(rig.room.borrow().record(1).is_none());
}

/// A save whose answer was lost is no other holder.
#[test]
fn a_lost_answer_is_looked_into() {
    let mut rig = half_way();
    rig.room.borrow_mut().store_mood = Mood::FailsAfter;
    rig.chunk(1, 1, "ef").pass(150);
    rig.room.borrow_mut().store_mood = Mood::Works;
    rig.cancel(1).sent();
    assert_eq!(rig.told(), ["write ef", "abort Cancelled"]);
    assert!(rig.room.borrow().record(1).is_none());
    assert!(rig.unanswered.is_empty());
}

/// RESUME-8: what nobody can be sure of is left to the reaper.
#[test]
fn a_store_that_is_down_leaves_the_bytes() {
    let mut rig = half_way();
    rig.room.borrow_mut().store_mood = Mood::Fails;
    rig.cancel(1).sent();
    assert_eq!(rig.told(), ["release"]);
    rig.disconnect(DisconnectReason::Lost);
    assert!(rig.session.is_finished());
    assert!(!rig.room.borrow().files[0].aborted);
}

/// A record that vanished may have been ended by a newer holder, or be kept by
/// one that needs none.
#[test]
fn a_record_that_vanished_leaves_the_bytes() {
    let mut rig = half_way();
    rig.room.borrow_mut().store.remove(&up(1));
    rig.cancel(1).sent();
    assert_eq!(rig.told(), ["release"]);
}

/// COMPLETE-6, RESUME-4: who lost an upload without knowing it may write its record anew, after a newer holder
/// deleted it. Others between the two take no later record for their own.
#[test]
fn holders_behind_a_record_written_anew_are_told_apart() {
    let mut first = half_way();
    let mut second = first.next_connection(2, |config| config.holder.boot = "there".into());
    assert_eq!(second.resume(1, Some("tab")).sent(), ["1:resumed 4@1"]);
    first.room.borrow_mut().store.remove(&up(1));
    first.chunk(1, 1, "ef").pass(1_000).sent();
    let mut third = first.next_connection(3, |config| config.holder.boot = "beyond".into());
    assert_eq!(third.resume(1, Some("tab")).sent(), ["1:resumed 6@1"]);
    third.chunk(1, 1, "gh").complete(1);
    assert_eq!(third.sent().pop().expect("it"), "1:complete 8@2");
    second.pass(30_000);
    let last = second.sent().pop().expect("an ending");
    assert_eq!(last, "1:error superseded detached 4@1");
    let record = third.room.borrow().record(1).expect("a receipt");
    assert_eq!(record.phase, RecordPhase::Complete);
}

/// COMPLETE-7, RESUME-2: a holder in another process finds out that its upload was cancelled, and tells of no byte
/// that was removed.
#[test]
fn complete_7_an_old_holder_finds_the_mark_of_a_cancel() {
    let mut old = half_way();
    let mut new = old.next_connection(2, |config| config.holder.boot = "there".into());
    assert_eq!(new.cancel(1).sent(), ["1:cancelled cancelled 4@1"]);
    assert_eq!(new.told(), ["reopen 4", "abort Cancelled"]);
    let kept_for = new.room.borrow().ttls.last().copied();
    assert_eq!(kept_for, Some(Duration::from_secs(30)));
    old.chunk(1, 1, "efgh").pass(1_000);
    let last = old.snapshot();
    assert_eq!(
        (last.status, last.code, last.bytes_durable),
        (Status::Error, Some(Code::Superseded), 4)
    );
    assert_eq!(old.told(), ["write efgh", "release"]);
    let record = new.room.borrow().record(1).expect("a mark");
    assert_eq!(record.code(), Some(Code::Cancelled));
    let mut later = new.next_connection(3, |config| config.holder.boot = "there".into());
    let sent = later.resume(1, Some("tab")).sent();
    assert_eq!(sent, ["1:cancelled cancelled 0@0"]);
}

/// COMPLETE-4: who has every byte goes to the end, but not without its client once another holder may have stored the
/// file and removed the record.
#[test]
fn a_file_is_not_stored_behind_a_record_that_vanished() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().open_mood = Mood::Silent;
    rig.register_as(1, json!({"upload_name": "keep", "client_id": "tab"}));
    rig.chunk(1, 0, "abcd").chunk(1, 1, "efgh").complete(1);
    rig.disconnect(DisconnectReason::Lost);
    rig.told();
    rig.room.borrow_mut().store.remove(&up(1));
    rig.room.borrow_mut().open_mood = Mood::Works;
    rig.answer().pass(1_000);
    assert_eq!(rig.told().last().expect("an end"), "release");
    assert_eq!(rig.published(), 0);
    assert!(rig.room.borrow().record(1).is_none());
}

/// RS-14: a record that vanished holds up no client that is connected.
#[test]
fn a_file_is_stored_for_a_client_that_is_connected() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().open_mood = Mood::Silent;
    rig.register_as(1, json!({"upload_name": "keep", "client_id": "tab"}));
    rig.chunk(1, 0, "abcd").chunk(1, 1, "efgh").complete(1);
    rig.room.borrow_mut().store.remove(&up(1));
    rig.room.borrow_mut().open_mood = Mood::Works;
    rig.answer().pass(1_000);
    assert_eq!(rig.sent().pop().expect("it"), "1:complete 8@2");
    assert_eq!(rig.published(), 1);
}

/// Where no record ever told of the writer, nobody else can have it: its space is
/// freed at once, also while the store is down.
#[test]
fn what_nobody_knows_of_is_undone_at_once() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().store_mood = Mood::Fails;
    rig.room.borrow_mut().checkpoints = false;
    rig.register(1, "keep", 8).chunk(1, 0, "abcd").cancel(1);
    assert_eq!(rig.told().pop().expect("it"), "abort Cancelled");
}

/// RESUME-8, RESUME-2: storage that can not be reached when an upload is to go on
/// costs nothing that was acknowledged.
#[test]
fn trouble_with_reopening_keeps_the_record() {
    for fault in [
        StorageFault::Failed,
        StorageFault::Denied,
        StorageFault::Full,
        StorageFault::Throttled,
    ] {
        let mut rig = half_way().after_crash();
        rig.room.borrow_mut().clock_ms += 30_000;
        rig.room.borrow_mut().open_mood = Mood::Fails;
        rig.room.borrow_mut().fault = fault;
        let snapshot = rig.resume(1, Some("tab")).snapshot();
        assert_eq!(snapshot.status, Status::Uploading);
        assert_eq!(
            (snapshot.code, snapshot.detached, snapshot.retry),
            (Some(fault.code()), Some(true), Some(Retry::Later))
        );
        assert_eq!(snapshot.retry_after_ms, Some(5000));
        assert_eq!(rig.told(), ["reopen 4", "release"]);
        let record = rig.room.borrow().record(1).expect("it is kept");
        assert_eq!((record.offset, record.lease), (4, None));
        rig.room.borrow_mut().open_mood = Mood::Works;
        assert_eq!(rig.resume(1, Some("tab")).sent(), ["1:resumed 4@1"]);
        rig.chunk(1, 1, "efgh").complete(1);
        assert_eq!(rig.sent().pop().expect("it"), "1:complete 8@2");
        assert_eq!(rig.kept(), "abcdefgh");
    }
}

/// RESUME-3: only what is proven to be gone begins anew.
#[test]
fn what_is_gone_is_not_found() {
    let mut rig = half_way().after_crash();
    rig.room.borrow_mut().clock_ms += 30_000;
    rig.room.borrow_mut().files[0].aborted = true;
    assert_eq!(rig.resume(1, Some("tab")).sent(), ["1:not found 0@0"]);
    assert!(rig.room.borrow().record(1).is_none());
}

/// RESUME-4: a request that was on its way when the client opened a newer
/// connection takes nothing from it.
#[test]
fn a_late_resume_takes_nothing() {
    let mut old = half_way();
    let mut new = old.next_connection(2, |_| {});
    new.resume(1, Some("tab"));
    let Some(Output::Neighbour(entry, Notice::Evict(_))) = new.unanswered.pop_front() else {
        panic!("the old connection is asked first");
    };
    old.evict(1).sent();
    new.store(entry, StoreEvent::Evicted).sent();
    assert_eq!(old.resume(1, Some("tab")).sent(), ["1:locked 0@0"]);
    assert!(old.unanswered.is_empty(), "nobody is asked to give way");
    new.chunk(1, 1, "efgh").complete(1);
    assert_eq!(new.sent().pop().expect("it"), "1:complete 8@2");
}

/// CONN-3: what was received before is no progress.
#[test]
fn replays_do_not_keep_an_upload() {
    let mut rig = half_way();
    for _ in 0..5 {
        rig.pass(11_900).chunk(1, 0, "abcd").chunk(1, 1, "");
    }
    rig.sent();
    rig.pass(1_000);
    assert_eq!(rig.snapshot().code, Some(Code::IdleTimeout));
}

/// RESUME-4: an upload that was registered again at the same moment, on the same
/// connection, is another one: what is left to do about the first leaves it alone.
#[test]
fn a_ref_that_is_used_again_is_another_upload() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().store_mood = Mood::Silent;
    rig.register(1, "keep", 8).cancel(1).sent();
    let Some(Output::Store(entry, Query::Save(_))) = rig.unanswered.pop_front() else {
        panic!("a save is under way");
    };
    rig.room.borrow_mut().store_mood = Mood::Works;
    assert_eq!(rig.register(1, "keep", 8).sent(), ["1:registered"]);
    rig.store(entry, StoreEvent::Failed);
    assert!(rig.room.borrow().record(1).is_some());
    rig.chunk(1, 0, "abcd").chunk(1, 1, "efgh").complete(1);
    assert_eq!(rig.sent().pop().expect("it"), "1:complete 8@2");
}

/// RESUME-4: a store that lost its records may let two holders have one epoch; the
/// lease tells them apart.
#[test]
fn another_holder_of_the_same_epoch_is_another() {
    let mut rig = half_way();
    rig.room.borrow_mut().rewrite(1, |record| {
        record.lease.as_mut().expect("a holder").boot = "there".into();
    });
    rig.chunk(1, 1, "ef").pass(200);
    assert_eq!(
        rig.sent().pop().expect("it"),
        "1:error superseded detached 6@2"
    );
    assert_eq!(rig.told(), ["write ef", "release"]);
}

/// RESUME-7, COMPLETE-6: what ends while it is being taken over is reopened first,
/// since nothing else could remove its bytes.
#[test]
fn an_ending_waits_for_a_claim() {
    type End = fn(&mut Rig);
    let endings: [(End, &str); 3] = [
        (
            |rig| {
                rig.cancel(1);
            },
            "abort Cancelled",
        ),
        (
            |rig| {
                let now = rig.now();
                assert!(rig.session.cancel(up(1), now));
            },
            "abort Cancelled",
        ),
        (
            |rig| {
                rig.disconnect(DisconnectReason::Left);
            },
            "abort SessionClosed",
        ),
    ];
    for (end, abort) in endings {
        let mut rig = claiming();
        end(&mut rig);
        assert!(rig.told().is_empty() && rig.sent().is_empty());
        rig.answer();
        let told = rig.sent();
        if abort == "abort Cancelled" {
            assert_eq!(told, ["1:cancelled cancelled 4@1"]);
        }
        rig.answer();
        assert_eq!(rig.told(), ["reopen 4", abort]);
        let room = rig.room.borrow();
        assert!(room.files[0].aborted && room.record(1).is_none());
        assert_eq!(rig.session.entries().count(), 0);
    }
}

/// RESUME-4: but what another holder was faster to take over is that holder's.
#[test]
fn an_ending_falls_with_its_claim() {
    let mut rig = claiming();
    rig.cancel(1);
    is_taken(&mut rig);
    rig.room.borrow_mut().store_mood = Mood::Works;
    rig.answer();
    assert_eq!(rig.sent(), ["error locked 1"], "COMPLETE-7");
    assert!(rig.told().is_empty() && rig.unanswered.is_empty());
    let room = rig.room.borrow();
    assert!(!room.files[0].aborted);
    assert_eq!(room.record(1).expect("the new holder's").epoch, 2);
}

/// A resume after the death of the process whose claim is under way.
fn claiming() -> Rig {
    let mut rig = half_way().after_crash();
    rig.room.borrow_mut().clock_ms += 30_000;
    rig.room.borrow_mut().store_mood = Mood::Silent;
    rig.resume(1, Some("tab"));
    rig.answer();
    assert!(matches!(
        rig.unanswered[0],
        Output::Store(_, Query::Save(_))
    ));
    rig
}
