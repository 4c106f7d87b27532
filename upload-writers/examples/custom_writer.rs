//! A writer of one's own, and the conformance suite on it.
//!
//! It keeps uploads in memory, run-length encoded, and cannot reopen them.
//! `cargo run -p upload-writers --features testing --example custom_writer`

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};
use upload_writers::{
    AbortReason, BoxWriter, Buffered, Checkpoint, Orphan, Reopened, SweepPolicy, UploadFacts,
    UploadWriter, WriteError, WriterFactory, WriterTraits, Written,
    conformance::{Backend, run_all},
};

/// Runs of equal bytes: how many, and which.
type Runs = Vec<(u64, u8)>;

/// Finished uploads by number.
#[derive(Clone, Default)]
struct Memory {
    finished: Arc<Mutex<BTreeMap<usize, Runs>>>,
}

struct RunWriter {
    memory: Memory,
    runs: Runs,
    received: u64,
}

#[async_trait]
impl UploadWriter for RunWriter {
    async fn write_chunks(&mut self, chunks: &mut VecDeque<Bytes>) -> Result<Written, WriteError> {
        for byte in chunks.drain(..).flatten() {
            self.received += 1;
            match self.runs.last_mut() {
                Some((times, last)) if *last == byte => *times += 1,
                _ => self.runs.push((1, byte)),
            }
        }
        self.flush().await
    }

    async fn flush(&mut self) -> Result<Written, WriteError> {
        // Memory does not survive the process, so nothing ever counts as durable.
        Ok(Written {
            received: self.received,
            durable: 0,
        })
    }

    async fn close(&mut self) -> Result<Value, WriteError> {
        let mut finished = self
            .memory
            .finished
            .lock()
            .expect("nothing panics under it");
        let number = finished.len();
        finished.insert(number, std::mem::take(&mut self.runs));
        Ok(json!({ "object": number, "size": self.received }))
    }

    async fn abort(self: Box<Self>, _reason: &AbortReason) {}

    fn checkpoint(&self) -> Option<Checkpoint> {
        None
    }

    fn buffered(&self) -> Buffered {
        Buffered::default()
    }

    fn suspend(&mut self) {}
}

#[async_trait]
impl WriterFactory for Memory {
    async fn create(&self, _facts: &UploadFacts) -> Result<BoxWriter, WriteError> {
        Ok(Box::new(RunWriter {
            memory: self.clone(),
            runs: Runs::new(),
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
        WriterTraits::default()
    }

    async fn delete(&self, _facts: &UploadFacts, result: &Value) -> Result<(), WriteError> {
        let number = result["object"]
            .as_u64()
            .and_then(|number| usize::try_from(number).ok());
        let number = number.ok_or_else(|| WriteError::misuse("not a result of this factory"))?;
        let mut finished = self.finished.lock().expect("nothing panics under it");
        finished.remove(&number);
        Ok(())
    }

    async fn sweep(&self, _policy: &SweepPolicy) -> Result<Vec<Orphan>, WriteError> {
        Ok(Vec::new())
    }
}

/// What the suite needs besides the factory: a way to look at what is stored.
#[async_trait]
impl Backend for Memory {
    fn factory(&self) -> &dyn WriterFactory {
        self
    }

    async fn read(&self, result: &Value) -> Option<Vec<u8>> {
        let number = usize::try_from(result["object"].as_u64()?).ok()?;
        let finished = self.finished.lock().expect("nothing panics under it");
        let runs = finished.get(&number)?.iter();
        let bytes = runs.flat_map(|&(times, byte)| (0..times).map(move |_| byte));
        Some(bytes.collect())
    }

    async fn list(&self) -> Vec<String> {
        let finished = self.finished.lock().expect("nothing panics under it");
        finished.keys().map(ToString::to_string).collect()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    run_all(&Memory::default()).await;
    println!("the writer keeps its contract");
}
