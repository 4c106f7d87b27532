//! Resuming an upload, here or in another process, by what its storage says of it.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;

use super::{
    Shared,
    backend::{Payload, StoredPart},
    checkpoint::MultipartCheckpoint,
    error::{BackendError, Meaning},
    retry::Attempts,
    sink::MultipartSink,
};
use crate::{
    buffered::BufferedUploadWriter,
    error::WriteError,
    parts::PartCutter,
    writer::{Checkpoint, Reopened, UploadFacts},
};

/// Does what [`WriterFactory::reopen`](crate::WriterFactory::reopen) promises.
pub(super) async fn reopen(
    shared: &Arc<Shared>,
    facts: &UploadFacts,
    checkpoint: &Checkpoint,
    offset: u64,
) -> Result<Reopened, WriteError> {
    let config = &shared.config;
    let kind = shared.backend.kind();
    let read = MultipartCheckpoint::read(checkpoint, kind, facts, &config.prefix, &config.parts)?;
    let Some(checkpoint) = read else {
        return Ok(Reopened::Gone);
    };
    let is_single = facts.client_size <= checkpoint.part_bytes;
    let Some(upload) = checkpoint.upload.as_deref() else {
        let finished = finished(shared, facts, &checkpoint).await?;
        // Nothing of a file of one part is durable before all of it is.
        let fresh = is_single && offset == 0;
        return Ok(match finished {
            None if fresh => open(shared, facts, checkpoint, offset, BTreeMap::new()),
            None => Reopened::Gone,
            Some(closed) => closed,
        });
    };
    if upload.is_empty() {
        shared.names_nothing.store(true, Ordering::Relaxed);
    }
    let parts = match shared.backend.list_parts() {
        Some(lists) => {
            let key = checkpoint.object.key();
            let mut attempts = Attempts::new(&config.retry, "list parts");
            attempts.run(|| lists.parts(key, upload)).await?
        }
        None => named(shared, facts, &checkpoint, upload, offset).await?,
    };
    Ok(match parts {
        Some(parts) if has_all(&parts, &checkpoint, facts, offset) => {
            open(shared, facts, checkpoint, offset, parts)
        }
        Some(_) => Reopened::Gone,
        None => finished(shared, facts, &checkpoint)
            .await?
            .unwrap_or(Reopened::Gone),
    })
}

/// Looks whether an earlier close had taken effect.
async fn finished(
    shared: &Shared,
    facts: &UploadFacts,
    checkpoint: &MultipartCheckpoint,
) -> Result<Option<Reopened>, BackendError> {
    let key = checkpoint.object.key();
    let mut attempts = Attempts::new(&shared.config.retry, "head");
    let found = attempts.run(|| shared.backend.head(key)).await?;
    let found = found.filter(|found| found.len == facts.client_size);
    Ok(found.map(|found| Reopened::Closed {
        result: shared.backend.result(key, &found),
    }))
}

/// Tells the parts before the offset that the checkpoint names; `None` if there is no such upload.
///
/// Whether there is can only be seen by sending a part: one byte, in the place of the next part, which will
/// replace it. With all parts stored there is none that a real one will replace, and the end will tell. An upload
/// without an id is always there: a byte would only have storage keep its parts for longer.
async fn named(
    shared: &Shared,
    facts: &UploadFacts,
    checkpoint: &MultipartCheckpoint,
    upload: &str,
    offset: u64,
) -> Result<Option<BTreeMap<u32, StoredPart>>, BackendError> {
    let (key, part_bytes) = (checkpoint.object.key(), checkpoint.part_bytes);
    // A byte in a part's place must not get into a file that is complete.
    if shared
        .backend
        .head(key)
        .await?
        .is_some_and(|found| found.len == facts.client_size)
    {
        return Ok(None);
    }
    let kept = offset.div_ceil(part_bytes);
    let parts = (1_u32..).zip(&checkpoint.ids);
    let parts = parts.take_while(|(number, _)| u64::from(*number) <= kept);
    let parts = parts.map(|(number, id)| {
        let begin = u64::from(number)
            .saturating_sub(1)
            .saturating_mul(part_bytes);
        let len = facts.client_size.saturating_sub(begin).min(part_bytes);
        let part = StoredPart {
            id: id.clone(),
            len,
            ..StoredPart::default()
        };
        (number, part)
    });
    let parts: BTreeMap<u32, StoredPart> = parts.collect();
    let next = kept.saturating_add(1);
    if upload.is_empty() || next > facts.client_size.div_ceil(part_bytes) {
        return Ok(Some(parts));
    }
    let number = u32::try_from(next).unwrap_or(u32::MAX);
    let mut cutter = PartCutter::new(1);
    let probe = cutter
        .take_from(&mut Bytes::from_static(b"\0"))
        .unwrap_or_default();
    let probe = Payload::new(probe);
    let mut attempts = Attempts::new(&shared.config.retry, "probe");
    let request = || shared.backend.put_part(key, upload, number, &probe);
    match attempts.run(request).await {
        Ok(_) => Ok(Some(parts)),
        Err(error) if error.meaning == Meaning::Missing => Ok(None),
        Err(error) => Err(error),
    }
}

/// Says whether every part that has bytes before `offset` is there, and whole.
fn has_all(
    parts: &BTreeMap<u32, StoredPart>,
    checkpoint: &MultipartCheckpoint,
    facts: &UploadFacts,
    offset: u64,
) -> bool {
    let part_bytes = checkpoint.part_bytes;
    let is_whole = |number: u64| {
        let begin = number.saturating_sub(1).saturating_mul(part_bytes);
        let len = facts.client_size.saturating_sub(begin).min(part_bytes);
        let part = u32::try_from(number)
            .ok()
            .and_then(|number| parts.get(&number));
        part.is_some_and(|part| part.len == len)
    };
    offset <= facts.client_size && (1..=offset.div_ceil(part_bytes)).all(is_whole)
}

fn open(
    shared: &Arc<Shared>,
    facts: &UploadFacts,
    checkpoint: MultipartCheckpoint,
    offset: u64,
    parts: BTreeMap<u32, StoredPart>,
) -> Reopened {
    let part_bytes = checkpoint.part_bytes;
    let ended = u32::try_from(offset / part_bytes).unwrap_or(u32::MAX);
    let sink = MultipartSink::resume(Arc::clone(shared), facts, checkpoint, offset, parts);
    let writer = BufferedUploadWriter::resume(sink, part_bytes, offset, ended);
    Reopened::Open(Box::new(writer.with_file_bytes_max(facts.client_size)))
}
