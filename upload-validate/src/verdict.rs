//! What a check answers.

use thiserror::Error;

/// The answer of a content check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The file may be stored.
    Accept,
    /// The file must not be stored.
    Refuse(Refusal),
    /// The bytes seen so far do not decide.
    ///
    /// Answered only while the head is shorter than [`HEAD_BYTES`](crate::HEAD_BYTES) and the file goes on.
    NeedMore,
}

/// Why a file is refused.
///
/// The texts are fixed and fit for clients: they carry nothing the client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Refusal {
    /// Neither the extension nor the type is on the slot's accept list.
    #[error("file type not accepted")]
    TypeNotAccepted,
    /// A browser that opens the file could run what is in it.
    #[error("active content is not accepted")]
    ActiveContent,
    /// The bytes are not what the declared type or the extension says.
    #[error("file content does not match its type")]
    ContentMismatch,
}
