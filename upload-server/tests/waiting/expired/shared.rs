//! The same over stores that nodes share, a real Redis and a real Postgres.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use upload_server::stores::{
    Cursor, Expect, Facts, Page, Put, PutError, StoreError, UploadKey, Version, Versioned,
};
use upload_server::writers::{
    ObjectStoreWriterConfig, ObjectStoreWriterFactory, PartProfile, S3WriterConfig, S3WriterFactory,
};

use super::*;
use crate::{
    objects::{Counting, Ids},
    stage::{BUCKET, Stage},
    stores::Opened,
};

/// Bytes of the files that are left, of which three quarters are sent: more than a part of S3.
const SIZE: usize = 8 << 20;
/// Has a node stop for good at one step.
type Stall = fn(&Node);

/// Uploads that two nodes look at.
const LEFT: usize = 12;

fn nothing_parked() -> Limits {
    Limits {
        parked_max: 0,
        ..limits(Duration::from_secs(1))
    }
}

/// Waits until a store has no record; `bytes` may be there only as long as it has one.
async fn until_forgotten(store: &dyn UploadStateStore, what: &str, bytes: impl Fn() -> usize) {
    for _ in 0..300 {
        let records = store.count(None).await.expect("counted").all.records;
        if records == 0 {
            assert_eq!(bytes(), 0, "{what}: bytes without a record");
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{what}: it is left behind, and {} bytes or files", bytes());
}

/// RESUME-8: of each writer that resumes, the bytes go and then the record.
async fn the_bytes_of_every_writer_go(opened: Opened) {
    let dir = Arc::new(TempDir::new().expect("a directory"));
    let stage = Stage::new().await;
    let objects = Arc::new(Counting {
        // Of these a checkpoint holds as many as there are.
        ids: Ids::Hashes,
        ..Counting::default()
    });
    let in_files = FileWriterConfig::new(dir.path().join("files"));
    let in_files = FileWriterFactory::new(in_files).expect("the directories");
    let in_s3 = S3WriterFactory::new(&stage.client, S3WriterConfig::new(BUCKET));
    let in_s3 = in_s3.expect("a good configuration");
    let parts = ObjectStoreWriterConfig {
        parts: PartProfile {
            part_bytes_min: 1 << 20,
            part_bytes_step: 1,
            ..PartProfile::S3
        },
        part_bytes: 1 << 20,
        ..ObjectStoreWriterConfig::default()
    };
    let in_objects = ObjectStoreWriterFactory::resumable(Arc::clone(&objects), parts);
    let in_objects = in_objects.expect("a good configuration");
    let store = Arc::clone(&opened.store);
    let world = World::on(Arc::clone(&dir), |builder| {
        let slot = || SlotOptions::new().resumable(true).max_file_size(1 << 30);
        let builder = builder.limits(nothing_parked()).store(Arc::clone(&store));
        builder
            .allow_upload("files", slot().writer(in_files))
            .allow_upload("s3", slot().writer(in_s3))
            .allow_upload("objects", slot().writer(in_objects))
    })
    .await;
    let left = || {
        let in_files = unfinished(&dir.path().join("files"));
        let in_s3 = stage.kept().len();
        [in_files, in_s3, objects.open.load(Ordering::SeqCst)]
    };
    let file = bytes(SIZE);
    for (slot, writer) in ["files", "s3", "objects"].into_iter().zip(0..) {
        let upload = Uuid::new_v4();
        let mut client = world.client(ALICE).await;
        let registered = client.register(upload, slot, "a.bin", SIZE as u64).await;
        assert_eq!(registered["type"], "upload_registered", "{registered}");
        let chunk_size = registered["chunk_size"].as_u64().expect("a size") as usize;
        let sent = &file[..SIZE * 3 / 4];
        client.send_from(upload, sent, 0, 0, chunk_size).await;
        client
            .until(|message| message["bytes_durable"].as_u64() > Some(0))
            .await;
        assert!(left()[writer] > 0, "{slot}: nothing is stored");
        drop(client);
        until_forgotten(&*store, slot, || left().iter().sum()).await;
        let answer = world.client(ALICE).await.resume(upload, None).await;
        assert_eq!(answer["status"], "not_found", "{slot}");
    }
    assert_eq!(stage.ledger().wrongs, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resume_8_the_bytes_of_every_writer_go_with_redis() {
    the_bytes_of_every_writer_go(Opened::redis()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resume_8_the_bytes_of_every_writer_go_with_postgres() {
    the_bytes_of_every_writer_go(Opened::postgres()).await;
}

/// RESUME-8: a node that dies after one step is followed by another one, which does the rest.
async fn another_node_goes_on(open: fn() -> Opened) {
    let points: [(&str, usize, Stall); 2] = [
        ("it is claimed", 1, |node| {
            node.writers.disturb(Call::Reopen, 0, Fault::Hold);
        }),
        ("its bytes are gone", 0, |node| {
            node.store.push(FaultOn::Delete, StoreFault::StallBefore);
        }),
    ];
    for (point, files, stall) in points {
        // The nodes of a point keep looking, so each point has a separate store.
        let opened = open();
        let store = Arc::clone(&opened.store);
        let dir = Arc::new(TempDir::new().expect("a directory"));
        let first = Node::with(&dir, Arc::clone(&store), nothing_parked()).await;
        stall(&first);
        let upload = first.leave_half().await;
        for round in 0.. {
            assert!(round < 300, "{point}");
            let counts = store.count(None).await.expect("counted");
            let is_claimed = (counts.all.records, counts.unfinished.records) == (1, 0);
            if is_claimed && first.unfinished() == files {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // Nothing of it reaches the store any more.
        first.store.set_down(true);
        let second = Node::with(&dir, Arc::clone(&store), nothing_parked()).await;
        assert_eq!(second.status_of(upload).await, "not_found", "{point}");
        until_forgotten(&*store, point, || second.unfinished()).await;
        assert_eq!(second.status_of(upload).await, "not_found", "{point}");
        assert_eq!(second.counts().await, Counts::default(), "{point}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resume_8_another_node_goes_on_with_redis() {
    another_node_goes_on(Opened::redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resume_8_another_node_goes_on_with_postgres() {
    another_node_goes_on(Opened::postgres).await;
}

/// Counts the claims and deletions that took effect.
struct Effects {
    inner: Arc<dyn UploadStateStore>,
    claims: AtomicUsize,
    deletions: AtomicUsize,
}

#[async_trait]
impl UploadStateStore for Effects {
    async fn get(&self, key: &UploadKey) -> Result<Option<Versioned>, StoreError> {
        self.inner.get(key).await
    }

    async fn put_with(&self, key: &UploadKey, put: Put<'_>) -> Result<Version, PutError> {
        // What expired counts as nothing, and what is uploaded here does not.
        let is_claim = put.facts == Facts::default();
        let stored = self.inner.put_with(key, put).await?;
        self.claims.fetch_add(is_claim.into(), Ordering::SeqCst);
        Ok(stored)
    }

    async fn delete(&self, key: &UploadKey, expect: Expect) -> Result<(), PutError> {
        self.inner.delete(key, expect).await?;
        self.deletions.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn list(
        &self,
        owner: Option<&str>,
        after: Option<&Cursor>,
        most: usize,
    ) -> Result<Page, StoreError> {
        self.inner.list(owner, after, most).await
    }

    async fn count(&self, owner: Option<&str>) -> Result<Counts, StoreError> {
        self.inner.count(owner).await
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        self.inner.sweep().await
    }
}

/// RESUME-8: two nodes that look at the same time claim and delete each record once.
async fn two_nodes_delete_once(opened: Opened) {
    let effects = Arc::new(Effects {
        inner: Arc::clone(&opened.store),
        claims: AtomicUsize::new(0),
        deletions: AtomicUsize::new(0),
    });
    let dir = Arc::new(TempDir::new().expect("a directory"));
    let mut nodes = Vec::new();
    for _ in 0..2 {
        nodes.push(Node::with(&dir, Arc::clone(&effects) as _, nothing_parked()).await);
    }
    for number in 0..LEFT {
        nodes[number % 2].leave_half().await;
    }
    let store: &dyn UploadStateStore = &*opened.store;
    until_forgotten(store, "uploads of two nodes", || nodes[0].unfinished()).await;
    let done = [&effects.claims, &effects.deletions].map(|it| it.load(Ordering::SeqCst));
    assert_eq!(done, [LEFT, LEFT], "claims and deletions");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resume_8_two_nodes_delete_once_with_redis() {
    two_nodes_delete_once(Opened::redis()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resume_8_two_nodes_delete_once_with_postgres() {
    two_nodes_delete_once(Opened::postgres()).await;
}
