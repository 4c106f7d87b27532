//! What the core asks of its host, sorted by who has to do it.
//!
//! An answer carries the id of its entry, not the ref of its upload: a ref can come back on the same
//! connection, an id cannot, so a late answer never reaches the wrong upload. Outputs are exhaustive:
//! a new one does not compile until every host carries it out.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::{Map, Value};
use upload_proto::{Code, Register, ServerMessage, UploadRef, close};

use crate::{Charge, Entry, OwnerQuota, Parked};

/// A session's own number for an entry; never reused within it, so that a late answer can not be
/// taken for a newer one's.
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

/// One effect for the host to carry out, by addressee.
///
/// Exhaustive on purpose: a new effect breaks every host at compile time. Effects of one entry are
/// carried out in order; a writer's orders form a queue, so an order given while another runs waits
/// for it.
#[derive(Debug)]
pub enum Output {
    /// To the client: send this message.
    Send(ServerMessage),
    /// To the entry's writer; what is answered is a [`crate::WriterEvent`].
    Writer(EntryId, Order),
    /// To the store; what is answered is a [`crate::StoreEvent`].
    Store(EntryId, Query),
    /// To what knows which connection of this process holds what.
    Neighbour(EntryId, Notice),
    /// To the application.
    App(Question),
    /// To whatever counts and logs; nothing depends on it.
    Fact(Fact),
    /// Close the socket. Nothing is sent after it.
    Close(CloseReason),
}

/// What a writer is to do.
#[derive(Debug)]
pub enum Order {
    /// Make a writer for [`crate::Door::entry`] and open it; answer with
    /// [`crate::WriterEvent::Opened`] or [`crate::WriterEvent::Failed`].
    Open,
    /// Continue an upload's writer: take the parked one of exactly this fence and answer
    /// [`crate::WriterEvent::Unparked`], or reopen from the checkpoint at `offset` and answer
    /// [`crate::WriterEvent::Reopened`], [`crate::WriterEvent::ClosedBefore`],
    /// [`crate::WriterEvent::Gone`] or [`crate::WriterEvent::Failed`].
    Reopen {
        /// Whose writer it is; a parked one of another registration or epoch is
        /// stale and is released.
        fence: Fence,
        /// What the writer said it needs; `None` where it never opened.
        checkpoint: Option<Value>,
        /// Where writing continues, in bytes.
        offset: u64,
        /// CRC32C of everything before it; `None` where checksums are switched off.
        crc32c: Option<u32>,
    },
    /// Append these bytes, a slice of the received frame; answer with
    /// [`crate::WriterEvent::Wrote`], once per batch.
    Write(Bytes),
    /// Make durable what was taken, as far as that can be before the file ends; answer with
    /// [`crate::WriterEvent::Wrote`]. Whatever is ordered next ends it: then it need not be answered.
    /// It is asked for again as long as that makes more durable.
    Flush,
    /// End the file; answer with [`crate::WriterEvent::Closed`] or
    /// [`crate::WriterEvent::Failed`].
    Close,
    /// Write nothing more of what waits, and keep the writer; nothing is answered. An
    /// [`Order::Abort`] or [`Order::Release`] follows once the store told whether the upload is
    /// still this session's to undo; it means nothing to a writer that ended by itself meanwhile.
    Halt,
    /// Undo what was written; nothing is answered.
    Abort(AbortReason),
    /// Let go of the writer and keep what it stored; nothing is answered.
    Release,
    /// Remove the stored file of this entry, whose `result` is what its close returned; nothing is answered. The
    /// entry is already gone from the session.
    Remove(Box<Entry>),
    /// Keep the idle writer for a return to this process; nothing is answered. The entry is
    /// already gone from the session.
    Park {
        /// Which upload it belongs to.
        upload: UploadRef,
        /// What to give back with [`crate::WriterEvent::Unparked`].
        parked: Box<Parked>,
    },
}

/// What the store is to do.
#[derive(Debug)]
pub enum Query {
    /// Read the record of an upload; answer with [`crate::StoreEvent::Found`] or
    /// [`crate::StoreEvent::Failed`].
    Read {
        /// Whose record.
        upload: UploadRef,
        /// The slot that keeps it, where that is known.
        slot: Option<Arc<str>>,
    },
    /// Write the record; answer with [`crate::StoreEvent::Saved`],
    /// [`crate::StoreEvent::Conflict`], [`crate::StoreEvent::OverQuota`] or
    /// [`crate::StoreEvent::Failed`]. It is in a box, since most outputs are smaller.
    Save(Box<Save>),
    /// Delete the record if it is still this version; answer with
    /// [`crate::StoreEvent::Deleted`], [`crate::StoreEvent::Conflict`] or
    /// [`crate::StoreEvent::Failed`]. The entry may be gone from the session.
    Delete {
        /// Whose record.
        upload: UploadRef,
        /// The slot that keeps it.
        slot: Arc<str>,
        /// What must be there now.
        expect: RecordVersion,
    },
}

/// A record to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Save {
    /// Whose record.
    pub upload: UploadRef,
    /// The slot that keeps it.
    pub slot: Arc<str>,
    /// At most [`crate::RECORD_BYTES_MAX`] bytes.
    pub record: Vec<u8>,
    /// What must be there now.
    pub expect: RecordExpect,
    /// How long it lives from now.
    pub ttl: Duration,
    /// What it counts as among the records of its owner.
    pub charge: Charge,
    /// The most of that kind the owner may have, with this one; checked in the same step.
    pub quota: Option<OwnerQuota>,
}

/// What the other connections of the process have to know, or to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// This connection wants to hold the upload; answer with [`crate::Door::handle_reserved`],
    /// before anything else reaches the session. It is free unless another connection of the
    /// process reserved or holds it.
    Reserve(UploadRef),
    /// This connection holds the upload from now on, and no other one of the process does.
    Hold(UploadRef),
    /// This connection holds it no more, or gives a reservation back. Others may have it once its
    /// writer is idle.
    LetGo(UploadRef),
    /// Tell whose writer is parked for the upload in this process, if one is, and how far it came;
    /// answer with [`crate::StoreEvent::Parked`]. It stays parked.
    FindParked(UploadRef),
    /// Have the connection that holds the upload let go of it
    /// ([`crate::Door::handle_evict`] there); answer with [`crate::StoreEvent::Evicted`] once it
    /// has, or after a bounded wait.
    Evict(UploadRef),
}

/// What the application is asked.
#[derive(Debug)]
pub enum Question {
    /// Is this upload allowed? Answer with [`crate::Door::handle_authorized`], or with
    /// [`crate::Door::handle_undecided`].
    Authorize {
        /// The entry that waits.
        entry: EntryId,
        /// What the client asked for when it registered.
        register: Arc<Register>,
        /// What happens if it is.
        stage: AuthorizeStage,
    },
    /// Judge the first bytes; answer with [`crate::Door::handle_verdict`].
    Inspect {
        /// The entry that waits.
        entry: EntryId,
        /// The file's first bytes, up to `head_bytes` of its slot.
        head: Bytes,
        /// Whether these are all bytes of the file.
        is_whole: bool,
    },
    /// The file is stored: make sure that the application will hear of it, so that no receipt is
    /// ever recorded without that; answer with [`crate::Door::handle_announced`]. Asked only
    /// where [`crate::SessionConfig::announces`] says so.
    Announce {
        /// The entry that waits.
        entry: EntryId,
        /// What the writer returned from close.
        result: Value,
    },
    /// Remove a finished upload that was not taken ([`crate::Record::remove`]); answer with
    /// [`crate::Door::handle_removed`].
    Remove {
        /// The entry that waits.
        entry: EntryId,
        /// Which upload.
        upload: UploadRef,
    },
    /// List the owner's uploads that stores know; answer with [`crate::Door::handle_listed`].
    List {
        /// The question.
        call: CallId,
        /// The slot whose uploads are wanted, or all.
        slot: Option<String>,
    },
    /// Run the application's handler; answer with [`crate::Door::handle_call`].
    Call {
        /// The call.
        call: CallId,
        /// The handler's name.
        event: String,
        /// Its parameters.
        params: Map<String, Value>,
        /// The finished uploads to offer it, in this order (CTRL-6).
        uploads: Vec<UploadRef>,
    },
}

/// Facts for the host: hooks, counters, log lines.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// An upload begins, or is resumed.
    Attached(Box<Entry>),
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

/// Why a socket is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// Nothing was said for too long (CONN-3).
    Idle,
    /// Too much had to be refused (CONN-4).
    Abusive,
    /// The server restarts, and nothing is left to do here.
    Restarting,
}

impl CloseReason {
    /// Returns the WebSocket close code (CONN-2).
    pub fn code(self) -> u16 {
        match self {
            Self::Idle => close::IDLE,
            Self::Abusive => close::ABUSIVE,
            Self::Restarting => close::RESTARTING,
        }
    }
}

/// What the application is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthorizeStage {
    /// An upload is about to begin.
    Register,
    /// An upload of an earlier connection is about to be resumed.
    Resume,
    /// Every byte is here and the file is about to be stored.
    Complete,
}

/// Why a writer is asked to undo its work.
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
    Storage(crate::StorageFault),
}

/// Which registration a writer belongs to, and under which holder it wrote last.
///
/// Every registration begins at epoch 1, so the epoch alone can not tell two uploads
/// of the same ref apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fence {
    /// Names one registration, and no other one of the same ref.
    pub registration: Arc<str>,
    /// Rises with every holder.
    pub epoch: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each is moved a few times on its way to the host.
    #[test]
    fn an_output_is_small() {
        assert!(size_of::<Output>() <= 112, "{}", size_of::<Output>());
    }
}
