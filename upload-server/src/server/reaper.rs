//! Removes what nobody holds any more (PROTOCOL RESUME-8): at start and periodically.

use std::{error::Error, sync::Arc, time::Duration};

use tokio::time::{Interval, MissedTickBehavior, interval};
use upload_stores::UploadStateStore;
use upload_writers::{NamedUploads, Orphan, SweepPolicy, WriterFactory};

use super::{limits::Limits, shared::Shared};
use crate::{
    outbox::journal::Journal,
    slots::{overdue::Done, timeouts},
};

/// How much longer than its record a file under way rests before it counts as left behind.
const GRACE: Duration = Duration::from_secs(60);

/// What can be swept, each once.
#[derive(Clone, Default)]
pub(crate) struct Sweepers {
    writers: Vec<Arc<dyn WriterFactory>>,
    stores: Vec<Arc<dyn UploadStateStore>>,
    /// Whose file is made smaller.
    journal: Option<Journal>,
}

impl Sweepers {
    /// Collects the factories and stores of all slots, and the default ones.
    pub(crate) fn of(shared: &Shared, default: &Arc<dyn WriterFactory>) -> Self {
        let mut all = Self {
            writers: Vec::new(),
            stores: shared.stores(&shared.slots),
            journal: None,
        };
        all.add_writers(Arc::clone(default));
        for slot in shared.slots.values() {
            all.add_writers(Arc::clone(&slot.writers));
        }
        all
    }

    /// Adds the journal.
    pub(crate) fn add_journal(&mut self, journal: Journal) {
        self.journal = Some(journal);
    }

    /// Adds a factory, unless it is there.
    pub(crate) fn add_writers(&mut self, writers: Arc<dyn WriterFactory>) {
        if !self
            .writers
            .iter()
            .any(|known| Arc::ptr_eq(known, &writers))
        {
            self.writers.push(writers);
        }
    }

    /// Sweeps what writers left behind; what fails is logged and tried again the next time.
    pub(crate) async fn sweep_writers(&self, policy: &SweepPolicy) -> SweepReport {
        let mut swept = SweepReport::default();
        for writers in &self.writers {
            // The call itself may panic before there is a future.
            let found = timeouts::of_sweep(async { writers.sweep(policy).await }).await;
            let orphans = swept.take("a writer's storage", found);
            swept.orphans.extend(orphans.unwrap_or_default());
        }
        swept
    }

    /// Has stores and the journal free the space of what is over.
    async fn sweep_stores(&self) -> SweepReport {
        let mut swept = SweepReport::default();
        for store in &self.stores {
            let found = timeouts::of_sweep(async { store.sweep().await }).await;
            let records = swept.take("a store", found).unwrap_or_default();
            swept.records = swept.records.saturating_add(records);
        }
        if let Some(journal) = &self.journal {
            journal.shrink_soon();
        }
        swept
    }
}

/// What one sweep found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
#[cfg_attr(
    not(feature = "cli"),
    expect(unreachable_pub, reason = "the command line shows it")
)]
pub struct SweepReport {
    /// Files and parts left behind, removed unless the sweep was a dry run.
    pub orphans: Vec<Orphan>,
    /// Expired records whose space was freed; none in a dry run.
    pub records: u64,
    /// Whether a server has the embedded store open, which sweeps it by itself.
    #[cfg(feature = "cli")]
    pub is_served: bool,
    /// Storages and stores that could not be swept; the log says why.
    pub failures: u32,
}

impl SweepReport {
    /// Returns what one sweep brought; where it failed, that is logged and counted.
    fn take<T, E: Error>(
        &mut self,
        what: &'static str,
        found: Result<Result<T, E>, timeouts::NoAnswer>,
    ) -> Option<T> {
        match found {
            Ok(Ok(found)) => return Some(found),
            Ok(Err(error)) => {
                tracing::warn!(what, error = crate::text::chain(&error), "could not sweep");
            }
            Err(why) => tracing::error!(what, why, "a sweep was abandoned"),
        }
        self.failures = self.failures.saturating_add(1);
        None
    }
}

/// Returns what may be removed under these limits, and nothing that records name.
pub(crate) fn policy(limits: &Limits, named: NamedUploads, dry_run: bool) -> SweepPolicy {
    let idle = limits.session.idle_upload.max(limits.parked_for);
    SweepPolicy {
        // A record was last saved when its upload was let go, which may be that much later than
        // its last byte.
        resumable_older_than: limits
            .session
            .record_ttl
            .saturating_add(idle)
            .saturating_add(GRACE),
        others_older_than: idle.saturating_add(GRACE),
        named,
        dry_run,
    }
}

/// Does what time makes due, sweeps, and releases parked writers whose time is over, until the server drains;
/// none waits for another, which storage may hold up.
pub(crate) async fn run(shared: Arc<Shared>, sweepers: Sweepers) {
    let work = async {
        tokio::join!(
            look_at_times(&shared, &sweepers),
            sweep_at_times(&shared, &sweepers),
            release_at_times(&shared)
        )
    };
    tokio::select! {
        _ = work => {}
        () = shared.draining.cancelled() => {}
    }
    shared.unclaimed.forget_reruns();
}

async fn release_at_times(shared: &Shared) {
    let mut ticks = every(eighth(shared.limits.parked_for));
    loop {
        ticks.tick().await;
        shared.registry.release_overdue();
    }
}

async fn look_at_times(shared: &Shared, sweepers: &Sweepers) {
    let mut ticks = every(shared.limits.sweep_interval);
    loop {
        ticks.tick().await;
        let done = shared.unclaimed.do_what_is_due().await;
        if done != Done::default() {
            let (untaken, expired) = (done.untaken, done.expired);
            tracing::info!(
                untaken,
                expired,
                "removed uploads that were not taken, or not finished, in time"
            );
        }
        // Stores drop what expired after the look, since only the records name the files.
        let records = sweepers.sweep_stores().await.records;
        if records > 0 {
            tracing::info!(records, "removed records that expired");
        }
    }
}

async fn sweep_at_times(shared: &Shared, sweepers: &Sweepers) {
    let mut ticks = every(shared.limits.sweep_interval);
    loop {
        ticks.tick().await;
        let named = shared.unclaimed.named().await;
        let policy = policy(&shared.limits, named, false);
        let swept = sweepers.sweep_writers(&policy).await;
        if !swept.orphans.is_empty() {
            let bytes = swept.orphans.iter().map(|orphan| orphan.bytes);
            let bytes = bytes.fold(0, u64::saturating_add);
            tracing::info!(
                orphans = swept.orphans.len(),
                bytes,
                "removed what no upload holds"
            );
        }
    }
}

fn every(period: Duration) -> Interval {
    let mut ticks = interval(period.max(Duration::from_secs(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Returns an eighth of a time.
fn eighth(time: Duration) -> Duration {
    time.checked_div(8).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        sync::atomic::{AtomicU32, Ordering},
    };

    use async_trait::async_trait;
    use serde_json::Value;
    use upload_writers::{
        BoxWriter, Checkpoint, DiscardWriterFactory, Reopened, UploadFacts, WriteError,
        WriterTraits,
    };

    use super::*;

    /// Storage whose sweep does one of the things a sweep should not.
    #[derive(Clone, Copy)]
    enum Bad {
        Hangs,
        Panics,
    }

    #[async_trait]
    impl WriterFactory for Bad {
        async fn create(&self, facts: &UploadFacts) -> Result<BoxWriter, WriteError> {
            DiscardWriterFactory.create(facts).await
        }

        async fn reopen(
            &self,
            facts: &UploadFacts,
            checkpoint: &Checkpoint,
            offset: u64,
        ) -> Result<Reopened, WriteError> {
            DiscardWriterFactory.reopen(facts, checkpoint, offset).await
        }

        fn traits(&self) -> WriterTraits {
            DiscardWriterFactory.traits()
        }

        async fn delete(&self, _: &UploadFacts, _: &Value) -> Result<(), WriteError> {
            Ok(())
        }

        async fn sweep(&self, _: &SweepPolicy) -> Result<Vec<Orphan>, WriteError> {
            match self {
                Self::Hangs => pending().await,
                Self::Panics => panic!("a bug of the storage"),
            }
        }
    }

    #[derive(Clone, Default)]
    struct Counted(Arc<AtomicU32>);

    #[async_trait]
    impl WriterFactory for Counted {
        async fn create(&self, facts: &UploadFacts) -> Result<BoxWriter, WriteError> {
            DiscardWriterFactory.create(facts).await
        }

        async fn reopen(
            &self,
            facts: &UploadFacts,
            checkpoint: &Checkpoint,
            offset: u64,
        ) -> Result<Reopened, WriteError> {
            DiscardWriterFactory.reopen(facts, checkpoint, offset).await
        }

        fn traits(&self) -> WriterTraits {
            DiscardWriterFactory.traits()
        }

        async fn delete(&self, _: &UploadFacts, _: &Value) -> Result<(), WriteError> {
            Ok(())
        }

        async fn sweep(&self, _: &SweepPolicy) -> Result<Vec<Orphan>, WriteError> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(Vec::new())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn storage_that_hangs_or_panics_keeps_no_other_from_being_swept() {
        let counted = Counted::default();
        let mut sweepers = Sweepers::default();
        sweepers.add_writers(Arc::new(Bad::Hangs));
        sweepers.add_writers(Arc::new(Bad::Panics));
        sweepers.add_writers(Arc::new(counted.clone()));
        for sweeps in 1..=3 {
            let policy = policy(&Limits::default(), NamedUploads::default(), false);
            let swept = sweepers.sweep_writers(&policy).await;
            assert_eq!(swept.failures, 2);
            assert_eq!(counted.0.load(Ordering::SeqCst), sweeps);
        }
    }
}
