//! A decorator that makes writers fail and stall by a script: for tests of what drives writers.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;
use tokio::{sync::Semaphore, time::sleep};

use crate::{
    error::{AbortReason, WriteError, WriteErrorKind},
    writer::{
        BoxWriter, Buffered, Checkpoint, Orphan, Reopened, SweepPolicy, UploadFacts, UploadWriter,
        WriterFactory, WriterTraits, Written,
    },
};

/// The calls a script can disturb.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// [`WriterFactory::create`].
    Create,
    /// [`UploadWriter::write_chunks`].
    Write,
    /// [`UploadWriter::flush`].
    Flush,
    /// [`UploadWriter::close`].
    Close,
    /// [`UploadWriter::abort`].
    Abort,
    /// [`WriterFactory::reopen`].
    Reopen,
    /// [`WriterFactory::sweep`].
    Sweep,
    /// [`WriterFactory::delete`].
    Delete,
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails and has no effect. An abort that "fails" removes nothing.
    Fail(WriteErrorKind),
    /// It takes effect, but its answer is lost and a failure comes instead.
    LoseAnswer(WriteErrorKind),
    /// It begins this much later.
    Stall(Duration),
    /// It does not begin before [`FaultyWriterFactory::release`].
    Hold,
}

/// Makes the writers of another factory, disturbed by a script.
///
/// Calls are counted over all its writers. Clones share script and counts.
/// With an empty script it passes everything on unchanged.
#[derive(Clone)]
pub struct FaultyWriterFactory {
    inner: Arc<dyn WriterFactory>,
    script: Arc<Script>,
}

impl fmt::Debug for FaultyWriterFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyWriterFactory")
            .field("script", &self.script)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Script {
    state: Mutex<State>,
    gate: Semaphore,
}

#[derive(Debug, Default)]
struct State {
    counts: BTreeMap<Call, u64>,
    faults: BTreeMap<(Call, u64), Fault>,
    aborts: Vec<AbortReason>,
}

impl FaultyWriterFactory {
    /// Wraps a factory, with an empty script.
    pub fn new(inner: Arc<dyn WriterFactory>) -> Self {
        Self {
            inner,
            script: Arc::new(Script {
                state: Mutex::default(),
                gate: Semaphore::new(0),
            }),
        }
    }

    /// Disturbs one call: of those that come from now on, the one after `skip` others.
    pub fn disturb(&self, call: Call, skip: u64, fault: Fault) {
        let mut state = self.script.lock();
        let count = state.counts.get(&call).copied().unwrap_or_default();
        state
            .faults
            .insert((call, count.saturating_add(skip)), fault);
    }

    /// Lets one held call begin; or the next one, if none is held yet.
    pub fn release(&self) {
        self.script.gate.add_permits(1);
    }

    /// Tells how often a call was made so far.
    pub fn count(&self, call: Call) -> u64 {
        let state = self.script.lock();
        state.counts.get(&call).copied().unwrap_or_default()
    }

    /// Tells the reasons of all aborts so far, in order.
    pub fn aborts(&self) -> Vec<AbortReason> {
        self.script.lock().aborts.clone()
    }

    fn wrap(&self, inner: BoxWriter) -> BoxWriter {
        Box::new(FaultyWriter {
            inner,
            script: Arc::clone(&self.script),
        })
    }
}

#[async_trait]
impl WriterFactory for FaultyWriterFactory {
    async fn create(&self, facts: &UploadFacts) -> Result<BoxWriter, WriteError> {
        let after = self.script.begin(Call::Create).await?;
        let writer = self.inner.create(facts).await?;
        after.end()?;
        Ok(self.wrap(writer))
    }

    async fn reopen(
        &self,
        facts: &UploadFacts,
        checkpoint: &Checkpoint,
        offset: u64,
    ) -> Result<Reopened, WriteError> {
        let after = self.script.begin(Call::Reopen).await?;
        let reopened = self.inner.reopen(facts, checkpoint, offset).await?;
        after.end()?;
        Ok(match reopened {
            Reopened::Open(writer) => Reopened::Open(self.wrap(writer)),
            other => other,
        })
    }

    fn traits(&self) -> WriterTraits {
        self.inner.traits()
    }

    async fn delete(&self, facts: &UploadFacts, result: &Value) -> Result<(), WriteError> {
        let after = self.script.begin(Call::Delete).await?;
        self.inner.delete(facts, result).await?;
        after.end()
    }

    async fn sweep(&self, policy: &SweepPolicy) -> Result<Vec<Orphan>, WriteError> {
        let after = self.script.begin(Call::Sweep).await?;
        let orphans = self.inner.sweep(policy).await?;
        after.end()?;
        Ok(orphans)
    }
}

struct FaultyWriter {
    inner: BoxWriter,
    script: Arc<Script>,
}

#[async_trait]
impl UploadWriter for FaultyWriter {
    async fn write_chunks(&mut self, chunks: &mut VecDeque<Bytes>) -> Result<Written, WriteError> {
        let after = self.script.begin(Call::Write).await?;
        let written = self.inner.write_chunks(chunks).await?;
        after.end()?;
        Ok(written)
    }

    async fn flush(&mut self) -> Result<Written, WriteError> {
        let after = self.script.begin(Call::Flush).await?;
        let written = self.inner.flush().await?;
        after.end()?;
        Ok(written)
    }

    async fn close(&mut self) -> Result<Value, WriteError> {
        let after = self.script.begin(Call::Close).await?;
        let result = self.inner.close().await?;
        after.end()?;
        Ok(result)
    }

    async fn abort(self: Box<Self>, reason: &AbortReason) {
        let Self { inner, script } = *self;
        script.lock().aborts.push(reason.clone());
        if script.begin(Call::Abort).await.is_ok() {
            inner.abort(reason).await;
        }
    }

    fn checkpoint(&self) -> Option<Checkpoint> {
        self.inner.checkpoint()
    }

    fn buffered(&self) -> Buffered {
        self.inner.buffered()
    }

    fn suspend(&mut self) {
        self.inner.suspend();
    }
}

/// What happens once the call inside has taken effect.
#[must_use]
struct After(Option<WriteErrorKind>);

impl After {
    fn end(self) -> Result<(), WriteError> {
        match self.0 {
            Some(kind) => Err(WriteError::new(kind, "the script lost the answer")),
            None => Ok(()),
        }
    }
}

impl Script {
    /// Counts a call and does to it what the script says.
    async fn begin(&self, call: Call) -> Result<After, WriteError> {
        let fault = {
            let mut state = self.lock();
            let count = state.counts.entry(call).or_default();
            let at = *count;
            *count = count.saturating_add(1);
            state.faults.remove(&(call, at))
        };
        match fault {
            None => {}
            Some(Fault::Fail(kind)) => {
                return Err(WriteError::new(kind, "the script says so"));
            }
            Some(Fault::LoseAnswer(kind)) => return Ok(After(Some(kind))),
            Some(Fault::Stall(time)) => sleep(time).await,
            Some(Fault::Hold) => {
                let permit = self.gate.acquire().await;
                let permit = permit.map_err(|error| WriteError::new(WriteErrorKind::Failed, error));
                permit?.forget();
            }
        }
        Ok(After(None))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
