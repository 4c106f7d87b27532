//! A store that fails on command, for testing what is above a store.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::Semaphore;

use crate::count::Counts;
use crate::error::{PutError, StoreError, StoreErrorKind};
use crate::key::UploadKey;
use crate::list::{Cursor, Page};
use crate::store::{Expect, Put, UploadStateStore, Version, Versioned};

/// Which calls a fault waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultOn {
    /// Whatever comes next.
    Any,
    /// The next get.
    Get,
    /// The next put.
    Put,
    /// The next delete.
    Delete,
    /// The next list.
    List,
    /// The next count.
    Count,
    /// The next sweep.
    Sweep,
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: the call goes through.
    Pass,
    /// It fails with this kind and changes nothing.
    FailBefore(StoreErrorKind),
    /// It takes effect, but the caller receives this error. A call that would have been refused
    /// as a conflict fails too.
    FailAfter(StoreErrorKind),
    /// It waits for [`FaultyStore::release`] before it takes effect.
    StallBefore,
    /// It takes effect, and waits for [`FaultyStore::release`] before it answers.
    StallAfter,
}

/// Passes calls on to another store, but for those the script spoils.
///
/// With an empty script it behaves exactly as the store inside.
pub struct FaultyStore {
    inner: Arc<dyn UploadStateStore>,
    script: Mutex<VecDeque<(FaultOn, Fault)>>,
    down: AtomicBool,
    stalled: Semaphore,
}

impl FaultyStore {
    /// Wraps `inner`, with an empty script.
    pub fn new(inner: Arc<dyn UploadStateStore>) -> Self {
        Self {
            inner,
            script: Mutex::default(),
            down: AtomicBool::new(false),
            stalled: Semaphore::new(0),
        }
    }

    /// Appends a fault to the script.
    ///
    /// Only the first fault of the script is looked at; calls it does not wait for go through.
    pub fn push(&self, on: FaultOn, fault: Fault) {
        self.script
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back((on, fault));
    }

    /// Makes every call fail as unavailable, before its effect, until this is called with `false`.
    ///
    /// The script does not advance meanwhile.
    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    /// Lets one stalled call continue, or the next one that stalls.
    pub fn release(&self) {
        self.stalled.add_permits(1);
    }

    /// Returns how many faults have not happened yet.
    pub fn pending(&self) -> usize {
        self.script
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Takes the next fault if it waits for this call, and lets it work before the effect.
    async fn before(&self, on: FaultOn) -> Result<Fault, StoreError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(injected(StoreErrorKind::Unavailable));
        }
        let fault = {
            let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
            script
                .pop_front_if(|(waits_for, _)| *waits_for == FaultOn::Any || *waits_for == on)
                .map_or(Fault::Pass, |(_, fault)| fault)
        };
        match fault {
            Fault::FailBefore(kind) => return Err(injected(kind)),
            Fault::StallBefore => self.stall().await,
            Fault::Pass | Fault::FailAfter(_) | Fault::StallAfter => {}
        }
        Ok(fault)
    }

    /// Lets the fault work after the effect.
    async fn after(&self, fault: Fault) -> Result<(), StoreError> {
        match fault {
            Fault::FailAfter(kind) => Err(injected(kind)),
            Fault::StallAfter => {
                self.stall().await;
                Ok(())
            }
            Fault::Pass | Fault::FailBefore(_) | Fault::StallBefore => Ok(()),
        }
    }

    async fn stall(&self) {
        self.stalled
            .acquire()
            .await
            .expect("the semaphore is never closed")
            .forget();
    }
}

#[async_trait]
impl UploadStateStore for FaultyStore {
    async fn get(&self, key: &UploadKey) -> Result<Option<Versioned>, StoreError> {
        let fault = self.before(FaultOn::Get).await?;
        let answer = self.inner.get(key).await;
        self.after(fault).await?;
        answer
    }

    async fn put_with(&self, key: &UploadKey, put: Put<'_>) -> Result<Version, PutError> {
        let fault = self.before(FaultOn::Put).await?;
        let answer = self.inner.put_with(key, put).await;
        self.after(fault).await?;
        answer
    }

    async fn delete(&self, key: &UploadKey, expect: Expect) -> Result<(), PutError> {
        let fault = self.before(FaultOn::Delete).await?;
        let answer = self.inner.delete(key, expect).await;
        self.after(fault).await?;
        answer
    }

    async fn list(
        &self,
        owner: Option<&str>,
        after: Option<&Cursor>,
        most: usize,
    ) -> Result<Page, StoreError> {
        let fault = self.before(FaultOn::List).await?;
        let answer = self.inner.list(owner, after, most).await;
        self.after(fault).await?;
        answer
    }

    async fn count(&self, owner: Option<&str>) -> Result<Counts, StoreError> {
        let fault = self.before(FaultOn::Count).await?;
        let answer = self.inner.count(owner).await;
        self.after(fault).await?;
        answer
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        let fault = self.before(FaultOn::Sweep).await?;
        let answer = self.inner.sweep().await;
        self.after(fault).await?;
        answer
    }
}

fn injected(kind: StoreErrorKind) -> StoreError {
    StoreError::new(kind, "injected by the test")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::memory::MemoryStore;

    const MINUTE: Duration = Duration::from_secs(60);

    fn store() -> (Arc<FaultyStore>, UploadKey) {
        let store = FaultyStore::new(Arc::new(MemoryStore::new()));
        let key = UploadKey::new("owner", [1; 16]).expect("a short owner");
        (Arc::new(store), key)
    }

    #[tokio::test]
    async fn failing_before_changes_nothing_and_failing_after_does() {
        let (store, key) = store();
        store.push(FaultOn::Put, Fault::FailBefore(StoreErrorKind::Unavailable));
        store.push(FaultOn::Put, Fault::FailAfter(StoreErrorKind::Failed));

        let lost = store.put(&key, b"a", Expect::Absent, MINUTE).await;
        assert!(matches!(lost, Err(PutError::Store(e)) if e.kind() == StoreErrorKind::Unavailable));
        assert_eq!(store.get(&key).await.expect("get waits for no fault"), None);

        let unsure = store.put(&key, b"b", Expect::Absent, MINUTE).await;
        assert!(matches!(unsure, Err(PutError::Store(e)) if e.kind() == StoreErrorKind::Failed));
        let found = store.get(&key).await.expect("get").expect("it took effect");
        assert_eq!(found.record, b"b");
        assert_eq!(store.pending(), 0);
    }

    #[tokio::test]
    async fn a_stalled_call_goes_on_when_released() {
        let (store, key) = store();
        store.push(FaultOn::Any, Fault::StallBefore);
        let put = tokio::spawn({
            let (store, key) = (Arc::clone(&store), key.clone());
            async move { store.put(&key, b"a", Expect::Absent, MINUTE).await }
        });
        while store.pending() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(store.get(&key).await.expect("get"), None);
        store.release();
        put.await.expect("no panic").expect("put");
        assert!(store.get(&key).await.expect("get").is_some());
    }

    #[tokio::test]
    async fn an_outage_lasts_until_it_is_lifted() {
        let (store, key) = store();
        store.set_down(true);
        assert!(store.get(&key).await.is_err());
        assert!(store.delete(&key, Expect::Absent).await.is_err());
        assert!(store.sweep().await.is_err());
        store.set_down(false);
        assert_eq!(store.get(&key).await.expect("up again"), None);
    }
}
