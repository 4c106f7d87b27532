//! Which calls a writer may get next: the contract's state, shared by all writers of this crate.

use serde_json::Value;

use crate::error::WriteError;

/// Where a writer stands in its life.
#[derive(Debug, Default)]
pub(crate) enum Life {
    /// Made, not opened.
    #[default]
    New,
    /// Ready for the next call.
    Open,
    /// A call is running, failed, or was given up half way.
    Broken,
    /// Published; what `close` answered.
    Closed(Value),
    /// Thrown away.
    Aborted,
}

impl Life {
    /// Starts `open`. Until [`ready`](Self::ready) the writer counts as broken, which it then stays
    /// should the call fail or its future be dropped.
    pub(crate) fn begin_open(&mut self) -> Result<(), WriteError> {
        match self {
            Self::New => {
                *self = Self::Broken;
                Ok(())
            }
            _ => Err(WriteError::misuse("opened more than once")),
        }
    }

    /// Starts a call that needs an open writer, as [`begin_open`](Self::begin_open) does.
    pub(crate) fn begin(&mut self) -> Result<(), WriteError> {
        self.check()?;
        *self = Self::Broken;
        Ok(())
    }

    /// Checks that a call that needs an open writer may be made.
    pub(crate) fn check(&self) -> Result<(), WriteError> {
        Err(WriteError::misuse(match self {
            Self::Open => return Ok(()),
            Self::New => "called before open",
            Self::Broken => "called after a failure",
            Self::Closed(_) => "called after close",
            Self::Aborted => "called after abort",
        }))
    }

    /// Ends a call that went well.
    pub(crate) fn ready(&mut self) {
        *self = Self::Open;
    }

    /// Ends a call that failed without having begun as one that may break.
    pub(crate) fn failed(&mut self) {
        *self = Self::Broken;
    }

    /// Ends a close that went well.
    pub(crate) fn closed(&mut self, result: &Value) {
        *self = Self::Closed(result.clone());
    }

    /// Tells what `close` answered, for closing again.
    pub(crate) fn result(&self) -> Option<Value> {
        match self {
            Self::Closed(result) => Some(result.clone()),
            _ => None,
        }
    }

    /// Starts an abort; says whether there is anything to throw away.
    pub(crate) fn begin_abort(&mut self) -> bool {
        match self {
            Self::New => {
                *self = Self::Aborted;
                false
            }
            Self::Open | Self::Broken => {
                *self = Self::Aborted;
                true
            }
            Self::Closed(_) | Self::Aborted => false,
        }
    }

    /// Says whether something may be stored that a checkpoint could lead to.
    pub(crate) fn has_stored(&self) -> bool {
        !matches!(self, Self::New | Self::Aborted)
    }
}
