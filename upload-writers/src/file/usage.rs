//! How much room files under way take, and how much they may.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
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
/// The directory is looked at before the first write, then once a second at most, and only while there may be too
/// much. In between, what is written is added, and what is finished or removed is taken away.
#[derive(Debug)]
pub(super) struct Usage {
    most: Option<u64>,
    /// What the last look found, and what changed since.
    bytes: AtomicU64,
    /// Until then nothing is known of what earlier processes left.
    has_looked: AtomicBool,
    looked_at: Mutex<Option<Instant>>,
}

impl Usage {
    pub(super) fn new(most: Option<u64>) -> Self {
        Self {
            most,
            bytes: AtomicU64::new(0),
            has_looked: AtomicBool::new(false),
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
        let fits = self.has_looked.load(Ordering::Acquire)
            && self.bytes.load(Ordering::Relaxed).saturating_add(bytes) <= most;
        if fits {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        fits
    }

    /// Adds what is about to be written, for a writer that asked at `asked`; it waits for the disk.
    ///
    /// What others finished or removed shows in a later look only, so none of before `asked` refuses a write: the
    /// next one is waited for, a second at most.
    ///
    /// # Errors
    ///
    /// Files under way would take more room than they may.
    pub(super) fn grow(
        &self,
        bytes: u64,
        asked: Instant,
        temp_dir: &Path,
    ) -> Result<(), WriteError> {
        let Some(most) = self.most else {
            return Ok(());
        };
        if self.try_grow(bytes) {
            return Ok(());
        }
        self.look(temp_dir)?;
        if self.try_grow(bytes) {
            return Ok(());
        }
        if let Some(pause) = self.until_due(asked) {
            thread::sleep(pause);
            self.look(temp_dir)?;
            if self.try_grow(bytes) {
                return Ok(());
            }
        }
        Err(full(most))
    }

    /// Takes away what a file had that was finished or removed.
    pub(super) fn shrink(&self, bytes: u64) {
        if self.is_bounded() {
            let (done, seen) = (Ordering::Relaxed, Ordering::Relaxed);
            let less = |taken: u64| Some(taken.saturating_sub(bytes));
            let _ = self.bytes.fetch_update(done, seen, less);
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
            self.has_looked.store(true, Ordering::Release);
            *looked_at = Some(Instant::now());
        }
        Ok(self.bytes.load(Ordering::Relaxed))
    }

    /// Returns how long it is until the next look is due, where the last one was before `asked`.
    fn until_due(&self, asked: Instant) -> Option<Duration> {
        let looked_at = (*self.looked_at()).filter(|at| *at < asked)?;
        Some(LOOK_AFTER.saturating_sub(looked_at.elapsed()))
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
    use std::{collections::VecDeque, sync::Arc};

    use bytes::Bytes;
    use tempfile::TempDir;

    use super::*;
    use crate::{
        file::{FileWriterConfig, FileWriterFactory},
        writer::{BoxWriter, Reopened, UploadFacts, WriterFactory, Written},
    };

    const MIB: u64 = 1 << 20;

    /// A factory whose unfinished files may take 1 MiB together.
    fn factory() -> (TempDir, FileWriterFactory) {
        let dir = tempfile::tempdir().expect("a directory");
        let factory = bounded(&dir);
        (dir, factory)
    }

    fn bounded(dir: &TempDir) -> FileWriterFactory {
        let mut config = FileWriterConfig::new(dir.path());
        config.max_unfinished_bytes = Some(MIB);
        FileWriterFactory::new(config).expect("the directories")
    }

    async fn write(writer: &mut BoxWriter, len: usize) -> Result<Written, WriteError> {
        let mut chunks = VecDeque::from([Bytes::from(vec![7; len])]);
        writer.write_chunks(&mut chunks).await
    }

    /// More than the limit may be finished or thrown away within a second.
    #[tokio::test]
    async fn what_ends_leaves_its_room_to_others() {
        let (_dir, factory) = factory();
        let facts = UploadFacts::new("upload", "slot", 300_000);
        for turn in 0..8 {
            let mut writer = factory.create(&facts).await.expect("there is room");
            write(&mut writer, 300_000).await.expect("there is room");
            match turn % 2 {
                0 => drop(writer.close().await.expect("closes")),
                _ => writer.abort(&crate::AbortReason::Cancelled).await,
            }
            let bytes = factory.shared.usage.bytes.load(Ordering::Relaxed);
            assert_eq!(bytes, 0, "{turn}");
        }
    }

    /// A look of before may not show what others removed: it refuses no write by itself.
    #[tokio::test]
    async fn an_earlier_look_refuses_no_write() {
        let (_dir, factory) = factory();
        let facts = UploadFacts::new("upload", "slot", 100);
        let mut writer = factory.create(&facts).await.expect("creates");
        // Files of others had all the room a moment ago.
        let usage = &factory.shared.usage;
        usage.bytes.store(MIB, Ordering::Relaxed);
        let written = write(&mut writer, 100).await.expect("they are gone");
        assert_eq!(written.received, 100);
    }

    /// What an earlier process left counts from the first byte, even if nothing begins.
    #[tokio::test]
    async fn nothing_is_written_before_the_first_look() {
        let dir = tempfile::tempdir().expect("a directory");
        let config = FileWriterConfig::new(dir.path());
        let before = FileWriterFactory::new(config).expect("the directories");
        let mut facts = UploadFacts::new("upload", "slot", 4 * MIB);
        facts.resumable = true;
        let mut writer = before.create(&facts).await.expect("creates");
        let written = write(&mut writer, 1 << 20).await.expect("writes");
        let checkpoint = writer.checkpoint().expect("can be resumed");
        drop(writer);

        let factory = bounded(&dir);
        facts.epoch += 1;
        let reopened = factory.reopen(&facts, &checkpoint, written.durable).await;
        let Ok(Reopened::Open(mut writer)) = reopened else {
            panic!("reopened as {reopened:?}");
        };
        let full = write(&mut writer, 100).await.expect_err("no room is left");
        assert_eq!(full.kind, WriteErrorKind::Full);
    }

    /// The directory may be large, and its disk slow: no task waits for a look at it on its thread.
    #[tokio::test]
    async fn a_look_holds_up_no_task() {
        const LOOK: Duration = Duration::from_millis(500);

        let (_dir, factory) = factory();
        let facts = UploadFacts::new("upload", "slot", 100);
        let mut writer = factory.create(&facts).await.expect("creates");
        // As much was written since the last look, and removed.
        let shared = Arc::clone(&factory.shared);
        shared.usage.bytes.store(MIB, Ordering::Relaxed);
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
