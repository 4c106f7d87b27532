//! The object_store writers against the stores of that crate that need no server.

mod expired;
mod store;

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use object_store::{
    Attribute, ObjectStore, ObjectStoreExt, local::LocalFileSystem, memory::InMemory, path::Path,
};
use serde_json::Value;
use upload_writers::{
    AbortReason, BoxWriter, ObjectStoreSetupError, ObjectStoreWriterConfig,
    ObjectStoreWriterFactory, PartProfile, Reopened, UploadFacts, WriteErrorKind, WriterFactory,
    conformance::{Backend, facts, pattern},
    writer_conformance,
};

use store::{Counting, Ids};

const PART_BYTES: u64 = 65_536;

fn config() -> ObjectStoreWriterConfig {
    ObjectStoreWriterConfig {
        prefix: "u/".to_owned(),
        parts: PartProfile {
            part_bytes_min: PART_BYTES,
            part_bytes_step: 1,
            ..PartProfile::S3
        },
        part_bytes: PART_BYTES,
        ..ObjectStoreWriterConfig::default()
    }
}

struct Stored {
    store: Arc<dyn ObjectStore>,
    factory: ObjectStoreWriterFactory,
}

#[async_trait]
impl Backend for Stored {
    fn factory(&self) -> &dyn WriterFactory {
        &self.factory
    }

    async fn read(&self, result: &Value) -> Option<Vec<u8>> {
        let path = Path::parse(result["key"].as_str()?).expect("a path");
        let found = self.store.get(&path).await.ok()?;
        let bytes = found.bytes().await.expect("reads").to_vec();
        assert_eq!(result["size"], bytes.len());
        assert!(result["etag"].is_string());
        Some(bytes)
    }

    async fn list(&self) -> Vec<String> {
        let mut dirs = vec![Path::default()];
        let mut names = Vec::new();
        while let Some(dir) = dirs.pop() {
            let listed = self.store.list_with_delimiter(Some(&dir)).await;
            let listed = listed.expect("lists");
            dirs.extend(listed.common_prefixes);
            names.extend(
                listed
                    .objects
                    .into_iter()
                    .map(|one| one.location.to_string()),
            );
        }
        names
    }

    fn fences(&self) -> bool {
        false
    }
}

fn in_memory(resumable: bool) -> Stored {
    let store = Arc::new(InMemory::new());
    let factory = match resumable {
        true => ObjectStoreWriterFactory::resumable(Arc::clone(&store), config()),
        false => ObjectStoreWriterFactory::plain(Arc::clone(&store) as _, config()),
    };
    let factory = factory.expect("sets up");
    Stored { store, factory }
}

/// RESUME-3, COMPLETE-4, COMPLETE-5: a store whose uploads have ids keeps the whole contract.
mod memory_can_be_reopened {
    use super::*;
    writer_conformance!(in_memory(true));
}

/// Any store keeps the contract of a writer that cannot be reopened.
mod memory_can_be_plain {
    use super::*;
    writer_conformance!(in_memory(false));
}

struct Local {
    _dir: tempfile::TempDir,
    stored: Stored,
}

fn local() -> Local {
    let dir = tempfile::tempdir().expect("temp dir");
    let store = LocalFileSystem::new_with_prefix(dir.path()).expect("opens");
    let store = Arc::new(store);
    let factory = ObjectStoreWriterFactory::plain(Arc::clone(&store) as _, config());
    let factory = factory.expect("sets up");
    assert!(!factory.traits().resumable);
    let stored = Stored { store, factory };
    Local { _dir: dir, stored }
}

#[async_trait]
impl Backend for Local {
    fn factory(&self) -> &dyn WriterFactory {
        self.stored.factory()
    }

    async fn read(&self, result: &Value) -> Option<Vec<u8>> {
        self.stored.read(result).await
    }

    async fn list(&self) -> Vec<String> {
        self.stored.list().await
    }
}

/// So do local files, which keep no attributes and leave no staging files behind.
mod local_files_are_plain {
    use super::*;
    writer_conformance!(local());
}

/// Objects say what they are, whether stored whole or in parts.
#[tokio::test]
async fn objects_carry_attributes() {
    let store = Arc::new(InMemory::new());
    let factory = ObjectStoreWriterFactory::resumable(Arc::clone(&store), config());
    let factory = factory.expect("sets up");
    for size in [10, 200_000] {
        let mut facts = facts(1, size);
        facts.client_type = "image/png".to_owned();
        let mut writer = factory.create(&facts).await.expect("creates");
        write(&mut writer, &pattern(1, size)).await;
        let result = writer.close().await.expect("closes");
        let path = Path::parse(result["key"].as_str().expect("a key")).expect("a path");
        let found = store.get(&path).await.expect("is there");
        let attribute = |attribute: Attribute| found.attributes.get(&attribute).cloned();
        let content_type = attribute(Attribute::ContentType).expect("has a type");
        assert_eq!(content_type.as_ref(), "image/png");
        let disposition = attribute(Attribute::ContentDisposition).expect("has one");
        assert!(disposition.as_ref().starts_with("attachment; "));
    }
}

/// RESUME-1: when the ids of the parts do not fit a record any more, only resuming ends.
#[tokio::test]
async fn too_many_ids_end_only_resuming() {
    let store = Arc::new(Counting::default());
    let factory = ObjectStoreWriterFactory::resumable(Arc::clone(&store), config());
    let factory = factory.expect("sets up");
    let bytes = pattern(2, 30 * PART_BYTES as usize);
    let mut writer = factory
        .create(&facts(2, bytes.len()))
        .await
        .expect("creates");
    let half = bytes.len() / 2;
    write(&mut writer, &bytes[..PART_BYTES as usize]).await;
    writer.flush().await.expect("flushes");
    assert!(writer.checkpoint().is_some());
    write(&mut writer, &bytes[PART_BYTES as usize..half]).await;
    while writer.flush().await.expect("flushes").durable < half as u64 {}
    assert_eq!(writer.checkpoint(), None);
    write(&mut writer, &bytes[half..]).await;
    let result = writer.close().await.expect("closes");
    assert_eq!(result["size"], bytes.len());
}

/// RESUME-1: a resumable file is cut so that a checkpoint has room for the ids of all its parts.
#[tokio::test]
async fn large_files_stay_resumable() {
    let store = Arc::new(Counting {
        ids: Ids::Hashes,
        ..Counting::default()
    });
    let make = || {
        let factory = ObjectStoreWriterFactory::resumable(Arc::clone(&store), config());
        factory.expect("sets up")
    };
    let bytes = pattern(6, 400 * PART_BYTES as usize);
    let mut facts = facts(6, bytes.len());
    facts.safe_client_name = "n".repeat(200);
    let mut writer = make().create(&facts).await.expect("creates");
    let at = bytes.len() - 1_000;
    for piece in bytes[..at].chunks(PART_BYTES as usize) {
        write(&mut writer, piece).await;
        assert!(writer.checkpoint().is_some());
    }
    let durable = bytes.len() as u64 - 2 * PART_BYTES;
    while writer.flush().await.expect("flushes").durable < durable {}
    let checkpoint = writer.checkpoint().expect("can be resumed");
    drop(writer);
    let mut writer = goes_on(&make(), &facts, &checkpoint, durable).await;
    write(&mut writer, &bytes[durable as usize..]).await;
    let result = writer.close().await.expect("closes");
    let path = Path::parse(result["key"].as_str().expect("a key")).expect("a path");
    let stored = store.memory.get(&path).await.expect("is there");
    assert!(stored.bytes().await.expect("reads") == bytes);
}

/// Whether an upload is still there is not found out at the cost of its bytes.
#[tokio::test]
async fn going_on_in_the_last_part_adds_nothing() {
    let store = Arc::new(InMemory::new());
    let make = || {
        let factory = ObjectStoreWriterFactory::resumable(Arc::clone(&store), config());
        factory.expect("sets up")
    };
    let bytes = pattern(7, 2 * PART_BYTES as usize);
    let facts = facts(7, bytes.len());
    let mut writer = make().create(&facts).await.expect("creates");
    write(&mut writer, &bytes).await;
    while writer.flush().await.expect("flushes").durable < bytes.len() as u64 {}
    let checkpoint = writer.checkpoint().expect("can be resumed");
    drop(writer);
    let at = bytes.len() - 1;
    let mut writer = goes_on(&make(), &facts, &checkpoint, at as u64).await;
    write(&mut writer, &bytes[at..]).await;
    let result = writer.close().await.expect("closes");
    let path = Path::parse(result["key"].as_str().expect("a key")).expect("a path");
    let stored = store.get(&path).await.expect("is there");
    assert!(stored.bytes().await.expect("reads") == bytes);
}

/// RESUME-3: a part before the offset is not sent again, by whatever factory.
#[tokio::test]
async fn no_stored_part_is_sent_again() {
    let store = Arc::new(Counting {
        ids: Ids::Short,
        ..Counting::default()
    });
    let make = || {
        let factory = ObjectStoreWriterFactory::resumable(Arc::clone(&store), config());
        factory.expect("sets up")
    };
    let bytes = pattern(3, 10 * PART_BYTES as usize);
    let facts = facts(3, bytes.len());
    let at = 5 * PART_BYTES as usize;
    for offset in [at, at - 1, at - 60_000] {
        let mut writer = make().create(&facts).await.expect("creates");
        write(&mut writer, &bytes[..at]).await;
        while writer.flush().await.expect("flushes").durable < at as u64 {}
        let checkpoint = writer.checkpoint().expect("can be resumed");
        drop(writer);
        store.puts.store(0, Ordering::Relaxed);
        let factory = make();
        let mut writer = goes_on(&factory, &facts, &checkpoint, offset as u64).await;
        write(&mut writer, &bytes[offset..]).await;
        let result = writer.close().await.expect("closes");
        let path = Path::parse(result["key"].as_str().expect("a key")).expect("a path");
        let stored = store.memory.get(&path).await.expect("is there");
        assert!(stored.bytes().await.expect("reads") == bytes, "{offset}");
        // Five parts, and one byte to see whether the upload is still there.
        assert_eq!(store.puts.load(Ordering::Relaxed), 6, "{offset}");
    }
}

/// RESUME-3: where an upload goes on inside a stored part, what comes again of it has to be the same.
#[tokio::test]
async fn bytes_of_a_stored_part_are_compared() {
    let store = Arc::new(InMemory::new());
    let make = || {
        let factory = ObjectStoreWriterFactory::resumable(Arc::clone(&store), config());
        factory.expect("sets up")
    };
    let bytes = pattern(4, 3 * PART_BYTES as usize);
    let mut facts = facts(4, bytes.len());
    let mut writer = make().create(&facts).await.expect("creates");
    write(&mut writer, &bytes[..70_000]).await;
    while writer.flush().await.expect("flushes").durable < PART_BYTES {}
    let checkpoint = writer.checkpoint().expect("can be resumed");
    drop(writer);
    let at = 54_321;
    facts.crc32c_before = Some(crc32c::crc32c(&bytes[..at]));
    for is_same in [false, true] {
        let mut writer = goes_on(&make(), &facts, &checkpoint, at as u64).await;
        let mut rest = bytes[at..].to_vec();
        rest[0] ^= u8::from(!is_same);
        let mut chunks = VecDeque::from([Bytes::from(rest)]);
        let written = writer.write_chunks(&mut chunks).await;
        assert_eq!(written.is_ok(), is_same);
        if is_same {
            let result = writer.close().await.expect("closes");
            let path = Path::parse(result["key"].as_str().expect("a key")).expect("a path");
            let stored = store.get(&path).await.expect("is there");
            assert!(stored.bytes().await.expect("reads") == bytes);
        }
    }
}

/// COMPLETE-4: a close whose answer was lost is told by the object itself; where nobody can look for it,
/// an abort removes it.
#[tokio::test]
async fn a_lost_answer_is_found_or_undone() {
    for is_blind in [false, true] {
        for size in [10, 200_000] {
            for can_reopen in [false, true] {
                let store = Arc::new(Counting {
                    loses_answers: true,
                    is_blind,
                    ids: Ids::Short,
                    ..Counting::default()
                });
                let factory = if can_reopen {
                    ObjectStoreWriterFactory::resumable(Arc::clone(&store), config())
                } else {
                    ObjectStoreWriterFactory::plain(Arc::clone(&store) as _, config())
                };
                let mut writer = factory
                    .expect("sets up")
                    .create(&facts(5, size))
                    .await
                    .expect("creates");
                write(&mut writer, &pattern(5, size)).await;
                let closed = writer.close().await;
                if is_blind {
                    let error = closed.expect_err("nobody can tell");
                    assert_eq!(error.kind, WriteErrorKind::Throttled);
                    writer.abort(&AbortReason::Cancelled).await;
                } else {
                    assert_eq!(closed.expect("is there")["size"], size);
                }
                let kept = store.memory.list(None).count().await;
                assert_eq!(kept, usize::from(!is_blind), "{size} {can_reopen}");
            }
        }
    }
}

/// What a store cannot do is said when it is set up.
#[test]
fn configurations_are_checked() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let with = |config| ObjectStoreWriterFactory::plain(Arc::clone(&store), config).map(|_| ());
    let prefix = ObjectStoreWriterConfig {
        prefix: "/".to_owned(),
        ..config()
    };
    assert!(matches!(with(prefix), Err(ObjectStoreSetupError::Prefix)));
    let parts = ObjectStoreWriterConfig {
        part_bytes: u64::MAX,
        ..config()
    };
    assert!(matches!(
        with(parts),
        Err(ObjectStoreSetupError::PartBytes { .. })
    ));
}

async fn goes_on(
    factory: &ObjectStoreWriterFactory,
    facts: &UploadFacts,
    checkpoint: &upload_writers::Checkpoint,
    offset: u64,
) -> BoxWriter {
    match factory.reopen(facts, checkpoint, offset).await {
        Ok(Reopened::Open(writer)) => writer,
        other => panic!("reopened as {other:?}"),
    }
}

async fn write(writer: &mut BoxWriter, bytes: &[u8]) {
    for chunk in bytes.chunks(10_000) {
        let mut chunks = VecDeque::from([Bytes::copy_from_slice(chunk)]);
        writer.write_chunks(&mut chunks).await.expect("writes");
    }
}
