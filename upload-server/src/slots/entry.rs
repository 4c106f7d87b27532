//! Uploaded files as applications see them.

use std::{
    io,
    path::{Component, Path, PathBuf},
    sync::Arc,
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
    persist::Existing,
    place::{Hold, Place, Stored},
};

/// One file offered to a slot, and what became of it.
///
/// ```
/// use upload_server::{EventContext, HandlerError, Uploads};
///
/// async fn save(event: EventContext) -> Result<u64, HandlerError> {
///     let mut bytes = 0;
///     for photo in event.uploads.consume_uploaded_entries("photos").await {
///         let name = format!("{}-{}", photo.upload_ref(), photo.safe_client_name());
///         photo.persist(std::path::Path::new("albums").join(name)).await?;
///         bytes += photo.client_size();
///     }
///     Ok(bytes)
/// }
///
/// let builder = Uploads::builder().handle_event("save", save);
/// ```
#[derive(Clone, Debug)]
pub struct UploadedEntry {
    entry: Entry,
    /// Where the slot's file writer keeps finished files.
    files: Option<PathBuf>,
    /// Where the file is by now.
    place: Arc<Place>,
}

impl UploadedEntry {
    /// Makes one that is the application's.
    pub(crate) fn new(entry: Entry, files: Option<PathBuf>) -> Self {
        Self::held(entry, files, Hold::Application, Vec::new())
    }

    /// Makes one that waits for the application, and may have been moved to one of these targets.
    pub(crate) fn waiting(entry: Entry, files: Option<PathBuf>, targets: Vec<PathBuf>) -> Self {
        Self::held(entry, files, Hold::Waiting, targets)
    }

    /// Returns where the file is, and who may move it.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn held(
        entry: Entry,
        files: Option<PathBuf>,
        hold: Hold,
        targets: Vec<PathBuf>,
    ) -> Self {
        Self {
            entry,
            files,
            place: Place::new(hold, targets),
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

    /// Returns where the finished file is: where the file writer keeps it, or where it was moved to. `None` before
    /// it is complete and for other writers.
    pub fn path(&self) -> Option<PathBuf> {
        let stored = self.stored()?;
        Some(self.place.moved_to(&stored).unwrap_or(stored.path))
    }

    /// Opens the finished file for reading.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::Unsupported`] where [`path`](Self::path) is `None`, or the file cannot be
    /// opened.
    pub async fn file(&self) -> io::Result<fs::File> {
        fs::File::open(self.path().ok_or_else(no_file)?).await
    }

    /// Reads the whole finished file into memory, at most the slot's `max_file_size`.
    ///
    /// # Errors
    ///
    /// As of [`file`](Self::file), or it cannot be read.
    pub async fn data(&self) -> io::Result<Bytes> {
        fs::read(self.path().ok_or_else(no_file)?)
            .await
            .map(Bytes::from)
    }

    /// Moves the finished file to `target`, which may be on another file system; folders that are
    /// missing are made, and a file that is there already is kept.
    ///
    /// When it returns, the move survives a loss of power, as far as the file system can sync folders. Where it fails,
    /// the file is where it was; or at `target`, if a folder could not be synced: then the same call again syncs it.
    /// Dropped half way, it goes on by itself. While the upload is lent, its record says first where the file goes: the
    /// next handler finds it there if this one dies, and moving it to the same target again changes nothing.
    ///
    /// A handler that names another target than the attempt before moves the file on: there is one copy, at the
    /// target named last. So derive the name from [`take_id`](crate::LentUpload::take_id) where you write it down
    /// before the upload is taken. A name of that kind is also one that no other upload has.
    ///
    /// # Errors
    ///
    /// As of [`file`](Self::file), [`io::ErrorKind::AlreadyExists`] where there is a file of that
    /// name, or it cannot be moved. [`io::ErrorKind::PermissionDenied`] where the upload waits and was not lent, and
    /// [`TakeError::Lost`](crate::TakeError::Lost) as the source of an [`io::ErrorKind::Other`] where it was given back:
    /// its next handler would not find the file.
    pub async fn persist(&self, target: impl AsRef<Path>) -> io::Result<()> {
        self.move_to(target.as_ref(), Existing::Keep).await
    }

    /// Does as [`persist`](Self::persist), and replaces the file that is there, which is whole for
    /// its readers until the new one is.
    ///
    /// # Errors
    ///
    /// As of [`persist`](Self::persist), but for a file of that name.
    pub async fn persist_replacing(&self, target: impl AsRef<Path>) -> io::Result<()> {
        self.move_to(target.as_ref(), Existing::Replace).await
    }

    async fn move_to(&self, target: &Path, existing: Existing) -> io::Result<()> {
        // The process that looks for it there may work in another folder.
        let target = std::path::absolute(target)?;
        let stored = self.stored().ok_or_else(no_file)?;
        self.place.move_to(stored, target, existing).await
    }

    fn stored(&self) -> Option<Stored> {
        let path = self.entry.result.as_ref()?.get("path")?.as_str()?;
        let path = Path::new(path);
        let is_below = path
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        let path = is_below.then(|| Some(self.files.as_ref()?.join(path)))??;
        Some(Stored {
            path,
            size: self.client_size(),
            crc32c: self.crc32c(),
        })
    }
}

fn no_file() -> io::Error {
    let text = "the file is not complete or was not kept by the file writer";
    io::Error::new(io::ErrorKind::Unsupported, text)
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
            ends_by_word: false,
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
        let copy = stored.clone();
        assert_eq!(copy.path(), Some(dir.path().join("moved.png")));
        assert_eq!(copy.data().await.expect("read"), "0123456789");
        stored
            .persist(dir.path().join("moved.png"))
            .await
            .expect("it is there");
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
