//! Uploads into any storage that takes parts, over a [`MultipartBackend`].
//!
//! A file of one part is stored by a single request. A larger one is an upload in parts: they are sent
//! while the next ones are received, and put together on close. What a request's lost answer leaves in
//! doubt is looked up by the upload's key, which no other has.
//!
//! # Resuming
//!
//! A checkpoint names the upload. Storage that [lists parts](ListParts) tells which ones it has; of
//! any other the checkpoint names them. Reopened at an offset, the writer keeps the parts before it. Parts
//! past it are not believed, but one that has the size and the CRC32C of the bytes that come again is not
//! sent again (where checksums are listed). An offset *inside* a stored part keeps that part: its rest
//! comes again and is compared by its CRC32C. Where the part's or the file's is not known it relies on the
//! client's proof that its file is the same (PROTOCOL RESUME-6).
//!
//! Such storage cannot keep an old holder from sending parts. That there is one holder is up to the lease
//! of the upload's record.

mod abort;
mod backend;
mod checkpoint;
mod error;
mod last_part;
mod live;
mod part_uploads;
mod reopen;
mod retry;
mod sink;
mod sweep;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use serde_json::Value;

#[cfg(feature = "testing")]
pub(crate) use self::checkpoint::MultipartCheckpoint;
#[cfg(feature = "object-store")]
pub(crate) use self::part_uploads::{PartUploads, UploadedPart};
pub use self::{
    backend::{
        ListParts, ListUploads, MultipartBackend, NewObject, Payload, StoredObject, StoredPart,
        UnfinishedUpload, UploadsMarker, UploadsPage, Whole,
    },
    error::{BackendError, Meaning},
    retry::RetryPolicy,
};
use self::{live::LiveSet, retry::Attempts, sink::MultipartSink};
use crate::{
    buffered::BufferedUploadWriter,
    error::WriteError,
    parts::{PartPlan, PartProfile},
    writer::{
        BoxWriter, Checkpoint, Orphan, Reopened, SweepPolicy, UploadFacts, WriterFactory,
        WriterTraits,
    },
};

/// How a [`MultipartWriterFactory`] is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MultipartConfig {
    /// What all keys begin with, usually ending in `/`; may be empty. Also all that
    /// [`sweep`](crate::WriterFactory::sweep) looks at, so other uploads must not share it.
    pub prefix: String,
    /// What the storage asks of parts. The smallest size is also the size parts begin with.
    pub parts: PartProfile,
    /// How many parts of one upload are sent at the same time; 0 counts as 1.
    pub max_parts_in_flight: usize,
    /// How failed requests are tried again.
    pub retry: RetryPolicy,
}

impl MultipartConfig {
    /// Makes the configuration for a prefix, with four parts in flight.
    pub fn new(prefix: impl Into<String>, parts: PartProfile) -> Self {
        Self {
            prefix: prefix.into(),
            parts,
            max_parts_in_flight: 4,
            retry: RetryPolicy::default(),
        }
    }
}

/// Makes resumable writers over a [`MultipartBackend`].
///
/// Objects are called `<prefix><owner scope>/<uuid>-<safe name>`. The owner scope is a hash; the uuid is
/// made here. Each writer holds at most the parts in flight and one more in memory.
/// Cloning is cheap. It needs a tokio runtime with time enabled.
#[derive(Clone, Debug)]
pub struct MultipartWriterFactory {
    shared: Arc<Shared>,
}

/// What all writers of a factory share.
struct Shared {
    config: MultipartConfig,
    backend: Arc<dyn MultipartBackend>,
    live: LiveSet,
    /// Storage gave an upload no id, as Azure does. It has none to throw away then: it forgets parts by itself.
    names_nothing: AtomicBool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("backend", &self.backend.kind())
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl MultipartWriterFactory {
    /// Makes a factory. A prefix that keys cannot begin with is one that leads nowhere else.
    pub fn new(backend: impl MultipartBackend, config: MultipartConfig) -> Self {
        Self {
            shared: Arc::new(Shared {
                config,
                backend: Arc::new(backend),
                live: LiveSet::default(),
                names_nothing: AtomicBool::default(),
            }),
        }
    }

    /// Tells how many bytes a writer for a file of `client_size` bytes holds at most: the parts in
    /// flight, and the one that is being filled up or waits for a place. The batch it was just given
    /// comes on top.
    pub fn held_bytes_max(&self, client_size: u64) -> u64 {
        let config = &self.shared.config;
        let plan = PartPlan::for_size(client_size, &config.parts);
        let part_bytes = plan.map_or(0, |plan| plan.part_bytes);
        let parts = u64::try_from(config.max_parts_in_flight.max(1)).unwrap_or(u64::MAX);
        let most = part_bytes.saturating_mul(parts.saturating_add(1));
        most.min(client_size)
    }
}

#[async_trait]
impl WriterFactory for MultipartWriterFactory {
    async fn create(&self, facts: &UploadFacts) -> Result<BoxWriter, WriteError> {
        let sink = MultipartSink::create(Arc::clone(&self.shared), facts).await?;
        let part_bytes = sink.part_bytes();
        let writer = BufferedUploadWriter::new(sink, part_bytes);
        Ok(Box::new(writer.with_file_bytes_max(facts.client_size)))
    }

    async fn reopen(
        &self,
        facts: &UploadFacts,
        checkpoint: &Checkpoint,
        offset: u64,
    ) -> Result<Reopened, WriteError> {
        reopen::reopen(&self.shared, facts, checkpoint, offset).await
    }

    fn traits(&self) -> WriterTraits {
        let traits = WriterTraits::resumable().reopens_quickly();
        match self.shared.names_nothing.load(Ordering::Relaxed) {
            true => traits.hides_aborts(),
            false => traits,
        }
    }

    async fn delete(&self, _facts: &UploadFacts, result: &Value) -> Result<(), WriteError> {
        let key = result.get("key").and_then(Value::as_str);
        let key = key.ok_or_else(|| WriteError::misuse("not a result of this factory"))?;
        let mut attempts = Attempts::new(&self.shared.config.retry, "delete");
        attempts.run(|| self.shared.backend.delete(key)).await?;
        Ok(())
    }

    async fn sweep(&self, policy: &SweepPolicy) -> Result<Vec<Orphan>, WriteError> {
        sweep::sweep(&self.shared, policy).await
    }
}
