//! Makes names durable together: one sync of a directory answers for all that were renamed before it began.
//!
//! Nobody waits for company. The first who asks has the directory synced at once, and those who ask meanwhile
//! share the next sync, which begins when that one ends.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    task::spawn_blocking,
};

use super::place;
use crate::error::{WriteError, WriteErrorKind};

/// What a sync answers to everybody who shares it.
type Answer = Result<(), Arc<io::Error>>;

/// The directories that are being synced, and who waits for the next sync of each.
#[derive(Debug)]
pub(super) struct GroupSyncs {
    waiting: Mutex<BTreeMap<PathBuf, Vec<oneshot::Sender<Answer>>>>,
    /// How many directories are synced at once.
    permits: Arc<Semaphore>,
}

/// The one that syncs a directory for all, until nobody waits.
///
/// When it is dropped early, those that wait get an error.
struct Leader {
    syncs: Arc<GroupSyncs>,
    dir: PathBuf,
    is_done: bool,
}

impl GroupSyncs {
    /// Syncs at most so many directories at once.
    pub(super) fn new(permits: Arc<Semaphore>) -> Self {
        Self {
            waiting: Mutex::default(),
            permits,
        }
    }

    /// Asks for a sync of the directory that begins after this call; the answer is to be waited for.
    ///
    /// # Errors
    ///
    /// That sync failed, or the last one did while this one waited for its end: the system says only once that
    /// it lost a name, and the next sync would find all well.
    pub(super) fn begin(
        self: &Arc<Self>,
        dir: &Path,
    ) -> impl Future<Output = Result<(), WriteError>> + Send + use<> {
        let (answer, answered) = oneshot::channel();
        if let Some(leader) = self.join(dir, answer) {
            self.start(leader);
        }
        async move {
            match answered.await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(WriteError::new(WriteErrorKind::of_io(&error), error)),
                Err(error) => Err(WriteError::new(WriteErrorKind::Failed, error)),
            }
        }
    }

    /// Starts a leader on a blocking thread, which no call waits for: others count on it.
    fn start(&self, leader: Leader) {
        let lead = move |permit: OwnedSemaphorePermit| {
            leader.run(place::sync_dir);
            drop(permit);
        };
        match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => drop(spawn_blocking(move || lead(permit))),
            Err(_) => {
                let permits = Arc::clone(&self.permits);
                tokio::spawn(async move {
                    if let Ok(permit) = permits.acquire_owned().await {
                        drop(spawn_blocking(move || lead(permit)));
                    }
                });
            }
        }
    }

    /// Waits for the next sync of a directory; returns its leader if there is none yet.
    fn join(self: &Arc<Self>, dir: &Path, answer: oneshot::Sender<Answer>) -> Option<Leader> {
        let mut waiting = self.waiting();
        if let Some(others) = waiting.get_mut(dir) {
            others.push(answer);
            return None;
        }
        waiting.insert(dir.to_owned(), vec![answer]);
        Some(Leader {
            syncs: Arc::clone(self),
            dir: dir.to_owned(),
            is_done: false,
        })
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Vec<oneshot::Sender<Answer>>>> {
        // A map is whole after every step, so a panic elsewhere does not spoil it.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leader {
    fn run(mut self, sync: impl Fn(&Path) -> io::Result<()>) {
        loop {
            let mut group = self.take();
            if group.is_empty() {
                return;
            }
            let answer = sync(&self.dir).map_err(Arc::new);
            if answer.is_err() {
                // Those who came meanwhile may have been renamed before it began.
                let mut waiting = self.syncs.waiting();
                let came = waiting.get_mut(&self.dir);
                group.extend(came.into_iter().flat_map(|came| came.drain(..)));
            }
            for waiting in group {
                // A writer that was dropped waits for no answer.
                let _ = waiting.send(answer.clone());
            }
        }
    }

    /// Takes those who wait; the next who comes is the leader where there are none.
    fn take(&mut self) -> Vec<oneshot::Sender<Answer>> {
        let mut waiting = self.syncs.waiting();
        let group = waiting.get_mut(&self.dir).map(std::mem::take);
        let group = group.unwrap_or_default();
        if group.is_empty() {
            waiting.remove(&self.dir);
            self.is_done = true;
        }
        group
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if !self.is_done {
            self.syncs.waiting().remove(&self.dir);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    type Answered = oneshot::Receiver<Answer>;

    fn syncs() -> Arc<GroupSyncs> {
        Arc::new(GroupSyncs::new(Arc::new(Semaphore::new(1))))
    }

    fn join(syncs: &Arc<GroupSyncs>) -> (Option<Leader>, Answered) {
        let (answer, answered) = oneshot::channel();
        (syncs.join(Path::new("a"), answer), answered)
    }

    /// COMPLETE-3: a sync that runs already does not answer for a name that came after it began.
    #[test]
    fn a_sync_answers_for_those_who_came_before_it_began() {
        let syncs = syncs();
        let (leader, mut first) = join(&syncs);
        let (count, late) = (Cell::new(0), Cell::new(Vec::new()));
        leader.expect("there is none yet").run(|_| {
            count.set(count.get() + 1);
            if count.get() == 1 {
                let joined = [join(&syncs), join(&syncs)];
                late.set(
                    joined
                        .map(|(leader, answered)| {
                            assert!(leader.is_none(), "one leads already");
                            answered
                        })
                        .into(),
                );
            } else {
                let mut others = late.take();
                let told = others.iter_mut().all(|other| other.try_recv().is_err());
                assert!(told, "no sync of theirs has ended");
                late.set(others);
            }
            Ok(())
        });
        assert!(first.try_recv().expect("is answered").is_ok());
        for mut other in late.take() {
            assert!(other.try_recv().expect("is answered").is_ok());
        }
        assert_eq!(count.get(), 2, "the late ones share one sync");
        assert!(syncs.waiting().is_empty());
        assert!(join(&syncs).0.is_some(), "the next one leads");
    }

    /// COMPLETE-3: no sync that failed is followed by one that says that all is well.
    #[test]
    fn a_failed_sync_fails_those_who_came_meanwhile() {
        let syncs = syncs();
        let (leader, mut first) = join(&syncs);
        let late = Cell::new(None);
        leader.expect("there is none yet").run(|_| {
            late.set(Some(join(&syncs).1));
            Err(io::ErrorKind::StorageFull.into())
        });
        let mut late = late.take().expect("came meanwhile");
        for answered in [&mut first, &mut late] {
            let answer = answered.try_recv().expect("is answered");
            assert_eq!(
                answer.expect_err("failed").kind(),
                io::ErrorKind::StorageFull
            );
        }
        assert!(syncs.waiting().is_empty());
    }

    /// The leader may be dropped with its runtime; the others do not wait for ever.
    #[test]
    fn nobody_waits_for_a_leader_that_is_gone() {
        let syncs = syncs();
        let (leader, mut first) = join(&syncs);
        let (_, mut second) = join(&syncs);
        drop(leader);
        for answered in [&mut first, &mut second] {
            let gone = answered.try_recv().expect_err("nobody answers");
            assert_eq!(gone, oneshot::error::TryRecvError::Closed);
        }
        assert!(join(&syncs).0.is_some(), "the next one leads");
    }

    #[tokio::test]
    async fn a_directory_that_is_gone_is_an_error() {
        let dir = tempfile::tempdir().expect("temp dir");
        let syncs = syncs();
        syncs.begin(dir.path()).await.expect("syncs");
        let error = syncs.begin(&dir.path().join("gone")).await;
        assert_eq!(
            error.expect_err("is not there").kind,
            WriteErrorKind::Failed
        );
    }
}
