//! Lists of an owner's uploads: the question and the answer (PROTOCOL sections 5 and 6).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{client::EventId, snapshot::Status};
use crate::ids::UploadRef;

/// `upload_list` of a client: asks for the owner's uploads that the server's stores know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListCall {
    /// The slot whose uploads are wanted; all where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_name: Option<String>,
    /// What the client recognises the answer by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<EventId>,
}

/// `upload_list` of a server: the answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UploadList {
    /// The `id` of the question, as it was; absent when it had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<EventId>,
    /// At most 256, the newest first.
    pub uploads: Vec<ListedUpload>,
    /// Whether there are others.
    #[serde(default)]
    pub more: bool,
}

/// One upload of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListedUpload {
    /// The upload.
    #[serde(rename = "ref")]
    pub upload: UploadRef,
    /// Its slot.
    pub upload_name: String,
    /// The file's name as the client gave it.
    pub client_name: String,
    /// Its size in bytes, where it is known.
    pub client_size: Option<u64>,
    /// `complete` for one that waits for its application, `uploading` for one that can be resumed.
    pub status: Status,
    /// Bytes that need not be sent again.
    pub bytes_received: u64,
    /// What the writer returned, if complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Seconds until it expires, where they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u64>,
}
