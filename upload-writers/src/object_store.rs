//! Uploads into any store of the `object_store` crate: local files, memory, and, behind features of
//! their own, S3, Google Cloud Storage and Azure.
//!
//! Retries and timeouts are the store's own: the cloud stores of that crate have them.
//!
//! What a store can do is said by how its factory is made. [`ObjectStoreWriterFactory::resumable`]
//! wants a [`MultipartStore`], whose uploads have ids and can be gone on with; local files do not
//! implement it, so [`ObjectStoreWriterFactory::plain`] takes them and cannot reopen.
//!
//! # Going on
//!
//! The checkpoint holds the ids of all parts, since these stores do not list them. Once they do not
//! fit any more, there is none, and the upload goes on without being resumable. Reopened at an
//! offset, the parts before it are kept and everything after it is sent again. An offset inside a
//! part keeps that part: its rest comes again and is compared by its CRC32C. Where the part's or the
//! file's is not known it rests on the client's proof that its file is the same (PROTOCOL RESUME-6).

mod errors;
mod plain;
mod resumable;
mod url;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use object_store::{
    Attribute, Attributes, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, multipart::MultipartStore, path::Path,
};
use serde_json::{Value, json};

pub use self::url::ObjectStoreSetupError;
use self::{plain::PlainSink, resumable::ResumableSink};
use crate::{
    buffered::BufferedUploadWriter,
    error::{WriteError, WriteErrorKind},
    key::{self, Object},
    parts::{Part, PartPlan, PartProfile},
    writer::{BoxWriter, Checkpoint, Reopened, UploadFacts, WriterFactory},
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
    store: Arc<dyn ObjectStore>,
    multipart: Option<Arc<dyn MultipartStore>>,
    config: ObjectStoreWriterConfig,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("resumable", &self.multipart.is_some())
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
        let multipart: Arc<dyn MultipartStore> = Arc::clone(&store) as _;
        Self::new(store, Some(multipart), config)
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
        Self::new(store, None, config)
    }

    fn new(
        store: Arc<dyn ObjectStore>,
        multipart: Option<Arc<dyn MultipartStore>>,
        config: ObjectStoreWriterConfig,
    ) -> Result<Self, ObjectStoreSetupError> {
        config.check()?;
        Ok(Self {
            shared: Arc::new(Shared {
                store,
                multipart,
                config,
            }),
        })
    }

    /// Tells how the factory is configured.
    pub fn config(&self) -> &ObjectStoreWriterConfig {
        &self.shared.config
    }
}

#[async_trait]
impl WriterFactory for ObjectStoreWriterFactory {
    fn create(&self, facts: &UploadFacts) -> BoxWriter {
        let shared = Arc::clone(&self.shared);
        let upload = Upload::new(shared, facts);
        let part_bytes = upload.part_bytes;
        match &self.shared.multipart {
            Some(multipart) => {
                let sink = ResumableSink::new(upload, Arc::clone(multipart));
                Box::new(BufferedUploadWriter::new(sink, part_bytes))
            }
            None => Box::new(BufferedUploadWriter::new(
                PlainSink::new(upload),
                part_bytes,
            )),
        }
    }

    async fn reopen(
        &self,
        facts: &UploadFacts,
        checkpoint: &Checkpoint,
        offset: u64,
    ) -> Result<Reopened, WriteError> {
        match &self.shared.multipart {
            Some(multipart) => {
                resumable::reopen(&self.shared, multipart, facts, checkpoint, offset).await
            }
            None => Err(WriteError::misuse(
                "this store's uploads cannot be reopened",
            )),
        }
    }

    fn can_reopen(&self) -> bool {
        self.shared.multipart.is_some()
    }
}

/// One upload, as both kinds of writer see it.
#[derive(Debug)]
struct Upload {
    shared: Arc<Shared>,
    object: Object,
    path: Path,
    client_size: u64,
    part_bytes: u64,
}

impl Upload {
    fn new(shared: Arc<Shared>, facts: &UploadFacts) -> Self {
        let object = Object::new(&shared.config.prefix, facts);
        let profile = shared.config.profile();
        let plan = PartPlan::for_size(facts.client_size, &profile);
        // A file that is too large is refused when it is opened.
        let part_bytes = plan.map_or(profile.part_bytes_max, |plan| plan.part_bytes);
        Self::with(shared, object, facts, part_bytes)
    }

    fn with(shared: Arc<Shared>, object: Object, facts: &UploadFacts, part_bytes: u64) -> Self {
        Self {
            shared,
            // As it is where the crate takes it so, and with its escapes otherwise.
            path: Path::parse(&object.key).unwrap_or_else(|_| Path::from(object.key.as_str())),
            object,
            client_size: facts.client_size,
            part_bytes,
        }
    }

    /// Refuses a file that no number of parts can hold.
    fn check(&self) -> Result<(), WriteError> {
        let profile = self.shared.config.profile();
        PartPlan::for_size(self.client_size, &profile)
            .map_err(|error| WriteError::new(WriteErrorKind::Failed, error))?;
        Ok(())
    }

    /// Says whether the file is stored by a single request.
    fn is_single(&self) -> bool {
        self.client_size <= self.part_bytes
    }

    /// Stores a file of one part; says how it is called and how large it is.
    async fn put_whole(&self, part: Part) -> Result<Value, WriteError> {
        let len = part.len();
        let store = &self.shared.store;
        let options = PutOptions::from(self.attributes());
        let put = store.put_opts(&self.path, payload(part.clone()), options);
        let put = match put.await {
            Err(error) if errors::is_unsupported(&error) => {
                let bare = PutOptions::default();
                store.put_opts(&self.path, payload(part), bare).await
            }
            done => done,
        };
        self.settled(put, len).await
    }

    /// Says what became of a request that publishes the file. One that failed may have taken effect,
    /// or an earlier one of its tries: its object is there then, and nobody else's can be.
    async fn settled(
        &self,
        put: Result<PutResult, object_store::Error>,
        len: u64,
    ) -> Result<Value, WriteError> {
        match put {
            Ok(put) => Ok(result(&self.path, put.e_tag.as_deref(), len)),
            Err(error) => match self.finished(len).await {
                Ok(Some(result)) => Ok(result),
                _ => Err(errors::judged(error)),
            },
        }
    }

    /// Looks for the finished object.
    async fn finished(&self, len: u64) -> Result<Option<Value>, WriteError> {
        match self.shared.store.head(&self.path).await {
            Ok(found) if found.size == len => {
                Ok(Some(result(&self.path, found.e_tag.as_deref(), len)))
            }
            Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(errors::judged(error)),
        }
    }

    /// Removes the object. One that is not there counts as removed.
    async fn remove(&self) -> Result<(), object_store::Error> {
        match self.shared.store.delete(&self.path).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            done => done,
        }
    }

    fn multipart_options(&self) -> PutMultipartOptions {
        PutMultipartOptions::from(self.attributes())
    }

    /// What the object says of itself, for stores that keep it.
    fn attributes(&self) -> Attributes {
        let id = Attribute::Metadata("upload_id".into());
        Attributes::from_iter([
            (Attribute::ContentType, self.object.content_type.clone()),
            (
                Attribute::ContentDisposition,
                self.object.disposition.clone(),
            ),
            (id, self.object.upload_id.clone()),
        ])
    }
}

/// What `close` answers.
fn result(path: &Path, etag: Option<&str>, len: u64) -> Value {
    let etag = etag.map(|etag| etag.trim_matches('"'));
    json!({ "key": path.as_ref(), "etag": etag, "size": len })
}

/// The chunks of a part, as they are.
fn payload(part: Part) -> PutPayload {
    part.into_slices().into_iter().collect()
}

/// Reads a checkpoint, for the fuzzer: the key.
#[cfg(feature = "testing")]
pub(crate) fn read_checkpoint(
    checkpoint: &crate::Checkpoint,
    facts: &UploadFacts,
    prefix: &str,
) -> Option<String> {
    let notes = crate::notes::Notes::read(checkpoint, facts, prefix, &PartProfile::S3).ok()?;
    Some(notes.object.key)
}
