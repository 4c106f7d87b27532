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
        claim: Claim,
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
pub(super) enum Claim {
    /// Its beginning, behind which sending goes on.
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
                claim: Claim::Prefix(goal),
            },
            (Self::Completing, Step::ReceiptToCompare(reads, receipt)) => Self::Verifying {
                reads,
                claim: Claim::Whole(receipt),
            },
            (Self::Asking | Self::Waiting(_), Step::ReceiptAnnounced) => Self::Completing,
            (
                Self::Verifying {
                    reads,
                    claim: Claim::Prefix(goal),
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
mod tests {
    use upload_proto::{Status, UploadRef};

    use super::*;

    /// Every stage with every step: the phase it leads to, `None` for a step without meaning.
    #[test]
    fn every_stage_meets_every_step() {
        use SenderPhase::{
            Asking, Cancelling, Checking, Completing, Done, Offline, Sending, Verifying, Waiting,
        };

        let goal = Goal {
            offset: 8,
            next_index: 2,
            crc32c: None,
        };
        let upload = UploadRef::from_bytes([1; 16]);
        let receipt = Box::new(Snapshot::new(upload, Status::Complete));
        let steps = [
            Step::Asked,
            Step::Registered(Reads::from(0)),
            Step::Resumed(Reads::from(0), goal),
            Step::SentBack(Reads::from(0), goal),
            Step::Verified,
            Step::AllSent(ReadId(5)),
            Step::Unchanged,
            Step::ReceiptAnnounced,
            Step::ReceiptToCompare(Reads::from(0), receipt.clone()),
            Step::Deferred(Wake::Unpaused),
            Step::Lost,
            Step::Ended(Outcome::Cancelled),
            Step::CancelledOffline,
        ];
        let (a, v, s, c, m, w) = (
            Some(Asking),
            Some(Verifying),
            Some(Sending),
            Some(Checking),
            Some(Completing),
            Some(Waiting),
        );
        let (lost, end, x) = (Some(Offline), Some(Done), Some(Cancelling));
        let sending = Stage::Sending {
            reads: Reads::from(4),
            next_index: 1,
        };
        let verifying = Stage::Verifying {
            reads: Reads::from(8),
            claim: Claim::Prefix(goal),
        };
        let comparing = Stage::Verifying {
            reads: Reads::from(8),
            claim: Claim::Whole(receipt.clone()),
        };
        let waits = [
            Wake::Unpaused,
            Wake::Reconnected,
            Wake::FreshRef,
            Wake::At(crate::time::tests::epoch()),
        ];
        let waiting = [
            a, None, v, None, None, None, None, m, None, w, lost, end, None,
        ];
        #[rustfmt::skip]
        let mut table = vec![
            //                 asked registered resumed back verified all unchanged receipt compare deferred lost ended cancelled
            (Stage::Idle,       [a,    None, None, None, None, None, None, None, None, None, lost, end,  x]),
            (Stage::Asking,     [None, s,    v,    None, None, None, None, m,    None, w,    lost, end,  None]),
            (verifying.clone(), [None, None, None, None, s,    None, None, None, None, w,    lost, end,  None]),
            (comparing,         [None, None, None, None, None, None, None, None, None, w,    lost, end,  None]),
            (sending,           [None, None, None, v,    None, c,    None, None, None, w,    lost, end,  None]),
            (Stage::Checking { id: ReadId(1) },
                                [None, None, None, v,    None, None, m,    None, None, w,    lost, end,  None]),
            (Stage::Completing, [None, None, None, v,    None, None, None, None, v,    w,    lost, end,  None]),
            (Stage::Cancelling, [None, None, None, None, None, None, None, None, None, None, x,    end,  None]),
            (Stage::Done(Outcome::FileChanged), [None; 13]),
        ];
        table.extend(waits.map(|wake| (Stage::Waiting(wake), waiting)));
        for (stage, row) in table {
            for (step, expected) in steps.iter().zip(row) {
                let mut next = stage.clone();
                let taken = next.step(step.clone());
                assert_eq!(taken.then(|| next.phase()), expected, "{stage:?}, {step:?}");
                assert!(taken || next == stage, "{stage:?}, {step:?}");
            }
        }
        // Sending begins where the goal is.
        let mut next = verifying;
        next.step(Step::Verified);
        let expected = Stage::Sending {
            reads: Reads::from(8),
            next_index: 2,
        };
        assert_eq!(next, expected);
    }
}
