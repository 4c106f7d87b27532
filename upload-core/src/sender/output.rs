//! What a sender asks of its host, and what it tells.

use serde_json::Value;
use upload_proto::{ClientMessage, Code, Frame};

/// Names one question about the file: a read or a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReadId(pub u64);

/// One effect for the host to carry out.
///
/// Carry out frames only as the socket takes them: what is not polled yet is
/// not read from the file either.
#[derive(Clone, Debug, PartialEq)]
pub enum SenderOutput {
    /// Connect; answer with [`Sender::handle_connected`](crate::Sender::handle_connected) or
    /// [`Sender::handle_disconnected`](crate::Sender::handle_disconnected).
    Connect,
    /// Drop the connection, it is dead; answer with
    /// [`Sender::handle_disconnected`](crate::Sender::handle_disconnected).
    Disconnect,
    /// Send this text message.
    Message(ClientMessage),
    /// Send this binary message.
    Frame(Frame),
    /// Read from the file; answer with [`Sender::handle_data`](crate::Sender::handle_data),
    /// in any order.
    Read {
        /// Names the read in its answer.
        id: ReadId,
        /// Where, in bytes.
        offset: u64,
        /// How much, in bytes; fewer bytes mean that the file shrank.
        length: u32,
    },
    /// Every byte was read: find out whether the file still is what it was when its size was
    /// taken (same size, same time of change); answer with
    /// [`Sender::handle_checked`](crate::Sender::handle_checked).
    ///
    /// Nothing is completed before, so a file that was written to meanwhile is never stored
    /// half old and half new. A size of 0 is confirmed by reading: some files tell no size.
    CheckFile {
        /// Names the check in its answer.
        id: ReadId,
    },
    /// The upload begins anew and needs a fresh ref; answer with
    /// [`Sender::handle_ref`](crate::Sender::handle_ref).
    NeedRef,
}

/// What a host found when it was asked to check the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileCheck {
    /// The file is what it was.
    Unchanged,
    /// Its size or its time of change differs, or bytes are where none should be.
    Changed,
}

/// Where a sender is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SenderPhase {
    /// No connection.
    Offline,
    /// Waits for the answer to a registration or a resume.
    Asking,
    /// The file's prefix is read and compared.
    Verifying,
    /// Chunks are sent.
    Sending,
    /// Everything is sent; the host checks that the file did not change.
    Checking,
    /// The server puts the file away.
    Completing,
    /// The server asked to come back later, or the host owes a ref.
    Waiting,
    /// It is cancelled, and the next connection tells the server so.
    Cancelling,
    /// Over; [`Sender::outcome`](crate::Sender::outcome) tells how.
    Done,
}

/// How far an upload has come, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Where the sender is.
    pub phase: SenderPhase,
    /// Handed to the socket, or compared with what the server has.
    pub sent: u64,
    /// Taken by the server.
    pub received: u64,
    /// Safe on the server.
    pub durable: u64,
    /// The file's size.
    pub size: u64,
}

/// How an upload ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The server has the whole file.
    Complete {
        /// What the server's writer said of it.
        result: Value,
        /// CRC32C of the whole file as the server computed it, 8 hex digits.
        crc32c: Option<String>,
    },
    /// The server refused or gave up, with this code and text.
    Refused {
        /// Why.
        code: Code,
        /// The server's text for people.
        text: String,
    },
    /// Cancelled here.
    Cancelled,
    /// The file is not what it was when the upload began.
    FileChanged,
    /// No connection, or no progress, too many times in a row.
    Unreachable {
        /// The server's reason for the last attempt, where it gave one.
        code: Option<Code>,
    },
    /// The server said what the protocol forbids, so nothing it says can be relied on.
    ProtocolViolation(Violation),
}

/// What a server said that the protocol forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A `crc32c` is not 8 hexadecimal digits (RESUME-6, COMPLETE-3).
    #[error("the server sent a checksum that cannot be read")]
    UnreadableChecksum,
    /// It asks for bytes or chunks past the end of the file.
    #[error("the server asks for more than the file has")]
    PastTheEnd,
}
