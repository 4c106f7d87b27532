//! Removes what nobody holds any more (PROTOCOL RESUME-8): at start and periodically.

use std::{sync::Arc, time::Duration};

use tokio::time::{Interval, MissedTickBehavior, interval};
use upload_stores::UploadStateStore;
use upload_writers::{Stray, SweepPolicy, WriterFactory};

use crate::shared::{Limits, Shared};

/// How much longer than its record a file under way rests before it counts as left behind.
const GRACE: Duration = Duration::from_secs(60);

/// What can be swept, each once.
#[derive(Clone, Default)]
pub(crate) struct Sweepers {
    writers: Vec<Arc<dyn WriterFactory>>,
    stores: Vec<Arc<dyn UploadStateStore>>,
}

impl Sweepers {
    /// Collects the factories and stores of all slots, and the default ones.
    pub(crate) fn of(shared: &Shared, default: &Arc<dyn WriterFactory>) -> Self {
        let mut all = Self {
            writers: Vec::new(),
            stores: shared.stores(),
        };
        all.add_writers(Arc::clone(default));
        for slot in shared.slots.values() {
            all.add_writers(Arc::clone(&slot.writers));
        }
        all
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

    /// Sweeps once; what fails is logged and tried again the next time.
    pub(crate) async fn sweep(&self, policy: &SweepPolicy) -> Swept {
        let mut swept = Swept::default();
        for writers in &self.writers {
            match writers.sweep(policy).await {
                Ok(strays) => swept.strays.extend(strays),
                Err(error) => {
                    swept.failures = swept.failures.saturating_add(1);
                    let source = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(%error, source, "could not sweep a writer's storage");
                }
            }
        }
        if policy.dry_run {
            return swept;
        }
        for store in &self.stores {
            match store.sweep().await {
                Ok(records) => swept.records = swept.records.saturating_add(records),
                Err(error) => {
                    swept.failures = swept.failures.saturating_add(1);
                    tracing::warn!(%error, "could not sweep a store");
                }
            }
        }
        swept
    }
}

/// What one sweep found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Swept {
    /// Files and parts left behind, removed unless the sweep was a dry run.
    pub strays: Vec<Stray>,
    /// Expired records whose space was freed; none in a dry run.
    pub records: u64,
    /// Storages and stores that could not be swept; the log says why.
    pub failures: u32,
}

/// Returns what may be removed under these limits.
pub(crate) fn policy(limits: &Limits, dry_run: bool) -> SweepPolicy {
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
        dry_run,
    }
}

/// Sweeps until the server drains.
pub(crate) async fn run(shared: Arc<Shared>, sweepers: Sweepers) {
    let policy = policy(&shared.limits, false);
    let mut sweeps = every(shared.limits.sweep_interval);
    let mut releases = every(eighth(shared.limits.parked_for));
    loop {
        tokio::select! {
            _ = sweeps.tick() => {}
            _ = releases.tick() => {
                shared.hub.release_overdue();
                continue;
            }
            () = shared.draining.cancelled() => return,
        }
        let swept = sweepers.sweep(&policy).await;
        if !swept.strays.is_empty() || swept.records > 0 {
            let bytes: u64 = swept
                .strays
                .iter()
                .map(|stray| stray.bytes)
                .fold(0, u64::saturating_add);
            tracing::info!(
                strays = swept.strays.len(),
                bytes,
                records = swept.records,
                "removed what expired"
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
