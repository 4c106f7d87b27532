//! Each upload of each owner has a separate record.

use super::steps::{delete, fresh_upload, pattern, put, read, versioned};
use crate::key::{OWNER_BYTES_MAX, UploadKey};
use crate::store::{Expect, UploadStateStore};

/// Two owners that use the same upload id do not meet.
pub async fn owners_are_apart(store: &dyn UploadStateStore) {
    let upload = fresh_upload();
    let names = ["a", "b", "ab", "", "a\0", "A"];
    same_upload_different_owners(store, upload, &names.map(str::to_owned)).await;
}

/// Uploads of one owner do not meet.
pub async fn uploads_are_apart(store: &dyn UploadStateStore) {
    let mut upload = fresh_upload();
    let mut keys = Vec::new();
    for last in 0..8 {
        upload[15] = last;
        keys.push(UploadKey::new("one owner", upload).expect("a short owner"));
    }
    distinct(store, &keys).await;
}

/// Owner names may hold anything a string may.
pub async fn odd_owners(store: &dyn UploadStateStore) {
    let upload = fresh_upload();
    let names = [
        "\0",
        "\0\0",
        "{",
        "}",
        "{}",
        "{a}",
        "a}{b",
        "../../etc/passwd",
        "a/b",
        "a:b",
        "a b",
        "*",
        "?",
        "\r\n",
        "\"'\\",
        "ü",
        "u\u{308}",
        "\u{1f984}",
        "\u{202e}",
        "\u{10ffff}",
    ];
    let mut owners: Vec<String> = names.map(str::to_owned).to_vec();
    owners.push("o".repeat(OWNER_BYTES_MAX));
    owners.push("o".repeat(OWNER_BYTES_MAX - 1));
    owners.push("\u{1f984}".repeat(OWNER_BYTES_MAX / 4));
    same_upload_different_owners(store, upload, &owners).await;
}

async fn same_upload_different_owners(
    store: &dyn UploadStateStore,
    upload: [u8; 16],
    owners: &[String],
) {
    let keys: Vec<UploadKey> = owners
        .iter()
        .map(|owner| UploadKey::new(owner, upload).expect("a short owner"))
        .collect();
    distinct(store, &keys).await;
}

/// Every key has its own record, and deleting one leaves the others.
async fn distinct(store: &dyn UploadStateStore, keys: &[UploadKey]) {
    let mut versions = Vec::new();
    for (number, key) in keys.iter().enumerate() {
        assert_eq!(read(store, key).await, None, "{key:?}, key {number}");
        versions.push(put(store, key, &pattern(number), Expect::Absent).await);
    }
    for (number, key) in keys.iter().enumerate() {
        let expected = versioned(&pattern(number), versions[number]);
        assert_eq!(
            read(store, key).await,
            Some(expected),
            "{key:?}, key {number}"
        );
        delete(store, key, Expect::Version(versions[number])).await;
        assert_eq!(read(store, key).await, None, "{key:?}, key {number}");
    }
}
