//! Checks: writers that are suspended, and what a sweep takes.

use std::time::Duration;

use super::{Backend, assert_stored, facts, opened, pattern, sorted, write};
use crate::{error::AbortReason, writer::SweepPolicy};

/// A writer that was suspended, and not resumed elsewhere, continues.
///
/// # Panics
///
/// When the writer breaks the contract.
pub async fn a_suspended_writer_continues(backend: &dyn Backend) {
    let bytes = pattern(50, backend.bulk_bytes());
    let mut writer = opened(backend, &facts(50, bytes.len())).await;
    for chunk in bytes.chunks(bytes.len() / 3 + 1) {
        write(&mut writer, chunk).await;
        writer.suspend();
        writer.suspend();
    }
    writer.flush().await.expect("flushes");
    writer.suspend();
    let result = writer.close().await.expect("closes");
    assert_stored(backend, &result, &bytes).await;
}

/// A sweep leaves alone what is held, and what it tells of is gone, unless it only looks.
///
/// # Panics
///
/// When the writer breaks the contract.
pub async fn sweeping_takes_what_is_released(backend: &dyn Backend) {
    let policy = |dry_run| SweepPolicy {
        resumable_older_than: Duration::ZERO,
        others_older_than: Duration::ZERO,
        dry_run,
    };
    let factory = backend.factory();
    factory.sweep(&policy(false)).await.expect("sweeps");
    let before = sorted(backend).await;
    let bytes = pattern(51, backend.bulk_bytes());
    let half = bytes.len() / 2;
    let mut writer = opened(backend, &facts(51, bytes.len())).await;
    write(&mut writer, &bytes[..half]).await;
    factory.sweep(&policy(false)).await.expect("sweeps");
    write(&mut writer, &bytes[half..]).await;
    let result = writer.close().await.expect("a held upload is not swept");
    assert_stored(backend, &result, &bytes).await;
    let kept = sorted(backend).await;

    let mut left = opened(backend, &facts(52, bytes.len())).await;
    write(&mut left, &bytes[..half]).await;
    left.flush().await.expect("flushes");
    drop(left);
    let with_left = sorted(backend).await;
    let found = factory.sweep(&policy(true)).await.expect("sweeps");
    assert_eq!(sorted(backend).await, with_left, "it only looked");
    let swept = factory.sweep(&policy(false)).await.expect("sweeps");
    assert_eq!(found.len(), swept.len());
    if !swept.is_empty() {
        assert_eq!(sorted(backend).await, kept, "what it told of stays");
    }
    assert!(kept.len() >= before.len(), "a finished upload is gone");
    let writer = opened(backend, &facts(53, 1)).await;
    writer.abort(&AbortReason::Cancelled).await;
}
