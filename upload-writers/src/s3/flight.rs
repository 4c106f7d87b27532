//! The parts of one upload: those on their way, and those that have arrived.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::task::JoinSet;

use super::{errors::Failure, ops::Stored};

/// The parts of one upload.
///
/// Each part on its way is a task, so that it goes on while its writer waits for chunks. Dropping
/// this stops them.
#[derive(Debug)]
pub(super) struct Flight {
    tasks: JoinSet<Result<(u32, Stored), Failure>>,
    most: usize,
    held: Arc<AtomicU64>,
    stored: BTreeMap<u32, Stored>,
    /// How many parts from the first one on have arrived without a gap, and how many bytes they have.
    settled: u32,
    durable: u64,
}

impl Flight {
    /// Begins with the parts that have arrived already.
    pub(super) fn new(most: usize, stored: BTreeMap<u32, Stored>) -> Self {
        let mut flight = Self {
            tasks: JoinSet::new(),
            most: most.max(1),
            held: Arc::default(),
            stored,
            settled: 0,
            durable: 0,
        };
        flight.settle();
        flight
    }

    /// Sends a part of `len` bytes; first waits until fewer than the most are on their way.
    pub(super) async fn launch(
        &mut self,
        number: u32,
        len: u64,
        request: impl Future<Output = Result<Stored, Failure>> + Send + 'static,
    ) -> Result<(), Failure> {
        // Counted from here on, since it is held while it waits, too.
        let held = Held::new(&self.held, len);
        self.collect()?;
        while self.tasks.len() >= self.most {
            self.next().await?;
        }
        self.tasks.spawn(async move {
            let _held = held;
            Ok((number, request.await?))
        });
        Ok(())
    }

    /// Notes a part that need not be sent.
    pub(super) fn arrived(&mut self, number: u32, stored: Stored) {
        self.stored.insert(number, stored);
        self.settle();
    }

    /// Waits until the durable bytes grow, as far as parts on their way can make them.
    pub(super) async fn advance(&mut self) -> Result<(), Failure> {
        let before = self.durable;
        self.collect()?;
        while self.durable == before && !self.tasks.is_empty() {
            self.next().await?;
        }
        Ok(())
    }

    /// Waits for all parts.
    pub(super) async fn land(&mut self) -> Result<(), Failure> {
        while !self.tasks.is_empty() {
            self.next().await?;
        }
        Ok(())
    }

    /// Stops all parts on their way, and waits until they have stopped.
    pub(super) async fn cancel(&mut self) {
        self.tasks.shutdown().await;
    }

    /// The parts that have arrived.
    pub(super) fn stored(&self) -> &BTreeMap<u32, Stored> {
        &self.stored
    }

    /// How many bytes have arrived without a gap.
    pub(super) fn durable(&self) -> u64 {
        self.durable
    }

    /// How many bytes are on their way.
    pub(super) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Takes in what arrived in the meantime, without waiting.
    fn collect(&mut self) -> Result<(), Failure> {
        while let Some(ended) = self.tasks.try_join_next() {
            let (number, stored) = ended.unwrap_or_else(|_| Err(died()))?;
            self.arrived(number, stored);
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<(), Failure> {
        if let Some(ended) = self.tasks.join_next().await {
            let (number, stored) = ended.unwrap_or_else(|_| Err(died()))?;
            self.arrived(number, stored);
        }
        Ok(())
    }

    fn settle(&mut self) {
        while let Some(next) = self.stored.get(&self.settled.saturating_add(1)) {
            self.settled = self.settled.saturating_add(1);
            self.durable = self.durable.saturating_add(next.len);
        }
    }
}

fn died() -> Failure {
    Failure::unusable("the task of a part died")
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

    fn stored(len: u64) -> Stored {
        Stored {
            etag: "e".to_owned(),
            len,
            crc32c: None,
            at: 0,
        }
    }

    async fn launch(flight: &mut Flight, number: u32) -> oneshot::Sender<Stored> {
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
        second.send(stored(10)).expect("waits");
        tokio::task::yield_now().await;
        flight.collect().expect("no failure");
        assert_eq!((flight.held(), flight.durable()), (10, 0));
        first.send(stored(10)).expect("waits");
        flight.advance().await.expect("no failure");
        assert_eq!((flight.held(), flight.durable()), (0, 20));
        flight.advance().await.expect("nothing to wait for");
    }

    #[tokio::test]
    async fn a_full_flight_waits_for_a_place() {
        let mut flight = Flight::new(1, BTreeMap::from([(1, stored(7))]));
        assert_eq!(flight.durable(), 7);
        let second = launch(&mut flight, 2).await;
        {
            let third = flight.launch(3, 10, pending());
            let mut cx = Context::from_waker(Waker::noop());
            let waited = std::pin::pin!(third).poll(&mut cx);
            assert!(waited.is_pending());
        }
        second.send(stored(10)).expect("waits");
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
