//! What is read of a request that was answered before its content was over.
//!
//! A server that stops reading resets the connection, and the client sees a network error in place of
//! the answer. So the rest is read and dropped, within bounds.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::body::Body;
use futures_util::StreamExt;
use http_body::Body as _;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use super::Rest;
use crate::server::shares::Shares;

/// Requests whose rest is read at a time, of one address a quarter; of further ones nothing is.
const READ_AT_A_TIME: usize = 256;
/// Bytes that are read of each.
const BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How long that may take.
const TIME_MAX: Duration = Duration::from_secs(30);
/// How long the rest may come slowly.
const SLOW_TIME: Duration = Duration::from_secs(5);
/// Bytes a second that are not slow.
const BYTES_PER_SECOND_MIN: u64 = 8 * 1024;

/// Reads what is left of refused requests.
#[derive(Debug)]
pub(crate) struct Drains {
    places: Arc<Semaphore>,
    /// What each address has of them.
    shares: Arc<Shares>,
}

impl Default for Drains {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(READ_AT_A_TIME)),
            shares: Shares::of(READ_AT_A_TIME),
        }
    }
}

impl Drains {
    /// Reads the rest of a request from there while the answer is on its way. A client that waits to be asked
    /// for its content is not asked.
    pub(crate) fn drain(&self, rest: Rest, awaits_asking: bool, address: Option<IpAddr>) {
        let body = match rest {
            Rest::Begun(body) => body,
            Rest::Unread(body) if !awaits_asking => body,
            Rest::Unread(_) | Rest::Nothing => return,
        };
        // Most requests have none.
        if body.is_end_stream() {
            return;
        }
        let share = self.shares.take(address);
        let place = Arc::clone(&self.places).try_acquire_owned();
        if let (Ok(share), Ok(place)) = (share, place) {
            tokio::spawn(async move {
                read(body).await;
                drop((share, place));
            });
        }
    }
}

/// Reads until that is all, too much, too slow or too late.
async fn read(body: Body) {
    let begun = Instant::now();
    let after = |wait| begun.checked_add(wait).unwrap_or(begun);
    let mut received = 0_u64;
    let mut pieces = body.into_data_stream();
    while received < BYTES_MAX {
        let earned = Duration::from_secs(received / BYTES_PER_SECOND_MIN);
        let by = after(SLOW_TIME.saturating_add(earned).min(TIME_MAX));
        let Ok(Some(Ok(piece))) = timeout_at(by, pieces.next()).await else {
            return;
        };
        let bytes = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        received = received.saturating_add(bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use bytes::Bytes;
    use futures_util::stream;

    use super::*;

    /// Returns how long content is read that brings so many bytes each second.
    async fn took(bytes_per_second: usize) -> Duration {
        let pieces = stream::repeat_with(move || Bytes::from(vec![0; bytes_per_second]));
        let pieces = pieces.then(async |piece| {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok::<_, io::Error>(piece)
        });
        let begun = Instant::now();
        read(Body::from_stream(pieces)).await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn slow_content_has_no_place_for_long() {
        assert_eq!(took(1).await, SLOW_TIME);
        assert_eq!(took(64 * 1024).await, TIME_MAX);
        let quick = took(32 * 1024 * 1024).await;
        assert_eq!(quick, Duration::from_secs(2), "all that is read");
    }
}
