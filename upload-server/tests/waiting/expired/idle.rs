//! Uploads that storage has not heard of for long, and that are alive.

use upload_server::writers::{S3WriterConfig, S3WriterFactory, UploadFacts, WriterFactory};

use super::*;
use crate::stage::{BUCKET, Stage};

/// Bytes of a file, of which three quarters are sent: more than a part of S3.
const SIZE: usize = 8 << 20;

/// A node that shares a bucket and a store with others.
async fn node(
    dir: &Arc<TempDir>,
    stage: &Stage,
    store: &Arc<MemoryStore>,
) -> (World, FaultyWriterFactory) {
    let s3 = S3WriterFactory::new(&stage.client, S3WriterConfig::new(BUCKET));
    let s3 = FaultyWriterFactory::new(Arc::new(s3.expect("a good configuration")));
    let limits = Limits {
        parked_max: 0,
        sweep_interval: Duration::from_secs(1),
        ..Limits::default()
    };
    let (store, writers) = (Arc::clone(store), s3.clone());
    let world = World::on(Arc::clone(dir), |builder| {
        let slot = SlotOptions::new().resumable(true).max_file_size(1 << 30);
        let builder = builder.limits(limits).store(store);
        builder.allow_upload("s3", slot.writer(writers))
    })
    .await;
    (world, s3)
}

/// RESUME-8: no node aborts a multipart upload that a record names, however long ago its last part was stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resume_8_a_multipart_upload_with_a_record_is_no_orphan() {
    let dir = Arc::new(TempDir::new().expect("a directory"));
    let (stage, store) = (Stage::new().await, Arc::new(MemoryStore::new()));
    let (first, writers) = node(&dir, &stage, &store).await;
    let upload = Uuid::new_v4();
    let mut client = first.client(ALICE).await;
    let registered = client.register(upload, "s3", "a.bin", SIZE as u64).await;
    assert_eq!(registered["type"], "upload_registered", "{registered}");
    let chunk_size = registered["chunk_size"].as_u64().expect("a size") as usize;
    let file = bytes(SIZE);
    let sent = &file[..SIZE * 3 / 4];
    client.send_from(upload, sent, 0, 0, chunk_size).await;
    client
        .until(|message| message["bytes_durable"].as_u64() > Some(0))
        .await;
    drop(client);
    // One that no record names, of a process that died.
    let facts = UploadFacts::new(Uuid::new_v4().to_string(), "s3", SIZE as u64);
    drop(writers.create(&facts).await.expect("creates"));
    let unfinished = || stage.ledger().unfinished().count();
    until("both are there", || unfinished() == 2).await;
    stage.ledger().age_by(1_000_000);
    let (second, writers) = node(&dir, &stage, &store).await;
    until("the orphan is removed", || unfinished() < 2).await;
    let swept = writers.count(Call::Sweep);
    until("it is swept again", || {
        writers.count(Call::Sweep) > swept + 1
    })
    .await;
    assert_eq!(unfinished(), 1);
    let resumed = second.client(ALICE).await.resume(upload, None).await;
    assert_eq!(resumed["status"], "resumed", "{resumed}");
    assert!(resumed["bytes_received"].as_u64() > Some(0), "{resumed}");
}
