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
    AbortReason, BoxWriter, UploadFacts, UploadWriter, WriteError, WriterFactory, Written,
    conformance::{Backend, run_all},
};

/// Runs of equal bytes: how many, and which.
type Runs = Vec<(u64, u8)>;

/// Finished uploads by number.
#[derive(Clone, Default)]
struct Memory {
    finished: Arc<Mutex<BTreeMap<usize, Runs>>>,
}

#[derive(PartialEq)]
enum Phase {
    New,
    Open,
    Closed(Value),
    Aborted,
}

struct RunWriter {
    memory: Memory,
    phase: Phase,
    runs: Runs,
    received: u64,
}

#[async_trait]
impl UploadWriter for RunWriter {
    async fn open(&mut self) -> Result<(), WriteError> {
        if self.phase != Phase::New {
            return Err(WriteError::misuse("opened twice"));
        }
        self.phase = Phase::Open;
        Ok(())
    }

    async fn write_chunks(&mut self, chunks: &mut VecDeque<Bytes>) -> Result<Written, WriteError> {
        self.flush().await?;
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
        if self.phase != Phase::Open {
            return Err(WriteError::misuse("not open"));
        }
        // Memory does not survive the process, so nothing ever counts as durable.
        Ok(Written {
            received: self.received,
            durable: 0,
        })
    }

    async fn close(&mut self) -> Result<Value, WriteError> {
        if let Phase::Closed(result) = &self.phase {
            return Ok(result.clone());
        }
        self.flush().await?;
        let mut finished = self
            .memory
            .finished
            .lock()
            .expect("nothing panics under it");
        let result = json!({ "object": finished.len(), "size": self.received });
        let number = finished.len();
        finished.insert(number, std::mem::take(&mut self.runs));
        self.phase = Phase::Closed(result.clone());
        Ok(result)
    }

    async fn abort(&mut self, _reason: &AbortReason) {
        if !matches!(self.phase, Phase::Closed(_)) {
            self.phase = Phase::Aborted;
            self.runs.clear();
        }
    }
}

#[async_trait]
impl WriterFactory for Memory {
    fn create(&self, _facts: &UploadFacts) -> BoxWriter {
        Box::new(RunWriter {
            memory: self.clone(),
            phase: Phase::New,
            runs: Runs::new(),
            received: 0,
        })
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
