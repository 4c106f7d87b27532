//! Until when an unfinished upload is kept if nothing comes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use upload_core::{SessionLimits, Subject};

/// Returns when an upload expires of which nothing comes from `now` on; `None` where no clock reaches that.
///
/// None outlives [`SessionLimits::unfinished_max`], however it progresses.
pub(crate) fn until(
    subject: &Subject,
    limits: &SessionLimits,
    now: SystemTime,
) -> Option<SystemTime> {
    let kept = match (subject.entry.resumable, subject.at.received) {
        (true, 0) => limits.reserved_ttl.min(limits.record_ttl),
        (true, _) => limits.record_ttl,
        (false, _) => limits.idle_upload,
    };
    let created = Duration::from_millis(subject.created_unix_ms);
    let created = UNIX_EPOCH.checked_add(created);
    let oldest = created.zip(limits.unfinished_max);
    let oldest = oldest.and_then(|(created, most)| created.checked_add(most));
    let times = [now.checked_add(kept), oldest];
    times.into_iter().flatten().min()
}
