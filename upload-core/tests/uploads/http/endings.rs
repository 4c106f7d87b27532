//! How files end that end by word.

use upload_core::{Content, ContentEnd, Ends, Refusal, Reply, Request, Taken};
use upload_proto::Code;

use super::{
    is_done, is_refused, offset,
    rig::{Rig, ietf, tus},
};
use crate::support::Storage;

/// A file without a length that is more than the slot takes is too large, and not longer than declared.
#[test]
fn content_past_what_the_slot_takes_is_too_large() {
    for ends in [Ends::Later, Ends::Here] {
        let mut rig = Rig::with(1, Storage::default(), |slot| slot.max_file_size = 4);
        rig.create(None, None);
        let id = rig.ask(Request::Append(ietf(0, ends)));
        rig.send(id, "abcdef");
        assert!(matches!(
            rig.reply(id),
            Reply::Refused(Refusal {
                code: Code::TooLarge,
                ..
            })
        ));
        assert!(rig.storage.records.is_empty());
    }
}

/// PAGE-4: the checksum of the whole file decides with the end, and not before.
#[test]
fn a_file_with_another_checksum_is_none() {
    for (crc32c, is_good) in [(crc32c::crc32c(b"abcd"), true), (1, false)] {
        let mut rig = Rig::new(1, Storage::default());
        rig.create(4, None);
        let id = rig.ask(Request::Append(ietf(0, Ends::Later)));
        rig.send(id, "abcd");
        rig.end(id, ContentEnd::Whole);
        assert_eq!(offset(rig.reply(id)), 4);
        let id = rig.ask(Request::Append(Content {
            crc32c: Some(crc32c),
            ..ietf(4, Ends::Here)
        }));
        rig.end(id, ContentEnd::Whole);
        let reply = rig.reply(id);
        match is_good {
            true => assert!(is_done(&reply), "{reply:?}"),
            false => assert!(matches!(
                reply,
                Reply::Refused(Refusal {
                    code: Code::ChecksumMismatch,
                    ..
                })
            )),
        }
    }
}

/// T10: an append that comes while the file is being stored has to belong where it ends, as at any other time.
#[test]
fn an_append_while_the_file_is_stored_is_answered_by_its_offset() {
    for (at, is_right) in [(4, true), (0, false)] {
        let mut rig = Rig::new(1, Storage::default());
        rig.create(4, None);
        let last = rig.ask(Request::Append(tus(0)));
        rig.send(last, "abcd");
        rig.holds_writers = true;
        rig.end(last, ContentEnd::Whole);
        let again = rig.ask(Request::Append(tus(at)));
        assert!(!rig.is_answered(again));
        rig.let_writers();
        rig.end(again, ContentEnd::Whole);
        let reply = rig.reply(again);
        assert_eq!(is_done(&reply), is_right, "{reply:?}");
        assert_eq!(matches!(reply, Reply::PastEnd(_)), !is_right, "{reply:?}");
    }
}

/// T35, R17: a delete that comes while the file is being stored waits, and removes what was not taken yet.
#[test]
fn a_delete_while_the_file_is_stored_removes_it_where_it_waits() {
    for waits in [true, false] {
        let mut rig = Rig::with(1, Storage::default(), |slot| slot.waits = waits);
        rig.create(4, None);
        assert_eq!(offset(rig.append(0, "abc")), 3);
        let last = rig.ask(Request::Append(tus(3)));
        rig.send(last, "d");
        rig.holds_writers = true;
        rig.end(last, ContentEnd::Whole);
        let delete = rig.ask(Request::Delete);
        assert!(!rig.is_answered(delete));
        rig.let_writers();
        let deleted = rig.reply(delete);
        assert_eq!(matches!(deleted, Reply::Deleted), waits, "{deleted:?}");
        assert_eq!(matches!(deleted, Reply::Kept), !waits, "{deleted:?}");
        assert_eq!(rig.storage.removed, usize::from(waits));
    }
}

/// PAGE-5, T35: a file that its last holder had stored, and not recorded, is removed by a delete.
#[test]
fn page_5_a_delete_finds_a_file_that_was_closed() {
    for asks_offset in [false, true] {
        let mut rig = Rig::with(1, Storage::default(), |slot| slot.waits = true);
        rig.create(4, None);
        assert_eq!(offset(rig.append(0, "abc")), 3);
        rig.visit.drain(rig.now);
        rig.drain();
        let mut rig = Rig::with(2, rig.storage, |slot| slot.waits = true);
        (rig.storage.parked, rig.storage.was_closed) = (None, true);
        if asks_offset {
            rig.offset();
        }
        let delete = rig.ask(Request::Delete);
        let deleted = rig.reply(delete);
        assert!(matches!(deleted, Reply::Deleted), "{deleted:?}");
        assert_eq!(rig.storage.removed, 1);
    }
}

/// A complete file of three bytes, which another visit finds.
fn complete() -> Rig {
    let mut rig = Rig::new(1, Storage::default());
    rig.create(3, None);
    assert!(is_done(&rig.append(0, "abc")));
    Rig::new(2, rig.storage)
}

/// T13, R16: content behind the end of a complete file is not dropped as if there were none, though its length is not
/// known before.
#[test]
fn content_without_a_length_does_not_follow_the_end() {
    for content in [tus(3), ietf(3, Ends::Here), ietf(3, Ends::Later)] {
        let mut rig = complete();
        let more = rig.ask(Request::Append(content));
        assert_eq!(rig.receives, [more]);
        assert_eq!(rig.send(more, ""), Taken::More);
        assert!(!rig.is_answered(more));
        assert_eq!(rig.send(more, "xyz"), Taken::Enough);
        let reply = rig.reply(more);
        assert!(matches!(reply, Reply::DoneInExcess(_)), "{reply:?}");
        assert_eq!(rig.storage.files, [b"abc"]);
        assert!(rig.visit.is_over());
    }
}

/// T15, R16: a request that brings nothing is the last one once more.
#[test]
fn no_content_without_a_length_follows_the_end() {
    for end in [ContentEnd::Whole, ContentEnd::Broken] {
        let mut rig = complete();
        let again = rig.ask(Request::Append(tus(3)));
        rig.end(again, end);
        assert!(is_done(&rig.reply(again)));
    }
    let mut rig = complete();
    let again = rig.ask(Request::Append(tus(3)));
    rig.end(again, ContentEnd::Discarded);
    assert!(is_refused(&rig.reply(again), Code::ChecksumMismatch));
    let again = rig.ask(Request::Append(tus(3)));
    rig.end(again, ContentEnd::TimedOut);
    assert!(matches!(rig.reply(again), Reply::TimedOut));
    let again = rig.ask(Request::Append(tus(3)));
    rig.visit.drain(rig.now);
    rig.drain();
    assert!(matches!(rig.reply(again), Reply::TimedOut));
    assert!(rig.visit.is_over());
}
