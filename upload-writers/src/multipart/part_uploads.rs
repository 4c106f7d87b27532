//! The parts of one upload: those on their way, and those that have arrived.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use tokio::task::JoinSet;

use super::{backend::StoredPart, last_part::LastPart};
use crate::error::WriteError;

/// How long one part took to object storage, retries included.
const PART_SECONDS: &str = "upload_part_seconds";

/// A part that has arrived.
pub(crate) trait UploadedPart: Send + 'static {
    /// How many bytes it has.
    fn len(&self) -> u64;

    /// The CRC32C of its bytes, if it is known.
    fn crc32c(&self) -> Option<u32> {
        None
    }
}

impl UploadedPart for StoredPart {
    fn len(&self) -> u64 {
        self.len
    }

    fn crc32c(&self) -> Option<u32> {
        self.crc32c
    }
}

/// The parts of one upload.
///
/// Each part on its way is a task, so that it continues while its writer waits for chunks. Dropping
/// this stops them.
#[derive(Debug)]
pub(crate) struct PartUploads<S> {
    tasks: JoinSet<Result<(u32, S), WriteError>>,
    most: usize,
    held: Arc<AtomicU64>,
    stored: BTreeMap<u32, S>,
    /// How many parts from the first one on have arrived without a gap, and how many bytes they have.
    contiguous: u32,
    durable: u64,
    /// What the last of these is known by, and the CRC32C of all of them.
    last_part: Option<LastPart>,
    crc32c: Option<u32>,
}

impl<S: UploadedPart> PartUploads<S> {
    /// Begins with the parts that have arrived already.
    pub(crate) fn new(most: usize, stored: BTreeMap<u32, S>) -> Self {
        let mut part_uploads = Self {
            tasks: JoinSet::new(),
            most: most.max(1),
            held: Arc::default(),
            stored,
            contiguous: 0,
            durable: 0,
            last_part: None,
            crc32c: Some(0),
        };
        part_uploads.settle();
        part_uploads
    }

    /// Sends a part of `len` bytes; first waits until fewer than the most are on their way.
    pub(crate) async fn spawn(
        &mut self,
        number: u32,
        len: u64,
        request: impl Future<Output = Result<S, WriteError>> + Send + 'static,
    ) -> Result<(), WriteError> {
        // Counted from here on, since it is held while it waits, too.
        let held = Held::new(&self.held, len);
        self.collect()?;
        while self.tasks.len() >= self.most {
            self.next().await?;
        }
        self.tasks.spawn(async move {
            let _held = held;
            let begun = Instant::now();
            let stored = request.await?;
            metrics::histogram!(PART_SECONDS).record(begun.elapsed());
            Ok((number, stored))
        });
        Ok(())
    }

    /// Notes a part that need not be sent.
    pub(crate) fn arrived(&mut self, number: u32, stored: S) {
        self.stored.insert(number, stored);
        self.settle();
    }

    /// Waits until the durable bytes grow, as far as parts on their way can make them.
    pub(crate) async fn advance(&mut self) -> Result<(), WriteError> {
        let before = self.durable;
        self.collect()?;
        while self.durable == before && !self.tasks.is_empty() {
            self.next().await?;
        }
        Ok(())
    }

    /// Waits for all parts.
    pub(crate) async fn join(&mut self) -> Result<(), WriteError> {
        while !self.tasks.is_empty() {
            self.next().await?;
        }
        Ok(())
    }

    /// Stops all parts on their way, and waits until they have stopped.
    pub(crate) async fn cancel(&mut self) {
        self.tasks.shutdown().await;
    }

    /// The parts that have arrived.
    pub(crate) fn stored(&self) -> &BTreeMap<u32, S> {
        &self.stored
    }

    /// What the last part that arrived without a gap is known by.
    pub(crate) fn last_part(&self) -> Option<LastPart> {
        self.last_part
    }

    /// Believes what was remembered of the last part, where its own checksums are not known.
    pub(crate) fn remember(&mut self, last_part: LastPart) {
        if let Some(part) = self.stored.get(&last_part.part)
            && last_part.part == self.contiguous
            && self.last_part.is_none()
        {
            let len = usize::try_from(part.len()).ok();
            self.last_part = Some(last_part);
            self.crc32c =
                len.map(|len| crc32c::crc32c_combine(last_part.before, last_part.crc32c, len));
        }
    }

    /// How many bytes have arrived without a gap.
    pub(crate) fn durable(&self) -> u64 {
        self.durable
    }

    /// How many bytes are on their way.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Takes in what arrived in the meantime, without waiting.
    fn collect(&mut self) -> Result<(), WriteError> {
        while let Some(ended) = self.tasks.try_join_next() {
            let (number, stored) = ended.unwrap_or_else(|_| Err(died()))?;
            self.arrived(number, stored);
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<(), WriteError> {
        if let Some(ended) = self.tasks.join_next().await {
            let (number, stored) = ended.unwrap_or_else(|_| Err(died()))?;
            self.arrived(number, stored);
        }
        Ok(())
    }

    fn settle(&mut self) {
        while let Some(next) = self.stored.get(&self.contiguous.saturating_add(1)) {
            self.contiguous = self.contiguous.saturating_add(1);
            self.durable = self.durable.saturating_add(next.len());
            self.last_part = self
                .crc32c
                .zip(next.crc32c())
                .map(|(before, crc32c)| LastPart {
                    part: self.contiguous,
                    before,
                    crc32c,
                });
            let len = usize::try_from(next.len()).ok();
            self.crc32c = self.last_part.zip(len).map(|(last_part, len)| {
                crc32c::crc32c_combine(last_part.before, last_part.crc32c, len)
            });
        }
    }
}

fn died() -> WriteError {
    WriteError::misuse("the task of a part died")
}

/// Bytes that count as held as long as this lives.
#[derive(Debug)]
struct Held {
    count: Arc<AtomicU64>,
    len: u64,
}

impl Held {
    fn new(count: &Arc<AtomicU64>, len: u64) -> Self {
        count.fetch_add(len, Ordering::Relaxed);
        Self {
            count: Arc::clone(count),
            len,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.count.fetch_sub(self.len, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        task::{Context, Waker},
    };

    use tokio::sync::oneshot;

    use super::*;

    #[derive(Debug)]
    struct Bytes(u64);

    impl UploadedPart for Bytes {
        fn len(&self) -> u64 {
            self.0
        }
    }

    async fn spawn(part_uploads: &mut PartUploads<Bytes>, number: u32) -> oneshot::Sender<Bytes> {
        let (done, wait) = oneshot::channel();
        let request = async { wait.await.map_err(|_| died()) };
        part_uploads
            .spawn(number, 10, request)
            .await
            .expect("launches");
        done
    }

    #[tokio::test]
    async fn only_a_gapless_beginning_is_durable() {
        let mut part_uploads = PartUploads::new(3, BTreeMap::new());
        let first = spawn(&mut part_uploads, 1).await;
        let second = spawn(&mut part_uploads, 2).await;
        assert_eq!((part_uploads.held(), part_uploads.durable()), (20, 0));
        second.send(Bytes(10)).expect("waits");
        tokio::task::yield_now().await;
        part_uploads.collect().expect("no failure");
        assert_eq!((part_uploads.held(), part_uploads.durable()), (10, 0));
        first.send(Bytes(10)).expect("waits");
        part_uploads.advance().await.expect("no failure");
        assert_eq!((part_uploads.held(), part_uploads.durable()), (0, 20));
        part_uploads.advance().await.expect("nothing to wait for");
    }

    #[tokio::test]
    async fn a_full_flight_waits_for_a_place() {
        let mut part_uploads = PartUploads::new(1, BTreeMap::from([(1, Bytes(7))]));
        assert_eq!(part_uploads.durable(), 7);
        let second = spawn(&mut part_uploads, 2).await;
        {
            let third = part_uploads.spawn(3, 10, pending());
            let mut cx = Context::from_waker(Waker::noop());
            let waited = std::pin::pin!(third).poll(&mut cx);
            assert!(waited.is_pending());
        }
        second.send(Bytes(10)).expect("waits");
        spawn(&mut part_uploads, 3).await;
        assert_eq!(part_uploads.durable(), 17);
        part_uploads.cancel().await;
        assert_eq!(part_uploads.held(), 0);
    }

    #[tokio::test]
    async fn a_failed_part_is_told_by_the_next_call() {
        let mut part_uploads = PartUploads::new(2, BTreeMap::new());
        drop(spawn(&mut part_uploads, 1).await);
        assert!(part_uploads.join().await.is_err());
    }
}
