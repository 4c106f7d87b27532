//! A writer that counts bytes and drops them: for benchmarks of everything but storage.

use std::collections::VecDeque;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    error::{AbortReason, WriteError},
    life::Life,
    writer::{BoxWriter, UploadFacts, UploadWriter, WriterFactory, Written},
};

/// Makes writers that keep nothing; their result is `{"size": n}`.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiscardWriterFactory;

#[async_trait]
impl WriterFactory for DiscardWriterFactory {
    fn create(&self, _facts: &UploadFacts) -> BoxWriter {
        Box::new(DiscardWriter::default())
    }
}

#[derive(Default)]
struct DiscardWriter {
    life: Life,
    received: u64,
}

#[async_trait]
impl UploadWriter for DiscardWriter {
    async fn open(&mut self) -> Result<(), WriteError> {
        self.life.begin_open()?;
        self.life.ready();
        Ok(())
    }

    async fn write_chunks(&mut self, chunks: &mut VecDeque<Bytes>) -> Result<Written, WriteError> {
        self.life.check()?;
        for chunk in chunks.drain(..) {
            self.received = self.received.saturating_add(chunk.len() as u64);
        }
        self.flush().await
    }

    async fn flush(&mut self) -> Result<Written, WriteError> {
        self.life.check()?;
        Ok(Written {
            received: self.received,
            durable: self.received,
        })
    }

    async fn close(&mut self) -> Result<Value, WriteError> {
        if let Some(result) = self.life.result() {
            return Ok(result);
        }
        self.life.check()?;
        let result = json!({ "size": self.received });
        self.life.closed(&result);
        Ok(result)
    }

    async fn abort(&mut self, _reason: &AbortReason) {
        self.life.begin_abort();
    }
}
