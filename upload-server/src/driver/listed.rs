//! A list in which each entry stands once.

use std::collections::{BTreeSet, VecDeque};

use upload_core::EntryId;

/// Entries in the order in which they were added.
#[derive(Default)]
pub(super) struct Listed {
    queue: VecDeque<EntryId>,
    members: BTreeSet<EntryId>,
}

impl Listed {
    /// Adds an entry at the end, unless it is there already.
    pub(super) fn push(&mut self, entry: EntryId) {
        if self.members.insert(entry) {
            self.queue.push_back(entry);
        }
    }

    /// Takes out the first one.
    pub(super) fn pop(&mut self) -> Option<EntryId> {
        let first = self.queue.pop_front()?;
        self.members.remove(&first);
        Some(first)
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
