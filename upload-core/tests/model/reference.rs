//! The reference: an upload as a handful of numbers.

/// Size of a full chunk.
pub(crate) const CHUNK: u64 = 8;
/// What the content gate waits for.
pub(crate) const HEAD: u64 = 10;
/// The window a connection is configured with.
pub(crate) const WINDOW: u64 = 32;
/// Entries a slot takes.
pub(crate) const ENTRIES: usize = 2;

/// What becomes of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Now {
    /// It goes on.
    Live,
    Complete,
    /// With this code.
    Failed(&'static str),
    Cancelled,
}

/// One upload.
#[derive(Clone, Debug)]
pub(crate) struct Reference {
    pub(crate) size: u64,
    pub(crate) received: u64,
    pub(crate) next: u64,
    pub(crate) written: u64,
    pub(crate) credit: u64,
    pub(crate) finish: bool,
    /// The writer was told to close.
    pub(crate) closes: bool,
    pub(crate) now: Now,
}

impl Reference {
    pub(crate) fn new(size: u64, window: u64) -> Self {
        Self {
            size,
            received: 0,
            next: 0,
            written: 0,
            credit: window,
            finish: false,
            closes: false,
            now: Now::Live,
        }
    }

    /// A chunk comes; returns whether its bytes count.
    pub(crate) fn chunk(&mut self, index: u64, length: u64, plain: bool) -> bool {
        if self.finish || length > CHUNK || index < self.next {
            return false;
        }
        if index > self.next {
            if plain {
                self.now = Now::Failed("chunk_out_of_order");
            }
            return false;
        }
        if self.received + length > self.size {
            self.now = Now::Failed("size_exceeded");
            return false;
        }
        self.received += length;
        self.next += 1;
        true
    }

    pub(crate) fn complete(&mut self, is_right: bool, plain: bool) {
        if self.finish {
        } else if self.received < self.size {
            if plain {
                self.now = Now::Failed("incomplete");
            }
        } else if is_right {
            self.finish = true;
        } else {
            self.now = Now::Failed("checksum_mismatch");
        }
    }

    pub(crate) fn cancel(&mut self) {
        if !self.closes {
            self.now = Now::Cancelled;
        }
    }

    pub(crate) fn wrote(&mut self, length: u64, window: u64) {
        self.written += length;
        self.credit = self.credit.max(self.written + window);
    }
}

/// Returns the window that memory allows.
pub(crate) fn window(bytes: u64) -> u64 {
    bytes.min(WINDOW).max(CHUNK + CHUNK.max(HEAD))
}
