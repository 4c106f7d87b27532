//! What can go wrong in a store.

use std::error::Error as StdError;
use std::{fmt, io};

use thiserror::Error;

/// What kind of trouble a store is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// The store cannot be reached, is full, loading, read-only, stopped, or too slow; it may come back.
    ///
    /// Whether the operation took effect is unknown.
    Unavailable,
    /// What is stored cannot be understood.
    Corrupt,
    /// Anything else: trying again will not help.
    Failed,
}

impl fmt::Display for StoreErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unavailable => "unavailable",
            Self::Corrupt => "corrupt",
            Self::Failed => "failed",
        })
    }
}

/// A store could not do what it was asked.
///
/// The text is for logs, never for clients. The record may or may not have changed: a caller that
/// needs to know asks again with [`get`](crate::UploadStateStore::get).
#[derive(Debug, Error)]
#[error("store {kind}: {what}")]
pub struct StoreError {
    kind: StoreErrorKind,
    what: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl StoreError {
    /// Makes an error that says `what` happened.
    pub fn new(kind: StoreErrorKind, what: impl Into<String>) -> Self {
        Self {
            kind,
            what: what.into(),
            source: None,
        }
    }

    /// Attaches the error that caused this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Returns whether the store is open in another process, which serves and sweeps it meanwhile.
    pub fn is_in_use(&self) -> bool {
        let source = self.source.as_ref();
        let source = source.and_then(|source| source.downcast_ref::<io::Error>());
        source.is_some_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Returns the kind of trouble.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }
}

/// A conditional [`put`](crate::UploadStateStore::put) or [`delete`](crate::UploadStateStore::delete)
/// did not happen.
#[derive(Debug, Error)]
pub enum PutError {
    /// The record is not what the caller expected; nothing changed.
    #[error("the record is not the expected one")]
    Conflict,
    /// The record is over [`RECORD_BYTES_MAX`](crate::RECORD_BYTES_MAX); nothing changed.
    #[error("the record has {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// Length of the refused record, in bytes.
        bytes: usize,
        /// The most a record may have, in bytes.
        limit: usize,
    },
    /// The owner has as much as the limit of the put permits; nothing changed.
    #[error("the owner has as much as its limit permits")]
    OverLimit,
    /// The store is in trouble; the record may or may not have changed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl PutError {
    /// Returns whether another holder changed the record since it was read.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_the_kind_and_the_source_stays_behind_it() {
        let cause = std::io::Error::other("connection refused by 10.0.0.7");
        let error = StoreError::new(StoreErrorKind::Unavailable, "no answer").with_source(cause);
        assert_eq!(error.to_string(), "store unavailable: no answer");
        assert!(
            error
                .source()
                .is_some_and(|s| s.to_string().contains("10.0.0.7"))
        );
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    }
}
