//! Going on with an upload, here or in another process, by what the bucket says of it.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Shared,
    errors::Failure,
    ops::Stored,
    retry::retried,
    sink::{S3Sink, result},
};
use crate::{
    buffered::BufferedUploadWriter,
    error::WriteError,
    notes::Notes,
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
    let notes = Notes::read(checkpoint, facts, &config.prefix, &config.profile())?;
    let is_single = facts.client_size <= notes.part_bytes;
    let Some(upload) = notes.upload.as_deref() else {
        let finished = finished(shared, facts, &notes).await?;
        // Nothing of a file of one part is durable before all of it is.
        let fresh = is_single && offset == 0;
        return Ok(match finished {
            None if fresh => open(shared, facts, notes, offset, BTreeMap::new()),
            None => Reopened::Gone,
            Some(closed) => closed,
        });
    };
    let key = &notes.object.key;
    let listed = retried!(
        &config.retry,
        "list parts",
        shared.bucket.parts(key, upload)
    )?;
    Ok(match listed {
        Some(parts) if has_all(&parts, &notes, facts, offset) => {
            open(shared, facts, notes, offset, parts)
        }
        Some(_) => Reopened::Gone,
        None => finished(shared, facts, &notes)
            .await?
            .unwrap_or(Reopened::Gone),
    })
}

/// Looks whether an earlier close had taken effect.
async fn finished(
    shared: &Shared,
    facts: &UploadFacts,
    notes: &Notes,
) -> Result<Option<Reopened>, Failure> {
    let key = &notes.object.key;
    let found = retried!(&shared.config.retry, "head", shared.bucket.head(key))?;
    let found = found.filter(|found| found.len == facts.client_size);
    Ok(found.map(|found| Reopened::Closed {
        result: result(shared.bucket.name(), key, &found),
    }))
}

/// Says whether every part that has bytes before `offset` is there, and whole.
fn has_all(parts: &BTreeMap<u32, Stored>, notes: &Notes, facts: &UploadFacts, offset: u64) -> bool {
    let part_bytes = notes.part_bytes;
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
    notes: Notes,
    offset: u64,
    parts: BTreeMap<u32, Stored>,
) -> Reopened {
    let part_bytes = notes.part_bytes;
    let ended = u32::try_from(offset / part_bytes).unwrap_or(u32::MAX);
    let sink = S3Sink::resume(Arc::clone(shared), facts, notes, offset, parts);
    let writer = BufferedUploadWriter::resume(sink, part_bytes, offset, ended);
    Reopened::Open(Box::new(writer))
}
