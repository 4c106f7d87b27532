//! Going on with a file after a restart, on another node, or while an old holder still lives.
//!
//! Whoever holds the lock on the file is the only one who writes it. A holder that does not let go
//! within `lock_wait` has lost its lease, but may still be writing; then the durable bytes are
//! copied to a file of the next generation and the old name is removed. That removal decides: if it
//! succeeds, the old holder writes into a file without a name and its rename fails; if the name is
//! gone already, the old holder had finished first, or somebody else took over, whom we then follow.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    sync::Arc,
    time::Duration,
};

use tokio::time::sleep;

use super::{
    Durability, Shared, blocking,
    notes::Notes,
    place,
    temp::{self, TempName},
    writer::{FileWriter, result},
};
use crate::{
    error::{WriteError, WriteErrorKind},
    writer::{Checkpoint, Reopened, UploadFacts},
};

/// How long to rest between two looks at a lock.
const LOCK_RETRY: Duration = Duration::from_millis(50);

/// How often a file is followed that others took over while it was copied.
const MOVES_MAX: u32 = 3;

/// How many generations past the checkpoint's are looked for, and made. A process that dies between
/// taking a file over and recording that leaves one behind.
const GENERATIONS_AHEAD_MAX: u32 = 8;

/// What a look at the files found.
enum Found {
    /// A file with all the bytes, locked by us.
    Free(File, TempName),
    /// A file with all the bytes, locked by somebody else.
    Held(File, TempName),
    /// An earlier close had taken effect.
    Published,
    /// Somebody else took the file over while we copied it.
    Moved,
    /// Nothing that has all the bytes.
    Nothing,
}

/// Does what [`WriterFactory::reopen`](crate::WriterFactory::reopen) promises.
pub(super) async fn reopen(
    shared: &Arc<Shared>,
    facts: &UploadFacts,
    checkpoint: &Checkpoint,
    offset: u64,
) -> Result<Reopened, WriteError> {
    let mut notes = Notes::read(checkpoint, facts)?;
    let job = Job {
        shared: Arc::clone(shared),
        notes: notes.clone(),
        offset,
        client_size: facts.client_size,
    };
    let (mut waited, mut moves) = (Duration::ZERO, 0);
    let found = loop {
        let look = job.clone();
        match blocking(move || Ok(look.look()?)).await? {
            Found::Held(..) if waited < shared.config.lock_wait => {
                sleep(LOCK_RETRY).await;
                waited += LOCK_RETRY;
            }
            Found::Held(old, name) => {
                let copy = job.clone();
                match blocking(move || Ok(copy.take_over(&old, name)?)).await? {
                    Found::Moved if moves < MOVES_MAX => {
                        moves += 1;
                        waited = Duration::ZERO;
                    }
                    found => break found,
                }
            }
            found => break found,
        }
    };
    Ok(match found {
        Found::Free(file, name) => {
            notes.temp = name;
            let shared = Arc::clone(shared);
            let writer = FileWriter::resume(shared, facts, notes, file, offset);
            Reopened::Open(Box::new(writer))
        }
        Found::Published => Reopened::Closed {
            result: result(&notes.place, facts.client_size),
        },
        // The bytes are there, in other hands: the upload can be resumed later.
        Found::Moved => {
            let error = "others keep taking the file over";
            return Err(WriteError::new(WriteErrorKind::Throttled, error));
        }
        Found::Held(..) | Found::Nothing => Reopened::Gone,
    })
}

/// The blocking half of a reopen.
#[derive(Clone)]
struct Job {
    shared: Arc<Shared>,
    notes: Notes,
    offset: u64,
    client_size: u64,
}

impl Job {
    /// Looks for the file and tries to lock it.
    fn look(&self) -> io::Result<Found> {
        for ahead in 0..=GENERATIONS_AHEAD_MAX {
            let name = self.notes.temp.later(ahead);
            let Some(file) = temp::open(&self.shared.temp_path(name))? else {
                continue;
            };
            // A shorter one is a copy that was never finished, or lost its end with the power.
            if file.metadata()?.len() < self.offset {
                continue;
            }
            if !temp::try_lock(&file)? {
                return Ok(Found::Held(file, name));
            }
            if temp::is_linked(&file)? {
                self.cut(&file)?;
                return Ok(Found::Free(file, name));
            }
        }
        self.finished()
    }

    /// Copies what is durable away from a holder that does not let go.
    fn take_over(&self, old: &File, old_name: TempName) -> io::Result<Found> {
        let (file, name) = self.create_next(old_name)?;
        let path = self.shared.temp_path(name);
        let found = self.copy(old, &file).and_then(|complete| {
            if !complete {
                return Ok(Found::Nothing);
            }
            if temp::remove(&self.shared.temp_path(old_name))? {
                return Ok(Found::Free(file, name));
            }
            Ok(match self.finished()? {
                Found::Nothing => Found::Moved,
                found => found,
            })
        });
        if !matches!(found, Ok(Found::Free(..))) {
            temp::remove(&path)?;
        }
        found
    }

    /// Makes the file of the first generation after `name` that is free.
    fn create_next(&self, name: TempName) -> io::Result<(File, TempName)> {
        for ahead in 1..=GENERATIONS_AHEAD_MAX {
            let next = name.later(ahead);
            match temp::create(&self.shared.temp_path(next)) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                done => return Ok((done?, next)),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Copies the first `offset` bytes, inside the kernel where it can; says whether all were there.
    fn copy(&self, mut old: &File, mut new: &File) -> io::Result<bool> {
        let config = &self.shared.config;
        if config.preallocate {
            temp::reserve(new, self.client_size)?;
        }
        // The handle is our own, so its cursor is not the old holder's.
        old.seek(SeekFrom::Start(0))?;
        let copied = io::copy(&mut old.take(self.offset), &mut new)?;
        if config.durability == Durability::Disk {
            new.sync_data()?;
            place::sync_dir(&config.temp_dir)?;
        }
        Ok(copied == self.offset)
    }

    /// Discards what is stored past the offset and goes there.
    fn cut(&self, mut file: &File) -> io::Result<()> {
        if file.metadata()?.len() > self.offset {
            file.set_len(self.offset)?;
            if self.shared.config.preallocate {
                temp::reserve(file, self.client_size)?;
            }
        }
        file.seek(SeekFrom::Start(self.offset))?;
        Ok(())
    }

    /// Looks whether the upload had been published. The file is synced before it gets its name, but
    /// the name may not be durable yet.
    fn finished(&self) -> io::Result<Found> {
        let config = &self.shared.config;
        let place = &self.notes.place;
        if place.size(&config.data_dir)? != Some(self.client_size) {
            return Ok(Found::Nothing);
        }
        place::sync_dir(&place.dir(&config.data_dir))?;
        place::sync_dir(&config.temp_dir)?;
        Ok(Found::Published)
    }
}
