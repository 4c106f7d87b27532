//! Checks: bytes, names and endings.

use std::{collections::VecDeque, iter};

use bytes::Bytes;

use super::{Backend, assert_stored, facts, opened, pattern, sorted, write};
use crate::{
    error::{AbortReason, WriteErrorKind},
    writer::{UploadFacts, Written},
};

/// However the stream is cut and batched, the stored bytes are the file (PROTOCOL CHUNK-1).
///
/// # Panics
///
/// When the writer breaks the contract.
pub async fn stores_every_chunking(backend: &dyn Backend) {
    let bulk = backend.bulk_bytes();
    let chunk_sizes: [&[usize]; 5] = [
        &[bulk],
        &[65_536],
        &[1_000],
        &[1, 0, 7, 40_000],
        &[bulk / 2 + 1],
    ];
    for (seed, sizes) in (0_u64..).zip(chunk_sizes) {
        for batch in [1, 3, 200] {
            let bytes = pattern(seed, bulk);
            let facts = facts(seed, bulk);
            let mut writer = opened(backend, &facts).await;
            let mut rest = Bytes::from(bytes.clone());
            let mut sizes = sizes.iter().copied().cycle();
            let mut queue = VecDeque::new();
            let mut sent = 0;
            while !rest.is_empty() {
                let chunks = iter::from_fn(|| {
                    let size = sizes.next()?.min(rest.len());
                    Some(rest.split_to(size))
                });
                queue.extend(chunks.take(batch));
                sent += queue.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
                let written = writer.write_chunks(&mut queue).await.expect("writes");
                assert!(queue.is_empty(), "a writer takes all chunks it is given");
                assert_eq!(written.received, sent);
            }
            let result = writer.close().await.expect("closes");
            assert_stored(backend, &result, &bytes).await;
        }
    }
}

/// A file of no bytes is opened, closed and there (PROTOCOL COMPLETE-5).
///
/// # Panics
///
/// When the writer breaks the contract.
pub async fn stores_an_empty_file(backend: &dyn Backend) {
    let mut writer = opened(backend, &facts(1, 0)).await;
    let result = writer.close().await.expect("closes");
    assert_stored(backend, &result, b"").await;

    let mut writer = opened(backend, &facts(2, 0)).await;
    let written = writer.write_chunks(&mut VecDeque::new()).await;
    assert_eq!(
        written.expect("an empty batch is allowed"),
        Written::default()
    );
    assert_eq!(write(&mut writer, b"").await, Written::default());
    assert_eq!(writer.flush().await.expect("flushes"), Written::default());
    let result = writer.close().await.expect("closes");
    assert_stored(backend, &result, b"").await;
}

/// A file may be shorter than its facts say, down to nothing: where its length was not known, they
/// say the most that it may have.
///
/// # Panics
///
/// When the writer breaks the contract.
pub async fn stores_less_than_the_most(backend: &dyn Backend) {
    for (number, len) in [(1, 0), (2, 1), (3, backend.bulk_bytes())] {
        let bytes = pattern(number, len);
        let most = backend.bulk_bytes().saturating_mul(4);
        let mut writer = opened(backend, &facts(number, most)).await;
        if !bytes.is_empty() {
            write(&mut writer, &bytes).await;
        }
        let result = writer.close().await.expect("closes");
        assert_stored(backend, &result, &bytes).await;
    }
}

/// Received is what was given, durable is never ahead of it, and neither goes back.
///
/// # Panics
///
/// When the writer breaks the contract.
pub async fn durability_is_honest(backend: &dyn Backend) {
    let bytes = pattern(3, backend.bulk_bytes());
    let mut writer = opened(backend, &facts(3, bytes.len())).await;
    let mut before = Written::default();
    let mut sent = 0;
    for (index, chunk) in bytes.chunks(10_007).enumerate() {
        let mut now = write(&mut writer, chunk).await;
        sent += chunk.len() as u64;
        if index % 4 == 3 {
            let flushed = writer.flush().await.expect("flushes");
            assert!(flushed.durable >= now.durable, "a flush went back");
            now = flushed;
        }
        assert_eq!(now.received, sent);
        assert!(now.durable <= now.received, "durable but never received");
        assert!(now.durable >= before.durable, "durable went back");
        before = now;
    }
    let result = writer.close().await.expect("closes");
    assert_stored(backend, &result, &bytes).await;
}

/// Uploads that run at the same time never mix, whatever they have in common.
///
/// # Panics
///
/// When the writer breaks the contract.
pub async fn uploads_are_separate(backend: &dyn Backend) {
    let same = facts(4, 30_000);
    let other_owner = UploadFacts {
        owner: "another owner".to_owned(),
        ..same.clone()
    };
    let mut uploads = Vec::new();
    for (seed, facts) in (0..).zip([&same, &same, &other_owner]) {
        uploads.push((opened(backend, facts).await, pattern(seed, 30_000)));
    }
    for round in 0..3 {
        for (writer, bytes) in &mut uploads {
            write(writer, &bytes[round * 10_000..][..10_000]).await;
        }
    }
    let mut results = Vec::new();
    for (writer, bytes) in &mut uploads {
        results.push((writer.close().await.expect("closes"), bytes));
    }
    for (result, bytes) in results {
        assert_stored(backend, &result, bytes).await;
    }
}

/// Long and hostile names neither fail nor lead anywhere else.
///
/// # Panics
///
/// When the writer breaks the contract.
pub async fn names_cannot_escape(backend: &dyn Backend) {
    let long = format!("{}.tar.gz", "é".repeat(2_000));
    for name in ["../../../etc/x", "", "..", "/etc/passwd", "a\\b\0c", &long] {
        let mut facts = facts(5, 4);
        facts.owner = name.to_owned();
        facts.client_name = name.to_owned();
        facts.safe_client_name = name.to_owned();
        facts.relative_path = Some(name.to_owned());
        let mut writer = opened(backend, &facts).await;
        write(&mut writer, b"name").await;
        let result = writer.close().await.expect("closes");
        assert_stored(backend, &result, b"name").await;
        let text = result.to_string();
        assert!(!text.contains("../"), "a path leads upwards: {text}");
    }
}

/// Whatever the reason and the moment, nothing of an aborted upload stays.
///
/// # Panics
///
/// When the writer breaks the contract.
pub async fn abort_leaves_nothing(backend: &dyn Backend) {
    let before = sorted(backend).await;
    let reasons = [
        AbortReason::SizeLimit(10),
        AbortReason::Cancelled,
        AbortReason::SessionClosed,
        AbortReason::Expired,
        AbortReason::ContentMismatch,
        AbortReason::ChecksumMismatch,
        AbortReason::Storage(WriteErrorKind::Full),
    ];
    let bytes = pattern(6, backend.bulk_bytes());
    for reason in &reasons {
        for resumable in [true, false] {
            for step in 0..3 {
                let mut facts = facts(6, bytes.len());
                facts.resumable = resumable;
                let mut writer = opened(backend, &facts).await;
                if step > 0 {
                    write(&mut writer, &bytes).await;
                }
                if step > 1 {
                    writer.flush().await.expect("flushes");
                }
                writer.abort(reason).await;
                assert_eq!(sorted(backend).await, before, "{reason}, step {step}");
            }
        }
    }
}

/// A finished upload that was not taken is removed by its result, also a second time, and no other with it.
///
/// # Panics
///
/// When the writer breaks the contract.
pub async fn a_deleted_upload_is_gone(backend: &dyn Backend) {
    let before = sorted(backend).await;
    let bytes = pattern(8, backend.bulk_bytes());
    let mut results = Vec::new();
    for bytes in [&bytes[..10], &bytes[..]] {
        let mut writer = opened(backend, &facts(8, bytes.len())).await;
        write(&mut writer, bytes).await;
        results.push(writer.close().await.expect("closes"));
    }
    let facts = facts(8, bytes.len());
    for _ in 0..2 {
        let deleted = backend.factory().delete(&facts, &results[0]).await;
        deleted.expect("gone already is no error");
    }
    assert_stored(backend, &results[1], &bytes).await;
    let deleted = backend.factory().delete(&facts, &results[1]).await;
    deleted.expect("is deleted");
    assert_eq!(sorted(backend).await, before);
}

/// What is in memory is part of what was received; once nothing more becomes durable, only more bytes
/// of the file can free it.
///
/// # Panics
///
/// When the writer breaks the contract.
pub async fn buffered_bytes_are_told(backend: &dyn Backend) {
    let bytes = pattern(7, backend.bulk_bytes());
    let mut writer = opened(backend, &facts(7, bytes.len() + 1)).await;
    for chunk in bytes.chunks(60_007) {
        let written = write(&mut writer, chunk).await;
        let buffered = writer.buffered();
        assert!(buffered.incomplete <= buffered.bytes, "{buffered:?}");
        assert_eq!(
            buffered.incomplete > 0,
            buffered.missing > 0,
            "{buffered:?}"
        );
        assert!(
            buffered.bytes <= written.received,
            "{buffered:?} {written:?}"
        );
    }
    let mut before = Written::default();
    loop {
        let written = writer.flush().await.expect("flushes");
        let buffered = writer.buffered();
        if written == before && buffered.bytes == buffered.incomplete {
            break;
        }
        // Storage that calls nothing durable is flushed until its parts have left.
        before = written;
        tokio::task::yield_now().await;
    }
    writer.abort(&AbortReason::Cancelled).await;
}
