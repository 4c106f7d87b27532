//! What the host answers.

use serde_json::Value;
use upload_proto::{Code, UploadRef};

use crate::{Fence, OwnerToken, RecordVersion, Refusal};

/// What a writer's final error was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageFault {
    /// Not allowed to write there.
    Denied,
    /// No room.
    Full,
    /// Too busy, or out of reach; the same may work later.
    Throttled,
    /// Anything else.
    Failed,
}

impl StorageFault {
    /// Returns the wire's code.
    pub fn code(self) -> Code {
        match self {
            Self::Denied => Code::StorageDenied,
            Self::Full => Code::StorageFull,
            Self::Throttled => Code::StorageThrottled,
            Self::Failed => Code::StorageFailed,
        }
    }

    /// Returns whether the bytes kept so far are worth another try (RESUME-10).
    pub(crate) fn is_passing(self) -> bool {
        matches!(self, Self::Full | Self::Throttled)
    }
}

/// What the content check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The file may be stored.
    Accept,
    /// It may not; the code is one of `content_mismatch`, `active_content`,
    /// `type_not_accepted` or `forbidden`.
    Refuse(Refusal),
}

/// What became of a writer's checkpoint since the core heard of it last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckpointChange {
    /// Nothing.
    Same,
    /// It is this one now.
    New(Value),
    /// There is none. Where there was one, nothing could be reopened with it that
    /// became durable since, so the upload is not resumable any more (RESUME-1).
    Absent,
}

/// What a writer did.
#[derive(Debug)]
pub enum WriterEvent {
    /// It is open.
    Opened {
        /// What reopening needs, where the writer can be reopened.
        checkpoint: Option<Value>,
    },
    /// A batch was taken, or some of what was taken became durable.
    Wrote {
        /// Offset up to which the writer took bytes.
        received: u64,
        /// Offset up to which they are durable.
        durable: u64,
        /// Bytes of both that the writer keeps in memory, for more of the file or until they are
        /// durable; none where storage has them all.
        buffered: u64,
        /// What became of the checkpoint by it.
        checkpoint: CheckpointChange,
    },
    /// It is closed; the file has its name.
    Closed {
        /// What clients and applications see.
        result: Value,
    },
    /// The parked writer is back.
    Unparked(Box<Parked>),
    /// Reopened from the checkpoint, at exactly the offset asked for.
    Reopened {
        /// What became of the checkpoint by it.
        checkpoint: CheckpointChange,
    },
    /// An earlier close had taken effect; only its answer was lost.
    ClosedBefore {
        /// The same result as then.
        result: Value,
    },
    /// There is nothing to continue from.
    Gone,
    /// It failed for good.
    Failed(StorageFault),
}

/// What the store did.
#[derive(Debug)]
pub enum StoreEvent {
    /// What is under the key.
    Found(Option<(Vec<u8>, RecordVersion)>),
    /// This process's other holder let go, or there was none.
    Evicted,
    /// The writer that is parked in this process: whose it is, and how many bytes it has taken.
    Parked(Option<(Fence, u64)>),
    /// The record was written.
    Saved(RecordVersion),
    /// The record was deleted.
    Deleted,
    /// Something else is there than was expected.
    Conflict,
    /// The owner has as much as the quota of the save permits; nothing changed.
    OverQuota,
    /// The store did not answer, or refused.
    Failed,
}

/// What became of the removal of a finished upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// It ended with this code, by this removal or before; its file is gone, or will be.
    Ended(Code),
    /// The application has it at this moment.
    Lent,
    /// The application took it.
    Taken,
    /// The store did not answer.
    Failed,
}

/// Finished uploads that a page named and that are offered to no handler.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassedOver {
    /// The application took these before.
    pub taken: Vec<UploadRef>,
    /// These are not known: unfinished, ended and expired ones look alike.
    pub unknown: Vec<UploadRef>,
}

/// What an event handler returned.
#[derive(Clone, Debug, PartialEq)]
pub enum CallOutcome {
    /// Its result.
    Done(Value),
    /// No handler has this name.
    Unknown,
    /// It failed; the application chose what the client receives.
    Failed {
        /// A code of the application.
        reason: Option<String>,
        /// The text; `None` for the fixed one of `event_failed`.
        text: Option<String>,
    },
}

/// An idle upload between two connections of one process.
#[derive(Debug)]
pub struct Parked {
    /// Whose writer it is.
    pub fence: Fence,
    /// Bytes the writer has taken.
    pub received: u64,
    /// How many of them are durable.
    pub durable: u64,
    pub(crate) crc: crate::crc::PrefixCrc,
    /// The newest, which the record may not have.
    pub(crate) checkpoint: Option<Value>,
    pub(crate) token: Option<OwnerToken>,
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisconnectReason {
    /// The client said it is going away (1001): the tab was closed (RESUME-7).
    Left,
    /// Anything else: uploads detach.
    Lost,
}
