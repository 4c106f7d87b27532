//! Bodies of requests: bounded in size, in time and in number.
//!
//! They are read before much is known of who sends them, and there may be as many senders as
//! connections.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::StatusCode,
};
use bytes::BytesMut;
use futures_util::StreamExt;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use crate::server::shares::{Place, Shares};

/// Bodies of the largest size whose bytes one route holds at a time; a body takes room as it arrives, so that
/// slow senders hold what they sent and no more. Senders at one address have a quarter of it.
const LARGEST_HELD: usize = 64;
/// How long a sender may take for its body, waiting for room included.
const BODY_TIME: Duration = Duration::from_secs(10);
/// How long a sender may be slow.
const SLOW_TIME: Duration = Duration::from_secs(2);
/// Bytes a second that are not slow.
const BYTES_PER_SECOND_MIN: u64 = 1024;

/// Largest registration, in bytes: a name and the metadata, escaped.
#[cfg(any(feature = "doors", feature = "presign"))]
pub(crate) const REGISTRATION_BYTES_MAX: usize = 64 * 1024;

/// The bodies of one route.
#[derive(Debug)]
pub(crate) struct Bodies {
    room: Arc<Semaphore>,
    /// What each address has of it.
    shares: Arc<Shares>,
    bytes_max: usize,
}

/// A body, which has its room until it is dropped.
pub(crate) struct Read {
    pub(crate) bytes: Bytes,
    _room: (Option<OwnedSemaphorePermit>, Option<Place>),
}

impl Bodies {
    /// Reads bodies of at most `bytes_max` bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        let room = bytes_max.saturating_mul(LARGEST_HELD);
        let room = room.min(Semaphore::MAX_PERMITS);
        Self {
            room: Arc::new(Semaphore::new(room)),
            shares: Shares::of(room),
            bytes_max,
        }
    }

    /// Reads a body that is sent from there.
    ///
    /// # Errors
    ///
    /// The status to answer with: this body is too large, takes too long or ends too soon, or there is no
    /// room for it.
    pub(crate) async fn read(
        &self,
        body: Body,
        address: Option<IpAddr>,
    ) -> Result<Read, StatusCode> {
        let begun = Instant::now();
        let end = after(begun, BODY_TIME);
        let mut body = body.into_data_stream();
        let mut bytes = BytesMut::new();
        let mut room: Option<OwnedSemaphorePermit> = None;
        let mut share = self.shares.begin(address);
        loop {
            let received = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            let paid = Duration::from_secs(received / BYTES_PER_SECOND_MIN);
            let slow = after(begun, SLOW_TIME.saturating_add(paid)).min(end);
            let next = timeout_at(slow, body.next()).await;
            let next = next.map_err(|_| StatusCode::REQUEST_TIMEOUT)?;
            let Some(data) = next else {
                break;
            };
            let data = data.map_err(|_| StatusCode::BAD_REQUEST)?;
            if data.len() > self.bytes_max.saturating_sub(bytes.len()) {
                return Err(StatusCode::PAYLOAD_TOO_LARGE);
            }
            if let Some(share) = &mut share {
                let grown = share.grow(data.len());
                grown.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
            }
            let places = u32::try_from(data.len()).unwrap_or(u32::MAX);
            let more = Arc::clone(&self.room).acquire_many_owned(places);
            let more = timeout_at(end, more).await;
            let Ok(Ok(more)) = more else {
                return Err(StatusCode::SERVICE_UNAVAILABLE);
            };
            match &mut room {
                Some(room) => room.merge(more),
                None => room = Some(more),
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Read {
            bytes: bytes.freeze(),
            _room: (room, share),
        })
    }
}

fn after(begun: Instant, wait: Duration) -> Instant {
    begun.checked_add(wait).unwrap_or(begun)
}

#[cfg(test)]
mod tests {
    use futures_util::{future::join_all, stream};

    use super::*;

    type Piece = Result<Bytes, std::io::Error>;

    /// Sends one byte and then nothing more.
    fn stuck() -> Body {
        let first = stream::iter([Piece::Ok(Bytes::from_static(b"1"))]);
        Body::from_stream(first.chain(stream::pending()))
    }

    #[tokio::test(start_paused = true)]
    async fn any_number_of_slow_senders_leaves_room_for_others() {
        let bodies = Bodies::new(1024);
        let slow = async { join_all((0..1_000).map(|_| bodies.read(stuck(), None))).await };
        let beside = async {
            tokio::time::sleep(SLOW_TIME / 2).await;
            let begun = Instant::now();
            let body = bodies.read(Body::from(vec![0; 1024]), None).await;
            assert_eq!(begun.elapsed(), Duration::ZERO);
            body.map(|body| body.bytes.len())
        };
        let begun = Instant::now();
        let (slow, beside) = tokio::join!(slow, beside);
        assert_eq!(beside, Ok(1024));
        let mut ends = slow.into_iter().map(Result::err);
        assert!(ends.all(|end| end == Some(StatusCode::REQUEST_TIMEOUT)));
        assert_eq!(begun.elapsed(), SLOW_TIME);
        assert_eq!(bodies.room.available_permits(), 1024 * LARGEST_HELD);
    }

    #[tokio::test(start_paused = true)]
    async fn senders_at_one_address_leave_room_for_others() {
        let bodies = Bodies::new(1024);
        let at = |text: &str| Some(text.parse::<IpAddr>().expect("an address"));
        let whole = || Body::from(vec![0; 1024]);
        let mut held = Vec::new();
        for _ in 0..LARGEST_HELD / 4 {
            let read = bodies.read(whole(), at("203.0.113.7")).await;
            held.push(read.expect("its share"));
        }
        let beyond = bodies.read(Body::from("1"), at("203.0.113.7")).await;
        assert_eq!(beyond.err(), Some(StatusCode::SERVICE_UNAVAILABLE));
        let other = bodies.read(whole(), at("198.51.100.9")).await;
        assert!(other.is_ok());
        held.pop();
        assert!(bodies.read(whole(), at("203.0.113.7")).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_waits_for_room() {
        let bodies = Bodies::new(4);
        let held = (0..LARGEST_HELD).map(|_| bodies.read(Body::from("1234"), None));
        let mut held = join_all(held).await;
        let begun = Instant::now();
        let none = bodies.read(Body::from("1"), None).await;
        assert_eq!(none.err(), Some(StatusCode::SERVICE_UNAVAILABLE));
        assert_eq!(begun.elapsed(), BODY_TIME);
        let waiting = bodies.read(Body::from("1"), None);
        let leaving = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            held.pop();
        };
        let (read, ()) = tokio::join!(waiting, leaving);
        assert_eq!(read.map(|read| read.bytes), Ok(Bytes::from_static(b"1")));
    }

    #[tokio::test]
    async fn each_trouble_has_its_status() {
        let bodies = Bodies::new(4);
        let small = bodies
            .read(Body::from("1234"), None)
            .await
            .map(|read| read.bytes);
        assert_eq!(small, Ok(Bytes::from_static(b"1234")));
        let large = bodies.read(Body::from("12345"), None).await;
        assert_eq!(large.err(), Some(StatusCode::PAYLOAD_TOO_LARGE));
        let broken = stream::iter([Piece::Err(std::io::ErrorKind::UnexpectedEof.into())]);
        let broken = bodies.read(Body::from_stream(broken), None).await;
        assert_eq!(broken.err(), Some(StatusCode::BAD_REQUEST));
    }
}
