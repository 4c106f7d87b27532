//! Of many at once, one wins.

use futures_util::future::join_all;

use super::steps::{LONG, fresh_key, put, read, versioned};
use crate::error::PutError;
use crate::key::UploadKey;
use crate::store::{Expect, UploadStateStore, Version};

/// Callers that race for one record.
const RACERS: u8 = 32;

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
