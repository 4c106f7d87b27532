//! One upload on its way into a store that cannot continue it later.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use object_store::{
    MultipartUpload, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutPayload, PutResult,
};
use serde_json::Value;

use super::{ObjectStoreWriterConfig, attributes, errors, path_of, put_with, result};
use crate::{
    buffered::PartSink,
    error::{AbortReason, WriteError, WriteErrorKind},
    key::Object,
    multipart::{NewObject, PartUploads, UploadedPart},
    parts::{Part, PartPlan},
    writer::{Checkpoint, UploadFacts},
};

/// Takes the parts of one upload; none of them counts as durable, since none can be resumed from.
#[derive(Debug)]
pub(super) struct PlainSink {
    store: Arc<dyn ObjectStore>,
    object: NewObject,
    part_bytes: u64,
    /// A file of one part, until it is stored whole.
    whole: Option<Part>,
    multipart: Option<Box<dyn MultipartUpload>>,
    part_uploads: PartUploads<Sent>,
    given: u64,
    /// An object may be there although no answer said so.
    may_be_finished: bool,
}

/// How many bytes a part had.
#[derive(Debug)]
struct Sent(u64);

impl UploadedPart for Sent {
    fn len(&self) -> u64 {
        self.0
    }
}

impl PlainSink {
    pub(super) async fn begin(
        store: Arc<dyn ObjectStore>,
        config: &ObjectStoreWriterConfig,
        facts: &UploadFacts,
    ) -> Result<Self, WriteError> {
        let plan = PartPlan::for_size(facts.client_size, &config.profile());
        let plan = plan.map_err(|error| WriteError::new(WriteErrorKind::Failed, error))?;
        let object = NewObject(Object::new(&config.prefix, facts)?);
        let multipart = match facts.client_size <= plan.part_bytes {
            true => None,
            false => Some(begin(&*store, &object).await?),
        };
        Ok(Self {
            store,
            object,
            part_bytes: plan.part_bytes,
            whole: None,
            multipart,
            part_uploads: PartUploads::new(config.max_parts_in_flight, BTreeMap::new()),
            given: 0,
            may_be_finished: false,
        })
    }

    pub(super) fn part_bytes(&self) -> u64 {
        self.part_bytes
    }
}

/// Says what became of a request that publishes a file of `len` bytes. One that failed may have taken
/// effect, or an earlier one of its tries: its object is there then, and no other can be.
async fn contiguous(
    store: &dyn ObjectStore,
    object: &NewObject,
    put: object_store::Result<PutResult>,
    len: u64,
) -> Result<Value, WriteError> {
    let path = path_of(object.key());
    match put {
        Ok(put) => Ok(result(&path, put.e_tag.as_deref(), len)),
        Err(error) => match store.head(&path).await {
            Ok(found) if found.size == len => Ok(result(&path, found.e_tag.as_deref(), len)),
            _ => Err(errors::judged(error)),
        },
    }
}

async fn begin(
    store: &dyn ObjectStore,
    object: &NewObject,
) -> Result<Box<dyn MultipartUpload>, WriteError> {
    let path = path_of(object.key());
    let options = PutMultipartOptions::from(attributes(object));
    let begun = match store.put_multipart_opts(&path, options).await {
        Err(error) if errors::is_unsupported(&error) => {
            let bare = PutMultipartOptions::default();
            store.put_multipart_opts(&path, bare).await
        }
        done => done,
    };
    begun.map_err(errors::judged)
}

/// The chunks of a part, as they are.
fn payload(part: Part) -> PutPayload {
    part.into_slices().into_iter().collect()
}

#[async_trait]
impl PartSink for PlainSink {
    async fn on_part(&mut self, part: Part, number: u32) -> Result<(), WriteError> {
        let len = part.len();
        self.given = self.given.saturating_add(len);
        let Some(multipart) = &mut self.multipart else {
            if self.whole.replace(part).is_some() {
                return Err(WriteError::misuse("more bytes than were declared"));
            }
            return Ok(());
        };
        // The store learns the order of parts by the order of these calls.
        let sent = multipart.put_part(payload(part));
        let request = async move {
            sent.await.map_err(errors::judged)?;
            Ok(Sent(len))
        };
        self.part_uploads.spawn(number, len, request).await
    }

    async fn on_flush(&mut self) -> Result<(), WriteError> {
        self.part_uploads.advance().await
    }

    async fn on_complete(&mut self) -> Result<Value, WriteError> {
        self.part_uploads.join().await?;
        self.may_be_finished = true;
        // No object is made of no parts. Only a file of unknown length comes to this.
        if self.given == 0
            && let Some(mut multipart) = self.multipart.take()
            && let Err(error) = multipart.abort().await
        {
            tracing::warn!(%error, "could not remove an empty upload");
        }
        let Some(multipart) = &mut self.multipart else {
            let whole = self.whole.take().unwrap_or_default();
            let payload = || payload(whole.clone());
            let put = put_with(&*self.store, &self.object, payload).await;
            return contiguous(&*self.store, &self.object, put, self.given).await;
        };
        let put = multipart.complete().await;
        contiguous(&*self.store, &self.object, put, self.given).await
    }

    async fn on_abort(&mut self, reason: &AbortReason) {
        self.whole = None;
        self.part_uploads.cancel().await;
        if let Some(mut multipart) = self.multipart.take()
            && let Err(error) = multipart.abort().await
        {
            tracing::warn!(%error, %reason, "could not remove an upload");
        }
        if self.may_be_finished
            && let Err(error) = self.store.delete(&path_of(self.object.key())).await
            && !errors::is_gone(&error)
        {
            tracing::warn!(%error, %reason, "could not remove an object");
        }
    }

    fn bytes_durable(&self) -> Option<u64> {
        Some(0)
    }

    fn held_bytes(&self) -> u64 {
        let whole = self.whole.as_ref().map_or(0, Part::len);
        self.part_uploads.held().saturating_add(whole)
    }

    fn checkpoint(&self) -> Option<Checkpoint> {
        None
    }
}
