//! Checks: a writer around another one passes on what a driver has to know.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{facts, pattern};
use crate::{error::AbortReason, writer::WriterFactory};

/// The writers of `outer`, which are around those of `inner`, answer what those answer.
/// This is how many bytes a call should have, that bytes wait for more of the file, and, if it says that it can
/// resume, a checkpoint.
///
/// `part_bytes` is how large the parts of `inner` are; 0 for one that has none.
///
/// # Panics
///
/// When they differ.
pub async fn decorates(inner: &dyn WriterFactory, outer: &dyn WriterFactory, part_bytes: usize) {
    let (inside, outside) = (inner.traits(), outer.traits());
    assert_eq!(inside.batch_bytes, outside.batch_bytes);
    assert!(
        inside.resumable || !outside.resumable,
        "it cannot resume what the one inside cannot"
    );
    // A part and a half, which no compression makes shorter.
    let bytes = pattern(60, part_bytes.max(50_000) / 2 * 3);
    let facts = facts(60, bytes.len() * 2);
    let mut told = Vec::new();
    for factory in [inner, outer] {
        let mut writer = factory.create(&facts).await.expect("is made");
        let mut chunks = VecDeque::from([Bytes::from(bytes.clone())]);
        writer.write_chunks(&mut chunks).await.expect("writes");
        let mut before = None;
        loop {
            let written = writer.flush().await.expect("flushes");
            let buffered = writer.buffered();
            if before == Some(written) && buffered.bytes == buffered.incomplete {
                break;
            }
            before = Some(written);
            tokio::task::yield_now().await;
        }
        told.push((
            writer.buffered().incomplete > 0,
            writer.checkpoint().is_some() || !outside.resumable,
        ));
        writer.abort(&AbortReason::Cancelled).await;
    }
    assert_eq!(told.first(), told.last(), "(incomplete parts, checkpoint)");
}
