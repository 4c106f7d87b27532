//! Every writer and decorator of this crate against the exported suite.

#[path = "../../examples/scanning_writer.rs"]
#[expect(dead_code, reason = "the example's main is not called")]
mod scanning_writer;

#[path = "../../examples/compressing_writer.rs"]
#[expect(dead_code, reason = "the example's main is not called")]
mod compressing_writer;

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
    FaultyWriterFactory, FileWriterConfig, FileWriterFactory, Orphan, Part, PartSink,
    RecordingWriterFactory, Reopened, SweepPolicy, UploadFacts, WriteError, WriterFactory,
    WriterTraits,
    conformance::{Backend, decorates},
    writer_conformance,
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
        // A machine that is loaded is no disk that is slow, whose files are closed a moment later.
        config.inline_write_max = Duration::from_secs(60);
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
    /// What is kept of the part that comes next.
    begun: Vec<u8>,
    published: bool,
    gone: bool,
    epoch: u32,
}

const PART_BYTES: u64 = 65_536;

struct Sink {
    objects: Arc<Mutex<Vec<Object>>>,
    index: usize,
    epoch: u32,
}

impl Sink {
    fn with<T>(&self, change: impl FnOnce(&mut Object) -> T) -> Result<T, WriteError> {
        let mut objects = self.objects.lock().expect("lock");
        match objects.get_mut(self.index) {
            Some(object) if object.epoch == self.epoch && !object.gone => Ok(change(object)),
            _ => Err(WriteError::misuse("taken over")),
        }
    }
}

#[async_trait]
impl PartSink for Sink {
    async fn on_part(&mut self, part: Part, number: u32) -> Result<(), WriteError> {
        assert!(part.len() <= PART_BYTES);
        self.with(|object| {
            let mut whole = std::mem::take(&mut object.begun);
            whole.extend(part.into_slices().concat());
            object.parts.push(whole);
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
        Some(Checkpoint(json!({ "object": self.index })))
    }
}

#[async_trait]
impl WriterFactory for Parts {
    async fn create(&self, _facts: &UploadFacts) -> Result<BoxWriter, WriteError> {
        let mut objects = self.objects.lock().expect("lock");
        let sink = Sink {
            objects: Arc::clone(&self.objects),
            index: objects.len(),
            epoch: 0,
        };
        objects.push(Object::default());
        Ok(Box::new(BufferedUploadWriter::new(sink, PART_BYTES)))
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
        // An offset inside a part: its beginning is kept, and its rest comes again.
        let parts = u32::try_from(offset / PART_BYTES).expect("few parts");
        let mut begun = object
            .parts
            .drain(parts as usize..)
            .next()
            .unwrap_or_default();
        begun.truncate(usize::try_from(offset % PART_BYTES).expect("small"));
        object.begun = begun;
        object.epoch += 1;
        let sink = Sink {
            objects: Arc::clone(&self.objects),
            index,
            epoch: object.epoch,
        };
        let writer = BufferedUploadWriter::resume(sink, PART_BYTES, offset, parts);
        Ok(Reopened::Open(Box::new(writer)))
    }

    fn traits(&self) -> WriterTraits {
        WriterTraits::resumable()
    }

    async fn delete(&self, _facts: &UploadFacts, result: &Value) -> Result<(), WriteError> {
        let index = result["object"].as_u64();
        let index = index.ok_or_else(|| WriteError::misuse("foreign"))? as usize;
        let mut objects = self.objects.lock().expect("lock");
        objects[index].gone = true;
        Ok(())
    }

    async fn sweep(&self, _policy: &SweepPolicy) -> Result<Vec<Orphan>, WriteError> {
        Ok(Vec::new())
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
mod files {
    use super::*;
    writer_conformance!(Files::new(|_| {}));
}

/// RESUME-2: so it does when only a sync makes bytes durable.
mod files_synced_to_disk {
    use super::*;
    writer_conformance!(Files::new(|config| config.durability = Durability::Disk));
}

/// So it does when every write goes to a blocking thread.
mod files_on_a_slow_disk {
    use super::*;
    writer_conformance!(Files::new(|config| {
        config.inline_write_max = Duration::ZERO;
        config.preallocate = false;
        config.syncs_max = 0;
        config.openings_max = 0;
    }));
}

mod files_behind_the_fault_injector {
    use super::*;
    writer_conformance!(Files::new(|_| {}).faulty());
}

async fn scanned() -> Files {
    let dir = tempfile::tempdir().expect("temp dir");
    let inner = FileWriterFactory::new(FileWriterConfig::new(dir.path())).expect("sets up");
    let clamd = scanning_writer::stand_in().await.expect("a scanner");
    let factory = Arc::new(scanning_writer::Scanned { inner, clamd });
    Files { dir, factory }
}

mod files_scanned_by_the_example {
    use super::*;
    writer_conformance!(scanned().await);
}

mod recording {
    use super::*;
    writer_conformance!(Recording {
        factory: RecordingWriterFactory::new(),
    });
}

mod recording_durable_on_flush {
    use super::*;
    writer_conformance!(Recording {
        factory: RecordingWriterFactory::durable_on_flush(),
    });
}

mod buffered_parts {
    use super::*;
    writer_conformance!(Parts::default());
}

mod discard {
    use super::*;
    writer_conformance!(Discard);
}

/// CREDIT-2: a budget that is not told what waits for more of its file waits for it forever.
#[tokio::test]
async fn decorators_pass_on_what_a_driver_has_to_know() {
    let part_bytes = PART_BYTES as usize;
    let parts = Parts::default();
    let faulty = FaultyWriterFactory::new(Arc::new(parts.clone()));
    decorates(&parts, &faulty, part_bytes).await;
    let scanned = scanning_writer::Scanned {
        inner: parts.clone(),
        clamd: scanning_writer::stand_in().await.expect("a scanner"),
    };
    decorates(&parts, &scanned, part_bytes).await;
    decorates(&parts, &compressing_writer::Gzip(parts.clone()), part_bytes).await;
    let files = Files::new(|_| {});
    let faulty = FaultyWriterFactory::new(Arc::clone(&files.factory));
    decorates(&*files.factory, &faulty, 0).await;
}
