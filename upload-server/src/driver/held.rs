//! What writers hold in memory.

use upload_writers::BoxWriter;

/// Payload bytes in a writer's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// All of them.
    pub(crate) bytes: u64,
    /// Those that wait for more of their file.
    pub(crate) lacking: u64,
}

impl Held {
    /// Adds what another writer holds.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            lacking: self.lacking.saturating_add(other.lacking),
        }
    }

    /// Takes away what another writer held.
    pub(crate) fn minus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(other.bytes),
            lacking: self.lacking.saturating_sub(other.lacking),
        }
    }

    /// Returns what a writer holds now.
    pub(crate) fn by(writer: &BoxWriter) -> Self {
        Self {
            bytes: writer.held(),
            lacking: writer.lacking(),
        }
    }
}
