//! Uploads that leave while a request brings their content.

use std::sync::Arc;

use upload_core::{
    ContentEnd, Door, Ends, EntryId, OwnerTally, RequestId, SessionConfig, SlotRules, StorageFault,
};
use upload_proto::Code;

use super::{
    has_left, is_done, is_refused, offset,
    rig::{Rig, ietf, plain, tus},
};
use crate::{
    Visit,
    support::{Storage, config, up},
};

/// What makes an upload leave that has begun.
type Leave = fn(&mut Rig, RequestId);

fn throttle(rig: &mut Rig, id: RequestId) {
    rig.write_fault = Some(StorageFault::Throttled);
    rig.send(id, "de");
    rig.write_fault = None;
}

fn drain(rig: &mut Rig, _: RequestId) {
    rig.visit.drain(rig.now);
    rig.drain();
}

const LEAVES: [(Leave, Code); 2] = [(throttle, Code::StorageThrottled), (drain, Code::Draining)];

/// R5, T26: a creation whose upload leaves is refused, and what came is there.
#[test]
fn a_creation_whose_upload_leaves_is_kept() {
    for content in [tus(0), ietf(0, Ends::Here)] {
        for (leave, code) in LEAVES {
            let mut rig = Rig::new(1, Storage::default());
            let id = rig.create(8, Some(content));
            rig.send(id, "abc");
            leave(&mut rig, id);
            assert!(has_left(&rig.reply(id), code), "{code}");
            assert!(rig.visit.is_over());
            let mut next = Rig::new(2, rig.storage);
            assert_eq!(offset(next.offset()), 3);
        }
    }
}

/// The client of a plain request cannot name its upload, so nothing is kept of one that leaves.
#[test]
fn a_plain_request_whose_upload_leaves_leaves_nothing() {
    for (leave, code) in LEAVES {
        let mut rig = Rig::new(1, Storage::default());
        let id = rig.create(8, Some(plain()));
        rig.send(id, "abc");
        leave(&mut rig, id);
        assert!(is_refused(&rig.reply(id), code), "{code}");
        assert!(rig.storage.records.is_empty(), "{code}");
        assert_eq!(rig.storage.files, [b""], "{code}");
        assert!(rig.visit.is_over(), "{code}");
    }
}

/// CTRL-5: where no one can say whether a file may be stored, it is kept for a client that can name it. The next
/// request asks again.
#[test]
fn ctrl_5_what_is_undecided_is_kept_for_its_client() {
    for content in [tus(0), ietf(0, Ends::Here), plain()] {
        let asks = |slot: &mut SlotRules| slot.authorize = true;
        let mut rig = Rig::with(1, Storage::default(), asks);
        let id = rig.create(3, Some(content));
        rig.send(id, "abc");
        rig.is_undecided = true;
        rig.end(id, ContentEnd::Whole);
        assert!(!rig.is_answered(id), "it is asked about");
        let refusal = Code::Forbidden.into();
        rig.visit.handle_undecided(EntryId(1), refusal, rig.now);
        rig.drain();
        assert!(rig.visit.is_over());
        assert_eq!(rig.storage.closed, 0);
        if content == plain() {
            assert!(is_refused(&rig.reply(id), Code::Forbidden));
            assert!(rig.storage.records.is_empty());
            continue;
        }
        assert!(has_left(&rig.reply(id), Code::StorageThrottled));
        let mut next = Rig::with(2, rig.storage, asks);
        assert!(is_done(&next.offset()), "it is stored");
        assert_eq!(next.storage.files, [b"abc"]);
    }
}

/// A server that restarts waits until nothing is left.
#[test]
fn a_plain_request_that_leaves_is_waited_for() {
    let mut rig = Rig::new(1, Storage::default());
    let id = rig.create(8, Some(plain()));
    rig.send(id, "abc");
    rig.holds_writers = true;
    drain(&mut rig, id);
    assert!(is_refused(&rig.reply(id), Code::Draining));
    assert!(!rig.visit.is_over(), "its writer is being reopened");
    rig.let_writers();
    assert!(rig.visit.is_over());
    assert_eq!(rig.storage.files, [b""]);
}

/// An upload that another connection took over is that one's.
#[test]
fn a_plain_request_leaves_another_holder_alone() {
    let mut rig = Rig::new(1, Storage::default());
    let id = rig.create(8, Some(plain()));
    rig.send(id, "abc");
    rig.visit.handle_evict(up(), rig.now);
    rig.drain();
    assert!(is_refused(&rig.reply(id), Code::Superseded));
    assert!(rig.visit.is_over());
    assert_eq!(rig.storage.files, [b"abc"]);
    assert!(!rig.storage.records.is_empty());
}

/// CTRL-3: the same where its owner has no room for more.
#[test]
fn a_plain_request_without_room_leaves_nothing() {
    let tally = Arc::new(OwnerTally::default());
    let share = |config: &mut SessionConfig| {
        config.tally = Arc::clone(&tally);
        config.limits.max_bytes_per_owner = Some(8);
    };
    let mut other = Visit::new(2, Storage::default());
    other.configure(share);
    other.begin(8);
    let slot = SlotRules {
        resumable: true,
        ..SlotRules::new("slot")
    };
    let mut config = config(1, slot);
    share(&mut config);
    let mut rig = Rig::new(1, Storage::default());
    rig.visit = upload_core::Visit::new(up(), config);
    let id = rig.create(None, Some(plain()));
    rig.send(id, "abc");
    assert!(is_refused(&rig.reply(id), Code::TooManyEntries));
    assert!(rig.storage.records.is_empty());
    assert!(rig.visit.is_over());
}
