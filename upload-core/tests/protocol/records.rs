//! PROTOCOL 8: trouble with the store.

use serde_json::{Value, json};
use upload_core::{
    CheckpointChange, DisconnectReason, Door, Notice, Output, Query, StoreEvent, WriterEvent,
};
use upload_proto::{Code, ServerMessage};

use crate::rig::{Mood, Rig, up};

/// RESUME-9, RS-15: uploads go on without a store, and are told so once.
#[test]
fn a_store_that_is_down_from_the_start() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().store_mood = Mood::Fails;
    rig.register(1, "keep", 12);
    let messages = rig.messages();
    let ServerMessage::Registered(registered) = &messages[0] else {
        panic!("{messages:?}");
    };
    assert!(!registered.resumable);
    assert_eq!(registered.expires_in, None);
    let ServerMessage::Progress(snapshot) = &messages[1] else {
        panic!("{messages:?}");
    };
    assert_eq!(
        (snapshot.resumable, snapshot.code),
        (Some(false), Some(Code::NotResumable))
    );
    rig.chunk(1, 0, "abcd").pass(60_000 - 1);
    rig.chunk(1, 1, "efgh").sent();
    rig.chunk(1, 2, "ijkl").complete(1);
    assert_eq!(rig.sent().last().expect("an ending"), "1:complete 12@3");
}

/// RESUME-9: told once when it fails, once when it is back and the record saved.
#[test]
fn a_store_that_comes_and_goes() {
    let mut rig = Rig::new();
    rig.register(1, "keep", 100)
        .chunk(1, 0, "abcd")
        .pass(200)
        .sent();
    rig.room.borrow_mut().store_mood = Mood::Fails;
    let mut told = Vec::new();
    for index in 1..10 {
        rig.chunk(1, index, "abcd").pass(3000);
        told.extend(rig.messages().into_iter().filter_map(resumable));
    }
    assert_eq!(told, [(false, Some(Code::NotResumable))]);
    rig.room.borrow_mut().store_mood = Mood::Works;
    rig.pass(20_000);
    let told: Vec<_> = rig.messages().into_iter().filter_map(resumable).collect();
    assert_eq!(told, [(true, None)]);
    assert_eq!(rig.room.borrow().record(1).expect("a record").offset, 40);
}

pub(crate) fn resumable(message: ServerMessage) -> Option<(bool, Option<Code>)> {
    match message {
        ServerMessage::Progress(it) => it.resumable.map(|resumable| (resumable, it.code)),
        _ => None,
    }
}

/// RESUME-9: a save that took effect although it failed is found to be ours.
#[test]
fn an_answer_that_got_lost() {
    for at in ["registration", "progress"] {
        let mut rig = Rig::new();
        if at == "registration" {
            rig.room.borrow_mut().store_mood = Mood::FailsAfter;
        }
        rig.register(1, "keep", 12);
        rig.room.borrow_mut().store_mood = Mood::FailsAfter;
        rig.chunk(1, 0, "abcd").pass(150);
        rig.room.borrow_mut().store_mood = Mood::Works;
        rig.chunk(1, 1, "efgh").pass(20_000);
        assert!(
            !rig.sent().iter().any(|line| line.contains("error")),
            "{at}"
        );
        assert_eq!(
            rig.room.borrow().record(1).expect("a record").offset,
            8,
            "{at}"
        );
    }
}

/// RESUME-2, CTRL-4: a registration made without a store does not overwrite the
/// record of an earlier upload of the same ref.
#[test]
fn a_record_that_was_there_before() {
    let mut rig = Rig::new();
    rig.register(1, "keep", 8).chunk(1, 0, "abcd").pass(200);
    rig.disconnect(DisconnectReason::Lost);
    let mut rig = rig.next_connection(2, |_| {});
    rig.room.borrow_mut().store_mood = Mood::Fails;
    rig.register(1, "keep", 12).chunk(1, 0, "XXXX").sent();
    rig.room.borrow_mut().store_mood = Mood::Works;
    rig.pass(20_000);
    let last = rig.sent().pop().expect("an ending");
    assert_eq!(last, "1:error superseded detached 4@1");
    let record = rig.room.borrow().record(1).expect("a record");
    assert_eq!((record.length.max(), record.offset), (8, 4));
}

/// COMPLETE-4: without a store, and without its client, nobody publishes what
/// another holder, who could not know of it, stores anew.
#[test]
fn a_file_nobody_else_can_know_of() {
    let mut rig = Rig::new();
    let client = json!({"upload_name": "keep", "client_size": 4, "client_id": "tab"});
    rig.register_as(1, client);
    rig.room.borrow_mut().store_mood = Mood::Silent;
    rig.chunk(1, 0, "abcd").complete(1);
    let Some(Output::Store(entry, Query::Save(_))) = rig.unanswered.pop_front() else {
        panic!("a save is under way");
    };
    rig.disconnect(DisconnectReason::Lost);
    rig.room.borrow_mut().store_mood = Mood::Works;

    let mut other = rig.next_connection(2, |config| config.holder.boot = "there".into());
    assert_eq!(other.resume(1, Some("tab")).sent(), ["1:resumed 0@0"]);
    other.chunk(1, 0, "abcd").complete(1);
    assert_eq!(other.sent().last().expect("an ending"), "1:complete 4@1");

    rig.store(entry, StoreEvent::Failed);
    rig.pass(20_000);
    assert!(rig.session.is_finished());
    assert_eq!(rig.published(), 1);
    assert_eq!(rig.told(), ["open", "write abcd", "release"]);
}

/// RS-14: a record that vanished is written again.
#[test]
fn a_record_that_vanished() {
    let mut rig = Rig::new();
    rig.register(1, "keep", 12).chunk(1, 0, "abcd").pass(200);
    rig.room.borrow_mut().store.remove(&up(1));
    rig.chunk(1, 1, "efgh").pass(1000);
    assert_eq!(rig.room.borrow().record(1).expect("a record").offset, 8);
}

/// RESUME-4: but not for a client that is gone: a newer holder may have ended
/// the upload, and what is over stays over.
#[test]
fn a_record_that_vanished_behind_a_lost_connection() {
    let mut rig = Rig::new();
    rig.register(1, "keep", 12).chunk(1, 0, "abcd").pass(200);
    rig.room.borrow_mut().write_mood = Mood::Silent;
    rig.chunk(1, 1, "efgh").disconnect(DisconnectReason::Lost);
    rig.room.borrow_mut().store.remove(&up(1));
    rig.told();
    rig.answer().pass(1000);
    assert_eq!(rig.told(), ["write efgh", "release"]);
    assert!(rig.room.borrow().record(1).is_none());
    assert!(rig.session.is_finished());
}

/// RS-6, RESUME-2: what can not be read is not declared lost.
#[test]
fn a_store_that_can_not_be_read() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().store_mood = Mood::Fails;
    assert_eq!(rig.resume(1, None).sent(), ["1:locked 0@0"]);
    assert_eq!(rig.complete(1).sent(), ["error storage_throttled 1"]);
}

/// RS-16, RESUME-1: a record that would be too large switches resuming off.
#[test]
fn a_record_that_is_too_large() {
    let mut rig = Rig::new();
    rig.register(1, "keep", 12)
        .chunk(1, 0, "abcd")
        .pass(200)
        .sent();
    let entry = rig.session.entries().next().expect("it is held").id;
    let now = rig.now();
    let wrote = WriterEvent::Wrote {
        received: 4,
        durable: 4,
        buffered: 0,
        checkpoint: CheckpointChange::New(Value::from("x".repeat(20_000))),
    };
    rig.session.handle_writer(entry, wrote, now);
    rig.pass(200).text(r#"{"type":"ping"}"#);
    let told: Vec<_> = rig.messages().into_iter().filter_map(resumable).collect();
    assert_eq!(told, [(false, Some(Code::NotResumable))]);
    assert!(rig.room.borrow().record(1).is_none());
    rig.chunk(1, 1, "efgh").chunk(1, 2, "ijkl").complete(1);
    assert_eq!(rig.sent().last().expect("an ending"), "1:complete 12@3");
}

/// RESUME-2, RESUME-3: a parked upload knows a newer checkpoint than a record that
/// could not be saved.
#[test]
fn a_return_knows_the_newest_checkpoint() {
    let mut rig = Rig::new();
    let client = json!({"upload_name": "keep", "client_size": 12, "client_id": "tab"});
    rig.register_as(1, client).chunk(1, 0, "abcd").pass(200);
    rig.room.borrow_mut().store_mood = Mood::Fails;
    let entry = rig.session.entries().next().expect("it is held").id;
    let now = rig.now();
    let wrote = WriterEvent::Wrote {
        received: 4,
        durable: 4,
        buffered: 0,
        checkpoint: CheckpointChange::New("newer".into()),
    };
    rig.session.handle_writer(entry, wrote, now);
    rig.disconnect(DisconnectReason::Lost);
    let checkpoint = |rig: &Rig| rig.room.borrow().record(1).expect("a record").checkpoint;
    assert_eq!(checkpoint(&rig), Some(Value::from(0)));

    rig.room.borrow_mut().store_mood = Mood::Works;
    let mut rig = rig.next_connection(2, |_| {});
    rig.resume(1, Some("tab"));
    let Some(Output::Neighbour(entry, Notice::Evict(_))) = rig.unanswered.pop_front() else {
        panic!("the old connection is asked first");
    };
    rig.store(entry, StoreEvent::Evicted).pass(200);
    assert_eq!(rig.sent()[0], "1:resumed 4@1");
    assert_eq!(checkpoint(&rig), Some("newer".into()));
}

/// RESUME-1, RESUME-2: a writer that can tell no more where its bytes are has no
/// record that promises them, and goes on.
#[test]
fn a_checkpoint_that_is_lost() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().told_max = 4;
    rig.register(1, "keep", 12).chunk(1, 0, "abcd").pass(200);
    assert_eq!(rig.room.borrow().record(1).expect("a record").offset, 4);
    rig.sent();
    rig.chunk(1, 1, "efgh");
    let told: Vec<_> = rig.messages().into_iter().filter_map(resumable).collect();
    assert_eq!(told, [(false, Some(Code::NotResumable))]);
    assert!(rig.room.borrow().record(1).is_none());
    rig.pass(20_000);
    assert!(
        rig.room.borrow().record(1).is_none(),
        "none is written anew"
    );
    rig.chunk(1, 2, "ijkl").complete(1);
    assert_eq!(rig.sent().last().expect("an ending"), "1:complete 12@3");
}

/// RESUME-2: a save that is under way meanwhile is the last one.
#[test]
fn a_checkpoint_that_is_lost_during_a_save() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().told_max = 8;
    rig.register(1, "keep", 16).chunk(1, 0, "abcd").pass(200);
    rig.room.borrow_mut().store_mood = Mood::Silent;
    rig.chunk(1, 1, "efgh").pass(200).sent();
    rig.chunk(1, 2, "ijkl").pass(200);
    for message in rig.messages() {
        if let ServerMessage::Progress(it) = message {
            assert_eq!(it.bytes_durable, 4, "what the record says");
        }
    }
    assert_eq!(rig.unanswered.len(), 1);
    rig.answer();
    assert!(matches!(
        rig.unanswered[0],
        Output::Store(_, Query::Delete { .. })
    ));
    rig.answer();
    assert!(rig.room.borrow().record(1).is_none() && rig.unanswered.is_empty());
    let told: Vec<_> = rig.messages().into_iter().filter_map(resumable).collect();
    assert_eq!(told, [(false, Some(Code::NotResumable))]);
}

/// RESUME-1: without its client nobody could go on with it, so it is undone.
#[test]
fn a_checkpoint_that_is_lost_behind_a_lost_connection() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().told_max = 4;
    rig.register(1, "keep", 12).chunk(1, 0, "abcd").pass(200);
    rig.room.borrow_mut().write_mood = Mood::Silent;
    rig.chunk(1, 1, "efgh").disconnect(DisconnectReason::Lost);
    rig.told();
    rig.answer();
    assert_eq!(rig.told(), ["write efgh", "abort SessionClosed"]);
    assert!(rig.room.borrow().record(1).is_none());
    assert!(rig.session.is_finished());
}

/// RESUME-1, RESUME-8: a store that does not delete the record is asked once more
/// at the end, so that nothing is left behind.
#[test]
fn a_record_that_is_not_deleted_at_once() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().told_max = 4;
    rig.register(1, "keep", 12).chunk(1, 0, "abcd").pass(200);
    rig.room.borrow_mut().store_mood = Mood::Fails;
    rig.chunk(1, 1, "efgh").sent();
    rig.room.borrow_mut().store_mood = Mood::Works;
    assert!(rig.room.borrow().record(1).is_some());
    rig.told();
    rig.cancel(1);
    assert_eq!(rig.told(), ["abort Cancelled"]);
    assert!(rig.room.borrow().record(1).is_none());
}

/// RESUME-1, COMPLETE-4: nor is one left behind a file that is stored, which it knows nothing of.
#[test]
fn a_record_that_is_not_deleted_before_the_end() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().told_max = 4;
    rig.register(1, "keep", 12).chunk(1, 0, "abcd").pass(200);
    rig.room.borrow_mut().store_mood = Mood::Fails;
    rig.chunk(1, 1, "efgh");
    rig.room.borrow_mut().store_mood = Mood::Works;
    assert!(rig.room.borrow().record(1).is_some());
    rig.chunk(1, 2, "ijkl").complete(1);
    assert_eq!(rig.sent().last().expect("an ending"), "1:complete 12@3");
    assert!(rig.room.borrow().record(1).is_none());
    assert!(rig.room.borrow().files[0].published);
}

/// RESUME-1: from the start, with metadata that fills it.
#[test]
fn a_registration_that_is_too_large() {
    let mut rig = Rig::wide();
    let long = "\u{1}".repeat(2700);
    rig.register_as(1, json!({"upload_name": "keep", "client_name": long}));
    assert!(rig.room.borrow().record(1).is_none());
    rig.sent();
    rig.chunk(1, 0, "abcdefgh").complete(1);
    assert_eq!(rig.sent().last().expect("an ending"), "1:complete 8@1");
}

/// RESUME-1: what lost its record can not outlive its connection.
#[test]
fn without_a_record_a_lost_connection_aborts() {
    let mut rig = Rig::new();
    let long = "\u{1}".repeat(2700);
    rig.register_as(1, json!({"upload_name": "keep", "client_name": long}));
    rig.chunk(1, 0, "abcd");
    rig.told();
    rig.disconnect(DisconnectReason::Lost);
    assert_eq!(rig.told(), ["abort SessionClosed"]);
    assert!(rig.session.is_finished());
}

/// RESUME-9: an upload that finishes while the store is down is complete.
#[test]
fn completion_does_not_wait_for_a_store_that_is_down() {
    let mut rig = Rig::wide();
    rig.register(1, "keep", 8)
        .chunk(1, 0, "abcdefgh")
        .pass(200)
        .sent();
    rig.room.borrow_mut().store_mood = Mood::Fails;
    rig.complete(1);
    assert_eq!(rig.sent().last().expect("an ending"), "1:complete 8@1");
    assert_eq!(rig.published(), 1);
}

/// A gone connection asks for no wake-up that does nothing.
#[test]
fn a_gone_connection_sleeps() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().write_mood = Mood::Silent;
    rig.register(1, "file", 4)
        .chunk(1, 0, "abcd")
        .complete(1)
        .sent();
    rig.disconnect(DisconnectReason::Lost).pass(60_000);
    rig.answer();
    assert!(rig.session.is_finished());
}

/// RESUME-9: a slow pace of saves is no reason to spin while the store is down.
#[test]
fn a_store_that_is_down_is_asked_in_good_time() {
    let mut rig = Rig::with(|config| {
        config.limits.save_interval = std::time::Duration::from_secs(5);
    });
    rig.register(1, "keep", 100).chunk(1, 0, "abcd").pass(5000);
    rig.room.borrow_mut().store_mood = Mood::Fails;
    rig.chunk(1, 1, "efgh").pass(30_000);
    rig.room.borrow_mut().store_mood = Mood::Works;
    rig.pass(20_000);
    assert_eq!(rig.room.borrow().record(1).expect("a record").offset, 8);
}
