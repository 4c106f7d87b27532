//! The S3 writer against a server in this process: the contract, sizes, faults, going on, sweeping.

mod denials;
mod faults;
mod ledger;
mod proxies;
mod resume;
mod stage;
#[cfg(feature = "object-store-s3")]
mod store_faults;
mod sweeps;

use std::{collections::VecDeque, time::Duration};

use async_trait::async_trait;
use aws_sdk_s3::error::ProvideErrorMetadata;
use bytes::Bytes;
use serde_json::Value;
use upload_writers::{
    AbortReason, BoxWriter, NamedUploads, RetryPolicy, S3Provider, S3WriterConfig, S3WriterFactory,
    SweepPolicy, UploadFacts, WriterFactory,
    conformance::{self, Backend, facts, pattern},
};

use stage::{Asked, BUCKET, Fault, Stage};

const MIB: usize = 1 << 20;

/// What tests write in one go: about what a slot's chunk is.
const CHUNK: usize = 64 * 1024;

fn config() -> S3WriterConfig {
    S3WriterConfig {
        prefix: "u/".to_owned(),
        retry: RetryPolicy {
            attempts: 5,
            backoff: Duration::from_millis(1),
            ..RetryPolicy::default()
        },
        ..S3WriterConfig::new(BUCKET)
    }
}

fn factory(stage: &Stage) -> S3WriterFactory {
    factory_with(stage, |_| {})
}

fn factory_with(stage: &Stage, change: impl FnOnce(&mut S3WriterConfig)) -> S3WriterFactory {
    let mut config = config();
    change(&mut config);
    S3WriterFactory::new(&stage.client, config).expect("a good configuration")
}

/// Writes all of `bytes` in chunks.
async fn write(writer: &mut BoxWriter, bytes: &Bytes) -> Result<(), upload_writers::WriteError> {
    let mut rest = bytes.clone();
    while !rest.is_empty() {
        let chunk = rest.split_to(rest.len().min(CHUNK));
        let mut chunks = VecDeque::from([chunk]);
        writer.write_chunks(&mut chunks).await?;
    }
    Ok(())
}

/// Stores a whole file; answers its result.
async fn store(
    factory: &dyn WriterFactory,
    facts: &UploadFacts,
    bytes: &Bytes,
) -> Result<Value, upload_writers::WriteError> {
    let mut writer = factory.create(facts).await?;
    let done = match write(&mut writer, bytes).await {
        Ok(()) => writer.close().await,
        Err(error) => Err(error),
    };
    if let Err(error) = &done {
        writer.abort(&AbortReason::Storage(error.kind)).await;
    }
    done
}

async fn assert_stored(stage: &Stage, result: &Value, bytes: &[u8]) {
    assert_eq!(result["bucket"], BUCKET);
    assert_eq!(result["size"], bytes.len());
    let key = result["key"].as_str().expect("a key");
    let stored = stage.read(key).await.expect("the object is there");
    assert!(stored == bytes, "{} bytes differ", bytes.len());
    let etag = result["etag"].as_str().expect("an entity tag");
    assert!(!etag.is_empty() && !etag.contains('"'));
}

struct InBucket {
    stage: Stage,
    factory: S3WriterFactory,
}

#[async_trait]
impl Backend for InBucket {
    fn factory(&self) -> &dyn WriterFactory {
        &self.factory
    }

    async fn read(&self, result: &Value) -> Option<Vec<u8>> {
        self.stage.read(result["key"].as_str()?).await
    }

    async fn list(&self) -> Vec<String> {
        self.stage.kept()
    }

    fn fences(&self) -> bool {
        false
    }

    fn bulk_bytes(&self) -> usize {
        16 * MIB
    }
}

/// RESUME-2, RESUME-3, COMPLETE-4, COMPLETE-5, CHUNK-1: the S3 writer keeps its contract, and does
/// nothing S3 would refuse.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_the_contract() {
    let stage = Stage::new().await;
    let factory = factory(&stage);
    let backend = InBucket { stage, factory };
    conformance::run_all(&backend).await;
    assert_eq!(backend.stage.ledger().wrongs, [""; 0]);
}

/// Every kind of provider gets the same bytes; what is at and around one part is one request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stores_every_size_byte_for_byte() {
    let stage = Stage::new().await;
    for (provider, sizes) in [
        (
            S3Provider::AWS,
            &[0, 1, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 64 * MIB][..],
        ),
        (S3Provider::GARAGE, &[1, 11 * MIB]),
        (S3Provider::GENERIC, &[0, 1, 11 * MIB]),
    ] {
        let factory = factory_with(&stage, |config| config.provider = provider);
        for size in sizes {
            stage.take_asked();
            let bytes = Bytes::from(pattern(*size as u64, *size));
            let result = store(&factory, &facts(1, *size), &bytes).await;
            let asked = stage.take_asked();
            if *size <= 5 * MIB {
                assert_eq!(asked, [Asked::Put], "{size}");
            } else {
                let parts = size.div_ceil(5 * MIB);
                assert_eq!(asked.len(), parts + 2, "{size}");
            }
            assert_stored(&stage, &result.expect("stores"), &bytes).await;
        }
    }
    assert_eq!(stage.ledger().wrongs, [""; 0]);
}

/// The object says what it is, and nothing of the raw name or the owner.
#[tokio::test]
async fn objects_carry_their_headers() {
    let stage = Stage::new().await;
    let factory = factory(&stage);
    for size in [3, 6 * MIB] {
        let mut facts = facts(2, size);
        facts.owner = "alice@example.org".to_owned();
        facts.client_name = "../../evil\r\n.pdf".to_owned();
        facts.safe_client_name = "résumé.pdf".to_owned();
        facts.client_type = "application/pdf".to_owned();
        let bytes = Bytes::from(pattern(2, size));
        let result = store(&factory, &facts, &bytes).await.expect("stores");
        let key = result["key"].as_str().expect("a key");
        assert!(
            key.starts_with("u/") && key.ends_with("-résumé.pdf"),
            "{key}"
        );
        assert!(!key.contains("alice") && !key.contains("evil"));
        let ledger = stage.ledger();
        let headers = &ledger.headers[key];
        assert_eq!(headers["content-type"], "application/pdf");
        assert_eq!(headers["x-amz-meta-upload-id"], facts.upload_id);
        let disposition =
            "attachment; filename=\"r_sum_.pdf\"; filename*=UTF-8''r%C3%A9sum%C3%A9.pdf";
        assert_eq!(headers["content-disposition"], disposition);
        if size == 3 {
            assert_eq!(headers["if-none-match"], "*");
        } else {
            assert_eq!(headers["x-amz-checksum-algorithm"], "CRC32C");
            assert_eq!(headers["x-amz-checksum-type"], "FULL_OBJECT");
        }
    }
}

/// What is held in memory is told, and stays within what the factory says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_bounded_and_told() {
    let stage = Stage::new().await;
    let factory = factory_with(&stage, |config| config.max_parts_in_flight = 2);
    let size = 30 * MIB;
    let most = factory.held_bytes_max(size as u64);
    assert_eq!(most, 15 * MIB as u64);
    let mut writer = factory.create(&facts(3, size)).await.expect("creates");
    let mut rest = Bytes::from(pattern(3, size));
    while !rest.is_empty() {
        let chunk = rest.split_to(rest.len().min(CHUNK));
        let mut chunks = VecDeque::from([chunk]);
        let written = writer.write_chunks(&mut chunks).await.expect("writes");
        let held = writer.buffered().bytes;
        assert!(held <= most, "{held} of {most} bytes");
        assert!(held <= written.received);
        assert!(written.received - written.durable <= most + 5 * MIB as u64);
    }
    writer.close().await.expect("closes");
    assert_eq!(writer.buffered().bytes, 0);
    assert_eq!(factory.held_bytes_max(1_000), 1_000);
}

/// RESUME-8: what nobody goes on with is found and removed, what somebody holds is not.
#[tokio::test]
async fn sweeps_what_has_rested() {
    let stage = Stage::new().await;
    let factory = factory(&stage);
    let bytes = Bytes::from(pattern(4, 6 * MIB));
    let created = factory.create(&facts(4, 16 * MIB)).await;
    let mut left = created.expect("creates");
    write(&mut left, &bytes).await.expect("writes");
    left.flush().await.expect("flushes");
    let policy = |seconds, dry_run| SweepPolicy {
        resumable_older_than: Duration::from_secs(seconds),
        others_older_than: Duration::ZERO,
        named: NamedUploads::default(),
        dry_run,
    };
    stage.ledger().age_by(1_000);
    let kept = stage.kept();
    assert_eq!(
        factory.sweep(&policy(500, false)).await.expect("sweeps"),
        []
    );
    drop(left);
    assert_eq!(
        factory.sweep(&policy(2_000, false)).await.expect("sweeps"),
        []
    );
    let found = factory.sweep(&policy(500, true)).await.expect("sweeps");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].bytes, 5 * MIB as u64);
    assert!(found[0].age >= Duration::from_secs(1_000));
    assert_eq!(stage.kept(), kept, "a dry run removes nothing");
    let swept = factory.sweep(&policy(500, false)).await.expect("sweeps");
    assert_eq!(swept.len(), 1);
    assert_eq!(stage.kept(), [""; 0]);
    assert_eq!(factory.sweep(&policy(0, false)).await.expect("sweeps"), []);
}

/// RESUME-8: so it is where a list by prefix finds nothing but a whole key, as with MinIO; other uploads of
/// the bucket are left alone.
#[tokio::test]
async fn sweeps_where_prefixes_are_not_listed() {
    let stage = Stage::new().await;
    stage.ledger().lists_whole_keys = true;
    let minio = |prefix: &str| {
        factory_with(&stage, |config| {
            config.provider = S3Provider::MINIO;
            config.prefix = prefix.to_owned();
        })
    };
    for prefix in ["other/", "u/", "u/"] {
        let created = minio(prefix).create(&facts(5, 16 * MIB)).await;
        drop(created.expect("creates"));
    }
    stage.ledger().age_by(1_000);
    let policy = SweepPolicy {
        resumable_older_than: Duration::from_secs(500),
        others_older_than: Duration::ZERO,
        named: NamedUploads::default(),
        dry_run: false,
    };
    let swept = minio("u/").sweep(&policy).await.expect("sweeps");
    assert_eq!(swept.len(), 2);
    let left = stage.kept();
    assert!(left.len() == 1 && left[0].contains("other/"), "{left:?}");
}

/// RESUME-8: however many young uploads come first in the list, an old one is found.
#[tokio::test]
async fn young_uploads_hide_no_old_one() {
    let stage = Stage::new().await;
    let factory = factory(&stage);
    let mut writers = Vec::new();
    for number in 0..7 {
        let mut facts = facts(number, 16 * MIB);
        facts.owner = number.to_string();
        writers.push(factory.create(&facts).await.expect("creates"));
    }
    writers.clear();
    stage.ledger().age_last_by(1_000);
    let policy = SweepPolicy {
        resumable_older_than: Duration::from_secs(500),
        others_older_than: Duration::ZERO,
        named: NamedUploads::default(),
        dry_run: false,
    };
    assert_eq!(factory.sweep(&policy).await.expect("sweeps").len(), 1);
    assert_eq!(stage.kept().len(), 6);
}

/// Google says of what is gone that there is no such key, where others say that it is deleted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_what_is_gone_is_no_error() {
    let stage = Stage::new().await;
    let factory = factory_with(&stage, |config| config.provider = S3Provider::GCS);
    let facts = facts(6, 10);
    let stored = store(&factory, &facts, &Bytes::from_static(b"0123456789")).await;
    let result = stored.expect("stores");
    let answer = Fault::Code(404, "NoSuchKey");
    stage.disturb(move |asked| (*asked == Asked::Other).then_some(answer));
    let deleted = factory.delete(&facts, &result).await;
    deleted.expect("it is gone");
    assert!(stage.take_asked().contains(&Asked::Other));
}

/// The stand-in's answers come from the SDK's own model, so that a typo in them shows.
#[tokio::test]
async fn the_stage_answers_as_s3_does() {
    let stage = Stage::new().await;
    let lists = stage.client.list_multipart_uploads().bucket(BUCKET).send();
    assert_eq!(lists.await.expect("lists").uploads(), []);
    let parts = stage
        .client
        .list_parts()
        .bucket(BUCKET)
        .key("k")
        .upload_id("1");
    let error = parts.send().await.expect_err("no such upload");
    assert_eq!(error.code(), Some("NoSuchUpload"));
}
