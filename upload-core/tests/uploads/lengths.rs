//! Offsets, and lengths that are not known at the beginning.

use std::sync::Arc;

use upload_core::OwnerTally;

use super::*;

/// Bytes are appended where the last ones ended, and nowhere else.
#[test]
fn an_offset_that_is_not_the_end_is_a_mismatch() {
    let mut visit = Visit::new(1, Storage::default());
    let entry = visit.begin(8);
    assert_eq!(visit.append_at(entry, 0, "abc"), Append::Took);
    assert_eq!(visit.append_at(entry, 0, "abc"), Append::Mismatch(3));
    assert_eq!(visit.append_at(entry, 4, ""), Append::Mismatch(3));
    assert_eq!(visit.append_at(entry, 3, ""), Append::Took);
    assert_eq!(visit.append_at(entry, 3, "defgh"), Append::Took);
    assert_eq!(visit.storage.files, [b"abcdefgh"]);
}

/// A file of unknown length ends where its client ends it, also on a later visit.
#[test]
fn an_open_length_is_fixed_by_the_end() {
    let mut first = Visit::new(1, Storage::default());
    let entry = first.begin(None);
    assert_eq!(first.append(entry, "abc"), Append::Took);
    first.uploads.release(entry, Why::Lost, at(0));
    first.drain();
    let mut second = Visit::new(2, first.storage);
    let entry = second.reach(Asks::Continue(Some("door".into())));
    let News::Continued { subject, .. } = second.last() else {
        panic!("it continues");
    };
    let most = SlotRules::new("").max_file_size;
    assert_eq!(subject.entry.length, Length::AtMost(most));
    assert_eq!(second.append(entry, "de"), Append::Took);
    assert_eq!(second.uploads.finish(entry, None, at(0)), Finish::Taken);
    second.drain();
    let News::Ended(subject) = second.last() else {
        panic!("it ended");
    };
    assert_eq!(subject.entry.length, Length::Known(5));
    assert_eq!(second.storage.files, [b"abcde"]);
    let mut third = Visit::new(3, second.storage);
    third.reach(Asks::Receipt);
    assert!(matches!(
        third.last(),
        News::Answered(Answer::Receipt(record)) if record.length == Length::Known(5)
    ));
}

/// An empty file of unknown length is judged and stored as well.
#[test]
fn an_open_length_can_be_nothing() {
    let mut visit = Visit::new(1, Storage::default());
    let entry = visit.begin(None);
    assert_eq!(visit.uploads.finish(entry, None, at(0)), Finish::Taken);
    visit.drain();
    assert!(matches!(visit.last(), News::Ended(subject) if subject.entry.is_complete()));
}

/// A length can be declared once, with what fits what came and what the slot allows.
#[test]
fn a_length_is_declared_once() {
    let mut visit = Visit::new(1, Storage::default());
    let entry = visit.begin(None);
    visit.append(entry, "abcd");
    let mut declare = |bytes| visit.uploads.declare(entry, bytes, at(0));
    assert_eq!(declare(3), Declare::TooShort);
    assert_eq!(declare(1 << 40), Declare::TooLong);
    assert_eq!(declare(5), Declare::Taken);
    assert_eq!(declare(5), Declare::Taken);
    assert_eq!(declare(6), Declare::Differs);
    visit.drain();
    assert_eq!(visit.append(entry, "ef"), Append::Excess);
    assert_eq!(visit.uploads.finish(entry, None, at(0)), Finish::Incomplete);
    assert_eq!(visit.append(entry, "e"), Append::Took);
    assert_eq!(visit.uploads.finish(entry, None, at(0)), Finish::Taken);
    visit.drain();
    assert!(matches!(visit.last(), News::Ended(subject) if subject.entry.is_complete()));
}

/// CTRL-3: what arrives of a file of unknown length counts for its owner, and stops at the limit.
#[test]
fn an_open_length_is_counted_as_it_comes() {
    let tally = Arc::new(OwnerTally::default());
    let mut rooms = [1, 2].map(|session| {
        let mut visit = Visit::new(session, Storage::default());
        visit.configure(|config| {
            config.tally = Arc::clone(&tally);
            config.limits.max_bytes_per_owner = Some(8);
        });
        visit
    });
    let entries = rooms.each_mut().map(|visit| visit.begin(None));
    assert_eq!(tally.bytes(), 0);
    assert_eq!(rooms[0].append(entries[0], "abc"), Append::Took);
    assert_eq!(tally.bytes(), 8);
    assert_eq!(rooms[1].append(entries[1], "a"), Append::Full);
    assert_eq!(rooms[0].append(entries[0], "defghi"), Append::Excess);
    rooms[0].uploads.cancel(entries[0], at(0));
    rooms[0].drain();
    assert_eq!(rooms[1].append(entries[1], "a"), Append::Took);
}
