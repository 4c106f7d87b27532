//! PROTOCOL 5 and 6: registration, events, snapshots.

use std::sync::Arc;

use serde_json::json;
use upload_core::{
    CallOutcome, DisconnectReason, Event, OwnerTally, ServerTally, SessionConfig, Verdict,
};
use upload_proto::{Code, Retry, ServerMessage, Status};

use crate::rig::{Rig, tally, up};

/// CTRL-1, CTRL-2, FR-17 to FR-20, MSG-1: what is said badly is refused by one
/// message, which names the ref where there is one; the connection goes on.
#[test]
fn bad_messages_have_one_answer() {
    let a = up(0xaa);
    let nil = "00000000-0000-0000-0000-000000000000";
    let register = |fields: &str| format!(r#"{{"type":"upload_register","ref":"{a}"{fields}}}"#);
    let rest = r#","upload_name":"file","client_name":"a","client_type":"""#;
    let mut rig = Rig::new();
    for (text, expected) in [
        (String::new(), "error bad_message"),
        ("{".into(), "error bad_message"),
        ("[]".into(), "error bad_message"),
        ("5".into(), "error bad_message"),
        ("[".repeat(60_000), "error bad_message"),
        (r#"{"type":"zzz"}"#.into(), "error unknown_type"),
        (r#"{"type":"ping","x":[{}]}"#.into(), "pong"),
        (r#"{"type":"upload_resume"}"#.into(), "error bad_ref"),
        (
            format!(r#"{{"type":"upload_resume","ref":"{nil}"}}"#),
            "error bad_ref",
        ),
        (
            r#"{"type":"upload_register","ref":"x","upload_name":"file","client_name":"a","client_size":1}"#.into(),
            "error bad_ref",
        ),
        (register(r#","upload_name":"file","client_size":1"#), "170:error bad_name 0@0"),
        (register(rest), "170:error bad_size 0@0"),
        (register(&format!(r#"{rest},"client_size":-1"#)), "170:error bad_size 0@0"),
        (register(&format!(r#"{rest},"client_size":1.0"#)), "170:error bad_size 0@0"),
        (register(&format!(r#"{rest},"client_size":1,"meta":7"#)), "170:error bad_meta 0@0"),
    ] {
        assert_eq!(rig.text(&text).sent(), [expected], "{text:.80}");
    }
    assert_eq!(rig.closed, None);
    assert_eq!(rig.session.entries().count(), 0);
}

/// MSG-1a, RV-1 to RV-12, RV-15: the first failing check names the code.
#[test]
fn checks_have_an_order() {
    let rows = [
        // fields of the registration, expected
        (json!({}), "1:registered"),
        (
            json!({"upload_name": "no", "client_size": 101, "client_name": "a.exe"}),
            "1:error unknown_slot 0@0",
        ),
        (
            json!({"client_size": 101, "client_name": "a.exe"}),
            "1:error too_large 0@0",
        ),
        (json!({"client_size": 100}), "1:registered"),
        (json!({"client_size": 101}), "1:error too_large 0@0"),
        (
            json!({"client_name": "a.exe", "client_type": "text/html"}),
            "1:error active_content 0@0",
        ),
        (
            json!({"client_name": "a.exe"}),
            "1:error type_not_accepted 0@0",
        ),
        (json!({"client_type": ""}), "1:registered"),
    ];
    for (fields, expected) in rows {
        let mut rig = Rig::new();
        assert_eq!(
            rig.register_as(1, fields.clone()).sent(),
            [expected],
            "{fields}"
        );
        assert!(rig.told().is_empty(), "no writer yet");
    }
}

/// MSG-1a: entries are counted before the size is looked at, and a live ref
/// before both.
#[test]
fn too_many_comes_before_too_large() {
    let mut rig = Rig::new();
    rig.register(1, "one", 4).sent();
    let big = json!({"upload_name": "one", "client_size": 101});
    assert_eq!(
        rig.register_as(2, big.clone()).sent(),
        ["2:error too_many_entries 0@0"]
    );
    assert_eq!(rig.register_as(1, big).sent(), ["error ref_in_use 1"]);
    let unknown = json!({"upload_name": "no"});
    assert_eq!(
        rig.register_as(1, unknown).sent(),
        ["error unknown_slot 1"],
        "MSG-1: a snapshot would end the live upload"
    );
}

/// CTRL-3, RV-13, RV-14: entries count while under way, and complete until
/// consumed.
#[test]
fn entries_are_counted_per_slot() {
    let mut rig = Rig::new();
    rig.register(1, "one", 4).sent();
    assert_eq!(
        rig.register(2, "one", 4).sent(),
        ["2:error too_many_entries 0@0"]
    );
    assert_eq!(
        rig.register(3, "file", 4).sent(),
        ["3:registered"],
        "another slot"
    );
    rig.cancel(1).sent();
    assert_eq!(rig.register(2, "one", 4).sent(), ["2:registered"]);
    rig.chunk(2, 0, "abcd").complete(2).sent();
    assert_eq!(
        rig.register(4, "one", 4).sent(),
        ["4:error too_many_entries 0@0"]
    );
    assert_eq!(rig.session.consume("one").len(), 1);
    assert!(rig.session.consume("one").is_empty(), "PC-10");
    assert_eq!(rig.register(4, "one", 4).sent(), ["4:registered"]);
}

/// CTRL-3: where completion consumes, a complete entry is in nobody's way.
#[test]
fn completion_may_consume() {
    let mut rig = Rig::with(|config| {
        let one = Arc::make_mut(config.slots.get_mut("one").expect("there is one"));
        one.consume_on_complete = true;
    });
    for n in 1..=3 {
        rig.register(n, "one", 4).chunk(n, 0, "abcd").complete(n);
        assert_eq!(
            rig.sent().last().expect("an ending"),
            &format!("{n}:complete 4@1")
        );
    }
    assert_eq!(rig.session.entries().count(), 0);
}

/// CTRL-3: an owner's uploads count over all connections, parked ones included.
#[test]
fn an_owner_has_so_many_uploads() {
    let tally = tally();
    let mut rig = Rig::with(|config| {
        config.tally = Arc::clone(&tally);
        config.limits.max_uploads_per_owner = 2;
    });
    rig.register(1, "keep", 8).chunk(1, 0, "abcd");
    rig.register(2, "file", 8).sent();
    let mut other = rig.beside(2, |config| {
        config.tally = Arc::clone(&tally);
        config.limits.max_uploads_per_owner = 2;
    });
    assert_eq!(
        other.register(3, "file", 8).sent(),
        ["3:error too_many_entries 0@0"]
    );
    rig.evict(1).sent();
    assert_eq!(
        other.register(3, "file", 8).sent(),
        ["3:error too_many_entries 0@0"]
    );
    rig.cancel(2).sent();
    assert_eq!(other.register(3, "file", 8).sent(), ["3:registered"]);
    other.resume(1, None);
    assert_eq!(other.sent(), ["1:resumed 4@1"], "it was counted before");
    assert_eq!(tally.count(), 2);
    other.cancel(1).cancel(3);
    assert_eq!(tally.count(), 0);
}

/// CTRL-3, MSG-1a, MSG-3: owners are free, so a process counts the uploads of all of them; past that
/// everybody is told to come back later, in the place of `too_many_entries` among the checks.
#[test]
fn a_process_has_so_many_uploads() {
    let server = Arc::new(ServerTally::new(1));
    let owned = |config: &mut SessionConfig| {
        config.tally = Arc::new(OwnerTally::within(Arc::clone(&server)));
    };
    let mut rig = Rig::with(owned);
    rig.register(1, "keep", 8).sent();
    let mut other = rig.beside(2, owned);
    let too_large = json!({"upload_name": "file", "client_size": 101});
    other.register_as(2, too_large);
    let snapshot = other.snapshot();
    assert_eq!(snapshot.code, Some(Code::RateLimited));
    assert_eq!(snapshot.retry, Some(Retry::Later));
    rig.disconnect(DisconnectReason::Lost);
    assert_eq!(other.register(2, "file", 8).sent(), ["2:registered"]);
    assert_eq!(other.resume(1, None).sent(), ["1:locked 0@0"]);
    other.cancel(2).sent();
    assert_eq!(other.resume(1, None).sent(), ["1:resumed 0@0"]);
    assert_eq!(server.count(), 1);
}

/// CTRL-3, RESUME-3: what was left behind as a record is not counted, so an owner could attach any
/// number of such uploads; beyond twice the limit they wait for each other.
#[test]
fn an_owner_resumes_no_more_than_twice_as_many() {
    for by_bytes in [false, true] {
        let tally = tally();
        let mut rig = Rig::new();
        let limit = |config: &mut SessionConfig| {
            config.tally = Arc::clone(&tally);
            if by_bytes {
                config.limits.max_bytes_per_owner = Some(8);
            } else {
                config.limits.max_uploads_per_owner = 1;
            }
        };
        for n in 1..=3 {
            rig = rig.beside(n.into(), limit);
            rig.register(n, "keep", 8)
                .disconnect(DisconnectReason::Lost);
        }
        assert_eq!(tally.count(), 0);
        let mut rig = rig.beside(4, limit);
        rig.resume(1, None).resume(2, None).resume(3, None);
        assert_eq!(
            rig.sent(),
            ["1:resumed 0@0", "2:resumed 0@0", "3:locked 0@0"]
        );
        rig.cancel(1).sent();
        assert_eq!(rig.resume(3, None).sent(), ["3:resumed 0@0"]);
    }
}

/// CTRL-4: the same registration is answered again until bytes came.
#[test]
fn the_same_registration_is_answered_again() {
    for slot in ["file", "keep"] {
        let mut rig = Rig::new();
        for _ in 0..3 {
            assert_eq!(rig.register(1, slot, 8).sent(), ["1:registered"]);
        }
        assert_eq!(rig.register(1, slot, 9).sent(), ["error ref_in_use 1"]);
        for fields in [
            json!({"upload_name": slot, "client_name": "b.txt"}),
            json!({"upload_name": slot, "client_type": "text/csv"}),
            json!({"upload_name": "stay"}),
        ] {
            assert_eq!(rig.register_as(1, fields).sent(), ["error ref_in_use 1"]);
        }
        rig.chunk(1, 0, "abcd").sent();
        assert_eq!(rig.register(1, slot, 8).sent(), ["error ref_in_use 1"]);
        rig.chunk(1, 1, "efgh").complete(1).sent();
        assert_eq!(
            rig.register(1, slot, 8).sent(),
            ["error ref_in_use 1"],
            "not consumed"
        );
        rig.session.consume(slot);
        let expected = if slot == "keep" {
            "error ref_in_use 1"
        } else {
            "1:registered"
        };
        assert_eq!(rig.register(1, slot, 8).sent(), [expected]);
    }
}

/// CTRL-4: the record is in the store before `upload_registered` is sent.
#[test]
fn the_record_comes_before_the_answer() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().store_mood = crate::rig::Mood::Silent;
    assert!(rig.register(1, "keep", 8).sent().is_empty());
    assert!(
        rig.register(1, "keep", 8).sent().is_empty(),
        "one answer, once it is time"
    );
    rig.answer();
    assert!(rig.room.borrow().record(1).is_some());
    let messages = rig.messages();
    let [ServerMessage::Registered(registered)] = &messages[..] else {
        panic!("{messages:?}");
    };
    assert!(registered.resumable);
    assert_eq!(registered.expires_in, Some(3600));
    assert_eq!((registered.chunk_size, registered.credit), (4, 16));
}

/// CTRL-4: a ref whose record is alive can not be registered elsewhere.
#[test]
fn a_recorded_ref_is_in_use() {
    let mut rig = Rig::new();
    rig.register(1, "keep", 8).chunk(1, 0, "abcd");
    let mut other = rig.beside(2, |_| {});
    assert_eq!(other.register(1, "keep", 8).sent(), ["error ref_in_use 1"]);
    rig.disconnect(upload_core::DisconnectReason::Lost);
    assert_eq!(other.register(1, "keep", 8).sent(), ["error ref_in_use 1"]);
    assert_eq!(other.resume(1, None).sent(), ["1:resumed 4@1"]);
}

/// MSG-1a: `forbidden` comes after `unknown_slot` and before all else.
#[test]
fn the_application_is_asked() {
    let mut rig = Rig::new();
    rig.register(1, "ask", 101).register(2, "ask", 4);
    assert!(rig.sent().is_empty());
    assert_eq!(rig.register(2, "ask", 4).sent(), ["error ref_in_use 2"]);
    assert_eq!(
        rig.authorize(Err(Code::Forbidden)).sent(),
        ["1:error forbidden 0@0"]
    );
    assert_eq!(rig.authorize(Ok(())).sent(), ["2:registered"]);
    rig.register(3, "ask", 101);
    assert_eq!(rig.authorize(Ok(())).sent(), ["3:error too_large 0@0"]);
}

/// Section 5, `event`: one answer each, with the id it came with.
#[test]
fn events_are_answered() {
    let mut rig = Rig::new();
    rig.text(r#"{"type":"event","event":"save","id":7}"#);
    rig.text(r#"{"type":"event","event":"gone"}"#);
    rig.text(r#"{"type":"event","event":"bad"}"#);
    rig.call_back(CallOutcome::Done(json!(1)));
    rig.call_back(CallOutcome::Unknown);
    rig.call_back(CallOutcome::Failed(None));
    let messages = rig.messages();
    let results: Vec<_> = messages
        .iter()
        .map(|message| match message {
            ServerMessage::EventResult(it) => {
                (it.ok, it.id.is_some(), it.code, it.error.as_deref())
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let text = |code: Code| Some(code.text());
    assert_eq!(
        results,
        [
            (true, true, None, None),
            (
                false,
                false,
                Some(Code::UnknownEvent),
                text(Code::UnknownEvent)
            ),
            (
                false,
                false,
                Some(Code::EventFailed),
                text(Code::EventFailed)
            ),
        ]
    );
}

/// Event handlers of one connection are bounded.
#[test]
fn events_are_bounded() {
    let mut rig = Rig::with(|config| config.limits.calls_max = 2);
    for _ in 0..3 {
        rig.text(r#"{"type":"event","event":"save"}"#);
    }
    assert_eq!(rig.sent(), ["event save false rate_limited"]);
}

/// MSG-2: progress is told for a quarter of the window, for a sixteenth after 10 ms, after 200 ms, and
/// not otherwise.
#[test]
fn progress_is_told_in_time() {
    let mut rig = Rig::with(|config| config.limits.window_bytes = 160);
    rig.register(1, "file", 100).chunk(1, 0, "abcd").sent();
    rig.chunk(1, 1, "e");
    assert!(rig.sent().is_empty());
    rig.pass(199);
    assert!(rig.sent().is_empty());
    rig.pass(1);
    assert_eq!(rig.sent(), ["1:uploading 5@2"]);
    rig.chunk(1, 2, "0123456789").pass(9);
    assert!(rig.sent().is_empty());
    rig.pass(1);
    assert_eq!(rig.sent(), ["1:uploading 15@3"], "ten bytes were freed");
    for index in 3..6 {
        rig.chunk(1, index, "0123456789");
    }
    assert!(rig.sent().is_empty());
    rig.chunk(1, 6, "0123456789");
    assert_eq!(rig.sent(), ["1:uploading 55@7"], "forty bytes were freed");
    rig.pass(5000);
    assert!(rig.sent().is_empty(), "nothing moved");
}

/// PC-1, PC-2: percent of the declared size.
#[test]
fn progress_is_in_percent() {
    for (size, data, percent) in [(100, "helloworld", 10), (3, "ab", 66), (4, "abcd", 100)] {
        let mut rig = Rig::new();
        rig.register(1, "file", size).chunk(1, 0, data).pass(200);
        assert_eq!(rig.snapshot().progress, percent);
    }
}

/// MSG-3: what a client may do is told with each code.
#[test]
fn codes_come_with_a_retry() {
    let mut rig = Rig::new();
    rig.register(1, "file", 8).chunk(1, 0, "abcd");
    let gap = rig.chunk(1, 3, "x").snapshot();
    assert_eq!(gap.retry, Some(Retry::Resend));
    let end = rig.cancel(1).snapshot();
    assert_eq!(
        (end.status, end.retry),
        (Status::Cancelled, Some(Retry::Never))
    );
    assert_eq!(end.error.as_deref(), Some(Code::Cancelled.text()), "MSG-4");
}

/// A peer that keeps sending what is refused is closed with 4429 (CONN-4).
#[test]
fn abuse_closes_the_connection() {
    let mut rig = Rig::with(|config| config.limits.max_refused_per_minute = 5);
    for _ in 0..5 {
        rig.binary(vec![9]);
    }
    assert_eq!(rig.closed, None);
    rig.pass(59_000).binary(vec![9]);
    assert_eq!(rig.closed, Some(4429));
    rig.sent();
    assert!(
        rig.register(1, "file", 4).sent().is_empty(),
        "nobody listens"
    );

    let mut patient = Rig::with(|config| config.limits.max_refused_per_minute = 5);
    for _ in 0..50 {
        patient.binary(vec![9]).pass(12_000);
    }
    assert_eq!(patient.closed, None);
}

/// CONN-3: a connection on which nothing is said is closed with 4408.
#[test]
fn silence_closes_the_connection() {
    let mut rig = Rig::new();
    rig.pass(59_999);
    assert_eq!(rig.closed, None);
    rig.pass(1);
    assert_eq!(rig.closed, Some(4408));
    let mut rig = Rig::new();
    rig.text(r#"{"type":"ping"}"#).pass(600_000);
    assert_eq!(rig.closed, None);
}

/// CONN-3: an upload without chunks although there is credit ends.
#[test]
fn an_idle_upload_ends() {
    let mut rig = Rig::new();
    rig.register(1, "file", 8).chunk(1, 0, "abcd");
    rig.told();
    rig.pass(59_999).sent();
    rig.pass(1);
    assert_eq!(rig.sent(), ["1:error idle_timeout 4@1"]);
    assert_eq!(rig.told(), ["abort Expired"]);
}

/// CONN-3: a client without credit is not idle.
#[test]
fn waiting_for_credit_is_not_idling() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().write_mood = crate::rig::Mood::Silent;
    rig.register(1, "file", 100);
    for index in 0..4 {
        rig.chunk(1, index, "abcd");
    }
    rig.pass(600_000).sent();
    rig.answer();
    rig.pass(59_999);
    assert!(!rig.sent().iter().any(|line| line.contains("idle")));
    rig.pass(1);
    assert_eq!(
        rig.sent().last().expect("an ending"),
        "1:error idle_timeout 16@4"
    );
}

/// CONN-3: nor is one whose credit does not hold a whole chunk.
#[test]
fn a_piece_of_credit_is_none() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().write_mood = crate::rig::Mood::Silent;
    rig.register(1, "file", 100);
    for (index, data) in (0..).zip(["abcd", "efgh", "ijkl", "mn"]) {
        rig.chunk(1, index, data);
    }
    rig.pass(600_000);
    assert!(!rig.sent().iter().any(|line| line.contains("idle")));
}

/// PC-12: the application sees its entries in the order of registration.
#[test]
fn entries_are_listed_in_order() {
    let mut rig = Rig::new();
    rig.register(3, "file", 4)
        .register(1, "file", 8)
        .chunk(3, 0, "abcd")
        .complete(3);
    rig.chunk(1, 0, "abcd");
    let entries: Vec<_> = rig
        .session
        .entries()
        .map(|entry| (entry.upload, entry.progress(), entry.is_complete()))
        .collect();
    assert_eq!(entries, [(up(3), 100, true), (up(1), 50, false)]);
    let completed = rig.events.iter().find_map(|event| match event {
        Event::Completed(entry) => entry.result.clone(),
        _ => None,
    });
    assert_eq!(completed, Some(json!({"stored": true})));
}

/// The application cancels as a client does.
#[test]
fn the_application_cancels() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().verdict = None;
    rig.register(1, "file", 8).chunk(1, 0, "abcd").sent();
    let now = rig.now();
    assert!(rig.session.cancel(up(1), now));
    assert!(!rig.session.cancel(up(1), now));
    rig.pass(0);
    let mut sent = Vec::new();
    while let Some(output) = rig.session.poll_output() {
        if let upload_core::Output::Send(ServerMessage::Progress(it)) = output {
            sent.push(it.status);
        }
    }
    assert_eq!(sent, [Status::Cancelled]);
    assert!(rig.told().is_empty());
    rig.judge(Verdict::Accept);
    assert!(rig.told().is_empty(), "a late verdict opens nothing");
}
