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

    /// Adds what is about to be written, where that fits by what the last look found; it does not wait for the disk.
    pub(super) fn try_grow(&self, bytes: u64) -> bool {
        let Some(most) = self.most else {
            return true;
        };
        let fits = self.bytes.load(Ordering::Relaxed).saturating_add(bytes) <= most;
        if fits {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        fits
    }

    /// Adds what is about to be written; it waits for the disk.
    ///
    /// # Errors
    ///
    /// Files under way would take more room than they may.
    pub(super) fn grow(&self, bytes: u64, temp_dir: &Path) -> Result<(), WriteError> {
        if self.try_grow(bytes) {
            return Ok(());
        }
        self.look(temp_dir)?;
        match (self.try_grow(bytes), self.most) {
            (false, Some(most)) => Err(full(most)),
            (true, _) | (_, None) => Ok(()),
        }
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

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, sync::Arc, thread};

    use bytes::Bytes;

    use super::*;
    use crate::{
        file::{FileWriterConfig, FileWriterFactory},
        writer::{UploadFacts, WriterFactory},
    };

    /// The directory may be large, and its disk slow: no task waits for a look at it on its thread.
    #[tokio::test]
    async fn a_look_holds_up_no_task() {
        const LOOK: Duration = Duration::from_millis(500);

        let dir = tempfile::tempdir().expect("a directory");
        let mut config = FileWriterConfig::new(dir.path());
        config.max_unfinished_bytes = Some(1 << 20);
        let factory = FileWriterFactory::new(config).expect("the directories");
        let facts = UploadFacts::new("upload", "slot", 100);
        let mut writer = factory.create(&facts).await.expect("creates");
        // As much was written since the last look, and removed.
        let shared = Arc::clone(&factory.shared);
        shared.usage.bytes.store(1 << 20, Ordering::Relaxed);
        *shared.usage.looked_at() = None;
        let (begin, begun) = std::sync::mpsc::channel();
        let look = thread::spawn(move || {
            let looked_at = shared.usage.looked_at();
            begin.send(()).expect("it is waited for");
            thread::sleep(LOOK);
            drop(looked_at);
        });
        begun.recv().expect("it began");
        let began = Instant::now();
        let mut chunks = VecDeque::from([Bytes::from_static(&[7; 100])]);
        let other = async {
            tokio::task::yield_now().await;
            began.elapsed()
        };
        let (written, other) = tokio::join!(writer.write_chunks(&mut chunks), other);
        assert_eq!(written.expect("it fits").received, 100);
        assert!(other < LOOK / 2, "{other:?}");
        look.join().expect("it ends");
    }
}
