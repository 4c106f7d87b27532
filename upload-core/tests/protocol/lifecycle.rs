//! Writers and their ends: REFERENCE rows WL and the content gate.

use serde_json::json;
use upload_core::{DisconnectReason, StorageFault, Verdict};
use upload_proto::Code;

use crate::rig::{Mood, Rig};

/// WL-1, WL-14: a writer per upload, opened once its first bytes were judged.
#[test]
fn three_uploads_do_not_mix() {
    let mut rig = Rig::new();
    for n in 1..=3 {
        rig.register(n, "file", 8);
    }
    for (index, data) in [(0, ["aaaa", "bbbb", "cccc"]), (1, ["AAAA", "BBBB", "CCCC"])] {
        for (n, data) in (1..).zip(data) {
            rig.chunk(n, index, data);
        }
    }
    for n in [3, 1, 2] {
        rig.complete(n);
    }
    let room = rig.room.borrow();
    let kept: Vec<_> = room.files.iter().map(|file| &file.bytes[..]).collect();
    assert_eq!(kept, [&b"aaaaAAAA"[..], b"bbbbBBBB", b"ccccCCCC"]);
}

/// The content gate: the first bytes are held until the verdict, and a refused
/// file never meets a writer.
#[test]
fn a_refused_file_opens_no_writer() {
    for code in [Code::ContentMismatch, Code::ActiveContent, Code::Forbidden] {
        let mut rig = Rig::wide();
        rig.room.borrow_mut().verdict = None;
        rig.register(1, "file", 12).chunk(1, 0, "ab");
        assert!(rig.unanswered.is_empty(), "the head is not whole yet");
        rig.chunk(1, 1, "cdef")
            .chunk(1, 2, "ghijkl")
            .complete(1)
            .sent();
        assert!(rig.told().is_empty());
        assert_eq!(rig.unanswered.len(), 1, "one verdict is asked for");
        let expected = format!("1:error {code} 12@3");
        assert_eq!(rig.judge(Verdict::Refuse(code.into())).sent(), [expected]);
        assert!(rig.told().is_empty());
        assert!(rig.room.borrow().files.is_empty());
    }
}

/// The content gate sees exactly the head, however it was cut.
#[test]
fn the_head_does_not_depend_on_chunks() {
    for (chunks, size, head, is_whole) in [
        (&["abcdefgh"][..], 8, "abcd", false),
        (&["a", "b", "c", "d"], 8, "abcd", false),
        (&["ab", "cdefgh"], 8, "abcd", false),
        (&["abc"], 3, "abc", true),
        (&["a", "bc"], 3, "abc", true),
        (&["abcd"], 4, "abcd", true),
    ] {
        let mut rig = Rig::wide();
        rig.room.borrow_mut().verdict = None;
        rig.register(1, "file", size);
        for (index, data) in (0..).zip(chunks) {
            rig.chunk(1, index, data);
        }
        let Some(upload_core::Output::App(upload_core::Question::Inspect {
            head: seen,
            is_whole: whole,
            ..
        })) = rig.unanswered.front()
        else {
            panic!("{chunks:?} asks for no verdict");
        };
        assert_eq!(
            (&seen[..], *whole),
            (head.as_bytes(), is_whole),
            "{chunks:?}"
        );
    }
}

/// What came while the verdict and the writer were awaited is written in order.
#[test]
fn the_gate_loses_nothing() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().verdict = None;
    rig.room.borrow_mut().open_mood = Mood::Silent;
    rig.register(1, "file", 12)
        .chunk(1, 0, "abcd")
        .chunk(1, 1, "ef");
    rig.judge(Verdict::Accept).chunk(1, 2, "gh");
    rig.answer();
    rig.chunk(1, 3, "ijkl").complete(1);
    assert_eq!(
        rig.told(),
        ["open", "write abcd", "write efgh", "write ijkl", "close"]
    );
}

/// WL-5: a writer that does not open gets no bytes and is aborted once.
#[test]
fn a_writer_that_does_not_open() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().open_mood = Mood::Fails;
    rig.register(1, "file", 8).chunk(1, 0, "abcd").sent();
    assert_eq!(rig.told(), ["open", "abort Storage(Failed)"]);
    assert!(rig.chunk(1, 1, "efgh").sent().is_empty());
    assert_eq!(rig.complete(1).sent(), ["1:error storage_failed 4@1"]);
    assert!(rig.told().is_empty());
}

/// WL-6, MSG-4: a writer that fails is aborted once; the text is fixed.
#[test]
fn a_writer_that_fails() {
    for (fault, code) in [
        (StorageFault::Failed, Code::StorageFailed),
        (StorageFault::Denied, Code::StorageDenied),
        (StorageFault::Full, Code::StorageFull),
        (StorageFault::Throttled, Code::StorageThrottled),
    ] {
        let mut rig = Rig::new();
        rig.register(1, "file", 8).chunk(1, 0, "abcd");
        rig.told();
        rig.room.borrow_mut().write_mood = Mood::Fails;
        rig.room.borrow_mut().fault = fault;
        let snapshot = rig.chunk(1, 1, "efgh").snapshot();
        assert_eq!(snapshot.code, Some(code));
        assert_eq!(snapshot.error.as_deref(), Some(code.text()));
        assert_eq!(
            rig.told(),
            ["write efgh".into(), format!("abort Storage({fault:?})")]
        );
        rig.chunk(1, 2, "").cancel(1);
        assert!(rig.told().is_empty());
    }
}

/// WL-11, PC-9: cancel aborts what there is.
#[test]
fn cancel_in_every_phase() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().verdict = None;
    rig.room.borrow_mut().open_mood = Mood::Silent;
    rig.register(1, "file", 8).cancel(1);
    rig.register(2, "file", 8).chunk(2, 0, "abcd").cancel(2);
    assert!(rig.told().is_empty(), "no writer, no abort");
    rig.unanswered.clear();
    rig.register(3, "file", 8).chunk(3, 0, "abcd");
    rig.judge(Verdict::Accept).cancel(3);
    assert_eq!(rig.told(), ["abort Cancelled"]);
    rig.answer();
    rig.told();
    assert_eq!(
        rig.cancel(3).sent().last().expect("it"),
        "3:cancelled cancelled 4@1"
    );
    assert!(rig.told().is_empty(), "a late opening is nobody's");
}

/// WL-12, WL-13: the end of a connection aborts what can not be resumed, and
/// leaves alone what is complete.
#[test]
fn the_end_of_a_connection() {
    for reason in [DisconnectReason::Lost, DisconnectReason::Left] {
        let mut rig = Rig::new();
        rig.register(1, "file", 8).chunk(1, 0, "abcd");
        rig.register(2, "file", 4).chunk(2, 0, "abcd").complete(2);
        rig.register(3, "file", 4);
        rig.told();
        rig.sent();
        rig.disconnect(reason);
        assert_eq!(rig.told(), ["abort SessionClosed"]);
        assert!(rig.sent().is_empty(), "nobody is there to read");
        assert!(rig.session.is_finished());
        rig.disconnect(reason).pass(100_000);
        assert!(rig.told().is_empty());
        assert_eq!(rig.published(), 1);
    }
}

/// COMPLETE-3: what has every byte goes on to its end without its client.
#[test]
fn a_finishing_upload_outlives_its_connection() {
    for slot in ["file", "keep"] {
        let mut rig = Rig::new();
        rig.room.borrow_mut().close_mood = Mood::Silent;
        rig.register(1, slot, 4).chunk(1, 0, "abcd").complete(1);
        rig.disconnect(DisconnectReason::Left);
        assert!(!rig.session.is_finished());
        rig.pass(10_000).answer();
        assert!(rig.session.is_finished());
        assert_eq!(rig.published(), 1);
    }
}

/// WL-4: what close returns is JSON, and at most what a record can hold; a
/// larger one completes all the same, without a receipt for later connections.
#[test]
fn a_large_result_completes() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().result = json!("x".repeat(20_000));
    rig.register(1, "keep", 4).chunk(1, 0, "abcd").complete(1);
    assert_eq!(rig.sent().last().expect("an ending"), "1:complete 4@1");
    assert_eq!(rig.complete(1).sent(), ["1:complete 4@1"]);
    assert!(
        rig.room.borrow().record(1).is_none(),
        "no record that says otherwise"
    );
}

/// PC-11: after the end of a connection nothing is held.
#[test]
fn nothing_is_left_behind() {
    let tally = crate::rig::tally();
    let mut rig = Rig::with(|config| config.tally = std::sync::Arc::clone(&tally));
    for n in 1..=4 {
        rig.register(n, "file", 8).chunk(n, 0, "abcd");
    }
    assert_eq!(tally.count(), 4);
    rig.disconnect(DisconnectReason::Lost);
    assert_eq!(tally.count(), 0);
    assert_eq!(rig.session.poll_timeout(), None);
    assert!(rig.room.borrow().files.iter().all(|file| file.aborted));
}
