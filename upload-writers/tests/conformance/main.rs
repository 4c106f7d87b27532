//! Every writer and decorator of this crate against the exported suite.

#[path = "../../examples/scanning_writer.rs"]
#[expect(dead_code, reason = "the example's main is not called")]
mod scanning_writer;

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Value, json};
use tempfile::TempDir;
use upload_writers::{
    AbortReason, BoxWriter, BufferedUploadWriter, Checkpoint, DiscardWriterFactory, Durability,
    FaultyWriterFactory, FileWriterConfig, FileWriterFactory, Part, PartSink,
    RecordingWriterFactory, Reopened, UploadFacts, WriteError, WriterFactory,
    conformance::{Backend, run_all},
};

struct Files {
    dir: TempDir,
    factory: Arc<dyn WriterFactory>,
}

impl Files {
    fn new(change: impl FnOnce(&mut FileWriterConfig)) -> Self {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut config = FileWriterConfig::new(dir.path());
        // A test need not wait long for a holder that will never let go.
        config.lock_wait = Duration::from_millis(60);
        change(&mut config);
        let factory = Arc::new(FileWriterFactory::new(config).expect("sets up"));
        Self { dir, factory }
    }

    fn faulty(self) -> Self {
        let factory = Arc::new(FaultyWriterFactory::new(Arc::clone(&self.factory)));
        Self { factory, ..self }
    }
}

#[async_trait]
impl Backend for Files {
    fn factory(&self) -> &dyn WriterFactory {
        self.factory.as_ref()
    }

    async fn read(&self, result: &Value) -> Option<Vec<u8>> {
        let bytes = fs::read(self.dir.path().join(result["path"].as_str()?)).ok()?;
        assert_eq!(result["size"], bytes.len());
        Some(bytes)
    }

    async fn list(&self) -> Vec<String> {
        fn walk(dir: &Path, names: &mut Vec<String>) {
            for entry in fs::read_dir(dir).expect("lists") {
                let path = entry.expect("lists").path();
                if path.is_dir() {
                    walk(&path, names);
                } else {
                    names.push(path.to_string_lossy().into_owned());
                }
            }
        }
        let mut names = Vec::new();
        walk(self.dir.path(), &mut names);
        names
    }
}

struct Recording {
    factory: RecordingWriterFactory,
}

#[async_trait]
impl Backend for Recording {
    fn factory(&self) -> &dyn WriterFactory {
        &self.factory
    }

    async fn read(&self, result: &Value) -> Option<Vec<u8>> {
        self.factory.read(result)
    }

    async fn list(&self) -> Vec<String> {
        (0..self.factory.kept()).map(|n| n.to_string()).collect()
    }
}

struct Discard;

#[async_trait]
impl Backend for Discard {
    fn factory(&self) -> &dyn WriterFactory {
        &DiscardWriterFactory
    }

    async fn read(&self, _result: &Value) -> Option<Vec<u8>> {
        None
    }

    async fn list(&self) -> Vec<String> {
        Vec::new()
    }

    fn keeps_bytes(&self) -> bool {
        false
    }
}

/// Storage that takes parts of 64 KiB, and can go on after any of them.
#[derive(Clone, Default)]
struct Parts {
    objects: Arc<Mutex<Vec<Object>>>,
}

#[derive(Clone, Default)]
struct Object {
    parts: Vec<Vec<u8>>,
    published: bool,
    gone: bool,
    epoch: u32,
}

const PART_BYTES: u64 = 65_536;

struct Sink {
    objects: Arc<Mutex<Vec<Object>>>,
    index: Option<usize>,
    epoch: u32,
}

impl Sink {
    fn with<T>(&self, change: impl FnOnce(&mut Object) -> T) -> Result<T, WriteError> {
        let mut objects = self.objects.lock().expect("lock");
        let object = self.index.and_then(|index| objects.get_mut(index));
        match object {
            Some(object) if object.epoch == self.epoch && !object.gone => Ok(change(object)),
            _ => Err(WriteError::misuse("taken over")),
        }
    }
}

#[async_trait]
impl PartSink for Sink {
    async fn on_open(&mut self) -> Result<(), WriteError> {
        let mut objects = self.objects.lock().expect("lock");
        self.index = Some(objects.len());
        objects.push(Object::default());
        Ok(())
    }

    async fn on_part(&mut self, part: Part, number: u32) -> Result<(), WriteError> {
        assert!(part.len() == PART_BYTES || part.is_short());
        self.with(|object| {
            object.parts.push(part.into_slices().concat());
            assert_eq!(object.parts.len() as u32, number);
        })
    }

    async fn on_complete(&mut self) -> Result<Value, WriteError> {
        self.with(|object| object.published = true)?;
        Ok(json!({ "object": self.index }))
    }

    async fn on_abort(&mut self, _reason: &AbortReason) {
        let _ = self.with(|object| object.gone = true);
    }

    fn checkpoint(&self) -> Option<Checkpoint> {
        self.index
            .map(|index| Checkpoint(json!({ "object": index })))
    }
}

#[async_trait]
impl WriterFactory for Parts {
    fn create(&self, _facts: &UploadFacts) -> BoxWriter {
        let sink = Sink {
            objects: Arc::clone(&self.objects),
            index: None,
            epoch: 0,
        };
        Box::new(BufferedUploadWriter::new(sink, PART_BYTES))
    }

    async fn reopen(
        &self,
        _facts: &UploadFacts,
        checkpoint: &Checkpoint,
        offset: u64,
    ) -> Result<Reopened, WriteError> {
        let index = checkpoint.0["object"].as_u64();
        let index = index.ok_or_else(|| WriteError::misuse("foreign"))? as usize;
        let mut objects = self.objects.lock().expect("lock");
        let Some(object) = objects.get_mut(index).filter(|object| !object.gone) else {
            return Ok(Reopened::Gone);
        };
        if object.published {
            let result = json!({ "object": index });
            return Ok(Reopened::Closed { result });
        }
        assert_eq!(offset % PART_BYTES, 0, "only whole parts are durable");
        let parts = u32::try_from(offset / PART_BYTES).expect("few parts");
        object.parts.truncate(parts as usize);
        object.epoch += 1;
        let sink = Sink {
            objects: Arc::clone(&self.objects),
            index: Some(index),
            epoch: object.epoch,
        };
        let writer = BufferedUploadWriter::resume(sink, PART_BYTES, offset, parts);
        Ok(Reopened::Open(Box::new(writer)))
    }

    fn can_reopen(&self) -> bool {
        true
    }
}

#[async_trait]
impl Backend for Parts {
    fn factory(&self) -> &dyn WriterFactory {
        self
    }

    async fn read(&self, result: &Value) -> Option<Vec<u8>> {
        let objects = self.objects.lock().expect("lock");
        let object = objects.get(result["object"].as_u64()? as usize)?;
        object.published.then(|| object.parts.concat())
    }

    async fn list(&self) -> Vec<String> {
        let objects = self.objects.lock().expect("lock");
        let kept = objects
            .iter()
            .enumerate()
            .filter(|(_, object)| !object.gone);
        kept.map(|(index, _)| index.to_string()).collect()
    }
}

/// RESUME-3, COMPLETE-5, CHUNK-1: the file writer keeps its contract.
#[tokio::test]
async fn files() {
    run_all(&Files::new(|_| {})).await;
}

/// RESUME-2: so it does when only a sync makes bytes durable.
#[tokio::test]
async fn files_synced_to_disk() {
    run_all(&Files::new(|config| config.durability = Durability::Disk)).await;
}

/// So it does when every write goes to a blocking thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_on_a_slow_disk() {
    run_all(&Files::new(|config| {
        config.inline_write_max = Duration::ZERO;
        config.preallocate = false;
        config.syncs_max = 0;
        config.openings_max = 0;
    }))
    .await;
}

#[tokio::test]
async fn files_behind_the_fault_injector() {
    run_all(&Files::new(|_| {}).faulty()).await;
}

#[tokio::test]
async fn files_scanned_by_the_example() {
    let dir = tempfile::tempdir().expect("temp dir");
    let inner = FileWriterFactory::new(FileWriterConfig::new(dir.path())).expect("sets up");
    let clamd = scanning_writer::stand_in().await.expect("a scanner");
    let factory = Arc::new(scanning_writer::Scanned { inner, clamd });
    run_all(&Files { dir, factory }).await;
}

#[tokio::test]
async fn recording() {
    let factory = RecordingWriterFactory::new();
    run_all(&Recording { factory }).await;
    let factory = RecordingWriterFactory::durable_on_flush();
    run_all(&Recording { factory }).await;
}

#[tokio::test]
async fn buffered_parts() {
    run_all(&Parts::default()).await;
}

#[tokio::test]
async fn discard() {
    run_all(&Discard).await;
}
