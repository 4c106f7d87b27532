//! How much is sent in one run, how, and over how many connections.

use std::fmt;

/// How files are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    /// Over the WebSocket.
    Socket,
    /// By tus, in a PATCH for each piece of this many bytes.
    Tus {
        /// Bytes of a PATCH; those of the file, if it is smaller.
        piece: u64,
    },
    /// By one POST.
    Plain,
}

impl fmt::Display for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Socket => "socket",
            Self::Tus { piece: u64::MAX } => "tus",
            Self::Tus { .. } => "tus, 1 MiB",
            Self::Plain => "plain",
        })
    }
}

/// How much is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    /// How it is sent.
    pub(crate) spoken: Spoken,
    /// Connections.
    pub(crate) connections: u32,
    /// Uploads of each connection at a time.
    pub(crate) uploads: u32,
    /// Uploads of each connection, one after the other.
    pub(crate) files: u32,
    /// How many of those are in flight at a time, none of which waits for another; 0: each waits for the one
    /// before.
    pub(crate) in_flight: u32,
    /// Bytes of each upload.
    pub(crate) bytes: u64,
    /// Bytes of a chunk.
    pub(crate) chunk: u32,
    /// Round trip that the link adds, in milliseconds.
    pub(crate) round_trip_ms: u32,
    /// One segment in this many stalls the link; 0 for none.
    pub(crate) stall_one_in: u32,
    /// Whether the first chunk of every upload is there before the run begins.
    pub(crate) is_begun: bool,
    /// Whether every connection is cut half way and resumes.
    pub(crate) is_cut: bool,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            spoken: Spoken::Socket,
            connections: 1,
            uploads: 1,
            files: 1,
            in_flight: 0,
            bytes: 1 << 30,
            chunk: 65536,
            round_trip_ms: 0,
            stall_one_in: 0,
            is_begun: false,
            is_cut: false,
        }
    }
}
