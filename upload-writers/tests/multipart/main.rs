//! Writers over backends that are not of this crate.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};
use upload_writers::{
    BackendError, ListParts, ListUploads, Meaning, MultipartBackend, MultipartConfig,
    MultipartWriterFactory, NewObject, PartProfile, Payload, Reopened, StoredObject, StoredPart,
    Whole, WriteErrorKind, WriterFactory,
    conformance::{self, Backend},
    writer_conformance,
};

const PART_BYTES: u64 = 65_536;

/// Storage in memory, which may list parts.
#[derive(Clone, Default)]
struct Memory {
    kept: Arc<Mutex<Kept>>,
    lists_parts: bool,
}

#[derive(Default)]
struct Kept {
    made: u64,
    uploads: BTreeMap<String, BTreeMap<u32, Vec<u8>>>,
    objects: BTreeMap<String, Vec<u8>>,
}

impl Memory {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("nothing panics under it")
    }
}

fn missing() -> BackendError {
    BackendError::lasting(WriteErrorKind::Failed, "no such upload").meaning(Meaning::Missing)
}

#[async_trait]
impl MultipartBackend for Memory {
    fn kind(&self) -> &'static str {
        "memory"
    }

    async fn create(&self, _object: &NewObject) -> Result<String, BackendError> {
        let mut kept = self.kept();
        kept.made += 1;
        let id = kept.made.to_string();
        kept.uploads.insert(id.clone(), BTreeMap::new());
        Ok(id)
    }

    async fn put_part(
        &self,
        _key: &str,
        upload: &str,
        number: u32,
        body: &Payload,
    ) -> Result<String, BackendError> {
        let mut kept = self.kept();
        let upload = kept.uploads.get_mut(upload).ok_or_else(missing)?;
        upload.insert(number, body.slices().concat());
        Ok(number.to_string())
    }

    async fn complete(
        &self,
        key: &str,
        upload: &str,
        parts: &BTreeMap<u32, StoredPart>,
        whole: Whole,
    ) -> Result<StoredObject, BackendError> {
        let mut kept = self.kept();
        let stored = kept.uploads.remove(upload).ok_or_else(missing)?;
        let named = parts.iter().map(|(number, part)| {
            assert_eq!(part.id, number.to_string());
            stored[number].clone()
        });
        let bytes = named.collect::<Vec<_>>().concat();
        assert_eq!(bytes.len() as u64, whole.len);
        kept.objects.insert(key.to_owned(), bytes);
        Ok(StoredObject {
            len: whole.len,
            ..StoredObject::default()
        })
    }

    async fn abort(&self, _key: &str, upload: &str) -> Result<(), BackendError> {
        self.kept().uploads.remove(upload);
        Ok(())
    }

    async fn put(&self, object: &NewObject, body: &Payload) -> Result<StoredObject, BackendError> {
        let bytes = body.slices().concat();
        self.kept().objects.insert(object.key().to_owned(), bytes);
        Ok(StoredObject {
            len: body.len(),
            ..StoredObject::default()
        })
    }

    async fn head(&self, key: &str) -> Result<Option<StoredObject>, BackendError> {
        let kept = self.kept();
        let found = kept.objects.get(key);
        Ok(found.map(|bytes| StoredObject {
            len: bytes.len() as u64,
            ..StoredObject::default()
        }))
    }

    async fn delete(&self, key: &str) -> Result<(), BackendError> {
        self.kept().objects.remove(key);
        Ok(())
    }

    fn result(&self, key: &str, object: &StoredObject) -> Value {
        json!({ "key": key, "size": object.len })
    }

    fn list_parts(&self) -> Option<&dyn ListParts> {
        self.lists_parts.then_some(self as _)
    }

    fn list_uploads(&self) -> Option<&dyn ListUploads> {
        None
    }
}

#[async_trait]
impl ListParts for Memory {
    async fn parts(
        &self,
        _key: &str,
        upload: &str,
    ) -> Result<Option<BTreeMap<u32, StoredPart>>, BackendError> {
        let kept = self.kept();
        let listed = |(number, bytes): (&u32, &Vec<u8>)| {
            let part = StoredPart {
                id: number.to_string(),
                len: bytes.len() as u64,
                crc32c: Some(crc32c::crc32c(bytes)),
                at: 0,
            };
            (*number, part)
        };
        let parts = kept.uploads.get(upload);
        Ok(parts.map(|parts| parts.iter().map(listed).collect()))
    }
}

struct Stored {
    memory: Memory,
    factory: MultipartWriterFactory,
}

fn stored(lists_parts: bool) -> Stored {
    let memory = Memory {
        lists_parts,
        ..Memory::default()
    };
    let parts = PartProfile {
        name: "memory",
        part_bytes_min: PART_BYTES,
        part_bytes_step: 1,
        ..PartProfile::S3
    };
    let factory = MultipartWriterFactory::new(memory.clone(), MultipartConfig::new("u/", parts));
    Stored { memory, factory }
}

#[async_trait]
impl Backend for Stored {
    fn factory(&self) -> &dyn WriterFactory {
        &self.factory
    }

    async fn read(&self, result: &Value) -> Option<Vec<u8>> {
        self.memory
            .kept()
            .objects
            .get(result["key"].as_str()?)
            .cloned()
    }

    async fn list(&self) -> Vec<String> {
        let kept = self.memory.kept();
        kept.uploads
            .keys()
            .chain(kept.objects.keys())
            .cloned()
            .collect()
    }

    fn fences(&self) -> bool {
        false
    }
}

/// RESUME-3, COMPLETE-4: a backend is all it takes for writers that resume.
mod a_backend_that_lists_parts {
    use super::*;
    writer_conformance!(stored(true));
}

/// So it is where checkpoints name the parts.
mod a_backend_that_lists_nothing {
    use super::*;
    writer_conformance!(stored(false));
}

/// CREDIT-2: a budget keeps room for what a small file misses, and not for a whole part, also once it continues.
#[tokio::test]
async fn a_small_file_misses_no_whole_part() {
    let factory = stored(true).factory;
    let facts = conformance::facts(7, 100);
    let mut writer = factory.create(&facts).await.expect("creates");
    let checkpoint = writer.checkpoint().expect("can be resumed");
    let mut chunks = VecDeque::from([Bytes::from_static(b"a")]);
    writer.write_chunks(&mut chunks).await.expect("writes");
    assert_eq!(writer.buffered().missing, 99);
    drop(writer);
    let reopened = factory.reopen(&facts, &checkpoint, 0).await;
    let Reopened::Open(mut writer) = reopened.expect("answers") else {
        panic!("it continues");
    };
    let mut chunks = VecDeque::from([Bytes::from_static(b"ab")]);
    writer.write_chunks(&mut chunks).await.expect("writes");
    assert_eq!(writer.buffered().missing, 98);
}
