//! The bytes that wait for an upload's writer.
//!
//! A writer says how many bytes are best for a call. While more is being read, the queue waits for that
//! many, so files are written in pieces of several chunks.

use std::{collections::VecDeque, mem};

use bytes::{Bytes, BytesMut};

use super::free_list::FreeList;
use crate::server::limits::TINY_CHUNK_BYTES;

/// Tiny chunks are put together until they are this many bytes.
const TAIL_BYTES: usize = 16 * 1024;

/// What comes for a writer.
pub(super) enum Queue {
    /// It is kept until the writer takes it.
    Open(Waiting),
    /// It has no place to go: the writer failed, or what it wrote is to be undone.
    Halted,
}

/// Bytes that wait, in their order.
#[derive(Default)]
pub(super) struct Waiting {
    chunks: VecDeque<Bytes>,
    /// Tiny chunks that come after `chunks`, put together.
    tail: BytesMut,
    /// Bytes in both.
    bytes: u64,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self::Open(Waiting::default())
    }

    /// Returns how many bytes wait.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Open(waiting) => waiting.bytes,
            Self::Halted => 0,
        }
    }

    /// Adds bytes; returns whether they are kept.
    pub(super) fn push(&mut self, data: Bytes, free_list: &mut FreeList) -> bool {
        match self {
            Self::Open(waiting) if !data.is_empty() => {
                waiting.push(data, free_list);
                true
            }
            Self::Open(_) | Self::Halted => false,
        }
    }

    /// Takes out everything, as one batch, and how many bytes it has; none where nothing waits.
    pub(super) fn take(&mut self) -> Option<(VecDeque<Bytes>, u64)> {
        match self {
            Self::Open(waiting) if waiting.bytes > 0 => Some(waiting.take()),
            Self::Open(_) | Self::Halted => None,
        }
    }
}

impl Waiting {
    fn push(&mut self, data: Bytes, free_list: &mut FreeList) {
        let bytes = u64::try_from(data.len()).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(bytes);
        let is_first = self.chunks.is_empty() && self.tail.is_empty();
        if is_first || data.len() >= TINY_CHUNK_BYTES {
            self.seal_tail();
            if self.chunks.capacity() == 0 {
                self.chunks = free_list.batch();
            }
            self.chunks.push_back(data);
            return;
        }
        // A slice costs more to keep than a few bytes do to copy, and keeps alive what it was cut from.
        if self.tail.is_empty() {
            self.tail.reserve(TAIL_BYTES);
        }
        self.tail.extend_from_slice(&data);
        if self.tail.len() >= TAIL_BYTES {
            self.seal_tail();
        }
    }

    fn take(&mut self) -> (VecDeque<Bytes>, u64) {
        self.seal_tail();
        (mem::take(&mut self.chunks), mem::take(&mut self.bytes))
    }

    fn seal_tail(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push_back(self.tail.split().freeze());
        }
    }
}
