//! PROTOCOL 8: resume.

use serde_json::json;
use upload_core::{DisconnectReason, Door, Output, Question};
use upload_proto::ServerMessage;

use crate::rig::{Mood, Rig, up};

pub(crate) const WHOLE: &str = "abcdefgh";

pub(crate) fn half_way(slot: &str) -> Rig {
    let mut rig = Rig::new();
    rig.register_as(1, json!({"upload_name": slot, "client_id": "tab"}));
    rig.chunk(1, 0, "abcd").pass(200).sent();
    rig.told();
    rig
}

pub(crate) fn finish(rig: &mut Rig) {
    rig.chunk(1, 1, "efgh");
    rig.complete_with(1, Some(crc32c::crc32c(WHOLE.as_bytes())));
    assert_eq!(rig.sent().last().expect("an ending"), "1:complete 8@2");
    assert_eq!(rig.kept(), WHOLE);
    assert_eq!(rig.published(), 1);
}

/// RESUME-1: the record says everything another process needs.
#[test]
fn the_record_is_complete() {
    let rig = half_way("keep");
    let record = rig.room.borrow().record(1).expect("a record");
    assert_eq!(record.slot, "keep");
    assert_eq!(
        (&*record.client_name, &*record.client_type),
        ("a.txt", "text/plain")
    );
    assert_eq!(
        (record.length.max(), record.chunk_size, record.epoch),
        (8, 4, 1)
    );
    let lease = record.lease.expect("a holder");
    assert_eq!((&*lease.boot, lease.session), ("here", 1));
    assert_eq!(lease.client_id.as_deref(), Some("tab"));
    assert_eq!(lease.expires_unix_ms, 1_700_000_000_100 + 30_000);
}

/// RESUME-2: `bytes_durable` is never ahead of the record, and the record never
/// ahead of the writer.
#[test]
fn durable_follows_the_record() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().durable_step = 6;
    rig.register(1, "keep", 100);
    let mut last = 0;
    for index in 0..20 {
        rig.chunk(1, index, "abcd").pass(200);
        let record = rig.room.borrow().record(1).expect("a record");
        let kept = rig.kept().len() as u64;
        assert!(record.offset <= kept / 6 * 6);
        for message in rig.messages() {
            if let ServerMessage::Progress(it) = message {
                assert!(it.bytes_durable <= record.offset);
                last = it.bytes_durable;
            }
        }
    }
    assert_eq!(last, 76, "76 of 78 durable bytes end with a chunk");
}

/// RESUME-3, RS-8, RS-9, RS-17: back to the same process, nothing received is
/// sent again; replays are ignored and the writer sees each chunk once.
#[test]
fn a_return_to_the_same_process() {
    let mut rig = half_way("keep");
    rig.room.borrow_mut().durable_step = 100;
    rig.disconnect(DisconnectReason::Lost);
    assert_eq!(rig.told(), ["park"]);
    assert!(rig.session.is_finished());
    let record = rig.room.borrow().record(1).expect("a record");
    assert_eq!(record.lease, None, "RESUME-3a");

    let mut rig = rig.next_connection(2, |_| {});
    rig.resume(1, None);
    let messages = rig.messages();
    let [ServerMessage::Resumed(resumed)] = &messages[..] else {
        panic!("{messages:?}");
    };
    assert_eq!((resumed.bytes_received, resumed.next_index), (4, 1));
    assert_eq!(resumed.chunks_received, [[0, 0]]);
    assert_eq!(
        resumed.crc32c,
        Some(format!("{:08x}", crc32c::crc32c(b"abcd"))),
        "RESUME-6"
    );
    assert_eq!((resumed.chunk_size, resumed.credit), (4, 4 + 16));
    rig.chunk(1, 0, "abcd");
    finish(&mut rig);
    assert_eq!(rig.told(), ["reopen 4", "write efgh", "close"]);
}

/// RESUME-3, RESUME-3a: what leaves before its writer is open is saved once more, with its lease
/// given back, and not for each step on the way there.
#[test]
fn what_leaves_is_saved_once() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().open_mood = Mood::Silent;
    rig.register(1, "keep", 8).chunk(1, 0, "abcd").pass(200);
    rig.disconnect(DisconnectReason::Lost).answer();
    assert_eq!(rig.told(), ["open", "write abcd", "park"]);
    assert!(rig.session.is_finished());
    let room = rig.room.borrow();
    let record = room.record(1).expect("a record");
    assert_eq!((record.offset, record.lease), (4, None));
    let (_, version) = room.store[&up(1)];
    assert_eq!(
        version, 2,
        "one with the registration, one with the release"
    );
}

/// RESUME-3, CHUNK-4: after the death of the process it goes on at the durable
/// offset, which need not be a multiple of anything.
#[test]
fn a_return_after_a_crash() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().durable_step = 5;
    rig.register(1, "keep", 13)
        .chunk(1, 0, "ab")
        .chunk(1, 1, "cde");
    rig.chunk(1, 2, "fghi").chunk(1, 3, "j").pass(200);
    rig.chunk(1, 4, "kl").pass(200).sent();
    let mut rig = rig.after_crash();
    rig.room.borrow_mut().clock_ms += 30_000;
    assert_eq!(rig.resume(1, None).sent(), ["1:resumed 10@2"]);
    assert_eq!(rig.told(), ["reopen 10"]);
    rig.chunk(1, 0, "abcd").chunk(1, 2, "kl").chunk(1, 3, "m");
    rig.complete_with(1, Some(crc32c::crc32c(b"abcdefghijklm")));
    assert_eq!(rig.sent().last().expect("an ending"), "1:complete 13@4");
    assert_eq!(rig.kept(), "abcdefghijklm");
}

/// RESUME-2: an upload that leaves before its head is full loses none of it, in this process and
/// after its death, and the head is judged once.
#[test]
fn a_head_that_is_not_full_is_kept() {
    let mut rig = Rig::new();
    rig.register(1, "keep", 8)
        .chunk(1, 0, "a")
        .disconnect(DisconnectReason::Lost);
    assert!(rig.told().is_empty(), "nothing to park");
    let mut rig = rig.next_connection(2, |_| {});
    assert_eq!(rig.resume(1, None).sent(), ["1:resumed 1@0"]);
    rig.chunk(1, 0, "bc").disconnect(DisconnectReason::Lost);
    let mut rig = rig.after_crash();
    assert_eq!(rig.resume(1, None).sent(), ["1:resumed 3@0"]);
    rig.chunk(1, 0, "d");
    let heads: Vec<_> = rig.room.borrow().heads.clone();
    assert_eq!(heads, ["abcd"]);
    finish(&mut rig);
}

/// RESUME-2: the first bytes stay in the record until what a writer made durable reaches past them.
#[test]
fn a_kept_head_outlives_a_crash_behind_it() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().durable_step = 100;
    rig.register(1, "keep", 8)
        .chunk(1, 0, "abc")
        .disconnect(DisconnectReason::Lost);
    let mut rig = rig.next_connection(2, |_| {});
    rig.resume(1, None).chunk(1, 0, "d").pass(200);
    let record = rig.room.borrow().record(1).expect("a record");
    assert_eq!((record.opened, record.offset), (true, 3));
    assert_eq!(rig.snapshot().bytes_durable, 3);
    let mut rig = rig.after_crash();
    rig.room.borrow_mut().clock_ms += 30_000;
    assert_eq!(rig.resume(1, None).sent(), ["1:resumed 3@0"]);
    assert_eq!(rig.told(), ["reopen 0"]);
    rig.chunk(1, 0, "d");
    finish(&mut rig);
}

/// RESUME-3a, RS-5: a resume of what this connection holds.
#[test]
fn a_resume_of_ones_own() {
    let mut rig = half_way("keep");
    assert_eq!(rig.resume(1, Some("tab")).sent(), ["1:locked 4@0"]);
    assert_eq!(rig.resume(1, None).sent(), ["1:locked 4@0"]);
    finish(&mut rig);
}

/// RESUME-5, RS-2, RS-4, RS-7: unknown, complete elsewhere and expired look
/// alike, and a slot that keeps nothing knows nothing.
#[test]
fn not_found_looks_alike() {
    let mut rig = half_way("keep");
    rig.register(3, "file", 8)
        .chunk(3, 0, "abcd")
        .disconnect(DisconnectReason::Lost);
    rig.room.borrow_mut().store.remove(&up(1));
    let mut rig = rig.next_connection(2, |_| {});
    for n in 1..=3 {
        let ServerMessage::Resumed(mut resumed) = rig.resume(n, None).messages().remove(0) else {
            panic!("an answer");
        };
        resumed.upload = up(9);
        let blank = json!({
            "ref": up(9).to_string(), "status": "not_found", "bytes_received": 0, "next_index": 0,
            "chunks_received": [], "chunk_size": 0, "credit": 0,
        });
        assert_eq!(serde_json::to_value(&resumed).expect("plain"), blank);
    }
}

/// RESUME-5: records that make no sense are no records.
#[test]
fn a_broken_record_is_none() {
    for broken in [&b"{"[..], b"", b"{\"layout\":1}", &[0xff; 40_000]] {
        let mut rig = half_way("keep");
        rig.disconnect(DisconnectReason::Lost);
        let mut rig = rig.next_connection(2, |_| {});
        for (bytes, _) in rig.room.borrow_mut().store.values_mut() {
            *bytes = broken.to_vec();
        }
        assert_eq!(rig.resume(1, None).sent(), ["1:not found 0@0"]);
    }
}

/// Section 6, `upload_resume_ack`: only where the request used `upload_id`.
#[test]
fn the_other_way_to_ask() {
    let mut rig = half_way("keep");
    rig.disconnect(DisconnectReason::Lost);
    let mut rig = rig.next_connection(2, |_| {});
    let ask = |n| json!({"type": "upload_resume", "upload_id": up(n).to_string()}).to_string();
    assert_eq!(rig.text(&ask(1)).sent(), ["1:resumed 4@1", "1:ack true 4"]);
    assert_eq!(rig.text(&ask(1)).sent(), ["1:locked 4@0", "1:ack false 4"]);
    assert_eq!(
        rig.text(&ask(7)).sent(),
        ["7:not found 0@0", "7:ack false 0"]
    );
}

/// Section 6, `upload_resume_ack`: also where the file turns out to be stored.
#[test]
fn the_other_way_to_ask_for_what_is_stored() {
    let mut rig = half_way("keep");
    rig.room.borrow_mut().close_mood = Mood::Silent;
    rig.chunk(1, 1, "efgh").complete(1).pass(200);
    rig.room.borrow_mut().files[0].published = true;
    rig.room.borrow_mut().close_mood = Mood::Works;
    let mut rig = rig.after_crash();
    rig.room.borrow_mut().clock_ms += 30_000;
    let ask = json!({"type": "upload_resume", "upload_id": up(1).to_string()});
    assert_eq!(
        rig.text(&ask.to_string()).sent(),
        ["1:already complete 8@2", "1:ack false 8", "1:complete 8@2"]
    );
}

/// RESUME-2: the record tells of a writer's bytes as soon as it can find them again, so that a
/// process that dies right then leaves nothing that no one knows of.
#[test]
fn the_first_checkpoint_is_saved_at_once() {
    let mut rig = Rig::new();
    rig.register(1, "keep", 8).chunk(1, 0, "abcd");
    let record = rig.room.borrow().record(1).expect("a record");
    assert!(record.checkpoint.is_some() && record.opened);
    rig.chunk(1, 1, "ef");
    let again = rig.room.borrow().record(1).expect("a record");
    assert_eq!(record, again, "progress waits for its interval");
}

/// RESUME-1: a record of a layout that another version wrote is left alone: a client is asked to come
/// back, and never learns that its upload is gone.
#[test]
fn resume_1_a_record_of_an_unknown_layout_is_left_alone() {
    let mut rig = half_way("keep");
    rig.disconnect(DisconnectReason::Lost);
    let mut rig = rig.next_connection(2, |_| {});
    let foreign = br#"{"layout":9,"what":["other","fields"]}"#.to_vec();
    rig.room
        .borrow_mut()
        .store
        .insert(up(1), (foreign.clone(), 9));
    assert_eq!(rig.resume(1, Some("tab")).sent(), ["1:locked 0@0"]);
    assert_eq!(rig.cancel(1).sent(), ["error locked 1"]);
    assert_eq!(rig.register(1, "keep", 8).sent(), ["error ref_in_use 1"]);
    assert_eq!(rig.register(1, "file", 8).sent(), ["error ref_in_use 1"]);
    assert_eq!(rig.room.borrow().store[&up(1)].0, foreign);
}

/// COMPLETE-4: the receipt is recorded only once the application is sure to hear of the file.
#[test]
fn a_receipt_waits_until_it_is_announced() {
    let mut rig = Rig::with(|config| config.announces = true);
    rig.register(1, "keep", 4).chunk(1, 0, "abcd").complete(1);
    assert!(!rig.sent().iter().any(|line| line.contains("complete")));
    let record = rig.room.borrow().record(1).expect("a record");
    assert_eq!(record.phase, upload_core::RecordPhase::Completing);
    assert_eq!(record.result, serde_json::Value::Null);
    let Some(Output::App(Question::Announce { entry, result })) = rig.unanswered.pop_front() else {
        panic!("it is announced");
    };
    assert_eq!(result, json!({"stored": true}));
    assert!(rig.cancel(1).sent().is_empty(), "it is too late");
    let now = rig.now();
    rig.session.handle_announced(entry, now);
    rig.text(r#"{"type":"ping"}"#);
    assert_eq!(rig.sent(), ["pong", "1:complete 4@1"]);
    let record = rig.room.borrow().record(1).expect("a record");
    assert_eq!(record.phase, upload_core::RecordPhase::Complete);
}

/// RESUME-8: an upload that is unfinished for longer than one may be is not continued.
#[test]
fn resume_8_an_upload_that_is_too_old_is_not_continued() {
    let mut rig = half_way("keep");
    rig.disconnect(DisconnectReason::Lost).pass(400_000);
    let mut again = rig.next_connection(2, |config| {
        config.limits.unfinished_max = Some(std::time::Duration::from_secs(300));
    });
    again.resume(1, None).pass(200);
    let sent = again.sent();
    assert!(sent.iter().any(|line| line.contains("expired")), "{sent:?}");
    assert_eq!(again.published(), 0);
}
