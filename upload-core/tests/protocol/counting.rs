//! CTRL-3: how many uploads an owner, a slot and a process have.

use std::sync::Arc;

use serde_json::json;
use upload_core::{DisconnectReason, Door, Output, OwnerTally, Query, ServerTally, SessionConfig};
use upload_proto::{Code, Retry};

use crate::rig::{Mood, Rig, tally, up};

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
    rig.session.free_completed(up(2));
    rig.session.free_completed(up(2));
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
    let mut other = rig.next_connection(2, |config| {
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
    rig.register(1, "keep", 8).chunk(1, 0, "ab").sent();
    let mut other = rig.next_connection(2, owned);
    let too_large = json!({"upload_name": "file", "client_size": 101});
    other.register_as(2, too_large);
    let snapshot = other.snapshot();
    assert_eq!(snapshot.code, Some(Code::RateLimited));
    assert_eq!(snapshot.retry, Some(Retry::Later));
    rig.disconnect(DisconnectReason::Lost);
    assert_eq!(other.register(2, "file", 8).sent(), ["2:registered"]);
    other.chunk(2, 0, "ab").sent();
    assert_eq!(other.resume(1, None).sent(), ["1:locked 0@0"]);
    other.cancel(2).sent();
    assert_eq!(other.resume(1, None).sent(), ["1:resumed 2@0"]);
    assert_eq!(server.count(), 1);
}

/// CTRL-3: a registration that sent nothing gives its place to an owner who has fewer, and ends when it sends; one
/// that sends keeps it.
#[test]
fn ctrl_3_a_registration_that_sent_nothing_gives_way() {
    let server = Arc::new(ServerTally::new(8));
    let owner = || {
        let tally = Arc::new(OwnerTally::within(Arc::clone(&server)));
        Rig::with(|config| config.tally = tally)
    };
    let mut greedy = owner();
    for n in 1..=6 {
        greedy.register(n, if n > 4 { "stay" } else { "keep" }, 8);
    }
    greedy.chunk(1, 0, "abcd").sent();
    assert_eq!(
        greedy.register(7, "file", 8).sent(),
        ["7:error rate_limited 0@0"]
    );
    let mut honest = owner();
    for n in 1..=2 {
        let sent = honest.register(n, "keep", 8).sent();
        assert!(sent[0].contains("registered"), "{sent:?}");
    }
    assert_eq!(
        greedy.chunk(2, 0, "abcd").sent(),
        ["2:error rate_limited 0@0"]
    );
    assert!(greedy.room.borrow().record(2).is_none());
    assert!(
        greedy
            .chunk(1, 1, "efgh")
            .chunk(3, 0, "abcd")
            .complete(1)
            .sent()
            .iter()
            .any(|line| line == "1:complete 8@2")
    );
    assert_eq!(
        honest
            .chunk(1, 0, "abcd")
            .chunk(1, 1, "efgh")
            .complete(1)
            .sent()
            .last()
            .map(String::as_str),
        Some("1:complete 8@2")
    );
}

/// CTRL-3, RESUME-3: a limit that is lowered loses nothing; what was left behind as records is resumed, and
/// beyond twice the limit waits for each other.
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
            // The limit was larger once.
            rig = rig.next_connection(n.into(), |config| config.tally = Arc::clone(&tally));
            rig.register(n, "keep", 8)
                .chunk(n, 0, "a")
                .disconnect(DisconnectReason::Lost);
        }
        assert_eq!(tally.count(), 0);
        let mut rig = rig.next_connection(4, limit);
        rig.resume(1, None).resume(2, None).resume(3, None);
        assert_eq!(
            rig.sent(),
            ["1:resumed 1@0", "2:resumed 1@0", "3:locked 0@0"]
        );
        rig.cancel(1).sent();
        assert_eq!(rig.resume(3, None).sent(), ["3:resumed 1@0"]);
    }
}

/// CTRL-3: what ended counts until the store knows it, so one connection asks the store about no
/// more uploads at once than an owner may have.
#[test]
fn ctrl_3_cleanups_are_counted() {
    let mut rig = Rig::new();
    rig.room.borrow_mut().store_mood = Mood::Silent;
    for n in 1..=200 {
        rig.register(n, "keep", 8).cancel(n);
    }
    // So many registrations wait for the code of their refusal, and so many cancels for a record.
    assert!(rig.unanswered.len() <= 3 * 64, "{}", rig.unanswered.len());
    let saves = |output: &&Output| matches!(output, Output::Store(_, Query::Save(_)));
    assert!(rig.unanswered.iter().filter(saves).count() <= 64);
}

/// CTRL-3: a resumed upload counts among the entries of its slot, and waits for a place there.
#[test]
fn ctrl_3_a_resume_waits_for_a_place_in_its_slot() {
    let mut rig = Rig::with(single);
    rig.register(1, "keep", 8).chunk(1, 0, "abcd").pass(60_000);
    rig.register(2, "keep", 8).sent();
    assert_eq!(rig.resume(1, None).sent(), ["1:locked 0@0"]);
    rig.cancel(2).sent();
    assert_eq!(rig.resume(1, None).sent(), ["1:resumed 4@1"]);
}

/// CTRL-3: an upload whose takeover is being saved has its place in the slot already.
#[test]
fn ctrl_3_a_resume_that_is_being_saved_takes_its_place() {
    let mut rig = Rig::with(single);
    rig.register(1, "keep", 8)
        .chunk(1, 0, "abcd")
        .pass(60_000)
        .sent();
    rig.room.borrow_mut().store_mood = Mood::Silent;
    rig.resume(1, None).answer();
    assert_eq!(rig.unanswered.len(), 1, "the record is about to be written");
    rig.register(2, "keep", 8).answer().answer();
    assert_eq!(
        rig.sent(),
        ["1:resumed 4@1", "2:error too_many_entries 0@0"]
    );
}

/// Lets the slot `keep` take one upload.
fn single(config: &mut SessionConfig) {
    let slot = config.slots.get_mut("keep").expect("there is one");
    Arc::make_mut(slot).max_entries = 1;
}
