//! Finished uploads that wait: what a session does with their records (CTRL-3, CTRL-4, CTRL-6, COMPLETE-7).

use std::sync::Arc;

use serde_json::{Value, json};
use upload_core::{
    CallOutcome, DisconnectReason, Door, Output, PassedOver, Question, Record, RecordPhase,
    Removed, SessionConfig,
};
use upload_proto::{Code, UploadRef};

use crate::rig::{Mood, Rig, up};

/// Slots whose uploads wait, resumable (`keep`) and not (`file`, `one`).
pub(crate) fn waits(config: &mut SessionConfig) {
    for slot in config.slots.values_mut() {
        Arc::make_mut(slot).waits = true;
    }
}

fn record(rig: &Rig, n: u8) -> Record {
    let room = rig.room.borrow();
    let (bytes, _) = room.store.get(&up(n)).expect("a record");
    Record::decode(bytes).expect("readable")
}

fn whole(rig: &mut Rig, n: u8, slot: &str) {
    rig.register(n, slot, 4).chunk(n, 0, "abcd").complete(n);
}

/// CTRL-6: complete follows the stored record, whether the slot is resumable or not.
#[test]
fn ctrl_6_a_finished_upload_has_a_record_that_waits() {
    for slot in ["file", "keep"] {
        let mut rig = Rig::with(waits);
        whole(&mut rig, 1, slot);
        assert_eq!(
            rig.sent().last().expect("an ending"),
            "1:complete 4@1",
            "{slot}"
        );
        let record = record(&rig, 1);
        assert_eq!((record.layout, record.phase), (3, RecordPhase::Waiting));
        assert_eq!((&record.lease, &record.checkpoint), (&None, &None));
        let unclaimed = record.unclaimed.as_ref().expect("it waits");
        let waits_for = unclaimed.until_unix_ms - record.updated_unix_ms;
        assert_eq!(waits_for, 24 * 3600 * 1000);
        let entry = record.entry(up(1));
        assert!(entry.is_complete());
        assert_eq!((entry.length.known(), entry.bytes_received), (Some(4), 4));
        assert_eq!(entry.crc32c, record.file_crc32c);
    }
}

/// CTRL-6: without its record it is not complete; the client hears of the delay, and the receipt once
/// the store is back.
#[test]
fn ctrl_6_complete_waits_for_the_store() {
    for slot in ["file", "keep"] {
        let mut rig = Rig::with(waits);
        rig.register(1, slot, 4).chunk(1, 0, "abcd");
        rig.room.borrow_mut().store_mood = Mood::Fails;
        rig.complete(1).pass(5_000);
        let sent = rig.sent();
        assert!(
            sent.iter().any(|line| line.contains("storage_throttled")),
            "{slot}: {sent:?}"
        );
        assert!(
            !sent.iter().any(|line| line.contains("complete")),
            "{sent:?}"
        );
        rig.room.borrow_mut().store_mood = Mood::Works;
        rig.pass(20_000);
        assert_eq!(rig.sent().last().expect("an ending"), "1:complete 4@1");
        assert_eq!(record(&rig, 1).phase, RecordPhase::Waiting);
    }
}

/// CTRL-6: a save whose answer was lost counts, even if the file was taken meanwhile.
#[test]
fn ctrl_6_a_lost_answer_is_found_out() {
    for taken in [false, true] {
        let mut rig = Rig::with(waits);
        rig.register(1, "file", 4).chunk(1, 0, "abcd");
        rig.room.borrow_mut().store_mood = Mood::FailsAfter;
        rig.complete(1).sent();
        rig.room.borrow_mut().store_mood = Mood::Works;
        if taken {
            let mut found = record(&rig, 1);
            (found.phase, found.layout) = (RecordPhase::Taken, 3);
            let bytes = found.encode().expect("small");
            rig.room.borrow_mut().store.insert(up(1), (bytes, 99));
        }
        rig.pass(2_000);
        assert_eq!(rig.sent().last().expect("an ending"), "1:complete 4@1");
        let phase = record(&rig, 1).phase;
        let expected = if taken {
            RecordPhase::Taken
        } else {
            RecordPhase::Waiting
        };
        assert_eq!(phase, expected);
    }
}

/// CTRL-4: a completion that finds another upload's record removes its own file.
#[test]
fn ctrl_4_a_completion_never_takes_the_record_of_another() {
    let mut rig = Rig::with(waits);
    rig.register(1, "file", 4).chunk(1, 0, "abcd").sent();
    let mut other = rig.next_connection(2, waits);
    whole(&mut other, 2, "file");
    let mut theirs = record(&rig, 2);
    theirs.birth = "elsewhere.1.1".into();
    let bytes = theirs.encode().expect("small");
    rig.room
        .borrow_mut()
        .store
        .insert(up(1), (bytes.clone(), 77));
    rig.complete(1);
    assert_eq!(
        rig.sent().last().expect("an ending"),
        "1:error ref_in_use 4@1"
    );
    assert_eq!(rig.told().last().expect("an order"), "remove");
    let room = rig.room.borrow();
    assert_eq!(
        room.store.get(&up(1)),
        Some(&(bytes, 77)),
        "theirs is left alone"
    );
}

/// CTRL-3: an owner's unfinished uploads are limited by their records, its waiting ones apart.
#[test]
fn ctrl_3_records_are_what_is_limited() {
    let two = |config: &mut SessionConfig| {
        waits(config);
        config.limits.max_uploads_per_owner = 2;
        config.limits.max_waiting_per_owner = 2;
        config.tally = Arc::default();
    };
    let mut rig = Rig::with(two);
    for n in 1..=2 {
        rig.register(n, "keep", 8).chunk(n, 0, "abcd").pass(200);
    }
    rig.disconnect(DisconnectReason::Lost);
    rig.room.borrow_mut().parked.clear();
    let mut next = rig.next_connection(2, two);
    assert_eq!(
        next.register(3, "keep", 8).sent(),
        ["3:error too_many_entries 0@0"]
    );
    next.resume(1, None).sent();
    next.chunk(1, 1, "efgh").complete(1).sent();
    assert_eq!(next.register(3, "keep", 8).sent(), ["3:registered"]);
    next.cancel(3).sent();
    whole(&mut next, 4, "file");
    assert_eq!(next.sent().last().expect("an ending"), "4:complete 4@1");
    whole(&mut next, 5, "file");
    assert_eq!(
        next.sent().last().expect("an ending"),
        "5:error too_many_entries 4@1"
    );
    assert_eq!(next.told().last().expect("an order"), "remove");
    assert!(!next.room.borrow().store.contains_key(&up(5)));
}

fn offered(rig: &Rig) -> Vec<UploadRef> {
    let uploads = rig.unanswered.iter().find_map(|output| match output {
        Output::App(Question::Call { uploads, .. }) => Some(uploads.clone()),
        _ => None,
    });
    uploads.expect("a call waits")
}

/// CTRL-6: an event is offered what the page names, or what its connection has; the client learns what was not there.
#[test]
fn ctrl_6_an_event_names_its_uploads() {
    let mut rig = Rig::with(waits);
    for n in [2, 1] {
        whole(&mut rig, n, "file");
    }
    rig.sent();
    for (uploads, expected) in [
        (Value::Null, vec![up(2), up(1)]),
        (json!([]), vec![]),
        (
            json!([up(1).to_string(), up(7).to_string()]),
            vec![up(1), up(7)],
        ),
    ] {
        let event = json!({"type": "event", "event": "save", "id": 1, "uploads": uploads});
        rig.text(&event.to_string());
        assert_eq!(offered(&rig), expected);
        rig.call_back(CallOutcome::Done(Value::Null)).sent();
    }
    let nonsense = [
        json!("a"),
        json!(["a"]),
        json!([1]),
        json!({}),
        json!([UploadRef::NIL.to_string()]),
    ];
    let many = Value::from(vec![up(1).to_string(); 1025]);
    for uploads in nonsense.into_iter().chain([many]) {
        let event = json!({"type": "event", "event": "save", "uploads": uploads});
        assert_eq!(rig.text(&event.to_string()).sent(), ["error bad_message"]);
    }
    rig.text(&json!({"type": "event", "event": "save", "id": 1}).to_string());
    let Some(Output::App(Question::Call { call, .. })) = rig.unanswered.front() else {
        panic!("a call waits");
    };
    let passed_over = PassedOver {
        taken: vec![up(1)],
        unknown: vec![up(7)],
    };
    rig.session.handle_passed_over(*call, passed_over);
    rig.call_back(CallOutcome::Done(Value::Null));
    let sent = rig.messages();
    let result = sent.last().expect("a result").to_json();
    let result: Value = serde_json::from_str(&result).expect("JSON");
    assert_eq!(result["taken"], json!([up(1).to_string()]));
    assert_eq!(result["unknown"], json!([up(7).to_string()]));
}

/// COMPLETE-7: cancelling a finished upload asks the host to remove it, and frees its place.
#[test]
fn complete_7_a_finished_upload_can_be_removed() {
    for (removed, expected) in [
        (Removed::Ended(Code::Cancelled), "1:cancelled cancelled 0@0"),
        (Removed::Ended(Code::Expired), "1:error expired 0@0"),
        (Removed::Lent, "error locked 1"),
        (Removed::Taken, "1:complete 4@1"),
        (Removed::Failed, "error storage_throttled 1"),
    ] {
        let mut rig = Rig::with(waits);
        whole(&mut rig, 1, "one");
        rig.sent();
        rig.cancel(1);
        rig.removed(removed);
        assert_eq!(rig.sent(), [expected], "{removed:?}");
        let is_free = matches!(removed, Removed::Ended(_));
        let answer = rig.register(2, "one", 4).sent();
        assert_eq!(answer == ["2:registered"], is_free, "{answer:?}");
    }
}

/// COMPLETE-7, RESUME-5: what is left of a removed upload tells its owner how it ended; one that expired is
/// not found.
#[test]
fn complete_7_what_is_left_tells_the_ending() {
    for (code, complete, resume) in [
        (
            Code::Cancelled,
            "1:cancelled cancelled 0@0",
            "1:cancelled cancelled 0@0",
        ),
        (Code::Expired, "error unknown_ref 1", "1:not found"),
    ] {
        let mut rig = Rig::with(waits);
        whole(&mut rig, 1, "file");
        let mut left = record(&rig, 1);
        left.phase = RecordPhase::Ended;
        left.unclaimed.as_mut().expect("it waited").code = Some(code);
        let bytes = left.encode().expect("small");
        rig.room.borrow_mut().store.insert(up(1), (bytes, 5));
        let mut next = rig.next_connection(2, waits);
        let sent = next.complete(1).sent();
        assert_eq!(sent, [complete]);
        let mut next = rig.next_connection(3, waits);
        let sent = next.resume(1, None).sent();
        assert!(sent.iter().any(|line| line.starts_with(resume)), "{sent:?}");
    }
}
