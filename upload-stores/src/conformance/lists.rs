//! Records are found by owner, and all of them, in pages.

use std::collections::HashMap;

use super::steps::{delete, fresh_key, fresh_owner, put_counted};
use crate::count::{CountsAs, Facts};
use crate::key::UploadKey;
use crate::list::{Listed, PAGE_RECORDS_MAX};
use crate::store::{Expect, UploadStateStore, Versioned};

/// Pages after which a walk is declared to have no end.
const PAGES_MAX: usize = 100_000;

/// A list of an owner has all its records, as they were put, and no others, in pages of any size.
pub async fn lists_of_an_owner_give_its_records(store: &dyn UploadStateStore) {
    let (owner, other) = (fresh_owner(), fresh_owner());
    assert!(walk(store, Some(&owner), 10).await.is_empty());
    // An owner whose name begins as this one's does.
    put_counted(
        store,
        &fresh_key(format!("{owner}+")),
        Expect::Absent,
        Facts::default(),
    )
    .await;
    put_counted(store, &fresh_key(&other), Expect::Absent, Facts::default()).await;
    let mut expected = HashMap::new();
    for number in 0..37_u64 {
        let key = fresh_key(&owner);
        let facts = match number % 3 {
            0 => Facts::unfinished(number),
            1 => Facts::waiting(number << 32),
            _ => Facts::new(CountsAs::Nothing, number),
        };
        let version = put_counted(store, &key, Expect::Absent, facts).await;
        if number == 36 {
            delete(store, &key, Expect::Version(version)).await;
            continue;
        }
        let stored = Versioned {
            record: b"counted".to_vec(),
            version,
        };
        expected.insert(key, (stored, facts));
    }
    for most in [1, 7, 36, 37, usize::MAX, 0] {
        let found = walk(store, Some(&owner), most).await;
        assert_eq!(by_key(found), expected, "pages of {most}");
    }
    assert_eq!(walk(store, Some(&other), 10).await.len(), 1);
    assert!(
        walk(store, Some(&"o".repeat(256)), 10).await.is_empty(),
        "no owner has so long a name"
    );
}

/// A list of all owners has every record, in pages, also while records come and go.
pub async fn lists_give_every_record(store: &dyn UploadStateStore) {
    let mut expected = HashMap::new();
    for number in 0..60 {
        let key = fresh_key(fresh_owner());
        let facts = Facts::unfinished(number);
        let version = put_counted(store, &key, Expect::Absent, facts).await;
        expected.insert(key, (version, facts));
    }
    let passing = fresh_owner();
    let mut found = HashMap::new();
    let mut after = None;
    for page in 0.. {
        assert!(page < PAGES_MAX, "the list has no end");
        let listed = store.list(None, after.as_ref(), 7).await.expect("list");
        for listed in listed.records {
            found.insert(listed.key, (listed.stored.version, listed.facts));
        }
        after = listed.next;
        if after.is_none() {
            break;
        }
        let key = fresh_key(&passing);
        let version = put_counted(store, &key, Expect::Absent, Facts::default()).await;
        delete(store, &key, Expect::Version(version)).await;
    }
    for (key, stored) in expected {
        assert_eq!(found.get(&key), Some(&stored), "{key:?}");
    }
}

/// Returns what a walk over all pages finds.
pub(super) async fn walk(
    store: &dyn UploadStateStore,
    owner: Option<&str>,
    most: usize,
) -> Vec<Listed> {
    let mut found = Vec::new();
    let mut after = None;
    for _ in 0..PAGES_MAX {
        let page = store.list(owner, after.as_ref(), most).await.expect("list");
        // Some backends give whole buckets only.
        assert!(page.records.len() <= most.clamp(1, PAGE_RECORDS_MAX) + PAGE_RECORDS_MAX);
        found.extend(page.records);
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
    panic!("the list has no end");
}

/// A record may come twice.
fn by_key(found: Vec<Listed>) -> HashMap<UploadKey, (Versioned, Facts)> {
    found
        .into_iter()
        .map(|listed| (listed.key, (listed.stored, listed.facts)))
        .collect()
}
