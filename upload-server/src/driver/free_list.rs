//! Memory of calls that are done, for those that come next.
//!
//! It belongs to the connection: of all the uploads that are open, few are in a call at a time.

use std::collections::VecDeque;

use bytes::Bytes;

use super::step::Call;

/// Futures, and queues, that are kept.
const FREE_MAX: usize = 4;

/// Places a queue may have that is kept; one that once was long costs more than it saves.
const FREE_CHUNKS_MAX: usize = 256;

/// Boxes of futures and emptied queues.
#[derive(Default)]
pub(super) struct FreeList {
    calls: Vec<Call>,
    batches: Vec<VecDeque<Bytes>>,
}

impl FreeList {
    /// Returns the box of a call that is done.
    pub(super) fn call(&mut self) -> Option<Call> {
        self.calls.pop()
    }

    /// Returns an empty queue.
    pub(super) fn batch(&mut self) -> VecDeque<Bytes> {
        self.batches.pop().unwrap_or_default()
    }

    /// Keeps the box of a call that is done.
    pub(super) fn keep_call(&mut self, call: Call) {
        if self.calls.len() < FREE_MAX {
            self.calls.push(call);
        }
    }

    /// Keeps an emptied queue.
    pub(super) fn keep_batch(&mut self, batch: VecDeque<Bytes>) {
        let is_worth_it = (1..=FREE_CHUNKS_MAX).contains(&batch.capacity());
        if is_worth_it && self.batches.len() < FREE_MAX {
            self.batches.push(batch);
        }
    }
}
