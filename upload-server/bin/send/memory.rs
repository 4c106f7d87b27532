//! What a later run must know to go on with an upload: its ref, and who we are to the server.
//!
//! One small private file per upload, in the user's state directory.
//! Without such a directory nothing is remembered, and everything else works.
//! That of a stored file gets another ending, until a run has stored all that it names.

use std::{
    cell::RefCell,
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use upload_proto::UploadRef;

use super::fresh;

/// Below the user's state directory.
const FOLDER: &str = "upload-server/send";

/// Endings of notes: about an upload that may continue, and about one that is stored.
const BEGUN: &str = "json";
const STORED: &str = "stored";

/// Files older than this are about uploads that no server keeps any more.
const AGE_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Largest file that is read, in bytes.
const NOTE_BYTES_MAX: u64 = 16 * 1024;

/// The memory of one upload.
pub(super) struct Memory {
    file: Option<PathBuf>,
    /// What its note is called by once the file is stored, without its ending.
    stored: Option<u128>,
    pub(super) note: Note,
}

/// What stands in its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// The ref under which the server may know the upload.
    pub(super) upload: Option<UploadRef>,
    pub(super) client_id: String,
    /// The cookies of its last connection.
    pub(super) cookie: Option<String>,
}

impl Memory {
    /// Recalls the upload of this very file to this very place. That it is stored holds only for who sent it, under
    /// this name: `sent_as`.
    pub(super) fn of(
        path: &Path,
        size: u64,
        changed: Option<u64>,
        url: &http::Uri,
        slot: &str,
        sent_as: &[impl AsRef<[u8]>],
    ) -> Self {
        let mut hash = Sha256::new();
        let changed = changed.map(|time| time.to_string()).unwrap_or_default();
        let path = path.as_os_str().as_encoded_bytes();
        add(&mut hash, path);
        add(&mut hash, size.to_string().as_bytes());
        add(&mut hash, changed.as_bytes());
        hash.update(format!("{url} {slot}"));
        let begun = key_of(hash.clone());
        sent_as
            .iter()
            .for_each(|part| add(&mut hash, part.as_ref()));
        Self::at(folder(), begun, key_of(hash))
    }

    /// Remembers nothing.
    pub(super) fn none() -> Self {
        Self {
            file: None,
            stored: None,
            note: Note::new(),
        }
    }

    fn at(folder: Option<PathBuf>, begun: u128, stored: u128) -> Self {
        let file = folder.map(|folder| folder.join(name(begun, BEGUN)));
        let note = file.as_deref().and_then(recall).unwrap_or_else(Note::new);
        let stored = Some(stored);
        Self { file, stored, note }
    }

    /// Returns where its note is once the file is stored.
    fn stored_file(&self) -> Option<PathBuf> {
        let (file, stored) = self.file.as_ref().zip(self.stored)?;
        Some(file.with_file_name(name(stored, STORED)))
    }

    /// Keeps the note for a later run.
    pub(super) fn keep(&self) {
        if let Some(file) = &self.file
            && let Err(error) = write(file, &self.note)
        {
            tracing::debug!(%error, "a later run will not know of this upload");
        }
    }

    /// Begins anew: a later run knows nothing.
    pub(super) fn forget(&mut self) {
        let files = [self.file.clone(), self.stored_file()];
        files.into_iter().flatten().for_each(|file| remove(&file));
        self.note.upload = None;
    }

    /// The upload is stored, which costs a change of a name and no more: small files are many.
    fn store(&mut self) {
        if let Some((file, stored)) = self.file.as_ref().zip(self.stored_file())
            && let Err(error) = fs::rename(file, stored)
        {
            tracing::debug!(%error, "a later run will send this file again");
        }
        self.note.upload = None;
    }
}

/// Files that are stored of a command that is not through: a run that is cut off need not send them again.
pub(super) struct Stored {
    folder: Option<PathBuf>,
    /// Which earlier runs stored.
    earlier: HashSet<u128>,
    /// Which of those this run named, and which it stored.
    noted: RefCell<Vec<u128>>,
}

impl Stored {
    /// Finds what earlier runs stored, and removes notes about uploads that are long gone.
    pub(super) fn find() -> Self {
        Self::below(folder())
    }

    fn below(folder: Option<PathBuf>) -> Self {
        let earlier = folder.as_deref().map(tidy).unwrap_or_default();
        Self {
            folder,
            earlier,
            noted: RefCell::default(),
        }
    }

    /// Returns whether an earlier run stored the file, which is noted then.
    pub(super) fn names(&self, memory: &Memory) -> bool {
        let key = memory.stored.filter(|key| self.earlier.contains(key));
        self.noted.borrow_mut().extend(key);
        key.is_some()
    }

    /// Notes that the file is stored.
    pub(super) fn add(&self, memory: &mut Memory) {
        memory.store();
        self.noted.borrow_mut().extend(memory.stored);
    }

    /// The command is through: given once more, it sends everything anew.
    pub(super) fn forget(&self) {
        let Some(folder) = &self.folder else {
            return;
        };
        for key in self.noted.take() {
            remove(&folder.join(name(key, STORED)));
        }
    }
}

impl Note {
    fn new() -> Self {
        Self {
            upload: None,
            client_id: format!("send-{}", fresh().simple()),
            cookie: None,
        }
    }
}

/// Removes notes about uploads that are long gone, and returns which of the others are about stored files.
fn tidy(folder: &Path) -> HashSet<u128> {
    let mut stored = HashSet::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return stored;
    };
    let now = SystemTime::now();
    for entry in entries.flatten() {
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        let age = changed.ok().and_then(|time| now.duration_since(time).ok());
        if age.is_some_and(|age| age > AGE_MAX) {
            remove(&entry.path());
        } else {
            stored.extend(stored_key(&entry.path()));
        }
    }
    stored
}

/// Returns what the note of a stored file is called by.
fn stored_key(note: &Path) -> Option<u128> {
    let is_stored = note.extension().is_some_and(|ending| ending == STORED);
    let key = note.file_stem().filter(|_| is_stored)?.to_str()?;
    u128::from_str_radix(key, 16).ok()
}

/// Adds a part that no other parts can be read as.
fn add(hash: &mut Sha256, part: &[u8]) {
    hash.update((part.len() as u64).to_be_bytes());
    hash.update(part);
}

fn key_of(hash: Sha256) -> u128 {
    let hash = hash.finalize();
    u128::from_be_bytes(hash.first_chunk().copied().unwrap_or_default())
}

fn name(key: u128, ending: &str) -> String {
    format!("{key:032x}.{ending}")
}

fn remove(note: &Path) {
    if let Err(error) = fs::remove_file(note)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::debug!(%error, "could not remove a note");
    }
}

fn folder() -> Option<PathBuf> {
    let base = dirs::state_dir().or_else(dirs::data_local_dir)?;
    Some(base.join(FOLDER))
}

fn recall(file: &Path) -> Option<Note> {
    if fs::metadata(file).ok()?.len() > NOTE_BYTES_MAX {
        return None;
    }
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}

fn write(file: &Path, note: &Note) -> io::Result<()> {
    use std::io::Write;

    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    // Whole or not at all, also when killed half way.
    let draft = file.with_extension(format!("{}.tmp", std::process::id()));
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(&draft)?
        .write_all(&serde_json::to_vec(note)?)?;
    fs::rename(draft, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_recalled_until_it_is_forgotten() {
        let dir = tempfile::tempdir().expect("a directory");
        let below = dir.path().join("below");
        let recalled = || Memory::at(Some(below.clone()), 7, 8);
        let mut memory = recalled();
        assert_eq!(memory.note.upload, None);
        memory.note.upload = Some(fresh().into());
        memory.note.cookie = Some("a=b".to_owned());
        memory.keep();
        let mut again = recalled();
        assert_eq!(again.note, memory.note);
        again.forget();
        let after = recalled();
        assert_eq!(after.note.upload, None);
        assert_ne!(after.note.client_id, memory.note.client_id);
    }

    #[test]
    fn a_damaged_note_is_as_good_as_none() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join(name(7, BEGUN));
        fs::write(&file, b"{\"upload\": 5").expect("written");
        let memory = Memory::at(Some(dir.path().to_owned()), 7, 8);
        assert_eq!(memory.note.upload, None);
    }

    #[test]
    fn what_is_stored_is_known_until_the_command_is_through() {
        let dir = tempfile::tempdir().expect("a directory");
        let folder = Some(dir.path().to_owned());
        let files = || fs::read_dir(dir.path()).expect("a folder").count();
        let mut memory = Memory::at(folder.clone(), 7, 8);
        memory.note.upload = Some(fresh().into());
        memory.keep();
        assert!(!Stored::below(folder.clone()).names(&memory), "it is begun");
        let ours = Stored::below(folder.clone());
        ours.add(&mut memory);
        assert!(!ours.names(&memory), "no earlier run stored it");
        let later = Stored::below(folder.clone());
        assert!(later.names(&memory) && !later.names(&Memory::none()));
        assert_eq!(Memory::at(folder.clone(), 7, 8).note.upload, None);
        let by_another = Memory::at(folder.clone(), 7, 9);
        assert!(!later.names(&by_another), "it is stored for another one");
        assert_eq!(files(), 1);
        later.forget();
        assert_eq!(files(), 0);
        assert!(!Stored::below(folder).names(&memory));
    }
}
