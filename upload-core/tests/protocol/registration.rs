//! PROTOCOL 5: who may register what (MSG-1a, CTRL-4).

use serde_json::json;
use upload_core::{DisconnectReason, Door};
use upload_proto::ServerMessage;

use crate::rig::{Mood, Rig, up};

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
        rig.session.free_completed(up(1));
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
    rig.room.borrow_mut().store_mood = Mood::Silent;
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
    let mut other = rig.next_connection(2, |_| {});
    assert_eq!(other.register(1, "keep", 8).sent(), ["error ref_in_use 1"]);
    rig.disconnect(upload_core::DisconnectReason::Lost);
    assert_eq!(other.register(1, "keep", 8).sent(), ["error ref_in_use 1"]);
    assert_eq!(other.resume(1, None).sent(), ["1:resumed 4@1"]);
}

/// CTRL-4, RESUME-2: a ref that is alive on another connection of the process is in use, whichever
/// slots the two name, and keeps its bytes.
#[test]
fn ctrl_4_a_ref_alive_elsewhere_is_refused() {
    for (first, second) in [
        ("keep", "file"),
        ("file", "keep"),
        ("file", "file"),
        ("keep", "stay"),
    ] {
        let mut rig = Rig::new();
        rig.register(1, first, 8)
            .chunk(1, 0, "abcd")
            .pass(200)
            .sent();
        let mut other = rig.next_connection(2, |_| {});
        assert_eq!(
            other.register(1, second, 8).sent(),
            ["error ref_in_use 1"],
            "{first} {second}"
        );
        assert_eq!(other.chunk(1, 0, "XXXX").sent(), ["error unknown_ref 1"]);
        rig.chunk(1, 1, "efgh").complete(1);
        assert_eq!(rig.sent().pop().expect("it"), "1:complete 8@2");
        assert_eq!(rig.kept(), "abcdefgh");
        assert!(other.told().is_empty());
    }
}

/// CTRL-4: so is a ref of which only a record is left, also for a slot that keeps none.
#[test]
fn ctrl_4_a_recorded_ref_is_refused_in_any_slot() {
    let mut rig = Rig::new();
    rig.register(1, "keep", 8).chunk(1, 0, "abcd").pass(200);
    rig.disconnect(DisconnectReason::Lost);
    let mut rig = rig.next_connection(2, |_| {});
    for slot in ["file", "stay", "one"] {
        assert_eq!(rig.register(1, slot, 8).sent(), ["error ref_in_use 1"]);
    }
    assert_eq!(rig.resume(1, None).sent(), ["1:resumed 4@1"]);
}

/// CTRL-4: a store that does not answer keeps no one from registering (RESUME-9).
#[test]
fn ctrl_4_a_store_that_is_down_refuses_no_ref() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().store_mood = Mood::Fails;
    assert_eq!(rig.register(1, "file", 4).sent(), ["1:registered"]);
    rig.chunk(1, 0, "abcd").complete(1);
    assert_eq!(rig.sent().pop().expect("it"), "1:complete 4@1");
}

/// MSG-1a: that the ref is in use is answered before anything that is wrong with the file.
#[test]
fn msg_1a_ref_in_use_comes_before_the_rest() {
    for alive in ["process", "record"] {
        let mut rig = Rig::new();
        rig.register(1, "keep", 8).chunk(1, 0, "abcd").pass(200);
        if alive == "record" {
            rig.disconnect(DisconnectReason::Lost);
        }
        let mut other = rig.next_connection(2, |_| {});
        other.register(2, "one", 4).sent();
        for fields in [
            json!({"upload_name": "one"}),
            json!({"client_size": 101}),
            json!({"client_type": "text/html"}),
            json!({"client_name": "a.exe"}),
        ] {
            let sent = other.register_as(1, fields.clone()).sent();
            assert_eq!(sent, ["error ref_in_use 1"], "{alive} {fields}");
        }
        assert_eq!(
            other.register_as(3, json!({"client_size": 101})).sent(),
            ["3:error too_large 0@0"]
        );
    }
}

/// CTRL-4: a registration that is refused leaves its ref to others.
#[test]
fn a_refused_registration_reserves_nothing() {
    let mut rig = Rig::new();
    for fields in [
        json!({"client_size": 101}),
        json!({"upload_name": "no"}),
        json!({"client_name": "a.exe"}),
    ] {
        rig.register_as(1, fields);
    }
    rig.register(1, "file", 8).cancel(1);
    let mut other = rig.next_connection(2, |_| {});
    assert_eq!(other.register(1, "file", 8).sent(), ["1:registered"]);
}

/// RESUME-4, CTRL-4: an upload that can not be resumed is never parked for someone else.
#[test]
fn what_can_not_be_resumed_is_not_parked_for_another() {
    let mut rig = Rig::new();
    rig.register(1, "file", 8).chunk(1, 0, "abcd").sent();
    rig.told();
    assert_eq!(rig.evict(1).sent(), ["1:error superseded 4@1"]);
    assert_eq!(rig.told(), ["abort SessionClosed"]);
}
