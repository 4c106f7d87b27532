//! What a later run must know to go on with an upload: its ref, and who we are to the server.
//!
//! One small private file per upload, in the user's state directory.
//! Without such a directory nothing is remembered, and everything else works.

use std::{
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

/// Files older than this are about uploads that no server keeps any more.
const AGE_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Largest file that is read, in bytes.
const NOTE_BYTES_MAX: u64 = 16 * 1024;

/// The memory of one upload.
pub(super) struct Memory {
    file: Option<PathBuf>,
    pub(super) note: Note,
}

/// What stands in its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// The ref under which the server may know the upload.
    pub(super) upload: Option<UploadRef>,
    pub(super) client_id: String,
    /// `name=value` of the server's session cookie.
    pub(super) cookie: Option<String>,
}

impl Memory {
    /// Recalls the upload of this very file to this very place.
    pub(super) fn of(
        path: &Path,
        size: u64,
        changed: Option<u64>,
        url: &http::Uri,
        slot: &str,
    ) -> Self {
        let mut hash = Sha256::new();
        let changed = changed.map(|time| time.to_string()).unwrap_or_default();
        let path = path.as_os_str().as_encoded_bytes();
        for part in [path, size.to_string().as_bytes(), changed.as_bytes()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.update(format!("{url} {slot}"));
        let name: String = hash
            .finalize()
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self::at(folder().map(|folder| folder.join(name + ".json")))
    }

    /// Remembers nothing.
    pub(super) fn none() -> Self {
        Self::at(None)
    }

    fn at(file: Option<PathBuf>) -> Self {
        let note = file.as_deref().and_then(recall).unwrap_or_else(Note::new);
        Self { file, note }
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
        if let Some(file) = &self.file
            && let Err(error) = fs::remove_file(file)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(%error, "could not forget an upload");
        }
        self.note.upload = None;
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

/// Removes notes about uploads that are long gone.
pub(super) fn forget_old() {
    let Some(entries) = folder().and_then(|folder| fs::read_dir(folder).ok()) else {
        return;
    };
    let now = SystemTime::now();
    for entry in entries.flatten() {
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        let age = changed.ok().and_then(|time| now.duration_since(time).ok());
        if age.is_some_and(|age| age > AGE_MAX)
            && let Err(error) = fs::remove_file(entry.path())
        {
            tracing::debug!(%error, "could not remove an old note");
        }
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
        let file = dir.path().join("below").join("a.json");
        let mut memory = Memory::at(Some(file.clone()));
        assert_eq!(memory.note.upload, None);
        memory.note.upload = Some(fresh().into());
        memory.note.cookie = Some("a=b".to_owned());
        memory.keep();
        let mut again = Memory::at(Some(file.clone()));
        assert_eq!(again.note, memory.note);
        again.forget();
        let after = Memory::at(Some(file));
        assert_eq!(after.note.upload, None);
        assert_ne!(after.note.client_id, memory.note.client_id);
    }

    #[test]
    fn a_damaged_note_is_as_good_as_none() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("a.json");
        fs::write(&file, b"{\"upload\": 5").expect("written");
        assert_eq!(Memory::at(Some(file)).note.upload, None);
    }
}
