//! One upload on its way into a store that cannot go on with it later.

use std::collections::BTreeMap;

use async_trait::async_trait;
use object_store::{MultipartUpload, PutMultipartOptions};
use serde_json::Value;

use super::{Upload, errors, payload};
use crate::{
    buffered::PartSink,
    error::{AbortReason, WriteError},
    flight::{Flight, Landed},
    parts::Part,
};

/// Takes the parts of one upload; none of them counts as durable, since nobody can go on with them.
#[derive(Debug)]
pub(super) struct PlainSink {
    upload: Upload,
    /// A file of one part, until it is stored whole.
    whole: Option<Part>,
    multipart: Option<Box<dyn MultipartUpload>>,
    flight: Flight<Sent>,
    given: u64,
    /// An object may be there although nobody was told.
    may_be_finished: bool,
}

/// How many bytes a part had.
#[derive(Debug)]
struct Sent(u64);

impl Landed for Sent {
    fn len(&self) -> u64 {
        self.0
    }
}

impl PlainSink {
    pub(super) fn new(upload: Upload) -> Self {
        let most = upload.shared.config.max_parts_in_flight;
        Self {
            upload,
            whole: None,
            multipart: None,
            flight: Flight::new(most, BTreeMap::new()),
            given: 0,
            may_be_finished: false,
        }
    }
}

#[async_trait]
impl PartSink for PlainSink {
    async fn on_open(&mut self) -> Result<(), WriteError> {
        self.upload.check()?;
        if self.upload.is_single() {
            return Ok(());
        }
        let (store, path) = (&self.upload.shared.store, &self.upload.path);
        let options = self.upload.multipart_options();
        let begun = match store.put_multipart_opts(path, options).await {
            Err(error) if errors::is_unsupported(&error) => {
                let bare = PutMultipartOptions::default();
                store.put_multipart_opts(path, bare).await
            }
            done => done,
        };
        self.multipart = Some(begun.map_err(errors::judged)?);
        Ok(())
    }

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
        self.flight.launch(number, len, request).await
    }

    async fn on_flush(&mut self) -> Result<(), WriteError> {
        self.flight.advance().await
    }

    async fn on_complete(&mut self) -> Result<Value, WriteError> {
        self.flight.land().await?;
        self.may_be_finished = true;
        let Some(multipart) = &mut self.multipart else {
            let whole = self.whole.take().unwrap_or_default();
            return self.upload.put_whole(whole).await;
        };
        let put = multipart.complete().await;
        self.upload.settled(put, self.given).await
    }

    async fn on_abort(&mut self, reason: &AbortReason) {
        self.whole = None;
        self.flight.cancel().await;
        if let Some(mut multipart) = self.multipart.take()
            && let Err(error) = multipart.abort().await
        {
            tracing::warn!(%error, %reason, "could not remove an upload");
        }
        if self.may_be_finished
            && let Err(error) = self.upload.remove().await
        {
            tracing::warn!(%error, %reason, "could not remove an object");
        }
    }

    fn bytes_durable(&self) -> Option<u64> {
        Some(0)
    }

    fn held_bytes(&self) -> u64 {
        let whole = self.whole.as_ref().map_or(0, Part::len);
        self.flight.held().saturating_add(whole)
    }
}
