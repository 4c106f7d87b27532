//! What a store keeps of a resumable upload (RESUME-1).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use upload_proto::{Register, UploadRef};

use crate::intake::whole_chunks;

/// Largest encoded record; a larger one switches resuming off for its upload.
pub const RECORD_BYTES_MAX: usize = 16 * 1024;

/// The layout written by this version; another is taken as no record at all.
const LAYOUT: u8 = 1;

/// How far the recorded upload has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordPhase {
    /// Bytes are missing, or not known to be all here.
    Receiving,
    /// Every byte was checked; the writer was told to close, or is about to be.
    Completing,
    /// The file is stored; `result` is the receipt (COMPLETE-4).
    Complete,
}

/// Who may write, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The start of the process that holds it.
    pub boot: String,
    /// The connection of that process.
    pub session: u64,
    /// The tab or program that holds it, where it told its name (RESUME-4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub expires_unix_ms: u64,
}

/// The state of one upload between two connections.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The layout of this record.
    pub layout: u8,
    /// The slot's name.
    pub slot: String,
    /// The file's name as the client gave it.
    pub client_name: String,
    /// The declared MIME type.
    pub client_type: String,
    /// The declared size in bytes.
    pub client_size: u64,
    /// The path below a dropped folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relative_path: Option<String>,
    /// Milliseconds since the Unix epoch, as the client gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<u64>,
    /// What the application's page sent along.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub meta: Map<String, Value>,
    /// Size of a full chunk, in bytes.
    pub chunk_size: u32,
    /// How far it has come.
    pub phase: RecordPhase,
    /// Bytes that survive the server's death; never ahead of the writer (RESUME-2).
    pub offset: u64,
    /// CRC32C of the first `offset` bytes, where it is computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crc32c: Option<u32>,
    /// CRC32C of the whole file, from `Completing` on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_crc32c: Option<u32>,
    /// Whether a writer was ever opened.
    pub opened: bool,
    /// What reopening the writer needs; at most 8 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Value>,
    /// Rises with every holder; an old one's writes conflict.
    pub epoch: u64,
    /// The present holder; none while the upload is detached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// What the writer returned from close; null before.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub result: Value,
    /// Names the registration it began with, and no other, also not of the same ref.
    #[serde(default)]
    pub birth: String,
    /// Milliseconds since the Unix epoch.
    pub created_unix_ms: u64,
    /// Milliseconds since the Unix epoch.
    pub updated_unix_ms: u64,
}

/// Why bytes are not a record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not the JSON of a record.
    #[error("record is malformed")]
    Malformed(#[source] serde_json::Error),
    /// Written by another version.
    #[error("record has layout {0}, not {LAYOUT}")]
    Layout(u8),
    /// More than [`RECORD_BYTES_MAX`].
    #[error("record has {0} bytes, more than {RECORD_BYTES_MAX}")]
    TooLarge(usize),
    /// Says things that can not be true together.
    #[error("record contradicts itself")]
    Inconsistent,
}

impl Record {
    pub(crate) const LAYOUT: u8 = LAYOUT;

    /// Reads a record and checks that it makes sense.
    ///
    /// # Errors
    ///
    /// [`RecordError`] for anything that this version did not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(RecordError::TooLarge(bytes.len()));
        }
        let record: Self = serde_json::from_slice(bytes).map_err(RecordError::Malformed)?;
        if record.layout != LAYOUT {
            return Err(RecordError::Layout(record.layout));
        }
        if record.offset > record.client_size
            || record.chunk_size == 0
            || (record.offset > 0 && !record.opened)
        {
            return Err(RecordError::Inconsistent);
        }
        Ok(record)
    }

    /// Writes the record as JSON.
    ///
    /// # Errors
    ///
    /// [`RecordError::TooLarge`] past [`RECORD_BYTES_MAX`].
    pub fn encode(&self) -> Result<Vec<u8>, RecordError> {
        let bytes = serde_json::to_vec(self).map_err(RecordError::Malformed)?;
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(RecordError::TooLarge(bytes.len()));
        }
        Ok(bytes)
    }

    /// Returns what the client asked for when it registered `upload`.
    pub(crate) fn registration(&self, upload: UploadRef) -> Register {
        Register {
            upload,
            upload_name: self.slot.clone(),
            client_name: self.client_name.clone(),
            client_type: self.client_type.clone(),
            client_size: self.client_size,
            resumable: Some(true),
            client_id: None,
            last_modified: self.last_modified,
            relative_path: self.relative_path.clone(),
            meta: Some(self.meta.clone()),
        }
    }

    /// Returns the index the next chunk must have after a resume (CHUNK-4).
    pub fn next_index(&self) -> u64 {
        whole_chunks(self.offset, self.chunk_size)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample() -> Record {
        Record {
            layout: LAYOUT,
            slot: "video".into(),
            client_name: "a.mp4".into(),
            client_type: "video/mp4".into(),
            client_size: 100,
            relative_path: None,
            last_modified: None,
            meta: Map::new(),
            chunk_size: 10,
            phase: RecordPhase::Receiving,
            offset: 25,
            crc32c: Some(7),
            file_crc32c: None,
            opened: true,
            checkpoint: Some(Value::from("t")),
            epoch: 1,
            lease: None,
            result: Value::Null,
            birth: "here.1.1".into(),
            created_unix_ms: 0,
            updated_unix_ms: 0,
        }
    }

    /// RESUME-1: what is written is what is read.
    #[test]
    fn round_trip() {
        let record = sample();
        let bytes = record.encode().expect("small record");
        assert_eq!(Record::decode(&bytes).expect("own record"), record);
        assert_eq!(record.next_index(), 2);
    }

    /// RESUME-1: past 16 KiB there is no record.
    #[test]
    fn a_record_is_bounded() {
        let mut record = sample();
        record.checkpoint = Some(Value::from("x".repeat(RECORD_BYTES_MAX)));
        assert!(matches!(record.encode(), Err(RecordError::TooLarge(_))));
    }

    #[test]
    fn nonsense_is_refused() {
        let spoil: [fn(&mut Record); 3] = [
            |r| r.offset = 101,
            |r| r.chunk_size = 0,
            |r| r.opened = false,
        ];
        for spoil in spoil {
            let mut record = sample();
            spoil(&mut record);
            let bytes = record.encode().expect("small record");
            assert!(matches!(
                Record::decode(&bytes),
                Err(RecordError::Inconsistent)
            ));
        }
        let mut record = sample();
        record.layout = 9;
        let bytes = record.encode().expect("small record");
        assert!(matches!(
            Record::decode(&bytes),
            Err(RecordError::Layout(9))
        ));
        assert!(matches!(
            Record::decode(b"{"),
            Err(RecordError::Malformed(_))
        ));
    }
}
