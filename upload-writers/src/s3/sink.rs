//! One upload on its way into a bucket.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{
    Shared,
    errors::{Failure, Meaning},
    live::Live,
    ops::{Bucket, Finished, Stored, Whole},
    payload::Payload,
    retry::{Attempts, retried},
};
use crate::{
    buffered::PartSink,
    error::{AbortReason, WriteError},
    flight::Flight,
    key::Object,
    notes::Notes,
    parts::{Part, PartPlan},
    seam::Straddled,
    writer::{Checkpoint, UploadFacts},
};

/// Takes the parts of one upload; [`BufferedUploadWriter`](crate::BufferedUploadWriter) cuts them.
#[derive(Debug)]
pub(super) struct S3Sink {
    shared: Arc<Shared>,
    notes: Notes,
    client_size: u64,
    flight: Flight<Stored>,
    /// A file of one part, until it is stored whole.
    whole: Option<Payload>,
    /// What an earlier holder stored past the offset it was reopened at: not believed, but not sent
    /// again either if the same bytes come.
    spare: BTreeMap<u32, Stored>,
    /// The part the upload was reopened inside of. It is stored, and its rest comes again.
    straddled: Option<Straddled>,
    /// A multipart upload may have begun that nobody knows the id of.
    may_have_begun: bool,
    /// An object may be there although nobody was told.
    may_be_finished: bool,
    live: Option<Live>,
}

impl S3Sink {
    /// Makes the sink of a new upload.
    pub(super) fn new(shared: Arc<Shared>, facts: &UploadFacts) -> Self {
        let profile = shared.config.profile();
        let plan = PartPlan::for_size(facts.client_size, &profile);
        let notes = Notes {
            object: Object::new(&shared.config.prefix, facts),
            upload: None,
            // A file that is too large is refused when it is opened.
            part_bytes: plan.map_or(profile.part_bytes_max, |plan| plan.part_bytes),
            ids: Vec::new(),
            seam: None,
        };
        Self::resume(shared, facts, notes, 0, BTreeMap::new())
    }

    /// Makes the sink of an upload that goes on at `offset`, of which the bucket has `parts`.
    pub(super) fn resume(
        shared: Arc<Shared>,
        facts: &UploadFacts,
        notes: Notes,
        offset: u64,
        parts: BTreeMap<u32, Stored>,
    ) -> Self {
        let kept = offset.div_ceil(notes.part_bytes.max(1));
        let (kept_parts, spare) = parts
            .into_iter()
            .partition(|(number, _)| u64::from(*number) <= kept);
        let mut flight = Flight::new(shared.config.max_parts_in_flight, kept_parts);
        if let Some(seam) = notes.seam {
            flight.remember(seam);
        }
        let straddled = {
            let (part_bytes, crc32c) = (notes.part_bytes, facts.crc32c_before);
            Straddled::at(offset, part_bytes, crc32c, flight.seam())
        };
        let live = notes.upload.as_deref().map(|id| shared.live.hold(id));
        Self {
            flight,
            shared,
            notes,
            client_size: facts.client_size,
            whole: None,
            spare,
            straddled,
            may_have_begun: false,
            may_be_finished: false,
            live,
        }
    }

    pub(super) fn part_bytes(&self) -> u64 {
        self.notes.part_bytes
    }

    /// Says whether the file is stored by a single request.
    fn is_single(&self) -> bool {
        self.client_size <= self.notes.part_bytes
    }

    fn key(&self) -> &str {
        &self.notes.object.key
    }

    /// Begins a multipart upload. One whose answer was lost is found by its key, which no other has.
    async fn begin(&mut self) -> Result<String, Failure> {
        let shared = Arc::clone(&self.shared);
        let mut attempts = Attempts::new(&shared.config.retry, "create");
        loop {
            let before = self.may_have_begun;
            // Said before, since this future may be dropped while it waits.
            self.may_have_begun = true;
            let begun = shared.bucket.create(&self.notes.object).await;
            self.may_have_begun = before || begun.as_ref().is_err_and(|failure| failure.uncertain);
            let failure = match begun {
                Ok(id) => return Ok(id),
                Err(failure) => failure,
            };
            attempts.pause(failure).await?;
            if self.may_have_begun
                && let Ok(found) = shared.bucket.unfinished(self.key(), 1).await
                && let Some(first) = found.into_iter().find(|one| one.key == self.key())
            {
                return Ok(first.upload);
            }
        }
    }

    /// Makes the object of its parts. Where the answer was lost, the object itself is looked at.
    async fn put_together(&mut self, upload: &str) -> Result<Finished, Failure> {
        let shared = Arc::clone(&self.shared);
        let whole = Whole::of(self.flight.stored());
        let mut attempts = Attempts::new(&shared.config.retry, "complete");
        loop {
            let before = self.may_be_finished;
            self.may_be_finished = true;
            let (key, parts) = (self.key(), self.flight.stored());
            let mut failure = match shared.bucket.complete(key, upload, parts, whole).await {
                Ok(finished) => return Ok(finished),
                Err(failure) => failure,
            };
            if failure.uncertain || failure.meaning != Meaning::None {
                match self.look(whole.len).await {
                    Ok(Some(finished)) => return Ok(finished),
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

    /// Stores a file of one part.
    async fn put_whole(&mut self, payload: &Payload) -> Result<Finished, Failure> {
        let shared = Arc::clone(&self.shared);
        let mut attempts = Attempts::new(&shared.config.retry, "put");
        loop {
            let before = self.may_be_finished;
            self.may_be_finished = true;
            let object = &self.notes.object;
            let mut failure = match shared.bucket.put_object(object, payload).await {
                Ok(finished) => return Ok(finished),
                Err(failure) => failure,
            };
            if failure.meaning == Meaning::Exists {
                match self.look(payload.len).await {
                    Ok(Some(finished)) => return Ok(finished),
                    Ok(None) => {}
                    Err(_) => failure = failure.in_doubt(),
                }
            }
            self.may_be_finished = before || failure.uncertain;
            attempts.pause(failure).await?;
        }
    }

    /// Looks once for the finished object; nobody else ever writes to its key.
    async fn look(&self, len: u64) -> Result<Option<Finished>, Failure> {
        let found = self.shared.bucket.head(self.key()).await?;
        Ok(found.filter(|found| found.len == len))
    }

    /// Removes all that is known and all that may be there, as far as it can: what one step cannot
    /// remove is no reason to leave the rest. All steps share their tries.
    async fn remove(&mut self) -> Result<(), Failure> {
        let had_parts_under_way = self.flight.held() > 0;
        self.flight.cancel().await;
        let (bucket, key) = (&self.shared.bucket, &self.notes.object.key);
        let mut attempts = Attempts::new(&self.shared.config.retry, "remove");
        let aborted = match &self.notes.upload {
            Some(upload) => abort(bucket, key, upload, had_parts_under_way, &mut attempts).await,
            None => Ok(()),
        };
        let unknown_aborted = if self.may_have_begun {
            abort_unknown(bucket, key, &mut attempts).await
        } else {
            Ok(())
        };
        let deleted = if self.may_be_finished {
            retried!(attempts, bucket.delete(key))
        } else {
            Ok(())
        };
        aborted.and(unknown_aborted).and(deleted)
    }
}

#[async_trait]
impl PartSink for S3Sink {
    async fn on_open(&mut self) -> Result<(), WriteError> {
        let profile = self.shared.config.profile();
        PartPlan::for_size(self.client_size, &profile)
            .map_err(|error| WriteError::new(crate::WriteErrorKind::Failed, error))?;
        if !self.is_single() {
            let begun = self.begin().await;
            if begun.is_err() && self.may_have_begun {
                // What cannot be found now is left to a sweep.
                let _ = self.remove().await;
            }
            let id = begun?;
            self.live = Some(self.shared.live.hold(&id));
            self.notes.upload = Some(id);
        }
        Ok(())
    }

    async fn on_part(&mut self, part: Part, number: u32) -> Result<(), WriteError> {
        if let Some(straddled) = self.straddled.take_if(|one| one.is(number)) {
            return straddled.check(part.slices());
        }
        let payload = Payload::new(part);
        let Some(upload) = &self.notes.upload else {
            if self.whole.replace(payload).is_some() {
                return Err(WriteError::misuse("more bytes than were declared"));
            }
            return Ok(());
        };
        let spare = self.spare.remove(&number);
        let is_same =
            |spare: &Stored| spare.len == payload.len && spare.crc32c == Some(payload.crc32c);
        if let Some(stored) = spare.filter(is_same) {
            self.flight.arrived(number, stored);
            return Ok(());
        }
        let (shared, key, upload) = (
            Arc::clone(&self.shared),
            self.notes.object.key.clone(),
            upload.clone(),
        );
        let len = payload.len;
        let request = async move {
            let (bucket, retry) = (&shared.bucket, &shared.config.retry);
            let put = retried!(
                retry,
                "part",
                bucket.put_part(&key, &upload, number, &payload)
            );
            Ok(put?)
        };
        self.flight.launch(number, len, request).await
    }

    async fn on_flush(&mut self) -> Result<(), WriteError> {
        self.flight.advance().await
    }

    async fn on_complete(&mut self) -> Result<Value, WriteError> {
        let finished = match self.notes.upload.clone() {
            Some(upload) => {
                self.flight.land().await?;
                self.put_together(&upload).await?
            }
            None => {
                let payload = self.whole.take();
                let payload = payload.unwrap_or_else(|| Payload::new(Part::default()));
                self.put_whole(&payload).await?
            }
        };
        self.live = None;
        Ok(result(self.shared.bucket.name(), self.key(), &finished))
    }

    async fn on_abort(&mut self, reason: &AbortReason) {
        self.whole = None;
        if let Err(failure) = self.remove().await {
            tracing::warn!(%failure, %reason, "could not remove an upload; a sweep will");
        }
        self.live = None;
    }

    fn bytes_durable(&self) -> Option<u64> {
        Some(self.flight.durable())
    }

    fn held_bytes(&self) -> u64 {
        let whole = self.whole.as_ref().map_or(0, |whole| whole.len);
        self.flight.held().saturating_add(whole)
    }

    fn checkpoint(&self) -> Option<Checkpoint> {
        let seam = self.flight.seam();
        let (upload, part_bytes) = (self.notes.upload.as_deref(), self.notes.part_bytes);
        Notes::checkpoint(self.key(), upload, part_bytes, &[], seam)
    }
}

/// Throws an upload away, once more if a part that was on its way may have arrived after that, and stay.
async fn abort(
    bucket: &Bucket,
    key: &str,
    upload: &str,
    had_parts_under_way: bool,
    attempts: &mut Attempts<'_>,
) -> Result<(), Failure> {
    retried!(attempts, bucket.abort(key, upload))?;
    if had_parts_under_way && retried!(attempts, bucket.parts(key, upload))?.is_some() {
        retried!(attempts, bucket.abort(key, upload))?;
    }
    Ok(())
}

/// Throws away what began without anybody learning its id.
async fn abort_unknown(
    bucket: &Bucket,
    key: &str,
    attempts: &mut Attempts<'_>,
) -> Result<(), Failure> {
    let found = retried!(attempts, bucket.unfinished(key, 1))?;
    let mut done = Ok(());
    for one in found.into_iter().filter(|one| one.key == key) {
        done = done.and(retried!(attempts, bucket.abort(key, &one.upload)));
    }
    done
}

/// What `close` answers: `{"bucket", "key", "etag", "size"}`.
pub(super) fn result(bucket: &str, key: &str, finished: &Finished) -> Value {
    json!({
        "bucket": bucket,
        "key": key,
        "etag": finished.etag.trim_matches('"'),
        "size": finished.len,
    })
}
