//! The state of an upload, as the server reports it (PROTOCOL MSG-2).

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::{
    codes::{Code, Retry},
    ids::UploadRef,
};

/// `upload_progress`: the state of an upload (PROTOCOL MSG-2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The upload.
    #[serde(rename = "ref")]
    pub upload: UploadRef,
    /// Percent received, 0 to 100.
    pub progress: u8,
    /// Running, or how it ended.
    pub status: Status,
    /// Bytes taken in order.
    pub bytes_received: u64,
    /// Bytes that survive the death of the server.
    pub bytes_durable: u64,
    /// Index the next chunk must have.
    pub next_index: u64,
    /// Absolute offset up to which the client may send (PROTOCOL CREDIT-1).
    pub credit: u64,
    /// The reason, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// The application's own code, where it chose the text (PROTOCOL MSG-4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Text for people; without a `reason`, it is fixed for each code (PROTOCOL MSG-4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What the client may do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// How long to wait before that, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Whether it outlives the connection, where that changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumable: Option<bool>,
    /// `true`: this connection holds it no more, resume it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detached: Option<bool>,
    /// What the writer returned on completion; any JSON, null included.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub result: Option<Value>,
    /// CRC32C of the stored file, see [`crc32c_hex`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crc32c: Option<String>,
}

impl Snapshot {
    /// Makes a snapshot with nothing received and no reason.
    pub fn new(upload: UploadRef, status: Status) -> Self {
        Self {
            upload,
            progress: 0,
            status,
            bytes_received: 0,
            bytes_durable: 0,
            next_index: 0,
            credit: 0,
            code: None,
            reason: None,
            error: None,
            retry: None,
            retry_after_ms: None,
            resumable: None,
            detached: None,
            result: None,
            crc32c: None,
        }
    }

    /// Gives the snapshot a reason, with the text and the retry that belong to it.
    #[must_use]
    pub fn with_code(mut self, code: Code) -> Self {
        self.code = Some(code);
        self.error = Some(code.text().to_owned());
        self.retry = Some(code.retry());
        self
    }
}

/// Whether an upload is running, or how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Running.
    Uploading,
    /// Stored, durable, under its name (PROTOCOL COMPLETE-3).
    Complete,
    /// Failed or refused.
    Error,
    /// Cancelled by the client or the application.
    Cancelled,
}

/// Writes a CRC32C as messages carry it: 8 lower-case hexadecimal digits.
pub fn crc32c_hex(crc32c: u32) -> String {
    format!("{crc32c:08x}")
}

/// Reads a CRC32C as messages carry it: exactly 8 hexadecimal digits of either case.
pub fn parse_crc32c_hex(text: &str) -> Option<u32> {
    // from_str_radix alone would take a sign and fewer digits.
    if text.len() != 8 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(text, 16).ok()
}

/// Keeps a null that is there apart from a field that is not.
pub(super) fn present<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::message::ServerMessage;

    const REF: &str = "aabbccdd-eeff-0011-2233-445566778899";

    fn value(message: &ServerMessage) -> Value {
        serde_json::from_str(&message.to_json()).unwrap()
    }

    /// MSG-1: a refused registration names its ref, one code, and what belongs to that code.
    #[test]
    fn msg_1_snapshot_with_code_carries_text_and_retry() {
        let mut snapshot = Snapshot::new(REF.parse().unwrap(), Status::Error);
        snapshot.bytes_received = 1;
        snapshot.bytes_durable = 2;
        snapshot.next_index = 3;
        snapshot.credit = 4;
        snapshot = snapshot.with_code(Code::StorageFull);
        assert_eq!(
            value(&ServerMessage::Progress(Box::new(snapshot))),
            json!({
                "type": "upload_progress", "ref": REF, "progress": 0, "status": "error",
                "bytes_received": 1, "bytes_durable": 2, "next_index": 3, "credit": 4,
                "code": "storage_full", "error": "Storage is full", "retry": "later",
            })
        );
    }

    /// FR-15: a plain client finds type, ref, progress and status where it looks for them.
    #[test]
    fn fr_15_plain_fields_of_a_snapshot() {
        let snapshot = Snapshot::new(REF.parse().unwrap(), Status::Uploading);
        let value = value(&ServerMessage::Progress(Box::new(snapshot)));
        assert_eq!(value["type"], "upload_progress");
        assert_eq!(value["ref"], REF);
        assert_eq!(value["progress"], 0);
        assert_eq!(value["status"], "uploading");
        assert_eq!(value.as_object().unwrap().len(), 8);
    }

    /// COMPLETE-3: null from a writer is distinguished from no result.
    #[test]
    fn complete_3_null_is_a_result() {
        let mut snapshot = Snapshot::new(REF.parse().unwrap(), Status::Complete);
        snapshot.result = Some(Value::Null);
        let message = ServerMessage::Progress(Box::new(snapshot));
        assert_eq!(value(&message).get("result"), Some(&Value::Null));
        assert_eq!(
            ServerMessage::parse(&message.to_json()).unwrap(),
            Some(message)
        );
    }

    /// COMPLETE-3: checksums are 8 hexadecimal digits, neither more nor fewer.
    #[test]
    fn complete_3_checksum_text() {
        assert_eq!(crc32c_hex(0x00c0_ffee), "00c0ffee");
        assert_eq!(parse_crc32c_hex("00c0ffee"), Some(0x00c0_ffee));
        assert_eq!(parse_crc32c_hex("00C0FFEE"), Some(0x00c0_ffee));
        for text in ["", "c0ffee", "+0c0ffee", "00c0ffee0", "00c0ffeg", "00c0ffé"] {
            assert_eq!(parse_crc32c_hex(text), None, "{text}");
        }
    }
}
