//! What writers hold in memory.

use upload_writers::CheckedWriter;

/// Payload bytes in a writer's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeldBytes {
    /// All of them.
    pub(crate) bytes: u64,
    /// Those that wait for more of their file.
    pub(crate) partial_bytes: u64,
}

impl HeldBytes {
    /// Adds what another writer holds.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            partial_bytes: self.partial_bytes.saturating_add(other.partial_bytes),
        }
    }

    /// Takes away what another writer held.
    pub(crate) fn minus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(other.bytes),
            partial_bytes: self.partial_bytes.saturating_sub(other.partial_bytes),
        }
    }

    /// Returns what a writer holds now.
    pub(crate) fn by(writer: &CheckedWriter) -> Self {
        let buffered = writer.buffered();
        Self {
            bytes: buffered.bytes,
            partial_bytes: buffered.incomplete,
        }
    }
}
