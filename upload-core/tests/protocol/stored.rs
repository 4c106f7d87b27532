//! Files that are stored and whose record cannot be written as it should (CTRL-3, CTRL-6).

use std::{rc::Rc, sync::Arc};

use upload_core::{
    DisconnectReason, Lease, Output, Query, Record, RecordPhase, SessionConfig, StoreEvent,
};

use crate::{
    resume::half_way,
    rig::{Mood, Rig, tally, up},
    waiting::waits,
};

fn whole(rig: &mut Rig, n: u8, slot: &str) {
    rig.register(n, slot, 4).chunk(n, 0, "abcd").complete(n);
}

/// Returns the entry of the oldest query that waits, if it is a save or not as asked for.
fn waiting_query(rig: &mut Rig, is_save: bool) -> upload_core::EntryId {
    match rig.unanswered.pop_front() {
        Some(Output::Store(entry, Query::Save(_))) if is_save => entry,
        Some(Output::Store(entry, Query::Read { .. })) if !is_save => entry,
        other => panic!("{other:?}"),
    }
}

/// Returns the oldest query that waits, which is a save, and the record that it has.
fn waiting_save(rig: &mut Rig) -> (upload_core::EntryId, Vec<u8>) {
    match rig.unanswered.pop_front() {
        Some(Output::Store(entry, Query::Save(save))) => (entry, save.record),
        other => panic!("{other:?}"),
    }
}

/// CTRL-3: an owner that has as many waiting as it may loses the file, and nothing else is left of it.
#[test]
fn ctrl_3_a_refused_end_leaves_nothing() {
    for slot in ["file", "keep"] {
        let tally = tally();
        let limited = |config: &mut SessionConfig| {
            waits(config);
            config.tally = Arc::clone(&tally);
            config.limits.max_waiting_per_owner = 1;
            config.limits.max_uploads_per_owner = 2;
        };
        let mut rig = Rig::with(limited);
        whole(&mut rig, 1, slot);
        for n in [2, 3, 4] {
            rig.sent();
            whole(&mut rig, n, slot);
            let sent = rig.sent();
            let last = sent.last().expect("an ending");
            assert!(last.contains("too_many_entries"), "{slot} {sent:?}");
            assert_eq!(sent[0], format!("{n}:registered"), "{slot}");
            assert_eq!(tally.count(), 0, "{slot}");
            assert!(rig.room.borrow().record(n).is_none(), "{slot}");
            assert!(!rig.room.borrow().files[usize::from(n) - 1].published);
        }
        rig.disconnect(DisconnectReason::Lost);
        assert!(rig.session.is_finished(), "{slot}");
    }
}

/// CTRL-6: a file waits for its application, and its record says so, though no checkpoint told any more where its
/// bytes were.
#[test]
fn ctrl_6_a_checkpoint_that_is_lost_costs_no_file() {
    let mut rig = Rig::with(waits);
    rig.room.borrow_mut().told_max = 4;
    rig.register(1, "keep", 12).chunk(1, 0, "abcd").pass(200);
    rig.chunk(1, 1, "efgh").pass(200);
    assert!(rig.room.borrow().record(1).is_none());
    rig.chunk(1, 2, "ijkl").complete(1);
    assert_eq!(rig.sent().last().expect("an ending"), "1:complete 12@3");
    let record = rig.room.borrow().record(1).expect("a record");
    assert_eq!(record.phase, RecordPhase::Waiting);
    assert!(rig.room.borrow().files[0].published);
}

/// COMPLETE-6: where a file does not wait, its receipt is the last word, also if the store failed and its record
/// says less.
#[test]
fn complete_6_a_cancel_behind_complete_is_answered_with_the_receipt() {
    let mut rig = Rig::with(|config| {
        let slot = config.slots.get_mut("file").expect("a slot");
        Arc::make_mut(slot).waits = true;
    });
    rig.room.borrow_mut().store_mood = Mood::FailsAfter;
    rig.register(1, "keep", 4);
    rig.room.borrow_mut().store_mood = Mood::Fails;
    rig.chunk(1, 0, "abcd").complete(1);
    assert_eq!(rig.sent().last().expect("an ending"), "1:complete 4@1");
    rig.room.borrow_mut().store_mood = Mood::Works;
    assert_eq!(rig.cancel(1).sent(), ["1:complete 4@1"]);
}

/// CTRL-6: a file is not removed while a record may name it: the answer of a save may have been lost.
#[test]
fn ctrl_6_a_file_is_not_removed_while_a_record_may_name_it() {
    let mut rig = Rig::with(waits);
    rig.register(1, "file", 4).chunk(1, 0, "abcd");
    rig.room.borrow_mut().store_mood = Mood::FailsAfter;
    rig.complete(1);
    rig.room.borrow_mut().store_mood = Mood::Fails;
    rig.disconnect(DisconnectReason::Lost).pass(20_000);
    assert!(rig.room.borrow().files[0].published);
    rig.room.borrow_mut().store_mood = Mood::Works;
    rig.pass(20_000);
    assert!(rig.session.is_finished());
    let record = rig.room.borrow().record(1).expect("a record");
    assert_eq!(record.phase, RecordPhase::Waiting);
    assert!(rig.room.borrow().files[0].published);
}

/// CTRL-6: where reading says that no record tells of it, and no client waits, it is removed.
#[test]
fn ctrl_6_what_no_record_names_is_removed() {
    let mut rig = Rig::with(waits);
    rig.register(1, "file", 4).chunk(1, 0, "abcd");
    rig.room.borrow_mut().store_mood = Mood::Silent;
    rig.complete(1).disconnect(DisconnectReason::Lost);
    for is_save in [true, true] {
        let entry = waiting_query(&mut rig, is_save);
        rig.store(entry, StoreEvent::Failed).pass(20_000);
    }
    let entry = waiting_query(&mut rig, false);
    rig.store(entry, StoreEvent::Found(None));
    assert!(rig.room.borrow().files[0].published, "a save may be late");
    rig.answer();
    assert_eq!(rig.told().last().expect("an order"), "remove");
    assert!(!rig.room.borrow().files[0].published);
    let record = rig.room.borrow().record(1).expect("a late save meets it");
    assert_eq!(record.phase, RecordPhase::Ended);
    assert!(rig.session.is_finished());
}

/// CTRL-6: a save may take effect although its answer was lost: of the file itself, or of its removal.
#[test]
fn ctrl_6_a_late_save_never_tells_of_a_file_that_is_gone() {
    for takes_effect in ["the file's", "the removal's"] {
        let mut rig = Rig::with(waits);
        rig.register(1, "file", 4).chunk(1, 0, "abcd");
        rig.room.borrow_mut().store_mood = Mood::Silent;
        rig.complete(1).disconnect(DisconnectReason::Lost);
        let (entry, _) = waiting_save(&mut rig);
        rig.store(entry, StoreEvent::Failed).pass(20_000);
        let (entry, of_the_file) = waiting_save(&mut rig);
        rig.store(entry, StoreEvent::Failed).pass(20_000);
        let entry = waiting_query(&mut rig, false);
        rig.store(entry, StoreEvent::Found(None));
        if takes_effect == "the file's" {
            rig.room.borrow_mut().store.insert(up(1), (of_the_file, 7));
        } else {
            let (entry, removal) = waiting_save(&mut rig);
            rig.room.borrow_mut().store.insert(up(1), (removal, 7));
            rig.store(entry, StoreEvent::Failed);
        }
        rig.room.borrow_mut().store_mood = Mood::Works;
        while !rig.unanswered.is_empty() {
            rig.answer();
        }
        rig.pass(60_000);
        assert!(rig.session.is_finished(), "{takes_effect}");
        let is_there = rig.room.borrow().files[0].published;
        let record = rig.room.borrow().record(1).expect("a record");
        let waits = record.phase == RecordPhase::Waiting;
        assert_eq!((is_there, waits), (takes_effect == "the file's", is_there));
    }
}

/// CTRL-6: a holder that was taken over does not say that a file is complete of which no record waits.
#[test]
fn ctrl_6_an_old_holder_completes_nothing() {
    let mut rig = Rig::with(waits);
    rig.register(1, "keep", 4).chunk(1, 0, "abcd").sent();
    rig.room.borrow_mut().close_mood = Mood::Silent;
    rig.complete(1);
    rig.room.borrow_mut().store_mood = Mood::Silent;
    rig.answer();
    rig.room.borrow_mut().rewrite(1, |record| {
        (record.phase, record.epoch) = (RecordPhase::Receiving, record.epoch + 1);
        record.lease = Some(Lease {
            boot: "there".into(),
            session: 7,
            client_id: None,
            expires_unix_ms: u64::MAX,
        });
    });
    rig.room.borrow_mut().store_mood = Mood::Works;
    rig.answer();
    let sent = rig.sent();
    assert!(
        !sent.iter().any(|line| line.contains("complete")),
        "{sent:?}"
    );
    assert!(
        sent.iter().any(|line| line.contains("superseded")),
        "{sent:?}"
    );
    assert!(rig.room.borrow().files[0].published, "it is the other's");
    let record = rig.room.borrow().record(1).expect("a record");
    assert_eq!(record.phase, RecordPhase::Receiving);
}

/// CTRL-6: who resumes a file that its last holder had stored hears what its receipt waits for.
#[test]
fn ctrl_6_a_resume_hears_of_the_delay() {
    let mut rig = Rig::with(waits);
    rig.register(1, "keep", 4).chunk(1, 0, "abcd").sent();
    rig.room.borrow_mut().close_mood = Mood::Silent;
    rig.complete(1);
    rig.room.borrow_mut().files[0].published = true;
    rig.room.borrow_mut().close_mood = Mood::Works;
    rig.room.borrow_mut().clock_ms += 30_000;
    let mut rig = rig.after_crash_with(waits);
    let room = Rc::clone(&rig.room);
    room.borrow_mut().store_mood = Mood::Silent;
    rig.resume(1, None).answer().answer();
    let entry = waiting_query(&mut rig, true);
    rig.store(entry, StoreEvent::Failed);
    let sent = rig.sent();
    assert!(
        sent.iter().any(|line| line.contains("storage_throttled")),
        "{sent:?}"
    );
    room.borrow_mut().store_mood = Mood::Works;
    rig.pass(20_000);
    assert_eq!(rig.sent().last().expect("an ending"), "1:complete 4@1");
}

/// COMPLETE-7, RESUME-8: where a writer was let go of, the record names its bytes until they are removed.
#[test]
fn complete_7_a_cancel_of_what_leaves_removes_its_bytes() {
    for ends in ["cancel", "close"] {
        let mut rig = half_way("keep");
        rig.pass(200);
        {
            let mut room = rig.room.borrow_mut();
            (room.write_mood, room.store_mood) = (Mood::Fails, Mood::Silent);
            room.fault = upload_core::StorageFault::Full;
        }
        rig.chunk(1, 1, "ef");
        match ends {
            "cancel" => rig.cancel(1),
            _ => rig.disconnect(DisconnectReason::Left),
        };
        rig.room.borrow_mut().store_mood = Mood::Works;
        while !rig.unanswered.is_empty() {
            rig.answer();
        }
        let room = rig.room.borrow();
        let (bytes, _) = room.store.get(&up(1)).expect("a record");
        let left = Record::decode(bytes).expect("readable");
        assert_eq!(left.phase, RecordPhase::Ended, "{ends}");
        assert!(left.is_to_be_removed(), "{ends}");
        let two_days = std::time::Duration::from_secs(48 * 3600);
        assert!(*room.ttls.last().expect("a save") > two_days, "{ends}");
    }
}
