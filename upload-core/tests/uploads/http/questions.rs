//! Requests that ask how far an upload has come.

use upload_core::{ContentEnd, Door, Ends, EntryId, Reply, Request, SlotRules, StorageFault, Why};
use upload_proto::Code;

use super::{
    has_left, is_done, is_refused, offset,
    rig::{Rig, ietf, plain, tus},
};
use crate::support::{Storage, at, register};

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
    rig.fault = Some(StorageFault::Throttled);
    rig.create(8, None);
    let mut next = Rig::with(2, rig.storage, headless);
    next.fault = Some(StorageFault::Throttled);
    let asked = next.ask(Request::Offset(Ends::AtLength));
    let reply = next.reply(asked);
    assert!(has_left(&reply, Code::StorageThrottled), "{reply:?}");
    next.fault = None;
    assert_eq!(offset(next.offset()), 0);
}

/// T8: what its storage refuses now is kept, so a client comes again and does not begin anew.
#[test]
fn t8_what_is_kept_is_not_gone_whatever_its_storage_says() {
    for fault in [StorageFault::Denied, StorageFault::Failed] {
        let mut rig = Rig::new(1, Storage::default());
        rig.create(8, None);
        assert_eq!(offset(rig.append(0, "abc")), 3);
        rig.after(60_000);
        assert!(rig.visit.is_over());
        let mut next = Rig::new(2, rig.storage);
        next.storage.parked = None;
        next.fault = Some(fault);
        let reply = next.offset();
        assert!(has_left(&reply, Code::StorageThrottled), "{reply:?}");
        next.fault = None;
        assert_eq!(offset(next.offset()), 3);
        assert!(is_done(&next.append(3, "defgh")));
    }
}

/// Has its server killed after every byte of a file, and before its last request is over.
fn killed(mut rig: Rig) -> Rig {
    rig.after(200);
    let mut next = Rig::new(2, rig.storage);
    next.storage.parked = None;
    next
}

/// T18, R7: a question that leaves it to the upload stores what ends at its length, and nothing that waits for a word.
#[test]
fn r7_a_question_ends_an_upload_as_it_began() {
    for (content, is_by_word) in [
        (tus(0), false),
        (plain(), false),
        (ietf(0, Ends::Later), true),
        (ietf(0, Ends::Here), true),
    ] {
        let mut rig = Rig::new(1, Storage::default());
        let created = rig.create(8, Some(content));
        rig.send(created, "abcdefgh");
        let mut next = killed(rig);
        let asked = next.ask(Request::Offset(Ends::AsBegun));
        let reply = next.reply(asked);
        assert_eq!(is_done(&reply), !is_by_word, "{content:?} {reply:?}");
        if is_by_word {
            assert_eq!(offset(reply), 8);
            assert_eq!(next.storage.closed, 0);
        }
        assert!(is_done(&next.offset()), "a client of tus asks");
        assert_eq!(next.storage.files, [b"abcdefgh"]);
    }
}

/// R7: an upload of a socket waits for its word, too.
#[test]
fn r7_a_question_ends_no_upload_of_a_socket() {
    let mut socket = crate::Visit::new(1, Storage::default());
    let register = register(Some(8), "http");
    let entry = socket.uploads.begin_by_word(register, at(0));
    socket.drain();
    socket.append(entry, "abcdefgh");
    socket.uploads.release(entry, Why::Lost, at(0));
    socket.drain();
    let mut rig = Rig::new(2, socket.storage);
    let asked = rig.ask(Request::Offset(Ends::AsBegun));
    assert_eq!(offset(rig.reply(asked)), 8);
    let word = rig.ask(Request::Append(ietf(8, Ends::Here)));
    rig.end(word, ContentEnd::Whole);
    assert!(is_done(&rig.reply(word)));
}

/// R7, T18: tus appends to an upload of the draft, which ends at its length from there on.
#[test]
fn r7_what_tus_appends_to_ends_at_its_length() {
    let mut rig = Rig::new(1, Storage::default());
    let created = rig.create(8, Some(ietf(0, Ends::Later)));
    rig.send(created, "abcd");
    rig.end(created, ContentEnd::Whole);
    assert_eq!(offset(rig.reply(created)), 4);
    let elsewhere = rig.ask(Request::Append(tus(2)));
    assert!(matches!(rig.reply(elsewhere), Reply::Mismatch(_)));
    let last = rig.ask(Request::Append(tus(4)));
    rig.send(last, "efgh");
    let mut next = killed(rig);
    let asked = next.ask(Request::Offset(Ends::AsBegun));
    assert!(is_done(&next.reply(asked)));
}

/// T8: a question is answered before a proxy does that, though the writer hangs, and the upload leaves all the same.
#[test]
fn t8_a_question_is_answered_while_the_writer_hangs() {
    let mut rig = Rig::new(1, Storage::default());
    rig.create(8, None);
    assert_eq!(offset(rig.append(0, "ab")), 2);
    rig.holds_writers = true;
    let old = rig.ask(Request::Append(tus(2)));
    rig.send(old, "cd");
    let asked = rig.ask(Request::Offset(Ends::AtLength));
    rig.after(24_999);
    assert!(!rig.is_answered(asked), "the writer may still answer");
    rig.after(1);
    assert!(matches!(rig.reply(asked), Reply::Locked));
    rig.let_writers();
    assert_eq!(offset(rig.offset()), 4);

    rig.holds_writers = true;
    let old = rig.ask(Request::Append(tus(4)));
    rig.send(old, "ef");
    for _ in 0..2 {
        // The second one comes while the upload leaves.
        let asked = rig.ask(Request::Offset(Ends::AtLength));
        rig.after(25_000);
        assert!(matches!(rig.reply(asked), Reply::Locked));
        rig.after(10_000);
    }
    assert!(!rig.visit.is_over(), "the writer hangs");
    rig.let_writers();
    assert!(rig.visit.is_over());
    assert_eq!(offset(rig.offset()), 6);
    assert!(is_done(&rig.append(6, "gh")));
}

/// T8: the same while a file is reopened, which may take as long as to read it; no request holds it afterwards.
#[test]
fn t8_a_question_is_answered_while_its_file_is_reopened() {
    let mut rig = Rig::new(1, Storage::default());
    rig.create(8, None);
    assert_eq!(offset(rig.append(0, "abc")), 3);
    rig.after(10_000);
    assert!(rig.visit.is_over());
    let mut next = Rig::new(2, rig.storage);
    next.storage.parked = None;
    next.holds_writers = true;
    for _ in 0..2 {
        let asked = next.ask(Request::Offset(Ends::AtLength));
        assert!(!next.is_answered(asked));
        next.after(25_000);
        assert!(matches!(next.reply(asked), Reply::Locked));
    }
    next.let_writers();
    assert!(!next.visit.is_over(), "the next request finds it open");
    next.after(10_000);
    assert!(next.visit.is_over());
    assert_eq!(offset(next.offset()), 3);
}

/// T8: the same before the upload has begun.
#[test]
fn t8_a_question_is_answered_while_the_application_decides() {
    let mut rig = Rig::with(1, Storage::default(), |slot| slot.authorize = true);
    rig.is_undecided = true;
    let created = rig.create(8, None);
    let asked = rig.ask(Request::Offset(Ends::AtLength));
    assert!(matches!(rig.reply(created), Reply::Superseded));
    rig.after(25_000);
    assert!(matches!(rig.reply(asked), Reply::Locked));
    rig.visit.handle_authorized(EntryId(1), Ok(()), rig.now);
    rig.drain();
    assert!(!rig.visit.is_over(), "it has begun");
    rig.after(10_000);
    assert!(rig.visit.is_over());
}

/// CTRL-4: a ref that is in use stays with its upload, whatever registration comes.
#[test]
fn ctrl_4_a_ref_in_use_is_not_registered_again() {
    let again = |rig: &mut Rig, name: &str, size| {
        let mut register = register(Some(size), "http");
        register.client_name = name.to_owned();
        let id = rig.ask(Request::Create(Box::new(register), None));
        rig.reply(id)
    };
    let mut rig = Rig::new(1, Storage::default());
    rig.create(4, None);
    let name = register(Some(4), "http").client_name;
    assert_eq!(offset(again(&mut rig, &name, 4)), 0, "the very same");
    assert!(is_refused(&again(&mut rig, "other", 4), Code::RefInUse));
    assert!(is_refused(&again(&mut rig, &name, 5), Code::RefInUse));
    assert_eq!(offset(rig.append(0, "abc")), 3);
    assert!(is_refused(&again(&mut rig, &name, 4), Code::RefInUse));
    assert!(is_done(&rig.append(3, "d")));
    assert!(is_refused(&again(&mut rig, "other", 4), Code::RefInUse));
    assert_eq!(rig.storage.files, [b"abcd"]);
}

/// CTRL-4: a registration whose answer was lost is answered again, though the application renamed its upload.
#[test]
fn ctrl_4_a_repeated_registration_is_compared_as_it_came() {
    let mut rig = Rig::with(1, Storage::default(), |slot| slot.authorize = true);
    rig.amendment.client_name = Some("renamed".to_owned());
    let first = rig.create(4, None);
    let Reply::Created(subject) = rig.reply(first) else {
        panic!("it is registered");
    };
    assert_eq!(subject.entry.client_name, "renamed");
    let again = rig.create(4, None);
    assert_eq!(offset(rig.reply(again)), 0);
    let mut other = register(Some(4), "http");
    other.client_name = "renamed".to_owned();
    let other = rig.ask(Request::Create(Box::new(other), None));
    assert!(is_refused(&rig.reply(other), Code::RefInUse));
    assert!(is_done(&rig.append(0, "abcd")));
    let again = rig.create(4, None);
    assert!(is_done(&rig.reply(again)));
    assert_eq!(rig.storage.files, [b"abcd"]);
}
