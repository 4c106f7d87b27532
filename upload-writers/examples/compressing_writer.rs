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
    AbortReason, BoxWriter, FileWriterConfig, FileWriterFactory, Stray, SweepPolicy, UploadFacts,
    UploadWriter, WriteError, WriterFactory, Written,
    conformance::{Backend, run_all},
};

/// Compresses what the writers of another factory store.
///
/// The state of the compression dies with the process, so there is no `reopen`: a slot with this
/// writer goes on after a lost connection, and starts over after a restart.
struct Gzip<F>(F);

#[async_trait]
impl<F: WriterFactory> WriterFactory for Gzip<F> {
    fn create(&self, facts: &UploadFacts) -> BoxWriter {
        let inner = self.0.create(&UploadFacts {
            safe_client_name: format!("{}.gz", facts.safe_client_name),
            client_size: 0, // nobody knows it yet, so nothing is reserved
            resumable: false,
            ..facts.clone()
        });
        Box::new(GzipWriter {
            inner,
            encoder: None,
            received: 0,
        })
    }

    async fn sweep(&self, policy: &SweepPolicy) -> Result<Vec<Stray>, WriteError> {
        self.0.sweep(policy).await
    }
}

struct GzipWriter {
    inner: BoxWriter,
    /// `None` before it is opened and once it is closed or aborted.
    encoder: Option<GzEncoder<Vec<u8>>>,
    received: u64,
}

#[async_trait]
impl UploadWriter for GzipWriter {
    async fn open(&mut self) -> Result<(), WriteError> {
        self.inner.open().await?;
        self.encoder = Some(GzEncoder::new(Vec::new(), Compression::fast()));
        Ok(())
    }

    /// Compresses in the connection's task; where that takes too long, `spawn_blocking` is the place.
    async fn write_chunks(&mut self, chunks: &mut VecDeque<Bytes>) -> Result<Written, WriteError> {
        let encoder = self
            .encoder
            .as_mut()
            .ok_or(WriteError::misuse("not open"))?;
        for chunk in chunks.drain(..) {
            encoder.write_all(&chunk)?;
            self.received += chunk.len() as u64;
        }
        let compressed = std::mem::take(encoder.get_mut());
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
        if let Some(encoder) = self.encoder.take() {
            let mut pieces = VecDeque::from([Bytes::from(encoder.finish()?)]);
            self.inner.write_chunks(&mut pieces).await?;
        }
        self.inner.close().await
    }

    async fn abort(&mut self, reason: &AbortReason) {
        self.encoder = None;
        self.inner.abort(reason).await;
    }

    fn rest(&mut self) {
        self.inner.rest();
    }

    fn held(&self) -> u64 {
        self.inner.held()
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
