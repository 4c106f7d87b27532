//! What an application sees of finished uploads that wait for it.

use std::{fmt, ops::Deref, path::PathBuf, time::Duration};

use serde::{Serialize, Serializer};
use thiserror::Error;
use upload_core::{Record, RecordPhase};
use upload_proto::UploadRef;

use super::{entry::UploadedEntry, lent::targets};

/// A finished upload that was not taken yet, as [`Uploads::list`](crate::Uploads::list) shows it.
#[derive(Clone)]
pub struct WaitingUpload {
    entry: UploadedEntry,
    is_lent: bool,
    expires_in: Duration,
    completed_unix_ms: u64,
}

impl WaitingUpload {
    /// Describes what a record says; `None` if its time is over.
    pub(super) fn of(
        record: &Record,
        upload: UploadRef,
        files: Option<PathBuf>,
        unix_ms: u64,
    ) -> Option<Self> {
        let until = record.unclaimed.as_ref()?.until_unix_ms;
        let is_lent = record.phase == RecordPhase::Lent;
        let left = until.saturating_sub(unix_ms);
        (is_lent || left > 0).then(|| Self {
            entry: UploadedEntry::waiting(record.entry(upload), files, targets(record)),
            is_lent,
            expires_in: Duration::from_millis(left),
            completed_unix_ms: record.updated_unix_ms,
        })
    }

    /// Returns whether a handler has it at this moment.
    pub fn is_lent(&self) -> bool {
        self.is_lent
    }

    /// Returns for how long it waits still.
    pub fn expires_in(&self) -> Duration {
        self.expires_in
    }

    pub(super) fn completed_unix_ms(&self) -> u64 {
        self.completed_unix_ms
    }
}

impl Deref for WaitingUpload {
    type Target = UploadedEntry;

    fn deref(&self) -> &UploadedEntry {
        &self.entry
    }
}

/// As its entry is.
impl Serialize for WaitingUpload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.entry.serialize(serializer)
    }
}

impl fmt::Debug for WaitingUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitingUpload")
            .field("entry", &self.entry)
            .field("is_lent", &self.is_lent)
            .finish_non_exhaustive()
    }
}

/// A finished upload could not be taken or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TakeError {
    /// The application took it before.
    #[error("the upload was taken before")]
    Taken,
    /// There is no finished upload of this owner and ref: it is unfinished, was removed, expired, or never was.
    #[error("there is no finished upload of this owner and ref")]
    Unknown,
    /// Another handler has it, and did not give it back in time.
    #[error("another handler has the upload")]
    Lent,
    /// The loan is over: this process did not renew it in time, and another handler may have the upload.
    #[error("the loan of the upload is over")]
    Lost,
    /// The upload's record is not in a Postgres, so that no transaction can take it.
    #[error("the upload's record is not in postgres")]
    NotInPostgres,
    /// The store does not answer; what was asked may have happened.
    #[error("the store of the upload's record does not answer")]
    Unavailable,
}
