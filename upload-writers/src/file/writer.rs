//! One upload's file.

mod hold;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, fs::File, io, mem, path::PathBuf, sync::Arc, time::Instant};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use uuid::Uuid;

use self::hold::Room;
use super::{
    Durability, Shared,
    begin::begin,
    checkpoint::{FileCheckpoint, Kept},
    ending::Ending,
    group_close::{SMALL_BYTES, Ticket},
    in_background,
    pace::write_front,
    permitted,
    place::{self, Place},
    temp::{self, TempName},
    write_back::WriteBack,
};
use crate::{
    error::{AbortReason, WriteError, WriteErrorKind},
    writer::{Buffered, Checkpoint, UploadFacts, UploadWriter, Written},
};

/// What a write is best given: enough for a file system to take it in large pages, and for a socket to be
/// emptied before the processor turns to the disk.
pub(super) const BATCH_BYTES: u64 = 384 * 1024;

/// A sync under way; it ends by itself.
struct Sync {
    /// Offset up to which it makes bytes durable.
    end: u64,
    done: JoinHandle<Result<(), WriteError>>,
}

/// Writes one file. The lock on it lasts as long as the file is open and the writer is not suspended.
pub(super) struct FileWriter {
    shared: Arc<Shared>,
    temp: TempName,
    place: Place,
    client_size: u64,
    /// Taken out where it is closed, and nowhere else.
    file: Option<Arc<File>>,
    written: Written,
    /// A sync that nobody waited for to its end.
    sync: Option<Sync>,
    /// Offset up to which space is reserved.
    reserved: u64,
    write_back: WriteBack,
    /// What it needs to be closed with others.
    ticket: Option<Ticket>,
    /// A close was begun, so the file may stand under its final name.
    closing: bool,
    /// The lock was given back until the next call.
    suspended: bool,
    /// Another thread gives back the lock, and room; the next call waits for it.
    giving_back: Option<JoinHandle<()>>,
}

impl FileWriter {
    /// Makes a new file, and its writer.
    pub(super) async fn create(
        shared: Arc<Shared>,
        facts: &UploadFacts,
    ) -> Result<Self, WriteError> {
        let uuid = Uuid::new_v4();
        let temp = TempName {
            uuid,
            generation: facts.epoch,
            resumable: facts.resumable,
        };
        let folder = facts.folder.as_deref();
        let (coding, name) = (facts.coding(), &facts.safe_client_name);
        let place = Place::coded(folder, &facts.slot, uuid, coding, name);
        let place = place.ok_or_else(|| {
            let text = "the folder or the slot cannot name a directory";
            WriteError::new(WriteErrorKind::Failed, text)
        })?;
        let ticket = shared.group_close.ticket();
        let new = begin(&shared, temp, &place).await?;
        if temp.resumable && shared.config.durability == Durability::Disk {
            shared.dir_syncs.begin(&shared.config.temp_dir).await?;
        }
        let mut writer = Self::at(shared, facts, temp, place, new.take()?, 0);
        writer.ticket = ticket;
        Ok(writer)
    }

    /// Makes a writer that continues with `file`, which is locked, ends at `offset` and has its cursor
    /// there.
    pub(super) fn resume(
        shared: Arc<Shared>,
        facts: &UploadFacts,
        checkpoint: FileCheckpoint,
        file: File,
        offset: u64,
    ) -> Self {
        let FileCheckpoint { temp, place, .. } = checkpoint;
        Self::at(shared, facts, temp, place, file, offset)
    }

    fn at(
        shared: Arc<Shared>,
        facts: &UploadFacts,
        temp: TempName,
        place: Place,
        file: File,
        offset: u64,
    ) -> Self {
        Self {
            shared,
            temp,
            place,
            client_size: facts.client_size,
            file: Some(Arc::new(file)),
            written: Written {
                received: offset,
                durable: offset,
            },
            sync: None,
            reserved: offset,
            write_back: WriteBack::behind(offset),
            ticket: None,
            closing: false,
            suspended: false,
            giving_back: None,
        }
    }

    fn temp_path(&self) -> PathBuf {
        self.shared.temp_path(self.temp)
    }

    /// Writes a batch, with room for it reserved; answers how many bytes it was.
    async fn write(&mut self, chunks: &mut VecDeque<Bytes>) -> Result<u64, WriteError> {
        let file = Arc::clone(self.file()?);
        let mut room = Room {
            is_wanted: self.shared.config.preallocate,
            reserved: self.reserved,
            received: self.written.received,
            coming: chunks.iter().map(|chunk| chunk.len() as u64).sum(),
            size: self.client_size,
        };
        if !self.shared.usage.try_grow(room.coming) {
            let (shared, coming, asked) = (Arc::clone(&self.shared), room.coming, Instant::now());
            let grow = move || shared.usage.grow(coming, asked, &shared.config.temp_dir);
            permitted(&self.shared.looks, grow).await?;
        }
        let mut bytes = 0;
        if let Some(turn) = self.shared.pace.turn() {
            room.reserve(&file)?;
            bytes = write_front(&file, chunks, Some(turn.time_max()))?;
        }
        if !chunks.is_empty() {
            let mut batch = mem::take(chunks);
            let rest;
            (rest, *chunks, room) = permitted(&self.shared.slow_writes, move || {
                room.reserve(&file)?;
                let rest = write_front(&file, &mut batch, None)?;
                // The caller keeps its queue's allocation.
                Ok((rest, batch, room))
            })
            .await?;
            bytes += rest;
        }
        self.reserved = room.reserved;
        Ok(bytes)
    }

    /// Begins a sync of what was written so far, unless one is under way.
    fn begin_sync(&mut self) -> Result<(), WriteError> {
        if self.sync.is_none() {
            let file = Arc::clone(self.file()?);
            let work = move || Ok(file.sync_data().map_err(place::lost)?);
            let syncs = Arc::clone(&self.shared.syncs);
            self.sync = Some(Sync {
                end: self.written.received,
                done: tokio::spawn(async move { permitted(&syncs, work).await }),
            });
        }
        Ok(())
    }

    /// Makes the bytes durable and gives them their name, with others where many files end at once.
    async fn end(&self, ending: Ending) -> Result<(), WriteError> {
        let Shared {
            syncs,
            config,
            group_close,
            ..
        } = &*self.shared;
        let ticket = self.ticket.filter(|_| ending.size <= SMALL_BYTES);
        let is_crowded = syncs.available_permits() <= config.syncs_max / 2;
        match group_close.join(ticket, ending, is_crowded) {
            Ok(closed) => closed.await,
            Err(alone) => {
                // Dropped with this call, which tells that no one waits for the file any more.
                let caller = Arc::new(());
                let waits = Arc::downgrade(&caller);
                let ended = permitted(syncs, move || alone.run(&waits)).await;
                drop(caller);
                ended
            }
        }
    }

    /// Waits for the sync under way, if there is one, and notes what it made durable.
    ///
    /// It may be given up while it waits.
    async fn end_sync(&mut self) -> Result<(), WriteError> {
        let Some(sync) = &mut self.sync else {
            return Ok(());
        };
        let (end, done) = (sync.end, (&mut sync.done).await);
        self.sync = None;
        let done = done.map_err(|error| WriteError::new(WriteErrorKind::Failed, error));
        // After a failed sync it is unknown what is on the disk: its writer is not called again.
        done.flatten()?;
        self.written.durable = self.written.durable.max(end);
        Ok(())
    }
}

#[async_trait]
impl UploadWriter for FileWriter {
    async fn write_chunks(&mut self, chunks: &mut VecDeque<Bytes>) -> Result<Written, WriteError> {
        if self
            .sync
            .as_ref()
            .is_some_and(|sync| sync.done.is_finished())
        {
            self.end_sync().await?;
        }
        self.resume_lock().await?;
        self.written.received += self.write(chunks).await?;
        if self.shared.config.durability == Durability::Process {
            self.written.durable = self.written.received;
            if let Some(file) = &self.file {
                let received = self.written.received;
                self.write_back
                    .grow(file, received, &self.shared.early_starts);
            }
        }
        Ok(self.written)
    }

    async fn flush(&mut self) -> Result<Written, WriteError> {
        self.resume_lock().await?;
        while self.written.durable < self.written.received {
            self.begin_sync()?;
            self.end_sync().await?;
        }
        Ok(self.written)
    }

    async fn close(&mut self) -> Result<Value, WriteError> {
        // A file tells of a failed sync once; the next sync would be told that all is well.
        self.end_sync().await?;
        self.resume_lock().await?;
        self.closing = true;
        let ending = Ending {
            shared: Arc::clone(&self.shared),
            file: Arc::clone(self.file()?),
            path: self.temp_path(),
            place: self.place.clone(),
            size: self.written.received,
            client_size: self.client_size,
        };
        let result = result(&ending.place, ending.size);
        self.end(ending).await?;
        // Behind the rename, and shared with all files that were renamed by then.
        let Shared {
            config, dir_syncs, ..
        } = &*self.shared;
        let named = dir_syncs.begin(&self.place.dir(&config.data_dir));
        let moved_away = dir_syncs.begin(&config.temp_dir);
        named.await?;
        moved_away.await?;
        Ok(result)
    }

    async fn abort(mut self: Box<Self>, _reason: &AbortReason) {
        if self.resume_lock().await.is_err() {
            return;
        }
        // Closed below, and nothing of it is to be given back in part.
        let Some(file) = self.file.take() else {
            return;
        };
        let (shared, path) = (Arc::clone(&self.shared), self.temp_path());
        let size = self.written.received;
        let place = self.closing.then(|| self.place.clone());
        drop(self);
        let openings = Arc::clone(&shared.openings);
        let remove = move || -> io::Result<()> {
            // Only our own file may go, and a call abandoned half way may have moved it.
            let naming = shared.naming();
            if temp::is_at(&file, &path)? && temp::remove(&path)? {
                shared.usage.shrink(size);
            }
            drop(naming);
            if let Some(place) = place {
                // A close came as far as the rename.
                let published = place.path(&shared.config.data_dir);
                if temp::is_at(&file, &published)? {
                    temp::remove(&published)?;
                }
            }
            // The file system frees the blocks when the file is closed, which takes its time; so
            // that happens here.
            drop(file);
            Ok(())
        };
        // It ends by itself: where this future is dropped, the file must not be closed by a thread of the runtime.
        let removing = in_background(&openings, move || {
            // It cannot fail: what stays is found by a sweep.
            let _ = remove();
        });
        if let Some(removing) = removing {
            let _ = removing.await;
        }
    }

    fn checkpoint(&self) -> Option<Checkpoint> {
        self.temp.resumable.then(|| {
            FileCheckpoint {
                temp: self.temp,
                place: self.place.clone(),
                kept: Kept::now(self.shared.config.durability),
            }
            .checkpoint()
        })
    }

    fn buffered(&self) -> Buffered {
        Buffered::default()
    }

    fn suspend(&mut self) {
        self.give_back();
    }
}

/// What clients and applications see of a finished file.
pub(super) fn result(place: &Place, size: u64) -> Value {
    json!({ "path": place.relative(), "size": size })
}
