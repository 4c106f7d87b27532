//! The content gate of an upload that goes on: what was judged is what is stored.

use std::sync::Arc;

use serde_json::json;
use upload_core::{CheckpointChange, DisconnectReason, Door, SessionConfig, Verdict, WriterEvent};
use upload_proto::Code;

use crate::{
    records::resumable,
    resume::finish,
    rig::{Mood, Rig},
};

/// RESUME-2, and the gate: a writer that kept nothing of the head begins anew,
/// and so does the verdict.
#[test]
fn a_head_that_comes_again_is_judged_again() {
    for (verdict, sent, told) in [
        (
            Verdict::Accept,
            "1:complete 8@2",
            vec!["write <scr", "write ipt>", "close"],
        ),
        (
            Verdict::Refuse(Code::ActiveContent.into()),
            "1:error active_content 8@2",
            vec!["abort ContentMismatch"],
        ),
    ] {
        let mut rig = Rig::new();
        rig.room.borrow_mut().durable_step = 100;
        rig.register(1, "keep", 8).chunk(1, 0, "%PDF").pass(200);
        let mut rig = rig.after_crash();
        rig.room.borrow_mut().clock_ms += 30_000;
        assert_eq!(rig.resume(1, None).sent(), ["1:resumed 0@0"]);
        assert_eq!(rig.told(), ["reopen 0"]);
        rig.room.borrow_mut().verdict = None;
        rig.chunk(1, 0, "<scr");
        assert!(
            rig.told().is_empty(),
            "nothing is written before the verdict"
        );
        rig.chunk(1, 1, "ipt>").complete(1).sent();
        assert_eq!(rig.judge(verdict).sent().pop().expect("an ending"), sent);
        assert_eq!(rig.told(), told);
    }
}

/// RESUME-2, and the gate: a part of the head is nothing to go on from, since its
/// rest could come as something else.
#[test]
fn no_offset_lies_within_the_head() {
    let mut rig = Rig::new();
    rig.register(1, "keep", 8).chunk(1, 0, "%P");
    rig.chunk(1, 1, "DF-1").pass(200);
    let record = rig.room.borrow().record(1).expect("a record");
    assert_eq!(record.offset, 6, "the head is whole");

    let mut rig = Rig::new();
    rig.room.borrow_mut().durable_step = 3;
    rig.register(1, "keep", 8)
        .chunk(1, 0, "%P")
        .chunk(1, 1, "D")
        .chunk(1, 2, "F-");
    rig.pass(200);
    let record = rig.room.borrow().record(1).expect("a record");
    assert_eq!((record.opened, record.offset), (true, 0));
    assert_eq!(record.crc32c, Some(0));
    let last = rig.snapshot();
    assert_eq!((last.bytes_received, last.bytes_durable), (5, 0));
}

/// The gate: a record that says otherwise is not believed.
#[test]
fn a_record_within_the_head_begins_anew() {
    let mut rig = Rig::new();
    rig.register(1, "keep", 8).chunk(1, 0, "%PDF").pass(200);
    rig.room.borrow_mut().rewrite(1, |record| {
        record.offset = 2;
        record.crc32c = Some(crc32c::crc32c(b"%P"));
    });
    let mut rig = rig.after_crash();
    rig.room.borrow_mut().clock_ms += 30_000;
    assert_eq!(rig.resume(1, None).sent(), ["1:resumed 0@0"]);
    assert_eq!(rig.told(), ["reopen 0"]);
}

/// The gate: an upload that leaves once more before its head was judged again has
/// nothing to be unparked, which would go on behind the gate.
#[test]
fn leaving_before_the_second_verdict() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().durable_step = 100;
    rig.register(1, "keep", 8).chunk(1, 0, "%PDF").pass(200);
    let mut rig = rig.after_crash();
    rig.room.borrow_mut().clock_ms += 30_000;
    rig.resume(1, None).chunk(1, 0, "<s").sent();
    rig.told();
    rig.disconnect(DisconnectReason::Lost);
    assert_eq!(rig.told(), ["release"]);
    let mut rig = rig.next_connection(3, |config| config.holder.boot = "again".into());
    assert_eq!(rig.resume(1, None).sent(), ["1:resumed 2@0"]);
    rig.room.borrow_mut().verdict = Some(Verdict::Refuse(Code::ContentMismatch.into()));
    rig.chunk(1, 0, "cr");
    assert_eq!(
        rig.sent().pop().expect("an ending"),
        "1:error content_mismatch 4@1"
    );
    assert_eq!(rig.told(), ["reopen 0", "abort ContentMismatch"]);
}

/// The gate: what stayed in this process was judged, and is not judged twice.
#[test]
fn what_was_parked_is_not_judged_twice() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().durable_step = 100;
    rig.register(1, "keep", 8).chunk(1, 0, "%PDF");
    rig.room.borrow_mut().write_mood = Mood::Works;
    rig.disconnect(DisconnectReason::Lost);
    rig.room.borrow_mut().verdict = None;
    let mut rig = rig.next_connection(2, |_| {});
    assert_eq!(rig.resume(1, None).sent(), ["1:resumed 4@1"]);
    rig.chunk(1, 1, "-1.7").complete(1);
    assert_eq!(rig.sent().pop().expect("an ending"), "1:complete 8@2");
    assert!(rig.unanswered.is_empty());
}

/// RESUME-1: a name that the content check chose is kept with the upload, so that what is opened again has it.
#[test]
fn the_name_of_a_file_outlives_a_crash() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().durable_step = 1;
    rig.room.borrow_mut().stored_name = Some("a.jpg".to_owned());
    rig.register(1, "keep", 8).chunk(1, 0, "abcd").pass(200);
    let record = rig.room.borrow().record(1).expect("a record");
    assert_eq!(record.stored_name.as_deref(), Some("a.jpg"));
    rig.room.borrow_mut().stored_name = None;
    let mut rig = rig.after_crash();
    rig.room.borrow_mut().clock_ms += 30_000;
    rig.resume(1, None).pass(200);
    let record = rig.room.borrow().record(1).expect("a record");
    assert_eq!(record.stored_name.as_deref(), Some("a.jpg"));
}

/// RESUME-2: what came while the store was slow is kept, and none of it is lost for what the writer
/// makes durable first. Nothing is judged here.
#[test]
fn more_than_the_head_is_kept() {
    let headless = |config: &mut SessionConfig| {
        let slot = Arc::make_mut(config.slots.get_mut("keep").expect("a slot"));
        slot.head_bytes = 0;
    };
    let mut rig = Rig::with(headless);
    rig.room.borrow_mut().durable_step = 100;
    rig.room.borrow_mut().store_mood = Mood::Silent;
    rig.register(1, "keep", 8)
        .chunk(1, 0, "abc")
        .disconnect(DisconnectReason::Lost);
    rig.room.borrow_mut().store_mood = Mood::Works;
    rig.answer();
    let offset = |rig: &Rig| rig.room.borrow().record(1).expect("a record").offset;
    assert_eq!(offset(&rig), 3);

    let mut rig = rig.next_connection(2, headless);
    assert_eq!(rig.resume(1, None).sent(), ["1:resumed 3@0"]);
    rig.pass(200);
    assert_eq!(
        (rig.told(), offset(&rig)),
        (vec!["open".into(), "write abc".into()], 3)
    );
    rig.chunk(1, 0, "d");
    finish(&mut rig);
}

/// RESUME-2: first bytes are kept in a record where a lease and a checkpoint fit as well, for good.
#[test]
fn a_kept_head_does_not_go_for_what_the_record_says_later() {
    let (mut kept, mut without) = (0, 0);
    for names in (13_000..16_200).step_by(4) {
        let mut rig = Rig::wide();
        rig.room.borrow_mut().durable_step = 100;
        let long = "\u{1}".repeat(names / 6) + &"n".repeat(names % 6);
        rig.register_as(1, json!({"upload_name": "keep", "client_name": long}))
            .chunk(1, 0, "abc")
            .disconnect(DisconnectReason::Lost);
        let Some(first) = rig.room.borrow().record(1) else {
            continue;
        };
        let mut rig = rig.next_connection(2, |config| config.holder.boot = "another".into());
        rig.room.borrow_mut().clock_ms += 30_000;
        rig.resume(1, None).chunk(1, 0, "d").pass(200);
        let second = rig.room.borrow().record(1).expect("a record");
        assert!(second.offset >= first.offset, "{names} bytes of a name");
        match first.offset {
            0 => without += 1,
            _ => kept += 1,
        }
    }
    assert!(kept > 0 && without > 0, "{kept} and {without}");
}

/// RESUME-1, RESUME-2: where a checkpoint does not fit all the same, no record is left that offers less.
#[test]
fn a_kept_head_and_a_checkpoint_that_is_too_large() {
    let (mut kept, mut without) = (0, 0);
    for length in (15_000..16_384).step_by(4) {
        let mut rig = Rig::new();
        rig.room.borrow_mut().durable_step = 100;
        rig.register(1, "keep", 8)
            .chunk(1, 0, "abc")
            .disconnect(DisconnectReason::Lost);
        let mut rig = rig.next_connection(2, |_| {});
        rig.resume(1, None).chunk(1, 0, "d").pass(200).sent();
        assert_eq!(rig.room.borrow().record(1).expect("a record").offset, 3);
        let entry = rig.session.entries().next().expect("it is held").id;
        let now = rig.now();
        let wrote = WriterEvent::Wrote {
            received: 4,
            durable: 0,
            buffered: 4,
            checkpoint: CheckpointChange::New("x".repeat(length).into()),
        };
        rig.session.handle_writer(entry, wrote, now);
        rig.pass(200).text(r#"{"type":"ping"}"#);
        let told: Vec<_> = rig.messages().into_iter().filter_map(resumable).collect();
        let record = rig.room.borrow().record(1);
        match record {
            Some(record) => {
                assert_eq!(record.offset, 3, "a checkpoint of {length} bytes");
                kept += 1;
            }
            None => {
                assert_eq!(told, [(false, Some(Code::NotResumable))]);
                without += 1;
            }
        }
        rig.chunk(1, 1, "efgh").complete(1);
        assert_eq!(rig.sent().last().expect("an ending"), "1:complete 8@2");
    }
    assert!(kept > 0 && without > 0, "{kept} and {without}");
}
