//! Checks: calls whose future is dropped before it is done.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::pin,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{Backend, assert_stored, facts, opened, pattern, sorted, write};
use crate::error::AbortReason;

/// How long what an abandoned call began may take to be removed.
const REMOVAL_MAX: Duration = Duration::from_secs(30);

/// Polls a call a number of times, and drops it.
async fn abandon(call: impl Future, polls: u32) {
    let mut call = pin!(call);
    for _ in 0..polls {
        let done = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_ready())).await;
        if done {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// What is made for a caller who has gone is removed.
///
/// # Panics
///
/// When the writer breaks the contract.
pub async fn an_abandoned_creation_leaves_nothing(backend: &dyn Backend) {
    let before = sorted(backend).await;
    let mut facts = facts(40, backend.bulk_bytes());
    // What was made and then dropped is kept, for a later resume.
    facts.resumable = false;
    abandon(async { drop_made(backend, &facts).await }, 1).await;
    let begun = Instant::now();
    while sorted(backend).await != before {
        assert!(begun.elapsed() < REMOVAL_MAX, "something stays");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Makes a writer, and throws it away if it is made at once.
async fn drop_made(backend: &dyn Backend, facts: &crate::UploadFacts) {
    let writer = opened(backend, facts).await;
    writer.abort(&AbortReason::Cancelled).await;
}

/// A flush that is no longer waited for costs nothing, wherever it was.
///
/// # Panics
///
/// When the writer breaks the contract.
pub async fn an_abandoned_flush_changes_nothing(backend: &dyn Backend) {
    let bytes = pattern(41, backend.bulk_bytes());
    let mut writer = opened(backend, &facts(41, bytes.len())).await;
    let mut polls = 0;
    for chunk in bytes.chunks(bytes.len() / 20 + 1) {
        write(&mut writer, chunk).await;
        abandon(writer.flush(), polls).await;
        polls = (polls + 1) % 4;
    }
    let result = writer.close().await.expect("closes");
    assert_stored(backend, &result, &bytes).await;
}

/// An abort removes what an abandoned call stored.
///
/// # Panics
///
/// When the writer breaks the contract.
pub async fn an_abandoned_call_can_be_aborted(backend: &dyn Backend) {
    let before = sorted(backend).await;
    let bytes = Bytes::from(pattern(42, backend.bulk_bytes()));
    for polls in 0..4 {
        for closes in [false, true] {
            let mut writer = opened(backend, &facts(42, bytes.len())).await;
            let half = bytes.len() / 2;
            write(&mut writer, &bytes[..half]).await;
            let mut rest = VecDeque::from([bytes.slice(half..)]);
            if closes {
                writer.write_chunks(&mut rest).await.expect("writes");
                let closed = async { writer.close().await.is_ok() };
                let mut closed = pin!(closed);
                let mut is_closed = false;
                for _ in 0..polls {
                    if let Poll::Ready(done) =
                        poll_fn(|cx| Poll::Ready(closed.as_mut().poll(cx))).await
                    {
                        is_closed = done;
                        break;
                    }
                }
                if is_closed {
                    // It was too quick to be abandoned, and its file is to stay.
                    return;
                }
            } else {
                abandon(writer.write_chunks(&mut rest), polls).await;
            }
            writer.abort(&AbortReason::Cancelled).await;
            assert_eq!(sorted(backend).await, before, "after {polls} polls");
        }
    }
}
