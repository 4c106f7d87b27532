//! What a client says (PROTOCOL section 5): the types, and how they are written.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use super::list::ListCall;
use crate::ids::UploadRef;

/// One text message of a client.
///
/// [`ClientMessage::parse`] is the only way to read one.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type")]
pub enum ClientMessage {
    /// Offers a file to a slot.
    #[serde(rename = "upload_register")]
    Register(Register),
    /// Wants to resume an upload of an earlier connection.
    #[serde(rename = "upload_resume")]
    Resume(Resume),
    /// Runs a handler of the application.
    #[serde(rename = "event")]
    Event(EventCall),
    /// Asks for the owner's uploads.
    #[serde(rename = "upload_list")]
    List(ListCall),
    /// Wants a pong.
    #[serde(rename = "ping")]
    Ping,
}

impl ClientMessage {
    /// Writes the message as JSON text.
    #[expect(clippy::expect_used, reason = "no map of a message has other keys")]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("every map of a message has string keys")
    }
}

/// `upload_register`: offers a file to a slot.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Register {
    /// The ref the client made for it; not nil.
    #[serde(rename = "ref")]
    pub upload: UploadRef,
    /// Name of the slot.
    pub upload_name: String,
    /// Name of the file as the client has it, for display only; at most 4 KiB.
    pub client_name: String,
    /// MIME type as the client believes; empty if it does not know, at most 255 bytes.
    pub client_type: String,
    /// Size of the file in bytes, at most 2^53-1; `None` where it is not known yet (written as null).
    pub client_size: Option<u64>,
    /// Whether the client wants to resume it; `None` leaves that to the slot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resumable: Option<bool>,
    /// Which client of the owner this is; at most 128 bytes (PROTOCOL RESUME-4).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// When the file was last changed, in milliseconds since 1970, at most
    /// [`DATE_MS_MAX`](crate::limits::DATE_MS_MAX); a time that is no such date is not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<u64>,
    /// Path of the file inside a chosen directory, for display only; at most 4 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relative_path: Option<String>,
    /// What the application wants to know besides; at most 4 KiB of JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta: Option<Map<String, Value>>,
}

/// `upload_resume`: wants to resume an upload of an earlier connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The upload; not nil.
    pub upload: UploadRef,
    /// Whether the request named it by `upload_id` and not by `ref`, so that it wants an `upload_resume_ack` too.
    pub by_upload_id: bool,
    /// Offset at which the client believes to be; the server knows better.
    pub offset: Option<u64>,
    /// Which client of the owner this is; at most 128 bytes (PROTOCOL RESUME-4).
    pub client_id: Option<String>,
}

impl Serialize for Resume {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields<'a> {
            #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
            upload: Option<UploadRef>,
            #[serde(skip_serializing_if = "Option::is_none")]
            upload_id: Option<UploadRef>,
            #[serde(skip_serializing_if = "Option::is_none")]
            offset: Option<u64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            client_id: Option<&'a str>,
        }

        Fields {
            upload: (!self.by_upload_id).then_some(self.upload),
            upload_id: self.by_upload_id.then_some(self.upload),
            offset: self.offset,
            client_id: self.client_id.as_deref(),
        }
        .serialize(serializer)
    }
}

/// `event`: runs a handler of the application.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EventCall {
    /// Name of the handler; at most 128 bytes.
    pub event: String,
    /// What it is called with; empty if the message has none.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub params: Map<String, Value>,
    /// What the client recognises the answer by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<EventId>,
    /// The finished uploads that the page shows and that were not taken, at most 1,024; `None` means those of
    /// this connection (PROTOCOL CTRL-6).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uploads: Option<Vec<UploadRef>>,
}

/// What a client recognises the answer to an event by; it is sent back as it came.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EventId {
    /// A JSON integer.
    Integer(i64),
    /// A JSON string of at most 128 bytes.
    Text(String),
}
