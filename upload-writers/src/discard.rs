//! A writer that counts bytes and drops them: for benchmarks of everything but storage.

use std::collections::VecDeque;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    error::{AbortReason, WriteError},
    writer::{BoxWriter, Checkpoint, Reopened, UploadFacts, UploadWriter, WriterFactory, Written},
};

/// Makes writers that keep nothing; their result is `{"size": n}`.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiscardWriterFactory;

#[async_trait]
impl WriterFactory for DiscardWriterFactory {
    fn create(&self, _facts: &UploadFacts) -> BoxWriter {
        Box::new(DiscardWriter::default())
    }

    async fn reopen(
        &self,
        _facts: &UploadFacts,
        _checkpoint: &Checkpoint,
        _offset: u64,
    ) -> Result<Reopened, WriteError> {
        Ok(Reopened::Gone)
    }

    fn can_reopen(&self) -> bool {
        false
    }
}

#[derive(Default)]
struct DiscardWriter {
    phase: Phase,
    received: u64,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    New,
    Open,
    Closed,
    Aborted,
}

impl DiscardWriter {
    fn written(&self) -> Result<Written, WriteError> {
        if self.phase != Phase::Open {
            return Err(WriteError::misuse("the writer is not open"));
        }
        Ok(Written {
            received: self.received,
            durable: self.received,
        })
    }
}

#[async_trait]
impl UploadWriter for DiscardWriter {
    async fn open(&mut self) -> Result<(), WriteError> {
        if self.phase != Phase::New {
            return Err(WriteError::misuse("the writer was opened before"));
        }
        self.phase = Phase::Open;
        Ok(())
    }

    async fn write_chunks(&mut self, chunks: &mut VecDeque<Bytes>) -> Result<Written, WriteError> {
        self.written()?;
        for chunk in chunks.drain(..) {
            self.received = self.received.saturating_add(chunk.len() as u64);
        }
        self.written()
    }

    async fn flush(&mut self) -> Result<Written, WriteError> {
        self.written()
    }

    async fn close(&mut self) -> Result<Value, WriteError> {
        if !matches!(self.phase, Phase::Open | Phase::Closed) {
            return Err(WriteError::misuse("the writer is not open"));
        }
        self.phase = Phase::Closed;
        Ok(json!({ "size": self.received }))
    }

    async fn abort(&mut self, _reason: &AbortReason) {
        if self.phase != Phase::Closed {
            self.phase = Phase::Aborted;
        }
    }

    fn checkpoint(&self) -> Option<Checkpoint> {
        None
    }
}
