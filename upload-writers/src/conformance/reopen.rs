//! Checks: going on with an upload (PROTOCOL RESUME-2, RESUME-3).

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::json;

use super::{Backend, assert_stored, facts, opened, pattern, sorted, write};
use crate::{
    error::AbortReason,
    writer::{BoxWriter, CHECKPOINT_BYTES_MAX, Checkpoint, Reopened, UploadFacts},
};

/// A checkpoint fits its record, and there is one exactly where an upload can be reopened.
///
/// # Panics
///
/// When the writer breaks the contract.
pub async fn checkpoints_are_small(backend: &dyn Backend) {
    let bytes = pattern(20, backend.bulk_bytes());
    let mut facts = facts(20, bytes.len());
    facts.client_name = "n".repeat(4_096);
    facts.safe_client_name = "n".repeat(4_096);
    let mut writer = opened(backend, &facts).await;
    let can_reopen = backend.factory().traits().resumable;
    let check = |checkpoint: Option<Checkpoint>| {
        assert_eq!(checkpoint.is_some(), can_reopen);
        if let Some(Checkpoint(value)) = checkpoint {
            let len = value.to_string().len();
            assert!(len <= CHECKPOINT_BYTES_MAX, "a checkpoint of {len} bytes");
        }
    };
    check(writer.checkpoint());
    for chunk in bytes.chunks(50_000) {
        write(&mut writer, chunk).await;
        check(writer.checkpoint());
    }
    writer.flush().await.expect("flushes");
    check(writer.checkpoint());
    writer.abort(&AbortReason::Cancelled).await;
}

/// A dropped writer keeps what was durable, and a reopened one finishes the same file; as often as
/// needed.
///
/// # Panics
///
/// When the writer breaks the contract.
pub async fn dropping_keeps_what_was_stored(backend: &dyn Backend) {
    if !backend.factory().traits().resumable {
        return refuses_to_reopen(backend).await;
    }
    let bytes = pattern(21, backend.bulk_bytes());
    let mut facts = facts(21, bytes.len());
    let mut writer = opened(backend, &facts).await;
    let mut at = 0;
    let mut rounds = 0;
    loop {
        let end = bytes.len().min(at + bytes.len() / 3);
        write(&mut writer, &bytes[at..end]).await;
        if end == bytes.len() {
            break;
        }
        let durable = writer.flush().await.expect("flushes").durable;
        let checkpoint = writer.checkpoint().expect("can be reopened");
        drop(writer);
        writer = reopened(backend, &mut facts, &checkpoint, durable).await;
        at = usize::try_from(durable).expect("an offset of the test");
        rounds += 1;
        assert!(rounds < 100, "no progress from one reopen to the next");
    }
    let result = writer.close().await.expect("closes");
    assert_stored(backend, &result, &bytes).await;
}

/// Reopening below what was written forgets the rest, so that a changed continuation is what counts.
///
/// # Panics
///
/// When the writer breaks the contract.
pub async fn reopening_discards_the_tail(backend: &dyn Backend) {
    if !backend.factory().traits().resumable {
        return refuses_to_reopen(backend).await;
    }
    let (bytes, wrong) = (
        pattern(22, backend.bulk_bytes()),
        pattern(23, backend.bulk_bytes()),
    );
    let mut facts = facts(22, bytes.len());
    let mut writer = opened(backend, &facts).await;
    let half = bytes.len() / 2;
    write(&mut writer, &bytes[..half]).await;
    let durable = writer.flush().await.expect("flushes").durable;
    let checkpoint = writer.checkpoint().expect("can be reopened");
    write(&mut writer, &wrong[half..]).await;
    writer.flush().await.expect("flushes");
    drop(writer);
    let mut writer = reopened(backend, &mut facts, &checkpoint, durable).await;
    let at = usize::try_from(durable).expect("an offset of the test");
    let written = write(&mut writer, &bytes[at..]).await;
    assert_eq!(written.received, bytes.len() as u64);
    let result = writer.close().await.expect("closes");
    assert_stored(backend, &result, &bytes).await;
}

/// An upload is reopened wherever its client is, be it inside of what storage keeps as one piece; what
/// comes again is the same.
///
/// # Panics
///
/// When the writer breaks the contract.
pub async fn reopening_below_the_durable_offset_works(backend: &dyn Backend) {
    if !backend.factory().traits().resumable {
        return refuses_to_reopen(backend).await;
    }
    let bytes = pattern(30, backend.bulk_bytes());
    let mut facts = facts(30, bytes.len());
    let mut writer = opened(backend, &facts).await;
    write(&mut writer, &bytes[..bytes.len() / 4 * 3]).await;
    let mut durable = 0;
    for _ in 0..100 {
        durable = writer.flush().await.expect("flushes").durable;
    }
    let durable = usize::try_from(durable).expect("an offset of the test");
    assert!(
        durable > 2,
        "a large upload has durable bytes before its end"
    );
    let mut checkpoint = writer.checkpoint().expect("can be reopened");
    drop(writer);
    // Each is below the one before, so what was durable there is gone.
    for at in [durable - 1, durable / 2 + 1, 1, 0] {
        facts.crc32c_before = Some(crc32c::crc32c(&bytes[..at]));
        let writer = reopened(backend, &mut facts, &checkpoint, at as u64).await;
        checkpoint = writer.checkpoint().expect("can be reopened");
        drop(writer);
    }
    let mut writer = reopened(backend, &mut facts, &checkpoint, 0).await;
    write(&mut writer, &bytes).await;
    let result = writer.close().await.expect("closes");
    assert_stored(backend, &result, &bytes).await;
}

/// Where the answer of a close was lost, reopening tells it (PROTOCOL COMPLETE-4).
///
/// # Panics
///
/// When the writer breaks the contract.
pub async fn reopening_after_close_answers_the_result(backend: &dyn Backend) {
    if !backend.factory().traits().resumable {
        return refuses_to_reopen(backend).await;
    }
    for size in [0, 10_000] {
        let bytes = pattern(24, size);
        let mut facts = facts(24, size);
        let mut writer = opened(backend, &facts).await;
        write(&mut writer, &bytes).await;
        let durable = writer.flush().await.expect("flushes").durable;
        let checkpoint = writer.checkpoint().expect("can be reopened");
        let lost = writer.close().await.expect("closes");
        drop(writer);
        let before = sorted(backend).await;
        for _ in 0..2 {
            match reopen(backend, &mut facts, &checkpoint, durable).await {
                Reopened::Closed { result } => assert_eq!(result, lost),
                other => panic!("a closed upload was reopened as {other:?}"),
            }
        }
        assert_eq!(sorted(backend).await, before);
        assert_stored(backend, &lost, &bytes).await;
    }
}

/// After an abort there is nothing to continue from.
///
/// # Panics
///
/// When the writer breaks the contract.
pub async fn reopening_after_abort_finds_nothing(backend: &dyn Backend) {
    if !backend.factory().traits().resumable {
        return refuses_to_reopen(backend).await;
    }
    let bytes = pattern(25, backend.bulk_bytes());
    let mut facts = facts(25, bytes.len() + 1);
    let mut writer = opened(backend, &facts).await;
    write(&mut writer, &bytes).await;
    let durable = writer.flush().await.expect("flushes").durable;
    assert!(
        durable > 0,
        "a large upload has durable bytes before its end"
    );
    let checkpoint = writer.checkpoint().expect("can be reopened");
    writer.abort(&AbortReason::Expired).await;
    let before = sorted(backend).await;
    match reopen(backend, &mut facts, &checkpoint, durable).await {
        Reopened::Gone => {}
        other => panic!("an aborted upload was reopened as {other:?}"),
    }
    assert_eq!(sorted(backend).await, before);
}

/// A checkpoint this factory never wrote leads nowhere: an error or nothing, never a writer.
///
/// # Panics
///
/// When the writer breaks the contract.
pub async fn foreign_checkpoints_are_refused(backend: &dyn Backend) {
    let before = sorted(backend).await;
    for value in [
        json!(null),
        json!({}),
        json!([1, "x"]),
        json!({ "temp": "../../etc/passwd", "uuid": "x", "final": "/etc/passwd" }),
        json!({ "key": "../x", "upload": 7, "parts": null, "object": "x" }),
    ] {
        let checkpoint = Checkpoint(value);
        let factory = backend.factory();
        match factory.reopen(&facts(26, 10), &checkpoint, 0).await {
            Err(_) | Ok(Reopened::Gone) => {}
            Ok(other) => panic!("{checkpoint:?} was reopened as {other:?}"),
        }
    }
    assert_eq!(sorted(backend).await, before);
}

/// An old holder that still lives, and still writes, changes nothing any more once another has gone
/// on with its upload (PROTOCOL RESUME-4).
///
/// # Panics
///
/// When the writer breaks the contract.
pub async fn a_held_upload_can_be_taken_over(backend: &dyn Backend) {
    if !backend.fences() {
        return;
    }
    if !backend.factory().traits().resumable {
        return refuses_to_reopen(backend).await;
    }
    let (bytes, wrong) = (
        pattern(27, backend.bulk_bytes()),
        pattern(28, backend.bulk_bytes()),
    );
    let mut facts = facts(27, bytes.len());
    let half = bytes.len() / 2;
    let mut old = opened(backend, &facts).await;
    write(&mut old, &bytes[..half]).await;
    let durable = old.flush().await.expect("flushes").durable;
    let checkpoint = old.checkpoint().expect("can be reopened");

    let mut new = reopened(backend, &mut facts, &checkpoint, durable).await;
    let at = usize::try_from(durable).expect("an offset of the test");
    let mut late = VecDeque::from([Bytes::copy_from_slice(&wrong[half..])]);
    // Whether the old holder notices is up to the storage.
    let _ = old.write_chunks(&mut late).await;
    let _ = old.close().await;
    old.abort(&AbortReason::Cancelled).await;
    write(&mut new, &bytes[at..half]).await;
    let again = new.flush().await.expect("flushes").durable;
    let checkpoint = new.checkpoint().expect("can be reopened");
    drop(new);
    let mut new = reopened(backend, &mut facts, &checkpoint, again).await;
    let at = usize::try_from(again).expect("an offset of the test");
    write(&mut new, &bytes[at..]).await;
    let result = new.close().await.expect("closes");
    assert_stored(backend, &result, &bytes).await;
}

/// A factory that cannot reopen says so every time.
async fn refuses_to_reopen(backend: &dyn Backend) {
    let mut writer = opened(backend, &facts(29, 10)).await;
    write(&mut writer, b"12345").await;
    assert_eq!(writer.checkpoint(), None, "a checkpoint promises a reopen");
    drop(writer);
    let checkpoint = Checkpoint(json!({}));
    match backend
        .factory()
        .reopen(&facts(29, 10), &checkpoint, 0)
        .await
    {
        Err(_) | Ok(Reopened::Gone) => {}
        Ok(other) => panic!("reopened as {other:?}"),
    }
}

async fn reopen(
    backend: &dyn Backend,
    facts: &mut UploadFacts,
    checkpoint: &Checkpoint,
    offset: u64,
) -> Reopened {
    // The one that reopens is the next holder.
    facts.epoch += 1;
    // As through a record: whatever does not survive text is lost.
    let text = checkpoint.0.to_string();
    let checkpoint = Checkpoint(serde_json::from_str(&text).expect("JSON reads back"));
    let reopened = backend.factory().reopen(facts, &checkpoint, offset).await;
    reopened.expect("reopening works")
}

async fn reopened(
    backend: &dyn Backend,
    facts: &mut UploadFacts,
    checkpoint: &Checkpoint,
    offset: u64,
) -> BoxWriter {
    match reopen(backend, facts, checkpoint, offset).await {
        Reopened::Open(writer) => writer,
        other => panic!("a kept upload was reopened as {other:?}"),
    }
}
