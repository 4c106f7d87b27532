//! Has the system begin to write a file to the disk while it still grows.
//!
//! A file is synced before it is said to be complete. What the system has written by then need not
//! be waited for.

use std::{fs::File, sync::Arc};

use tokio::{
    sync::Semaphore,
    task::{JoinHandle, spawn_blocking},
};

/// How many bytes the system is asked to write at a time. Fewer cost more processor time; a smaller
/// file is left to its sync.
const STEP_BYTES: u64 = 16 * 1024 * 1024;

/// How far one file's bytes are on their way to the disk.
#[derive(Debug, Default)]
pub(super) struct WriteBack {
    /// Offset up to which the system was asked.
    asked: u64,
    /// The last time; it may wait for the disk, so the next one waits for it.
    asking: Option<JoinHandle<()>>,
}

impl WriteBack {
    /// Goes on behind bytes that were there before.
    pub(super) fn behind(offset: u64) -> Self {
        Self {
            asked: offset,
            asking: None,
        }
    }

    /// Asks for what was received since it last asked, up to two steps of it, if that is enough and a permit is free.
    ///
    /// The threads that wait for the disk are needed for more than this.
    /// Nothing waits for the answer: what it fails to begin, the sync does.
    pub(super) fn grow(&mut self, file: &Arc<File>, received: u64, permits: &Arc<Semaphore>) {
        let from = self.asked;
        let bytes = received.saturating_sub(from).min(2 * STEP_BYTES);
        let is_asking = self.asking.as_ref().is_some_and(|call| !call.is_finished());
        if bytes < STEP_BYTES || is_asking {
            return;
        }
        let Ok(permit) = Arc::clone(permits).try_acquire_owned() else {
            return;
        };
        self.asked = from.saturating_add(bytes);
        let file = Arc::clone(file);
        self.asking = Some(spawn_blocking(move || {
            begin(&file, from, bytes);
            drop(permit);
        }));
    }
}

/// Begins to write a range to the disk.
///
/// Linux does so for a range that is said not to be needed; the pages it is about are still dirty, so
/// none of them is dropped.
#[cfg(target_os = "linux")]
fn begin(file: &File, from: u64, bytes: u64) {
    let len = std::num::NonZeroU64::new(bytes);
    let _ = rustix::fs::fadvise(file, from, len, rustix::fs::Advice::DontNeed);
}

#[cfg(not(target_os = "linux"))]
fn begin(_file: &File, _from: u64, _bytes: u64) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whole_steps_are_asked_for_once_each_and_one_at_a_time() {
        let file = Arc::new(tempfile::tempfile().expect("temp file"));
        let permits = Arc::new(Semaphore::new(1));
        let mut back = WriteBack::behind(7);
        back.grow(&file, STEP_BYTES + 6, &permits);
        assert!(back.asking.is_none(), "a step is not full");
        back.grow(&file, STEP_BYTES + 8, &permits);
        assert_eq!(back.asked, STEP_BYTES + 8);
        let asking = back.asking.take().expect("is asked for");
        asking.await.expect("does not panic");

        let (ask, asked) = std::sync::mpsc::channel::<()>();
        back.asking = Some(spawn_blocking(move || asked.recv().unwrap_or_default()));
        back.grow(&file, 9 * STEP_BYTES, &permits);
        assert_eq!(back.asked, STEP_BYTES + 8, "the last one is not answered");
        drop(ask);
        let asking = back.asking.as_mut().expect("was put there");
        asking.await.expect("does not panic");

        let permit = permits.try_acquire().expect("is given back");
        back.grow(&file, 9 * STEP_BYTES, &permits);
        assert_eq!(back.asked, STEP_BYTES + 8, "others wait for the disk");
        drop(permit);
        back.grow(&file, 9 * STEP_BYTES, &permits);
        assert_eq!(back.asked, 3 * STEP_BYTES + 8, "two steps at most");
    }
}
