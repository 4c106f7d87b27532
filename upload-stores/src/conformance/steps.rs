//! What the parts of the suite have in common.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::count::Facts;
use crate::key::UploadKey;
use crate::store::{Expect, Put, UploadStateStore, Version, Versioned};

/// Long enough that nothing expires while the suite runs.
pub(super) const LONG: Duration = Duration::from_secs(3600);

pub(super) async fn read(store: &dyn UploadStateStore, key: &UploadKey) -> Option<Versioned> {
    store.get(key).await.expect("get")
}

pub(super) async fn put(
    store: &dyn UploadStateStore,
    key: &UploadKey,
    record: &[u8],
    expect: Expect,
) -> Version {
    store.put(key, record, expect, LONG).await.expect("put")
}

/// Puts a record with facts, without a limit.
pub(super) async fn put_counted(
    store: &dyn UploadStateStore,
    key: &UploadKey,
    expect: Expect,
    facts: Facts,
) -> Version {
    let put = Put::new(b"counted", expect, LONG).counted(facts);
    store.put_with(key, put).await.expect("put")
}

pub(super) async fn delete(store: &dyn UploadStateStore, key: &UploadKey, expect: Expect) {
    store.delete(key, expect).await.expect("delete");
}

pub(super) fn versioned(record: &[u8], version: Version) -> Versioned {
    Versioned {
        record: record.to_vec(),
        version,
    }
}

/// Bytes that differ from place to place and from size to size.
pub(super) fn pattern(size: usize) -> Vec<u8> {
    (0..size)
        .map(|at| {
            let mixed = (at as u64 ^ (size as u64) << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed.to_be_bytes()[0]
        })
        .collect()
}

pub(super) fn fresh_key(owner: impl AsRef<str>) -> UploadKey {
    UploadKey::new(owner, fresh_upload()).expect("a short owner")
}

/// The name of an owner that was never used before.
pub(super) fn fresh_owner() -> String {
    format!("owner {:?}", u128::from_be_bytes(fresh_upload()))
}

/// An upload id that was never used before, not even by an earlier run on the same server.
pub(super) fn fresh_upload() -> [u8; 16] {
    // Every `RandomState` has other keys, at first from the operating system.
    let half = || RandomState::new().hash_one(0_u64).to_be_bytes();
    let mut upload = [0; 16];
    upload[..8].copy_from_slice(&half());
    upload[8..].copy_from_slice(&half());
    upload
}
