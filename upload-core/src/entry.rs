//! One file offered to a slot, as applications see it.

use std::sync::Arc;

use serde_json::{Map, Value};
use upload_proto::{Code, Register, UploadRef};

use crate::EntryId;

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
    /// The declared MIME type, possibly empty.
    pub client_type: String,
    /// The declared size in bytes.
    pub client_size: u64,
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
    /// What the writer returned from close.
    pub result: Option<Value>,
    /// CRC32C of the whole file, once complete and where it is computed.
    pub crc32c: Option<u32>,
}

impl Entry {
    pub(crate) fn new(id: EntryId, slot: Arc<str>, register: Register, resumable: bool) -> Self {
        Self {
            id,
            upload: register.upload,
            slot,
            client_name: register.client_name,
            client_type: register.client_type,
            client_size: register.client_size,
            relative_path: register.relative_path,
            last_modified: register.last_modified,
            meta: register.meta.unwrap_or_default(),
            resumable,
            bytes_received: 0,
            status: EntryStatus::Uploading,
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
            client_size: self.client_size,
            resumable: Some(self.resumable),
            client_id: None,
            last_modified: self.last_modified,
            relative_path: self.relative_path.clone(),
            meta: Some(self.meta.clone()),
        }
    }

    /// Returns the progress in whole percent, 100 for an empty file.
    pub fn progress(&self) -> u8 {
        progress(self.bytes_received, self.client_size)
    }

    /// Returns whether the file is stored.
    pub fn is_complete(&self) -> bool {
        self.status == EntryStatus::Complete
    }
}

/// Returns `received` of `size` in whole percent, rounded down.
pub(crate) fn progress(received: u64, size: u64) -> u8 {
    let hundredfold = u128::from(received.min(size)).saturating_mul(100);
    // Nothing of nothing is all of it.
    let percent = hundredfold.checked_div(u128::from(size)).unwrap_or(100);
    u8::try_from(percent).unwrap_or(100)
}
