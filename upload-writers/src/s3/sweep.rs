//! Finds multipart uploads that nobody goes on with any more (PROTOCOL RESUME-8).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Shared, errors::Failure, ops::Unfinished, retry::retried};
use crate::{
    error::WriteError,
    writer::{Stray, SweepPolicy},
};

/// How many strays one sweep takes; the next one finds the rest.
const STRAYS_MAX: usize = 10_000;

/// Looks through the unfinished uploads under the prefix.
pub(super) async fn sweep(shared: &Shared, policy: &SweepPolicy) -> Result<Vec<Stray>, WriteError> {
    let (bucket, retry) = (&shared.bucket, &shared.config.retry);
    let prefix = &shared.config.prefix;
    let found = retried!(retry, "list uploads", bucket.unfinished(prefix, STRAYS_MAX))?;
    let mut strays = Vec::new();
    for one in found.into_iter().take(STRAYS_MAX) {
        // One upload that cannot be looked at or removed must not keep the others.
        match sweep_one(shared, &one, policy).await {
            Ok(stray) => strays.extend(stray),
            Err(failure) => tracing::debug!(%failure, "could not sweep an upload"),
        }
    }
    Ok(strays)
}

async fn sweep_one(
    shared: &Shared,
    one: &Unfinished,
    policy: &SweepPolicy,
) -> Result<Option<Stray>, Failure> {
    // S3 does not tell which ones can be resumed, so all get the longer time.
    let age_min = policy.resumable_older_than.max(policy.others_older_than);
    if one.at == 0 || age(one.at) < age_min || shared.live.holds(&one.upload) {
        return Ok(None);
    }
    let (bucket, retry) = (&shared.bucket, &shared.config.retry);
    let parts = retried!(retry, "list parts", bucket.parts(&one.key, &one.upload))?;
    let Some(parts) = parts else {
        return Ok(None);
    };
    // It has rested since its last part, not since it began.
    let last = parts.values().map(|part| part.at).fold(one.at, i64::max);
    let age = age(last);
    if age < age_min {
        return Ok(None);
    }
    if !policy.dry_run {
        retried!(retry, "abort", bucket.abort(&one.key, &one.upload))?;
    }
    Ok(Some(Stray {
        what: format!("multipart upload of {}", one.key),
        bytes: parts
            .values()
            .map(|part| part.len)
            .fold(0, u64::saturating_add),
        age,
        resumable: true,
    }))
}

/// How long ago that was; no time at all if the clock says it is to come.
fn age(at: i64) -> Duration {
    let at = Duration::from_secs(u64::try_from(at).unwrap_or_default());
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().saturating_sub(at)
}
