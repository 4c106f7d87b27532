//! What a store keeps of a resumable upload (RESUME-1).

#[cfg(test)]
pub(crate) mod tests;

use std::ops::RangeInclusive;

use base64_simd::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Value};
use upload_proto::{Code, Register, UploadRef};

use crate::{Charge, Length, sequencer::whole_chunks};

/// Largest encoded record; a larger one switches resuming off for its upload.
pub const RECORD_BYTES_MAX: usize = 16 * 1024;

/// Most targets of moves that a record keeps besides the newest.
pub const EARLIER_TARGETS_MAX: usize = 3;

/// The layouts that this version reads; a record of another one is left alone.
const LAYOUTS: RangeInclusive<u32> = 1..=3;

/// The layout of what follows: phases that the first one does not have.
///
/// Each record is written in the lowest layout that can say it, so that nodes of the version before
/// continue its uploads and leave the rest alone.
const LAYOUT_UNCLAIMED: u32 = 3;

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
    /// The file is stored, and waits for its application (CTRL-6).
    Waiting,
    /// The file is lent to a handler of the application, until its lease ends.
    Lent,
    /// The application took the file.
    Taken,
    /// The upload ended with a code; what is left of it is to be removed.
    Ended,
}

impl RecordPhase {
    /// Returns whether the file was stored, so that its receipt is the answer (COMPLETE-4).
    pub fn is_stored(self) -> bool {
        match self {
            Self::Complete | Self::Waiting | Self::Lent | Self::Taken => true,
            Self::Receiving | Self::Completing | Self::Ended => false,
        }
    }

    /// Returns whether the file waits for its application, or is lent to it.
    pub fn is_unclaimed(self) -> bool {
        matches!(self, Self::Waiting | Self::Lent)
    }

    /// Returns whether the upload has its end behind it.
    pub(crate) fn is_over(self) -> bool {
        self.is_stored() || self == Self::Ended
    }

    /// Returns whether only the newest layout has it.
    fn is_after_complete(self) -> bool {
        self.is_over() && self != Self::Complete
    }
}

/// What is known of a finished upload in addition to its receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unclaimed {
    /// When it waits no longer, in milliseconds since the Unix epoch.
    pub until_unix_ms: u64,
    /// Names every attempt to take it; none before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub take_id: Option<String>,
    /// How often it was lent.
    #[serde(default)]
    pub attempts: u32,
    /// Where the application moves the file to: after a crash it is where it was stored, here, or at one of
    /// [`earlier_targets`](Self::earlier_targets).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Where attempts before named another target, the oldest first; at most [`EARLIER_TARGETS_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier_targets: Vec<String>,
    /// With which code it ended, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
}

impl Unclaimed {
    /// Returns each place that a move may have left the file at, the oldest first.
    pub fn targets(&self) -> impl Iterator<Item = &str> {
        let earlier = self.earlier_targets.iter();
        earlier.chain(&self.target).map(String::as_str)
    }

    /// Adds a target, of which `kept` is never forgotten for it.
    pub(crate) fn aim(&mut self, target: &str, kept: Option<&str>) {
        self.forget(target);
        self.earlier_targets.extend(self.target.take());
        if self.earlier_targets.len() > EARLIER_TARGETS_MAX {
            let mut oldest = self.earlier_targets.iter();
            let oldest = oldest.position(|it| Some(it.as_str()) != kept);
            self.earlier_targets.remove(oldest.unwrap_or(0));
        }
        self.target = Some(target.to_owned());
    }

    /// Removes a target.
    pub(crate) fn forget(&mut self, target: &str) {
        self.earlier_targets.retain(|it| it != target);
        if self.target.as_deref() == Some(target) {
            self.target = self.earlier_targets.pop();
        }
    }
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
    pub layout: u32,
    /// The slot's name.
    pub slot: String,
    /// The file's name as the client gave it.
    pub client_name: String,
    /// The safe name under which the file is stored, where it is not the client's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_name: Option<String>,
    /// The folder below which the file is stored, where the application chose one for this upload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// The declared MIME type.
    pub client_type: String,
    /// The declared size in bytes, where it is known yet.
    #[serde(flatten)]
    pub length: Length,
    /// Whether an unfinished file is whole once its client says so, and not with its last byte.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ends_by_word: bool,
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
    /// Bytes that survive the server's death: what the writer made durable, or `head` (RESUME-2).
    pub offset: u64,
    /// The first `offset` bytes of the file, where it has not come far enough to be judged; else
    /// nothing. Of a file's content, only these are ever in a record.
    #[serde(
        default,
        skip_serializing_if = "Bytes::is_empty",
        serialize_with = "write_head",
        deserialize_with = "read_head"
    )]
    pub head: Bytes,
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
    /// What became of it after it was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unclaimed: Option<Unclaimed>,
    /// Names the registration it began with, and no other, also not of the same ref.
    #[serde(default)]
    pub birth: String,
    /// Milliseconds since the Unix epoch.
    pub created_unix_ms: u64,
    /// Milliseconds since the Unix epoch.
    pub updated_unix_ms: u64,
}

/// The one field that every layout has.
#[derive(Deserialize)]
struct Layout {
    layout: u32,
}

/// Why bytes are not a record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not the JSON of a record.
    #[error("record is malformed")]
    Malformed(#[source] serde_json::Error),
    /// Written by another version.
    #[error("record has layout {0}, which is not known here")]
    Layout(u32),
    /// More than [`RECORD_BYTES_MAX`].
    #[error("record has {0} bytes, more than {RECORD_BYTES_MAX}")]
    TooLarge(usize),
    /// Says things that can not be true together.
    #[error("record contradicts itself")]
    Inconsistent,
}

impl RecordError {
    /// Returns whether it is a record that another version can read, so that it must be left alone.
    pub fn is_of_another_version(&self) -> bool {
        match self {
            Self::Layout(_) => true,
            Self::Malformed(_) | Self::TooLarge(_) | Self::Inconsistent => false,
        }
    }
}

impl Record {
    /// Returns the layout to write: the oldest that can say it, so that an older version which shares
    /// the store leaves alone only what it could not continue.
    pub(crate) fn layout(phase: RecordPhase, length: Length, head: &[u8]) -> u32 {
        match length {
            _ if phase.is_after_complete() => LAYOUT_UNCLAIMED,
            Length::Known(_) if head.is_empty() => 1,
            Length::Known(_) | Length::AtMost(_) => 2,
        }
    }

    /// Reads a record and checks that it makes sense.
    ///
    /// # Errors
    ///
    /// [`RecordError`] for anything that this version did not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(RecordError::TooLarge(bytes.len()));
        }
        // The layout comes first: what another version wrote need not have these fields.
        let layout: Layout = serde_json::from_slice(bytes).map_err(RecordError::Malformed)?;
        if !LAYOUTS.contains(&layout.layout) {
            return Err(RecordError::Layout(layout.layout));
        }
        let record: Self = serde_json::from_slice(bytes).map_err(RecordError::Malformed)?;
        if (record.phase.is_after_complete() && record.layout < LAYOUT_UNCLAIMED)
            || record.offset > record.length.max()
            || record.chunk_size == 0
            || (record.offset > 0 && !record.opened && record.head.is_empty())
            || !(record.head.is_empty() || record.head.len() as u64 == record.offset)
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
            client_size: self.length.known(),
            resumable: Some(true),
            client_id: None,
            last_modified: self.last_modified,
            relative_path: self.relative_path.clone(),
            meta: Some(self.meta.clone()),
        }
    }

    /// Returns what the record counts as (CTRL-3).
    pub fn charge(&self) -> Charge {
        charge(self.phase, self.length, self.offset)
    }

    /// Returns the record in another phase, in the layout that has it.
    pub(crate) fn in_phase(self, phase: RecordPhase) -> Self {
        Self {
            layout: Self::layout(phase, self.length, &self.head),
            phase,
            ..self
        }
    }

    /// Returns the index the next chunk must have after a resume (CHUNK-4).
    pub fn next_index(&self) -> u64 {
        whole_chunks(self.offset, self.chunk_size)
    }
}

fn write_head<S: Serializer>(head: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode_to_string(head))
}

fn read_head<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    let text = String::deserialize(deserializer)?;
    let head = STANDARD.decode_to_vec(text);
    head.map(Bytes::from)
        .map_err(|_| D::Error::custom("no Base64"))
}

/// Returns what a record of an upload counts as in a phase, once so many bytes are here.
pub(crate) fn charge(phase: RecordPhase, length: Length, offset: u64) -> Charge {
    match phase {
        RecordPhase::Receiving | RecordPhase::Completing => {
            Charge::Unfinished(length.counted(offset))
        }
        RecordPhase::Waiting | RecordPhase::Lent => Charge::Waiting(length.max()),
        RecordPhase::Complete | RecordPhase::Taken | RecordPhase::Ended => Charge::Nothing,
    }
}
