//! Going on with a file after a restart, on another node, or while an old holder still lives.
//!
//! The holder of the lock on the file is the only one who writes it, and its name says in which
//! epoch that is. A file nobody holds is renamed to our epoch. A holder that does not let go within
//! `lock_wait` has lost its lease, but may still be writing; then the durable bytes are copied to a
//! file of our epoch and the old name is removed. That rename or removal decides: if it succeeds,
//! the old holder has a file without its name, and its close fails. If the name is gone already, the
//! old holder had finished first, or another process took the file, and we look again. An old holder
//! may also have thrown the file away, which it has no say in any more: then the copy stays.
//!
//! A file that was written under another boot of the system may have its length and not its bytes: it is
//! read once and compared with the checksum of the record, before it is taken.
//!
//! A name of a higher epoch than ours is never touched: then we are the one that came too late.
//! Files only ever move to higher names, so a look from the lowest upwards cannot miss one.

#[cfg(test)]
mod tests;

use std::{
    fs::File,
    io::{self, ErrorKind, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::sleep;

use super::{
    Durability, Shared,
    begin::UntakenFile,
    checkpoint::{FileCheckpoint, Kept},
    permitted, place,
    temp::{self, TempName},
    writer::{FileWriter, result},
};
use crate::{
    error::{WriteError, WriteErrorKind},
    writer::{Checkpoint, Reopened, UploadFacts},
};

/// How long to rest between two looks at a lock.
const LOCK_RETRY: Duration = Duration::from_millis(50);

/// How often a file is followed that others took while we were at it.
const MOVES_MAX: u32 = 3;

/// How many of the latest epochs are looked through, besides the checkpoint's. A process that dies
/// between a reopen and recording it leaves the file in one of them.
const EPOCHS_BACK_MAX: u64 = 63;

/// How many epochs past ours are looked through for a later holder.
const EPOCHS_AHEAD_MAX: u64 = 8;

/// How many bytes are read at a time to compare them.
const COMPARE_BYTES: usize = 256 * 1024;

/// How many bytes are read or copied, at most, where other resumes wait for it.
const SMALL_BYTES: u64 = 1024 * 1024;

/// What a look at the files found.
enum Found {
    /// A file with all the bytes, locked by us and of our epoch.
    Free(UntakenFile),
    /// A file with all the bytes, locked by somebody else.
    Held(UntakenFile, TempName),
    /// An earlier close had taken effect.
    Published,
    /// Somebody else took the file while we were at it.
    Moved,
    /// A holder of a later epoch has the file.
    Later,
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
    let mut checkpoint = FileCheckpoint::read(checkpoint, facts)?;
    let job = Job {
        shared: Arc::clone(shared),
        checkpoint: checkpoint.clone(),
        epoch: facts.epoch,
        offset,
        crc32c: facts.crc32c_before,
        client_size: facts.client_size,
    };
    let permits = |reads: bool| match reads && offset > SMALL_BYTES {
        true => &shared.comparisons,
        false => &shared.reopenings,
    };
    let (mut waited, mut moves, mut held) = (Duration::ZERO, 0, None);
    let found = loop {
        let look = job.clone();
        let mut found = permitted(permits(job.is_doubtful()), move || Ok(look.look()?)).await?;
        if let Found::Held(old, name) = found {
            if waited < shared.config.lock_wait {
                held = Some((old, name));
                sleep(LOCK_RETRY).await;
                waited += LOCK_RETRY;
                continue;
            }
            found = Found::Nothing;
            held = Some((old, name));
        }
        // What was held and is nowhere now can still be read through the handle.
        if let (Found::Nothing, Some((old, name))) = (&found, held.take()) {
            let (copy, turns) = (job.clone(), permits(true));
            found = permitted(turns, move || Ok(copy.take_over(&old.take()?, name)?)).await?;
        }
        match found {
            Found::Moved if moves < MOVES_MAX => {
                moves += 1;
                waited = Duration::ZERO;
            }
            found => break found,
        }
    };
    // Where it is refused, the bytes are there in other hands: the upload can be resumed later.
    let refused = |why: &'static str| Err(WriteError::new(WriteErrorKind::Throttled, why));
    match found {
        Found::Free(file) => {
            checkpoint.temp = job.own();
            let shared = Arc::clone(shared);
            let writer = FileWriter::resume(shared, facts, checkpoint, file.take()?, offset);
            Ok(Reopened::Open(Box::new(writer)))
        }
        Found::Published => Ok(Reopened::Closed {
            result: result(&checkpoint.place, facts.client_size),
        }),
        Found::Later => refused("a later holder has the file"),
        Found::Held(..) | Found::Moved => refused("others keep taking the file"),
        Found::Nothing => Ok(Reopened::Gone),
    }
}

/// The blocking half of a reopen.
#[derive(Clone)]
struct Job {
    shared: Arc<Shared>,
    checkpoint: FileCheckpoint,
    epoch: u64,
    offset: u64,
    /// CRC32C of the file before the offset, where it is known.
    crc32c: Option<u32>,
    client_size: u64,
}

impl Job {
    /// The only name we may give a file.
    fn own(&self) -> TempName {
        self.checkpoint.temp.of(self.epoch)
    }

    /// The names we may take a file from, the lowest first.
    fn names(&self) -> impl Iterator<Item = TempName> + use<> {
        let recorded = self.checkpoint.temp;
        let after = recorded.generation.saturating_add(1);
        let recent = after.max(self.epoch.saturating_sub(EPOCHS_BACK_MAX))..=self.epoch;
        let first = (recorded.generation <= self.epoch).then_some(recorded);
        let rest = recent.map(move |epoch| recorded.of(epoch));
        first.into_iter().chain(rest)
    }

    /// Looks for the file and tries to lock it.
    fn look(&self) -> io::Result<Found> {
        for name in self.names() {
            let path = self.shared.temp_path(name);
            let Some(file) = temp::open(&path)? else {
                continue;
            };
            if self.is_published(&file)? {
                // A close died between the two names it gave the file.
                if temp::try_lock(&file)? {
                    temp::remove(&path)?;
                }
                break;
            }
            // A shorter one is a copy that was never finished, or lost its end with the power.
            if file.metadata()?.len() < self.offset {
                continue;
            }
            if !temp::try_lock(&file)? {
                return Ok(Found::Held(UntakenFile::found(&self.shared, file), name));
            }
            if !self.has_the_bytes(&file)? {
                continue;
            }
            return self.claim(file, name);
        }
        if self.has_later()? {
            return Ok(Found::Later);
        }
        self.finished()
    }

    /// Says whether the file has the bytes before the offset, and not only their number: where the
    /// system may have lost some, they are read and compared with their checksum.
    fn has_the_bytes(&self, mut file: &File) -> io::Result<bool> {
        if !self.is_doubtful() {
            return Ok(true);
        }
        let Some(crc32c) = self.crc32c else {
            return Ok(self.offset == 0);
        };
        file.seek(SeekFrom::Start(0))?;
        let mut rest = file.take(self.offset);
        let (mut found, mut buffer) = (0, vec![0; COMPARE_BYTES]);
        loop {
            let read = match rest.read(&mut buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            match buffer.get(..read) {
                Some(bytes) if !bytes.is_empty() => found = crc32c::crc32c_append(found, bytes),
                _ => return Ok(found == crc32c && rest.limit() == 0),
            }
        }
    }

    fn is_doubtful(&self) -> bool {
        let durability = self.shared.config.durability;
        self.checkpoint.kept.is_doubtful(durability)
    }

    /// Gives the file, which is locked, our name; only then is it cut.
    fn claim(&self, file: File, name: TempName) -> io::Result<Found> {
        let (path, own_path) = (
            self.shared.temp_path(name),
            self.shared.temp_path(self.own()),
        );
        // Before it was locked, a later holder may have had it.
        if !temp::is_at(&file, &path)? {
            return Ok(Found::Moved);
        }
        if name != self.own() {
            match place::rename_new(&path, &own_path) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    // Somebody took the old name away between the two steps of a rename.
                    if temp::is_at(&file, &own_path)? {
                        temp::remove(&own_path)?;
                    }
                    return Ok(Found::Moved);
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => return self.clear_own(),
                Err(error) => return Err(error),
            }
            if self.shared.config.durability == Durability::Disk {
                place::sync_dir(&self.shared.config.temp_dir)?;
            }
            self.tidy(&file)?;
        }
        if !temp::is_at(&file, &own_path)? {
            return Ok(Found::Moved);
        }
        self.cut(&file)?;
        if self.shared.config.durability == Durability::Disk && self.checkpoint.kept != Kept::Synced
        {
            // From here on its checkpoint says that they were.
            file.sync_data().map_err(place::lost)?;
        }
        Ok(Found::Free(UntakenFile::found(&self.shared, file)))
    }

    /// Removes the copy that an earlier try of our own epoch did not finish.
    fn clear_own(&self) -> io::Result<Found> {
        let path = self.shared.temp_path(self.own());
        match temp::open(&path)? {
            Some(copy) if !temp::try_lock(&copy)? => return Ok(Found::Later),
            Some(copy) if temp::is_at(&copy, &path)? => drop(temp::remove(&path)?),
            _ => {}
        }
        Ok(Found::Moved)
    }

    /// Removes what others left below our name: second names of the file, and copies of it.
    fn tidy(&self, file: &File) -> io::Result<()> {
        for name in self.names().filter(|name| *name != self.own()) {
            let path = self.shared.temp_path(name);
            let Some(other) = temp::open(&path)? else {
                continue;
            };
            if temp::is_at(file, &path)? || temp::try_lock(&other)? {
                temp::remove(&path)?;
            }
        }
        Ok(())
    }

    /// Copies what is durable away from a holder that does not let go.
    fn take_over(&self, old: &File, old_name: TempName) -> io::Result<Found> {
        let own_path = self.shared.temp_path(self.own());
        if old_name == self.own() {
            // Another try of our own epoch is at it.
            return Ok(Found::Later);
        }
        let file = match temp::create(&own_path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return self.clear_own(),
            file => file?,
        };
        let taken = self.copy(old, &file).and_then(|complete| {
            if !complete {
                return Ok(Found::Nothing);
            }
            if !temp::remove(&self.shared.temp_path(old_name))? && self.is_elsewhere()? {
                return Ok(Found::Moved);
            }
            // A close that gives two names had given the second before we took the first.
            Ok(if self.is_published(old)? {
                self.finished()?
            } else {
                Found::Free(UntakenFile::found(&self.shared, file))
            })
        });
        if !matches!(taken, Ok(Found::Free(_))) {
            temp::remove(&own_path)?;
        }
        taken
    }

    /// Copies the first `offset` bytes, inside the kernel where it can; says whether all were there.
    fn copy(&self, mut old: &File, mut new: &File) -> io::Result<bool> {
        let config = &self.shared.config;
        // The handle is our own, so its cursor is not the old holder's.
        old.seek(SeekFrom::Start(0))?;
        let copied = io::copy(&mut old.take(self.offset), &mut new)?;
        if !self.has_the_bytes(new)? {
            return Ok(false);
        }
        new.seek(SeekFrom::Start(self.offset))?;
        if config.durability == Durability::Disk {
            new.sync_data()?;
            place::sync_dir(&config.temp_dir)?;
        }
        Ok(copied == self.offset)
    }

    /// Discards what is stored past the offset and goes there.
    fn cut(&self, mut file: &File) -> io::Result<()> {
        // Even if it ends there: its last holder may have died with space reserved.
        file.set_len(self.offset)?;
        // The record was renewed just now, so the file rests from now on, too: a sweep must not find it
        // old if it is left again before a byte was written.
        file.set_modified(SystemTime::now())?;
        file.seek(SeekFrom::Start(self.offset))?;
        Ok(())
    }

    /// Looks for files of epochs after ours. All that is known is that they are there.
    fn has_later(&self) -> io::Result<bool> {
        if self.checkpoint.temp.generation > self.epoch {
            return Ok(true);
        }
        for ahead in 1..=EPOCHS_AHEAD_MAX {
            let name = self.own().of(self.epoch.saturating_add(ahead));
            if temp::open(&self.shared.temp_path(name))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Says whether anything but a copy of ours has all the bytes.
    fn is_elsewhere(&self) -> io::Result<bool> {
        for name in self.names().filter(|name| *name != self.own()) {
            let file = temp::open(&self.shared.temp_path(name))?;
            if file.is_some_and(|file| file.metadata().is_ok_and(|it| it.len() >= self.offset)) {
                return Ok(true);
            }
        }
        Ok(self.has_later()? || matches!(self.finished()?, Found::Published))
    }

    /// Says whether the file under a temporary name has its final one as well.
    fn is_published(&self, file: &File) -> io::Result<bool> {
        let place = self.checkpoint.place.path(&self.shared.config.data_dir);
        Ok(file.metadata()?.nlink() > 1 && temp::is_at(file, &place)?)
    }

    /// Looks whether the upload had been published. The file is synced before it gets its name, but
    /// the name may not be durable yet.
    fn finished(&self) -> io::Result<Found> {
        let config = &self.shared.config;
        let place = &self.checkpoint.place;
        if place.size(&config.data_dir)? != Some(self.client_size) {
            return Ok(Found::Nothing);
        }
        place::sync_dir(&place.dir(&config.data_dir))?;
        place::sync_dir(&config.temp_dir)?;
        Ok(Found::Published)
    }
}
