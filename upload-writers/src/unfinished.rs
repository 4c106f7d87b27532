//! Removing what is stored of an upload that will not be finished, by its checkpoint.

use crate::{
    error::{AbortReason, WriteError, WriteErrorKind},
    writer::{Checkpoint, Reopened, UploadFacts, WriterFactory},
};

/// What became of the bytes of an unfinished upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// There are none any more.
    Removed,
    /// A close had taken effect and only its answer was lost: the file has its name, and stays.
    Published,
}

/// Removes what is stored of an unfinished upload, of which `durable` bytes were durable.
///
/// The caller has claimed its record, so that no holder continues it, and names itself as the next
/// holder by [`UploadFacts::epoch`]. It may be called again where it is not known whether an
/// earlier call took effect. Storage that cannot list what is unfinished is asked a second time, since
/// nothing else would ever remove what an abort left; but for storage where an abort cannot be seen
/// ([`WriterTraits::shows_aborts`](crate::WriterTraits::shows_aborts)).
///
/// # Errors
///
/// When storage fails, or the checkpoint is not one of this factory. What is stored may be there still.
pub async fn remove_unfinished(
    factory: &dyn WriterFactory,
    facts: &UploadFacts,
    checkpoint: &Checkpoint,
    durable: u64,
) -> Result<Unfinished, WriteError> {
    // Nothing of it is wanted, so no bytes have to be compared or copied.
    match factory.reopen(facts, checkpoint, 0).await? {
        Reopened::Open(writer) => writer.abort(&AbortReason::Expired).await,
        Reopened::Closed { .. } => return Ok(Unfinished::Published),
        Reopened::Gone => return Ok(Unfinished::Removed),
    }
    // Where nothing was durable, a writer may begin anew from nothing, and there is nothing to look for. What
    // aborts show is asked here: some storage tells it with what it reopens.
    match durable {
        0 => Ok(Unfinished::Removed),
        _ if !factory.traits().shows_aborts => Ok(Unfinished::Removed),
        _ => match factory.reopen(facts, checkpoint, 0).await? {
            Reopened::Gone => Ok(Unfinished::Removed),
            Reopened::Closed { .. } => Ok(Unfinished::Published),
            Reopened::Open(_) => Err(WriteError::new(
                WriteErrorKind::Throttled,
                "an abort left what it should have removed",
            )),
        },
    }
}
