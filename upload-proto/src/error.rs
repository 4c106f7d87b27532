//! What can be wrong with bytes and text from the other side.
//!
//! All of them are plain values: comparable, without a source, cheap to copy.

use thiserror::Error;

use crate::{codes::Code, ids::UploadRef};

/// The text is not a UUID in its canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a canonical uuid")]
pub struct RefError;

/// The text names no [`Code`](crate::Code).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a name of the protocol")]
pub struct NameError;

/// A binary message that is no frame: `bad_frame` on the wire (PROTOCOL FRAME-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{kind}")]
pub struct FrameError {
    /// What is wrong with it.
    pub kind: FrameErrorKind,
    /// The upload it names: the first byte is a known type, and the 16 bytes after it are there and not nil.
    pub upload: Option<UploadRef>,
}

/// Why a binary message is no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameErrorKind {
    /// There is no first byte.
    #[error("empty frame")]
    Empty,
    /// The first byte is none of the frame types.
    #[error("unknown frame type {0:#04x}")]
    UnknownType(u8),
    /// The frame ends before its fixed fields do.
    #[error("frame of {length} bytes, at least {needed} needed")]
    TooShort {
        /// Bytes there are.
        length: usize,
        /// Bytes a frame of this type has at least.
        needed: usize,
    },
    /// Bytes stand where the frame should have ended.
    #[error("{extra} bytes after the end of the frame")]
    TrailingBytes {
        /// Bytes past the 17 of a complete or cancel frame.
        extra: usize,
    },
}

/// A text message that cannot be taken, with all that its answer needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{code}")]
pub struct MessageError {
    /// One of `bad_message`, `unknown_type`, `bad_ref`, `bad_name`, `bad_size`, `bad_meta`.
    pub code: Code,
    /// The well-formed ref of the request, if it has one that is not nil (PROTOCOL MSG-1).
    pub upload: Option<UploadRef>,
    /// Which kind of message it was.
    pub about: MessageAbout,
}

/// The kind of message an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageAbout {
    /// None of the others, or it could not be told.
    Unknown,
    /// `upload_register`.
    Register,
    /// `upload_resume`.
    Resume,
    /// `event`.
    Event,
}
