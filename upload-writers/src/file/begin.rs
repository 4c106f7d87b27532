//! The file of a new upload, made by the task that asks for it, or by another thread.
//!
//! A file is made in less time than another thread takes to begin on a busy machine.
//! Meanwhile what comes waits in memory: 4 MiB of each upload, which the kernel has to find and to clear first.
//! So its own task makes it where the file system is quick and no one else is making one.
//! Some file systems look at every file that was removed lately before they make one; then other threads do it.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::runtime::Handle;

use super::{
    Shared, in_background, permitted,
    place::Place,
    temp::{self, TempName},
};
use crate::error::WriteError;

/// How long making a file may hold up its task.
const QUICK: Duration = Duration::from_millis(5);

/// How long other threads make files behind one that took longer.
const SLOW_FOR: Duration = Duration::from_secs(1);

/// Until when files are made by other threads.
#[derive(Debug, Default)]
pub(super) struct Beginnings {
    slow_until: Mutex<Option<Instant>>,
}

impl Beginnings {
    fn may_begin(&self, now: Instant) -> bool {
        self.slow_until().is_none_or(|until| until <= now)
    }

    /// Notes a file that was made from `begun` to `ended`.
    fn end(&self, begun: Instant, ended: Instant) {
        if ended.saturating_duration_since(begun) > QUICK {
            *self.slow_until() = ended.checked_add(SLOW_FOR);
        }
    }

    fn slow_until(&self) -> MutexGuard<'_, Option<Instant>> {
        // A time is whole whatever panicked.
        self.slow_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open file that no writer has taken yet. It is closed when it is dropped, and removed if it is new.
pub(super) struct UntakenFile {
    shared: Arc<Shared>,
    left: Option<Left>,
}

struct Left {
    file: File,
    /// Where it is, if it is new.
    path: Option<PathBuf>,
}

impl UntakenFile {
    fn create(shared: &Arc<Shared>, path: PathBuf) -> io::Result<Self> {
        let file = temp::create(&path)?;
        Ok(Self::new(shared, file, Some(path)))
    }

    /// Holds a file that was there.
    pub(super) fn found(shared: &Arc<Shared>, file: File) -> Self {
        Self::new(shared, file, None)
    }

    fn new(shared: &Arc<Shared>, file: File, path: Option<PathBuf>) -> Self {
        Self {
            shared: Arc::clone(shared),
            left: Some(Left { file, path }),
        }
    }

    /// Returns the file, for one who closes it, and removes it, from now on.
    pub(super) fn take(mut self) -> io::Result<File> {
        let left = self.left.take();
        let file = left.map(|left| left.file);
        file.ok_or_else(|| io::Error::other("the file is closed"))
    }
}

impl Drop for UntakenFile {
    /// A future may be dropped while the volume does not answer, by a thread of the runtime. That one closes and
    /// removes a file in a turn only, and where no other thread is at the directory.
    fn drop(&mut self) {
        let Some(left) = self.left.take() else {
            return;
        };
        if Handle::try_current().is_ok()
            && let Some(_turn) = self.shared.pace.inline(Instant::now())
            && let Ok(naming) = self.shared.naming.try_lock()
        {
            return left.end(naming);
        }
        let shared = Arc::clone(&self.shared);
        let end = move || left.end(shared.naming());
        let _ends_by_itself = in_background(&self.shared.closings, end);
    }
}

impl Left {
    fn end(self, naming: MutexGuard<'_, ()>) {
        // If that fails, a sweep finds it.
        let _ = self.path.as_deref().map(temp::remove);
        drop(naming);
    }
}

/// Makes the file of a new upload, locked, with the directory that it goes to.
pub(super) async fn begin(
    shared: &Arc<Shared>,
    temp: TempName,
    place: &Place,
) -> Result<UntakenFile, WriteError> {
    let path = shared.temp_path(temp);
    if let Some(made) = begin_inline(shared, &path, place) {
        return made;
    }
    let (config, of_slot) = (Arc::clone(shared), place.clone());
    permitted(&shared.openings, move || {
        config.check_free()?;
        config.make_dir(&of_slot)?;
        let _naming = config.naming();
        Ok(UntakenFile::create(&config, path)?)
    })
    .await
}

/// Makes it at once, if that may be.
fn begin_inline(
    shared: &Arc<Shared>,
    path: &Path,
    place: &Place,
) -> Option<Result<UntakenFile, WriteError>> {
    let begun = Instant::now();
    let may_begin =
        shared.has_seen(place) && !shared.usage.is_bounded() && shared.beginnings.may_begin(begun);
    if !may_begin {
        return None;
    }
    let turn = shared.pace.inline(begun)?;
    let naming = shared.naming.try_lock().ok()?;
    let made = shared
        .check_free()
        .and_then(|()| Ok(UntakenFile::create(shared, path.to_owned())?));
    drop(naming);
    drop(turn);
    shared.beginnings.end(begun, Instant::now());
    Some(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_made_elsewhere_behind_one_that_took_long() {
        let beginnings = Beginnings::default();
        let begun = Instant::now();
        let quick = begun + QUICK;
        beginnings.end(begun, quick);
        assert!(beginnings.may_begin(quick));
        let slow = quick + Duration::from_micros(1);
        beginnings.end(begun, slow);
        assert!(!beginnings.may_begin(slow));
        assert!(beginnings.may_begin(slow + SLOW_FOR));
    }
}
