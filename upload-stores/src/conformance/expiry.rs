//! Records live as long as they were put for.

use std::time::Duration;

use super::steps::{LONG, delete, fresh_key, put, read, versioned};
use crate::error::PutError;
use crate::key::UploadKey;
use crate::store::{Expect, UploadStateStore};

/// Short enough to wait for.
const SHORT: Duration = Duration::from_millis(150);

/// How often an expiry is asked for before the store is declared to keep its records too long.
const ASKS_MAX: usize = 2000;

/// The pause between asking, so that the wait is at most 20 s.
const ASK_PAUSE: Duration = Duration::from_millis(10);

/// An expired record is missing to every operation, and its version is gone for good
/// (PROTOCOL RESUME-8).
pub async fn expired_is_missing(store: &dyn UploadStateStore) {
    let keys: Vec<UploadKey> = (0..4).map(|_| fresh_key("expiry")).collect();
    let mut versions = Vec::new();
    for key in &keys {
        let version = store.put(key, b"short", Expect::Absent, SHORT).await;
        versions.push(version.expect("put"));
    }
    wait_until_missing(store, &keys[3]).await;

    // The others were put before, to live as long.
    let late = store
        .put(&keys[0], b"late", Expect::Version(versions[0]), LONG)
        .await;
    assert!(matches!(late, Err(PutError::Conflict)), "{late:?}");
    let late = store.delete(&keys[0], Expect::Version(versions[0])).await;
    assert!(matches!(late, Err(PutError::Conflict)), "{late:?}");
    delete(store, &keys[1], Expect::Absent).await;
    assert_eq!(read(store, &keys[1]).await, None);

    let version = put(store, &keys[2], b"again", Expect::Absent).await;
    assert_ne!(version, versions[2], "a version came twice");
    let late = store
        .put(&keys[2], b"late", Expect::Version(versions[2]), LONG)
        .await;
    assert!(matches!(late, Err(PutError::Conflict)), "{late:?}");
    assert_eq!(
        read(store, &keys[2]).await,
        Some(versioned(b"again", version))
    );
}

/// A put begins the time to live anew, longer or shorter than before.
pub async fn put_renews_the_time_to_live(store: &dyn UploadStateStore) {
    let (longer, shorter, canary) = (
        fresh_key("longer"),
        fresh_key("shorter"),
        fresh_key("canary"),
    );
    let version = store
        .put(&longer, b"1", Expect::Absent, SHORT)
        .await
        .expect("put");
    // On a machine that stood still for so long that the first put expired, begin again.
    let version = match store
        .put(&longer, b"2", Expect::Version(version), LONG)
        .await
    {
        Ok(version) => version,
        Err(PutError::Conflict) => put(store, &longer, b"2", Expect::Absent).await,
        Err(error) => panic!("put failed: {error}"),
    };
    let long = put(store, &shorter, b"1", Expect::Absent).await;
    store
        .put(&shorter, b"2", Expect::Version(long), SHORT)
        .await
        .expect("put");

    // Put last, to live as long as the first put would have: when it is gone, that is over too.
    store
        .put(&canary, b"", Expect::Absent, SHORT)
        .await
        .expect("put");
    wait_until_missing(store, &canary).await;
    assert_eq!(read(store, &longer).await, Some(versioned(b"2", version)));
    wait_until_missing(store, &shorter).await;
}

/// No time to live is too short or too long to be taken.
pub async fn any_time_to_live(store: &dyn UploadStateStore) {
    for ttl in [
        Duration::ZERO,
        Duration::from_nanos(1),
        Duration::from_millis(1),
    ] {
        let key = fresh_key("blink");
        store
            .put(&key, b"blink", Expect::Absent, ttl)
            .await
            .expect("put");
        wait_until_missing(store, &key).await;
    }
    let key = fresh_key("ages");
    let put = store
        .put(&key, b"ages", Expect::Absent, Duration::MAX)
        .await;
    let version = put.expect("put");
    assert_eq!(read(store, &key).await, Some(versioned(b"ages", version)));
    delete(store, &key, Expect::Version(version)).await;
}

/// A sweep drops nothing that lives, and what expired stays missing.
pub async fn sweep_leaves_the_living(store: &dyn UploadStateStore) {
    let (living, dying) = (fresh_key("living"), fresh_key("dying"));
    let version = put(store, &living, b"living", Expect::Absent).await;
    store
        .put(&dying, b"dying", Expect::Absent, SHORT)
        .await
        .expect("put");
    store.sweep().await.expect("sweep");
    wait_until_missing(store, &dying).await;
    store.sweep().await.expect("sweep");
    assert_eq!(
        read(store, &living).await,
        Some(versioned(b"living", version))
    );
    assert_eq!(read(store, &dying).await, None);
    put(store, &dying, b"again", Expect::Absent).await;
}

async fn wait_until_missing(store: &dyn UploadStateStore, key: &UploadKey) {
    for _ in 0..ASKS_MAX {
        if read(store, key).await.is_none() {
            return;
        }
        tokio::time::sleep(ASK_PAUSE).await;
    }
    panic!("a record with a short time to live does not expire");
}
