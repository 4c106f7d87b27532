//! What can happen to a connection: by its client, its host or another connection.

/// One thing that happens to a connection; `n` is one of a few uploads.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Register {
        n: u8,
        size: u8,
    },
    /// A chunk whose index is `skip` past the next one (or before it).
    Chunk {
        n: u8,
        skip: i8,
        length: u8,
    },
    /// With no checksum, the right one, or a wrong one.
    Complete {
        n: u8,
        checksum: Option<bool>,
    },
    Cancel {
        n: u8,
    },
    BadFrame,
    /// The content check answers.
    Judge {
        n: u8,
        accept: bool,
    },
    /// The writer's oldest command is done, or fails.
    Writer {
        n: u8,
        works: bool,
    },
    /// Memory is short, or not.
    Window {
        bytes: u8,
    },
    Pass {
        ms: u16,
    },
    Consume,
}
