//! Makes names durable together: one sync of a directory answers for all that were renamed before it began.
//!
//! Nobody waits for company. The first who asks has the directory synced at once, and those who ask meanwhile
//! share the next sync, which begins when that one ends. Few directories are synced at once, and they take turns: one
//! in which files end all the time is synced again behind all others that wait.

use std::{
    collections::BTreeMap,
    fmt, io,
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

/// Makes the names in a directory durable; another one in tests.
type SyncDir = dyn Fn(&Path) -> io::Result<()> + Send + Sync;

/// The directories that are being synced, and who waits for the next sync of each.
pub(super) struct GroupSyncs {
    waiting: Mutex<BTreeMap<PathBuf, Vec<oneshot::Sender<Answer>>>>,
    /// How many directories are synced at once.
    permits: Arc<Semaphore>,
    sync: Box<SyncDir>,
}

impl fmt::Debug for GroupSyncs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupSyncs")
            .field("permits", &self.permits)
            .finish_non_exhaustive()
    }
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
            sync: Box::new(place::sync_dir),
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
        match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => drop(spawn_blocking(move || leader.lead(permit))),
            Err(_) => self.queue(leader),
        }
    }

    /// Starts a leader once it is its turn.
    fn queue(&self, leader: Leader) {
        let permits = Arc::clone(&self.permits);
        tokio::spawn(async move {
            if let Ok(permit) = permits.acquire_owned().await {
                drop(spawn_blocking(move || leader.lead(permit)));
            }
        });
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
    /// Syncs until no file waits, or until another directory waits for its turn.
    fn lead(self, permit: OwnedSemaphorePermit) {
        let syncs = Arc::clone(&self.syncs);
        let (mut leader, mut turn) = (self, permit);
        while let Some(next) = leader.round(&syncs.sync) {
            // Permits go to those who wait for one, in their order.
            drop(turn);
            match Arc::clone(&syncs.permits).try_acquire_owned() {
                Ok(permit) => (leader, turn) = (next, permit),
                Err(_) => return syncs.queue(next),
            }
        }
    }

    /// Syncs once for those who wait; returns the leader if others came meanwhile.
    fn round(mut self, sync: impl Fn(&Path) -> io::Result<()>) -> Option<Self> {
        let mut group = self.take();
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
        self.is_wanted().then_some(self)
    }

    /// Returns whether any file waits; the next who comes is the leader where none does.
    fn is_wanted(&mut self) -> bool {
        let mut waiting = self.syncs.waiting();
        let is_wanted = waiting
            .get(&self.dir)
            .is_some_and(|group| !group.is_empty());
        if !is_wanted {
            waiting.remove(&self.dir);
            self.is_done = true;
        }
        is_wanted
    }

    /// Takes those who wait.
    fn take(&mut self) -> Vec<oneshot::Sender<Answer>> {
        let mut waiting = self.syncs.waiting();
        let group = waiting.get_mut(&self.dir).map(std::mem::take);
        group.unwrap_or_default()
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
    use std::{
        cell::Cell,
        sync::atomic::{AtomicUsize, Ordering},
        thread,
        time::Duration,
    };

    use super::*;

    type Answered = oneshot::Receiver<Answer>;

    fn syncs() -> Arc<GroupSyncs> {
        Arc::new(GroupSyncs::new(Arc::new(Semaphore::new(1))))
    }

    fn run(leader: Leader, sync: impl Fn(&Path) -> io::Result<()>) {
        let mut next = Some(leader);
        while let Some(leader) = next {
            next = leader.round(&sync);
        }
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
        run(leader.expect("there is none yet"), |_| {
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
        run(leader.expect("there is none yet"), |_| {
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

    /// A directory in which files end all the time leaves others their turn.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_busy_directory_is_synced_in_turns_with_others() {
        const BUSY_MAX: usize = 20;

        let busy = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&busy);
        let syncs = Arc::new(GroupSyncs {
            sync: Box::new(move |dir| {
                if dir == Path::new("busy") {
                    counted.fetch_add(1, Ordering::SeqCst);
                }
                thread::sleep(Duration::from_millis(5));
                Ok(())
            }),
            ..GroupSyncs::new(Arc::new(Semaphore::new(1)))
        });
        let enders: Vec<_> = (0..8)
            .map(|number| {
                let (syncs, busy) = (Arc::clone(&syncs), Arc::clone(&busy));
                tokio::spawn(async move {
                    // One always comes while a sync runs.
                    tokio::time::sleep(Duration::from_millis(number)).await;
                    while busy.load(Ordering::SeqCst) < BUSY_MAX {
                        syncs.begin(Path::new("busy")).await.expect("syncs");
                        tokio::time::sleep(Duration::from_millis(number % 4)).await;
                    }
                })
            })
            .collect();
        while busy.load(Ordering::SeqCst) < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        syncs.begin(Path::new("other")).await.expect("syncs");
        let before = busy.load(Ordering::SeqCst);
        assert!(before < BUSY_MAX / 2, "{before} syncs of the busy one");
        for ender in enders {
            ender.await.expect("ends");
        }
        assert!(syncs.waiting().is_empty());
    }
}
