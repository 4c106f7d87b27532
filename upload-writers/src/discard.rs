//! A writer that counts bytes and drops them: for benchmarks of everything but storage.

use std::collections::VecDeque;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    error::{AbortReason, WriteError},
    writer::{
        BoxWriter, Buffered, Checkpoint, Orphan, Reopened, SweepPolicy, UploadFacts, UploadWriter,
        WriterFactory, WriterTraits, Written,
    },
};

/// Makes writers that keep nothing; their result is `{"size": n}`.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiscardWriterFactory;

#[async_trait]
impl WriterFactory for DiscardWriterFactory {
    async fn create(&self, _facts: &UploadFacts) -> Result<BoxWriter, WriteError> {
        Ok(Box::new(DiscardWriter { received: 0 }))
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

    async fn delete(&self, _facts: &UploadFacts, _result: &Value) -> Result<(), WriteError> {
        Ok(())
    }

    async fn sweep(&self, _policy: &SweepPolicy) -> Result<Vec<Orphan>, WriteError> {
        Ok(Vec::new())
    }
}

struct DiscardWriter {
    received: u64,
}

#[async_trait]
impl UploadWriter for DiscardWriter {
    async fn write_chunks(&mut self, chunks: &mut VecDeque<Bytes>) -> Result<Written, WriteError> {
        for chunk in chunks.drain(..) {
            self.received = self.received.saturating_add(chunk.len() as u64);
        }
        self.flush().await
    }

    async fn flush(&mut self) -> Result<Written, WriteError> {
        Ok(Written {
            received: self.received,
            durable: self.received,
        })
    }

    async fn close(&mut self) -> Result<Value, WriteError> {
        Ok(json!({ "size": self.received }))
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
