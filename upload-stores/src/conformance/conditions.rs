//! Puts and deletes happen under their condition, or not at all.

use std::collections::HashSet;

use super::steps::{LONG, delete, fresh_key, put, read, versioned};
use crate::error::PutError;
use crate::store::{Expect, UploadStateStore, Version};

/// Put, for every expectation and every state of the record.
pub async fn put_expectations(store: &dyn UploadStateStore) {
    let key = fresh_key("put");
    let other = put(store, &fresh_key("other"), b"x", Expect::Absent).await;

    let missing = store.put(&key, b"no", Expect::Version(other), LONG).await;
    assert!(matches!(missing, Err(PutError::Conflict)), "{missing:?}");
    assert_eq!(
        read(store, &key).await,
        None,
        "a refused put leaves nothing"
    );

    let version = put(store, &key, b"yes", Expect::Absent).await;
    for wrong in [
        Expect::Absent,
        Expect::Version(Version(version.0.wrapping_add(1))),
        Expect::Version(Version(version.0.wrapping_sub(1))),
        Expect::Version(Version(0)),
        Expect::Version(Version(u64::MAX)),
    ] {
        let refused = store.put(&key, b"no", wrong, LONG).await;
        assert!(matches!(refused, Err(PutError::Conflict)), "{wrong:?}");
        assert_eq!(read(store, &key).await, Some(versioned(b"yes", version)));
    }
    put(store, &key, b"on", Expect::Version(version)).await;
}

/// Delete, for every expectation and every state of the record.
pub async fn delete_expectations(store: &dyn UploadStateStore) {
    let key = fresh_key("delete");
    let other = put(store, &fresh_key("other"), b"x", Expect::Absent).await;

    let missing = store.delete(&key, Expect::Version(other)).await;
    assert!(matches!(missing, Err(PutError::Conflict)), "{missing:?}");

    let version = put(store, &key, b"record", Expect::Absent).await;
    for wrong in [
        Expect::Absent,
        Expect::Version(Version(version.0.wrapping_add(1))),
        Expect::Version(Version(0)),
    ] {
        let refused = store.delete(&key, wrong).await;
        assert!(matches!(refused, Err(PutError::Conflict)), "{wrong:?}");
        assert_eq!(read(store, &key).await, Some(versioned(b"record", version)));
    }
    delete(store, &key, Expect::Version(version)).await;
    assert_eq!(read(store, &key).await, None);
}

/// Deleting what is missing succeeds when nothing was expected, any number of times.
pub async fn delete_is_idempotent(store: &dyn UploadStateStore) {
    let key = fresh_key("idempotent");
    delete(store, &key, Expect::Absent).await;
    let version = put(store, &key, b"record", Expect::Absent).await;
    delete(store, &key, Expect::Version(version)).await;
    for _ in 0..2 {
        delete(store, &key, Expect::Absent).await;
        let gone = store.delete(&key, Expect::Version(version)).await;
        assert!(matches!(gone, Err(PutError::Conflict)), "{gone:?}");
    }
}

/// A holder that was overtaken can change nothing any more (PROTOCOL RESUME-4).
pub async fn stale_versions_conflict(store: &dyn UploadStateStore) {
    let key = fresh_key("stale");
    let old = put(store, &key, b"old holder", Expect::Absent).await;
    let new = put(store, &key, b"new holder", Expect::Version(old)).await;

    let late = store.put(&key, b"late", Expect::Version(old), LONG).await;
    assert!(matches!(late, Err(PutError::Conflict)), "{late:?}");
    let late = store.delete(&key, Expect::Version(old)).await;
    assert!(matches!(late, Err(PutError::Conflict)), "{late:?}");
    assert_eq!(read(store, &key).await, Some(versioned(b"new holder", new)));
}

/// A version of a record that was deleted never fits the one made after it.
pub async fn versions_are_never_reused(store: &dyn UploadStateStore) {
    let key = fresh_key("reuse");
    let mut seen = HashSet::new();
    for round in 0..20_u8 {
        let first = put(store, &key, &[round], Expect::Absent).await;
        let second = put(store, &key, &[round], Expect::Version(first)).await;
        for version in [first, second] {
            assert!(seen.insert(version), "{version:?} came twice");
        }
        delete(store, &key, Expect::Version(second)).await;
    }
    let version = put(store, &key, b"last", Expect::Absent).await;
    for old in seen {
        let late = store.put(&key, b"late", Expect::Version(old), LONG).await;
        assert!(matches!(late, Err(PutError::Conflict)), "{late:?}");
    }
    assert_eq!(read(store, &key).await, Some(versioned(b"last", version)));
}
