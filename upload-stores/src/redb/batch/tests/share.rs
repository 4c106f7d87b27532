//! What one owner may take of the store.

use super::*;
use crate::count::Tally;

/// The receipts that expire first go, and nothing else does; a new record is refused where none are left.
#[test]
fn an_owner_over_its_share_loses_its_oldest_receipts_only() {
    let disk = Disk::default();
    let share = Room {
        records: 10,
        bytes: u64::MAX,
    };
    let mut records = disk.open(share);
    stored(&mut records, put("one", 1, Facts::unfinished(1), HOUR_MS));
    stored(&mut records, put("one", 2, Facts::waiting(1), HOUR_MS));
    // What ended and is not removed yet counts as nothing, and is no receipt.
    stored(&mut records, put("one", 3, Facts::default(), HOUR_MS));
    for number in 10..50 {
        stored(
            &mut records,
            receipt("one", number, HOUR_MS + u64::from(number)),
        );
    }
    let found = counts(&mut records, "one").0;
    assert_eq!(found.all.records, 10);
    assert_eq!(
        found.unfinished,
        Tally {
            records: 1,
            bytes: 1
        }
    );
    assert_eq!(
        found.waiting,
        Tally {
            records: 1,
            bytes: 1
        }
    );
    for number in 1..4 {
        assert!(is_there(&mut records, "one", number), "record {number}");
    }
    for number in 10..50 {
        let is_new = number >= 43;
        assert_eq!(is_there(&mut records, "one", number), is_new, "{number}");
    }
    // A receipt that changes is not dropped for itself.
    let version = stored(&mut records, receipt("two", 1, HOUR_MS));
    let again = Stored {
        expect: Expect::Version(version),
        ..receipt("two", 1, HOUR_MS)
    };
    stored(&mut records, again);

    for number in 100..107 {
        stored(
            &mut records,
            put("one", number, Facts::unfinished(1), HOUR_MS),
        );
    }
    let refused = one(
        &mut records,
        Op::Put(put("one", 200, Facts::unfinished(1), HOUR_MS)),
    );
    assert!(matches!(refused, Outcome::OwnerFull), "{refused:?}");
    assert_eq!(counts(&mut records, "one").0.all.records, 10);
    stored(&mut records, put("two", 2, Facts::unfinished(1), HOUR_MS));
    drop(records);
    assert_eq!(lengths(&disk), (12, 12));
}

/// By bytes, a put takes the place of as many receipts as it needs; what is there already can still change.
#[test]
fn an_owners_share_is_one_of_bytes_too() {
    let disk = Disk::default();
    let small = bytes_of(&key("one", 0), &[7; 100]);
    let share = Room {
        records: u64::MAX,
        bytes: 10 * small,
    };
    let mut records = disk.open(share);
    let version = stored(&mut records, put("one", 1, Facts::unfinished(1), HOUR_MS));
    for number in 10..30 {
        stored(
            &mut records,
            receipt("one", number, HOUR_MS + u64::from(number)),
        );
    }
    assert_eq!(counts(&mut records, "one").0.all.bytes, 10 * small);
    let grown = Stored {
        record: vec![7; 100 + 3 * usize::try_from(small).expect("small")],
        expect: Expect::Version(version),
        ..put("one", 1, Facts::unfinished(1), HOUR_MS)
    };
    let version = stored(&mut records, grown);
    let found = counts(&mut records, "one").0;
    assert_eq!((found.all.records, found.all.bytes), (7, 10 * small));
    // It ends with more than the whole share, which costs its owner all other receipts and nothing else.
    let ended = Stored {
        record: vec![7; 100 + 12 * usize::try_from(small).expect("small")],
        expect: Expect::Version(version),
        ..receipt("one", 1, HOUR_MS)
    };
    stored(&mut records, ended);
    assert_eq!(counts(&mut records, "one").0.all.records, 1);
}
