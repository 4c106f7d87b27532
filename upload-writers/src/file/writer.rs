//! One upload's file.

use std::{
    collections::VecDeque,
    fs::File,
    io, mem,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{
    Durability, Shared, blocking,
    notes::Notes,
    pace::write_front,
    permitted,
    place::{self, Place},
    temp::{self, TempName},
    write_back::WriteBack,
};
use crate::{
    error::{AbortReason, WriteError, WriteErrorKind},
    life::Life,
    writer::{Checkpoint, UploadFacts, UploadWriter, Written},
};

/// What a write is best given: enough for a file system to take it in large pages, and for a socket to be
/// emptied before the processor turns to the disk.
const BATCH_BYTES: u64 = 384 * 1024;

/// A sync under way; it ends by itself.
struct Sync {
    /// Offset up to which it makes bytes durable.
    end: u64,
    done: JoinHandle<Result<(), WriteError>>,
}

/// Room on the disk ahead of a file's bytes.
struct Room {
    is_wanted: bool,
    reserved: u64,
    received: u64,
    size: u64,
}

impl Room {
    /// Reserves the next step before the bytes come to the end of the last one.
    fn reserve(&mut self, file: &File) -> Result<(), WriteError> {
        if self.is_wanted {
            self.reserved = temp::reserve(file, self.reserved, self.received, self.size)?;
        }
        Ok(())
    }
}

/// Writes one file. The lock on it lasts as long as the file is open and the writer does not rest.
pub(super) struct FileWriter {
    shared: Arc<Shared>,
    temp: TempName,
    /// `None`: the slot cannot be a directory, which `open` reports.
    place: Option<Place>,
    client_size: u64,
    life: Life,
    file: Option<Arc<File>>,
    written: Written,
    /// A sync that nobody waited for to its end.
    sync: Option<Sync>,
    /// Offset up to which space is reserved.
    reserved: u64,
    write_back: WriteBack,
    /// A close was begun, so the file may stand under its final name.
    closing: bool,
    /// The lock was given back until the next call.
    resting: bool,
}

impl FileWriter {
    /// Makes a writer for a new file.
    pub(super) fn new(shared: Arc<Shared>, facts: &UploadFacts, uuid: Uuid) -> Self {
        Self {
            temp: TempName {
                uuid,
                generation: facts.epoch,
                resumable: facts.resumable,
            },
            place: Place::new(&facts.slot, uuid, &facts.safe_client_name),
            client_size: facts.client_size,
            life: Life::New,
            file: None,
            written: Written::default(),
            sync: None,
            reserved: 0,
            write_back: WriteBack::default(),
            closing: false,
            resting: false,
            shared,
        }
    }

    /// Makes a writer that goes on with `file`, which is locked, ends at `offset` and has its cursor
    /// there.
    pub(super) fn resume(
        shared: Arc<Shared>,
        facts: &UploadFacts,
        notes: Notes,
        file: File,
        offset: u64,
    ) -> Self {
        Self {
            temp: notes.temp,
            place: Some(notes.place),
            life: Life::Open,
            file: Some(Arc::new(file)),
            written: Written {
                received: offset,
                durable: offset,
            },
            reserved: offset,
            write_back: WriteBack::behind(offset),
            ..Self::new(shared, facts, notes.temp.uuid)
        }
    }

    fn temp_path(&self) -> PathBuf {
        self.shared.temp_path(self.temp)
    }

    /// The open file. There is one in every life that lets a call through.
    fn file(&self) -> Result<&Arc<File>, WriteError> {
        self.file
            .as_ref()
            .ok_or_else(|| WriteError::misuse("no file is open"))
    }

    fn place(&self) -> Result<&Place, WriteError> {
        self.place.as_ref().ok_or_else(|| {
            WriteError::new(WriteErrorKind::Failed, "the slot cannot name a directory")
        })
    }

    /// Takes the lock again after a rest. A later holder would have given the file its own name.
    fn wake(&mut self) -> Result<(), WriteError> {
        if !self.resting {
            return Ok(());
        }
        let file = self.file()?;
        let is_ours = temp::try_lock(file)?
            && temp::is_at(file, &self.temp_path())?
            && file.metadata()?.len() == self.written.received;
        if !is_ours {
            let why = "somebody else went on with the file";
            return Err(WriteError::new(WriteErrorKind::Failed, why));
        }
        self.resting = false;
        Ok(())
    }

    /// Writes a batch, with room for it reserved; answers how many bytes it was.
    async fn write(&mut self, chunks: &mut VecDeque<Bytes>) -> Result<u64, WriteError> {
        let file = Arc::clone(self.file()?);
        let mut room = Room {
            is_wanted: self.shared.config.preallocate,
            reserved: self.reserved,
            received: self.written.received,
            size: self.client_size,
        };
        let mut bytes = 0;
        let begun = Instant::now();
        let pace = &self.shared.pace;
        if let Some(time_max) = pace.inline(self.temp.uuid.as_u128(), begun) {
            room.reserve(&file)?;
            bytes = write_front(&file, chunks, Some((begun, time_max)))?;
            pace.took(begun, Instant::now());
        }
        if !chunks.is_empty() {
            let mut batch = mem::take(chunks);
            let rest;
            (rest, *chunks, room) = blocking(move || {
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
        if let Err(error) = done.flatten() {
            // After a failed sync nobody can tell what is on the disk, so the writer stays broken.
            self.life.begin()?;
            return Err(error);
        }
        self.written.durable = self.written.durable.max(end);
        Ok(())
    }
}

#[async_trait]
impl UploadWriter for FileWriter {
    async fn open(&mut self) -> Result<(), WriteError> {
        self.life.begin_open()?;
        let (shared, place) = (Arc::clone(&self.shared), self.place()?.clone());
        let path = self.temp_path();
        let resumable = self.temp.resumable;
        let openings = Arc::clone(&shared.openings);
        let file = permitted(&openings, move || {
            let config = &shared.config;
            shared.make_dir(&place)?;
            let naming = shared.naming();
            let file = temp::create(&path)?;
            drop(naming);
            if resumable
                && config.durability == Durability::Disk
                && let Err(error) = place::sync_dir(&config.temp_dir)
            {
                let _ = temp::remove(&path);
                return Err(error.into());
            }
            Ok(file)
        })
        .await?;
        self.file = Some(Arc::new(file));
        self.life.ready();
        Ok(())
    }

    async fn write_chunks(&mut self, chunks: &mut VecDeque<Bytes>) -> Result<Written, WriteError> {
        if self
            .sync
            .as_ref()
            .is_some_and(|sync| sync.done.is_finished())
        {
            self.end_sync().await?;
        }
        self.life.begin()?;
        self.wake()?;
        self.written.received += self.write(chunks).await?;
        if self.shared.config.durability == Durability::Process {
            self.written.durable = self.written.received;
            let file = self.file.as_ref();
            let file = file.ok_or_else(|| WriteError::misuse("no file is open"))?;
            let received = self.written.received;
            self.write_back
                .grow(file, received, &self.shared.early_starts);
        }
        self.life.ready();
        Ok(self.written)
    }

    async fn flush(&mut self) -> Result<Written, WriteError> {
        self.life.check()?;
        self.wake()?;
        while self.written.durable < self.written.received {
            self.begin_sync()?;
            self.end_sync().await?;
        }
        Ok(self.written)
    }

    fn flush_can_be_left(&self) -> bool {
        true
    }

    fn batch_bytes(&self) -> u64 {
        BATCH_BYTES
    }

    async fn close(&mut self) -> Result<Value, WriteError> {
        if let Some(result) = self.life.result() {
            return Ok(result);
        }
        // A file tells of a failed sync once; whoever asks next would hear that all is well.
        self.end_sync().await?;
        self.life.begin()?;
        self.wake()?;
        self.closing = true;
        let (shared, place) = (Arc::clone(&self.shared), self.place()?.clone());
        let (file, path) = (Arc::clone(self.file()?), self.temp_path());
        let (size, client_size) = (self.written.received, self.client_size);
        let result = result(&place, size);
        let syncs = Arc::clone(&shared.syncs);
        permitted(&syncs, move || {
            publish(&shared, &file, &path, &place, size, client_size)
        })
        .await?;
        self.file = None;
        self.life.closed(&result);
        Ok(result)
    }

    async fn abort(&mut self, _reason: &AbortReason) {
        if !self.life.begin_abort() || self.wake().is_err() {
            return;
        }
        let (shared, path, file) = (Arc::clone(&self.shared), self.temp_path(), self.file.take());
        let place = self.place.take().filter(|_| self.closing);
        let openings = Arc::clone(&shared.openings);
        // It cannot fail: what stays is found by a sweep.
        let _ = permitted(&openings, move || {
            // Only our own file may go, and a call given up half way may have moved it. One that
            // never was open has a uuid nobody else knows.
            let is_ours = |path: &Path| {
                file.as_ref()
                    .map_or(Ok(true), |file| temp::is_at(file, path))
            };
            let naming = shared.naming();
            if is_ours(&path)? {
                temp::remove(&path)?;
            }
            drop(naming);
            if let (Some(place), Some(file)) = (place, &file) {
                // A close came as far as the rename.
                let published = place.path(&shared.config.data_dir);
                if temp::is_at(file, &published)? {
                    temp::remove(&published)?;
                }
            }
            // The file system frees the blocks when the file is closed, which takes its time; so
            // that happens here.
            drop(file);
            Ok(())
        })
        .await;
    }

    fn rest(&mut self) {
        // Without the lock given back, others wait for it and then go on with a copy.
        let unlocked = self.file.as_ref().map(|file| file.unlock());
        self.resting |= matches!(unlocked, Some(Ok(())));
    }

    fn checkpoint(&self) -> Option<Checkpoint> {
        let place = self.place.as_ref()?;
        (self.temp.resumable && self.life.has_stored()).then(|| {
            Notes {
                temp: self.temp,
                place: place.clone(),
            }
            .checkpoint()
        })
    }
}

/// What clients and applications see of a finished file.
pub(super) fn result(place: &Place, size: u64) -> Value {
    json!({ "path": place.relative(), "size": size })
}

/// Makes the bytes durable, then gives them their final name, then makes that durable.
fn publish(
    shared: &Shared,
    file: &File,
    path: &Path,
    place: &Place,
    size: u64,
    client_size: u64,
) -> Result<(), WriteError> {
    let config = &shared.config;
    if file.metadata()?.len() != size {
        return Err(WriteError::new(
            WriteErrorKind::Failed,
            "the file was changed by somebody else",
        ));
    }
    if config.preallocate && size < client_size {
        // Gives back what was reserved and not used.
        file.set_len(size)?;
    }
    file.sync_all().map_err(place::lost)?;
    place.make_dir(&config.data_dir)?;
    match place::rename_new(path, &place.path(&config.data_dir)) {
        Ok(()) => {}
        // An earlier close, or whoever took the upload over, was here first.
        Err(error)
            if error.kind() == io::ErrorKind::NotFound
                && place.size(&config.data_dir)? == Some(size) => {}
        Err(error) => return Err(error.into()),
    }
    place::sync_dir(&place.dir(&config.data_dir))?;
    place::sync_dir(&config.temp_dir)?;
    Ok(())
}
