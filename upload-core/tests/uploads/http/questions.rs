//! Requests that ask how far an upload has come.

use upload_core::{ContentEnd, Ends, Refusal, Reply, Request, SlotRules};
use upload_proto::Code;

use super::{
    is_done, offset,
    rig::{Rig, ietf, tus},
};
use crate::support::Storage;

/// T18: every byte is durable and its server is gone before the file was stored. The next question
/// stores it, and hears of the whole length only then.
#[test]
fn t18_a_question_stores_what_is_all_here() {
    let mut rig = Rig::new(1, Storage::default());
    rig.create(8, None);
    let append = rig.ask(Request::Append(ietf(0, Ends::Later)));
    rig.send(append, "abcdefgh");
    rig.end(append, ContentEnd::Whole);
    rig.after(10_000);
    assert!(rig.visit.is_over(), "the record has every byte");
    let mut next = Rig::new(2, rig.storage);
    assert!(is_done(&next.offset()));
    assert_eq!(next.storage.closed, 1);
    assert_eq!(next.storage.files, [b"abcdefgh"]);
}

/// T18, T45: a question ends the last append before its bytes are counted.
#[test]
fn t18_a_question_that_ends_the_last_append_stores_its_file() {
    let mut rig = Rig::new(1, Storage::default());
    rig.create(4, None);
    rig.holds_writers = true;
    let last = rig.ask(Request::Append(tus(0)));
    rig.send(last, "abcd");
    let asked = rig.ask(Request::Offset(Ends::AtLength));
    assert!(matches!(rig.reply(last), Reply::Superseded));
    rig.let_writers();
    assert!(is_done(&rig.reply(asked)));
    assert_eq!(rig.storage.closed, 1);
}

/// In the IETF's draft a client says itself when its file ends.
#[test]
fn a_question_of_who_ends_it_later_only_asks() {
    let mut rig = Rig::new(1, Storage::default());
    rig.create(4, None);
    let append = rig.ask(Request::Append(ietf(0, Ends::Later)));
    rig.send(append, "abcd");
    rig.end(append, ContentEnd::Whole);
    let asked = rig.ask(Request::Offset(Ends::Later));
    assert_eq!(offset(rig.reply(asked)), 4);
    assert_eq!(rig.storage.closed, 0);
}

/// A question hears that storage is short, and nothing is tried again for that request.
#[test]
fn a_question_is_answered_while_storage_is_short() {
    let headless = |slot: &mut SlotRules| slot.head_bytes = 0;
    let mut rig = Rig::with(1, Storage::default(), headless);
    rig.is_short = true;
    rig.create(8, None);
    let mut next = Rig::with(2, rig.storage, headless);
    next.is_short = true;
    let asked = next.ask(Request::Offset(Ends::AtLength));
    let reply = next.reply(asked);
    assert!(
        matches!(
            reply,
            Reply::Refused(Refusal {
                code: Code::StorageThrottled,
                ..
            })
        ),
        "{reply:?}"
    );
    next.is_short = false;
    assert_eq!(offset(next.offset()), 0);
}
