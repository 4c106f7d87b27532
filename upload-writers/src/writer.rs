//! The contract: what keeps an upload's bytes, and what makes such writers.

use std::{collections::VecDeque, fmt, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{AbortReason, WriteError};

/// How many bytes a [`Checkpoint`] may have as JSON text.
///
/// It is stored in the upload's record, which has at most 16 KiB (PROTOCOL RESUME-1).
pub const CHECKPOINT_BYTES_MAX: usize = 8 * 1024;

/// A writer behind its trait.
pub type BoxWriter = Box<dyn UploadWriter>;

/// Keeps the bytes of one upload.
///
/// # Contract
///
/// - One instance serves one upload, and one task calls it, one call at a time.
/// - [`open`](Self::open) comes first and once. A writer that came from
///   [`WriterFactory::reopen`] is open already.
/// - No bytes before `open` succeeded.
/// - After any call answered an error, or its future was dropped half way, only
///   [`abort`](Self::abort) or dropping the writer may follow; everything else answers an error.
///   (A call that was merely not allowed where it was made changes nothing, and some writers
///   [let go of a flush](Self::flush_can_be_left).)
/// - After [`close`](Self::close) answered `Ok`, closing again answers the same result and changes
///   nothing. Nothing else may follow; a late `abort` leaves the finished upload alone.
/// - After `abort` returned, nothing may follow.
/// - Dropping a writer without `close` or `abort` *releases* it: what was stored is kept, and if the
///   factory [can reopen](WriterFactory::can_reopen) it goes on from the checkpoint, here or in
///   another process.
/// - A call that breaks the contract answers [`WriteErrorKind::Failed`], never a panic.
///
/// [`WriteErrorKind::Failed`]: crate::WriteErrorKind::Failed
#[async_trait]
pub trait UploadWriter: Send {
    /// Prepares storage; once, before any chunk.
    ///
    /// # Errors
    ///
    /// When storage refuses or has no room. Nothing is left behind then.
    async fn open(&mut self) -> Result<(), WriteError>;

    /// Takes all of `chunks`, front to back, and leaves it empty.
    ///
    /// Several chunks in one call are the batch that waited while the last call ran; a writer puts
    /// them into one vectored write where it can. An empty batch is allowed.
    ///
    /// # Errors
    ///
    /// When storage fails. What then is left in `chunks` is unspecified, and what is durable is what
    /// the last successful call said.
    async fn write_chunks(&mut self, chunks: &mut VecDeque<Bytes>) -> Result<Written, WriteError>;

    /// Makes everything taken so far durable, as far as this writer can before `close`.
    ///
    /// The driver calls it when the queue ran dry and bytes are not durable yet. A writer may still
    /// answer `durable < received`: storage that takes parts cannot keep half a part.
    /// It may also answer when some bytes became durable and others not yet; it is called again then.
    ///
    /// # Errors
    ///
    /// When storage fails.
    async fn flush(&mut self) -> Result<Written, WriteError>;

    /// Says that dropping the future of a `flush` only stops waiting for it: what it began goes on,
    /// the writer takes further calls, and a later one tells how far it came.
    ///
    /// The driver then hands over what arrives while a flush runs, instead of keeping it in memory.
    fn flush_can_be_left(&self) -> bool {
        false
    }

    /// Returns how many bytes a call is best given while more are about to come; where none are, it
    /// gets fewer.
    ///
    /// By default that is a full chunk: it is taken while it is in the processor's cache, and its
    /// buffer receives the next one.
    fn batch_bytes(&self) -> u64 {
        64 * 1024
    }

    /// Ends the file and publishes it; answers the `result` clients and applications see.
    ///
    /// When it returns `Ok`, bytes and name are durable (PROTOCOL COMPLETE-3).
    ///
    /// # Errors
    ///
    /// When storage fails. The driver then calls `abort`, or drops the writer to keep what a
    /// checkpoint holds, as it does after [`WriteErrorKind::Throttled`] and `Full`.
    ///
    /// [`WriteErrorKind::Throttled`]: crate::WriteErrorKind::Throttled
    async fn close(&mut self) -> Result<Value, WriteError>;

    /// Throws the upload away and removes what was stored; the end of every failure path.
    ///
    /// It cannot fail: what could not be removed is left to [`WriterFactory::sweep`].
    /// It is safe before `open` and after a failed call.
    ///
    /// Whoever calls it owns the upload: no later holder goes on with it or has finished it, so a file
    /// that a failed `close` may have published goes as well. Who cannot tell drops the writer instead.
    async fn abort(&mut self, reason: &AbortReason);

    /// Tells what another process needs to go on with this upload; `None`, the default: it cannot be
    /// reopened.
    ///
    /// Valid once open. It may change with each call that stores something, and has at most
    /// [`CHECKPOINT_BYTES_MAX`] bytes. Once it would need more, the writer returns `None`, and its
    /// upload goes on without being resumable.
    fn checkpoint(&self) -> Option<Checkpoint> {
        None
    }

    /// Nobody writes until the next call, which may be long in coming, or never come: a writer that
    /// keeps others away from what it stored, with a lock for example, gives that up for now.
    ///
    /// Whoever calls it has a fence of its own against two holders. The next call finds out whether
    /// somebody went on with the upload meanwhile, and fails if so.
    fn rest(&mut self) {}

    /// Tells how many bytes it has taken and still holds in memory, so that a budget can count them.
    ///
    /// A writer whose calls return only when the bytes are out of its hands keeps the default.
    fn held(&self) -> u64 {
        0
    }

    /// Tells how many of the [held](Self::held) bytes wait for more bytes of the file, such as those
    /// of a part that is not full yet: a budget that refuses to take more would wait for them forever.
    fn lacking(&self) -> u64 {
        0
    }
}

/// How far a writer has come; offsets are bytes from the start of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Up to here the writer has taken the bytes.
    pub received: u64,
    /// Up to here they survive: the death of the process, or, for a writer that promises more,
    /// the loss of power.
    pub durable: u64,
}

/// A writer's own notes for reopening an upload, as JSON; opaque to everybody else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Checkpoint(pub Value);

/// What a factory is told about an upload.
#[derive(Clone, Debug, PartialEq)]
pub struct UploadFacts {
    /// Who the upload belongs to.
    pub owner: String,
    /// The client-made UUID of the upload, lower-case and hyphenated. Unique only within `owner`.
    pub upload_id: String,
    /// The slot the file was offered to.
    pub slot: String,
    /// The name as the client gave it: for display, never for a path or a key.
    pub client_name: String,
    /// The name made safe; the only one to use in a path or a key.
    pub safe_client_name: String,
    /// The media type the client declared.
    pub client_type: String,
    /// The declared size in bytes.
    pub client_size: u64,
    /// Whether the upload can be continued after its connection was lost.
    pub resumable: bool,
    /// Rises with every holder of the upload, the first one's is 1: a writer of a lower epoch must
    /// never take anything from one of a higher.
    pub epoch: u64,
    /// Of an upload that goes on: CRC32C of its bytes before the offset it goes on at. `None` of
    /// others, and where checksums are switched off.
    pub crc32c_before: Option<u32>,
    /// The path inside the chosen directory, as the client gave it: for display only.
    pub relative_path: Option<String>,
    /// What the client sent along.
    pub meta: Value,
}

/// Makes, reopens and sweeps writers of one kind of storage.
#[async_trait]
pub trait WriterFactory: Send + Sync {
    /// Makes a writer. Does no I/O: [`UploadWriter::open`] does.
    fn create(&self, facts: &UploadFacts) -> BoxWriter;

    /// Goes on with an upload at `offset`, which is at most what was durable when `checkpoint` was
    /// taken; anything stored past it is discarded. By default there is nothing to go on from.
    ///
    /// # Errors
    ///
    /// When storage fails, or the checkpoint is not one of this factory; `Throttled` also where
    /// storage knows a holder of a higher [epoch](UploadFacts::epoch).
    async fn reopen(
        &self,
        _facts: &UploadFacts,
        _checkpoint: &Checkpoint,
        _offset: u64,
    ) -> Result<Reopened, WriteError> {
        Ok(Reopened::Gone)
    }

    /// Says whether [`reopen`](Self::reopen) can ever succeed; not by default.
    fn can_reopen(&self) -> bool {
        false
    }

    /// Removes what nobody holds any more (PROTOCOL RESUME-8), and tells what that was.
    ///
    /// # Errors
    ///
    /// When storage cannot be listed. What cannot be removed is only left out of the answer.
    async fn sweep(&self, _policy: &SweepPolicy) -> Result<Vec<Stray>, WriteError> {
        Ok(Vec::new())
    }
}

/// What became of a [`WriterFactory::reopen`].
pub enum Reopened {
    /// The upload goes on; the writer is open and stands at the asked offset.
    Open(BoxWriter),
    /// An earlier close had taken effect and only its answer was lost: this is it.
    Closed {
        /// What that close answered.
        result: Value,
    },
    /// There is nothing to go on from.
    Gone,
}

impl fmt::Debug for Reopened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(_) => f.write_str("Open"),
            Self::Closed { result } => f.debug_struct("Closed").field("result", result).finish(),
            Self::Gone => f.write_str("Gone"),
        }
    }
}

/// Which leftovers [`WriterFactory::sweep`] may remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweepPolicy {
    /// How long a resumable upload must have rested. At least as long as its record lives.
    pub resumable_older_than: Duration,
    /// How long any other must have rested.
    pub others_older_than: Duration,
    /// Only tell, remove nothing.
    pub dry_run: bool,
}

/// A leftover a sweep found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    /// What it is called in storage; for the log.
    pub what: String,
    /// How many bytes it holds.
    pub bytes: u64,
    /// How long it has rested.
    pub age: Duration,
    /// Whether it belonged to a resumable upload.
    pub resumable: bool,
}
