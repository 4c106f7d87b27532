//! Removing an upload from its storage, even one whose id is unknown.

use super::{Shared, backend::MultipartBackend, error::BackendError, retry::Attempts};

/// Throws an upload away, once more if a part that was on its way may have arrived after that, and stay.
pub(super) async fn abort(
    backend: &dyn MultipartBackend,
    key: &str,
    upload: &str,
    had_parts_under_way: bool,
    attempts: &mut Attempts,
) -> Result<(), BackendError> {
    attempts.run(|| backend.abort(key, upload)).await?;
    if had_parts_under_way
        && let Some(lists) = backend.list_parts()
        && attempts.run(|| lists.parts(key, upload)).await?.is_some()
    {
        attempts.run(|| backend.abort(key, upload)).await?;
    }
    Ok(())
}

/// Throws away what began without its id becoming known.
pub(super) async fn abort_unknown(
    backend: &dyn MultipartBackend,
    key: &str,
    attempts: &mut Attempts,
) -> Result<(), BackendError> {
    let Some(lists) = backend.list_uploads() else {
        return Ok(());
    };
    match attempts.run(|| lists.find(key)).await? {
        Some(upload) => attempts.run(|| backend.abort(key, &upload)).await,
        None => Ok(()),
    }
}

/// Throws away the upload that was begun for a file of unknown length, of which nothing came.
pub(super) async fn discard(shared: &Shared, key: &str, upload: &str) {
    let mut attempts = Attempts::new(&shared.config.retry, "remove");
    if let Err(failure) = abort(&*shared.backend, key, upload, false, &mut attempts).await {
        tracing::warn!(%failure, "could not remove an empty upload; a sweep will");
    }
}
