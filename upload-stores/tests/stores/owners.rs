//! What one owner may take of a store whose room is its own.

use std::time::Duration;

use upload_stores::{
    CountsAs, Expect, Facts, Put, PutError, StoreErrorKind, UploadKey, UploadStateStore, Version,
};

const HOUR: Duration = Duration::from_secs(3600);

/// Records that the store of these tests has room for.
pub(crate) const RECORDS_MAX: u64 = 40;

/// Records that one owner has room for: a quarter.
const SHARE: u8 = 10;

fn key(owner: &str, number: u8) -> UploadKey {
    UploadKey::new(owner, [number; 16]).expect("a short owner")
}

/// Later ones live longer.
fn receipt(number: u8) -> Put<'static> {
    let ttl = HOUR + Duration::from_secs(number.into());
    Put::new(b"receipt", Expect::Absent, ttl).receipt(true)
}

fn begun() -> Put<'static> {
    Put::new(b"begun", Expect::Absent, HOUR).counted(Facts::unfinished(1))
}

async fn put(store: &dyn UploadStateStore, key: &UploadKey, put: Put<'_>) -> Version {
    let stored = store.put_with(key, put).await;
    stored.unwrap_or_else(|error| panic!("{key:?}: {error}"))
}

async fn is_there(store: &dyn UploadStateStore, key: &UploadKey) -> bool {
    store.get(key).await.expect("get").is_some()
}

async fn records(store: &dyn UploadStateStore, owner: &str) -> u64 {
    store.count(Some(owner)).await.expect("count").all.records
}

/// COMPLETE-4, RESUME-9: an owner that finishes many small files is never refused, loses its own oldest
/// receipts and nothing else, and leaves room for others.
pub(crate) async fn receipts_of_one_owner_leave_room(store: &dyn UploadStateStore) {
    let unfinished = put(store, &key("one", 0), begun()).await;
    let waiting = begun().counted(Facts::waiting(1));
    put(store, &key("one", 1), waiting).await;
    // What ended and is not removed yet counts as nothing, and is no receipt.
    let ended = begun().counted(Facts::new(CountsAs::Nothing, 1));
    put(store, &key("one", 2), ended).await;
    for number in 3..200 {
        put(store, &key("one", number), receipt(number)).await;
    }
    assert_eq!(records(store, "one").await, u64::from(SHARE));
    for number in 0..200 {
        let is_kept = !(3..193).contains(&number);
        let found = is_there(store, &key("one", number)).await;
        assert_eq!(found, is_kept, "record {number}");
    }
    // An upload that ends is never refused for what its owner has.
    let done = Put {
        expect: Expect::Version(unfinished),
        ..receipt(201)
    };
    put(store, &key("one", 0), done).await;
    for owner in ["two", "three", "four"] {
        for number in 0..SHARE {
            put(store, &key(owner, number), begun()).await;
        }
    }
    assert_eq!(store.count(None).await.expect("count").all.records, 40);
}

/// RESUME-9: where an owner has as many records as its share that all count, it begins nothing new, continues what
/// it has, and others begin.
pub(crate) async fn unfinished_uploads_of_one_owner_leave_room(store: &dyn UploadStateStore) {
    let mut first = None;
    for number in 0..SHARE {
        first = Some(put(store, &key("full", number), begun()).await);
    }
    let refused = store.put_with(&key("full", 100), begun()).await;
    assert!(
        matches!(&refused, Err(PutError::Store(e)) if e.kind() == StoreErrorKind::Unavailable),
        "{refused:?}"
    );
    let key_of_last = key("full", SHARE - 1);
    let expect = Expect::Version(first.expect("there are some"));
    let more = Put::new(&[7; 1000], expect, HOUR).counted(Facts::waiting(1));
    put(store, &key_of_last, more).await;
    put(store, &key("another", 0), begun()).await;
    assert_eq!(records(store, "full").await, u64::from(SHARE));
}
