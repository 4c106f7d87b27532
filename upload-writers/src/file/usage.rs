//! How much room files under way take, and how much they may.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::temp::{self, TempName};
use crate::{WriteError, WriteErrorKind};

/// How long a look at the directory is good for.
const LOOK_AFTER: Duration = Duration::from_secs(1);
/// Size of the blocks in which the system counts.
const BLOCK_BYTES: u64 = 512;

/// The room that all unfinished files of a directory take, those of earlier processes included.
///
/// The directory is looked at once a second at most, and only while there may be too much; in between, what is
/// written is added.
#[derive(Debug)]
pub(super) struct Usage {
    most: Option<u64>,
    /// What the last look found, and what was written since.
    bytes: AtomicU64,
    looked_at: Mutex<Option<Instant>>,
}

impl Usage {
    pub(super) fn new(most: Option<u64>) -> Self {
        Self {
            most,
            bytes: AtomicU64::new(0),
            looked_at: Mutex::new(None),
        }
    }

    /// Returns whether there is anything to look at.
    pub(super) fn is_bounded(&self) -> bool {
        self.most.is_some()
    }

    /// Adds what is about to be written.
    ///
    /// # Errors
    ///
    /// Files under way would take more room than they may.
    pub(super) fn grow(&self, bytes: u64, temp_dir: &Path) -> Result<(), WriteError> {
        let Some(most) = self.most else {
            return Ok(());
        };
        let would_fit = |taken: u64| taken.saturating_add(bytes) <= most;
        if !would_fit(self.bytes.load(Ordering::Relaxed)) && !would_fit(self.look(temp_dir)?) {
            return Err(full(most));
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Looks whether another file may begin, and takes away what nobody can continue where there is no room.
    ///
    /// # Errors
    ///
    /// Files under way take as much room as they may.
    pub(super) fn check(&self, temp_dir: &Path) -> Result<(), WriteError> {
        let Some(most) = self.most else {
            return Ok(());
        };
        if self.look(temp_dir)? < most {
            return Ok(());
        }
        if remove_orphans(temp_dir)? > 0 {
            *self.looked_at() = None;
            if self.look(temp_dir)? < most {
                return Ok(());
            }
        }
        Err(full(most))
    }

    /// Returns the room that is taken, as of a second ago at most.
    fn look(&self, temp_dir: &Path) -> io::Result<u64> {
        let mut looked_at = self.looked_at();
        if looked_at.is_none_or(|at| at.elapsed() >= LOOK_AFTER) {
            self.bytes.store(taken(temp_dir)?, Ordering::Relaxed);
            *looked_at = Some(Instant::now());
        }
        Ok(self.bytes.load(Ordering::Relaxed))
    }

    fn looked_at(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.looked_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn full(most: u64) -> WriteError {
    let why = format!("unfinished files have the {most} bytes of `max_unfinished_bytes`");
    WriteError::new(WriteErrorKind::Full, why)
}

fn taken(temp_dir: &Path) -> io::Result<u64> {
    let mut sum = 0_u64;
    for entry in fs::read_dir(temp_dir)? {
        let entry = entry?;
        let is_ours = entry.file_name().to_str().and_then(TempName::parse);
        // One that was finished meanwhile takes nothing here.
        if is_ours.is_some()
            && let Ok(facts) = entry.metadata()
        {
            sum = sum.saturating_add(facts.blocks().saturating_mul(BLOCK_BYTES));
        }
    }
    Ok(sum)
}

/// Removes files that cannot be continued and that nobody holds; returns how many.
fn remove_orphans(temp_dir: &Path) -> io::Result<usize> {
    let mut removed = 0;
    for entry in fs::read_dir(temp_dir)? {
        let entry = entry?;
        let name = entry.file_name().to_str().and_then(TempName::parse);
        if name.is_none_or(|name| name.resumable) {
            continue;
        }
        let path = entry.path();
        if let Ok(Some(file)) = temp::open(&path)
            && matches!(temp::try_lock(&file), Ok(true))
            && matches!(temp::is_at(&file, &path), Ok(true))
            && matches!(temp::remove(&path), Ok(true))
        {
            removed += 1;
        }
    }
    Ok(removed)
}
