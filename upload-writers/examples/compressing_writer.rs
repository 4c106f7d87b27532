//! A decorator that compresses files with gzip while they arrive, around any other writer.
//!
//! `cargo run -p upload-writers --features testing --example compressing_writer`

use std::{
    collections::VecDeque,
    fs,
    io::{Read, Write},
    path::PathBuf,
};

use async_trait::async_trait;
use bytes::Bytes;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde_json::Value;
use upload_writers::{
    AbortReason, BoxWriter, Buffered, Checkpoint, FileWriterConfig, FileWriterFactory, Orphan,
    Reopened, SweepPolicy, UploadFacts, UploadWriter, WriteError, WriterFactory, WriterTraits,
    Written,
    conformance::{Backend, run_all},
};

/// Compresses what the writers of another factory store.
///
/// The state of the compression dies with the process, so nothing can be reopened: a slot with this
/// writer continues after a lost connection, and starts over after a restart.
pub(crate) struct Gzip<F>(pub(crate) F);

#[async_trait]
impl<F: WriterFactory> WriterFactory for Gzip<F> {
    async fn create(&self, facts: &UploadFacts) -> Result<BoxWriter, WriteError> {
        let mut facts = facts.clone();
        facts.safe_client_name += ".gz";
        facts.client_size = 0; // it is not known yet, so nothing is reserved
        facts.resumable = false;
        Ok(Box::new(GzipWriter {
            inner: self.0.create(&facts).await?,
            encoder: GzEncoder::new(Vec::new(), Compression::fast()),
            received: 0,
        }))
    }

    async fn reopen(
        &self,
        _facts: &UploadFacts,
        _checkpoint: &Checkpoint,
        _offset: u64,
    ) -> Result<Reopened, WriteError> {
        Ok(Reopened::Gone)
    }

    fn traits(&self) -> WriterTraits {
        let mut traits = self.0.traits();
        traits.resumable = false;
        traits
    }

    async fn delete(&self, facts: &UploadFacts, result: &Value) -> Result<(), WriteError> {
        self.0.delete(facts, result).await
    }

    async fn sweep(&self, policy: &SweepPolicy) -> Result<Vec<Orphan>, WriteError> {
        self.0.sweep(policy).await
    }
}

struct GzipWriter {
    inner: BoxWriter,
    encoder: GzEncoder<Vec<u8>>,
    received: u64,
}

#[async_trait]
impl UploadWriter for GzipWriter {
    /// Compresses in the connection's task; where that takes too long, `spawn_blocking` is the place.
    async fn write_chunks(&mut self, chunks: &mut VecDeque<Bytes>) -> Result<Written, WriteError> {
        for chunk in chunks.drain(..) {
            self.encoder.write_all(&chunk)?;
            self.received += chunk.len() as u64;
        }
        let compressed = std::mem::take(self.encoder.get_mut());
        let mut pieces = VecDeque::from([Bytes::from(compressed)]);
        self.inner.write_chunks(&mut pieces).await?;
        Ok(self.written())
    }

    async fn flush(&mut self) -> Result<Written, WriteError> {
        self.inner.flush().await?;
        Ok(self.written())
    }

    /// The result is that of the writer inside, so its size is the compressed one.
    async fn close(&mut self) -> Result<Value, WriteError> {
        self.encoder.try_finish()?;
        let compressed = std::mem::take(self.encoder.get_mut());
        let mut pieces = VecDeque::from([Bytes::from(compressed)]);
        self.inner.write_chunks(&mut pieces).await?;
        self.inner.close().await
    }

    async fn abort(self: Box<Self>, reason: &AbortReason) {
        self.inner.abort(reason).await;
    }

    fn checkpoint(&self) -> Option<Checkpoint> {
        None
    }

    /// Without it a server would wait for memory that only more of this very file can free.
    fn buffered(&self) -> Buffered {
        self.inner.buffered()
    }

    fn suspend(&mut self) {
        self.inner.suspend();
    }
}

impl GzipWriter {
    /// Offsets are those of the file as it is sent; nothing of them is durable before the close.
    fn written(&self) -> Written {
        Written {
            received: self.received,
            durable: 0,
        }
    }
}

/// What the suite needs besides the factory: a way to look at what is stored.
struct Folder {
    writers: Gzip<FileWriterFactory>,
    path: PathBuf,
}

#[async_trait]
impl Backend for Folder {
    fn factory(&self) -> &dyn WriterFactory {
        &self.writers
    }

    async fn read(&self, result: &Value) -> Option<Vec<u8>> {
        let compressed = fs::read(self.path.join(result["path"].as_str()?)).ok()?;
        let mut bytes = Vec::new();
        GzDecoder::new(&*compressed).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    async fn list(&self) -> Vec<String> {
        let folders = [self.path.join("documents"), self.path.join(".tmp")];
        let entries = folders
            .iter()
            .filter_map(|folder| fs::read_dir(folder).ok());
        let names = entries.flatten().flatten().map(|entry| entry.file_name());
        names
            .map(|name| name.to_string_lossy().into_owned())
            .collect()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().to_owned();
    let writers = Gzip(FileWriterFactory::new(FileWriterConfig::new(&path))?);
    run_all(&Folder { writers, path }).await;
    println!("the writer keeps its contract");
    Ok(())
}
