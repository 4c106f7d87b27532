//! Bodies of requests: bounded in size, in time and in number.
//!
//! They are read before much is known of who sends them, and there may be as many senders as
//! connections.

use std::time::Duration;

use axum::{
    body::{Body, Bytes, to_bytes},
    http::StatusCode,
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

/// Bodies of one route that are read at a time; beyond it, 503.
const BODIES_MAX: usize = 32;
/// How long a sender may take for its body, and for its place among those that are read.
const BODY_TIME: Duration = Duration::from_secs(10);

/// The bodies of one route.
#[derive(Debug)]
pub(crate) struct Bodies {
    places: Semaphore,
    bytes_max: usize,
}

/// A body, which has its place until it is dropped.
pub(crate) struct Read<'a> {
    pub(crate) bytes: Bytes,
    _place: SemaphorePermit<'a>,
}

impl Bodies {
    /// Reads bodies of at most `bytes_max` bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            places: Semaphore::new(BODIES_MAX),
            bytes_max,
        }
    }

    /// Reads a body.
    ///
    /// # Errors
    ///
    /// The status to answer with: too many are read, this one is too large, or takes too long.
    pub(crate) async fn read(&self, body: Body) -> Result<Read<'_>, StatusCode> {
        let Ok(place) = self.places.try_acquire() else {
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        };
        match timeout(BODY_TIME, to_bytes(body, self.bytes_max)).await {
            Ok(Ok(bytes)) => Ok(Read {
                bytes,
                _place: place,
            }),
            Ok(Err(_)) => Err(StatusCode::PAYLOAD_TOO_LARGE),
            Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn never_ending() -> Body {
        Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>())
    }

    /// Who sends slowly takes a place for a while, and no memory beyond the places.
    #[tokio::test(start_paused = true)]
    async fn places_are_bounded_in_number_and_time() {
        let bodies = Bodies::new(4);
        let small = bodies.read(Body::from("1234")).await.expect("read");
        assert_eq!(small.bytes, "1234");
        drop(small);
        let large = bodies.read(Body::from("12345")).await;
        assert_eq!(large.err(), Some(StatusCode::PAYLOAD_TOO_LARGE));

        let slow = async {
            let all = (0..BODIES_MAX).map(|_| bodies.read(never_ending()));
            futures_util::future::join_all(all).await
        };
        let beside = async {
            tokio::time::sleep(BODY_TIME / 2).await;
            bodies.read(Body::from("1")).await.err()
        };
        let (slow, beside) = tokio::join!(slow, beside);
        assert_eq!(beside, Some(StatusCode::SERVICE_UNAVAILABLE));
        let mut ends = slow.into_iter().map(Result::err);
        assert!(ends.all(|end| end == Some(StatusCode::REQUEST_TIMEOUT)));
        assert!(bodies.read(Body::from("1")).await.is_ok());
    }
}
