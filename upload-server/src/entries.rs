//! Uploaded files as applications see them.

use std::{
    io,
    path::{Component, Path, PathBuf},
};

use bytes::Bytes;
use serde_json::{Map, Value};
use tokio::fs;
use upload_core::{Entry, EntryStatus};
use upload_proto::{Code, UploadRef};
use upload_validate::safe_name;

/// One file offered to a slot, and what became of it.
#[derive(Clone, Debug)]
pub struct UploadedEntry {
    entry: Entry,
    /// Where the slot's file writer keeps finished files.
    files: Option<PathBuf>,
}

impl UploadedEntry {
    pub(crate) fn new(entry: Entry, files: Option<PathBuf>) -> Self {
        Self { entry, files }
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
    pub fn safe_client_name(&self) -> String {
        safe_name(&self.entry.client_name).into_string()
    }

    /// Returns the declared MIME type, possibly empty.
    pub fn client_type(&self) -> &str {
        &self.entry.client_type
    }

    /// Returns the size in bytes, as declared; of a complete file also the true one.
    pub fn client_size(&self) -> u64 {
        self.entry.client_size
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
        is_below.then(|| Some(self.files.as_ref()?.join(path)))?
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

    /// Moves the finished file to `target`, which may be on another file system; an existing file
    /// there is replaced.
    ///
    /// # Errors
    ///
    /// As of [`file`](Self::file), or it cannot be moved.
    pub async fn persist(&self, target: impl AsRef<Path>) -> io::Result<()> {
        let (stored, target) = (self.stored()?, target.as_ref());
        match fs::rename(&stored, target).await {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                fs::copy(&stored, target).await?;
                fs::remove_file(&stored).await
            }
            moved => moved,
        }
    }

    fn stored(&self) -> io::Result<PathBuf> {
        self.path().ok_or_else(|| {
            let text = "the file is not complete or was not kept by the file writer";
            io::Error::new(io::ErrorKind::Unsupported, text)
        })
    }
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
            client_type: "image/png".to_owned(),
            client_size: 10,
            relative_path: None,
            last_modified: None,
            meta: Map::new(),
            resumable: false,
            bytes_received: 5,
            status: match result {
                Some(_) => EntryStatus::Complete,
                None => EntryStatus::Uploading,
            },
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
