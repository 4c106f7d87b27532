//! A part on its way: the chunks it was cut from, as the body of as many requests as it takes.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use base64_simd::STANDARD;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use md5::{Digest, Md5};
use tokio::{task::spawn_blocking, time::timeout};

use crate::multipart::{BackendError, Payload};

/// How many bytes may be hashed where they are, which takes less than a millisecond.
const MD5_INLINE_BYTES: u64 = 256 * 1024;

/// Computes the MD5 of a payload, as the header `Content-MD5` has it. That of a whole part takes a hundredth
/// of a second, for which it leaves the runtime.
pub(super) async fn md5_of(payload: &Payload) -> Result<String, BackendError> {
    let slices = Arc::clone(payload.slices());
    if payload.len() <= MD5_INLINE_BYTES {
        return Ok(content_md5(&slices));
    }
    let computed = spawn_blocking(move || content_md5(&slices)).await;
    computed.map_err(|_| BackendError::unusable("the task of a checksum died"))
}

/// The body of one try, and a look at how far it has been taken.
pub(super) fn body_of(payload: &Payload) -> (ByteStream, Taken) {
    let taken = Taken(Arc::new(AtomicUsize::new(0)));
    let (slices, counter) = (Arc::clone(payload.slices()), taken.clone());
    let body = SdkBody::retryable(move || {
        SdkBody::from_body_1_x(Slices {
            slices: Arc::clone(&slices),
            next: 0,
            taken: counter.clone(),
        })
    });
    (ByteStream::new(body), taken)
}

fn content_md5(slices: &[Bytes]) -> String {
    let add = |hash: Md5, slice: &Bytes| hash.chain_update(slice);
    STANDARD.encode_to_string(slices.iter().fold(Md5::new(), add).finalize())
}

/// Counts how many slices of a body the connection took.
#[derive(Clone, Debug)]
pub(super) struct Taken(Arc<AtomicUsize>);

impl Taken {
    /// Waits for an answer for as long as the body moves, and `longer` after that.
    pub(super) async fn unless_stalled<T>(
        &self,
        longer: Duration,
        answer: impl Future<Output = T>,
    ) -> Result<T, BackendError> {
        let mut answer = std::pin::pin!(answer);
        loop {
            let before = self.0.load(Ordering::Relaxed);
            match timeout(longer, answer.as_mut()).await {
                Ok(answer) => return Ok(answer),
                Err(_) if self.0.load(Ordering::Relaxed) != before => {}
                Err(_) => return Err(BackendError::timeout()),
            }
        }
    }
}

struct Slices {
    slices: Arc<[Bytes]>,
    next: usize,
    taken: Taken,
}

impl Body for Slices {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let slice = self.slices.get(self.next).cloned();
        if slice.is_some() {
            self.next += 1;
            self.taken.0.fetch_add(1, Ordering::Relaxed);
        }
        Poll::Ready(slice.map(|slice| Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        self.next >= self.slices.len()
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.slices.iter().skip(self.next);
        SizeHint::with_exact(left.map(|slice| slice.len() as u64).sum())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::parts::{Part, PartCutter};

    fn part(chunks: &[&'static [u8]]) -> Part {
        let mut cutter = PartCutter::new(1_000_000);
        for chunk in chunks {
            let mut chunk = Bytes::from_static(chunk);
            assert_eq!(cutter.take_from(&mut chunk), None);
        }
        cutter.finish().expect("something was given")
    }

    #[tokio::test]
    async fn each_try_sends_the_same_bytes_without_copying() {
        // A full chunk, which its part keeps as it is.
        static CHUNK: [u8; 65_536] = [7; 65_536];
        let payload = Payload::new(part(&[&CHUNK, b"world"]));
        assert_eq!(payload.len(), 65_541);
        let whole = [&CHUNK[..], b"world"].concat();
        assert_eq!(payload.crc32c(), crc32c::crc32c(&whole));
        let (first, _) = body_of(&payload);
        let again = first.into_inner().try_clone().expect("can be sent again");
        for body in [again, body_of(&payload).0.into_inner()] {
            assert_eq!(body.content_length(), Some(65_541));
            let mut body = body;
            let frame = body.frame().await.expect("a frame").expect("no error");
            let data = frame.into_data().expect("data");
            assert_eq!(data.as_ptr(), payload.slices()[0].as_ptr(), "not copied");
            let rest = body.collect().await.expect("collects").to_bytes();
            assert_eq!(&rest[..], b"world");
        }
    }

    /// RFC 1864's header, with the value that `printf hello | openssl md5 -binary | base64` gives.
    #[tokio::test]
    async fn the_md5_is_written_as_the_header_has_it() {
        let payload = Payload::new(part(&[b"hel", b"lo"]));
        let md5 = md5_of(&payload).await.expect("computes");
        assert_eq!(md5, "XUFAKrxLKna5cZ2REBfFkg==");
    }

    #[tokio::test]
    async fn a_request_that_moves_is_waited_for() {
        // Its timeout ends each time it is asked, but it has moved each time.
        let taken = Taken(Arc::new(AtomicUsize::new(0)));
        let mut looks = 0;
        let moving = std::future::poll_fn(|_| {
            taken.0.fetch_add(1, Ordering::Relaxed);
            looks += 1;
            if looks > 10 {
                Poll::Ready("done")
            } else {
                Poll::Pending
            }
        });
        let answer = taken.unless_stalled(Duration::ZERO, moving).await;
        assert_eq!(answer.ok(), Some("done"));
        let stuck = std::future::pending::<()>();
        let stuck = taken.unless_stalled(Duration::ZERO, stuck).await;
        assert!(stuck.expect_err("stalled").uncertain);
    }
}
