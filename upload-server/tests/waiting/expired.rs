//! Unfinished uploads whose time is over: their bytes go first, then their records (PROTOCOL RESUME-8).

mod idle;
mod mounted;
mod shared;
mod stuck;

use std::{fs, path::Path, sync::Arc, time::Duration};

use tempfile::TempDir;
use upload_server::{
    Limits, SessionLimits, SlotOptions, UploadsBuilder,
    stores::{Counts, MemoryStore, RedbDurability, RedbStore, StoreErrorKind, UploadStateStore},
    writers::{FileWriterConfig, FileWriterFactory, WriteErrorKind},
};
use upload_stores::{Fault as StoreFault, FaultOn, FaultyStore};
use upload_writers::{Call, Fault, FaultyWriterFactory};
use uuid::Uuid;

use crate::{
    client::Client,
    world::{ALICE, World, as_ref, bytes, until, upload},
};

fn limits(sweep_interval: Duration) -> Limits {
    Limits {
        session: SessionLimits {
            record_ttl: Duration::from_secs(1),
            lease_ttl: Duration::from_secs(1),
            ..SessionLimits::default()
        },
        sweep_interval,
        ..Limits::default()
    }
}

/// Has one step of a node's next look fail.
type Fail = fn(&Node, StoreErrorKind, WriteErrorKind);

/// One node whose storage and store fail on command.
struct Node {
    world: World,
    store: Arc<FaultyStore>,
    writers: FaultyWriterFactory,
}

impl Node {
    async fn start(
        dir: &Arc<TempDir>,
        inner: Arc<dyn UploadStateStore>,
        sweep_interval: Duration,
    ) -> Self {
        Self::with(dir, inner, limits(sweep_interval)).await
    }

    async fn with(dir: &Arc<TempDir>, inner: Arc<dyn UploadStateStore>, limits: Limits) -> Self {
        let store = Arc::new(FaultyStore::new(inner));
        let config = FileWriterConfig::new(dir.path().join("files"));
        let files = FileWriterFactory::new(config).expect("the directories");
        let writers = FaultyWriterFactory::new(Arc::new(files));
        let (kept, slot) = (Arc::clone(&store), writers.clone());
        let world = World::on(Arc::clone(dir), |builder| {
            let slot = SlotOptions::new().resumable(true).writer(slot);
            let builder = builder.limits(limits).store(kept);
            builder.allow_upload("slow", slot)
        })
        .await;
        Self {
            world,
            store,
            writers,
        }
    }

    /// Sends half of a file, and leaves.
    async fn leave_half(&self) -> Uuid {
        let upload = Uuid::new_v4();
        let mut client = self.world.client(ALICE).await;
        let registered = client.register(upload, "slow", "a.txt", 20_000).await;
        assert_eq!(registered["type"], "upload_registered", "{registered}");
        client.chunk(upload, 0, &bytes(10_000)).await;
        client
            .until(|message| message["bytes_durable"].as_u64() == Some(10_000))
            .await;
        upload
    }

    async fn counts(&self) -> Counts {
        self.store.count(None).await.expect("counted")
    }

    fn unfinished(&self) -> usize {
        unfinished(&self.world.dir.path().join("files"))
    }

    async fn status_of(&self, upload: Uuid) -> String {
        let mut client = self.world.client(ALICE).await;
        let answer = client.resume(upload, None).await;
        answer["status"].as_str().unwrap_or_default().to_owned()
    }
}

/// Counts files that have no final name.
fn unfinished(dir: &Path) -> usize {
    let Ok(entries) = fs::read_dir(dir) else {
        return 0;
    };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .map(|path| match path.is_dir() {
            true => unfinished(&path),
            false => usize::from(path.extension().is_some_and(|it| it == "part")),
        })
        .sum()
}

/// RESUME-8: wherever a step fails or its answer is lost, a later look does what is missing; meanwhile the
/// upload is not found, and neither bytes nor a record are left in the end.
#[tokio::test]
async fn resume_8_whatever_fails_half_way_is_finished_later() {
    let down = StoreErrorKind::Unavailable;
    let full = WriteErrorKind::Throttled;
    let points: [(&str, Fail); 7] = [
        ("nothing fails", |_, _, _| {}),
        ("the claim is not stored", |node, down, _| {
            node.store.push(FaultOn::Put, StoreFault::FailBefore(down));
        }),
        ("the answer of the claim is lost", |node, down, _| {
            node.store.push(FaultOn::Put, StoreFault::FailAfter(down));
        }),
        ("storage is out of reach", |node, _, full| {
            node.writers.disturb(Call::Reopen, 0, Fault::Fail(full));
        }),
        ("the bytes are not removed", |node, _, full| {
            node.writers.disturb(Call::Abort, 0, Fault::Fail(full));
        }),
        ("the record is not deleted", |node, down, _| {
            node.store
                .push(FaultOn::Delete, StoreFault::FailBefore(down));
        }),
        ("the answer of the deletion is lost", |node, down, _| {
            node.store
                .push(FaultOn::Delete, StoreFault::FailAfter(down));
        }),
    ];
    for (point, fail) in points {
        let dir = Arc::new(TempDir::new().expect("a directory"));
        let store = Arc::new(MemoryStore::new());
        let node = Node::start(&dir, store, Duration::from_secs(1)).await;
        let upload = node.leave_half().await;
        // The lease is given back by then, so the next save is the claim.
        until("it is released", || node.unfinished() == 1).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        fail(&node, down, full);
        for round in 0.. {
            assert!(round < 300, "{point}: it is left behind");
            let (records, files) = (node.counts().await.all.records, node.unfinished());
            assert!(records > 0 || files == 0, "{point}: bytes without a record");
            if records == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(node.status_of(upload).await, "not_found", "{point}");
        assert_eq!(node.counts().await, Counts::default(), "{point}");
    }
}

/// RESUME-8: an upload that is claimed is not found, and takes no place of its owner; the next process removes
/// what a dead one had claimed, on a store that outlives it.
#[tokio::test]
async fn resume_8_the_next_process_removes_what_was_claimed() {
    let dir = Arc::new(TempDir::new().expect("a directory"));
    let open = || RedbStore::open(dir.path().join("state"), RedbDurability::Process);
    let store = Arc::new(open().await.expect("the embedded store"));
    let node = Node::start(&dir, Arc::clone(&store) as _, Duration::from_secs(1)).await;
    for skip in 0..1000 {
        let fault = Fault::Fail(WriteErrorKind::Throttled);
        node.writers.disturb(Call::Reopen, skip, fault);
    }
    let upload = node.leave_half().await;
    for round in 0.. {
        assert!(round < 300, "it is claimed");
        let counts = node.counts().await;
        if counts.all.records == 1 && counts.unfinished.records == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(node.status_of(upload).await, "not_found");
    assert_eq!(node.unfinished(), 1);
    store.close().await.expect("it was open");
    drop(node);
    let store = Arc::new(open().await.expect("the embedded store"));
    let node = Node::start(&dir, store, Duration::from_secs(600)).await;
    until("its bytes are removed", || node.unfinished() == 0).await;
    for round in 0.. {
        assert!(round < 300, "its record is deleted");
        if node.counts().await == Counts::default() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// RESUME-8: until it is claimed, a resume continues an upload, whose bytes are there.
#[tokio::test]
async fn resume_8_a_resume_before_the_claim_wins() {
    let dir = Arc::new(TempDir::new().expect("a directory"));
    let open = || RedbStore::open(dir.path().join("state"), RedbDurability::Process);
    let store = Arc::new(open().await.expect("the embedded store"));
    let never = Duration::from_secs(600);
    let node = Node::start(&dir, Arc::clone(&store) as _, never).await;
    let upload = node.leave_half().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut client: Client = node.world.client(ALICE).await;
    let resumed = client.resume(upload, None).await;
    assert_eq!(resumed["status"], "resumed", "{resumed}");
    assert_eq!(resumed["bytes_received"], 10_000);
}
