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

use super::{
    Shared, permitted,
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

/// A new file, removed when it is dropped before a writer has taken it.
pub(super) struct NewFile {
    file: File,
    remover: Remover,
}

/// Removes a file when it is dropped.
struct Remover {
    path: Option<PathBuf>,
}

impl NewFile {
    fn create(path: &Path) -> io::Result<Self> {
        let file = temp::create(path)?;
        let path = Some(path.to_owned());
        let remover = Remover { path };
        Ok(Self { file, remover })
    }

    /// Returns the file, for a writer that removes it by itself from now on.
    pub(super) fn take(self) -> File {
        let Self { file, mut remover } = self;
        remover.path = None;
        file
    }
}

impl Drop for Remover {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // If that fails, a sweep finds it.
            let _ = temp::remove(path);
        }
    }
}

/// Makes the file of a new upload, locked, with the directory that it goes to.
pub(super) async fn begin(
    shared: &Arc<Shared>,
    temp: TempName,
    place: &Place,
) -> Result<NewFile, WriteError> {
    let path = shared.temp_path(temp);
    if let Some(made) = begin_inline(shared, &path, place) {
        return made;
    }
    let (config, of_slot) = (Arc::clone(shared), place.clone());
    permitted(&shared.openings, move || {
        config.check_free()?;
        config.make_dir(&of_slot)?;
        let _naming = config.naming();
        Ok(NewFile::create(&path)?)
    })
    .await
}

/// Makes it at once, if that may be.
fn begin_inline(
    shared: &Shared,
    path: &Path,
    place: &Place,
) -> Option<Result<NewFile, WriteError>> {
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
        .and_then(|()| Ok(NewFile::create(path)?));
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
