//! A writer in memory that notes every call made to it: for tests of what drives writers.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    error::{AbortReason, WriteError, WriteErrorKind},
    writer::{
        BoxWriter, Buffered, Checkpoint, Orphan, Reopened, SweepPolicy, UploadFacts, UploadWriter,
        WriterFactory, WriterTraits, Written,
    },
};

/// One call a driver made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// The factory made a writer.
    Create,
    /// The factory was asked to continue at this offset.
    Reopen(u64),
    /// The writer got these chunks.
    Write(Vec<Bytes>),
    /// The writer was flushed.
    Flush,
    /// The writer was closed.
    Close,
    /// The writer was aborted for this reason.
    Abort(AbortReason),
    /// The writer was dropped with neither close nor abort.
    Release,
    /// The factory was asked to remove the finished upload.
    Delete,
}

/// Makes writers that keep uploads in memory and note the calls, whether allowed or not.
///
/// Their result is `{"object": k, "size": n}`. Clones share everything.
#[derive(Clone, Debug, Default)]
pub struct RecordingWriterFactory {
    memory: Arc<Mutex<Memory>>,
    durable_on_flush: bool,
}

#[derive(Debug, Default)]
struct Memory {
    made: u64,
    objects: BTreeMap<u64, Object>,
    calls: Vec<(String, Recorded)>,
}

#[derive(Debug, Default)]
struct Object {
    bytes: Vec<u8>,
    published: bool,
    /// Rises with each reopen; a writer of an earlier epoch changes nothing.
    epoch: u64,
}

impl RecordingWriterFactory {
    /// Makes a factory whose writers make bytes durable as they take them.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a factory whose writers make bytes durable only when flushed.
    pub fn durable_on_flush() -> Self {
        Self {
            durable_on_flush: true,
            ..Self::default()
        }
    }

    /// Tells the calls for one upload so far, in order.
    pub fn calls(&self, upload_id: &str) -> Vec<Recorded> {
        let memory = lock(&self.memory);
        let of_upload = memory.calls.iter().filter(|(id, _)| id == upload_id);
        of_upload.map(|(_, call)| call.clone()).collect()
    }

    /// Tells how often uploads were aborted so far.
    pub fn aborts(&self) -> usize {
        let memory = lock(&self.memory);
        let is_abort = |(_, call): &&(String, Recorded)| matches!(call, Recorded::Abort(_));
        memory.calls.iter().filter(is_abort).count()
    }

    /// Reads a finished upload by the result of its close.
    pub fn read(&self, result: &Value) -> Option<Vec<u8>> {
        let object = result.get("object")?.as_u64()?;
        let memory = lock(&self.memory);
        let object = memory.objects.get(&object)?;
        object.published.then(|| object.bytes.clone())
    }

    /// Tells how many uploads are kept, finished or not.
    pub fn kept(&self) -> usize {
        lock(&self.memory).objects.len()
    }

    fn writer(&self, facts: &UploadFacts, object: u64, epoch: u64) -> RecordingWriter {
        RecordingWriter {
            memory: Arc::clone(&self.memory),
            upload_id: facts.upload_id.clone(),
            durable_on_flush: self.durable_on_flush,
            object,
            epoch,
            has_ended: false,
            written: Written::default(),
        }
    }
}

#[async_trait]
impl WriterFactory for RecordingWriterFactory {
    async fn create(&self, facts: &UploadFacts) -> Result<BoxWriter, WriteError> {
        let mut memory = lock(&self.memory);
        memory.made += 1;
        let call = (facts.upload_id.clone(), Recorded::Create);
        memory.calls.push(call);
        let number = memory.made;
        memory.objects.insert(number, Object::default());
        Ok(Box::new(self.writer(facts, number, 0)))
    }

    async fn reopen(
        &self,
        facts: &UploadFacts,
        checkpoint: &Checkpoint,
        offset: u64,
    ) -> Result<Reopened, WriteError> {
        let mut memory = lock(&self.memory);
        let call = (facts.upload_id.clone(), Recorded::Reopen(offset));
        memory.calls.push(call);
        let key = checkpoint.0.get("object").and_then(Value::as_u64);
        let key = key.ok_or_else(|| WriteError::misuse("not a checkpoint of this factory"))?;
        let Some(object) = memory.objects.get_mut(&key) else {
            return Ok(Reopened::Gone);
        };
        if object.published {
            let result = result(key, object.bytes.len() as u64);
            return Ok(Reopened::Closed { result });
        }
        let Some(len) = usize::try_from(offset)
            .ok()
            .filter(|&len| len <= object.bytes.len())
        else {
            return Ok(Reopened::Gone);
        };
        object.bytes.truncate(len);
        object.epoch += 1;
        let mut writer = self.writer(facts, key, object.epoch);
        writer.written = Written {
            received: offset,
            durable: offset,
        };
        Ok(Reopened::Open(Box::new(writer)))
    }

    fn traits(&self) -> WriterTraits {
        WriterTraits::resumable()
    }

    async fn delete(&self, facts: &UploadFacts, result: &Value) -> Result<(), WriteError> {
        let key = result.get("object").and_then(Value::as_u64);
        let key = key.ok_or_else(|| WriteError::misuse("not a result of this factory"))?;
        let mut memory = lock(&self.memory);
        memory.objects.remove(&key);
        let call = (facts.upload_id.clone(), Recorded::Delete);
        memory.calls.push(call);
        Ok(())
    }

    async fn sweep(&self, _policy: &SweepPolicy) -> Result<Vec<Orphan>, WriteError> {
        Ok(Vec::new())
    }
}

struct RecordingWriter {
    memory: Arc<Mutex<Memory>>,
    upload_id: String,
    durable_on_flush: bool,
    object: u64,
    epoch: u64,
    /// It was closed or aborted.
    has_ended: bool,
    written: Written,
}

impl RecordingWriter {
    fn record(&self, call: Recorded) {
        let call = (self.upload_id.clone(), call);
        lock(&self.memory).calls.push(call);
    }

    /// Changes the object, unless another holder has taken it over.
    fn change(&self, change: impl FnOnce(&mut Object)) -> Result<(), WriteError> {
        let mut memory = lock(&self.memory);
        match memory.objects.get_mut(&self.object) {
            Some(object) if object.epoch == self.epoch && !object.published => {
                change(object);
                Ok(())
            }
            _ => Err(WriteError::new(WriteErrorKind::Failed, "taken over")),
        }
    }
}

#[async_trait]
impl UploadWriter for RecordingWriter {
    async fn write_chunks(&mut self, chunks: &mut VecDeque<Bytes>) -> Result<Written, WriteError> {
        self.record(Recorded::Write(chunks.iter().cloned().collect()));
        let mut received = self.written.received;
        self.change(|object| {
            for chunk in chunks.drain(..) {
                received += chunk.len() as u64;
                object.bytes.extend_from_slice(&chunk);
            }
        })?;
        self.written.received = received;
        if !self.durable_on_flush {
            self.written.durable = self.written.received;
        }
        Ok(self.written)
    }

    async fn flush(&mut self) -> Result<Written, WriteError> {
        self.record(Recorded::Flush);
        self.written.durable = self.written.received;
        Ok(self.written)
    }

    async fn close(&mut self) -> Result<Value, WriteError> {
        self.record(Recorded::Close);
        self.change(|object| object.published = true)?;
        self.has_ended = true;
        Ok(result(self.object, self.written.received))
    }

    async fn abort(mut self: Box<Self>, reason: &AbortReason) {
        self.record(Recorded::Abort(reason.clone()));
        self.has_ended = true;
        let mut memory = lock(&self.memory);
        let object = memory.objects.get(&self.object);
        if object.is_some_and(|object| object.epoch == self.epoch) {
            memory.objects.remove(&self.object);
        }
    }

    fn checkpoint(&self) -> Option<Checkpoint> {
        Some(Checkpoint(json!({ "object": self.object })))
    }

    fn buffered(&self) -> Buffered {
        Buffered::default()
    }

    fn suspend(&mut self) {}
}

impl Drop for RecordingWriter {
    fn drop(&mut self) {
        if !self.has_ended {
            self.record(Recorded::Release);
        }
    }
}

fn result(object: u64, size: u64) -> Value {
    json!({ "object": object, "size": size })
}

/// Tests that panic elsewhere still want to read what was recorded.
fn lock(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}
