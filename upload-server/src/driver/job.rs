//! One call of a writer, as a future that owns the writer while it runs.

use std::{
    collections::VecDeque,
    error::Error,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Instant,
};

use ::metrics::Histogram;
use bytes::Bytes;
use futures_util::FutureExt;
use serde_json::Value;
use tokio::sync::Notify;
use tracing::{Instrument, Span};
use upload_core::{AbortReason, StorageFault};
use upload_writers::{
    BoxWriter, Checkpoint, Reopened, UploadFacts, WriteError, WriteErrorKind, WriterFactory,
    Written,
};
use uuid::Uuid;

use crate::metrics;

/// Where one upload's bytes go.
pub(crate) struct Storage {
    /// Makes and reopens the writer.
    pub(crate) factory: Arc<dyn WriterFactory>,
    /// What the writer is told about the upload.
    pub(crate) facts: UploadFacts,
    /// What its log lines stand in.
    pub(crate) span: Span,
    /// Takes how long each write took.
    pub(crate) write_times: Histogram,
}

/// What to do with the writer.
#[derive(Debug)]
pub(super) enum Task {
    Open,
    Reopen {
        checkpoint: Option<Value>,
        offset: u64,
    },
    Write,
    Flush,
    Close,
    Abort(AbortReason),
}

/// One call, with everything it needs.
pub(super) struct Job {
    pub(super) task: Task,
    pub(super) storage: Arc<Storage>,
    pub(super) writer: Option<BoxWriter>,
    pub(super) batch: VecDeque<Bytes>,
    /// Told when the call is to be given up half way.
    pub(super) interrupt: Option<Arc<Notify>>,
}

/// What became of a call, with everything that comes back.
pub(super) struct Done {
    pub(super) outcome: Outcome,
    pub(super) writer: Option<BoxWriter>,
    /// Empty, its memory ready for the next batch.
    pub(super) batch: VecDeque<Bytes>,
}

#[derive(Debug)]
pub(super) enum Outcome {
    Opened,
    Reopened,
    ClosedBefore(Value),
    Gone,
    Wrote(Written),
    Closed(Value),
    Aborted,
    /// The call was given up half way, as it was told; a flush may go on by itself.
    Interrupted,
    Failed(StorageFault),
}

impl Job {
    /// Makes the call. A writer that panics has failed, and can still be aborted.
    pub(super) fn run(self) -> impl Future<Output = Done> + Send + 'static {
        let span = self.storage.span.clone();
        self.make().instrument(span)
    }

    async fn make(mut self) -> Done {
        let what = name(&self.task);
        let outcome = match self.attempt().await {
            Ok(outcome) => outcome,
            Err(error) => {
                // The client reads a fixed text (PROTOCOL MSG-4); the log has the rest.
                tracing::warn!(
                    incident = %Uuid::new_v4(),
                    call = what,
                    error = chain(&error),
                    "a writer failed"
                );
                match self.task {
                    // What an abort leaves behind is swept one day.
                    Task::Abort(_) => Outcome::Aborted,
                    _ => Outcome::Failed(fault(error.kind)),
                }
            }
        };
        self.batch.clear();
        Done {
            outcome,
            writer: self.writer,
            batch: self.batch,
        }
    }

    async fn attempt(&mut self) -> Result<Outcome, WriteError> {
        match (&mut self.task, &mut self.writer) {
            (Task::Open, _) => {
                self.open().await?;
                Ok(Outcome::Opened)
            }
            (Task::Reopen { checkpoint, offset }, _) => {
                let (checkpoint, offset) = (checkpoint.take(), *offset);
                self.reopen(checkpoint, offset).await
            }
            (Task::Write, Some(writer)) => {
                let begun = Instant::now();
                let call = guarded(writer.write_chunks(&mut self.batch));
                let outcome = wrote(unless(self.interrupt.as_deref(), call).await)?;
                self.storage.write_times.record(begun.elapsed());
                Ok(outcome)
            }
            (Task::Flush, Some(writer)) => {
                let call = guarded(writer.flush());
                wrote(unless(self.interrupt.as_deref(), call).await)
            }
            (Task::Close, Some(writer)) => {
                let begun = Instant::now();
                let result = guarded(writer.close()).await?;
                metrics::closed_in(begun.elapsed());
                Ok(Outcome::Closed(result))
            }
            (Task::Abort(reason), Some(writer)) => {
                let reason = writers_reason(*reason);
                guarded(async {
                    writer.abort(&reason).await;
                    Ok(())
                })
                .await?;
                Ok(Outcome::Aborted)
            }
            (Task::Abort(_), None) => Ok(Outcome::Aborted),
            (Task::Write | Task::Flush | Task::Close, None) => {
                Err(WriteError::misuse("there is no writer"))
            }
        }
    }

    async fn open(&mut self) -> Result<(), WriteError> {
        let storage = &self.storage;
        let made = catch_unwind(AssertUnwindSafe(|| storage.factory.create(&storage.facts)));
        let writer = made.map_err(|_| WriteError::misuse("the writer's factory panicked"))?;
        guarded(self.writer.insert(writer).open()).await
    }

    async fn reopen(
        &mut self,
        checkpoint: Option<Value>,
        offset: u64,
    ) -> Result<Outcome, WriteError> {
        let Some(checkpoint) = checkpoint.map(Checkpoint) else {
            if offset > 0 {
                return Ok(Outcome::Gone);
            }
            // Nothing was stored yet, so there is nothing to find again.
            self.open().await?;
            return Ok(Outcome::Reopened);
        };
        let storage = &self.storage;
        if !storage.factory.can_reopen() {
            return Ok(Outcome::Gone);
        }
        let reopening = storage.factory.reopen(&storage.facts, &checkpoint, offset);
        Ok(match guarded(reopening).await? {
            Reopened::Open(writer) => {
                self.writer = Some(writer);
                Outcome::Reopened
            }
            Reopened::Closed { result } => Outcome::ClosedBefore(result),
            Reopened::Gone => Outcome::Gone,
        })
    }
}

async fn guarded<T>(call: impl Future<Output = Result<T, WriteError>>) -> Result<T, WriteError> {
    match AssertUnwindSafe(call).catch_unwind().await {
        Ok(answer) => answer,
        Err(_) => Err(WriteError::misuse("the writer panicked")),
    }
}

/// Makes a call unless it is interrupted before it is done.
async fn unless<T>(interrupt: Option<&Notify>, call: impl Future<Output = T>) -> Option<T> {
    let Some(interrupt) = interrupt else {
        return Some(call.await);
    };
    let mut call = pin!(call);
    let mut told = pin!(interrupt.notified());
    poll_fn(|cx| match call.as_mut().poll(cx) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        Poll::Pending => told.as_mut().poll(cx).map(|()| None),
    })
    .await
}

fn wrote(answer: Option<Result<Written, WriteError>>) -> Result<Outcome, WriteError> {
    Ok(match answer {
        Some(written) => Outcome::Wrote(written?),
        None => Outcome::Interrupted,
    })
}

fn name(task: &Task) -> &'static str {
    match task {
        Task::Open => "open",
        Task::Reopen { .. } => "reopen",
        Task::Write => "write",
        Task::Flush => "flush",
        Task::Close => "close",
        Task::Abort(_) => "abort",
    }
}

fn fault(kind: WriteErrorKind) -> StorageFault {
    match kind {
        WriteErrorKind::Denied => StorageFault::Denied,
        WriteErrorKind::Full => StorageFault::Full,
        WriteErrorKind::Throttled => StorageFault::Throttled,
        WriteErrorKind::Failed => StorageFault::Failed,
    }
}

fn writers_reason(reason: AbortReason) -> upload_writers::AbortReason {
    use upload_writers::AbortReason as To;
    match reason {
        AbortReason::SizeLimit(limit) => To::SizeLimit(limit),
        AbortReason::Cancelled => To::Cancelled,
        AbortReason::SessionClosed => To::SessionClosed,
        AbortReason::Expired => To::Expired,
        AbortReason::ContentMismatch => To::ContentMismatch,
        AbortReason::ChecksumMismatch => To::ChecksumMismatch,
        AbortReason::Storage(fault) => To::Storage(match fault {
            StorageFault::Denied => WriteErrorKind::Denied,
            StorageFault::Full => WriteErrorKind::Full,
            StorageFault::Throttled => WriteErrorKind::Throttled,
            StorageFault::Failed => WriteErrorKind::Failed,
        }),
    }
}

/// Writes an error and what caused it in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}
