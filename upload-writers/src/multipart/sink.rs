//! One upload on its way into storage that takes parts.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::oneshot;

use super::{
    Shared,
    abort::{abort, abort_unknown, discard},
    backend::{NewObject, Payload, StoredObject, StoredPart, Whole},
    checkpoint::{MultipartCheckpoint, plan},
    error::{BackendError, Meaning},
    last_part::Overlap,
    live::Live,
    part_uploads::PartUploads,
    retry::Attempts,
};
use crate::{
    buffered::PartSink,
    error::{AbortReason, WriteError, WriteErrorKind},
    key::Object,
    parts::Part,
    writer::{Checkpoint, UploadFacts},
};

/// Takes the parts of one upload; [`BufferedUploadWriter`](crate::BufferedUploadWriter) cuts them.
pub(super) struct MultipartSink {
    shared: Arc<Shared>,
    checkpoint: MultipartCheckpoint,
    client_size: u64,
    part_uploads: PartUploads<StoredPart>,
    /// A file of one part, until it is stored whole.
    whole: Option<Payload>,
    /// What an earlier holder stored past the offset it was reopened at: not believed, but not sent
    /// again either if the same bytes come.
    spare: BTreeMap<u32, StoredPart>,
    /// The part the upload was reopened inside of. It is stored, and its rest comes again.
    straddled: Option<Overlap>,
    /// A multipart upload may have begun whose id is unknown.
    may_have_begun: bool,
    /// An object may be there although no answer said so.
    may_be_finished: bool,
    /// The object that an earlier holder's request made while parts were sent again.
    finished: Arc<OnceLock<StoredObject>>,
    live: Option<Live>,
}

impl MultipartSink {
    /// Makes the sink of a new upload, and begins it.
    pub(super) async fn create(
        shared: Arc<Shared>,
        facts: &UploadFacts,
    ) -> Result<Self, WriteError> {
        let names_parts = shared.backend.list_parts().is_none();
        let plan = plan(&shared.config.parts, facts, names_parts);
        let plan = plan.map_err(|error| WriteError::new(WriteErrorKind::Failed, error))?;
        let checkpoint = MultipartCheckpoint {
            object: NewObject(Object::new(&shared.config.prefix, facts)?),
            upload: None,
            part_bytes: plan.part_bytes,
            ids: Vec::new(),
            last_part: None,
        };
        let mut sink = Self::resume(shared, facts, checkpoint, 0, BTreeMap::new());
        sink.may_be_finished = false;
        if sink.is_single() {
            return Ok(sink);
        }
        // In a task: if this future is dropped, the upload that began is removed there.
        let (taken, mut given) = oneshot::channel();
        tokio::spawn(async move {
            let begun = sink.begin_or_remove().await;
            if let Err(Ok(mut left)) = taken.send(begun.map(|()| sink)) {
                left.on_abort(&AbortReason::SessionClosed).await;
            }
        });
        let begun = (&mut given).await;
        begun.map_err(|_| WriteError::misuse("the task of a beginning died"))?
    }

    async fn begin_or_remove(&mut self) -> Result<(), WriteError> {
        let begun = self.begin().await;
        if begun.is_err() && self.may_have_begun {
            // What cannot be found now is left to a sweep.
            let _ = self.remove().await;
        }
        let id = begun?;
        self.live = Some(self.shared.live.hold(&id));
        self.checkpoint.upload = Some(id);
        Ok(())
    }

    /// Makes the sink of an upload that continues at `offset`, of which the bucket has `parts`.
    pub(super) fn resume(
        shared: Arc<Shared>,
        facts: &UploadFacts,
        checkpoint: MultipartCheckpoint,
        offset: u64,
        parts: BTreeMap<u32, StoredPart>,
    ) -> Self {
        let kept = offset.div_ceil(checkpoint.part_bytes.max(1));
        let (kept_parts, spare) = parts
            .into_iter()
            .partition(|(number, _)| u64::from(*number) <= kept);
        let mut part_uploads = PartUploads::new(shared.config.max_parts_in_flight, kept_parts);
        if let Some(last_part) = checkpoint.last_part {
            part_uploads.remember(last_part);
        }
        let straddled = {
            let (part_bytes, crc32c) = (checkpoint.part_bytes, facts.crc32c_before);
            Overlap::at(offset, part_bytes, crc32c, part_uploads.last_part())
        };
        let live = checkpoint.upload.as_deref().map(|id| shared.live.hold(id));
        Self {
            part_uploads,
            shared,
            checkpoint,
            client_size: facts.client_size,
            whole: None,
            spare,
            straddled,
            may_have_begun: false,
            // A holder that died while it ended the file does not take that request back.
            may_be_finished: true,
            finished: Arc::default(),
            live,
        }
    }

    pub(super) fn part_bytes(&self) -> u64 {
        self.checkpoint.part_bytes
    }

    /// Says whether the file is stored by a single request.
    fn is_single(&self) -> bool {
        self.client_size <= self.checkpoint.part_bytes
    }

    fn key(&self) -> &str {
        self.checkpoint.object.key()
    }

    /// Begins a multipart upload. One whose answer was lost is found by its key, which no other has.
    async fn begin(&mut self) -> Result<String, BackendError> {
        let shared = Arc::clone(&self.shared);
        let mut attempts = Attempts::new(&shared.config.retry, "create");
        loop {
            let before = self.may_have_begun;
            // Said before, since this future may be dropped while it waits.
            self.may_have_begun = true;
            let begun = shared.backend.create(&self.checkpoint.object).await;
            self.may_have_begun = before || begun.as_ref().is_err_and(|failure| failure.uncertain);
            let failure = match begun {
                Ok(id) => return Ok(id),
                Err(failure) => failure,
            };
            attempts.pause(failure).await?;
            if self.may_have_begun
                && let Some(lists) = shared.backend.list_uploads()
                && let Ok(Some(found)) = lists.find(self.key()).await
            {
                return Ok(found);
            }
        }
    }

    /// Makes the object of its parts. Where the answer was lost, the object itself is looked at.
    async fn put_together(&mut self, upload: &str) -> Result<StoredObject, BackendError> {
        let shared = Arc::clone(&self.shared);
        let whole = Whole::of(self.part_uploads.stored());
        if let Some(finished) = self.finished.get() {
            return whole.check(finished).map(|()| finished.clone());
        }
        let mut attempts = Attempts::new(&shared.config.retry, "complete");
        let mut listed = None;
        loop {
            let before = self.may_be_finished;
            self.may_be_finished = true;
            let (key, parts) = (self.key(), self.part_uploads.stored());
            let parts = listed.as_ref().unwrap_or(parts);
            let mut failure = match shared.backend.complete(key, upload, parts, whole).await {
                Ok(finished) => return Ok(finished),
                Err(failure) => failure,
            };
            if failure.meaning == Meaning::OtherPart
                && listed.is_none()
                && let Some(ours) = self.listed(upload).await
            {
                listed = Some(ours);
                self.may_be_finished = before;
                continue;
            }
            if failure.uncertain || failure.meaning != Meaning::None {
                match self.look(whole.len).await {
                    Ok(Some(finished)) => return whole.check(&finished).map(|()| finished),
                    // An earlier try may be at work: the upload is gone and the object not yet there.
                    Ok(None) if before => failure = failure.in_doubt(),
                    Ok(None) => {}
                    Err(_) => failure = failure.in_doubt(),
                }
            } else {
                self.may_be_finished = before;
            }
            attempts.pause(failure).await?;
        }
    }

    /// Lists the parts that are there under other entity tags than their requests were answered with,
    /// if they are ours still: an abandoned request may have stored one again.
    async fn listed(&self, upload: &str) -> Option<BTreeMap<u32, StoredPart>> {
        let lists = self.shared.backend.list_parts()?;
        let parts = lists.parts(self.key(), upload).await.ok()??;
        let ours = self.part_uploads.stored();
        let is_ours = |(number, part): (&u32, &StoredPart)| {
            let our = ours.get(number)?;
            let is_same = part.len == our.len && part.crc32c.is_some() && part.crc32c == our.crc32c;
            is_same.then_some(())
        };
        let all = parts.len() == ours.len() && parts.iter().all(|one| is_ours(one).is_some());
        all.then_some(parts)
    }

    /// Stores a file of one part.
    async fn put_whole(&mut self, payload: &Payload) -> Result<StoredObject, BackendError> {
        let shared = Arc::clone(&self.shared);
        let mut attempts = Attempts::new(&shared.config.retry, "put");
        loop {
            let before = self.may_be_finished;
            self.may_be_finished = true;
            let object = &self.checkpoint.object;
            let mut failure = match shared.backend.put(object, payload).await {
                Ok(finished) => return Ok(finished),
                Err(failure) => failure,
            };
            if failure.uncertain || failure.meaning == Meaning::Exists {
                let whole = payload.whole();
                match self.look(whole.len).await {
                    Ok(Some(finished)) => return whole.check(&finished).map(|()| finished),
                    Ok(None) => {}
                    Err(_) => failure = failure.in_doubt(),
                }
            }
            self.may_be_finished = before || failure.uncertain;
            attempts.pause(failure).await?;
        }
    }

    /// Looks once for the finished object; no one else ever writes to its key.
    async fn look(&self, len: u64) -> Result<Option<StoredObject>, BackendError> {
        let found = self.shared.backend.head(self.key()).await?;
        Ok(found.filter(|found| found.len == len))
    }

    /// Removes all that is known and all that may be there, as far as it can: what one step cannot
    /// remove is no reason to leave the rest. All steps share their tries.
    async fn remove(&mut self) -> Result<(), BackendError> {
        let had_parts_under_way = self.part_uploads.held() > 0;
        self.part_uploads.cancel().await;
        let (backend, key) = (&*self.shared.backend, self.checkpoint.object.key());
        let mut attempts = Attempts::new(&self.shared.config.retry, "remove");
        let aborted = match &self.checkpoint.upload {
            Some(upload) => abort(backend, key, upload, had_parts_under_way, &mut attempts).await,
            None => Ok(()),
        };
        let unknown_aborted = if self.may_have_begun {
            abort_unknown(backend, key, &mut attempts).await
        } else {
            Ok(())
        };
        let deleted = if self.may_be_finished {
            attempts.run(|| backend.delete(key)).await
        } else {
            Ok(())
        };
        aborted.and(unknown_aborted).and(deleted)
    }
}

#[async_trait]
impl PartSink for MultipartSink {
    async fn on_part(&mut self, part: Part, number: u32) -> Result<(), WriteError> {
        if let Some(straddled) = self.straddled.take_if(|one| one.is(number)) {
            return straddled.check(part.slices());
        }
        let payload = Payload::new(part);
        let Some(upload) = &self.checkpoint.upload else {
            if self.whole.replace(payload).is_some() {
                return Err(WriteError::misuse("more bytes than were declared"));
            }
            return Ok(());
        };
        if self.finished.get().is_some() {
            // It is in the object already, which is compared when the file has ended.
            self.part_uploads
                .arrived(number, payload.stored(String::new()));
            return Ok(());
        }
        let spare = self.spare.remove(&number);
        let is_same = |spare: &StoredPart| {
            spare.len == payload.len() && spare.crc32c == Some(payload.crc32c())
        };
        if let Some(stored) = spare.filter(is_same) {
            self.part_uploads.arrived(number, stored);
            return Ok(());
        }
        let (shared, key, upload) = (
            Arc::clone(&self.shared),
            self.key().to_owned(),
            upload.clone(),
        );
        let (len, client_size) = (payload.len(), self.client_size);
        let finished = Arc::clone(&self.finished);
        let request = async move {
            let backend = &shared.backend;
            let mut attempts = Attempts::new(&shared.config.retry, "part");
            loop {
                let put = backend.put_part(&key, &upload, number, &payload).await;
                let failure = match put {
                    Ok(id) => return Ok(payload.stored(id)),
                    Err(failure) if failure.meaning != Meaning::Missing => failure,
                    // The request of an earlier holder may have taken effect meanwhile, or is about to.
                    Err(failure) => match backend.head(&key).await {
                        Ok(Some(object)) if object.len == client_size => {
                            let _ = finished.set(object);
                            return Ok(payload.stored(String::new()));
                        }
                        _ => failure.in_doubt(),
                    },
                };
                attempts.pause(failure).await?;
            }
        };
        self.part_uploads.spawn(number, len, request).await
    }

    async fn on_flush(&mut self) -> Result<(), WriteError> {
        self.part_uploads.advance().await
    }

    async fn on_complete(&mut self) -> Result<Value, WriteError> {
        let finished = match self.checkpoint.upload.clone() {
            Some(upload) => {
                self.part_uploads.join().await?;
                match self.part_uploads.stored().is_empty() {
                    // No object is made of no parts.
                    true => {
                        discard(&self.shared, self.key(), &upload).await;
                        self.put_whole(&Payload::new(Part::default())).await?
                    }
                    false => self.put_together(&upload).await?,
                }
            }
            None => {
                let payload = self.whole.take();
                let payload = payload.unwrap_or_else(|| Payload::new(Part::default()));
                self.put_whole(&payload).await?
            }
        };
        self.live = None;
        Ok(self.shared.backend.result(self.key(), &finished))
    }

    async fn on_abort(&mut self, reason: &AbortReason) {
        self.whole = None;
        if let Err(failure) = self.remove().await {
            tracing::warn!(%failure, %reason, "could not remove an upload; a sweep will");
        }
        self.live = None;
    }

    fn bytes_durable(&self) -> Option<u64> {
        Some(self.part_uploads.durable())
    }

    fn held_bytes(&self) -> u64 {
        let whole = self.whole.as_ref().map_or(0, Payload::len);
        self.part_uploads.held().saturating_add(whole)
    }

    fn checkpoint(&self) -> Option<Checkpoint> {
        let backend = &self.shared.backend;
        let contiguous = (1_u32..).map_while(|number| self.part_uploads.stored().get(&number));
        let ids = match backend.list_parts() {
            Some(_) => Vec::new(),
            None => contiguous.map(|part| part.id.as_str()).collect(),
        };
        self.checkpoint
            .written(backend.kind(), &ids, self.part_uploads.last_part())
    }
}
