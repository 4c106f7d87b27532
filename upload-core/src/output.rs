//! What the core asks of its host, and what the host answers.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::{Map, Value};
use upload_proto::{Code, Register, ServerMessage, UploadRef};

use crate::{Entry, OwnerToken};

/// A session's own number for an entry or a look-up; never reused within it, so
/// that a late answer can not be taken for a newer one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryId(pub u64);

/// A session's own number for a running event handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub u64);

/// The store's version of a record, opaque to the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecordVersion(pub u64);

/// What a conditional write expects to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordExpect {
    /// No record under this key.
    Absent,
    /// Exactly this version.
    Version(RecordVersion),
}

/// One effect for the host to carry out.
///
/// Exhaustive on purpose: a new effect breaks every host at compile time.
/// Effects of one entry are carried out in order; the writer's commands form a
/// queue, so a command given while another runs waits for it.
#[derive(Debug)]
pub enum Output {
    /// Send this message.
    Send(ServerMessage),
    /// Ask the application whether this upload is allowed; answer with
    /// [`crate::Session::handle_authorized`].
    Authorize {
        /// What waits: a registration, a look-up, or an entry that is all here.
        entry: EntryId,
        /// What the client asked for when it registered.
        register: Arc<Register>,
        /// What happens if it is.
        moment: Moment,
    },
    /// Judge the first bytes; answer with [`crate::Session::handle_verdict`].
    Inspect {
        /// The entry.
        entry: EntryId,
        /// The file's first bytes, up to `head_bytes` of its slot.
        head: Bytes,
        /// Whether these are all bytes of the file.
        is_whole: bool,
    },
    /// Make a writer for [`crate::Session::entry`] and open it; answer with
    /// [`WriterEvent::Opened`] or [`WriterEvent::Failed`].
    Open {
        /// The entry.
        entry: EntryId,
    },
    /// Continue an upload's writer: take the parked one of exactly this epoch
    /// and answer [`WriterEvent::Unparked`], or reopen from the checkpoint at
    /// `offset` and answer [`WriterEvent::Reopened`], [`WriterEvent::ClosedBefore`],
    /// [`WriterEvent::Gone`] or [`WriterEvent::Failed`].
    Reopen {
        /// The entry.
        entry: EntryId,
        /// The epoch under which the upload was parked; a parked writer of any
        /// other epoch is stale and is released.
        epoch: u64,
        /// What the writer said it needs; `None` where it never opened.
        checkpoint: Option<Value>,
        /// Where writing continues, in bytes.
        offset: u64,
        /// CRC32C of everything before it; `None` where checksums are switched off.
        crc32c: Option<u32>,
    },
    /// Append these bytes; answer with [`WriterEvent::Wrote`], once per batch.
    Write {
        /// The entry.
        entry: EntryId,
        /// A slice of the received frame.
        data: Bytes,
    },
    /// End the file; answer with [`WriterEvent::Closed`] or [`WriterEvent::Failed`].
    Close {
        /// The entry.
        entry: EntryId,
    },
    /// Write nothing more of what waits, and keep the writer; nothing is answered.
    /// An [`Output::Abort`] or [`Output::Release`] follows once the store told
    /// whether the upload is still this session's to undo; it means nothing to a
    /// writer that came to its end by itself meanwhile.
    Halt {
        /// The entry.
        entry: EntryId,
    },
    /// Undo what was written; nothing is answered.
    Abort {
        /// The entry.
        entry: EntryId,
        /// Why.
        reason: AbortReason,
    },
    /// Let go of the writer and keep what it stored; nothing is answered.
    Release {
        /// The entry.
        entry: EntryId,
    },
    /// Keep the quiet writer for a return to this process; nothing is answered.
    Park {
        /// The entry, already gone from the session.
        entry: EntryId,
        /// What to give back with [`WriterEvent::Unparked`].
        parked: Box<Parked>,
    },
    /// Read the record of `upload`; answer with [`StoreEvent::Found`] or
    /// [`StoreEvent::Failed`].
    Claim {
        /// The look-up.
        entry: EntryId,
        /// Whose record.
        upload: UploadRef,
        /// The slot that keeps it, where that is known.
        slot: Option<Arc<str>>,
    },
    /// Have this process's connection that holds `upload` give it up
    /// ([`crate::Session::handle_evict`] there); answer with
    /// [`StoreEvent::Evicted`] once it has, or after a bounded wait.
    Evict {
        /// The look-up.
        entry: EntryId,
        /// Which upload.
        upload: UploadRef,
    },
    /// Write the record; answer with [`StoreEvent::Saved`],
    /// [`StoreEvent::Conflict`] or [`StoreEvent::Failed`].
    Save {
        /// The entry.
        entry: EntryId,
        /// Whose record.
        upload: UploadRef,
        /// The slot that keeps it.
        slot: Arc<str>,
        /// At most [`crate::RECORD_BYTES_MAX`] bytes.
        record: Vec<u8>,
        /// What must be there now.
        expect: RecordExpect,
        /// How long it lives from now.
        ttl: Duration,
    },
    /// Delete the record if it is still this version; answer with
    /// [`StoreEvent::Forgotten`], [`StoreEvent::Conflict`] or [`StoreEvent::Failed`].
    Forget {
        /// The entry, perhaps already gone from the session.
        entry: EntryId,
        /// Whose record.
        upload: UploadRef,
        /// The slot that keeps it.
        slot: Arc<str>,
        /// What must be there now.
        expect: RecordVersion,
    },
    /// Run the application's handler; answer with [`crate::Session::handle_call`].
    Call {
        /// The call.
        call: CallId,
        /// The handler's name.
        event: String,
        /// Its parameters.
        params: Map<String, Value>,
    },
    /// Something the host may want to know.
    Notify(Event),
    /// Close the socket with this code; no output follows it but what uploads
    /// need to come to rest.
    Disconnect {
        /// A WebSocket close code (CONN-2).
        code: u16,
    },
}

/// Facts for the host: hooks, counters, log lines.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The session holds this upload from now on.
    Attached(Box<Entry>),
    /// The session holds it no more: ended, parked or lost to another holder.
    Left {
        /// The entry.
        entry: EntryId,
        /// Its ref.
        upload: UploadRef,
    },
    /// The file is stored, its receipt recorded.
    Completed(Box<Entry>),
    /// The upload ended otherwise; `status` says how.
    Ended(Box<Entry>),
    /// The upload left this connection and can be resumed.
    Detached {
        /// The entry as it was.
        entry: Box<Entry>,
        /// Why, where it was not the connection that ended.
        code: Option<Code>,
    },
    /// A frame or message was refused.
    Refused {
        /// With this code.
        code: Code,
        /// About this ref.
        upload: Option<UploadRef>,
    },
}

/// What the application is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Moment {
    /// An upload is about to begin.
    Register,
    /// An upload of an earlier connection is about to go on.
    Resume,
    /// Every byte is here and the file is about to be stored.
    Complete,
}

/// Why a writer is told to undo its work (DESIGN of writers: abort reasons).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbortReason {
    /// More bytes came than this many, the declared size.
    SizeLimit(u64),
    /// The client or the application cancelled.
    Cancelled,
    /// The connection ended and the upload can not be resumed.
    SessionClosed,
    /// No chunk came for too long and the upload can not be resumed.
    Expired,
    /// The bytes are not what the client declared.
    ContentMismatch,
    /// The file's CRC32C is not the one the client gave.
    ChecksumMismatch,
    /// The writer itself failed.
    Storage(StorageFault),
}

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The file may be stored.
    Accept,
    /// It may not; the code is one of `content_mismatch`, `active_content`,
    /// `type_not_accepted` or `forbidden`.
    Refuse(Code),
}

/// What became of a writer's checkpoint since it was told last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckpointNews {
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
    /// A batch was taken.
    Wrote {
        /// Offset up to which the writer took bytes.
        received: u64,
        /// Offset up to which they are durable.
        durable: u64,
        /// What became of the checkpoint by it.
        checkpoint: CheckpointNews,
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
        checkpoint: CheckpointNews,
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
    /// What stands under the key.
    Found(Option<(Vec<u8>, RecordVersion)>),
    /// This process's other holder gave way, or there was none.
    Evicted,
    /// The record was written.
    Saved(RecordVersion),
    /// The record was deleted.
    Forgotten,
    /// Something else stands there than was expected.
    Conflict,
    /// The store did not answer, or refused.
    Failed,
}

/// What an event handler returned.
#[derive(Clone, Debug, PartialEq)]
pub enum CallOutcome {
    /// Its result.
    Done(Value),
    /// No handler has this name.
    Unknown,
    /// It failed, with a text the application chose for the client.
    Failed(Option<String>),
}

/// A quiet upload between two connections of one process.
#[derive(Debug)]
pub struct Parked {
    /// The epoch it was held under.
    pub epoch: u64,
    /// Bytes the writer has taken.
    pub received: u64,
    /// How many of them are durable.
    pub durable: u64,
    pub(crate) crc: crate::crc::Running,
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
