//! What goes in comes out.

use super::steps::{LONG, fresh_key, pattern, put, read, versioned};
use crate::error::PutError;
use crate::store::{Expect, RECORD_BYTES_MAX, UploadStateStore, Version};

/// A get returns the record and the version of the last put, and `None` before the first.
pub async fn get_returns_what_was_put(store: &dyn UploadStateStore) {
    let key = fresh_key("get");
    assert_eq!(read(store, &key).await, None, "nothing was put yet");

    let first = put(store, &key, b"first", Expect::Absent).await;
    assert_eq!(read(store, &key).await, Some(versioned(b"first", first)));

    let second = put(store, &key, b"second", Expect::Version(first)).await;
    assert_ne!(first, second, "every put makes a new version");
    let mut copy = read(store, &key).await.expect("just put");
    assert_eq!(copy, versioned(b"second", second));

    copy.record.clear();
    assert_eq!(
        read(store, &key).await,
        Some(versioned(b"second", second)),
        "what get returns is a copy"
    );

    let third = put(store, &key, b"second", Expect::Version(second)).await;
    assert_ne!(second, third, "also if the record stays the same");
}

/// Records are bytes: empty, not UTF-8, NUL, line ends, what a number or nothing looks like.
pub async fn records_of_any_bytes(store: &dyn UploadStateStore) {
    let every_byte: Vec<u8> = (0..=255).collect();
    let records: [&[u8]; 7] = [
        b"",
        b"\0",
        b"0",
        b"\r\n$-1\r\n",
        b"\xff\xfe\x80",
        b"nil",
        &every_byte,
    ];
    for record in records {
        let key = fresh_key("bytes");
        let version = put(store, &key, record, Expect::Absent).await;
        assert_eq!(read(store, &key).await, Some(versioned(record, version)));
        let again = store.put(&key, record, Expect::Absent, LONG).await;
        assert!(
            matches!(again, Err(PutError::Conflict)),
            "a record of {} bytes is there",
            record.len()
        );
    }
}

/// Records up to the limit come back whole, even if one replaces a longer or a shorter one.
pub async fn records_of_every_size(store: &dyn UploadStateStore) {
    let key = fresh_key("sizes");
    let mut expect = Expect::Absent;
    for size in [
        1,
        RECORD_BYTES_MAX,
        0,
        4095,
        4096,
        4097,
        17,
        RECORD_BYTES_MAX - 1,
    ] {
        let record = pattern(size);
        let version = put(store, &key, &record, expect).await;
        assert_eq!(
            read(store, &key).await,
            Some(versioned(&record, version)),
            "a record of {size} bytes"
        );
        expect = Expect::Version(version);
    }
}

/// A record over the limit is refused whatever is expected, and what was there stays.
pub async fn too_large_is_refused(store: &dyn UploadStateStore) {
    let record = pattern(RECORD_BYTES_MAX + 1);
    let is_refused = |answer: Result<Version, PutError>| {
        let Err(PutError::TooLarge { bytes, limit }) = answer else {
            panic!("a record over the limit was answered {answer:?}");
        };
        assert_eq!((bytes, limit), (RECORD_BYTES_MAX + 1, RECORD_BYTES_MAX));
    };
    let key = fresh_key("large");
    is_refused(store.put(&key, &record, Expect::Absent, LONG).await);
    assert_eq!(read(store, &key).await, None);

    let version = put(store, &key, b"small", Expect::Absent).await;
    is_refused(
        store
            .put(&key, &record, Expect::Version(version), LONG)
            .await,
    );
    is_refused(store.put(&key, &record, Expect::Absent, LONG).await);
    assert_eq!(read(store, &key).await, Some(versioned(b"small", version)));
}
