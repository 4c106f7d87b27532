//! One upload on behalf of HTTP requests.

mod endings;
mod leaving;
mod questions;
mod rig;

use upload_core::{ContentEnd, Ends, Reply, Request, Taken, Verdict};
use upload_proto::Code;

use crate::{support::Storage, up};
use rig::{Rig, ietf, plain, tus};

fn offset(reply: Reply) -> u64 {
    match reply {
        Reply::At(subject) | Reply::Created(subject) => subject.at.received,
        other => panic!("{other:?}"),
    }
}

fn is_done(reply: &Reply) -> bool {
    matches!(reply, Reply::Done(receipt) if receipt.result == "stored")
}

fn is_refused(reply: &Reply, code: Code) -> bool {
    matches!(reply, Reply::Refused(refusal) if refusal.code == code)
}

fn has_left(reply: &Reply, code: Code) -> bool {
    matches!(reply, Reply::Left(refusal) if refusal.code == code)
}

#[test]
fn an_upload_is_created_appended_to_and_complete() {
    let mut rig = Rig::new(1, Storage::default());
    let created = rig.create(8, None);
    assert_eq!(offset(rig.reply(created)), 0);
    assert_eq!(offset(rig.append(0, "abc")), 3);
    assert_eq!(offset(rig.offset()), 3);
    assert!(is_done(&rig.append(3, "defgh")));
    assert_eq!(rig.storage.files, [b"abcdefgh"]);
    assert!(rig.visit.is_over(), "the record has the rest");
}

/// T15: the last request once more changes nothing, and is answered as before.
#[test]
fn a_repeated_last_request_is_done_again() {
    let mut rig = Rig::new(1, Storage::default());
    rig.create(3, None);
    assert!(is_done(&rig.append(0, "abc")));
    assert!(is_done(&rig.append(3, "")));
    let mut next = Rig::new(2, rig.storage);
    assert!(is_done(&next.append(3, "")));
    assert!(is_done(&next.offset()));
    assert!(matches!(next.append(1, "b"), Reply::PastEnd(_)));
    let deleted = next.ask(Request::Delete);
    assert!(matches!(next.reply(deleted), Reply::Kept));
    assert_eq!(next.storage.closed, 1);
}

/// T17: no other request comes for a file that is empty.
#[test]
fn an_empty_file_is_complete_at_once() {
    let mut rig = Rig::new(1, Storage::default());
    let created = rig.create(0, None);
    assert!(is_done(&rig.reply(created)));
    assert_eq!(rig.storage.closed, 1);
}

/// T10: nothing of content that belongs elsewhere is taken.
#[test]
fn content_that_belongs_elsewhere_is_not_asked_for() {
    let mut rig = Rig::new(1, Storage::default());
    rig.create(8, None);
    let id = rig.ask(Request::Append(tus(4)));
    assert!(matches!(rig.reply(id), Reply::Mismatch(_)));
    assert!(rig.receives.is_empty());
    assert_eq!(rig.send(id, "abcd"), Taken::Enough);
    assert_eq!(offset(rig.offset()), 0);
}

/// T13: what fits is taken, and not a byte more.
#[test]
fn content_past_the_length_is_cut() {
    let mut rig = Rig::new(1, Storage::default());
    rig.create(4, None);
    let id = rig.ask(Request::Append(tus(0)));
    assert_eq!(rig.send(id, "abcdef"), Taken::Enough);
    assert!(matches!(rig.reply(id), Reply::DoneInExcess(_)));
    assert_eq!(rig.storage.files, [b"abcd"]);

    let mut rig = Rig::new(1, Storage::default());
    rig.create(4, None);
    let mut content = tus(0);
    content.length = Some(6);
    let id = rig.ask(Request::Append(content));
    assert!(matches!(rig.reply(id), Reply::Excess(_)));
    assert!(rig.receives.is_empty(), "the request says so itself");
    assert!(is_done(&rig.append(0, "abcd")));
}

/// R15: a file that is longer than declared is not the one that was declared.
#[test]
fn content_past_the_length_ends_an_upload_that_ends_by_word() {
    let mut rig = Rig::new(1, Storage::default());
    rig.create(4, None);
    let id = rig.ask(Request::Append(ietf(0, Ends::Later)));
    rig.send(id, "abcdef");
    assert!(is_refused(&rig.reply(id), Code::SizeExceeded));
    assert!(matches!(rig.offset(), Reply::Gone(Code::SizeExceeded)));
    assert!(rig.storage.records.is_empty());
}

/// R7: every byte is not the end, until the client says so.
#[test]
fn a_file_that_ends_by_word_waits_for_it() {
    let mut rig = Rig::new(1, Storage::default());
    rig.create(4, None);
    let id = rig.ask(Request::Append(ietf(0, Ends::Later)));
    rig.send(id, "abcd");
    rig.end(id, ContentEnd::Whole);
    assert_eq!(offset(rig.reply(id)), 4);
    assert_eq!(rig.storage.closed, 0);
    let id = rig.ask(Request::Append(ietf(4, Ends::Here)));
    rig.end(id, ContentEnd::Whole);
    assert!(is_done(&rig.reply(id)));
}

/// R8, R15: content that breaks off, or ends too early, completes nothing.
#[test]
fn a_file_that_ends_too_early_is_not_complete() {
    for (end, is_told) in [(ContentEnd::Broken, false), (ContentEnd::Whole, true)] {
        let mut rig = Rig::new(1, Storage::default());
        rig.create(4, None);
        let id = rig.ask(Request::Append(ietf(0, Ends::Here)));
        rig.send(id, "abc");
        rig.end(id, end);
        assert_eq!(
            matches!(rig.reply(id), Reply::Incomplete(_)),
            is_told,
            "{end:?}"
        );
        assert_eq!(offset(rig.offset()), 3);
        assert_eq!(rig.storage.closed, 0);
    }
}

/// T12: a broken body keeps what came of it.
#[test]
fn broken_content_is_kept() {
    let mut rig = Rig::new(1, Storage::default());
    rig.create(8, None);
    let id = rig.ask(Request::Append(tus(0)));
    rig.send(id, "abcde");
    rig.end(id, ContentEnd::Broken);
    assert_eq!(offset(rig.offset()), 5);
}

#[test]
fn a_plain_request_that_breaks_off_leaves_nothing() {
    for (end, code) in [
        (ContentEnd::Broken, Code::Cancelled),
        // T44: its client is there, and may send it once more.
        (ContentEnd::TimedOut, Code::IdleTimeout),
        (ContentEnd::Whole, Code::Cancelled),
    ] {
        let mut rig = Rig::new(1, Storage::default());
        let id = rig.create(8, Some(plain()));
        rig.send(id, "abcde");
        rig.end(id, end);
        assert!(is_refused(&rig.reply(id), code));
        assert!(rig.storage.records.is_empty());
        assert_eq!(rig.storage.files, [b""]);
        assert!(rig.visit.is_over());
    }
    let mut rig = Rig::new(1, Storage::default());
    let id = rig.create(3, Some(plain()));
    rig.send(id, "abc");
    rig.end(id, ContentEnd::Whole);
    assert!(is_done(&rig.reply(id)));
}

/// T45: a newer request ends the one before it, whose bytes count once their writer has them.
#[test]
fn the_newest_request_wins() {
    let mut rig = Rig::new(1, Storage::default());
    rig.create(8, None);
    assert_eq!(offset(rig.append(0, "ab")), 2);
    rig.holds_writers = true;
    let old = rig.ask(Request::Append(tus(2)));
    rig.send(old, "cd");
    let asked = rig.ask(Request::Offset(Ends::AtLength));
    assert!(matches!(rig.reply(old), Reply::Superseded));
    assert!(!rig.is_answered(asked), "the writer works");
    assert_eq!(rig.send(old, "xx"), Taken::Enough);
    rig.let_writers();
    assert_eq!(offset(rig.reply(asked)), 4);
    assert!(is_done(&rig.append(4, "efgh")));
}

/// T34: a delete ends an append that runs.
#[test]
fn a_delete_ends_an_append() {
    let mut rig = Rig::new(1, Storage::default());
    rig.create(8, None);
    let append = rig.ask(Request::Append(tus(0)));
    rig.send(append, "abcd");
    let delete = rig.ask(Request::Delete);
    assert!(matches!(rig.reply(append), Reply::Superseded));
    assert!(matches!(rig.reply(delete), Reply::Deleted));
    assert!(rig.storage.records.is_empty());
    assert!(matches!(rig.offset(), Reply::Gone(_) | Reply::NotFound));
}

/// T18: while the file is being stored, nothing says that it is.
#[test]
fn a_file_that_is_being_stored_is_not_complete() {
    let mut rig = Rig::new(1, Storage::default());
    rig.create(4, None);
    assert_eq!(offset(rig.append(0, "abc")), 3);
    rig.holds_writers = true;
    let last = rig.ask(Request::Append(tus(3)));
    rig.send(last, "d");
    rig.end(last, ContentEnd::Whole);
    rig.holds_writers = false;
    rig.let_writers();
    assert!(is_done(&rig.reply(last)));

    let mut rig = Rig::new(1, Storage::default());
    rig.create(4, None);
    assert_eq!(offset(rig.append(0, "abcd".get(..3).expect("text"))), 3);
    let last = rig.ask(Request::Append(tus(3)));
    rig.send(last, "d");
    rig.holds_writers = true;
    rig.end(last, ContentEnd::Whole);
    assert!(!rig.is_answered(last));
    assert!(matches!(rig.offset(), Reply::Locked));
    assert!(matches!(rig.reply(last), Reply::Superseded));
    let again = rig.ask(Request::Append(tus(4)));
    assert!(!rig.is_answered(again));
    rig.after(25_000);
    assert!(matches!(rig.reply(again), Reply::Later));
    rig.let_writers();
    assert!(is_done(&rig.append(4, "")));
    assert_eq!(rig.storage.closed, 1);
}

/// An upload is held for a moment, and parked then; another visit continues it.
#[test]
fn an_upload_outlives_its_visit() {
    let mut rig = Rig::new(1, Storage::default());
    rig.create(8, None);
    assert_eq!(offset(rig.append(0, "abc")), 3);
    rig.after(9_000);
    assert!(!rig.visit.is_over());
    assert_eq!(offset(rig.append(3, "d")), 4);
    rig.after(9_000);
    assert!(!rig.visit.is_over(), "counted from the last request");
    rig.after(1_000);
    assert!(rig.visit.is_over());
    let mut next = Rig::new(2, rig.storage);
    assert_eq!(offset(next.offset()), 4);
    assert!(is_done(&next.append(4, "efgh")));
    assert_eq!(next.storage.files, [b"abcdefgh"]);
}

/// Another node ended it: nothing is waited for that no one answers.
#[test]
fn an_open_upload_whose_record_vanished_is_let_go_of() {
    let mut rig = Rig::new(1, Storage::default());
    rig.create(None, None);
    let append = rig.ask(Request::Append(ietf(0, Ends::Later)));
    rig.send(append, "abcd");
    rig.end(append, ContentEnd::Whole);
    rig.storage.records.forget(up());
    rig.after(10_000);
    rig.after(10_000);
    assert!(rig.visit.is_over(), "{:?}", rig.visit);
}

/// An upload without a record lives as long as its visit.
#[test]
fn an_upload_without_a_record_is_held_longer() {
    let mut rig = Rig::with(1, Storage::default(), |slot| slot.resumable = false);
    rig.create(4, None);
    assert_eq!(offset(rig.append(0, "ab")), 2);
    rig.after(59_000);
    assert!(is_done(&rig.append(2, "cd")));
    assert!(is_done(&rig.append(4, "")), "remembered for a moment");
    rig.after(60_000);
    assert!(rig.visit.is_over());
}

#[test]
fn a_refused_file_ends_with_its_code() {
    let mut rig = Rig::new(1, Storage::default());
    rig.verdict = Verdict::Refuse(Code::ContentMismatch.into());
    rig.create(8, None);
    let id = rig.ask(Request::Append(tus(0)));
    rig.send(id, "abcd");
    assert!(is_refused(&rig.reply(id), Code::ContentMismatch));
    let id = rig.create(2000, None);
    assert!(matches!(rig.reply(id), Reply::Gone(_) | Reply::Refused(_)));
}

#[test]
fn what_no_slot_takes_is_refused_before_its_content() {
    let mut rig = Rig::new(1, Storage::default());
    let id = rig.create(2000, Some(tus(0)));
    assert!(is_refused(&rig.reply(id), Code::TooLarge));
    assert!(rig.receives.is_empty());
    assert!(rig.visit.is_over());
    let mut rig = Rig::new(1, Storage::default());
    assert!(matches!(rig.offset(), Reply::NotFound));
    assert!(matches!(rig.append(0, "a"), Reply::NotFound));
}

#[test]
fn a_server_that_restarts_lets_uploads_go() {
    let mut rig = Rig::new(1, Storage::default());
    rig.create(8, None);
    let id = rig.ask(Request::Append(tus(0)));
    rig.send(id, "abcd");
    rig.visit.drain(rig.now);
    rig.drain();
    assert!(has_left(&rig.reply(id), Code::Draining));
    assert!(rig.visit.is_over());
    assert!(is_refused(&rig.offset(), Code::Draining));
    let mut next = Rig::new(2, rig.storage);
    assert_eq!(offset(next.offset()), 4);
}

/// R13: content that the host does not append changes nothing.
#[test]
fn discarded_content_changes_nothing() {
    let mut rig = Rig::new(1, Storage::default());
    rig.create(8, None);
    let id = rig.ask(Request::Append(tus(0)));
    rig.end(id, ContentEnd::Discarded);
    let Reply::Discarded(subject) = rig.reply(id) else {
        panic!("discarded");
    };
    assert_eq!(subject.at.received, 0);
    assert_eq!(offset(rig.append(0, "abc")), 3);
}

/// T27, T28: the length comes with any content, empty content too, and once.
#[test]
fn the_length_comes_later() {
    let mut rig = Rig::new(1, Storage::default());
    rig.create(None, None);
    assert_eq!(offset(rig.append(0, "abcd")), 4);
    for (bytes, is_good) in [(3, false), (6, true), (7, false), (6, true)] {
        let mut content = tus(4);
        content.declares = Some(bytes);
        let id = rig.ask(Request::Append(content));
        rig.end(id, ContentEnd::Whole);
        let reply = rig.reply(id);
        assert_eq!(matches!(reply, Reply::At(_)), is_good, "{bytes} {reply:?}");
    }
    assert!(is_done(&rig.append(4, "ef")));
    assert_eq!(rig.storage.files, [b"abcdef"]);

    let mut rig = Rig::new(1, Storage::default());
    rig.create(None, None);
    assert_eq!(offset(rig.append(0, "abc")), 3);
    for _ in 0..2 {
        let mut content = tus(3);
        content.declares = Some(3);
        let id = rig.ask(Request::Append(content));
        rig.end(id, ContentEnd::Whole);
        assert!(is_done(&rig.reply(id)));
    }
    assert_eq!(rig.storage.closed, 1);
}

/// A file whose length is not known ends with the request that says so.
#[test]
fn a_file_of_unknown_length_ends_with_its_content() {
    let mut rig = Rig::new(1, Storage::default());
    let id = rig.create(None, Some(plain()));
    rig.send(id, "abc");
    rig.end(id, ContentEnd::Whole);
    assert!(is_done(&rig.reply(id)));
    assert_eq!(rig.storage.files, [b"abc"]);
    let mut rig = Rig::new(1, Storage::default());
    let id = rig.create(None, Some(plain()));
    rig.send(id, "abc");
    rig.end(id, ContentEnd::Broken);
    assert!(is_refused(&rig.reply(id), Code::Cancelled));
}
