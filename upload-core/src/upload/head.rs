//! What the content gate holds back: chunks that no writer may see yet.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Held chunks of fewer bytes are put together, also behind the head.
const TINY_CHUNK_BYTES: usize = 1024;

/// Tiny chunks are put together until they are this many bytes.
const TAIL_BYTES: usize = 16 * 1024;

/// The chunks, in order.
#[derive(Debug, Default)]
pub(crate) struct Head {
    chunks: VecDeque<Bytes>,
    /// Small chunks that come after `chunks`, put together: a slice keeps alive all
    /// that was received along with it, which nobody counts.
    tail: BytesMut,
    /// Payload bytes in both.
    pub(crate) bytes: u64,
}

impl Head {
    /// Begins with what an earlier holder of the upload held back.
    pub(crate) fn from(first: Bytes) -> Self {
        Self {
            chunks: VecDeque::new(),
            bytes: first.len() as u64,
            tail: first.into(),
        }
    }

    /// Returns a copy of everything, in order.
    pub(crate) fn copied(&self) -> Bytes {
        let chunks = self.chunks.iter().flatten().chain(&self.tail);
        chunks.copied().collect()
    }

    /// Adds a chunk. What is part of the head and does not fill it alone would be
    /// copied for the verdict in any case, so it is copied here, once per upload.
    pub(crate) fn push(&mut self, data: Bytes, head_bytes: u32) {
        let lacks_head = self.bytes < u64::from(head_bytes);
        let is_part = lacks_head && data.len() < usize::try_from(head_bytes).unwrap_or(usize::MAX);
        self.bytes = self.bytes.saturating_add(data.len() as u64);
        if is_part || data.len() < TINY_CHUNK_BYTES {
            self.tail.extend_from_slice(&data);
        } else {
            self.seal();
            self.chunks.push_back(data);
        }
        if self.tail.len() >= TAIL_BYTES && !lacks_head {
            self.seal();
        }
    }

    /// Takes out everything, in order.
    pub(crate) fn take(&mut self) -> VecDeque<Bytes> {
        self.seal();
        std::mem::take(self).chunks
    }

    /// Returns the first `limit` bytes: a slice where one chunk covers them,
    /// else a copy, made once per upload.
    pub(crate) fn head(&mut self, limit: usize) -> Bytes {
        self.seal();
        if let Some(first) = self.chunks.front()
            && (first.len() >= limit || self.chunks.len() == 1)
        {
            return first.slice(..first.len().min(limit));
        }
        let mut head = BytesMut::with_capacity(limit);
        for chunk in &self.chunks {
            let room = limit.saturating_sub(head.len());
            if room == 0 {
                break;
            }
            head.extend_from_slice(chunk.get(..room).unwrap_or(chunk));
        }
        head.freeze()
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.chunks
                .push_back(std::mem::take(&mut self.tail).freeze());
        }
    }
}
