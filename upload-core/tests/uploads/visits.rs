//! Uploads that pass from one visit to the next.

use super::*;

/// A request of another protocol: begins, appends pieces of any length, and lets go.
#[test]
fn an_upload_goes_from_visit_to_visit() {
    let mut first = Visit::new(1, Storage::default());
    let entry = first.begin(8);
    let begun = |(_, news): &(EntryId, News)| {
        matches!(
            news,
            News::Begun {
                resumable: true,
                ..
            }
        )
    };
    assert!(first.news.iter().any(begun));
    assert_eq!(first.append(entry, "abc"), Append::Took);
    let News::Moved(position) = first.last() else {
        panic!("it moved");
    };
    assert_eq!((position.received, position.taken), (3, 3));
    first.uploads.release(entry, Why::Lost, at(0));
    first.drain();
    let News::Detached(subject, Why::Lost) = first.last() else {
        panic!("it is detached");
    };
    assert_eq!(subject.at.durable, 3);
    assert!(first.uploads.is_idle());

    let mut second = Visit::new(2, first.storage);
    second.reach(Asks::Look);
    let News::Answered(Answer::Found(record, 3)) = second.last() else {
        panic!("its record is shown");
    };
    assert_eq!((record.offset, record.lease, record.epoch), (3, None, 1));
    let entry = second.reach(Asks::Continue(Some("door".into())));
    let News::Continued { subject, crc32c } = second.last() else {
        panic!("it continues");
    };
    assert_eq!(subject.at.received, 3);
    assert_eq!(crc32c, Some(crc32c::crc32c(b"abc")));
    assert_eq!(
        second.uploads.finish(entry, None, at(0)),
        Finish::Incomplete
    );
    assert_eq!(second.append(entry, "defghi"), Append::Excess);
    assert_eq!(second.append(entry, "defgh"), Append::Took);
    assert_eq!(second.uploads.finish(entry, None, at(0)), Finish::Taken);
    second.drain();
    let News::Ended(subject) = second.last() else {
        panic!("it ended");
    };
    assert_eq!(subject.entry.status, EntryStatus::Complete);
    assert_eq!(second.storage.files, [b"abcdefgh"]);

    let mut third = Visit::new(3, second.storage);
    third.reach(Asks::Receipt);
    assert!(matches!(
        third.last(),
        News::Answered(Answer::Receipt(record)) if record.result == json!("stored")
    ));
}

/// A look tells what a parked writer took, and what is durable once it is gone; it takes nothing.
#[test]
fn a_look_takes_nothing() {
    let mut first = Visit::new(1, Storage::keeping(Keeping::Never));
    let entry = first.begin(8);
    first.append(entry, "abc");
    let mut other = Visit::new(2, Storage::default());
    other.storage.records = first.storage.records.clone();
    other.reach(Asks::Look);
    assert!(matches!(other.last(), News::Answered(Answer::Locked(0))));
    first.uploads.release(entry, Why::Lost, at(0));
    first.drain();

    let mut second = Visit::new(2, first.storage);
    let before = second.storage.records.clone();
    second.reach(Asks::Look);
    let News::Answered(Answer::Found(record, received)) = second.last() else {
        panic!("no connection holds it");
    };
    assert_eq!((record.offset, received), (0, 3));
    second.storage.parked = None;
    second.reach(Asks::Look);
    assert!(matches!(second.last(), News::Answered(Answer::Found(_, 0))));
    assert_eq!(second.storage.records, before);
}

/// A file that is stored answers with its receipt, whatever it is reached for.
#[test]
fn a_stored_file_answers_with_its_receipt() {
    let mut first = Visit::new(1, Storage::default());
    let entry = first.begin(3);
    first.append(entry, "abc");
    first.uploads.finish(entry, None, at(0));
    first.drain();
    let mut second = Visit::new(2, first.storage);
    let client = Some("door".into());
    for asks in [
        Asks::Look,
        Asks::Cancel,
        Asks::Continue(client),
        Asks::Receipt,
    ] {
        second.reach(asks);
        assert!(matches!(second.last(), News::Answered(Answer::Receipt(_))));
    }
    assert_eq!(second.storage.files, [b"abc"]);
}

/// A cancel ends an upload that no connection holds, under one entry.
#[test]
fn an_upload_is_cancelled_by_a_visit() {
    let mut first = Visit::new(1, Storage::default());
    let entry = first.begin(8);
    first.append(entry, "abcd");
    first.uploads.release(entry, Why::Lost, at(0));
    first.drain();
    let mut second = Visit::new(2, first.storage);
    let entry = second.reach(Asks::Cancel);
    let (of, news) = second.news.pop().expect("it ended");
    assert_eq!(of, entry);
    let News::Ended(subject) = news else {
        panic!("{news:?}");
    };
    assert_eq!(subject.entry.status, EntryStatus::Cancelled);
    assert!(second.storage.records.is_empty());
    assert!(second.storage.files[0].is_empty());
    assert!(second.uploads.is_idle());
    second.reach(Asks::Look);
    assert!(matches!(second.last(), News::Answered(Answer::NotFound)));
}

/// What a room refuses is told by code, whatever a door makes of it.
#[test]
fn refusals_are_codes() {
    let mut visit = Visit::new(1, Storage::default());
    visit.begin(1 << 40);
    assert!(matches!(
        visit.last(),
        News::Refused(Refusal {
            code: Code::TooLarge,
            ..
        })
    ));
    visit.begin(8);
    visit.reach(Asks::Look);
    assert!(matches!(visit.last(), News::Answered(Answer::Locked(_))));
}
