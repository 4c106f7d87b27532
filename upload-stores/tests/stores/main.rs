//! The conformance suite on the stores that need no service, and on the fault injector.

use std::sync::Arc;
use std::time::Duration;

use upload_stores::{
    Expect, FaultyStore, MEMORY_BYTES_MAX, MemoryStore, PutError, UploadKey, UploadStateStore,
    conformance,
};

mod owners;

const MINUTE: Duration = Duration::from_secs(60);

/// RESUME-4, RESUME-8: the memory store conforms, by the paused clock.
#[tokio::test(start_paused = true)]
async fn memory_conforms() {
    conformance::all(&MemoryStore::new()).await;
}

/// The memory store conforms by the real clock too.
#[tokio::test]
async fn memory_conforms_in_real_time() {
    conformance::all(&MemoryStore::new()).await;
}

/// A fault injector without faults is a store like the one inside.
#[tokio::test(start_paused = true)]
async fn faulty_without_faults_conforms() {
    conformance::all(&FaultyStore::new(Arc::new(MemoryStore::new()))).await;
}

/// One owner's records leave room in memory for those of others.
#[tokio::test(start_paused = true)]
async fn one_owner_leaves_room_in_memory() {
    let records = usize::try_from(owners::RECORDS_MAX).expect("few");
    let store = || MemoryStore::with_limits(records, MEMORY_BYTES_MAX);
    owners::receipts_of_one_owner_leave_room(&store()).await;
    owners::unfinished_uploads_of_one_owner_leave_room(&store()).await;
}

/// RESUME-4: on many threads, one of all that expect the same version wins, round after round.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_thread_wins_each_round() {
    let store = Arc::new(MemoryStore::new());
    let key = UploadKey::new("owner", [1; 16]).expect("a short owner");
    let mut expect = Expect::Absent;
    for _ in 0..200 {
        let mut racers = tokio::task::JoinSet::new();
        for racer in 0..8_u8 {
            let (store, key) = (Arc::clone(&store), key.clone());
            racers.spawn(async move { (racer, store.put(&key, &[racer], expect, MINUTE).await) });
        }
        let mut winner = None;
        while let Some(raced) = racers.join_next().await {
            match raced.expect("no panic") {
                (racer, Ok(version)) => {
                    assert!(winner.replace((racer, version)).is_none(), "two winners");
                }
                (_, Err(PutError::Conflict)) => {}
                (_, Err(error)) => panic!("put failed: {error}"),
            }
        }
        let (racer, version) = winner.expect("one wins");
        let found = store.get(&key).await.expect("get").expect("just put");
        assert_eq!((found.record, found.version), (vec![racer], version));
        expect = Expect::Version(version);
    }
}
