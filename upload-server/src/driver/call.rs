//! One call of a writer, as a future that owns the writer while it runs.

use std::{
    collections::VecDeque,
    future::poll_fn,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::FutureExt;
use serde_json::Value;
use tokio::sync::Notify;
use upload_core::{AbortReason, StorageFault};
use upload_proto::UploadRef;
use upload_writers::{
    CheckedWriter, Checkpoint, Reopened, UploadFacts, WriteError, WriteErrorKind, WriterFactory,
    Written,
};

/// Where one upload's bytes go; needed until its writer is open.
pub(crate) struct Storage {
    /// Makes and reopens the writer.
    pub(crate) factory: Arc<dyn WriterFactory>,
    /// What the writer is told about the upload.
    pub(crate) facts: UploadFacts,
    /// What is needed for longer.
    pub(crate) label: UploadLabel,
}

/// Whose writer it is.
#[derive(Clone, Debug)]
pub(crate) struct UploadLabel {
    /// The client's ref, for the log.
    pub(crate) upload: UploadRef,
    /// The slot, for the log.
    pub(crate) slot: Arc<str>,
    /// Whether a record keeps its checkpoints.
    pub(crate) resumable: bool,
}

/// What to do with the writer.
pub(super) enum Task {
    Open(Box<Storage>),
    Reopen {
        storage: Box<Storage>,
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
    pub(super) writer: Option<CheckedWriter>,
    pub(super) batch: VecDeque<Bytes>,
    /// Told when the call is to be given up half way.
    pub(super) interrupt: Option<Arc<Notify>>,
}

/// What became of a call, with everything that comes back.
pub(super) struct Done {
    /// Which call it was, for the log.
    pub(super) what: &'static str,
    pub(super) outcome: Outcome,
    /// What the log is to say.
    pub(super) trouble: Option<String>,
    pub(super) took: Duration,
    pub(super) writer: Option<CheckedWriter>,
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
    pub(super) async fn run(mut self) -> Done {
        let what = name(&self.task);
        let begun = Instant::now();
        let (outcome, trouble) = match self.attempt().await {
            Ok(outcome) => (outcome, None),
            Err(error) => {
                let outcome = match self.task {
                    // What an abort leaves behind is swept one day.
                    Task::Abort(_) => Outcome::Aborted,
                    _ => Outcome::Failed(fault(&error)),
                };
                (outcome, Some(crate::text::chain(&error)))
            }
        };
        self.batch.clear();
        Done {
            what,
            outcome,
            trouble,
            took: begun.elapsed(),
            writer: self.writer,
            batch: self.batch,
        }
    }

    async fn attempt(&mut self) -> Result<Outcome, WriteError> {
        match (&mut self.task, &mut self.writer) {
            (Task::Open(storage), writer) => {
                // In boxes, as all that is made once: writing is made often, and moves around with its future.
                Box::pin(open(storage, writer)).await?;
                Ok(Outcome::Opened)
            }
            (
                Task::Reopen {
                    storage,
                    checkpoint,
                    offset,
                },
                writer,
            ) => Box::pin(reopen(storage, writer, checkpoint.take(), *offset)).await,
            (Task::Write, Some(writer)) => {
                let call = guarded(writer.write_chunks(&mut self.batch));
                wrote(unless(self.interrupt.as_deref(), call).await)
            }
            (Task::Flush, Some(writer)) => {
                let call = guarded(writer.flush());
                wrote(unless(self.interrupt.as_deref(), call).await)
            }
            (Task::Close, Some(writer)) => {
                let result = Box::pin(guarded(writer.close())).await?;
                Ok(Outcome::Closed(result))
            }
            (Task::Abort(reason), place @ Some(_)) => {
                let (reason, writer) = (writers_reason(*reason), place.take());
                let aborting = guarded(async {
                    if let Some(writer) = writer {
                        writer.abort(&reason).await;
                    }
                    Ok(())
                });
                Box::pin(aborting).await?;
                Ok(Outcome::Aborted)
            }
            (Task::Abort(_), None) => Ok(Outcome::Aborted),
            (Task::Write | Task::Flush | Task::Close, None) => {
                Err(WriteError::misuse("there is no writer"))
            }
        }
    }
}

async fn open(storage: &Storage, place: &mut Option<CheckedWriter>) -> Result<(), WriteError> {
    let factory = &storage.factory;
    let writer = guarded(factory.create(&storage.facts)).await?;
    *place = Some(CheckedWriter::new(writer, factory.traits()));
    Ok(())
}

async fn reopen(
    storage: &Storage,
    place: &mut Option<CheckedWriter>,
    checkpoint: Option<Value>,
    offset: u64,
) -> Result<Outcome, WriteError> {
    let Some(checkpoint) = checkpoint.map(Checkpoint) else {
        if offset > 0 {
            return Ok(Outcome::Gone);
        }
        // Nothing was stored yet, so there is nothing to find again.
        open(storage, place).await?;
        return Ok(Outcome::Reopened);
    };
    let traits = storage.factory.traits();
    if !traits.resumable {
        return Ok(Outcome::Gone);
    }
    let reopening = storage.factory.reopen(&storage.facts, &checkpoint, offset);
    Ok(match guarded(reopening).await? {
        Reopened::Open(writer) => {
            *place = Some(CheckedWriter::new(writer, traits));
            Outcome::Reopened
        }
        Reopened::Closed { result } => Outcome::ClosedBefore(result),
        Reopened::Gone => Outcome::Gone,
    })
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
    let mut events = pin!(interrupt.notified());
    poll_fn(|cx| match call.as_mut().poll(cx) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        Poll::Pending => events.as_mut().poll(cx).map(|()| None),
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
        Task::Open(_) => "open",
        Task::Reopen { .. } => "reopen",
        Task::Write => "write",
        Task::Flush => "flush",
        Task::Close => "close",
        Task::Abort(_) => "abort",
    }
}

/// Tells the core of a failure; of one that is temporary in a way that keeps what is stored.
fn fault(error: &WriteError) -> StorageFault {
    match error.kind {
        WriteErrorKind::Full if error.is_temporary() => StorageFault::Full,
        _ if error.is_temporary() => StorageFault::Throttled,
        WriteErrorKind::Denied => StorageFault::Denied,
        _ => StorageFault::Failed,
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
