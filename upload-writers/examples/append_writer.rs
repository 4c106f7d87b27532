//! A writer for storage that appends, such as SFTP, WebDAV or a file system of another machine: it stats,
//! truncates and appends, and resumes in any process.
//!
//! `cargo run -p upload-writers --features testing --example append_writer`

use std::{
    collections::VecDeque,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use upload_writers::{
    AbortReason, BoxWriter, Buffered, Checkpoint, Orphan, Reopened, SweepPolicy, UploadFacts,
    UploadWriter, WriteError, WriteErrorKind, WriterFactory, WriterTraits, Written,
    conformance::{Backend, run_all},
};
use uuid::Uuid;

/// What such a protocol can do; here it is a directory.
#[derive(Debug)]
struct Remote {
    dir: PathBuf,
}

impl Remote {
    fn stat(&self, name: &str) -> io::Result<Option<u64>> {
        match fs::metadata(self.dir.join(name)) {
            Ok(found) => Ok(Some(found.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        let file = fs::OpenOptions::new()
            .write(true)
            .open(self.dir.join(name))?;
        file.set_len(len)
    }

    /// Appends to a file that is there, and whose length is known: another holder may have it by now.
    fn append(&self, name: &str, at: u64, bytes: &[Bytes]) -> io::Result<()> {
        use std::io::Write;
        let mut file = fs::OpenOptions::new()
            .append(true)
            .open(self.dir.join(name))?;
        if file.metadata()?.len() != at {
            return Err(io::Error::other("another holder wrote to it"));
        }
        bytes.iter().try_for_each(|bytes| file.write_all(bytes))?;
        file.sync_data()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.dir.join(from), self.dir.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.dir.join(name))
    }
}

/// Makes such writers. Unfinished files are called `<uuid>.<epoch>.part`.
struct Append(Arc<Remote>);

/// What another process needs.
#[derive(Deserialize, Serialize)]
struct AppendCheckpoint {
    v: u32,
    kind: String,
    uuid: String,
    epoch: u64,
}

struct AppendWriter {
    remote: Arc<Remote>,
    uuid: Uuid,
    epoch: u64,
    resumable: bool,
    written: u64,
}

/// Runs what blocks away from the connections.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, WriteError> {
    let done = spawn_blocking(work).await;
    Ok(done.map_err(|error| WriteError::new(WriteErrorKind::Failed, error))??)
}

fn part_name(uuid: Uuid, epoch: u64) -> String {
    format!("{uuid}.{epoch}.part")
}

impl AppendWriter {
    fn name(&self) -> String {
        part_name(self.uuid, self.epoch)
    }
}

#[async_trait]
impl UploadWriter for AppendWriter {
    async fn write_chunks(&mut self, chunks: &mut VecDeque<Bytes>) -> Result<Written, WriteError> {
        let (remote, name, at) = (Arc::clone(&self.remote), self.name(), self.written);
        let batch: Vec<Bytes> = chunks.drain(..).collect();
        let len: u64 = batch.iter().map(|chunk| chunk.len() as u64).sum();
        blocking(move || remote.append(&name, at, &batch)).await?;
        self.written += len;
        self.flush().await
    }

    /// Each write is synced, so there is nothing to do.
    async fn flush(&mut self) -> Result<Written, WriteError> {
        Ok(Written {
            received: self.written,
            durable: self.written,
        })
    }

    async fn close(&mut self) -> Result<Value, WriteError> {
        let (remote, from, to) = (Arc::clone(&self.remote), self.name(), self.uuid.to_string());
        let size = self.written;
        blocking(move || remote.rename(&from, &to)).await?;
        Ok(json!({ "file": self.uuid.to_string(), "size": size }))
    }

    async fn abort(self: Box<Self>, _reason: &AbortReason) {
        let (remote, part, file) = (Arc::clone(&self.remote), self.name(), self.uuid.to_string());
        // A close that failed may have come as far as the rename; a later holder has another name.
        let is_later = move || match remote.remove(&part) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => remote.remove(&file),
            done => done,
        };
        let _ = blocking(is_later).await;
    }

    fn checkpoint(&self) -> Option<Checkpoint> {
        self.resumable.then(|| {
            Checkpoint(json!(AppendCheckpoint {
                v: 1,
                kind: "append".to_owned(),
                uuid: self.uuid.to_string(),
                epoch: self.epoch,
            }))
        })
    }

    fn buffered(&self) -> Buffered {
        Buffered::default()
    }

    fn suspend(&mut self) {}
}

#[async_trait]
impl WriterFactory for Append {
    async fn create(&self, facts: &UploadFacts) -> Result<BoxWriter, WriteError> {
        let writer = AppendWriter {
            remote: Arc::clone(&self.0),
            uuid: Uuid::new_v4(),
            epoch: facts.epoch,
            resumable: facts.resumable,
            written: 0,
        };
        let path = self.0.dir.join(writer.name());
        // At once, so that a future that is dropped leaves no file behind.
        fs::File::create_new(path)?;
        Ok(Box::new(writer))
    }

    async fn reopen(
        &self,
        facts: &UploadFacts,
        checkpoint: &Checkpoint,
        offset: u64,
    ) -> Result<Reopened, WriteError> {
        let read = AppendCheckpoint::deserialize(&checkpoint.0);
        let read = read.map_err(|error| WriteError::new(WriteErrorKind::Failed, error))?;
        if (read.v, read.kind.as_str()) != (1, "append") {
            return Ok(Reopened::Gone);
        }
        let (remote, size, epoch) = (Arc::clone(&self.0), facts.client_size, facts.epoch);
        // It comes out of a store that others may write to, and becomes a name.
        let uuid = Uuid::try_parse(&read.uuid);
        let uuid = uuid.map_err(|error| WriteError::new(WriteErrorKind::Failed, error))?;
        let has_it = blocking(move || {
            let (old, own) = (part_name(uuid, read.epoch), part_name(uuid, epoch));
            // The name of its epoch is the fence: an old holder appends to a file that is not there.
            if remote.stat(&old)?.is_some_and(|len| len >= offset) {
                remote.rename(&old, &own)?;
                remote.truncate(&own, offset)?;
                return Ok(Some(false));
            }
            let finished = remote.stat(&uuid.to_string())? == Some(size);
            Ok(finished.then_some(true))
        });
        Ok(match has_it.await? {
            Some(true) => Reopened::Closed {
                result: json!({ "file": uuid.to_string(), "size": size }),
            },
            Some(false) => Reopened::Open(Box::new(AppendWriter {
                remote: Arc::clone(&self.0),
                uuid,
                epoch,
                resumable: facts.resumable,
                written: offset,
            })),
            None => Reopened::Gone,
        })
    }

    fn traits(&self) -> WriterTraits {
        WriterTraits::resumable()
    }

    async fn delete(&self, _facts: &UploadFacts, result: &Value) -> Result<(), WriteError> {
        let name = result["file"]
            .as_str()
            .and_then(|name| Uuid::try_parse(name).ok());
        let name = name.ok_or_else(|| WriteError::misuse("not a result of this factory"))?;
        let remote = Arc::clone(&self.0);
        blocking(move || match remote.remove(&name.to_string()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
        .await
    }

    /// A real one lists `*.part` and removes what is older than the policy says.
    async fn sweep(&self, _policy: &SweepPolicy) -> Result<Vec<Orphan>, WriteError> {
        Ok(Vec::new())
    }
}

/// What the suite needs besides the factory: a way to look at what is stored.
struct Folder {
    writers: Append,
    path: PathBuf,
}

#[async_trait]
impl Backend for Folder {
    fn factory(&self) -> &dyn WriterFactory {
        &self.writers
    }

    async fn read(&self, result: &Value) -> Option<Vec<u8>> {
        fs::read(self.path.join(result["file"].as_str()?)).ok()
    }

    async fn list(&self) -> Vec<String> {
        let names = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        names.map(name).collect()
    }
}

fn folder(path: &Path) -> Folder {
    let dir = path.to_owned();
    Folder {
        writers: Append(Arc::new(Remote { dir })),
        path: path.to_owned(),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    run_all(&folder(dir.path())).await;
    println!("the writer keeps its contract");
    Ok(())
}
