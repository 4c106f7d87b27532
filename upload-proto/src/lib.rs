//! Frames and messages of the chunked upload protocol: a zero-copy codec.
//!
//! This crate is the wire contract and nothing else: it reads and writes what PROTOCOL sections
//! 1, 2, 5, 6 and 9 describe, and has no I/O, no clock and no state.
//! Binary messages of the socket are [`Frame`]s, text messages are [`ClientMessage`]s in one
//! direction and [`ServerMessage`]s in the other; every trouble has one [`Code`].
//!
//! ```
//! use bytes::Bytes;
//! use upload_proto::{Frame, UploadRef};
//!
//! let upload: UploadRef = "aabbccdd-eeff-0011-2233-445566778899".parse()?;
//! let chunk = Frame::Chunk { upload, index: 5, data: Bytes::from_static(b"hello world") };
//! assert_eq!(Frame::decode(chunk.encode()), Ok(chunk));
//! # Ok::<(), upload_proto::RefError>(())
//! ```
//!
//! Features only add: `codec` runs the same protocol over a plain byte stream with
//! `tokio_util::codec`, `strategies` offers proptest generators to the tests of other crates.
#![cfg_attr(docsrs, feature(doc_cfg))]
// What a peer sends reaches this code: nothing in it may be able to panic.
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::string_slice,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

#[cfg(feature = "codec")]
pub mod codec;
pub mod limits;
#[cfg(feature = "strategies")]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "only tests reach it"
)]
pub mod strategies;

mod codes;
mod error;
mod frame;
mod ids;
mod message;

pub use codes::{Code, Retry, code_table, error_table};
pub use error::{FrameError, FrameErrorKind, MessageAbout, MessageError, NameError, RefError};
pub use frame::{CHUNK_HEADER_BYTES, Frame, chunk_header};
pub use ids::UploadRef;
pub use limits::close;
pub use message::{
    ClientMessage, Configs, ErrorMessage, EventCall, EventId, EventPush, EventResult, Limits,
    ListCall, ListedUpload, Register, Registered, Resume, ResumeAck, ResumeStatus, Resumed,
    ServerMessage, SlotConfig, Snapshot, Status, UploadList, crc32c_hex, nests_deeper,
    parse_crc32c_hex,
};
