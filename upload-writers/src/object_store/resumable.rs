//! One upload on its way into a store whose unfinished uploads have ids, and going on with it.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use object_store::{
    PutPayload,
    multipart::{MultipartStore, PartId},
};
use serde_json::Value;

use super::{Shared, Upload, errors, payload};
use crate::{
    buffered::{BufferedUploadWriter, PartSink},
    error::{AbortReason, WriteError},
    flight::{Flight, Landed},
    notes::Notes,
    parts::Part,
    seam::{Straddled, crc_of},
    writer::{Checkpoint, Reopened, UploadFacts},
};

/// Takes the parts of one upload.
#[derive(Debug)]
pub(super) struct ResumableSink {
    upload: Upload,
    multipart: Multipart,
    id: Option<String>,
    /// A file of one part, until it is stored whole.
    whole: Option<Part>,
    flight: Flight<Kept>,
    /// The part the upload was reopened inside of. It is stored, and its rest comes again.
    straddled: Option<Straddled>,
    /// An object may be there although nobody was told.
    may_be_finished: bool,
}

#[derive(Clone)]
struct Multipart(Arc<dyn MultipartStore>);

impl std::fmt::Debug for Multipart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MultipartStore")
    }
}

/// A part the store has.
#[derive(Clone, Debug)]
struct Kept {
    id: String,
    len: u64,
    /// Unknown of parts an earlier writer sent.
    crc32c: Option<u32>,
}

impl Landed for Kept {
    fn len(&self) -> u64 {
        self.len
    }

    fn crc32c(&self) -> Option<u32> {
        self.crc32c
    }
}

impl ResumableSink {
    pub(super) fn new(upload: Upload, store: Arc<dyn MultipartStore>) -> Self {
        let most = upload.shared.config.max_parts_in_flight;
        Self {
            upload,
            multipart: Multipart(store),
            id: None,
            whole: None,
            flight: Flight::new(most, BTreeMap::new()),
            straddled: None,
            may_be_finished: false,
        }
    }

    async fn remove(&self) -> Result<(), object_store::Error> {
        let Some(id) = &self.id else {
            return Ok(());
        };
        match self
            .multipart
            .0
            .abort_multipart(&self.upload.path, id)
            .await
        {
            Err(error) if !errors::is_gone(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl PartSink for ResumableSink {
    async fn on_open(&mut self) -> Result<(), WriteError> {
        self.upload.check()?;
        if self.upload.is_single() {
            return Ok(());
        }
        let (store, path) = (&self.multipart.0, &self.upload.path);
        let options = self.upload.multipart_options();
        let begun = match store.create_multipart_opts(path, options).await {
            Err(error) if errors::is_unsupported(&error) => store.create_multipart(path).await,
            done => done,
        };
        self.id = Some(begun.map_err(errors::judged)?);
        Ok(())
    }

    async fn on_part(&mut self, part: Part, number: u32) -> Result<(), WriteError> {
        if let Some(straddled) = self.straddled.take_if(|one| one.is(number)) {
            return straddled.check(part.slices());
        }
        let Some(id) = self.id.clone() else {
            if self.whole.replace(part).is_some() {
                return Err(WriteError::misuse("more bytes than were declared"));
            }
            return Ok(());
        };
        let (store, path) = (self.multipart.clone(), self.upload.path.clone());
        let index = usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
        let len = part.len();
        let crc32c = Some(crc_of(0, part.slices()));
        let request = async move {
            let put = store.0.put_part(&path, &id, index, payload(part)).await;
            let put = put.map_err(errors::judged)?;
            Ok(Kept {
                id: put.content_id,
                len,
                crc32c,
            })
        };
        self.flight.launch(number, len, request).await
    }

    async fn on_flush(&mut self) -> Result<(), WriteError> {
        self.flight.advance().await
    }

    async fn on_complete(&mut self) -> Result<Value, WriteError> {
        self.flight.land().await?;
        self.may_be_finished = true;
        let Some(id) = &self.id else {
            let whole = self.whole.take().unwrap_or_default();
            return self.upload.put_whole(whole).await;
        };
        let parts = self.flight.stored().values();
        let parts = parts.map(|kept| PartId {
            content_id: kept.id.clone(),
        });
        let (store, path) = (&self.multipart.0, &self.upload.path);
        let put = store.complete_multipart(path, id, parts.collect()).await;
        self.upload.settled(put, self.flight.durable()).await
    }

    async fn on_abort(&mut self, reason: &AbortReason) {
        self.whole = None;
        self.flight.cancel().await;
        if let Err(error) = self.remove().await {
            tracing::warn!(%error, %reason, "could not remove an upload");
        }
        if self.may_be_finished
            && let Err(error) = self.upload.remove().await
        {
            tracing::warn!(%error, %reason, "could not remove an object");
        }
    }

    fn bytes_durable(&self) -> Option<u64> {
        Some(self.flight.durable())
    }

    fn held_bytes(&self) -> u64 {
        let whole = self.whole.as_ref().map_or(0, Part::len);
        self.flight.held().saturating_add(whole)
    }

    fn checkpoint(&self) -> Option<Checkpoint> {
        let settled = (1_u32..).map_while(|number| self.flight.stored().get(&number));
        let ids: Vec<&str> = settled.map(|kept| kept.id.as_str()).collect();
        let key = &self.upload.object.key;
        let seam = self.flight.seam();
        Notes::checkpoint(key, self.id.as_deref(), self.upload.part_bytes, &ids, seam)
    }
}

/// Does what [`WriterFactory::reopen`](crate::WriterFactory::reopen) promises.
pub(super) async fn reopen(
    shared: &Arc<Shared>,
    store: &Arc<dyn MultipartStore>,
    facts: &UploadFacts,
    checkpoint: &Checkpoint,
    offset: u64,
) -> Result<Reopened, WriteError> {
    let config = &shared.config;
    let notes = Notes::read(checkpoint, facts, &config.prefix, &config.profile())?;
    let part_bytes = notes.part_bytes;
    let upload = Upload::with(Arc::clone(shared), notes.object, facts, part_bytes);
    // An earlier close may have taken effect.
    if let Some(result) = upload.finished(facts.client_size).await? {
        return Ok(Reopened::Closed { result });
    }
    let kept = usize::try_from(offset.div_ceil(part_bytes)).unwrap_or(usize::MAX);
    let has_all = kept <= notes.ids.len() && offset <= facts.client_size;
    let is_fresh = upload.is_single() && offset == 0;
    if !has_all || (notes.upload.is_none() && !is_fresh) {
        return Ok(Reopened::Gone);
    }
    if let Some(id) = &notes.upload
        && offset < facts.client_size
        && !is_there(store, &upload, id, kept).await?
    {
        return Ok(Reopened::Gone);
    }
    let parts = (1_u32..).zip(notes.ids).take(kept).map(|(number, id)| {
        let begin = u64::from(number)
            .saturating_sub(1)
            .saturating_mul(part_bytes);
        let len = facts.client_size.saturating_sub(begin).min(part_bytes);
        let crc32c = None;
        (number, Kept { id, len, crc32c })
    });
    let mut flight = Flight::new(config.max_parts_in_flight, parts.collect());
    if let Some(seam) = notes.seam {
        flight.remember(seam);
    }
    let straddled = Straddled::at(offset, part_bytes, facts.crc32c_before, flight.seam());
    let sink = ResumableSink {
        flight,
        id: notes.upload,
        straddled,
        ..ResumableSink::new(upload, Arc::clone(store))
    };
    let ended = u32::try_from(offset / part_bytes).unwrap_or(u32::MAX);
    let writer = BufferedUploadWriter::resume(sink, part_bytes, offset, ended);
    Ok(Reopened::Open(Box::new(writer)))
}

/// Says whether an unfinished upload is there. It can only be seen by sending a part: one byte,
/// in the place of the next part, which will replace it.
async fn is_there(
    store: &Arc<dyn MultipartStore>,
    upload: &Upload,
    id: &String,
    index: usize,
) -> Result<bool, WriteError> {
    let probe = PutPayload::from_static(b"\0");
    match store.put_part(&upload.path, id, index, probe).await {
        Ok(_) => Ok(true),
        Err(error) if errors::is_gone(&error) => Ok(false),
        Err(error) => Err(errors::judged(error)),
    }
}
