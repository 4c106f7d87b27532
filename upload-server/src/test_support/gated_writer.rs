//! Writers whose writes wait until a test lets them, or panic.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;
use tokio::sync::Semaphore;
use upload_writers::{
    AbortReason, BoxWriter, Buffered, Checkpoint, Orphan, RecordingWriterFactory, Reopened,
    SweepPolicy, UploadFacts, UploadWriter, WriteError, WriterFactory, WriterTraits, Written,
};

/// Records what is written; writes of held-up uploads wait.
#[derive(Clone, Default)]
pub(crate) struct GatedWriters {
    pub(crate) recorded: RecordingWriterFactory,
    /// Whether they say that a large upload is reopened as quickly as a small one.
    pub(crate) reopen_quickly: bool,
    holds: Arc<Mutex<HashMap<String, Hold>>>,
}

/// How the writes of one upload are held up.
#[derive(Clone)]
pub(crate) struct Hold {
    /// Each write takes one, and waits for it.
    pub(crate) permits: Arc<Semaphore>,
    /// Each flush takes one of these, if there is such a thing, and can be left.
    flushes: Option<Arc<Semaphore>>,
    /// Each opening takes one of these, if there is such a thing.
    opens: Option<Arc<Semaphore>>,
    /// Whether writes panic.
    pub(crate) panics: Arc<AtomicBool>,
}

impl GatedWriters {
    pub(crate) fn new(recorded: RecordingWriterFactory) -> Self {
        Self {
            recorded,
            reopen_quickly: false,
            holds: Arc::default(),
        }
    }

    /// Holds up the writes of an upload but for as many as permits are added.
    pub(crate) fn hold_up(&self, upload_id: &str) -> Hold {
        let hold = Hold {
            permits: Arc::new(Semaphore::new(0)),
            flushes: None,
            opens: None,
            panics: Arc::default(),
        };
        let mut holds = self.holds.lock().expect("not poisoned");
        holds.insert(upload_id.to_owned(), hold.clone());
        hold
    }

    /// Holds up the flushes of an upload that is held up, too.
    pub(crate) fn hold_up_flushes(&self, upload_id: &str) -> Arc<Semaphore> {
        let flushes = Arc::new(Semaphore::new(0));
        let mut holds = self.holds.lock().expect("not poisoned");
        let hold = holds.get_mut(upload_id).expect("is held up");
        hold.flushes = Some(Arc::clone(&flushes));
        flushes
    }

    /// Holds up the opening of an upload's writer that is held up, too.
    pub(crate) fn hold_up_opens(&self, upload_id: &str) -> Arc<Semaphore> {
        let opens = Arc::new(Semaphore::new(0));
        let mut holds = self.holds.lock().expect("not poisoned");
        let hold = holds.get_mut(upload_id).expect("is held up");
        hold.opens = Some(Arc::clone(&opens));
        opens
    }

    fn opens_of(&self, upload_id: &str) -> Option<Arc<Semaphore>> {
        let holds = self.holds.lock().expect("not poisoned");
        holds.get(upload_id)?.opens.clone()
    }

    fn wrap(&self, facts: &UploadFacts, writer: BoxWriter) -> BoxWriter {
        let holds = self.holds.lock().expect("not poisoned");
        match holds.get(&facts.upload_id).cloned() {
            Some(hold) => Box::new(GatedWriter { writer, hold }),
            None => writer,
        }
    }
}

#[async_trait]
impl WriterFactory for GatedWriters {
    async fn create(&self, facts: &UploadFacts) -> Result<BoxWriter, WriteError> {
        let writer = self.recorded.create(facts).await?;
        if let Some(opens) = self.opens_of(&facts.upload_id) {
            opens.acquire().await.expect("stays open").forget();
        }
        Ok(self.wrap(facts, writer))
    }

    async fn reopen(
        &self,
        facts: &UploadFacts,
        checkpoint: &Checkpoint,
        offset: u64,
    ) -> Result<Reopened, WriteError> {
        let reopened = self.recorded.reopen(facts, checkpoint, offset).await?;
        if let Some(opens) = self.opens_of(&facts.upload_id) {
            opens.acquire().await.expect("stays open").forget();
        }
        Ok(match reopened {
            Reopened::Open(writer) => Reopened::Open(self.wrap(facts, writer)),
            other => other,
        })
    }

    fn traits(&self) -> WriterTraits {
        let traits = self.recorded.traits();
        match self.reopen_quickly {
            true => traits.reopens_quickly(),
            false => traits,
        }
    }

    async fn delete(&self, facts: &UploadFacts, result: &Value) -> Result<(), WriteError> {
        self.recorded.delete(facts, result).await
    }

    async fn sweep(&self, policy: &SweepPolicy) -> Result<Vec<Orphan>, WriteError> {
        self.recorded.sweep(policy).await
    }
}

struct GatedWriter {
    writer: BoxWriter,
    hold: Hold,
}

#[async_trait]
impl UploadWriter for GatedWriter {
    async fn write_chunks(&mut self, chunks: &mut VecDeque<Bytes>) -> Result<Written, WriteError> {
        let permit = self.hold.permits.acquire().await.expect("stays open");
        permit.forget();
        assert!(!self.hold.panics.load(Ordering::SeqCst), "asked to panic");
        self.writer.write_chunks(chunks).await
    }

    async fn flush(&mut self) -> Result<Written, WriteError> {
        if let Some(flushes) = &self.hold.flushes {
            flushes.acquire().await.expect("stays open").forget();
        }
        self.writer.flush().await
    }

    async fn close(&mut self) -> Result<Value, WriteError> {
        self.writer.close().await
    }

    async fn abort(self: Box<Self>, reason: &AbortReason) {
        self.writer.abort(reason).await;
    }

    fn checkpoint(&self) -> Option<Checkpoint> {
        self.writer.checkpoint()
    }

    fn buffered(&self) -> Buffered {
        self.writer.buffered()
    }

    fn suspend(&mut self) {
        self.writer.suspend();
    }
}
