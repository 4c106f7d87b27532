//! What a server says (PROTOCOL section 6).

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    client::EventId,
    list::UploadList,
    snapshot::{Snapshot, present},
};
use crate::{
    codes::{Code, Retry},
    ids::UploadRef,
};

/// One text message of a server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum ServerMessage {
    /// The first message on every connection.
    #[serde(rename = "upload_configs")]
    Configs(Configs),
    /// An upload may send.
    #[serde(rename = "upload_registered")]
    Registered(Registered),
    /// The state of an upload.
    #[serde(rename = "upload_progress")]
    Progress(Box<Snapshot>),
    /// The answer to a resume.
    #[serde(rename = "upload_resumed")]
    Resumed(Resumed),
    /// The second answer to a resume that named an `upload_id`.
    #[serde(rename = "upload_resume_ack")]
    ResumeAck(ResumeAck),
    /// What the application's handler returned.
    #[serde(rename = "event_result")]
    EventResult(Box<EventResult>),
    /// The owner's uploads.
    #[serde(rename = "upload_list")]
    List(UploadList),
    /// What the application tells the owner's pages.
    #[serde(rename = "event_push")]
    EventPush(EventPush),
    /// A trouble that is not about one live upload.
    #[serde(rename = "error")]
    Error(ErrorMessage),
    /// The server is about to restart.
    #[serde(rename = "draining")]
    Draining {
        /// How long to wait before connecting again, in milliseconds.
        reconnect_after_ms: u64,
    },
    /// The answer to a ping.
    #[serde(rename = "pong")]
    Pong,
}

impl ServerMessage {
    /// Writes the message as JSON text.
    #[expect(clippy::expect_used, reason = "no map of a message has other keys")]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("every map of a message has string keys")
    }

    /// Reads a message; `None` is one whose `type` this version does not know.
    ///
    /// Unknown fields are ignored, so that a newer server can say more.
    ///
    /// # Errors
    ///
    /// The text is not a JSON object with a string `type`, or lacks what its type needs.
    pub fn parse(text: &str) -> Result<Option<Self>, serde_json::Error> {
        #[derive(Deserialize)]
        struct Head<'a> {
            #[serde(borrow, rename = "type")]
            kind: Cow<'a, str>,
        }

        let head: Head<'_> = serde_json::from_str(text)?;
        if !TYPES.contains(&&*head.kind) {
            return Ok(None);
        }
        serde_json::from_str(text).map(Some)
    }
}

/// The names of [`ServerMessage`]'s variants on the wire.
const TYPES: [&str; 11] = [
    "upload_configs",
    "upload_registered",
    "upload_progress",
    "upload_resumed",
    "upload_resume_ack",
    "event_result",
    "event_push",
    "error",
    "draining",
    "upload_list",
    "pong",
];

/// `upload_configs`: what the connection may do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Configs {
    /// Version of the protocol, [`PROTOCOL_VERSION`](crate::limits::PROTOCOL_VERSION).
    pub protocol: u32,
    /// The slots by name.
    pub upload_configs: BTreeMap<String, SlotConfig>,
    /// What holds for the whole connection.
    pub limits: Limits,
}

/// The rules of one slot, as far as a client should know them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlotConfig {
    /// Name of the slot.
    pub name: String,
    /// Extensions and types that are taken, separated by commas; empty for all.
    pub accept: String,
    /// Entries at a time.
    pub max_entries: u32,
    /// Largest file, in bytes.
    pub max_file_size: u64,
    /// Largest data of a chunk, in bytes.
    pub chunk_size: u32,
    /// Whether a chosen file is sent at once.
    pub auto_upload: bool,
    /// Whether an upload outlives its connection.
    pub resumable: bool,
    /// Whether files that a browser would run are taken.
    pub allow_active_content: bool,
    /// Whether the bytes go straight to the storage, by a presigned request; absent when not.
    #[serde(default, skip_serializing_if = "is_false")]
    pub direct: bool,
    /// Whether `client_size` may be null, for a size that is not known yet; absent when not.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unknown_size: bool,
    /// Whether a complete file is the application's at once; otherwise it waits until it is taken (PROTOCOL CTRL-3).
    /// Older servers do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumes_on_complete: Option<bool>,
}

/// What holds for the whole connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Uploads that one owner may have running over all connections.
    pub max_uploads_per_owner: u32,
    /// Largest message the server takes, in bytes (PROTOCOL FRAME-3).
    pub message_bytes_max: u64,
    /// Credit an upload has in front of it when there is room, in bytes (PROTOCOL CREDIT-2).
    pub window_bytes: u64,
    /// Seconds an upload may stand still while it has credit.
    pub idle_upload_seconds: u64,
    /// Seconds between the server's pings.
    pub ping_seconds: u64,
    /// Largest `meta`, in bytes.
    pub meta_bytes_max: u32,
    /// Largest `client_name`, in bytes.
    pub name_bytes_max: u32,
}

/// `upload_registered`: the upload may send its chunks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Registered {
    /// The upload.
    #[serde(rename = "ref")]
    pub upload: UploadRef,
    /// The slot it is in.
    pub upload_name: String,
    /// Largest data of a chunk, in bytes.
    pub chunk_size: u32,
    /// Absolute offset up to which the client may send (PROTOCOL CREDIT-1).
    pub credit: u64,
    /// Whether it outlives the connection.
    pub resumable: bool,
    /// Seconds a resumable upload is kept without progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u64>,
}

/// `upload_resumed`: the answer to a resume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resumed {
    /// The upload.
    #[serde(rename = "ref")]
    pub upload: UploadRef,
    /// Whether, and why not.
    pub status: ResumeStatus,
    /// Offset at which the next chunk begins.
    pub bytes_received: u64,
    /// Index the next chunk must have (PROTOCOL CHUNK-4).
    pub next_index: u64,
    /// Inclusive ranges of received indices.
    pub chunks_received: Vec<[u64; 2]>,
    /// CRC32C of the first `bytes_received` bytes, see [`crc32c_hex`](crate::crc32c_hex) (PROTOCOL RESUME-6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crc32c: Option<String>,
    /// Largest data of a chunk, in bytes.
    pub chunk_size: u32,
    /// Absolute offset up to which the client may send (PROTOCOL CREDIT-1).
    pub credit: u64,
}

/// How a resume went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResumeStatus {
    /// It continues.
    Resumed,
    /// It is already complete.
    Complete,
    /// Unknown, foreign or expired (PROTOCOL RESUME-5).
    NotFound,
    /// Another connection holds it (PROTOCOL RESUME-4).
    Locked,
}

/// `upload_resume_ack`: the second answer to a resume that named an `upload_id`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResumeAck {
    /// The upload.
    pub upload_id: UploadRef,
    /// Whether it continues.
    pub accepted: bool,
    /// Offset at which the next chunk begins.
    pub offset: u64,
}

/// `event_result`: what the application's handler returned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventResult {
    /// The `id` of the call, as it was; absent when it had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<EventId>,
    /// Name of the event.
    pub event: String,
    /// Whether the handler succeeded.
    pub ok: bool,
    /// What it returned; any JSON, null included.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub result: Option<Value>,
    /// `unknown_event` or `event_failed`, if not `ok`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// The application's own code, if its handler failed with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Text for people, if not `ok`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The uploads that the event named and the application took before (PROTOCOL CTRL-6).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken: Vec<UploadRef>,
    /// The uploads that the event named and that are none that can be taken (PROTOCOL CTRL-6).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<UploadRef>,
}

/// `event_push`: what the application tells the owner's pages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventPush {
    /// Name of the event.
    pub event: String,
    /// Any JSON.
    #[serde(default)]
    pub value: Value,
}

/// `error`: a trouble that is not about one upload, or about a ref that has no entry (PROTOCOL MSG-1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorMessage {
    /// The reason.
    pub code: Code,
    /// The application's own code, where it chose the text (PROTOCOL MSG-4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Text for people; without a `reason`, it is fixed for each code (PROTOCOL MSG-4).
    pub error: String,
    /// The ref of the request, if it had a valid one.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<UploadRef>,
    /// What the client may do about it.
    pub retry: Retry,
}

impl ErrorMessage {
    /// Makes an error with the text and the retry that belong to the code.
    pub fn new(code: Code, upload: Option<UploadRef>) -> Self {
        Self {
            code,
            reason: None,
            error: code.text().to_owned(),
            upload,
            retry: code.retry(),
        }
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const REF: &str = "aabbccdd-eeff-0011-2233-445566778899";

    fn value(message: &ServerMessage) -> Value {
        serde_json::from_str(&message.to_json()).unwrap()
    }

    /// MSG-1: an error names a ref only if the request had a valid one.
    #[test]
    fn msg_1_error_names_a_valid_ref_only() {
        let with = ErrorMessage::new(Code::RefInUse, REF.parse().ok());
        assert_eq!(
            value(&ServerMessage::Error(with)),
            json!({
                "type": "error", "code": "ref_in_use", "ref": REF,
                "error": "Upload reference already in use", "retry": "never",
            })
        );
        let without = ErrorMessage::new(Code::BadFrame, None);
        assert_eq!(
            value(&ServerMessage::Error(without)),
            json!({
                "type": "error", "code": "bad_frame",
                "error": "Invalid upload frame", "retry": "never",
            })
        );
    }
}
