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

use crate::{error::WriteError, seam::Seam};

/// How long one part took to object storage, retries included.
const PART_SECONDS: &str = "upload_part_seconds";

/// A part that has arrived.
pub(crate) trait Landed: Send + 'static {
    /// How many bytes it has.
    fn len(&self) -> u64;

    /// The CRC32C of its bytes, if it is known.
    fn crc32c(&self) -> Option<u32> {
        None
    }
}

/// The parts of one upload.
///
/// Each part on its way is a task, so that it goes on while its writer waits for chunks. Dropping
/// this stops them.
#[derive(Debug)]
pub(crate) struct Flight<S> {
    tasks: JoinSet<Result<(u32, S), WriteError>>,
    most: usize,
    held: Arc<AtomicU64>,
    stored: BTreeMap<u32, S>,
    /// How many parts from the first one on have arrived without a gap, and how many bytes they have.
    settled: u32,
    durable: u64,
    /// What the last of these is known by, and the CRC32C of all of them.
    seam: Option<Seam>,
    crc32c: Option<u32>,
}

impl<S: Landed> Flight<S> {
    /// Begins with the parts that have arrived already.
    pub(crate) fn new(most: usize, stored: BTreeMap<u32, S>) -> Self {
        let mut flight = Self {
            tasks: JoinSet::new(),
            most: most.max(1),
            held: Arc::default(),
            stored,
            settled: 0,
            durable: 0,
            seam: None,
            crc32c: Some(0),
        };
        flight.settle();
        flight
    }

    /// Sends a part of `len` bytes; first waits until fewer than the most are on their way.
    pub(crate) async fn launch(
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
    pub(crate) async fn land(&mut self) -> Result<(), WriteError> {
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
    pub(crate) fn seam(&self) -> Option<Seam> {
        self.seam
    }

    /// Believes what was remembered of the last part, where its own checksums are not known.
    pub(crate) fn remember(&mut self, seam: Seam) {
        if let Some(part) = self.stored.get(&seam.part)
            && seam.part == self.settled
            && self.seam.is_none()
        {
            let len = usize::try_from(part.len()).ok();
            self.seam = Some(seam);
            self.crc32c = len.map(|len| crc32c::crc32c_combine(seam.before, seam.crc32c, len));
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
        while let Some(next) = self.stored.get(&self.settled.saturating_add(1)) {
            self.settled = self.settled.saturating_add(1);
            self.durable = self.durable.saturating_add(next.len());
            self.seam = self.crc32c.zip(next.crc32c()).map(|(before, crc32c)| Seam {
                part: self.settled,
                before,
                crc32c,
            });
            let len = usize::try_from(next.len()).ok();
            self.crc32c = self
                .seam
                .zip(len)
                .map(|(seam, len)| crc32c::crc32c_combine(seam.before, seam.crc32c, len));
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

    impl Landed for Bytes {
        fn len(&self) -> u64 {
            self.0
        }
    }

    async fn launch(flight: &mut Flight<Bytes>, number: u32) -> oneshot::Sender<Bytes> {
        let (done, wait) = oneshot::channel();
        let request = async { wait.await.map_err(|_| died()) };
        flight.launch(number, 10, request).await.expect("launches");
        done
    }

    #[tokio::test]
    async fn only_a_gapless_beginning_is_durable() {
        let mut flight = Flight::new(3, BTreeMap::new());
        let first = launch(&mut flight, 1).await;
        let second = launch(&mut flight, 2).await;
        assert_eq!((flight.held(), flight.durable()), (20, 0));
        second.send(Bytes(10)).expect("waits");
        tokio::task::yield_now().await;
        flight.collect().expect("no failure");
        assert_eq!((flight.held(), flight.durable()), (10, 0));
        first.send(Bytes(10)).expect("waits");
        flight.advance().await.expect("no failure");
        assert_eq!((flight.held(), flight.durable()), (0, 20));
        flight.advance().await.expect("nothing to wait for");
    }

    #[tokio::test]
    async fn a_full_flight_waits_for_a_place() {
        let mut flight = Flight::new(1, BTreeMap::from([(1, Bytes(7))]));
        assert_eq!(flight.durable(), 7);
        let second = launch(&mut flight, 2).await;
        {
            let third = flight.launch(3, 10, pending());
            let mut cx = Context::from_waker(Waker::noop());
            let waited = std::pin::pin!(third).poll(&mut cx);
            assert!(waited.is_pending());
        }
        second.send(Bytes(10)).expect("waits");
        launch(&mut flight, 3).await;
        assert_eq!(flight.durable(), 17);
        flight.cancel().await;
        assert_eq!(flight.held(), 0);
    }

    #[tokio::test]
    async fn a_failed_part_is_told_by_the_next_call() {
        let mut flight = Flight::new(2, BTreeMap::new());
        drop(launch(&mut flight, 1).await);
        assert!(flight.land().await.is_err());
    }
}
