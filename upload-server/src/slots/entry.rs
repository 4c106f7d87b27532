//! Uploaded files as applications see them.

use std::{
    io,
    path::{Component, Path, PathBuf},
};

use bytes::Bytes;
use serde::{Serialize, Serializer, ser::SerializeStruct};
use serde_json::{Map, Value};
use tokio::fs;
use upload_core::{Entry, EntryStatus};
use upload_proto::{Code, UploadRef};
use upload_validate::safe_name;
use upload_writers::UploadFacts;

use super::{
    lent::Aim,
    persist::{Existing, move_file},
};

/// One file offered to a slot, and what became of it.
#[derive(Clone, Debug)]
pub struct UploadedEntry {
    entry: Entry,
    /// Where the slot's file writer keeps finished files.
    files: Option<PathBuf>,
    /// Where a handler that died half way was moving the file to.
    target: Option<PathBuf>,
    /// Notes where this one moves it to, while it is lent.
    aim: Option<Aim>,
}

impl UploadedEntry {
    pub(crate) fn new(entry: Entry, files: Option<PathBuf>) -> Self {
        Self {
            entry,
            files,
            target: None,
            aim: None,
        }
    }

    /// Makes it one that is lent, whose file is at `target` where it is not where it was stored.
    pub(super) fn lent(self, aim: Aim, target: Option<&str>) -> Self {
        Self {
            target: target.map(PathBuf::from),
            aim: Some(aim),
            ..self
        }
    }

    /// Returns the client's ref of the upload.
    pub fn upload_ref(&self) -> UploadRef {
        self.entry.upload
    }

    /// Returns the slot's name.
    pub fn slot(&self) -> &str {
        &self.entry.slot
    }

    /// Returns the name as the client gave it; never use it in a path or key.
    pub fn client_name(&self) -> &str {
        &self.entry.client_name
    }

    /// Returns the name made safe for paths and keys.
    ///
    /// It has the extension of what the file is where its slot takes
    /// [any picture](crate::SlotOptions::any_picture) and the client named it wrongly.
    pub fn safe_client_name(&self) -> String {
        stored_name(&self.entry)
    }

    /// Returns the declared MIME type, possibly empty.
    pub fn client_type(&self) -> &str {
        &self.entry.client_type
    }

    /// Returns the size in bytes, as declared; of a complete file also the true one. While it is not
    /// known, it is what was received.
    pub fn client_size(&self) -> u64 {
        let known = self.entry.length.known();
        known.unwrap_or(self.entry.bytes_received)
    }

    /// Returns the path below a dropped folder, as the client gave it.
    pub fn relative_path(&self) -> Option<&str> {
        self.entry.relative_path.as_deref()
    }

    /// Returns when the file was changed, in milliseconds since the Unix epoch, as the client said.
    pub fn last_modified(&self) -> Option<u64> {
        self.entry.last_modified
    }

    /// Returns what the page sent along.
    pub fn meta(&self) -> &Map<String, Value> {
        &self.entry.meta
    }

    /// Returns the bytes taken so far.
    pub fn bytes_received(&self) -> u64 {
        self.entry.bytes_received
    }

    /// Returns the progress in whole percent.
    pub fn progress(&self) -> u8 {
        self.entry.progress()
    }

    /// Returns whether the file is stored.
    pub fn complete(&self) -> bool {
        self.entry.is_complete()
    }

    /// Returns why the upload failed, if it did.
    pub fn error(&self) -> Option<Code> {
        match self.entry.status {
            EntryStatus::Failed(code) => Some(code),
            EntryStatus::Cancelled => Some(Code::Cancelled),
            EntryStatus::Uploading | EntryStatus::Complete => None,
        }
    }

    /// Returns what the writer returned from close, once complete.
    pub fn writer_result(&self) -> Option<&Value> {
        self.entry.result.as_ref()
    }

    /// Returns CRC32C of the whole file, once complete and where it is computed.
    pub fn crc32c(&self) -> Option<u32> {
        self.entry.crc32c
    }

    /// Returns where the file writer keeps the finished file; `None` before it is complete and for
    /// other writers.
    pub fn path(&self) -> Option<PathBuf> {
        let path = self.entry.result.as_ref()?.get("path")?.as_str()?;
        let path = Path::new(path);
        let is_below = path
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        let stored = is_below.then(|| Some(self.files.as_ref()?.join(path)))??;
        let is_moved = |target: &&PathBuf| !stored.exists() && target.exists();
        let target = self.target.as_ref().filter(is_moved);
        Some(target.cloned().unwrap_or(stored))
    }

    /// Opens the finished file for reading.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::Unsupported`] where [`path`](Self::path) is `None`, or the file cannot be
    /// opened.
    pub async fn file(&self) -> io::Result<fs::File> {
        fs::File::open(self.stored()?).await
    }

    /// Reads the whole finished file into memory, at most the slot's `max_file_size`.
    ///
    /// # Errors
    ///
    /// As of [`file`](Self::file), or it cannot be read.
    pub async fn data(&self) -> io::Result<Bytes> {
        fs::read(self.stored()?).await.map(Bytes::from)
    }

    /// Moves the finished file to `target`, which may be on another file system; folders that are
    /// missing are made, and a file that is there already is kept.
    ///
    /// When it returns, the move survives a loss of power; where it fails, the file is where it was.
    /// Dropped half way, it goes on by itself. While the upload is lent, its record says first where the file goes: the
    /// next handler finds it there if this one dies, and moving it to the same target again changes nothing.
    ///
    /// # Errors
    ///
    /// As of [`file`](Self::file), [`io::ErrorKind::AlreadyExists`] where there is a file of that
    /// name, or it cannot be moved.
    pub async fn persist(&self, target: impl AsRef<Path>) -> io::Result<()> {
        self.move_to(target.as_ref(), Existing::Keep).await
    }

    /// Does as [`persist`](Self::persist), and replaces the file that is there, which is whole for
    /// its readers until the new one is.
    ///
    /// # Errors
    ///
    /// As of [`file`](Self::file), or it cannot be moved.
    pub async fn persist_replacing(&self, target: impl AsRef<Path>) -> io::Result<()> {
        self.move_to(target.as_ref(), Existing::Replace).await
    }

    async fn move_to(&self, target: &Path, existing: Existing) -> io::Result<()> {
        let held = match &self.aim {
            Some(aim) => aim.at(target).await?,
            None => None,
        };
        let (stored, target) = (self.stored()?, target.to_owned());
        // An earlier handler that died had moved it there, or was about to take the old name away.
        if stored == target {
            return Ok(());
        }
        let existing = match existing {
            Existing::Keep if self.target.as_ref() == Some(&target) => Existing::KeepUnlessSame,
            other => other,
        };
        let moving = move || {
            let moved = move_file(&stored, &target, existing);
            drop(held);
            moved
        };
        let moved = tokio::task::spawn_blocking(moving).await;
        moved.map_err(io::Error::other)?
    }

    fn stored(&self) -> io::Result<PathBuf> {
        self.path().ok_or_else(|| {
            let text = "the file is not complete or was not kept by the file writer";
            io::Error::new(io::ErrorKind::Unsupported, text)
        })
    }
}

/// Returns what writers know of an upload of `owner`.
pub(crate) fn upload_facts(owner: &str, entry: &Entry) -> UploadFacts {
    let mut facts = UploadFacts::new(entry.upload.to_string(), &*entry.slot, entry.length.max());
    facts.owner = owner.to_owned();
    facts.client_name.clone_from(&entry.client_name);
    facts.safe_client_name = stored_name(entry);
    facts.folder.clone_from(&entry.folder);
    facts.client_type.clone_from(&entry.client_type);
    facts.resumable = entry.resumable;
    facts.relative_path.clone_from(&entry.relative_path);
    facts.meta = Value::Object(entry.meta.clone());
    facts
}

/// What an application may tell its pages: names, sizes and what the page sent along; no path of the server.
impl Serialize for UploadedEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut entry = serializer.serialize_struct("UploadedEntry", 8)?;
        entry.serialize_field("ref", &self.upload_ref())?;
        entry.serialize_field("slot", self.slot())?;
        entry.serialize_field("client_name", self.client_name())?;
        entry.serialize_field("client_type", self.client_type())?;
        entry.serialize_field("client_size", &self.client_size())?;
        entry.serialize_field("complete", &self.complete())?;
        entry.serialize_field("meta", self.meta())?;
        entry.serialize_field("result", &self.writer_result())?;
        entry.end()
    }
}

/// Returns the safe name under which an entry's file is stored.
pub(crate) fn stored_name(entry: &Entry) -> String {
    let stored = entry.stored_name.clone();
    stored.unwrap_or_else(|| safe_name(&entry.client_name).into_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use upload_core::EntryId;

    use super::*;

    fn entry(files: Option<&Path>, result: Option<Value>) -> UploadedEntry {
        let entry = Entry {
            id: EntryId(1),
            upload: UploadRef::from_bytes([1; 16]),
            slot: "avatar".into(),
            client_name: "../me.png".to_owned(),
            stored_name: None,
            folder: None,
            client_type: "image/png".to_owned(),
            length: upload_core::Length::Known(10),
            relative_path: None,
            last_modified: None,
            meta: Map::new(),
            resumable: false,
            bytes_received: 5,
            status: match result {
                Some(_) => EntryStatus::Complete,
                None => EntryStatus::Uploading,
            },
            words: None,
            result,
            crc32c: None,
        };
        UploadedEntry::new(entry, files.map(Path::to_owned))
    }

    #[tokio::test]
    async fn a_stored_file_is_read_and_moved() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(dir.path().join("avatar")).expect("made");
        std::fs::write(dir.path().join("avatar/1-me.png"), b"0123456789").expect("written");
        let stored = entry(Some(dir.path()), Some(json!({ "path": "avatar/1-me.png" })));
        assert!(stored.complete() && stored.error().is_none());
        assert_eq!(stored.safe_client_name(), "me.png");
        assert_eq!(stored.data().await.expect("read"), "0123456789");
        assert_eq!(
            stored
                .file()
                .await
                .expect("open")
                .metadata()
                .await
                .expect("size")
                .len(),
            10
        );
        stored
            .persist(dir.path().join("moved.png"))
            .await
            .expect("moved");
        assert_eq!(
            std::fs::read(dir.path().join("moved.png")).expect("there"),
            b"0123456789"
        );
        assert!(stored.data().await.is_err());
    }

    #[tokio::test]
    async fn what_is_not_a_finished_file_has_no_path() {
        let dir = Path::new("files");
        for (files, result) in [
            (Some(dir), None),
            (None, Some(json!({ "path": "avatar/1-me.png" }))),
            (Some(dir), Some(json!({ "key": "avatar/1-me.png" }))),
            (Some(dir), Some(json!({ "path": "../secret" }))),
            (Some(dir), Some(json!({ "path": "/etc/passwd" }))),
            (Some(dir), Some(json!({ "path": "a/../../b" }))),
        ] {
            let entry = entry(files, result);
            assert_eq!(entry.path(), None, "{:?}", entry.writer_result());
            let error = entry.file().await.expect_err("no file");
            assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        }
        assert_eq!(entry(None, None).progress(), 50);
    }
}
