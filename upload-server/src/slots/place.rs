//! Where the file of an upload is, and who may move it.
//!
//! A move is noted in the upload's record before it begins, so the file is always where it was stored or at a
//! noted target, whatever dies. One move of an upload runs at a time, also one that its caller dropped. A file
//! that an attempt moved to one target and the next one names another for moves on: it is never copied.

use std::{
    fmt,
    fs::{self, File},
    io::{self, ErrorKind, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Semaphore, mpsc, watch};

use super::{
    lent::{Ask, ask},
    persist::{Drafts, Existing, move_file, sync_moved},
    waiting::TakeError,
};

/// How many targets an entry remembers at most.
const TARGETS_MAX: usize = 8;
/// How much of a file is read at once where its checksum is compared.
const READ_BYTES: usize = 64 * 1024;

/// Who has an upload, and so may move its file.
pub(super) enum Hold {
    /// The application, for good.
    Application,
    /// No one: it waits to be lent.
    Waiting,
    /// A handler, until the loan ends.
    Handler(Loaned),
}

/// Reaches the task that keeps a loan.
pub(super) struct Loaned {
    pub(super) asks: mpsc::WeakSender<Ask>,
    /// Whether the upload was taken, once the loan is over.
    pub(super) is_taken: watch::Receiver<Option<bool>>,
    pub(super) attempt: u32,
}

/// Keeps an upload lent.
struct Kept(#[expect(dead_code, reason = "it is only kept")] mpsc::Sender<Ask>);

/// What is stored, and what it has to be.
pub(super) struct Stored {
    pub(super) path: PathBuf,
    pub(super) size: u64,
    pub(super) crc32c: Option<u32>,
}

/// Where the file of an upload is; copies of its entry share it.
pub(super) struct Place {
    hold: Hold,
    /// Where moves may have left the file, the oldest first.
    targets: Mutex<Vec<PathBuf>>,
    /// One move at a time.
    turn: Arc<Semaphore>,
}

impl Place {
    pub(super) fn new(hold: Hold, targets: Vec<PathBuf>) -> Arc<Self> {
        Arc::new(Self {
            hold,
            targets: Mutex::new(targets),
            turn: Arc::new(Semaphore::new(1)),
        })
    }

    /// Returns the target at which the file is, if it is not where it was stored.
    pub(super) fn moved_to(&self, stored: &Stored) -> Option<PathBuf> {
        if stored.path.exists() {
            return None;
        }
        let targets = self.targets();
        let there = || targets.iter().rev().filter(|target| target.exists());
        // Another file may have taken the place of one that was moved.
        let whole = there().find(|target| {
            fs::metadata(target).is_ok_and(|it| it.is_file() && it.len() == stored.size)
        });
        whole.or_else(|| there().next()).cloned()
    }

    /// Waits until a move is over that its caller dropped.
    pub(super) async fn moves_end(&self) {
        drop(self.turn.acquire().await);
    }

    /// Moves the file to `target`, unless it is there.
    pub(super) async fn move_to(
        &self,
        stored: Stored,
        target: PathBuf,
        existing: Existing,
    ) -> io::Result<()> {
        let turn = Arc::clone(&self.turn).acquire_owned().await;
        let turn = turn.map_err(io::Error::other)?;
        let found_at = self.moved_to(&stored);
        let was_noted = self.targets().contains(&target);
        let kept = self.note(&target, found_at.as_deref()).await?;
        self.remember(&target, found_at.as_ref());
        let existing = match existing {
            // An earlier attempt died between the new name and the removal of the old one.
            Existing::Keep if was_noted => Existing::KeepUnlessSame,
            other => other,
        };
        let drafts = Drafts::of(&stored.path, self.attempt());
        let (to, noted) = (target.clone(), self.targets().clone());
        let moving = move || {
            noted.iter().for_each(|target| drafts.clear_near(target));
            let moved = match found_at {
                // An earlier call may have failed between the move and its sync.
                Some(from) if from == to => sync_moved(&to, &stored.path, &noted),
                Some(from) if is_another(&from, &stored)? => Err(replaced(&from)),
                Some(from) => move_file(&from, &to, existing, &drafts),
                None => move_file(&stored.path, &to, existing, &drafts),
            };
            if moved.is_ok() {
                noted.iter().for_each(|target| drafts.clear_at(target, &to));
            }
            drop((kept, turn));
            moved
        };
        let moved = tokio::task::spawn_blocking(moving).await;
        let moved = moved.map_err(io::Error::other)?;
        let is_taken_place = |error: &io::Error| error.kind() == ErrorKind::AlreadyExists;
        if !was_noted && moved.as_ref().is_err_and(is_taken_place) {
            self.forget(&target).await;
        }
        moved
    }

    /// Notes where the file goes in the record of an upload that is lent; the upload stays lent until the move
    /// is over.
    async fn note(&self, target: &Path, found_at: Option<&Path>) -> io::Result<Option<Kept>> {
        let loan = match &self.hold {
            Hold::Application => return Ok(None),
            Hold::Waiting => {
                let text = "the upload waits to be taken: lend it before its file is moved";
                return Err(io::Error::new(ErrorKind::PermissionDenied, text));
            }
            Hold::Handler(loan) => loan,
        };
        let text = target.to_str().ok_or_else(|| {
            io::Error::new(ErrorKind::InvalidInput, "the target's name is not UTF-8")
        })?;
        let Some(asks) = loan.asks.upgrade() else {
            // What was given back waits for another handler, which would not find its file.
            let mut ended = loan.is_taken.clone();
            let ended = ended.wait_for(Option::is_some).await;
            return match ended.is_ok_and(|taken| *taken == Some(true)) {
                true => Ok(None),
                false => Err(io::Error::other(TakeError::Lost)),
            };
        };
        let found_at = found_at.and_then(Path::to_str).map(str::to_owned);
        let aimed = ask(&asks, |answer| Ask::Aim(text.to_owned(), found_at, answer));
        aimed.await.map_err(io::Error::other)?;
        Ok(Some(Kept(asks)))
    }

    /// Forgets a target at which another file is. If the record is not written, the next attempt takes a file with
    /// the same bytes there for its own.
    async fn forget(&self, target: &Path) {
        self.targets().retain(|it| it != target);
        if let Hold::Handler(loan) = &self.hold
            && let (Some(asks), Some(text)) = (loan.asks.upgrade(), target.to_str())
        {
            let _ = ask(&asks, |answer| Ask::Forget(text.to_owned(), answer)).await;
        }
    }

    fn remember(&self, target: &Path, found_at: Option<&PathBuf>) {
        let mut targets = self.targets();
        targets.retain(|it| it != target);
        if targets.len() >= TARGETS_MAX {
            let oldest = targets.iter().position(|it| Some(it) != found_at);
            targets.remove(oldest.unwrap_or(0));
        }
        targets.push(target.to_owned());
    }

    fn attempt(&self) -> u32 {
        match &self.hold {
            Hold::Application | Hold::Waiting => 0,
            Hold::Handler(loan) => loan.attempt,
        }
    }

    /// Whole after every step, so a panic elsewhere does not spoil it.
    fn targets(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place")
            .field("targets", &self.targets())
            .finish_non_exhaustive()
    }
}

/// Returns whether a file at a target is not the one that was moved there: one more upload took its place.
fn is_another(path: &Path, stored: &Stored) -> io::Result<bool> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() != stored.size {
        return Ok(true);
    }
    let Some(wanted) = stored.crc32c else {
        return Ok(false);
    };
    let (mut sum, mut buffer) = (0, vec![0; READ_BYTES]);
    loop {
        let length = file.read(&mut buffer)?;
        match buffer.get(..length) {
            None | Some([]) => return Ok(sum != wanted),
            Some(read) => sum = crc32c::crc32c_append(sum, read),
        }
    }
}

fn replaced(path: &Path) -> io::Error {
    let text = format!(
        "the file was moved to {}, where there is another one now",
        path.display()
    );
    io::Error::new(ErrorKind::NotFound, text)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::{runtime, task::spawn_blocking};

    use super::*;
    use crate::slots::persist::tests::SYNCED;

    #[tokio::test]
    async fn one_move_of_an_upload_runs_at_a_time() {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, target) = (dir.path().join("stored"), dir.path().join("target"));
        fs::write(&path, b"bytes").expect("written");
        let place = Place::new(Hold::Application, Vec::new());
        let running = Arc::clone(&place.turn).acquire_owned().await;
        let stored = Stored {
            path,
            size: 5,
            crc32c: None,
        };
        let mut second = Box::pin(place.move_to(stored, target.clone(), Existing::Keep));
        assert!(second.as_mut().now_or_never().is_none(), "it waits");
        assert!(place.moves_end().now_or_never().is_none(), "it is not over");
        drop(running);
        second.await.expect("moved");
        assert!(place.moves_end().now_or_never().is_some());
        assert_eq!(fs::read(target).expect("there"), b"bytes");
    }

    /// What a call leaves that died, or failed, between the new name and its sync: the record would say that the
    /// application has the file.
    #[test]
    fn a_move_that_is_found_done_is_synced() {
        let dir = tempfile::tempdir().expect("a directory");
        let folders = ["old", "first", "new"].map(|name| dir.path().join(name));
        for folder in &folders {
            fs::create_dir(folder).expect("made");
        }
        let [path, first, target] = folders.each_ref().map(|folder| folder.join("file"));
        fs::write(&target, b"bytes").expect("moved");
        let place = Place::new(Hold::Application, vec![first, target.clone()]);
        let stored = Stored {
            path,
            size: 5,
            crc32c: None,
        };
        // Syncs are noted by thread: there is one for what blocks.
        let mut runtime = runtime::Builder::new_current_thread();
        let runtime = runtime.max_blocking_threads(1).build().expect("a runtime");
        let synced = runtime.block_on(async {
            let synced = || spawn_blocking(|| SYNCED.take());
            synced().await.expect("no panic");
            let moved = place.move_to(stored, target, Existing::Keep).await;
            moved.expect("it is there");
            synced().await.expect("no panic")
        });
        for folder in folders {
            assert!(synced.contains(&folder), "{}", folder.display());
        }
    }
}
