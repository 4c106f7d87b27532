//! PROTOCOL 5 and 6: registration, events, snapshots.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use upload_core::{CallOutcome, Door, Fact, OwnerTally, ServerTally, SessionConfig, Verdict};
use upload_proto::{Code, Retry, ServerMessage, Status};

use crate::rig::{Mood, Rig, up, wide};

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
    rig.call_back(CallOutcome::Failed {
        reason: None,
        text: None,
    });
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
    let mut rig = Rig::with(|config| {
        wide(config);
        config.limits.window_bytes = 160;
    });
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
        let mut rig = Rig::wide();
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

/// CONN-3: an upload that drips is let go once others find no place, and not before.
#[test]
fn conn_3_a_slow_upload_leaves_where_others_are_refused() {
    let server = Arc::new(ServerTally::new(8));
    let mut rig = Rig::with(|config| {
        config.tally = Arc::new(OwnerTally::within(Arc::clone(&server)));
        config.limits.bytes_per_second_min = 1;
        config.limits.window_bytes = 1024;
    });
    rig.register(1, "file", 100);
    let drip = |rig: &mut Rig, index| {
        rig.pass(30_000).chunk(1, index, "abcd");
        rig.sent()
    };
    for index in 0..10 {
        let sent = drip(&mut rig, index);
        assert!(!sent.iter().any(|line| line.contains("error")), "{sent:?}");
    }
    server.refuse();
    let sent: Vec<_> = (10..13).flat_map(|index| drip(&mut rig, index)).collect();
    assert!(
        sent.iter().any(|line| line.contains("error idle_timeout")),
        "{sent:?}"
    );
    // One that is as fast as it has to be stays.
    rig.register(2, "file", 100);
    for index in 0..20 {
        server.refuse();
        rig.pass(3_000).chunk(2, index, "abcd");
        let sent = rig.sent();
        assert!(!sent.iter().any(|line| line.contains("error")), "{sent:?}");
    }
}

/// RESUME-8: however it progresses, an upload that is unfinished for longer than one may be ends as expired.
#[test]
fn resume_8_an_upload_that_is_too_old_ends() {
    let limit = |config: &mut SessionConfig| {
        config.limits.unfinished_max = Some(Duration::from_secs(300));
    };
    let mut rig = Rig::with(limit);
    rig.register(1, "file", 100);
    let mut ended = Vec::new();
    for index in 0..14 {
        rig.pass(30_000).chunk(1, index, "a");
        let sent = rig.sent().into_iter();
        ended.extend(
            sent.filter(|line| line.contains("error"))
                .map(|line| (index, line)),
        );
    }
    let (index, line) = ended.first().expect("an ending");
    assert!(line.contains("error expired"), "{line}");
    assert!((10..=12).contains(index), "{ended:?}");
}

/// RESUME-8, COMPLETE-6: a file that is being stored goes to its end, however old its upload is.
#[test]
fn resume_8_what_is_being_stored_does_not_expire() {
    let mut rig = Rig::with(|config| {
        config.limits.unfinished_max = Some(Duration::from_secs(300));
    });
    rig.room.borrow_mut().close_mood = Mood::Silent;
    rig.register(1, "keep", 4).chunk(1, 0, "abcd").complete(1);
    rig.told();
    rig.pass(600_000).sent();
    assert!(rig.told().is_empty(), "nothing is aborted");
    rig.answer();
    assert_eq!(rig.sent().last().expect("it"), "1:complete 4@1");
    assert!(rig.room.borrow().record(1).is_some(), "the receipt");
}

/// CONN-3: a client without credit is not idle.
#[test]
fn waiting_for_credit_is_not_idling() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().write_mood = Mood::Silent;
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
    rig.room.borrow_mut().write_mood = Mood::Silent;
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
        Fact::Completed(entry) => entry.result.clone(),
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

/// CHUNK-8: a file of more chunks than an index can number is too large.
#[test]
fn chunk_8_more_chunks_than_indices_are_too_large() {
    let mut rig = Rig::with(|config| {
        for slot in config.slots.values_mut() {
            Arc::make_mut(slot).max_file_size = u64::MAX;
        }
    });
    let most: u64 = 4 << 32;
    assert_eq!(rig.register(1, "file", most).sent(), ["1:registered"]);
    assert_eq!(
        rig.register(2, "file", most + 1).sent(),
        ["2:error too_large 0@0"]
    );
}

/// CONN-3: a complete frame that comes too early is no progress.
#[test]
fn conn_3_a_premature_complete_keeps_nothing_alive() {
    let mut rig = Rig::new();
    rig.register(1, "file", 8).chunk(1, 0, "abcd");
    rig.pass(59_000).complete(1).sent();
    rig.pass(1_000);
    assert_eq!(rig.sent(), ["1:error idle_timeout 4@1"]);
}
