//! COMPLETE-7: a cancel ends an upload, wherever it is held.

use upload_core::{DisconnectReason, Notice, Output, Query, RecordPhase, Removed, StoreEvent};
use upload_proto::Code;

use crate::{
    resume::{finish, half_way},
    rig::{Mood, Rig, up},
    waiting::waits,
};

/// COMPLETE-7: cancelling an upload that is detached removes its record and its bytes.
#[test]
fn complete_7_a_detached_upload_can_be_cancelled() {
    let mut rig = half_way("keep");
    rig.pass(60_000).sent();
    rig.told();
    assert_eq!(rig.cancel(1).sent(), ["1:cancelled cancelled 4@1"]);
    assert_eq!(rig.told(), ["reopen 4", "abort Cancelled"]);
    {
        let room = rig.room.borrow();
        assert!(room.record(1).is_none() && room.files[0].aborted);
    }
    assert_eq!(rig.cancel(1).sent(), ["1:cancelled cancelled 4@1"]);
    assert_eq!(rig.register(1, "keep", 8).sent(), ["1:registered"]);
}

/// COMPLETE-7: also over another connection, after a crash, and before its writer was opened.
#[test]
fn complete_7_a_cancel_ends_an_upload_of_an_earlier_connection() {
    for how in ["lost", "crashed", "unopened"] {
        let mut rig = match how {
            "unopened" => {
                let mut rig = Rig::new();
                rig.register(1, "keep", 8).chunk(1, 0, "ab");
                rig
            }
            _ => half_way("keep"),
        };
        let mut rig = match how {
            "crashed" => rig.after_crash(),
            _ => {
                rig.disconnect(DisconnectReason::Lost);
                rig.next_connection(2, |_| {})
            }
        };
        let sent = rig.cancel(1).sent();
        assert!(sent[0].starts_with("1:cancelled"), "{how} {sent:?}");
        // A process that died may be alive for all that is known, and would have to find out.
        let left = rig.room.borrow().record(1).map(|record| record.phase);
        let mark = (how == "crashed").then_some(RecordPhase::Ended);
        assert_eq!(left, mark, "{how}");
        assert!(rig.room.borrow().files.iter().all(|file| file.aborted));
        assert_eq!(rig.cancel(9).sent(), ["error unknown_ref 9"]);
    }
}

/// COMPLETE-7: and one that another connection of the owner holds, whose client is another one.
#[test]
fn complete_7_a_cancel_reaches_an_upload_that_another_connection_holds() {
    let mut old = half_way("keep");
    let mut new = old.next_connection(2, |_| {});
    assert!(new.cancel(1).sent().is_empty());
    let Some(Output::Neighbour(entry, Notice::Evict(_))) = new.unanswered.pop_front() else {
        panic!("the holder is asked first");
    };
    assert_eq!(old.evict(1).sent(), ["1:error superseded detached 4@1"]);
    new.store(entry, StoreEvent::Evicted);
    assert_eq!(new.sent(), ["1:cancelled cancelled 4@1"]);
    assert!(new.room.borrow().record(1).is_none());
    assert!(new.room.borrow().files[0].aborted);
}

/// COMPLETE-7: even if that is a connection of another process, which is never asked.
#[test]
fn complete_7_a_cancel_takes_an_upload_from_another_process() {
    let old = half_way("keep");
    let mut new = old.next_connection(2, |config| config.holder.boot = "there".into());
    assert_eq!(new.cancel(1).sent(), ["1:cancelled cancelled 4@1"]);
    let record = new.room.borrow().record(1).expect("a mark");
    assert_eq!(record.phase, RecordPhase::Ended);
    assert!(new.room.borrow().files[0].aborted);
}

/// COMPLETE-7, COMPLETE-4: what is complete is complete, and a store that is down says nothing.
#[test]
fn complete_7_what_is_complete_answers_its_receipt() {
    let mut rig = half_way("keep");
    finish(&mut rig);
    rig.disconnect(DisconnectReason::Lost);
    let mut rig = rig.next_connection(2, |_| {});
    assert_eq!(rig.cancel(1).sent(), ["1:complete 8@2"]);
    assert_eq!(rig.published(), 1);
    rig.room.borrow_mut().store_mood = Mood::Fails;
    assert_eq!(rig.cancel(2).sent(), ["error storage_throttled 2"]);
}

/// COMPLETE-7, CTRL-4: a registration right behind the cancel of its ref waits for that.
#[test]
fn complete_7_a_registration_behind_a_cancel_waits() {
    for is_there in [true, false] {
        let mut rig = half_way("keep");
        rig.disconnect(DisconnectReason::Lost);
        let mut rig = rig.next_connection(2, |_| {});
        if !is_there {
            rig.room.borrow_mut().store.clear();
        }
        rig.room.borrow_mut().store_mood = Mood::Silent;
        rig.cancel(1).register(1, "file", 8);
        assert!(rig.sent().is_empty());
        while !rig.unanswered.is_empty() {
            rig.answer();
        }
        let first = match is_there {
            true => "1:cancelled cancelled 4@1",
            false => "error unknown_ref 1",
        };
        let sent = rig.sent();
        assert_eq!(sent[0], first);
        // The record is being deleted, or is gone.
        assert!(
            ["1:registered", "error ref_in_use 1"].contains(&&*sent[1]),
            "{sent:?}"
        );
        assert_eq!(sent.len(), 2);
    }
}

/// COMPLETE-7: a cancel takes the place of a resume, or of a complete, whose record is looked up.
/// What is complete and was not taken is removed, and what is not to be had is refused.
#[test]
fn complete_7_a_cancel_takes_the_place_of_a_resume() {
    let asks: [fn(&mut Rig); 2] = [
        |rig| {
            rig.resume(1, Some("tab"));
        },
        |rig| {
            rig.complete(1);
        },
    ];
    for (number, ask) in asks.into_iter().enumerate() {
        for (record, expected) in [
            ("waits", "1:cancelled cancelled 0@0"),
            ("is missing", "error unknown_ref 1"),
            ("is foreign", "error locked 1"),
        ] {
            let mut rig = Rig::with(waits);
            rig.register(1, "keep", 4).chunk(1, 0, "abcd").complete(1);
            assert_eq!(rig.sent().last().expect("an ending"), "1:complete 4@1");
            rig.disconnect(DisconnectReason::Lost);
            let mut rig = rig.next_connection(2, waits);
            {
                let mut room = rig.room.borrow_mut();
                match record {
                    "is missing" => room.store.clear(),
                    "is foreign" => {
                        let foreign = br#"{"layout":9,"what":["other","fields"]}"#;
                        room.store.insert(up(1), (foreign.to_vec(), 9));
                    }
                    _ => {}
                }
                room.store_mood = Mood::Silent;
            }
            ask(&mut rig);
            assert!(rig.cancel(1).sent().is_empty());
            rig.answer();
            if record == "waits" {
                rig.removed(Removed::Ended(Code::Cancelled));
            }
            assert_eq!(rig.sent(), [expected], "{number}: the record {record}");
            assert!(rig.unanswered.is_empty());
        }
    }
}

/// COMPLETE-7: a store that fails in between refuses nothing as if another holder had it.
#[test]
fn complete_7_a_store_that_fails_in_between_is_no_other_holder() {
    let mut rig = half_way("keep");
    rig.disconnect(DisconnectReason::Lost);
    let mut rig = rig.next_connection(2, |_| {});
    rig.room.borrow_mut().store_mood = Mood::Silent;
    rig.cancel(1).answer();
    while let Some(output) = rig.unanswered.pop_front() {
        let event = match output {
            Output::Store(entry, Query::Save(_)) => (entry, StoreEvent::Failed),
            Output::Neighbour(entry, Notice::FindParked(_)) => (entry, StoreEvent::Parked(None)),
            other => panic!("{other:?}"),
        };
        rig.store(event.0, event.1);
    }
    assert_eq!(rig.sent(), ["error storage_throttled 1"]);
}
