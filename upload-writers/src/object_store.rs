//! Uploads into any store of the `object_store` crate: local files, memory, and, each behind a feature,
//! S3, Google Cloud Storage and Azure.
//!
//! Retries and timeouts are the store's own: the cloud stores of that crate have them.
//!
//! What a store can do is said by how its factory is made. [`ObjectStoreWriterFactory::resumable`]
//! wants a [`MultipartStore`], whose uploads have ids and can be resumed; local files do not
//! implement it, so [`ObjectStoreWriterFactory::plain`] takes them and cannot reopen.
//!
//! # Resuming
//!
//! The checkpoint holds the ids of all parts, since these stores do not list them. A resumable file is
//! therefore cut into at most 300 parts, of up to 64 MiB. If that does not suffice (18.75 GiB), or the
//! ids have another form than those of S3, GCS and Azure, they may not fit at some point. From then on
//! there is no checkpoint, and the upload continues without being resumable.

mod backend;
mod errors;
mod plain;
mod url;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use object_store::{
    Attribute, Attributes, ObjectStore, ObjectStoreExt, PutOptions, PutPayload, PutResult,
    multipart::MultipartStore, path::Path,
};
use serde_json::{Value, json};

pub use self::url::ObjectStoreSetupError;
use self::{backend::StoreBackend, plain::PlainSink};
use crate::{
    buffered::BufferedUploadWriter,
    error::WriteError,
    key,
    multipart::{MultipartConfig, MultipartWriterFactory, NewObject, RetryPolicy},
    parts::PartProfile,
    writer::{
        BoxWriter, Checkpoint, Orphan, Reopened, SweepPolicy, UploadFacts, WriterFactory,
        WriterTraits,
    },
};

/// How a factory of object_store writers is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectStoreWriterConfig {
    /// What all keys begin with, usually ending in `/`; may be empty.
    pub prefix: String,
    /// What the provider asks of parts.
    pub parts: PartProfile,
    /// The size parts begin with, in bytes; the provider's smallest if that is more.
    pub part_bytes: u64,
    /// How many parts of one upload are sent at the same time; 0 counts as 1.
    pub max_parts_in_flight: usize,
}

impl Default for ObjectStoreWriterConfig {
    fn default() -> Self {
        Self {
            prefix: "uploads/".to_owned(),
            parts: PartProfile::S3,
            part_bytes: PartProfile::S3.part_bytes_min,
            max_parts_in_flight: 4,
        }
    }
}

impl ObjectStoreWriterConfig {
    fn check(&self) -> Result<(), ObjectStoreSetupError> {
        if !key::is_prefix(&self.prefix) {
            return Err(ObjectStoreSetupError::Prefix);
        }
        if self.part_bytes > self.parts.part_bytes_max {
            return Err(ObjectStoreSetupError::PartBytes {
                most: self.parts.part_bytes_max,
            });
        }
        Ok(())
    }

    fn profile(&self) -> PartProfile {
        PartProfile {
            part_bytes_min: self.parts.part_bytes_min.max(self.part_bytes),
            ..self.parts
        }
    }
}

/// Makes writers that store each upload as an object `<prefix><owner scope>/<uuid>-<safe name>`.
///
/// Their result is `{"key", "etag", "size"}`; stores without entity tags answer null for it.
/// Each writer holds at most the parts in flight and one more in memory.
/// Cloning is cheap. It needs a tokio runtime with time enabled.
#[derive(Clone, Debug)]
pub struct ObjectStoreWriterFactory {
    shared: Arc<Shared>,
}

struct Shared {
    writers: Writers,
    config: ObjectStoreWriterConfig,
}

/// What the store can do.
enum Writers {
    Resumable(MultipartWriterFactory),
    Plain(Arc<dyn ObjectStore>),
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("resumable", &matches!(self.writers, Writers::Resumable(_)))
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl ObjectStoreWriterFactory {
    /// Takes a store whose unfinished uploads have ids; its writers can be reopened.
    ///
    /// # Errors
    ///
    /// When the configuration cannot work with any store.
    pub fn resumable<S>(
        store: Arc<S>,
        config: ObjectStoreWriterConfig,
    ) -> Result<Self, ObjectStoreSetupError>
    where
        S: ObjectStore + MultipartStore,
    {
        let mut of_parts = MultipartConfig::new(&config.prefix, config.profile());
        of_parts.max_parts_in_flight = config.max_parts_in_flight;
        of_parts.retry = RetryPolicy::once();
        let writers = MultipartWriterFactory::new(StoreBackend { store }, of_parts);
        Self::new(Writers::Resumable(writers), config)
    }

    /// Takes any store; its writers cannot be reopened.
    ///
    /// # Errors
    ///
    /// When the configuration cannot work with any store.
    pub fn plain(
        store: Arc<dyn ObjectStore>,
        config: ObjectStoreWriterConfig,
    ) -> Result<Self, ObjectStoreSetupError> {
        Self::new(Writers::Plain(store), config)
    }

    fn new(
        writers: Writers,
        config: ObjectStoreWriterConfig,
    ) -> Result<Self, ObjectStoreSetupError> {
        config.check()?;
        Ok(Self {
            shared: Arc::new(Shared { writers, config }),
        })
    }

    /// Tells how the factory is configured.
    pub fn config(&self) -> &ObjectStoreWriterConfig {
        &self.shared.config
    }
}

#[async_trait]
impl WriterFactory for ObjectStoreWriterFactory {
    async fn create(&self, facts: &UploadFacts) -> Result<BoxWriter, WriteError> {
        match &self.shared.writers {
            Writers::Resumable(writers) => writers.create(facts).await,
            Writers::Plain(store) => {
                let sink = PlainSink::begin(Arc::clone(store), &self.shared.config, facts).await?;
                let part_bytes = sink.part_bytes();
                let writer = BufferedUploadWriter::new(sink, part_bytes);
                Ok(Box::new(writer.with_file_bytes_max(facts.client_size)))
            }
        }
    }

    async fn reopen(
        &self,
        facts: &UploadFacts,
        checkpoint: &Checkpoint,
        offset: u64,
    ) -> Result<Reopened, WriteError> {
        match &self.shared.writers {
            Writers::Resumable(writers) => writers.reopen(facts, checkpoint, offset).await,
            Writers::Plain(_) => Ok(Reopened::Gone),
        }
    }

    fn traits(&self) -> WriterTraits {
        match &self.shared.writers {
            Writers::Resumable(writers) => writers.traits(),
            Writers::Plain(_) => WriterTraits::default(),
        }
    }

    async fn delete(&self, facts: &UploadFacts, result: &Value) -> Result<(), WriteError> {
        match &self.shared.writers {
            Writers::Resumable(writers) => writers.delete(facts, result).await,
            Writers::Plain(store) => {
                let key = result.get("key").and_then(Value::as_str);
                let key = key.ok_or_else(|| WriteError::misuse("not a result of this factory"))?;
                match store.delete(&path_of(key)).await {
                    Err(error) if !errors::is_gone(&error) => Err(errors::judged(error)),
                    _ => Ok(()),
                }
            }
        }
    }

    /// These stores list no unfinished uploads.
    async fn sweep(&self, policy: &SweepPolicy) -> Result<Vec<Orphan>, WriteError> {
        match &self.shared.writers {
            Writers::Resumable(writers) => writers.sweep(policy).await,
            Writers::Plain(_) => Ok(Vec::new()),
        }
    }
}

/// The path of a key: as it is where the crate takes it so, and with its escapes otherwise.
fn path_of(key: &str) -> Path {
    Path::parse(key).unwrap_or_else(|_| Path::from(key))
}

/// What the object says of itself, for stores that keep it.
fn attributes(object: &NewObject) -> Attributes {
    let text = |text: &str| text.to_owned();
    Attributes::from_iter([
        (Attribute::ContentType, text(object.content_type())),
        (
            Attribute::ContentDisposition,
            text(object.content_disposition()),
        ),
        (
            Attribute::Metadata("upload_id".into()),
            text(object.upload_id()),
        ),
    ])
}

/// Stores a whole object, without attributes where the store takes none.
async fn put_with(
    store: &dyn ObjectStore,
    object: &NewObject,
    payload: impl Fn() -> PutPayload + Send,
) -> object_store::Result<PutResult> {
    let path = path_of(object.key());
    let options = PutOptions::from(attributes(object));
    match store.put_opts(&path, payload(), options).await {
        Err(error) if errors::is_unsupported(&error) => {
            store
                .put_opts(&path, payload(), PutOptions::default())
                .await
        }
        done => done,
    }
}

/// What `close` answers.
fn result(path: &Path, etag: Option<&str>, len: u64) -> Value {
    let etag = etag.map(|etag| etag.trim_matches('"'));
    json!({ "key": path.as_ref(), "etag": etag, "size": len })
}

/// Reads a checkpoint, for the fuzzer: the key.
#[cfg(feature = "testing")]
pub(crate) fn read_checkpoint(
    checkpoint: &crate::Checkpoint,
    facts: &UploadFacts,
    prefix: &str,
) -> Option<String> {
    use crate::multipart::MultipartCheckpoint;

    let parts = &PartProfile::S3;
    let read = MultipartCheckpoint::read(checkpoint, "object_store", facts, prefix, parts);
    Some(read.ok()??.object.key().to_owned())
}
