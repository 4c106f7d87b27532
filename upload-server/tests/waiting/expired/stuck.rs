//! Storage that hangs.

use super::*;

/// Writers of files in a separate directory, whose removals hang on command.
fn writers(dir: &TempDir, name: &str) -> FaultyWriterFactory {
    let config = FileWriterConfig::new(dir.path().join(name));
    let files = FileWriterFactory::new(config).expect("the directories");
    FaultyWriterFactory::new(Arc::new(files))
}

/// A node with a slot for each of these writers.
async fn node(
    dir: &Arc<TempDir>,
    store: &Arc<MemoryStore>,
    slots: &[(&str, FaultyWriterFactory)],
    sweep_interval: Duration,
) -> World {
    let limits = Limits {
        parked_max: 0,
        ..limits(sweep_interval)
    };
    let store = Arc::clone(store);
    World::on(Arc::clone(dir), |builder| {
        let builder = builder.limits(limits).store(store);
        slots.iter().fold(builder, |builder, (name, writers)| {
            let slot = SlotOptions::new().resumable(true).max_entries(8);
            builder.allow_upload(*name, slot.writer(writers.clone()))
        })
    })
    .await
}

/// RESUME-8: storage that hangs holds up its own removals, and neither those of others nor sweeps.
#[tokio::test]
async fn resume_8_storage_that_hangs_holds_up_no_other() {
    let dir = Arc::new(TempDir::new().expect("a directory"));
    let store = Arc::new(MemoryStore::new());
    let (stuck, well) = (writers(&dir, "stuck"), writers(&dir, "well"));
    let slots = [("stuck", stuck.clone()), ("well", well.clone())];
    let first = node(&dir, &store, &slots, Duration::from_secs(600)).await;
    // Those of the storage that hangs come first in the store.
    let mut uploads: Vec<_> = (0..6).map(|_| Uuid::new_v4()).collect();
    uploads.sort();
    for (number, upload) in uploads.into_iter().enumerate() {
        let slot = if number < 5 { "stuck" } else { "well" };
        let mut client = first.client(ALICE).await;
        let registered = client.register(upload, slot, "a.txt", 20_000).await;
        assert_eq!(registered["type"], "upload_registered", "{registered}");
        client.chunk(upload, 0, &bytes(10_000)).await;
        client
            .until(|message| message["bytes_durable"].as_u64() == Some(10_000))
            .await;
    }
    // All of them expire before the next node looks.
    tokio::time::sleep(Duration::from_secs(2)).await;
    for skip in 0..1_000 {
        stuck.disturb(Call::Reopen, skip, Fault::Hold);
    }
    let _second = node(&dir, &store, &slots, Duration::from_secs(1)).await;
    let count = |name: &str| unfinished(&dir.path().join(name));
    until("the other one is removed", || count("well") == 0).await;
    let swept = well.count(Call::Sweep);
    until("sweeps continue", || well.count(Call::Sweep) > swept + 1).await;
    assert_eq!(count("stuck"), 5);
}
