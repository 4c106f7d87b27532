//! Makes small files durable together: where many end at once, one sync of the file system answers for all.
//!
//! A file system takes hardly longer for sixty small files than for one, but each `fsync` waits for the disk by
//! itself. So where several syncs wait already, or many files end at about the same time, further small files form a
//! group: one thread has the whole file system written (`syncfs`), and then gives each file of the group its name. A
//! quick disk lets few wait, but each `fsync` costs processor time as well. What else is dirty there is written as
//! well, so a group that took long is followed by as long a time in which every file is synced by itself, and by twice
//! that after each further one: what lay there from before is written once, a large upload continues.
//!
//! The system tells a lost write once to each open file that is asked. A file's own `fsync` would tell of its bytes;
//! `syncfs` tells a process that has had a directory open since before the write. So one is kept open, each file remembers
//! which one was open when it began, and after an error another one is opened: older files are synced by themselves.

use std::{
    collections::VecDeque,
    fs::File,
    mem,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{sync::oneshot, task::spawn_blocking};

use super::{ending::Ending, place};
use crate::error::{WriteError, WriteErrorKind};

/// The largest file that is closed in a group, in bytes: others have a way to the disk of their own.
pub(super) const SMALL_BYTES: u64 = 1024 * 1024;

/// So many files that end within [`RUSH`] begin a group, however few syncs wait.
const RUSH_FILES: usize = 8;

/// See [`RUSH_FILES`].
const RUSH: Duration = Duration::from_millis(10);

/// A sync of the file system that took longer wrote more than small files.
const SYNC_MAX: Duration = Duration::from_millis(100);

/// The longest time for which no group is formed then.
const PAUSE_MAX: Duration = Duration::from_secs(4);

/// The answer to one file of a group.
type Answer = oneshot::Sender<Result<(), WriteError>>;

/// The files that wait to be closed together.
#[derive(Debug)]
pub(super) struct GroupClose {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// `None` where files are only synced by themselves.
    watch: Option<Watch>,
    waiting: Vec<(Ending, Answer)>,
    has_leader: bool,
    /// When the last files ended, at most [`RUSH_FILES`].
    ended: VecDeque<Instant>,
    /// How many took long, without a quick one since.
    slow_syncs: u32,
    paused_until: Option<Instant>,
}

/// The directory through which the system tells of writes that were lost.
#[derive(Clone, Debug)]
struct Watch {
    dir: Arc<File>,
    number: u64,
}

/// Proves which directory was open when a file began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

/// The thread that closes groups until none waits. When it is dropped early, those that wait get an error.
struct Leader {
    of: Arc<GroupClose>,
    is_done: bool,
}

impl GroupClose {
    /// Closes files below `dir` in groups, where its file system serves.
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            state: Mutex::new(State {
                watch: Watch::open(dir),
                waiting: Vec::new(),
                has_leader: false,
                ended: VecDeque::new(),
                slow_syncs: 0,
                paused_until: None,
            }),
        }
    }

    /// Returns what a file needs that is about to be made; `None` where each is synced by itself.
    pub(super) fn ticket(&self) -> Option<Ticket> {
        let state = self.state();
        Some(Ticket(state.watch.as_ref()?.number))
    }

    /// Closes a file in a group, if there is one already, many end now, or `is_crowded` says that many syncs wait.
    ///
    /// # Errors
    ///
    /// Gives the file back that has to be closed by itself.
    pub(super) fn join(
        self: &Arc<Self>,
        ticket: Option<Ticket>,
        ending: Ending,
        is_crowded: bool,
    ) -> Result<impl Future<Output = Result<(), WriteError>> + Send + use<>, Ending> {
        let mut state = self.state();
        let is_crowded = state.is_rush(Instant::now()) || is_crowded;
        let number = state.watch.as_ref().map(|watch| watch.number);
        let is_watched = ticket.is_some_and(|ticket| number == Some(ticket.0));
        if !is_watched || state.is_paused() || !(is_crowded || state.has_leader) {
            return Err(ending);
        }
        let (answer, answered) = oneshot::channel();
        state.waiting.push((ending, answer));
        if !mem::replace(&mut state.has_leader, true) {
            let leader = Leader {
                of: Arc::clone(self),
                is_done: false,
            };
            // No call waits for it: others count on it.
            drop(spawn_blocking(move || leader.run(sync)));
        }
        drop(state);
        Ok(async move {
            let failed = |error| WriteError::new(WriteErrorKind::Failed, error);
            answered.await.map_err(failed)?
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // It is whole after every step, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Notes that a file ends, and returns whether it is one of many.
    fn is_rush(&mut self, now: Instant) -> bool {
        if self.ended.len() >= RUSH_FILES {
            self.ended.pop_front();
        }
        self.ended.push_back(now);
        let first = self.ended.front();
        self.ended.len() >= RUSH_FILES
            && first.is_some_and(|first| now.saturating_duration_since(*first) <= RUSH)
    }

    fn is_paused(&mut self) -> bool {
        self.paused_until = self.paused_until.filter(|until| *until > Instant::now());
        self.paused_until.is_some()
    }
}

impl Leader {
    fn run(mut self, sync: impl Fn(&File) -> std::io::Result<()>) {
        while let Some((group, watch)) = self.take() {
            let ready: Vec<_> = group
                .into_iter()
                .filter_map(|(ending, answer)| match ending.prepare() {
                    // A writer that was dropped does not want its file to be published.
                    _ if answer.is_closed() => None,
                    Ok(()) => Some((ending, answer)),
                    Err(error) => {
                        let _ = answer.send(Err(error));
                        None
                    }
                })
                .collect();
            let begun = Instant::now();
            let synced = sync(&watch.dir).map_err(place::lost);
            self.of.state().synced(begun.elapsed());
            match synced {
                Ok(()) => {
                    for (ending, answer) in ready {
                        if !answer.is_closed() {
                            let _ = answer.send(ending.publish());
                        }
                    }
                }
                Err(error) => self.fail(ready, &error),
            }
        }
    }

    /// Takes those who wait; there is no leader any more where there are none.
    fn take(&mut self) -> Option<(Vec<(Ending, Answer)>, Watch)> {
        let mut state = self.of.state();
        let group = mem::take(&mut state.waiting);
        match &state.watch {
            Some(watch) if !group.is_empty() => Some((group, watch.clone())),
            _ => {
                state.has_leader = false;
                self.is_done = true;
                None
            }
        }
    }

    /// Fails the group, and those who came meanwhile: what was lost may be theirs.
    fn fail(&self, mut group: Vec<(Ending, Answer)>, error: &std::io::Error) {
        let mut state = self.of.state();
        group.append(&mut state.waiting);
        // Files that have begun before are synced by themselves from now on.
        state.watch = state.watch.take().and_then(Watch::renewed);
        drop(state);
        for (_, answer) in group {
            let told = std::io::Error::new(error.kind(), error.to_string());
            let _ = answer.send(Err(told.into()));
        }
    }
}

impl State {
    /// Notes how long a group's sync took; returns how long no group is formed behind it.
    fn synced(&mut self, took: Duration) -> Duration {
        if took <= SYNC_MAX {
            self.slow_syncs = 0;
            return Duration::ZERO;
        }
        let times = 2u32.saturating_pow(self.slow_syncs);
        let pause = took.saturating_mul(times).min(PAUSE_MAX);
        self.slow_syncs = self.slow_syncs.saturating_add(1);
        self.paused_until = Instant::now().checked_add(pause);
        pause
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if !self.is_done {
            let mut state = self.of.state();
            state.waiting.clear();
            state.has_leader = false;
        }
    }
}

impl Watch {
    fn open(dir: &Path) -> Option<Self> {
        let dir = File::open(dir).ok()?;
        serves(&dir).then(|| Self {
            dir: Arc::new(dir),
            number: 0,
        })
    }

    /// Opens the directory again, which has heard of no error yet.
    fn renewed(self) -> Option<Self> {
        let dir = reopened(&self.dir)?;
        Some(Self {
            dir: Arc::new(dir),
            number: self.number.checked_add(1)?,
        })
    }
}

/// Returns whether a sync of the file system is known to do what one of each file does: on ext4, with a system that
/// tells of lost writes (Linux 5.8).
#[cfg(target_os = "linux")]
fn serves(dir: &File) -> bool {
    /// The magic number of ext2, ext3 and ext4.
    const EXT: u64 = 0xEF53;

    let kind = rustix::fs::fstatfs(dir).ok().map(|facts| facts.f_type);
    let is_ext = kind.and_then(|kind| u64::try_from(kind).ok()) == Some(EXT);
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    is_ext && version(&release).is_some_and(|version| version >= (5, 8))
}

#[cfg(not(target_os = "linux"))]
fn serves(_dir: &File) -> bool {
    false
}

/// Reads `6.1.0-13-amd64`.
#[cfg(target_os = "linux")]
fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    let mut next = || parts.next()?.parse().ok();
    Some((next()?, next()?))
}

/// Has everything on the file system of `dir` written, and the disk's own cache emptied behind it: without a
/// journal, ext4 writes what it knows of files last.
#[cfg(target_os = "linux")]
fn sync(dir: &File) -> std::io::Result<()> {
    rustix::fs::syncfs(dir)?;
    dir.sync_all()
}

#[cfg(not(target_os = "linux"))]
fn sync(_dir: &File) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
fn reopened(dir: &File) -> Option<File> {
    use rustix::fs::{Mode, OFlags};

    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let again = rustix::fs::openat(dir, ".", flags, Mode::empty());
    again.ok().map(File::from)
}

#[cfg(not(target_os = "linux"))]
fn reopened(_dir: &File) -> Option<File> {
    None
}

#[cfg(test)]
mod tests;
