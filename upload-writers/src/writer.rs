//! The contract: what keeps an upload's bytes, and what makes such writers.
//!
//! A writer takes batches, so a busy upload costs one call for many chunks, and it can be asked to make
//! durable what it has. Dropping a writer keeps what it stored, since its process may only be ending;
//! only `abort` removes it.

mod named;

use std::{collections::VecDeque, fmt, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::named::NamedUploads;
use crate::error::{AbortReason, WriteError};

/// How many bytes a [`Checkpoint`] may have as JSON text.
///
/// It is stored in the upload's record, which has at most 16 KiB (PROTOCOL RESUME-1).
pub const CHECKPOINT_BYTES_MAX: usize = 8 * 1024;

/// The longest name of a coding, in bytes.
const CODING_BYTES_MAX: usize = 64;

/// A writer behind its trait.
pub type BoxWriter = Box<dyn UploadWriter>;

/// Keeps the bytes of one upload.
///
/// # Contract
///
/// - [`WriterFactory::create`] and [`WriterFactory::reopen`] make it, ready for bytes.
/// - One instance serves one upload, and one task calls it, one call at a time.
/// - After a call answered an error, or its future was dropped half way, only
///   [`checkpoint`](Self::checkpoint) and [`abort`](Self::abort) may follow, or dropping the writer.
///   A [`flush`](Self::flush) is the exception: dropping its future changes nothing.
/// - After [`close`](Self::close) answered `Ok` the writer is dropped.
/// - Dropping a writer without `close` or `abort` *releases* it: what was stored is kept, and if the
///   factory [can resume](WriterTraits::resumable) it is resumed from the checkpoint, here or in another
///   process.
///
/// A writer need not check any of this: what drives it does, by a [`CheckedWriter`](crate::CheckedWriter).
/// All methods are required, so that a writer around another one cannot forget to pass one on.
#[async_trait]
pub trait UploadWriter: Send {
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
    /// Dropping its future only stops waiting: what it began continues, the writer takes further
    /// calls, and a later one tells how far it came. So the driver can hand over what arrives
    /// meanwhile, instead of keeping it in memory.
    ///
    /// # Errors
    ///
    /// When storage fails.
    async fn flush(&mut self) -> Result<Written, WriteError>;

    /// Ends the file and publishes it; answers the `result` clients and applications see.
    ///
    /// When it returns `Ok`, bytes and name are durable (PROTOCOL COMPLETE-3).
    ///
    /// # Errors
    ///
    /// When storage fails. The driver then calls `abort`, or drops the writer to keep what a
    /// checkpoint holds, as it does after a [temporary](WriteError::is_temporary) error.
    async fn close(&mut self) -> Result<Value, WriteError>;

    /// Throws the upload away and removes what was stored; the end of every failure path.
    ///
    /// It cannot fail: what could not be removed is left to [`WriterFactory::sweep`].
    /// It is safe after a failed call.
    ///
    /// The caller owns the upload: no later holder resumes it or has finished it, so a file that a
    /// failed `close` may have published goes as well. A caller who cannot tell drops the writer instead.
    async fn abort(self: Box<Self>, reason: &AbortReason);

    /// Tells what another process needs to resume this upload; `None`: it cannot be resumed.
    ///
    /// It may change with each call that stores something, and has at most [`CHECKPOINT_BYTES_MAX`]
    /// bytes. Once it would need more, the writer returns `None`, and its upload continues without
    /// being resumable.
    fn checkpoint(&self) -> Option<Checkpoint>;

    /// Tells what it has taken and still has in memory, so that a budget can count it.
    ///
    /// A writer whose calls return only when the bytes are out of its hands has nothing.
    fn buffered(&self) -> Buffered;

    /// No call follows for now, maybe never: a writer that keeps others away from what it stored, with
    /// a lock for example, gives that up, and returns what it had reserved. It holds up no thread for that: while
    /// its storage does not answer, it may keep both.
    ///
    /// The caller has another fence against two holders. The next call finds out whether the upload was
    /// resumed by another holder meanwhile, and fails if so.
    fn suspend(&mut self);
}

/// Payload bytes in the memory of a writer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buffered {
    /// All of them.
    pub bytes: u64,
    /// Those among them that wait for more bytes of the file, such as those of a part that is not full
    /// yet: a budget that refuses to take more would wait for them forever.
    pub incomplete: u64,
    /// How many more bytes of the file free those: the rest of such a part.
    pub missing: u64,
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

/// A writer's own notes for reopening an upload, as JSON; opaque to everyone else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Checkpoint(pub Value);

/// What a factory knows about an upload.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
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
    /// The declared size in bytes; of a file whose length is not known yet the most that it may have.
    pub client_size: u64,
    /// Whether the upload can be continued after its connection was lost.
    pub resumable: bool,
    /// Rises with every holder of the upload, the first one's is 1: a writer of a lower epoch must
    /// never take anything from one of a higher.
    pub epoch: u64,
    /// Of an upload that continues: CRC32C of its bytes before the offset where it continues. `None` of
    /// others, and where checksums are switched off.
    pub crc32c_before: Option<u32>,
    /// The path inside the chosen directory, as the client gave it: for display only.
    pub relative_path: Option<String>,
    /// What the client sent along.
    pub meta: Value,
    /// Where the application wants the finished file: components that begin with no dot, separated by
    /// `/`, at most 512 bytes ([`is_folder`](crate::is_folder)). The file writer puts it before the slot, writers for
    /// buckets after their prefix; other writers need not look at it.
    pub folder: Option<String>,
}

impl UploadFacts {
    /// Describes an upload of a file of `client_size` bytes; everything else can be set afterwards.
    ///
    /// It has neither owner, names nor type, is not resumable, and this is its first holder.
    pub fn new(upload_id: impl Into<String>, slot: impl Into<String>, client_size: u64) -> Self {
        Self {
            owner: String::new(),
            upload_id: upload_id.into(),
            slot: slot.into(),
            client_name: String::new(),
            safe_client_name: String::new(),
            client_type: String::new(),
            client_size,
            resumable: false,
            epoch: 1,
            crc32c_before: None,
            relative_path: None,
            meta: Value::Object(serde_json::Map::new()),
            folder: None,
        }
    }

    /// The key of [`meta`](Self::meta) below which a client's `Content-Encoding` is kept.
    pub const CODING_KEY: &str = "content-encoding";

    /// Returns the coding that the file is in, such as `gzip`, where the client named one.
    ///
    /// Names, types and sizes are those of the coded file. Whatever gives it out says so with `Content-Encoding`.
    pub fn coding(&self) -> Option<&str> {
        let coding = self.meta.get(Self::CODING_KEY)?.as_str()?;
        is_coding(coding).then_some(coding)
    }
}

/// Returns whether this can be the coding of a file ([`UploadFacts::coding`]): letters, digits, `-`, `_` and `.`, at
/// most 64 bytes.
///
/// ```
/// use upload_writers::is_coding;
///
/// assert!(is_coding("gzip") && is_coding("x-gzip"));
/// assert!(!is_coding("gzip, br") && !is_coding("") && !is_coding("a/b"));
/// ```
pub fn is_coding(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !text.is_empty() && text.len() <= CODING_BYTES_MAX && text.bytes().all(plain)
}

/// Makes, reopens and sweeps writers of one kind of storage.
///
/// All methods are required, so that a factory around another one cannot forget to pass one on.
#[async_trait]
pub trait WriterFactory: Send + Sync {
    /// Makes the writer of a new upload, ready for its bytes.
    ///
    /// # Errors
    ///
    /// When storage refuses or has no room. Nothing is left behind then, nor where its future is dropped.
    async fn create(&self, facts: &UploadFacts) -> Result<BoxWriter, WriteError>;

    /// Resumes an upload at `offset`, which is at most what was durable when `checkpoint` was taken.
    ///
    /// Anything stored past it is discarded; or it is kept, if it is compared with the bytes that
    /// come again. Bytes before it that may have been lost are compared with
    /// [`UploadFacts::crc32c_before`].
    ///
    /// A factory whose [traits](Self::traits) say that it cannot answers [`Reopened::Gone`].
    ///
    /// # Errors
    ///
    /// When storage fails, or the checkpoint is not one of this factory; a
    /// [temporary](WriteError::is_temporary) one if storage knows a holder of a higher
    /// [epoch](UploadFacts::epoch).
    async fn reopen(
        &self,
        facts: &UploadFacts,
        checkpoint: &Checkpoint,
        offset: u64,
    ) -> Result<Reopened, WriteError>;

    /// Removes a finished upload that was not taken, by what its close answered.
    ///
    /// It is called again where it is not known whether an earlier call took effect.
    ///
    /// # Errors
    ///
    /// When storage fails, or the result is not one of this factory. Bytes that are gone already are no
    /// error.
    async fn delete(&self, facts: &UploadFacts, result: &Value) -> Result<(), WriteError>;

    /// Says what its writers can do.
    fn traits(&self) -> WriterTraits;

    /// Removes what no upload holds any more (PROTOCOL RESUME-8), and returns what that was.
    ///
    /// # Errors
    ///
    /// When storage cannot be listed. What cannot be removed is only left out of the answer.
    async fn sweep(&self, policy: &SweepPolicy) -> Result<Vec<Orphan>, WriteError>;
}

/// What the writers of a factory can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriterTraits {
    /// Whether [`WriterFactory::reopen`] can ever succeed; not by default.
    pub resumable: bool,
    /// How many bytes a call is best given while more are about to come; where none are, it gets fewer.
    ///
    /// By default that is a full chunk of 64 KiB: it is taken while it is in the processor's cache, and
    /// its buffer receives the next one.
    pub batch_bytes: u64,
    /// Whether [`WriterFactory::reopen`] takes as long for a large upload as for a small one; not by default.
    ///
    /// Where it may read what it has stored, the large uploads of one connection are reopened one after another.
    pub reopens_quickly: bool,
    /// Whether a [`WriterFactory::reopen`] behind an abort tells whether that removed all; by default it does.
    pub shows_aborts: bool,
}

impl Default for WriterTraits {
    fn default() -> Self {
        Self {
            resumable: false,
            batch_bytes: 64 * 1024,
            reopens_quickly: false,
            shows_aborts: true,
        }
    }
}

impl WriterTraits {
    /// Describes writers that can be reopened.
    pub fn resumable() -> Self {
        Self {
            resumable: true,
            ..Self::default()
        }
    }

    /// Says that a reopen reads none of what it has stored.
    #[must_use]
    pub fn reopens_quickly(self) -> Self {
        Self {
            reopens_quickly: true,
            ..self
        }
    }

    /// Says that storage forgets unfinished uploads by itself, and cannot tell an aborted one from a new one.
    #[must_use]
    pub fn hides_aborts(self) -> Self {
        Self {
            shows_aborts: false,
            ..self
        }
    }

    /// Sets how many bytes a call is best given.
    #[must_use]
    pub fn batch_bytes(self, batch_bytes: u64) -> Self {
        Self {
            batch_bytes,
            ..self
        }
    }
}

/// What became of a [`WriterFactory::reopen`].
pub enum Reopened {
    /// The upload continues; the writer is open, at the requested offset.
    Open(BoxWriter),
    /// An earlier close had taken effect and only its answer was lost: this is it.
    Closed {
        /// What that close answered.
        result: Value,
    },
    /// There is nothing to continue from.
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
    /// What records name. Storage that cannot tell by itself which uploads are alive removes nothing of
    /// that, however old it is.
    pub named: NamedUploads,
    /// Only tell, remove nothing.
    pub dry_run: bool,
}

/// A leftover a sweep found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// What it is called in storage; for the log.
    pub what: String,
    /// How many bytes it holds.
    pub bytes: u64,
    /// How long it has rested.
    pub age: Duration,
    /// Whether it belonged to a resumable upload.
    pub resumable: bool,
}
