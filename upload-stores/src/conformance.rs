//! What every store must do, as functions that panic where one does not.
//!
//! Call [`all`] on your store, or the parts one by one. Each part uses keys nobody used before, so
//! the store may hold other records and several suites may run on it at once. Expiry is waited for
//! by asking again and again; under a paused tokio clock, a store that goes by that clock is done
//! at once.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use futures_util::future::join_all;

use crate::error::PutError;
use crate::key::{OWNER_BYTES_MAX, UploadKey};
use crate::store::{Expect, RECORD_BYTES_MAX, UploadStateStore, Version, Versioned};

/// Long enough that nothing expires while the suite runs.
const LONG: Duration = Duration::from_secs(3600);

/// Short enough to wait for.
const SHORT: Duration = Duration::from_millis(150);

/// How often an expiry is asked for before the store is declared to keep its records too long.
const ASKS_MAX: usize = 2000;

/// The pause between asking, so that the wait is at most 20 s.
const ASK_PAUSE: Duration = Duration::from_millis(10);

/// Callers that race for one record.
const RACERS: u8 = 32;

/// Runs the whole suite.
///
/// # Panics
///
/// Panics, as every function of this module does, where the store breaks its contract.
pub async fn all(store: &dyn UploadStateStore) {
    get_returns_what_was_put(store).await;
    records_of_any_bytes(store).await;
    records_of_every_size(store).await;
    too_large_is_refused(store).await;
    put_expectations(store).await;
    delete_expectations(store).await;
    delete_is_idempotent(store).await;
    stale_versions_conflict(store).await;
    versions_are_never_reused(store).await;
    owners_are_apart(store).await;
    uploads_are_apart(store).await;
    odd_owners(store).await;
    one_racer_wins(store).await;
    racers_lose_no_update(store).await;
    expired_is_missing(store).await;
    put_renews_the_time_to_live(store).await;
    any_time_to_live(store).await;
    sweep_leaves_the_living(store).await;
}

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

/// Records up to the limit come back whole, also where one replaces a longer or a shorter one.
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

/// Whoever was overtaken can change nothing any more (PROTOCOL RESUME-4).
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

/// Of many that expect the same, exactly one wins, whether the record is to be made, changed or
/// deleted.
pub async fn one_racer_wins(store: &dyn UploadStateStore) {
    for _ in 0..4 {
        let key = fresh_key("race");
        let version = race(store, &key, Expect::Absent).await;
        let version = race(store, &key, Expect::Version(version)).await;

        let deletes = (0..RACERS).map(|_| store.delete(&key, Expect::Version(version)));
        let won = count_winners(join_all(deletes).await).len();
        assert_eq!(won, 1, "one delete wins");
        assert_eq!(read(store, &key).await, None);
    }
}

/// Many that read, add one and try again lose no update.
pub async fn racers_lose_no_update(store: &dyn UploadStateStore) {
    let key = fresh_key("count");
    put(store, &key, &[0], Expect::Absent).await;
    join_all((0..8).map(|_| async {
        for _ in 0..4 {
            loop {
                let now = read(store, &key).await.expect("nobody deletes it");
                let more = [now.record[0] + 1];
                match store
                    .put(&key, &more, Expect::Version(now.version), LONG)
                    .await
                {
                    Ok(_) => break,
                    Err(PutError::Conflict) => {}
                    Err(error) => panic!("put failed: {error}"),
                }
            }
        }
    }))
    .await;
    let count = read(store, &key).await.expect("nobody deletes it");
    assert_eq!(count.record, [32]);
}

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

async fn race(store: &dyn UploadStateStore, key: &UploadKey, expect: Expect) -> Version {
    let puts = (0..RACERS).map(|racer| async move {
        let version = store.put(key, &[racer], expect, LONG).await?;
        Ok((racer, version))
    });
    let winners = count_winners(join_all(puts).await);
    assert_eq!(winners.len(), 1, "one put wins");
    let (racer, version) = winners[0];
    assert_eq!(read(store, key).await, Some(versioned(&[racer], version)));
    version
}

fn count_winners<T>(answers: Vec<Result<T, PutError>>) -> Vec<T> {
    answers
        .into_iter()
        .filter_map(|answer| match answer {
            Ok(won) => Some(won),
            Err(PutError::Conflict) => None,
            Err(error) => panic!("a racer failed: {error}"),
        })
        .collect()
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

async fn read(store: &dyn UploadStateStore, key: &UploadKey) -> Option<Versioned> {
    store.get(key).await.expect("get")
}

async fn put(
    store: &dyn UploadStateStore,
    key: &UploadKey,
    record: &[u8],
    expect: Expect,
) -> Version {
    store.put(key, record, expect, LONG).await.expect("put")
}

async fn delete(store: &dyn UploadStateStore, key: &UploadKey, expect: Expect) {
    store.delete(key, expect).await.expect("delete");
}

fn versioned(record: &[u8], version: Version) -> Versioned {
    Versioned {
        record: record.to_vec(),
        version,
    }
}

/// Bytes that differ from place to place and from size to size.
fn pattern(size: usize) -> Vec<u8> {
    (0..size)
        .map(|at| {
            let mixed = (at as u64 ^ (size as u64) << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed.to_be_bytes()[0]
        })
        .collect()
}

fn fresh_key(owner: &str) -> UploadKey {
    UploadKey::new(owner, fresh_upload()).expect("a short owner")
}

/// An upload id nobody used before, also not an earlier run on the same server.
fn fresh_upload() -> [u8; 16] {
    // Every `RandomState` has other keys, at first from the operating system.
    let half = || RandomState::new().hash_one(0_u64).to_be_bytes();
    let mut upload = [0; 16];
    upload[..8].copy_from_slice(&half());
    upload[8..].copy_from_slice(&half());
    upload
}
