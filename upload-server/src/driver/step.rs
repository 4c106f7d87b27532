//! What a driver is told, what it does next, and what its calls are.

use serde_json::Value;
use tokio_util::sync::ReusableBoxFuture;
use upload_core::{AbortReason, Parked, WriterEvent};
use upload_writers::CheckedWriter;

use super::{
    call::{Done, Job, Storage, Task},
    opening_limit::SMALL_BYTES,
};

/// The future of one call.
pub(super) type Call = ReusableBoxFuture<'static, Done>;

/// How a driver is told to start.
pub(super) enum Start {
    Open(Box<Storage>),
    Reopen {
        storage: Box<Storage>,
        checkpoint: Option<Value>,
        offset: u64,
    },
}

impl Start {
    /// Returns whether storage may have to read much of what it has before the writer is there.
    pub(super) fn is_large(&self) -> bool {
        match self {
            Self::Open(_) => false,
            Self::Reopen {
                storage, offset, ..
            } => *offset > SMALL_BYTES && !storage.factory.traits().reopens_quickly,
        }
    }
}

/// How a driver is told to stop.
pub(super) enum Finish {
    Close,
    Abort(AbortReason),
    Release,
    Park(Box<Parked>),
}

/// What a driver does next.
pub(super) enum Step {
    /// Make this call.
    Run(Job),
    /// Wait to be told more.
    Rest,
    /// Nothing more will come; parked where the writer stays.
    End(Option<(CheckedWriter, Box<Parked>)>),
}

/// The result of a call.
pub(super) enum Finished {
    /// The driver goes on; what the core is to be told, if anything.
    GoesOn(Option<WriterEvent>),
    /// The driver has nothing more to do.
    Ended(Option<WriterEvent>),
}

/// What a running call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Opening,
    Writing,
    Flushing,
    Ending,
}

/// What may give the running call up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interruptible {
    /// Nothing.
    Never,
    /// The end of the upload without a file.
    ByUndoing,
    /// Whatever comes next.
    ByAnything,
}

/// Whether a writer is to be flushed once it has written everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flush {
    /// It is not, or not any more.
    Unasked,
    /// It is, unless something else comes first.
    Asked,
}

impl From<Start> for Task {
    fn from(start: Start) -> Self {
        match start {
            Start::Open(storage) => Self::Open(storage),
            Start::Reopen {
                storage,
                checkpoint,
                offset,
            } => Self::Reopen {
                storage,
                checkpoint,
                offset,
            },
        }
    }
}
