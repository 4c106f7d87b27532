//! Storage that hangs, as a whole or for some uploads.

use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use serde_json::Value;
use upload_writers::{
    BoxWriter, Checkpoint, Orphan, Reopened, SweepPolicy, UploadFacts, WriteError, WriterFactory,
    WriterTraits,
};

use super::*;

/// Files of which those called `bad.txt` cannot be removed, which takes a while to find out.
struct SomeBad {
    files: FileWriterFactory,
    /// How often one of those was to be removed.
    tries: Arc<AtomicU32>,
}

#[async_trait]
impl WriterFactory for SomeBad {
    async fn create(&self, facts: &UploadFacts) -> Result<BoxWriter, WriteError> {
        self.files.create(facts).await
    }

    async fn reopen(
        &self,
        facts: &UploadFacts,
        checkpoint: &Checkpoint,
        offset: u64,
    ) -> Result<Reopened, WriteError> {
        if facts.client_name != "bad.txt" {
            return self.files.reopen(facts, checkpoint, offset).await;
        }
        self.tries.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(5_200)).await;
        Err(WriteError::new(WriteErrorKind::Throttled, "it is bad"))
    }

    async fn delete(&self, facts: &UploadFacts, result: &Value) -> Result<(), WriteError> {
        self.files.delete(facts, result).await
    }

    fn traits(&self) -> WriterTraits {
        self.files.traits()
    }

    async fn sweep(&self, policy: &SweepPolicy) -> Result<Vec<Orphan>, WriteError> {
        self.files.sweep(policy).await
    }
}

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

/// RESUME-8: uploads that cannot be removed, and take long to fail, keep no other of their storage from being removed.
#[tokio::test]
async fn resume_8_bad_uploads_hold_up_no_other_of_their_storage() {
    let dir = Arc::new(TempDir::new().expect("a directory"));
    let store = Arc::new(MemoryStore::new());
    let tries = Arc::new(AtomicU32::new(0));
    let config = FileWriterConfig::new(dir.path().join("files"));
    let some_bad = SomeBad {
        files: FileWriterFactory::new(config).expect("the directories"),
        tries: Arc::clone(&tries),
    };
    let slots = [("slow", FaultyWriterFactory::new(Arc::new(some_bad)))];
    let first = node(&dir, &store, &slots, Duration::from_secs(600)).await;
    // The bad ones come first in the store.
    let mut uploads: Vec<_> = (0..3).map(|_| Uuid::new_v4()).collect();
    uploads.sort();
    for (upload, name) in uploads.into_iter().zip(["bad.txt", "bad.txt", "good.txt"]) {
        let mut client = first.client(ALICE).await;
        let registered = client.register(upload, "slow", name, 20_000).await;
        assert_eq!(registered["type"], "upload_registered", "{registered}");
        client.chunk(upload, 0, &bytes(10_000)).await;
        client
            .until(|message| message["bytes_durable"].as_u64() == Some(10_000))
            .await;
    }
    // All of them expire before the next node looks.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let _second = node(&dir, &store, &slots, Duration::from_secs(1)).await;
    let tried = || tries.load(Ordering::SeqCst);
    until("both are tried", || tried() >= 2).await;
    let left = || unfinished(&dir.path().join("files"));
    until("the good one is removed", || left() == 2).await;
    until("the bad ones are tried again", || tried() > 2).await;
}
