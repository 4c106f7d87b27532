//! What takes the place of the record of an upload that ended.

use std::time::Duration;

use upload_proto::Code;

use crate::Record;

/// How the bytes of an upload that ended are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    /// By its writer.
    ByWriter,
    /// By what looks for expired uploads, since its writer was released: the record names them until then.
    ByRecord,
}

/// What others find of an upload that ended: that it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// With this code.
    pub(crate) code: Code,
    /// At this time, in milliseconds since the Unix epoch.
    pub(crate) unix_ms: u64,
    /// How long the store keeps it.
    pub(crate) kept_for: Duration,
    pub(crate) removal: Removal,
}

impl Mark {
    /// Returns what is to be written in the place of `record`; nothing where that would tell nothing.
    pub(crate) fn of(&self, record: &Record) -> Option<Record> {
        match self.removal {
            Removal::ByWriter => Some(record.marked(self.code, self.unix_ms)),
            Removal::ByRecord => {
                let names_bytes = record.checkpoint.is_some();
                names_bytes.then(|| record.ended(self.code, self.unix_ms))
            }
        }
    }
}
