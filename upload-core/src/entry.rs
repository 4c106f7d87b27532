//! One file offered to a slot, as applications see it.

use std::sync::Arc;

use serde_json::{Map, Value};
use upload_proto::{Code, Register, UploadRef};

use crate::{EntryId, Length, OwnWords};

/// How far an entry has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryStatus {
    /// Bytes are still expected, or the file is being put away.
    Uploading,
    /// The file is stored and its result known.
    Complete,
    /// The upload ended with this code.
    Failed(Code),
    /// The client or the application cancelled it.
    Cancelled,
}

/// What an application takes an upload as, where that is not what the client said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amendment {
    /// In place of the client's name, and checked in its stead.
    pub client_name: Option<String>,
    /// The folder below which the file is stored; the host has checked that it is one.
    pub folder: Option<String>,
    /// In place of what the page sent along.
    pub meta: Option<Map<String, Value>>,
}

/// One file offered to a slot, and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The session's own number for this entry; never reused within it.
    pub id: EntryId,
    /// The client's ref.
    pub upload: UploadRef,
    /// The slot's name.
    pub slot: Arc<str>,
    /// The file's name as the client gave it; never use it in a path or key.
    pub client_name: String,
    /// The safe name under which the file is stored, where the content check chose another than the client's.
    pub stored_name: Option<String>,
    /// The folder below which the file is stored, where the application chose one for this upload.
    pub folder: Option<String>,
    /// The declared MIME type, possibly empty.
    pub client_type: String,
    /// The declared size in bytes, where it is known yet.
    pub length: Length,
    /// Whether the file is whole once its client says so, and not with its last byte.
    pub ends_by_word: bool,
    /// The path below a dropped folder, as the client gave it.
    pub relative_path: Option<String>,
    /// Milliseconds since the Unix epoch, as the client gave it.
    pub last_modified: Option<u64>,
    /// What the application's page sent along.
    pub meta: Map<String, Value>,
    /// Whether the upload keeps a record.
    pub resumable: bool,
    /// Bytes taken in order.
    pub bytes_received: u64,
    /// How far it has come.
    pub status: EntryStatus,
    /// What the application said when it refused the file.
    pub words: Option<OwnWords>,
    /// What the writer returned from close.
    pub result: Option<Value>,
    /// CRC32C of the whole file, once complete and where it is computed.
    pub crc32c: Option<u32>,
}

impl Entry {
    pub(crate) fn new(
        id: EntryId,
        slot: Arc<str>,
        register: Register,
        length: Length,
        resumable: bool,
    ) -> Self {
        Self {
            id,
            upload: register.upload,
            slot,
            client_name: register.client_name,
            stored_name: None,
            folder: None,
            client_type: register.client_type,
            length,
            ends_by_word: false,
            relative_path: register.relative_path,
            last_modified: register.last_modified,
            meta: register.meta.unwrap_or_default(),
            resumable,
            bytes_received: 0,
            status: EntryStatus::Uploading,
            words: None,
            result: None,
            crc32c: None,
        }
    }

    /// Returns what the client asked for when it registered.
    pub(crate) fn registration(&self) -> Register {
        Register {
            upload: self.upload,
            upload_name: self.slot.to_string(),
            client_name: self.client_name.clone(),
            client_type: self.client_type.clone(),
            client_size: self.length.known(),
            resumable: Some(self.resumable),
            client_id: None,
            last_modified: self.last_modified,
            relative_path: self.relative_path.clone(),
            meta: Some(self.meta.clone()),
        }
    }

    /// Returns the progress in whole percent, 100 for an empty file, and 0 while the length is not
    /// known.
    pub fn progress(&self) -> u8 {
        self.length.percent(self.bytes_received)
    }

    /// Returns whether the file is stored.
    pub fn is_complete(&self) -> bool {
        self.status == EntryStatus::Complete
    }
}
