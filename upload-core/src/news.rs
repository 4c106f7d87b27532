//! What became of an upload, in words of no protocol.
//!
//! The room of all uploads says nothing of indices, credit, snapshots or close codes. A door, such
//! as the WebSocket [`crate::Session`], turns this news into what its clients understand.

use std::{collections::VecDeque, sync::Arc};

use upload_proto::Code;

use crate::{Entry, EntryId, Output, Record, Refusal, SlotRules};

/// Why a connection lets go of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The connection is lost.
    Lost,
    /// For this reason, which the client receives.
    Told(Code),
}

impl Why {
    /// Returns the code that the client receives.
    pub fn code(self) -> Option<Code> {
        match self {
            Self::Lost => None,
            Self::Told(code) => Some(code),
        }
    }
}

/// How far an upload has come, in bytes from the beginning of its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// What was received in order.
    pub received: u64,
    /// What its writer took of it.
    pub taken: u64,
    /// What survives the death of the process: never ahead of the record, where one is kept
    /// (RESUME-2).
    pub durable: u64,
}

/// What an upload is, for a door that meets it for the first time.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The entry as it is.
    pub entry: Entry,
    /// The rules of its slot.
    pub slot: Arc<SlotRules>,
    /// How far it has come.
    pub at: Position,
    /// When it was registered, in milliseconds since the Unix epoch.
    pub created_unix_ms: u64,
}

/// What became of an entry.
#[derive(Debug)]
pub enum News {
    /// It is registered, and its record is kept or not.
    Begun {
        /// Whether it can be resumed.
        resumable: bool,
        /// How far it has come; not at the beginning where a registration was repeated.
        at: Position,
    },
    /// It is the registration of another entry once more, whose answer is repeated (CTRL-4).
    Repeated,
    /// It is resumed.
    Continued {
        /// What it is.
        subject: Box<Subject>,
        /// CRC32C of what was received, where it is computed (RESUME-6).
        crc32c: Option<u32>,
    },
    /// It was reached for, and its file turned out to be stored: only its end is missing.
    Finishing(Box<Subject>),
    /// Bytes were taken or became durable.
    Moved(Position),
    /// Its record is kept no more, or once more (RESUME-9).
    Resumable(bool, Position),
    /// The file is stored, and its end is delayed by this trouble, which passes.
    Delayed(Code, Position),
    /// It was refused and never began.
    Refused(Refusal),
    /// What was asked for is answered, and there is no entry.
    Answered(Answer),
    /// It left this connection and can be resumed, or another holder has it.
    Detached(Box<Subject>, Why),
    /// It ended; the entry's status says how.
    Ended(Box<Subject>),
}

/// What is known of an upload that was reached for.
#[derive(Debug)]
pub enum Answer {
    /// Nothing: unknown, foreign and expired look alike (RESUME-5).
    NotFound,
    /// Another holder has it, or nothing can be told now. So many bytes were received.
    Locked(u64),
    /// The store does not answer.
    Unreadable,
    /// It is complete.
    Receipt(Box<Record>),
    /// It ended with this code before.
    Ended(Code),
    /// No connection holds it: this is its record, and so many bytes need not be sent again. They are more
    /// than the record says while its writer is parked in this process.
    Found(Box<Record>, u64),
    /// The application, or a server that restarts, says no.
    Refused(Refusal),
}

/// What comes out of the room, in order.
#[derive(Debug)]
pub enum Effect {
    /// For the host.
    Do(Output),
    /// For the door.
    News(EntryId, News),
}

/// What waits for the door and the host.
///
/// Bounded by construction: an input adds a few effects per upload it touches, and all are drained
/// before the next input.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    queue: VecDeque<Effect>,
}

impl Effects {
    pub(crate) fn push(&mut self, output: Output) {
        self.queue.push_back(Effect::Do(output));
    }

    pub(crate) fn news(&mut self, entry: EntryId, news: News) {
        self.queue.push_back(Effect::News(entry, news));
    }

    pub(crate) fn pop(&mut self) -> Option<Effect> {
        self.queue.pop_front()
    }
}
