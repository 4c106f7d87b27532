//! What writers hold in memory.

use upload_writers::CheckedWriter;

/// Payload bytes in a writer's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeldBytes {
    /// All of them.
    pub(crate) bytes: u64,
    /// Those that wait for more of their file.
    pub(crate) partial_bytes: u64,
    /// How many more bytes those need until they can leave.
    pub(crate) missing: u64,
}

impl HeldBytes {
    /// Adds what another writer holds.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            partial_bytes: self.partial_bytes.saturating_add(other.partial_bytes),
            missing: self.missing.saturating_add(other.missing),
        }
    }

    /// Takes away what another writer held.
    pub(crate) fn minus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(other.bytes),
            partial_bytes: self.partial_bytes.saturating_sub(other.partial_bytes),
            missing: self.missing.saturating_sub(other.missing),
        }
    }

    /// Returns what a writer holds now.
    pub(crate) fn by(writer: &CheckedWriter) -> Self {
        let buffered = writer.buffered();
        // A writer that does not know what it needs is given a little at a time.
        let missing = match buffered.incomplete {
            0 => 0,
            _ => buffered.missing.max(1),
        };
        Self {
            bytes: buffered.bytes,
            partial_bytes: buffered.incomplete,
            missing,
        }
    }
}
