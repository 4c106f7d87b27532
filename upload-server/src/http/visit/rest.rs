//! What is read of a request that was answered before its content was over.
//!
//! A server that stops reading resets the connection, and the client sees a network error in place of
//! the answer. So the rest is read and dropped, within bounds.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use futures_util::StreamExt;
use http_body::Body as _;
use tokio::sync::Semaphore;

use super::Rest;

/// Requests whose rest is read at a time; of further ones nothing is.
const READ_AT_A_TIME: usize = 256;
/// Bytes that are read of each.
const BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How long that may take.
const TIME_MAX: Duration = Duration::from_secs(30);

/// Reads what is left of refused requests.
#[derive(Debug)]
pub(crate) struct Drains(Arc<Semaphore>);

impl Default for Drains {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(READ_AT_A_TIME)))
    }
}

impl Drains {
    /// Reads the rest while the answer is on its way. A client that waits to be asked for its content
    /// is not asked.
    pub(crate) fn drain(&self, rest: Rest, awaits_asking: bool) {
        let body = match rest {
            Rest::Begun(body) => body,
            Rest::Unread(body) if !awaits_asking => body,
            Rest::Unread(_) | Rest::Nothing => return,
        };
        // Most requests have none.
        if body.is_end_stream() {
            return;
        }
        if let Ok(place) = Arc::clone(&self.0).try_acquire_owned() {
            tokio::spawn(async move {
                let _ = tokio::time::timeout(TIME_MAX, read(body)).await;
                drop(place);
            });
        }
    }
}

async fn read(body: Body) {
    let mut left = BYTES_MAX;
    let mut pieces = body.into_data_stream();
    while let Some(Ok(piece)) = pieces.next().await {
        let bytes = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        left = left.saturating_sub(bytes);
        if left == 0 {
            return;
        }
    }
}
