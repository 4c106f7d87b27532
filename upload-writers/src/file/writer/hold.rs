//! How a writer holds its file: the room ahead of its bytes, the lock, and how both are given back.
//!
//! Each of these calls may wait for a volume that does not answer, as a write does. Over a network, a lock is asked
//! of a server, and closing a file sends what is left of it. So a thread of the runtime makes them in a turn of
//! `Pace` only; otherwise another thread does, or they are not made.

use std::{
    fs::File,
    io, mem,
    path::Path,
    sync::Arc,
    time::{Instant, SystemTime},
};

use tokio::runtime::Handle;

use super::{
    super::{Shared, group_close::SMALL_BYTES, in_background, permitted, temp},
    FileWriter,
};
use crate::error::{WriteError, WriteErrorKind};

/// Room on the disk ahead of a file's bytes.
pub(super) struct Room {
    pub(super) is_wanted: bool,
    pub(super) reserved: u64,
    pub(super) received: u64,
    /// Bytes of the batch that is written.
    pub(super) coming: u64,
    pub(super) size: u64,
}

impl Room {
    /// Reserves the next step before the bytes come to the end of the last one.
    pub(super) fn reserve(&mut self, file: &File) -> Result<(), WriteError> {
        if self.is_wanted {
            let Self {
                reserved,
                received,
                coming,
                size,
                ..
            } = *self;
            self.reserved = temp::reserve(file, reserved, received, coming, size)?;
        }
        Ok(())
    }
}

impl FileWriter {
    /// Returns the open file.
    pub(super) fn file(&self) -> Result<&Arc<File>, WriteError> {
        let file = self.file.as_ref();
        file.ok_or_else(|| WriteError::misuse("the file is closed"))
    }

    /// Takes the lock again after a suspension. A later holder would have given the file its own name.
    pub(super) async fn resume_lock(&mut self) -> Result<(), WriteError> {
        if self.suspended {
            // In a box, since it is made once, and writing often.
            Box::pin(self.lock_again()).await?;
        }
        Ok(())
    }

    async fn lock_again(&mut self) -> Result<(), WriteError> {
        if let Some(giving_back) = &mut self.giving_back {
            // If it panicked, the lock is still here.
            let _ = giving_back.await;
            self.giving_back = None;
        }
        let (file, path) = (Arc::clone(self.file()?), self.temp_path());
        let received = self.written.received;
        let is_ours = move || Ok(lock(&file, &path, received)?);
        if !permitted(&self.shared.reopenings, is_ours).await? {
            // A temporary error: the record tells what became of the upload, and only its holder may end it.
            let why = "another holder resumed the file, or it is gone";
            return Err(WriteError::new(WriteErrorKind::Throttled, why));
        }
        self.suspended = false;
        Ok(())
    }

    /// Gives back what was reserved and not used, and then the lock: no call follows for now.
    ///
    /// Where this thread may not make such a call, another one does.
    pub(super) fn give_back(&mut self) {
        let Some(file) = self.file.clone() else {
            return;
        };
        let pending = self.giving_back.as_ref();
        if pending.is_some_and(|giving_back| !giving_back.is_finished()) {
            return;
        }
        let (shared, path) = (Arc::clone(&self.shared), self.temp_path());
        let received = self.written.received;
        let trims_to = self.has_spare_room().then_some(received);
        let give = move || give_back(&file, &path, trims_to);
        match shared.pace.inline(Instant::now()) {
            Some(_turn) => give(),
            None => self.giving_back = in_background(&shared.closings, give),
        }
        self.reserved = self.reserved.min(received);
        self.suspended = true;
    }

    /// Says whether room is reserved that is not used, in a file that is ours.
    fn has_spare_room(&self) -> bool {
        self.reserved > self.written.received && !self.suspended && !self.closing
    }
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        let has_spare_room = self.has_spare_room();
        let Some(file) = self.file.take() else {
            return;
        };
        let mut left = Left {
            file,
            received: self.written.received,
            has_spare_room,
        };
        // Outside of a runtime this thread holds up no other task.
        if Handle::try_current().is_err() {
            return left.close();
        }
        let Shared { pace, closings, .. } = &*self.shared;
        if let Some(_turn) = pace.inline(Instant::now()) {
            left.trim();
            if left.received <= SMALL_BYTES {
                left.close();
                return;
            }
        }
        let _ends_by_itself = in_background(closings, move || left.close());
    }
}

/// A file whose writer is gone.
struct Left {
    file: Arc<File>,
    received: u64,
    has_spare_room: bool,
}

impl Left {
    fn trim(&mut self) {
        if mem::take(&mut self.has_spare_room) {
            // What it fails to free is freed with the file.
            let _ = self.file.set_len(self.received);
        }
    }

    /// Closes the file, or leaves that to a call that was abandoned and has it still.
    ///
    /// The lock is not given back before: such a call may still write.
    fn close(mut self) {
        self.trim();
    }
}

/// Gives back room behind the bytes, which another holder may need, and then the lock.
fn give_back(file: &File, path: &Path, trims_to: Option<u64>) {
    // Before the lock is given back: then the file may be another holder's.
    if let Some(len) = trims_to {
        // What it fails to free is freed with the file.
        let _ = file.set_len(len);
    }
    renew(file, path);
    // Without the lock given back, others wait for it and then continue with a copy.
    let _ = file.unlock();
}

/// Locks a file again; answers whether it is as its writer left it.
fn lock(file: &File, path: &Path, len: u64) -> io::Result<bool> {
    Ok(temp::try_lock(file)? && temp::is_at(file, path)? && file.metadata()?.len() == len)
}

/// Makes a file as young as its record, which was renewed just now: no sweep may find it old. One that is another
/// holder's by now stays as it is.
fn renew(file: &File, path: &Path) {
    if matches!(temp::is_at(file, path), Ok(true)) {
        // If it fails, the file is as old as its last byte.
        let _ = file.set_modified(SystemTime::now());
    }
}
