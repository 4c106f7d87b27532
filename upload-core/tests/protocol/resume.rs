//! PROTOCOL 8: resume.

use std::time::Duration;

use serde_json::json;
use upload_core::{DisconnectReason, Output, StorageFault, StoreEvent};
use upload_proto::{Code, Retry, ServerMessage, Status};

use crate::rig::{Mood, Rig, up};

const WHOLE: &str = "abcdefgh";

fn half_way(slot: &str) -> Rig {
    let mut rig = Rig::new();
    rig.register_as(1, json!({"upload_name": slot, "client_id": "tab"}));
    rig.chunk(1, 0, "abcd").pass(200).sent();
    rig.told();
    rig
}

fn finish(rig: &mut Rig) {
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
        (record.client_size, record.chunk_size, record.epoch),
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

    let mut rig = rig.beside(2, |_| {});
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

/// RESUME-3: an upload whose writer was never opened begins again.
#[test]
fn a_return_before_the_writer_opened() {
    let mut rig = Rig::new();
    rig.register(1, "keep", 8)
        .chunk(1, 0, "ab")
        .disconnect(DisconnectReason::Lost);
    assert!(rig.told().is_empty(), "nothing to park");
    let mut rig = rig.beside(2, |_| {});
    assert_eq!(rig.resume(1, None).sent(), ["1:resumed 0@0"]);
    rig.chunk(1, 0, "abcd");
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

/// RESUME-3a: idleness detaches and releases the lease.
#[test]
fn idleness_detaches() {
    let mut rig = half_way("keep");
    rig.pass(60_000);
    let snapshot = rig.snapshot();
    assert_eq!(snapshot.status, Status::Uploading);
    assert_eq!(snapshot.detached, Some(true));
    assert_eq!(snapshot.code, Some(Code::IdleTimeout));
    assert_eq!(snapshot.retry, Some(Retry::Later));
    assert_eq!(rig.told(), ["park"]);
    assert_eq!(rig.room.borrow().record(1).expect("a record").lease, None);
    assert_eq!(
        rig.resume(1, None).sent(),
        ["1:resumed 4@1"],
        "the same connection"
    );
    finish(&mut rig);
}

/// RESUME-4: the same client takes over at once, and the old connection can
/// change nothing any more.
#[test]
fn the_same_client_takes_over() {
    let mut old = half_way("keep");
    let mut new = old.beside(2, |_| {});
    new.resume(1, Some("tab"));
    assert!(new.sent().is_empty());
    let Some(Output::Evict { entry, upload }) = new.unanswered.pop_front() else {
        panic!("the old connection is asked first");
    };
    assert_eq!(upload, up(1));
    old.evict(1);
    let snapshot = old.snapshot();
    assert_eq!(
        (snapshot.status, snapshot.code),
        (Status::Error, Some(Code::Superseded))
    );
    new.store(entry, StoreEvent::Evicted);
    assert_eq!(new.sent(), ["1:resumed 4@1"]);
    old.told();
    old.chunk(1, 1, "XXXX");
    assert!(old.told().is_empty());
    assert_eq!(new.room.borrow().record(1).expect("a record").epoch, 2);
    finish(&mut new);
}

/// RESUME-4: a second tab does not take over; without an id, the lease decides.
#[test]
fn another_client_is_locked_out() {
    let old = half_way("keep");
    let mut new = old.beside(2, |_| {});
    for client_id in [Some("other"), None] {
        assert_eq!(new.resume(1, client_id).sent(), ["1:locked 0@0"]);
    }
    drop(old);
    new.room.borrow_mut().clock_ms += 30_000;
    new.resume(1, Some("other"));
    let Some(Output::Evict { entry, .. }) = new.unanswered.pop_front() else {
        panic!("whoever holds it in this process is asked");
    };
    new.store(entry, StoreEvent::Evicted);
    assert_eq!(new.sent(), ["1:resumed 4@1"]);
}

/// RESUME-4: a holder that renews its lease in time keeps it.
#[test]
fn the_lease_is_renewed() {
    let mut rig = Rig::new();
    rig.register(1, "keep", 100);
    for index in 0..10 {
        rig.pass(12_000).chunk(1, index, "abcd");
        let record = rig.room.borrow().record(1).expect("a record");
        let lease = record.lease.expect("a holder");
        let now = rig.now().unix_ms;
        assert!(lease.expires_unix_ms > now + 15_000);
    }
}

/// RESUME-4: an old holder whose record was taken over stops, and keeps what is
/// the new holder's.
#[test]
fn an_old_holder_stops() {
    let mut rig = half_way("keep");
    rig.room.borrow_mut().rewrite(1, |record| {
        record.epoch = 2;
        record.lease.as_mut().expect("a holder").boot = "there".into();
    });
    rig.chunk(1, 1, "efg").pass(200);
    let sent = rig.sent();
    assert_eq!(
        sent.last().expect("an ending"),
        "1:error superseded detached 7@2"
    );
    assert_eq!(rig.told(), ["write efg", "release"]);
    let record = rig.room.borrow().record(1).expect("the new holder's");
    assert_eq!((record.epoch, record.offset), (2, 4));
    rig.cancel(1).pass(100_000);
    assert!(
        rig.room.borrow().record(1).is_some(),
        "it can change nothing any more"
    );
    assert!(rig.told().is_empty());
}

/// RESUME-4: who loses the race for a record looks again, and takes nothing
/// from who asked later, not even under the same name.
#[test]
fn a_lost_race_starts_over() {
    for client_id in [None, Some("tab")] {
        let mut rig = half_way("keep");
        rig.disconnect(DisconnectReason::Lost);
        let mut rig = rig.beside(2, |_| {});
        rig.room.borrow_mut().store_mood = Mood::Silent;
        rig.resume(1, client_id).answer();
        assert_eq!(rig.unanswered.len(), 1, "the record is about to be written");
        let mut winner = rig.beside(3, |_| {});
        winner.room.borrow_mut().store_mood = Mood::Works;
        assert_eq!(winner.resume(1, client_id).sent(), ["1:resumed 4@1"]);
        rig.answer();
        assert_eq!(rig.sent(), ["1:locked 0@0"]);
        finish(&mut winner);
    }
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
    let mut rig = rig.beside(2, |_| {});
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
    for broken in [&b"{"[..], b"", b"{\"layout\":9}", &[0xff; 40_000]] {
        let mut rig = half_way("keep");
        rig.disconnect(DisconnectReason::Lost);
        let mut rig = rig.beside(2, |_| {});
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
    let mut rig = rig.beside(2, |_| {});
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

/// RESUME-7: who closes the tab gives up, unless the slot keeps it.
#[test]
fn closing_the_tab() {
    for (slot, told, resumed) in [
        ("keep", "abort SessionClosed", "1:not found 0@0"),
        ("stay", "park", "1:resumed 4@1"),
    ] {
        let mut rig = half_way(slot);
        rig.disconnect(DisconnectReason::Left);
        assert_eq!(rig.told(), [told]);
        let mut rig = rig.beside(2, |_| {});
        assert_eq!(rig.resume(1, None).sent(), [resumed]);
    }
}

/// RESUME-7: also while the writer is busy and the store slow.
#[test]
fn closing_the_tab_while_all_is_slow() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().store_mood = Mood::Silent;
    rig.register(1, "keep", 8)
        .disconnect(DisconnectReason::Left);
    assert!(!rig.session.is_finished(), "a record is to be deleted");
    rig.answer();
    rig.answer();
    assert!(rig.session.is_finished());
    assert!(rig.room.borrow().record(1).is_none());
}

/// RESUME-3: a lost connection detaches only once the writer took what came.
#[test]
fn detaching_waits_for_the_writer() {
    let mut rig = half_way("keep");
    rig.room.borrow_mut().write_mood = Mood::Silent;
    rig.chunk(1, 1, "ef").disconnect(DisconnectReason::Lost);
    assert!(rig.told().is_empty());
    assert!(!rig.session.is_finished());
    rig.answer();
    assert_eq!(rig.told(), ["write ef", "park"]);
    assert!(rig.session.is_finished());
    let mut rig = rig.beside(2, |_| {});
    assert_eq!(rig.resume(1, None).sent(), ["1:resumed 6@1"]);
}

/// RESUME-10: storage that is full keeps what is durable, to be resumed later.
#[test]
fn full_storage_is_waited_for() {
    for fault in [StorageFault::Full, StorageFault::Throttled] {
        let mut rig = half_way("keep");
        rig.pass(200).sent();
        rig.room.borrow_mut().write_mood = Mood::Fails;
        rig.room.borrow_mut().fault = fault;
        rig.chunk(1, 1, "ef");
        let snapshot = rig.snapshot();
        assert_eq!(snapshot.status, Status::Uploading);
        assert_eq!(snapshot.code, Some(fault_code(fault)));
        assert_eq!(
            (snapshot.detached, snapshot.retry),
            (Some(true), Some(Retry::Later))
        );
        assert_eq!(snapshot.retry_after_ms, Some(5000));
        assert_eq!(rig.told(), ["write ef", "release"]);
        rig.room.borrow_mut().write_mood = Mood::Works;
        assert_eq!(rig.resume(1, None).sent(), ["1:resumed 4@1"]);
        finish(&mut rig);
    }
}

/// RESUME-10: a plain client would wait for ever.
#[test]
fn full_storage_ends_a_plain_upload() {
    let mut rig = Rig::with(|config| config.plain = true);
    rig.register(1, "keep", 8).chunk(1, 0, "abcd").sent();
    rig.room.borrow_mut().write_mood = Mood::Fails;
    rig.room.borrow_mut().fault = StorageFault::Full;
    let snapshot = rig.chunk(1, 1, "efgh").snapshot();
    assert_eq!(
        (snapshot.status, snapshot.code),
        (Status::Error, Some(Code::StorageFull))
    );
}

/// Section 6, `draining`: what can be resumed is detached, the rest goes on, and
/// then the connection closes with 1012.
#[test]
fn draining() {
    let mut rig = half_way("keep");
    rig.register(2, "file", 4).sent();
    rig.restart(Duration::from_secs(2));
    assert_eq!(
        rig.sent(),
        ["draining 2000", "1:uploading draining detached 4@1"]
    );
    assert_eq!(rig.register(3, "file", 4).sent(), ["3:error draining 0@0"]);
    assert_eq!(rig.resume(1, None).sent(), ["error draining 1"]);
    assert_eq!(rig.closed, None);
    rig.chunk(2, 0, "abcd").complete(2);
    assert_eq!(rig.sent().last().expect("an ending"), "2:complete 4@1");
    assert_eq!(rig.closed, Some(1012));
}

fn fault_code(fault: StorageFault) -> Code {
    match fault {
        StorageFault::Full => Code::StorageFull,
        _ => Code::StorageThrottled,
    }
}
