//! How much is sent in one run, and over how many connections.

/// How much is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    /// Connections.
    pub(crate) connections: u32,
    /// Uploads of each connection at a time.
    pub(crate) uploads: u32,
    /// Uploads of each connection, one after the other.
    pub(crate) files: u32,
    /// Bytes of each upload.
    pub(crate) bytes: u64,
    /// Bytes of a chunk.
    pub(crate) chunk: u32,
    /// Round trip that the link adds, in milliseconds.
    pub(crate) round_trip_ms: u32,
    /// One segment in this many stalls the link; 0 for none.
    pub(crate) stall_one_in: u32,
    /// Whether every connection is cut half way and resumes.
    pub(crate) is_cut: bool,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            connections: 1,
            uploads: 1,
            files: 1,
            bytes: 1 << 30,
            chunk: 65536,
            round_trip_ms: 0,
            stall_one_in: 0,
            is_cut: false,
        }
    }
}
