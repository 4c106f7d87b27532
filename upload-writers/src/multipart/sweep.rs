//! Finds abandoned multipart uploads (PROTOCOL RESUME-8).
//!
//! Storage says when the last part of an upload was stored. That is no sign of life: a resume, a lease that
//! is renewed and a part that is not full yet leave no trace there. So an upload is abandoned only if no
//! record names it either.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{
    Shared,
    backend::{ListParts, UnfinishedUpload},
    error::BackendError,
    retry::Attempts,
};
use crate::{
    error::WriteError,
    writer::{Orphan, SweepPolicy},
};

/// How many orphans one sweep takes; the next one finds the rest.
const ORPHANS_MAX: usize = 10_000;

/// How many pages of unfinished uploads one sweep looks through, so that young ones do not hide the others.
const PAGES_MAX: usize = 1_000;

/// Looks through the unfinished uploads under the prefix.
pub(super) async fn sweep(
    shared: &Shared,
    policy: &SweepPolicy,
) -> Result<Vec<Orphan>, WriteError> {
    let backend = &shared.backend;
    let (Some(uploads), Some(parts)) = (backend.list_uploads(), backend.list_parts()) else {
        return Ok(Vec::new());
    };
    if !policy.named.is_whole() {
        tracing::warn!("unfinished multipart uploads stay: not all records could be read");
        return Ok(Vec::new());
    }
    let prefix = &shared.config.prefix;
    let mut orphans = Vec::new();
    let mut after = None;
    for _ in 0..PAGES_MAX {
        let mut attempts = Attempts::new(&shared.config.retry, "list uploads");
        let page = attempts.run(|| uploads.page(prefix, after.clone())).await?;
        for one in page.uploads {
            // One upload that cannot be looked at or removed must not keep the others.
            match sweep_one(shared, parts, &one, policy).await {
                Ok(orphan) => orphans.extend(orphan),
                Err(error) => tracing::debug!(%error, "could not sweep an upload"),
            }
            if orphans.len() >= ORPHANS_MAX {
                return Ok(orphans);
            }
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    Ok(orphans)
}

async fn sweep_one(
    shared: &Shared,
    lists: &dyn ListParts,
    one: &UnfinishedUpload,
    policy: &SweepPolicy,
) -> Result<Option<Orphan>, BackendError> {
    // It is not told which ones can be resumed, so all get the longer time.
    let age_min = policy.resumable_older_than.max(policy.others_older_than);
    if one.at == 0 || age(one.at) < age_min || is_alive(shared, one, policy) {
        return Ok(None);
    }
    let retry = &shared.config.retry;
    let mut attempts = Attempts::new(retry, "list parts");
    let parts = attempts.run(|| lists.parts(&one.key, &one.upload)).await?;
    let Some(parts) = parts else {
        return Ok(None);
    };
    // It has rested since its last part, not since it began.
    let last = parts.values().map(|part| part.at).fold(one.at, i64::max);
    let age = age(last);
    // It may have been resumed while its parts were listed.
    if age < age_min || is_alive(shared, one, policy) {
        return Ok(None);
    }
    if !policy.dry_run {
        let mut attempts = Attempts::new(retry, "abort");
        let abort = || shared.backend.abort(&one.key, &one.upload);
        attempts.run(abort).await?;
    }
    Ok(Some(Orphan {
        what: format!("multipart upload of {}", one.key),
        bytes: parts
            .values()
            .map(|part| part.len)
            .fold(0, u64::saturating_add),
        age,
        resumable: true,
    }))
}

/// Returns whether a record names an upload, or a writer of this process has it.
fn is_alive(shared: &Shared, one: &UnfinishedUpload, policy: &SweepPolicy) -> bool {
    let named = &policy.named;
    named.has(&one.key) || named.has(&one.upload) || shared.live.holds(&one.upload)
}

/// How long ago that was; no time at all if the clock says it is to come.
fn age(at: i64) -> Duration {
    let at = Duration::from_secs(u64::try_from(at).unwrap_or_default());
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().saturating_sub(at)
}
