//! What is sent, and within which times and bounds.

use std::time::Duration;

use serde_json::{Map, Value};
use upload_proto::UploadRef;

/// What is to be sent, and where.
#[derive(Clone, Debug)]
pub struct FileFacts {
    /// The ref to begin with.
    pub upload: UploadRef,
    /// Whether the server may know this ref from an earlier run.
    pub is_known: bool,
    /// The slot's name.
    pub slot: String,
    /// The file's name.
    pub name: String,
    /// Its MIME type, possibly empty.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
    /// Milliseconds since the Unix epoch.
    pub last_modified: Option<u64>,
    /// The path below a folder that is sent as a whole.
    pub relative_path: Option<String>,
    /// Anything the application on the other side wants to know.
    pub meta: Option<Map<String, Value>>,
    /// Names this tab or program, so that it may take over from itself (RESUME-4).
    pub client_id: Option<String>,
}

/// Times and bounds of a sender; every one has a default.
#[derive(Clone, Debug)]
pub struct SenderConfig {
    /// Most reads of the file that are open at once; an answer that comes before its turn
    /// is kept, so this many reads of [`SenderConfig::chunk_bytes_max`] bytes are held at most.
    pub reads_max: usize,
    /// Largest data of a chunk, in bytes, however large chunks the slot takes.
    pub chunk_bytes_max: u32,
    /// Longest silence while an answer is owed, before the connection is dropped.
    pub stall: Duration,
    /// First pause before connecting again; doubled each time.
    pub backoff_min: Duration,
    /// Longest pause before connecting again.
    pub backoff_max: Duration,
    /// Connections and locks in a row without progress before giving up.
    pub attempts_max: u32,
    /// Times the upload begins anew at byte 0 before giving up; progress does not reset them.
    pub restarts_max: u32,
    /// Added to each pause, in percent of it; draw it at random (0 to 50).
    pub jitter_percent: u32,
}

impl Default for SenderConfig {
    fn default() -> Self {
        Self {
            reads_max: 4,
            chunk_bytes_max: 16 * 1024 * 1024,
            stall: Duration::from_secs(45),
            backoff_min: Duration::from_millis(250),
            backoff_max: Duration::from_secs(10),
            attempts_max: 12,
            restarts_max: 8,
            jitter_percent: 0,
        }
    }
}
