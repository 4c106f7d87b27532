//! What an owner has is counted, and limited in the same step as a put (PROTOCOL CTRL-3).

use std::time::Duration;

use futures_util::future::join_all;

use super::steps::{LONG, delete, fresh_key, fresh_owner, put_counted, read};
use crate::count::{Counts, CountsAs, DECLARED_BYTES_MAX, Facts, OwnerLimit, Tally};
use crate::error::PutError;
use crate::key::UploadKey;
use crate::store::{Expect, Put, UploadStateStore, Version};

/// Creators that race for an owner's last places.
const CREATORS: u64 = 32;

/// Records of each kind, where an owner has many: more than a store drops at once.
const MANY: usize = 300;

/// How often a count is asked for before the store is declared to count what expired.
const ASKS_MAX: usize = 2000;

async fn counts(store: &dyn UploadStateStore, owner: &str) -> Counts {
    store.count(Some(owner)).await.expect("count")
}

fn tally(records: u64, bytes: u64) -> Tally {
    Tally { records, bytes }
}

/// Tries to create a record within a limit.
async fn create(
    store: &dyn UploadStateStore,
    key: &UploadKey,
    facts: Facts,
    limit: OwnerLimit,
) -> Result<Version, PutError> {
    let put = Put::new(b"limited", Expect::Absent, LONG);
    store.put_with(key, put.counted(facts).limited(limit)).await
}

/// Counts are those of the records, whatever puts and deletes made of them.
pub async fn counts_follow_the_records(store: &dyn UploadStateStore) {
    let (owner, other) = (fresh_owner(), fresh_owner());
    assert_eq!(counts(store, &owner).await, Counts::default());
    put_counted(store, &fresh_key(&other), Expect::Absent, Facts::waiting(5)).await;

    let (one, two) = (fresh_key(&owner), fresh_key(&owner));
    let version = put_counted(store, &one, Expect::Absent, Facts::unfinished(100)).await;
    let second = put_counted(store, &two, Expect::Absent, Facts::unfinished(u64::MAX)).await;
    let found = counts(store, &owner).await;
    assert_eq!(found.unfinished, tally(2, 100 + DECLARED_BYTES_MAX));
    assert_eq!(found.waiting, Tally::default());
    assert_eq!(found.all.records, 2);
    assert!(found.all.bytes > 0);

    let version = put_counted(store, &one, Expect::Version(version), Facts::unfinished(7)).await;
    delete(store, &two, Expect::Version(second)).await;
    assert_eq!(counts(store, &owner).await.unfinished, tally(1, 7));
    let refused = store
        .put_with(
            &one,
            Put::new(b"", Expect::Absent, LONG).counted(Facts::waiting(1)),
        )
        .await;
    assert!(matches!(refused, Err(PutError::Conflict)), "{refused:?}");

    let version = put_counted(store, &one, Expect::Version(version), Facts::waiting(9)).await;
    let found = counts(store, &owner).await;
    assert_eq!(
        (found.unfinished, found.waiting),
        (Tally::default(), tally(1, 9))
    );
    let receipt = Facts::new(CountsAs::Nothing, 9);
    let version = put_counted(store, &one, Expect::Version(version), receipt).await;
    let found = counts(store, &owner).await;
    assert_eq!(
        (found.unfinished, found.waiting, found.all.records),
        (Tally::default(), Tally::default(), 1)
    );
    delete(store, &one, Expect::Version(version)).await;
    assert_eq!(counts(store, &owner).await, Counts::default());
    assert_eq!(counts(store, &other).await.waiting, tally(1, 5));

    let total = store.count(None).await.expect("count");
    assert!(
        total.waiting.records >= 1 && total.waiting.bytes >= 5 && total.all.records >= 1,
        "{total:?}"
    );
}

/// A limit holds for one owner's records of one kind, for their number and their bytes, and refuses
/// only what raises them.
pub async fn limits_are_per_owner_and_kind(store: &dyn UploadStateStore) {
    let owner = fresh_owner();
    let limit = OwnerLimit {
        records: 2,
        bytes: 100,
        ..OwnerLimit::NONE
    };
    let one = fresh_key(&owner);
    let version = create(store, &one, Facts::unfinished(60), limit)
        .await
        .expect("within");
    let two = fresh_key(&owner);
    let refused = create(store, &two, Facts::unfinished(41), limit).await;
    assert!(matches!(refused, Err(PutError::OverLimit)), "{refused:?}");
    assert_eq!(
        read(store, &two).await,
        None,
        "a refused put leaves nothing"
    );
    create(store, &two, Facts::unfinished(40), limit)
        .await
        .expect("to the last byte");

    let three = fresh_key(&owner);
    let refused = create(store, &three, Facts::unfinished(0), limit).await;
    assert!(matches!(refused, Err(PutError::OverLimit)), "{refused:?}");
    create(store, &three, Facts::waiting(100), limit)
        .await
        .expect("another kind");
    create(
        store,
        &fresh_key(&owner),
        Facts::new(CountsAs::Nothing, 1000),
        limit,
    )
    .await
    .expect("what counts as nothing");
    create(
        store,
        &fresh_key(fresh_owner()),
        Facts::unfinished(100),
        limit,
    )
    .await
    .expect("another owner");

    // A conflict is reported before the limit, and changes raise nothing as long as they stay as they were.
    let refused = create(store, &one, Facts::unfinished(1000), limit).await;
    assert!(matches!(refused, Err(PutError::Conflict)), "{refused:?}");
    let lower = OwnerLimit {
        records: 1,
        bytes: 10,
        ..OwnerLimit::NONE
    };
    let put = |expect, bytes, limit| {
        let put = Put::new(b"changed", expect, LONG);
        put.counted(Facts::unfinished(bytes)).limited(limit)
    };
    let version = store
        .put_with(&one, put(Expect::Version(version), 60, lower))
        .await
        .expect("nothing is raised");
    let refused = store
        .put_with(&one, put(Expect::Version(version), 61, limit))
        .await;
    assert!(matches!(refused, Err(PutError::OverLimit)), "{refused:?}");
    let found = read(store, &one).await.expect("still there");
    assert_eq!(found.version, version, "a refused put changes nothing");

    delete(store, &one, Expect::Version(version)).await;
    create(store, &fresh_key(&owner), Facts::unfinished(60), limit)
        .await
        .expect("there is room again");
}

/// A limit on what is stored holds for unfinished and waiting records together.
pub async fn what_is_stored_is_limited_over_both_kinds(store: &dyn UploadStateStore) {
    let owner = fresh_owner();
    let limit = OwnerLimit {
        stored_bytes: 100,
        ..OwnerLimit::NONE
    };
    let one = fresh_key(&owner);
    let version = create(store, &one, Facts::unfinished(60), limit)
        .await
        .expect("within");
    let finished = Put::new(b"finished", Expect::Version(version), LONG);
    let version = store
        .put_with(&one, finished.counted(Facts::waiting(60)).limited(limit))
        .await
        .expect("what ends raises nothing");
    let two = fresh_key(&owner);
    let refused = create(store, &two, Facts::unfinished(41), limit).await;
    assert!(matches!(refused, Err(PutError::OverLimit)), "{refused:?}");
    let last = create(store, &two, Facts::unfinished(40), limit)
        .await
        .expect("to the last byte");
    // Of unknown length: it declares nothing, but nothing is left.
    let three = fresh_key(&owner);
    let refused = create(store, &three, Facts::unfinished(0), limit).await;
    assert!(matches!(refused, Err(PutError::OverLimit)), "{refused:?}");
    let grown = Put::new(b"grown", Expect::Version(last), LONG);
    let refused = store
        .put_with(&two, grown.counted(Facts::waiting(41)).limited(limit))
        .await;
    assert!(matches!(refused, Err(PutError::OverLimit)), "{refused:?}");
    assert_eq!(
        counts(store, &owner).await.waiting,
        tally(1, 60),
        "a refused put counts nothing"
    );
    create(store, &fresh_key(fresh_owner()), Facts::waiting(100), limit)
        .await
        .expect("another owner");
    // Taken by its application, or gone.
    delete(store, &one, Expect::Version(version)).await;
    create(store, &three, Facts::waiting(60), limit)
        .await
        .expect("there is room again");
}

/// Of many creators of one owner at once, exactly as many succeed as the limit has room for, by number
/// and by bytes.
pub async fn racing_creators_stop_at_the_limit(store: &dyn UploadStateStore) {
    let by_number = OwnerLimit {
        records: 5,
        bytes: u64::MAX,
        ..OwnerLimit::NONE
    };
    let by_bytes = OwnerLimit {
        records: u64::MAX,
        bytes: 5 * 1000 + 999,
        ..OwnerLimit::NONE
    };
    let by_stored_bytes = OwnerLimit {
        stored_bytes: 5 * 1000 + 999,
        ..OwnerLimit::NONE
    };
    for limit in [by_number, by_bytes, by_stored_bytes] {
        let owner = fresh_owner();
        let keys: Vec<UploadKey> = (0..CREATORS).map(|_| fresh_key(&owner)).collect();
        let creations = keys
            .iter()
            .map(|key| create(store, key, Facts::unfinished(1000), limit));
        let mut won = 0;
        for answer in join_all(creations).await {
            match answer {
                Ok(_) => won += 1,
                Err(PutError::OverLimit) => {}
                Err(error) => panic!("a creator failed: {error}"),
            }
        }
        assert_eq!(won, 5, "{limit:?}");
        assert_eq!(counts(store, &owner).await.unfinished, tally(5, 5000));
    }
}

/// What expired is in no count and no list, and leaves its place at once.
pub async fn expired_is_not_counted(store: &dyn UploadStateStore) {
    let owner = fresh_owner();
    let limit = OwnerLimit {
        records: 2,
        bytes: u64::MAX,
        ..OwnerLimit::NONE
    };
    let short = Duration::from_millis(150);
    for _ in 0..2 {
        let put = Put::new(b"short", Expect::Absent, short).counted(Facts::unfinished(1));
        store.put_with(&fresh_key(&owner), put).await.expect("put");
    }
    for ask in 0.. {
        assert!(ask < ASKS_MAX, "what expired is counted");
        let key = fresh_key(&owner);
        match create(store, &key, Facts::unfinished(1), limit).await {
            Ok(_) => break,
            Err(PutError::OverLimit) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => panic!("put failed: {error}"),
        }
    }
    let left = counts(store, &owner).await;
    assert!(left.unfinished.records <= 2, "{left:?}");
    for ask in 0.. {
        assert!(ask < ASKS_MAX, "what expired is counted or listed");
        let counts = counts(store, &owner).await;
        let listed = super::lists::walk(store, Some(&owner), 10).await.len();
        if counts.unfinished == tally(1, 1) && counts.all.records == 1 && listed == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What counts as nothing never takes a place, and many expired records leave theirs, all in the end.
pub async fn many_records_of_an_owner_leave_its_places(store: &dyn UploadStateStore) {
    let owner = fresh_owner();
    let limit = OwnerLimit {
        records: 1,
        ..OwnerLimit::NONE
    };
    let short = Duration::from_millis(1);
    let keys: Vec<UploadKey> = (0..3 * MANY).map(|_| fresh_key(&owner)).collect();
    for some in keys.chunks(30) {
        let puts = some.iter().enumerate().map(|(at, key)| {
            let put = Put::new(b"many", Expect::Absent, LONG);
            let put = match at % 3 {
                0 => put.receipt(true),
                1 => Put { ttl: short, ..put }.receipt(true),
                _ => Put { ttl: short, ..put }.counted(Facts::unfinished(1)),
            };
            store.put_with(key, put)
        });
        for put in join_all(puts).await {
            put.expect("put");
        }
    }
    let last = fresh_key(&owner);
    for ask in 0.. {
        assert!(ask < ASKS_MAX, "what expired keeps its place");
        match create(store, &last, Facts::unfinished(1), limit).await {
            Ok(_) => break,
            Err(PutError::OverLimit) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => panic!("put failed: {error}"),
        }
    }
    let refused = create(store, &fresh_key(&owner), Facts::unfinished(1), limit).await;
    assert!(matches!(refused, Err(PutError::OverLimit)), "{refused:?}");
    let found = counts(store, &owner).await;
    assert_eq!(found.unfinished, tally(1, 1));
    assert_eq!(found.all.records, MANY as u64 + 1, "no more than lives");
}

/// A receipt is a record like any other, as long as its owner has no more than its share of the store.
pub async fn receipts_are_records(store: &dyn UploadStateStore) {
    let owner = fresh_owner();
    let key = fresh_key(&owner);
    let version = put_counted(store, &key, Expect::Absent, Facts::unfinished(7)).await;
    let put = Put::new(b"receipt", Expect::Version(version), LONG).receipt(true);
    let version = store.put_with(&key, put).await.expect("put");
    let found = read(store, &key).await.expect("it is there");
    assert_eq!(
        (&*found.record, found.version),
        (&b"receipt"[..], version),
        "it is what was put"
    );
    let found = counts(store, &owner).await;
    assert_eq!(
        (found.unfinished, found.waiting, found.all.records),
        (Tally::default(), Tally::default(), 1)
    );
    let listed = super::lists::walk(store, Some(&owner), 10).await;
    assert!(!listed.is_empty());
    for found in listed {
        assert_eq!((found.key, found.facts), (key.clone(), Facts::default()));
    }

    // What counts is no receipt, whatever its put says.
    let put = Put::new(b"again", Expect::Version(version), LONG).counted(Facts::waiting(7));
    let version = store
        .put_with(&key, put.receipt(true))
        .await
        .expect("it can change");
    assert_eq!(counts(store, &owner).await.waiting, tally(1, 7));
    delete(store, &key, Expect::Version(version)).await;
    assert_eq!(counts(store, &owner).await, Counts::default());
}
