//! What the drivers tell their session.

use upload_core::{EntryId, Parked, WriterEvent};
use upload_writers::CheckedWriter;

/// One thing that is told.
pub(crate) enum DriverEvent {
    /// Something for the core.
    Event {
        /// The entry.
        entry: EntryId,
        /// What its writer did.
        event: WriterEvent,
    },
    /// The quiet writer is free to be parked; its driver is gone.
    Parked {
        /// The entry.
        entry: EntryId,
        /// Its writer.
        writer: CheckedWriter,
        /// What the core wants back with it.
        parked: Box<Parked>,
    },
    /// The writer is aborted, released or closed; its driver is gone.
    Rested {
        /// The entry.
        entry: EntryId,
    },
}

impl DriverEvent {
    /// What is told when a driver is gone.
    pub(super) fn end(entry: EntryId, parked: Option<(CheckedWriter, Box<Parked>)>) -> Self {
        match parked {
            Some((writer, parked)) => Self::Parked {
                entry,
                writer,
                parked,
            },
            None => Self::Rested { entry },
        }
    }
}
