//! PROTOCOL 4: completion, and one ending per upload.

use serde_json::json;
use upload_core::{DisconnectReason, Fact};
use upload_proto::{Retry, Status};

use crate::rig::{Mood, Rig};

/// COMPLETE-1: bytes that are missing are never called complete.
#[test]
fn incomplete_is_told_and_goes_on() {
    let mut rig = Rig::new();
    rig.register(1, "file", 8).chunk(1, 0, "abcd").sent();
    rig.complete(1);
    let snapshot = rig.snapshot();
    assert_eq!(snapshot.status, Status::Uploading);
    assert_eq!(snapshot.code.expect("a code").as_str(), "incomplete");
    assert_eq!((snapshot.bytes_received, snapshot.next_index), (4, 1));
    assert_eq!(snapshot.retry, Some(Retry::Resend));
    rig.chunk(1, 1, "efg").complete(1);
    assert_eq!(
        rig.sent().last().expect("a snapshot"),
        "1:uploading incomplete 7@2"
    );
    rig.chunk(1, 2, "h").complete(1);
    assert_eq!(rig.sent().last().expect("an ending"), "1:complete 8@2");
}

/// COMPLETE-1: a plain client would wait for ever.
#[test]
fn incomplete_ends_a_plain_upload() {
    let mut rig = Rig::with(|config| config.plain = true);
    rig.register(1, "file", 8).chunk(1, 0, "abcd").sent();
    rig.told();
    assert_eq!(rig.complete(1).sent(), ["1:error incomplete 4@1"]);
    assert_eq!(rig.told(), ["abort Cancelled"]);
}

/// COMPLETE-2: a wrong checksum ends the upload before anything is published.
#[test]
fn a_wrong_checksum_publishes_nothing() {
    let mut rig = Rig::wide();
    rig.register(1, "file", 8).chunk(1, 0, "abcdefgh").sent();
    rig.complete_with(1, Some(crc32c::crc32c(b"abcdefgX")));
    assert_eq!(rig.sent(), ["1:error checksum_mismatch 8@1"]);
    assert_eq!(
        rig.told(),
        ["open", "write abcdefgh", "abort ChecksumMismatch"]
    );
    assert_eq!(rig.published(), 0);
}

/// COMPLETE-2, COMPLETE-3: the right one passes and is told in 8 digits.
#[test]
fn a_right_checksum_completes() {
    let mut rig = Rig::wide();
    let crc = crc32c::crc32c(b"abcdefgh");
    rig.register(1, "file", 8).chunk(1, 0, "abcdefgh");
    let snapshot = rig.complete_with(1, Some(crc)).snapshot();
    assert_eq!(snapshot.status, Status::Complete);
    assert_eq!(snapshot.crc32c, Some(format!("{crc:08x}")));
    assert_eq!(snapshot.result, Some(json!({"stored": true})));
    assert_eq!((snapshot.progress, snapshot.bytes_durable), (100, 8));
}

/// COMPLETE-3: complete is told only once the writer closed and the record
/// holds the receipt.
#[test]
fn complete_waits_for_writer_and_record() {
    let mut rig = Rig::new();
    rig.register(1, "keep", 4).chunk(1, 0, "abcd");
    rig.room.borrow_mut().close_mood = Mood::Silent;
    rig.complete(1).sent();
    assert_eq!(rig.unanswered.len(), 1, "close runs");
    rig.complete(1).pass(50);
    assert!(!rig.sent().iter().any(|line| line.contains("complete")));
    rig.room.borrow_mut().store_mood = Mood::Silent;
    rig.answer();
    assert!(!rig.sent().iter().any(|line| line.contains("complete")));
    rig.room.borrow_mut().store_mood = Mood::Works;
    rig.answer();
    assert_eq!(rig.sent(), ["1:complete 4@1"]);
    let record = rig.room.borrow().record(1).expect("a receipt");
    assert_eq!(record.result, json!({"stored": true}));
    assert_eq!(record.lease, None);
}

/// COMPLETE-3: the record says that the end is near before the writer closes.
#[test]
fn close_waits_for_the_record() {
    let mut rig = Rig::new();
    rig.register(1, "keep", 4).chunk(1, 0, "abcd").pass(200);
    rig.told();
    rig.room.borrow_mut().store_mood = Mood::Silent;
    rig.complete(1);
    assert!(rig.told().is_empty());
    rig.room.borrow_mut().store_mood = Mood::Works;
    rig.answer();
    assert_eq!(rig.told(), ["close"]);
}

/// COMPLETE-3: nor does it close before the writer took every byte.
#[test]
fn close_waits_for_the_last_byte() {
    let mut rig = Rig::new();
    rig.register(1, "file", 8).chunk(1, 0, "abcd");
    rig.room.borrow_mut().write_mood = Mood::Silent;
    rig.chunk(1, 1, "efgh").complete(1);
    assert_eq!(rig.told(), ["open", "write abcd"]);
    rig.answer();
    assert_eq!(rig.told(), ["write efgh", "close"]);
}

/// COMPLETE-4: completing again answers the same receipt, on this connection
/// and on a later one; there is one file.
#[test]
fn the_receipt_is_repeated() {
    let mut rig = Rig::new();
    rig.register(1, "keep", 4).chunk(1, 0, "abcd");
    let first = rig.complete(1).snapshot();
    let again = rig.complete(1).snapshot();
    assert_eq!(first, again);
    rig.disconnect(DisconnectReason::Lost);
    let mut later = rig.next_connection(2, |_| {});
    let later = later.complete(1).snapshot();
    assert_eq!(later.result, first.result);
    assert_eq!(later.crc32c, first.crc32c);
    assert_eq!(later.status, Status::Complete);
    assert_eq!((later.bytes_durable, later.next_index), (4, 1));
    let mut restarted = rig.after_crash();
    assert_eq!(restarted.complete(1).sent(), ["1:complete 4@1"]);
    assert_eq!(restarted.published(), 1);
}

/// COMPLETE-4: an upload that is not complete has no receipt.
#[test]
fn there_is_no_receipt_before_the_end() {
    let mut rig = Rig::new();
    rig.register(1, "keep", 8).chunk(1, 0, "abcd");
    let mut other = rig.next_connection(2, |_| {});
    assert_eq!(other.complete(1).sent(), ["error unknown_ref 1"]);
    assert_eq!(other.complete(9).sent(), ["error unknown_ref 9"]);
}

/// COMPLETE-5, PC-3, WL-19, MB-11: an empty file has a writer like any other.
#[test]
fn an_empty_file_is_a_file() {
    for slot in ["file", "keep"] {
        let mut rig = Rig::new();
        rig.register(1, slot, 0);
        assert!(rig.told().is_empty());
        assert_eq!(rig.complete(1).told(), ["open", "close"]);
        let snapshot = rig.snapshot();
        assert_eq!(
            (snapshot.status, snapshot.progress),
            (Status::Complete, 100)
        );
        assert_eq!(snapshot.crc32c.as_deref(), Some("00000000"));
    }
}

/// COMPLETE-5: also one that came with an empty chunk.
#[test]
fn an_empty_chunk_of_an_empty_file() {
    let mut rig = Rig::new();
    rig.register(1, "file", 0).chunk(1, 0, "").complete(1);
    assert_eq!(rig.told(), ["open", "close"]);
    assert_eq!(rig.sent().last().expect("an ending"), "1:complete 0@0");
}

/// COMPLETE-6, WL-18, FR-13, FR-14: complete and cancel after an ending answer
/// that ending; nothing else happens.
#[test]
fn an_ending_is_repeated() {
    type Act = fn(&mut Rig);
    let endings: [(&str, Act); 4] = [
        ("1:complete 4@1", |rig| {
            rig.chunk(1, 0, "abcd").complete(1);
        }),
        ("1:cancelled cancelled 4@1", |rig| {
            rig.chunk(1, 0, "abcd").cancel(1);
        }),
        ("1:error size_exceeded 4@1", |rig| {
            rig.chunk(1, 0, "abcd").chunk(1, 1, "e");
        }),
        ("1:error checksum_mismatch 4@1", |rig| {
            rig.chunk(1, 0, "abcd").complete_with(1, Some(1));
        }),
    ];
    for (ending, act) in endings {
        let mut rig = Rig::new();
        act(rig.register(1, "file", 4));
        assert_eq!(rig.sent().last().expect("an ending"), ending);
        rig.told();
        for _ in 0..3 {
            assert_eq!(rig.complete(1).sent(), [ending]);
            assert_eq!(rig.cancel(1).sent(), [ending]);
        }
        assert!(rig.told().is_empty());
        let ends = rig
            .events
            .iter()
            .filter(|event| matches!(event, Fact::Completed(_) | Fact::Ended(_)));
        assert_eq!(ends.count(), 1);
    }
}

/// COMPLETE-6: the last 64 endings are remembered, older ones are unknown.
#[test]
fn old_endings_are_forgotten() {
    let mut rig = Rig::new();
    for n in 1..=65 {
        rig.register(n, "file", 4).cancel(n);
    }
    rig.sent();
    assert_eq!(rig.cancel(1).sent(), ["error unknown_ref 1"]);
    assert_eq!(rig.complete(1).sent(), ["error unknown_ref 1"]);
    assert_eq!(rig.cancel(2).sent(), ["2:cancelled cancelled 0@0"]);
}

/// COMPLETE-6: a cancel that comes while the writer closes is answered by the
/// real ending.
#[test]
fn cancel_is_too_late_once_the_writer_closes() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().close_mood = Mood::Silent;
    rig.register(1, "file", 4)
        .chunk(1, 0, "abcd")
        .complete(1)
        .sent();
    assert!(rig.cancel(1).sent().is_empty());
    rig.answer();
    assert_eq!(rig.sent(), ["1:complete 4@1"]);
    assert!(!rig.told().iter().any(|line| line.starts_with("abort")));
}

/// COMPLETE-6: frames after a good complete change nothing.
#[test]
fn nothing_is_taken_after_complete() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().close_mood = Mood::Silent;
    rig.register(1, "file", 4)
        .chunk(1, 0, "abcd")
        .complete(1)
        .sent();
    rig.chunk(1, 1, "efgh")
        .complete_with(1, Some(1))
        .complete(1);
    assert!(rig.sent().is_empty());
    rig.answer();
    assert_eq!(rig.sent(), ["1:complete 4@1"]);
    assert_eq!(rig.kept(), "abcd");
}

/// COMPLETE-4: an answer of close that got lost is found by the next holder.
#[test]
fn a_lost_close_is_found() {
    let mut rig = Rig::wide();
    rig.room.borrow_mut().close_mood = Mood::Silent;
    rig.register(1, "keep", 8)
        .chunk(1, 0, "abcdefgh")
        .complete(1);
    rig.room.borrow_mut().files[0].published = true;
    let mut rig = rig.after_crash();
    rig.resume(1, None);
    rig.room.borrow_mut().clock_ms += 60_000;
    assert_eq!(rig.sent(), ["1:locked 0@0"], "the lease is live still");
    let messages = rig.resume(1, None).messages();
    let upload_proto::ServerMessage::Resumed(resumed) = &messages[0] else {
        panic!("{messages:?}");
    };
    let whole = format!("{:08x}", crc32c::crc32c(b"abcdefgh"));
    assert_eq!(resumed.bytes_received, 8);
    assert_eq!(
        resumed.crc32c.as_deref(),
        Some(&*whole),
        "of what was received"
    );
    let upload_proto::ServerMessage::Progress(snapshot) = &messages[1] else {
        panic!("{messages:?}");
    };
    assert_eq!(snapshot.status, Status::Complete);
    assert_eq!(snapshot.crc32c.as_deref(), Some(&*whole));
    assert_eq!(rig.published(), 1);
}

/// COMPLETE-3, WL-7: a close that fails is not complete; abort once.
#[test]
fn a_failed_close_is_an_error() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().close_mood = Mood::FailsAfter;
    rig.register(1, "file", 4).chunk(1, 0, "abcd").complete(1);
    assert_eq!(
        rig.sent().last().expect("an ending"),
        "1:error storage_failed 4@1"
    );
    let told = rig.told();
    assert_eq!(
        told.last().map(String::as_str),
        Some("abort Storage(Failed)")
    );
    assert_eq!(
        told.iter().filter(|line| line.starts_with("abort")).count(),
        1
    );
    assert_eq!(rig.published(), 0);
}

/// COMPLETE-8: a second complete while the first is being answered is answered once.
#[test]
fn complete_8_a_second_complete_is_answered_by_the_first() {
    let mut rig = Rig::new();
    rig.register(1, "keep", 4).chunk(1, 0, "abcd").complete(1);
    rig.disconnect(DisconnectReason::Lost);
    let mut later = rig.next_connection(2, |_| {});
    later.room.borrow_mut().store_mood = Mood::Silent;
    later.complete(1).complete(1);
    assert!(later.sent().is_empty());
    assert_eq!(later.answer().sent(), ["1:complete 4@1"]);
    assert!(later.unanswered.is_empty());
}

/// COMPLETE-8: so is one that comes right behind a resume.
#[test]
fn complete_8_a_complete_behind_a_resume_is_answered() {
    let mut rig = Rig::new();
    rig.register(1, "keep", 4).chunk(1, 0, "abcd").complete(1);
    rig.register(2, "keep", 8).chunk(2, 0, "abcd");
    rig.register(3, "keep", 4).chunk(3, 0, "abcd");
    rig.disconnect(DisconnectReason::Lost);
    let mut later = rig.next_connection(2, |_| {});
    later.room.borrow_mut().store_mood = Mood::Silent;
    for n in 1..=3 {
        later.resume(n, None).complete(n);
    }
    assert!(later.sent().is_empty());
    while !later.unanswered.is_empty() {
        later.answer();
    }
    assert_eq!(
        later.sent(),
        [
            "1:already complete 4@1",
            "1:complete 4@1",
            "2:resumed 4@1",
            "2:uploading incomplete 4@1",
            "3:resumed 4@1",
            "3:complete 4@1",
        ]
    );
}

/// COMPLETE-8: where look-ups are full, the client has to come back.
#[test]
fn complete_8_full_lookups_are_told_as_such() {
    let mut rig = Rig::with(|config| config.limits.pending_max = 1);
    rig.room.borrow_mut().store_mood = Mood::Silent;
    rig.complete(1).complete(2);
    assert_eq!(rig.sent(), ["error rate_limited 2"]);
}
