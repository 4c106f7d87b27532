//! What the upload does on its connection.
//!
//! ```text
//! Idle ──▶ Asking ──▶ Verifying ──▶ Sending ──▶ Checking ──▶ Completing ──▶ Done
//!  ▲         │           ▲ │           │            │             │
//!  │         │           │ └───────────┴────────────┴──── sent back
//!  └─────────┴── Waiting ◀───────────── deferred
//! ```
//!
//! Any loss of the connection leads to `Idle`, any ending to `Done`. A cancel without a connection
//! leads to `Cancelling`, which the next connection ends.

use std::time::Instant;

use upload_proto::Snapshot;

use super::{
    output::{Outcome, ReadId, SenderPhase},
    reads::Reads,
};

/// What the upload does, with all that it needs for it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Stage {
    /// No connection.
    Idle,
    /// Waits for the answer to a registration or a resume.
    Asking,
    /// The file is read and compared, before a byte is spliced (RESUME-6) or a receipt of an earlier run counts.
    Verifying {
        /// Reads up to where it is compared.
        reads: Reads,
        /// With what.
        at_server: AtServer,
    },
    /// Chunks are sent.
    Sending {
        /// Reads up to the credit.
        reads: Reads,
        /// The index of the next chunk.
        next_index: u32,
    },
    /// Everything is sent; the host looks whether the file changed.
    Checking {
        /// The host's task.
        id: ReadId,
    },
    /// Waits for the receipt.
    Completing,
    /// It asks again later.
    Waiting(Wake),
    /// It is cancelled, and the next connection tells the server so.
    Cancelling,
    /// Over.
    Done(Outcome),
}

/// What ends a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    /// Time.
    At(Instant),
    /// The host ends its pause.
    Unpaused,
    /// The next connection: the server of this one is about to restart.
    Reconnected,
    /// A fresh ref from the host.
    FreshRef,
}

/// What the server says that it has of the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum AtServer {
    /// Its beginning, behind which sending continues.
    Prefix(Goal),
    /// All of it: this is its receipt.
    Whole(Box<Snapshot>),
}

/// Where the server wants the sender to continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Goal {
    /// Where the next chunk begins, in bytes.
    pub(super) offset: u64,
    /// Its index.
    pub(super) next_index: u32,
    /// What the bytes before it must hash to, where the server says.
    pub(super) crc32c: Option<u32>,
}

/// What happens to the upload.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// It is registered, or asked for.
    Asked,
    /// The server took the registration.
    Registered(Reads),
    /// The server holds the upload up to an offset.
    Resumed(Reads, Goal),
    /// The server wants what follows an offset once more (CHUNK-3, COMPLETE-1).
    SentBack(Reads, Goal),
    /// The prefix is the file's.
    Verified,
    /// The last chunk is sent.
    AllSent(ReadId),
    /// The host says that the file did not change.
    Unchanged,
    /// The server says that it has the whole file; its receipt follows.
    ReceiptAnnounced,
    /// The receipt came, and the file is to be compared with it.
    ReceiptToCompare(Reads, Box<Snapshot>),
    /// It asks again later.
    Deferred(Wake),
    /// The connection is lost.
    Lost,
    /// The host cancels while there is no connection.
    CancelledOffline,
    /// It is over.
    Ended(Outcome),
}

impl Stage {
    /// Moves to the next stage; returns false, and changes nothing, where the step has no meaning.
    pub(super) fn step(&mut self, step: Step) -> bool {
        let now = std::mem::replace(self, Self::Idle);
        match now.after(step) {
            Ok(next) => {
                *self = next;
                true
            }
            Err(now) => {
                *self = now;
                false
            }
        }
    }

    /// The table of the machine; a step without meaning gives the stage back.
    fn after(self, step: Step) -> Result<Self, Self> {
        Ok(match (self, step) {
            (now @ Self::Done(_), _) => return Err(now),
            (_, Step::Ended(outcome)) => Self::Done(outcome),
            (Self::Idle, Step::CancelledOffline) | (Self::Cancelling, Step::Lost) => {
                Self::Cancelling
            }
            (_, Step::Lost) => Self::Idle,

            (Self::Idle | Self::Waiting(_), Step::Asked) => Self::Asking,
            (Self::Asking, Step::Registered(reads)) => Self::Sending {
                reads,
                next_index: 0,
            },
            // A late word of an earlier detaching may have made it wait meanwhile.
            (Self::Asking | Self::Waiting(_), Step::Resumed(reads, goal))
            | (
                Self::Sending { .. } | Self::Checking { .. } | Self::Completing,
                Step::SentBack(reads, goal),
            ) => Self::Verifying {
                reads,
                at_server: AtServer::Prefix(goal),
            },
            (Self::Completing, Step::ReceiptToCompare(reads, receipt)) => Self::Verifying {
                reads,
                at_server: AtServer::Whole(receipt),
            },
            (Self::Asking | Self::Waiting(_), Step::ReceiptAnnounced) => Self::Completing,
            (
                Self::Verifying {
                    reads,
                    at_server: AtServer::Prefix(goal),
                },
                Step::Verified,
            ) => Self::Sending {
                reads: Reads::from(reads.next_offset()),
                next_index: goal.next_index,
            },
            (Self::Sending { .. }, Step::AllSent(id)) => Self::Checking { id },
            (Self::Checking { .. }, Step::Unchanged) => Self::Completing,
            (
                Self::Asking
                | Self::Verifying { .. }
                | Self::Sending { .. }
                | Self::Checking { .. }
                | Self::Completing
                | Self::Waiting(_),
                Step::Deferred(wake),
            ) => Self::Waiting(wake),

            (
                now @ Self::Idle,
                Step::Registered(_)
                | Step::Resumed(..)
                | Step::SentBack(..)
                | Step::Verified
                | Step::AllSent(_)
                | Step::Unchanged
                | Step::ReceiptAnnounced
                | Step::Deferred(_)
                | Step::ReceiptToCompare(..),
            )
            | (
                now @ Self::Asking,
                Step::Asked
                | Step::SentBack(..)
                | Step::Verified
                | Step::AllSent(_)
                | Step::Unchanged
                | Step::CancelledOffline
                | Step::ReceiptToCompare(..),
            )
            | (
                now @ Self::Verifying { .. },
                Step::Asked
                | Step::Registered(_)
                | Step::Resumed(..)
                | Step::SentBack(..)
                | Step::AllSent(_)
                | Step::Unchanged
                | Step::ReceiptAnnounced
                | Step::CancelledOffline
                | Step::ReceiptToCompare(..)
                | Step::Verified,
            )
            | (
                now @ Self::Sending { .. },
                Step::Asked
                | Step::Registered(_)
                | Step::Resumed(..)
                | Step::Verified
                | Step::Unchanged
                | Step::ReceiptAnnounced
                | Step::CancelledOffline
                | Step::ReceiptToCompare(..),
            )
            | (
                now @ Self::Checking { .. },
                Step::Asked
                | Step::Registered(_)
                | Step::Resumed(..)
                | Step::Verified
                | Step::AllSent(_)
                | Step::ReceiptAnnounced
                | Step::CancelledOffline
                | Step::ReceiptToCompare(..),
            )
            | (
                now @ Self::Completing,
                Step::Asked
                | Step::Registered(_)
                | Step::Resumed(..)
                | Step::Verified
                | Step::AllSent(_)
                | Step::Unchanged
                | Step::ReceiptAnnounced
                | Step::CancelledOffline,
            )
            | (
                now @ Self::Waiting(_),
                Step::Registered(_)
                | Step::SentBack(..)
                | Step::Verified
                | Step::AllSent(_)
                | Step::Unchanged
                | Step::CancelledOffline
                | Step::ReceiptToCompare(..),
            )
            | (
                now @ Self::Cancelling,
                Step::Asked
                | Step::Registered(_)
                | Step::Resumed(..)
                | Step::SentBack(..)
                | Step::Verified
                | Step::AllSent(_)
                | Step::Unchanged
                | Step::ReceiptAnnounced
                | Step::Deferred(_)
                | Step::CancelledOffline
                | Step::ReceiptToCompare(..),
            ) => return Err(now),
        })
    }

    /// Returns the reads that are open.
    pub(super) fn reads(&mut self) -> Option<&mut Reads> {
        match self {
            Self::Verifying { reads, .. } | Self::Sending { reads, .. } => Some(reads),
            Self::Idle
            | Self::Asking
            | Self::Checking { .. }
            | Self::Completing
            | Self::Waiting(_)
            | Self::Cancelling
            | Self::Done(_) => None,
        }
    }

    /// Returns the stage without what it holds.
    pub(super) fn phase(&self) -> SenderPhase {
        match self {
            Self::Idle => SenderPhase::Offline,
            Self::Asking => SenderPhase::Asking,
            Self::Verifying { .. } => SenderPhase::Verifying,
            Self::Sending { .. } => SenderPhase::Sending,
            Self::Checking { .. } => SenderPhase::Checking,
            Self::Completing => SenderPhase::Completing,
            Self::Waiting(_) => SenderPhase::Waiting,
            Self::Cancelling => SenderPhase::Cancelling,
            Self::Done(_) => SenderPhase::Done,
        }
    }
}

#[cfg(test)]
mod tests;
