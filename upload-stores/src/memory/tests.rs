//! What the store does when it is full, and what one owner's put costs.

use super::*;
use crate::count::{Facts, OwnerLimit};

const MINUTE: Duration = Duration::from_secs(60);

fn key(byte: u8) -> UploadKey {
    UploadKey::new("owner", [byte; 16]).expect("a short owner")
}

#[tokio::test(start_paused = true)]
async fn expired_records_free_their_space() {
    let store = MemoryStore::new();
    for byte in 0..100 {
        store
            .put(&key(byte), b"record", Expect::Absent, MINUTE)
            .await
            .expect("put");
    }
    assert_eq!(store.len(), 100);
    tokio::time::advance(MINUTE).await;
    assert_eq!(store.get(&key(3)).await.expect("get"), None);
    assert_eq!(store.sweep().await.expect("sweep"), 100);
    assert!(store.is_empty());
    assert_eq!(store.lock().total, Counts::default());
    assert!(store.lock().owners.is_empty());
    assert!(store.lock().by_expiry.is_empty());
    assert!(store.lock().of_owners.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_full_store_refuses_new_records_until_old_ones_expire() {
    let store = MemoryStore::with_limits(2, MEMORY_BYTES_MAX).with_owner_share(1);
    let first = store
        .put(&key(1), b"1", Expect::Absent, MINUTE)
        .await
        .expect("put");
    store
        .put(&key(2), b"2", Expect::Absent, MINUTE)
        .await
        .expect("put");

    let refused = store.put(&key(3), b"3", Expect::Absent, MINUTE).await;
    assert!(matches!(
        refused,
        Err(PutError::Store(error)) if error.kind() == StoreErrorKind::Unavailable
    ));
    store
        .put(&key(1), b"one", Expect::Version(first), MINUTE)
        .await
        .expect("what is there can still change");

    tokio::time::advance(MINUTE).await;
    store
        .put(&key(3), b"3", Expect::Absent, MINUTE)
        .await
        .expect("room again");
}

#[tokio::test]
async fn bytes_are_bounded_over_all_records() {
    let store = MemoryStore::with_limits(10, 10 + "owner".len() + MEMORY_OVERHEAD_BYTES)
        .with_owner_share(1);
    let version = store
        .put(&key(1), &[0; 6], Expect::Absent, MINUTE)
        .await
        .expect("put");
    assert!(
        store
            .put(&key(2), &[], Expect::Absent, MINUTE)
            .await
            .is_err()
    );
    let version = store
        .put(&key(1), &[0; 10], Expect::Version(version), MINUTE)
        .await
        .expect("its own bytes do not count twice");
    store
        .delete(&key(1), Expect::Version(version))
        .await
        .expect("delete");
    store
        .put(&key(2), &[0; 5], Expect::Absent, MINUTE)
        .await
        .expect("room again");
}

/// A put that is refused drops a bounded number of what expired of its owner, and all of it in the end.
#[tokio::test(start_paused = true)]
async fn a_refused_put_drops_a_bounded_number_of_records() {
    let store = MemoryStore::new();
    let number = |number: u32| {
        let mut upload = [0; 16];
        upload[..4].copy_from_slice(&number.to_be_bytes());
        UploadKey::new("owner", upload).expect("a short owner")
    };
    let counted = |ttl| Put::new(b"record", Expect::Absent, ttl).counted(Facts::unfinished(1));
    for at in 0..3000 {
        let put = store.put_with(&number(at), counted(MINUTE)).await;
        put.expect("put");
    }
    tokio::time::advance(MINUTE).await;
    let limit = OwnerLimit {
        records: 1,
        ..OwnerLimit::NONE
    };
    let mut tries = 0;
    loop {
        let before = store.len();
        let put = counted(MINUTE).limited(limit);
        let put = store.put_with(&number(3000), put).await;
        let dropped = before.saturating_sub(store.len());
        assert!(
            dropped <= DROPS_PER_LOCK + DROPS_PER_PUT,
            "{dropped} dropped"
        );
        tries += 1;
        match put {
            Ok(_) => break,
            Err(PutError::OverLimit) => assert!(tries < 5, "what expired keeps its place"),
            Err(error) => panic!("put failed: {error}"),
        }
    }
    assert!(tries > 1);
    assert_eq!(
        store.count(Some("owner")).await.expect("count").all.records,
        1
    );
}

/// A count of one owner is exact, however much of it expired.
#[tokio::test(start_paused = true)]
async fn a_count_leaves_out_all_that_expired() {
    let store = MemoryStore::new();
    for at in 0..3000_u32 {
        let mut upload = [0; 16];
        upload[..4].copy_from_slice(&at.to_be_bytes());
        let key = UploadKey::new("owner", upload).expect("a short owner");
        let put = Put::new(b"record", Expect::Absent, MINUTE).receipt(at % 2 == 0);
        store.put_with(&key, put).await.expect("put");
    }
    tokio::time::advance(MINUTE).await;
    let counts = store.count(Some("owner")).await.expect("count");
    assert_eq!(counts, Counts::default());
    assert!(store.is_empty());
}
