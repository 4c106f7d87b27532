//! Checks: writers that are suspended, and what a sweep takes.

use std::time::Duration;

use super::{Backend, assert_stored, facts, opened, pattern, sorted, write};
use crate::{
    error::AbortReason,
    unfinished::{Unfinished, remove_unfinished},
    writer::{NamedUploads, SweepPolicy},
};

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
        named: NamedUploads::default(),
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
    // A writer on slow storage may let go a moment after it was dropped.
    assert!(found.len() <= swept.len(), "what it told of was left");
    if !swept.is_empty() {
        assert_eq!(sorted(backend).await, kept, "what it told of stays");
    }
    assert!(kept.len() >= before.len(), "a finished upload is gone");
    let writer = opened(backend, &facts(53, 1)).await;
    writer.abort(&AbortReason::Cancelled).await;
}

/// Nothing is left of an upload that expired, whether or not its holder died and wherever the one that
/// removes it died; a file that has its name stays (PROTOCOL RESUME-8).
///
/// # Panics
///
/// When the writer breaks the contract.
pub async fn an_expired_upload_is_removed(backend: &dyn Backend) {
    let factory = backend.factory();
    if !factory.traits().resumable {
        return;
    }
    let bytes = pattern(54, backend.bulk_bytes());
    let before = sorted(backend).await;
    for length in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        let mut facts = facts(54, bytes.len());
        let mut writer = opened(backend, &facts).await;
        write(&mut writer, &bytes[..length]).await;
        let durable = writer.flush().await.expect("flushes").durable;
        let checkpoint = writer.checkpoint().expect("can be reopened");
        drop(writer);
        facts.epoch += 1;
        // The process dies between removing the bytes and deleting the record, and the next one repeats it.
        for _ in 0..2 {
            let removed = remove_unfinished(factory, &facts, &checkpoint, durable).await;
            assert_eq!(removed.expect("removes"), Unfinished::Removed);
            assert_eq!(sorted(backend).await, before, "{length} bytes");
        }
    }
    let mut facts = facts(55, bytes.len());
    let mut writer = opened(backend, &facts).await;
    write(&mut writer, &bytes).await;
    let durable = writer.flush().await.expect("flushes").durable;
    let checkpoint = writer.checkpoint().expect("can be reopened");
    let result = writer.close().await.expect("closes");
    facts.epoch += 1;
    let removed = remove_unfinished(factory, &facts, &checkpoint, durable).await;
    assert_eq!(removed.expect("asks"), Unfinished::Published);
    assert_stored(backend, &result, &bytes).await;
}
