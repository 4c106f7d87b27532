//! What is due when, found without a look at everything that waits.

use std::collections::{BTreeMap, BTreeSet};

use crate::EntryId;

/// One alarm per entry.
///
/// An alarm that is put off stays where it is: it rings early, finds nothing to do and is set
/// anew. So what happens often, such as a chunk that puts idleness off, costs no queue operation.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    queue: BTreeSet<(T, EntryId)>,
    planned: BTreeMap<EntryId, T>,
}

impl<T: Ord + Copy> Timers<T> {
    pub(crate) fn new() -> Self {
        Self {
            queue: BTreeSet::new(),
            planned: BTreeMap::new(),
        }
    }

    /// Has the alarm of `entry` ring at `at`, or before.
    pub(crate) fn arm(&mut self, entry: EntryId, at: T) {
        match self.planned.get(&entry) {
            Some(planned) if *planned <= at => return,
            Some(planned) => {
                self.queue.remove(&(*planned, entry));
            }
            None => {}
        }
        self.planned.insert(entry, at);
        self.queue.insert((at, entry));
    }

    /// Forgets the alarm of `entry`.
    pub(crate) fn disarm(&mut self, entry: EntryId) {
        if let Some(planned) = self.planned.remove(&entry) {
            self.queue.remove(&(planned, entry));
        }
    }

    /// Returns when the next alarm rings.
    pub(crate) fn next(&self) -> Option<T> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Takes out the alarms that ring at `now` or rang before.
    pub(crate) fn take_due(&mut self, now: T) -> Vec<EntryId> {
        let mut due = Vec::new();
        while let Some((at, entry)) = self.queue.first().copied() {
            if at > now {
                break;
            }
            self.queue.pop_first();
            self.planned.remove(&entry);
            due.push(entry);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_rings_once_and_is_never_late() {
        let mut timers = Timers::new();
        timers.arm(EntryId(1), 10);
        timers.arm(EntryId(2), 5);
        timers.arm(EntryId(1), 20);
        assert_eq!(timers.next(), Some(5));
        assert_eq!(timers.take_due(4), []);
        assert_eq!(timers.take_due(10), [EntryId(2), EntryId(1)]);
        assert_eq!(timers.next(), None);
        timers.arm(EntryId(1), 20);
        timers.arm(EntryId(1), 15);
        assert_eq!(timers.next(), Some(15));
        timers.disarm(EntryId(1));
        assert_eq!((timers.next(), timers.queue.len()), (None, 0));
    }
}
