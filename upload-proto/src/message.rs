//! Text messages: JSON objects with a `type` (PROTOCOL sections 5 and 6).
//!
//! `client` is what a client says, which `parse` reads with suspicion; `server` is what a server says.

mod client;
mod list;
mod parse;
mod scan;
mod server;
mod snapshot;

pub use client::{ClientMessage, EventCall, EventId, Register, Resume};
pub use list::{ListCall, ListedUpload, UploadList};
pub use scan::nests_deeper;
pub use server::{
    Configs, ErrorMessage, EventPush, EventResult, Limits, Registered, ResumeAck, ResumeStatus,
    Resumed, ServerMessage, SlotConfig,
};
pub use snapshot::{Snapshot, Status, crc32c_hex, parse_crc32c_hex};
