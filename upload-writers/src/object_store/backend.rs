//! The requests to a store whose unfinished uploads have ids.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use object_store::{
    ObjectStore, ObjectStoreExt, PutPayload, PutResult,
    multipart::{MultipartStore, PartId},
};
use serde_json::Value;

use super::{attributes, errors, path_of, put_with, result};
use crate::{
    WriteErrorKind,
    multipart::{
        BackendError, ListParts, ListUploads, Meaning, MultipartBackend, NewObject, Payload,
        StoredObject, StoredPart, Whole,
    },
};

/// A store of the crate as a backend. It neither lists parts nor unfinished uploads.
pub(super) struct StoreBackend<S> {
    pub(super) store: Arc<S>,
}

#[async_trait]
impl<S: ObjectStore + MultipartStore> MultipartBackend for StoreBackend<S> {
    fn kind(&self) -> &'static str {
        "object_store"
    }

    async fn create(&self, object: &NewObject) -> Result<String, BackendError> {
        let path = path_of(object.key());
        let options = attributes(object).into();
        let begun = match self.store.create_multipart_opts(&path, options).await {
            Err(error) if errors::is_unsupported(&error) => {
                self.store.create_multipart(&path).await
            }
            done => done,
        };
        begun.map_err(failed)
    }

    async fn put_part(
        &self,
        key: &str,
        upload: &str,
        number: u32,
        body: &Payload,
    ) -> Result<String, BackendError> {
        let index = usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
        let (path, id) = (path_of(key), upload.to_owned());
        let put = self.store.put_part(&path, &id, index, payload(body)).await;
        Ok(put.map_err(failed)?.content_id)
    }

    async fn complete(
        &self,
        key: &str,
        upload: &str,
        parts: &BTreeMap<u32, StoredPart>,
        whole: Whole,
    ) -> Result<StoredObject, BackendError> {
        let parts = parts.values().map(|part| PartId {
            content_id: part.id.clone(),
        });
        let (path, id) = (path_of(key), upload.to_owned());
        let parts = parts.collect();
        let put = self.store.complete_multipart(&path, &id, parts).await;
        Ok(stored(put.map_err(failed)?, whole))
    }

    async fn abort(&self, key: &str, upload: &str) -> Result<(), BackendError> {
        let (path, id) = (path_of(key), upload.to_owned());
        match self.store.abort_multipart(&path, &id).await {
            Err(error) if !errors::is_gone(&error) => Err(failed(error)),
            _ => Ok(()),
        }
    }

    async fn put(&self, object: &NewObject, body: &Payload) -> Result<StoredObject, BackendError> {
        let put = put_with(&*self.store, object, || payload(body)).await;
        let whole = Whole {
            len: body.len(),
            crc32c: None,
        };
        Ok(stored(put.map_err(failed)?, whole))
    }

    async fn head(&self, key: &str) -> Result<Option<StoredObject>, BackendError> {
        match self.store.head(&path_of(key)).await {
            Ok(found) => Ok(Some(StoredObject {
                etag: found.e_tag,
                len: found.size,
                crc32c: None,
            })),
            Err(object_store::Error::NotFound { .. }) => self.misses(key).await.map(|()| None),
            Err(error) => Err(failed(error)),
        }
    }

    async fn delete(&self, key: &str) -> Result<(), BackendError> {
        match self.store.delete(&path_of(key)).await {
            Err(error) if !errors::is_gone(&error) => Err(failed(error)),
            _ => Ok(()),
        }
    }

    fn result(&self, key: &str, object: &StoredObject) -> Value {
        result(&path_of(key), object.etag.as_deref(), object.len)
    }

    fn list_parts(&self) -> Option<&dyn ListParts> {
        None
    }

    fn list_uploads(&self) -> Option<&dyn ListUploads> {
        None
    }
}

impl<S: ObjectStore + MultipartStore> StoreBackend<S> {
    /// Has the store itself say that it misses an object: an answer to HEAD, which has no body, may be a proxy's.
    async fn misses(&self, key: &str) -> Result<(), BackendError> {
        match self.store.get(&path_of(key)).await {
            Ok(_) => Err(BackendError::doubtful("a missing object is there")),
            Err(error) if errors::is_gone(&error) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }
}

/// Judges what a store answered. Any request that failed may have taken effect, or an earlier one of its
/// tries, but for those that were denied.
fn failed(error: object_store::Error) -> BackendError {
    let meaning = match &error {
        error if errors::is_gone(error) => Meaning::Missing,
        object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. } => {
            Meaning::Exists
        }
        _ => Meaning::None,
    };
    let error = match errors::kind(&error) {
        WriteErrorKind::Throttled => BackendError::passing(error).uncertain(),
        WriteErrorKind::Denied => BackendError::lasting(WriteErrorKind::Denied, error),
        kind => BackendError::lasting(kind, error).uncertain(),
    };
    error.meaning(meaning)
}

fn stored(put: PutResult, whole: Whole) -> StoredObject {
    StoredObject {
        etag: put.e_tag,
        len: whole.len,
        crc32c: None,
    }
}

fn payload(body: &Payload) -> PutPayload {
    body.slices().iter().cloned().collect()
}
