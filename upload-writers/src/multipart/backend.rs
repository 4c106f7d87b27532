//! What storage that takes parts has to be able to do.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;

use super::{error::BackendError, last_part::crc_of};
use crate::{key::Object, parts::Part};

/// Storage that takes an object in parts: its requests, each made once.
///
/// Trying again, what is in flight, resuming, and looking for what a lost answer left in doubt is up to the
/// [writers](super::MultipartWriterFactory) over it.
///
/// No key is ever used by two uploads. A request may be made again after it failed, and then must not
/// fail because the first one took effect, except with [`Meaning::Exists`](super::Meaning::Exists).
#[async_trait]
pub trait MultipartBackend: Send + Sync + 'static {
    /// Names the kind of storage in checkpoints, such as `s3`.
    fn kind(&self) -> &'static str;

    /// Begins an upload in parts; answers its id.
    async fn create(&self, object: &NewObject) -> Result<String, BackendError>;

    /// Stores part `number`, counted from 1; answers what [`complete`](Self::complete) knows it by. A
    /// part of this number that is there already is replaced.
    async fn put_part(
        &self,
        key: &str,
        upload: &str,
        number: u32,
        body: &Payload,
    ) -> Result<String, BackendError>;

    /// Makes the object of its parts, which are numbered without a gap.
    async fn complete(
        &self,
        key: &str,
        upload: &str,
        parts: &BTreeMap<u32, StoredPart>,
        whole: Whole,
    ) -> Result<StoredObject, BackendError>;

    /// Throws an upload and its parts away. One that is not there counts as thrown away.
    async fn abort(&self, key: &str, upload: &str) -> Result<(), BackendError>;

    /// Stores a whole object in one request.
    async fn put(&self, object: &NewObject, body: &Payload) -> Result<StoredObject, BackendError>;

    /// Looks at a finished object; `None` only where the storage itself says that there is none.
    async fn head(&self, key: &str) -> Result<Option<StoredObject>, BackendError>;

    /// Removes an object. One that is not there counts as removed.
    async fn delete(&self, key: &str) -> Result<(), BackendError>;

    /// Makes the `result` that clients and applications see of a finished object.
    fn result(&self, key: &str, object: &StoredObject) -> Value;

    /// Its way to list the parts of an upload, if it has one. Without, checkpoints name all parts.
    fn list_parts(&self) -> Option<&dyn ListParts>;

    /// Its way to list unfinished uploads, if it has one. Without, nothing can be swept.
    fn list_uploads(&self) -> Option<&dyn ListUploads>;
}

/// Storage that lists the parts of an unfinished upload.
#[async_trait]
pub trait ListParts: Send + Sync {
    /// Lists all of them by number; `None` if there is no such upload.
    async fn parts(
        &self,
        key: &str,
        upload: &str,
    ) -> Result<Option<BTreeMap<u32, StoredPart>>, BackendError>;
}

/// Storage that lists unfinished uploads.
#[async_trait]
pub trait ListUploads: Send + Sync {
    /// Finds the one with exactly this key; its id.
    async fn find(&self, key: &str) -> Result<Option<String>, BackendError>;

    /// Lists those whose keys begin with `prefix`, a page at a time. `after` is what the last page ended
    /// with.
    async fn page(
        &self,
        prefix: &str,
        after: Option<UploadsMarker>,
    ) -> Result<UploadsPage, BackendError>;
}

/// Some unfinished uploads, and where the next ones begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UploadsPage {
    /// The uploads.
    pub uploads: Vec<UnfinishedUpload>,
    /// Where to continue; `None` at the end.
    pub next: Option<UploadsMarker>,
}

/// A place in a list of unfinished uploads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UploadsMarker {
    /// The key.
    pub key: String,
    /// The id, where the storage counts it.
    pub upload: Option<String>,
}

/// An upload in parts that is not finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnfinishedUpload {
    /// The key of its object.
    pub key: String,
    /// Its id.
    pub upload: String,
    /// When it began, in seconds since 1970; 0 where unknown.
    pub at: i64,
}

/// A part that is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredPart {
    /// What the storage knows it by, such as its entity tag.
    pub id: String,
    /// How many bytes it has.
    pub len: u64,
    /// CRC32C of its bytes, where it is known.
    pub crc32c: Option<u32>,
    /// When it was stored, in seconds since 1970; 0 where unknown.
    pub at: i64,
}

/// A finished object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredObject {
    /// Its entity tag, where it has one.
    pub etag: Option<String>,
    /// How many bytes it has.
    pub len: u64,
    /// CRC32C of its bytes, where it is kept.
    pub crc32c: Option<u32>,
}

/// What is known of a whole object before it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    /// How many bytes it has.
    pub len: u64,
    /// CRC32C of its bytes; unknown if that of a part is.
    pub crc32c: Option<u32>,
}

impl Whole {
    /// Puts parts together in their order.
    pub(crate) fn of(parts: &BTreeMap<u32, StoredPart>) -> Self {
        let nothing = Self {
            len: 0,
            crc32c: Some(0),
        };
        parts.values().fold(nothing, |whole, part| Self {
            len: whole.len.saturating_add(part.len),
            crc32c: (|| {
                let len = usize::try_from(part.len).ok()?;
                Some(crc32c::crc32c_combine(whole.crc32c?, part.crc32c?, len))
            })(),
        })
    }

    /// Refuses an object that an earlier request made of other bytes than those that came again.
    pub(crate) fn check(self, found: &StoredObject) -> Result<(), BackendError> {
        match found.crc32c.zip(self.crc32c) {
            Some((object, file)) if object != file => Err(BackendError::unusable(
                "the object has other bytes than the file",
            )),
            _ => Ok(()),
        }
    }
}

/// An object to be: its key, and what is stored about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewObject(pub(crate) Object);

impl NewObject {
    /// Returns its key, `<prefix><owner scope>/<uuid>-<safe name>`.
    pub fn key(&self) -> &str {
        &self.0.key
    }

    /// Returns its media type, as an HTTP header has it.
    pub fn content_type(&self) -> &str {
        &self.0.content_type
    }

    /// Returns the `Content-Disposition` that makes browsers save it under its safe name.
    pub fn content_disposition(&self) -> &str {
        &self.0.disposition
    }

    /// Returns the id of its upload, of letters, digits and hyphens.
    pub fn upload_id(&self) -> &str {
        &self.0.upload_id
    }
}

/// The bytes of one request, shared between its tries; nothing is copied.
#[derive(Clone, Debug)]
pub struct Payload {
    slices: Arc<[Bytes]>,
    len: u64,
    crc32c: u32,
}

#[expect(
    clippy::len_without_is_empty,
    reason = "an empty one is the body of an empty file"
)]
impl Payload {
    pub(crate) fn new(part: Part) -> Self {
        let len = part.len();
        let slices = part.into_slices();
        Self {
            crc32c: crc_of(0, &slices),
            slices: slices.into(),
            len,
        }
    }

    /// Returns its bytes in order; cloning it copies none.
    pub fn slices(&self) -> &Arc<[Bytes]> {
        &self.slices
    }

    /// Returns how many bytes it has.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Returns the CRC32C of its bytes.
    pub fn crc32c(&self) -> u32 {
        self.crc32c
    }

    /// The part that it is, once it is stored.
    pub(crate) fn stored(&self, id: String) -> StoredPart {
        StoredPart {
            id,
            len: self.len,
            crc32c: Some(self.crc32c),
            at: 0,
        }
    }

    /// The object that it is, once it is stored.
    pub(crate) fn whole(&self) -> Whole {
        Whole {
            len: self.len,
            crc32c: Some(self.crc32c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_make_a_whole() {
        let stored = |bytes: &[u8], known: bool| StoredPart {
            len: bytes.len() as u64,
            crc32c: known.then(|| crc32c::crc32c(bytes)),
            ..StoredPart::default()
        };
        let parts = BTreeMap::from([(1, stored(b"1234", true)), (2, stored(b"56789", true))]);
        let whole = Whole::of(&parts);
        assert_eq!((whole.len, whole.crc32c), (9, Some(0xe306_9283)));
        let parts = BTreeMap::from([(1, stored(b"1234", false)), (2, stored(b"56789", true))]);
        assert_eq!(Whole::of(&parts).crc32c, None);
    }
}
