//! Whose writer is opened next, where a client begins many uploads at once.
//!
//! Storage opens so many writers at a time, in the order in which they were asked for. Without a limit
//! of its own, one connection with hundreds of them would have everybody else's wait behind them; and
//! what is left before its turn comes needs no writer at all.
//!
//! Storage may also read what it has of an upload again, as files do after a reboot of the system, and it
//! does that for a few uploads at a time. So the large uploads of a connection are reopened one after
//! another, next to its small ones. What remains: each upload over HTTP has its visit, and a client may have
//! several connections. Only the limits on visits and connections bound how many large uploads of one owner
//! are reopened before those of others.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use upload_core::EntryId;

/// Writers of one slot and connection that are opened at once.
pub(super) const OPENINGS_MAX: usize = 16;
/// Large uploads of one slot and connection that are reopened at once, next to those.
const LARGE_MAX: usize = 1;
/// How much storage may have to read of an upload that is not large, in bytes.
pub(super) const SMALL_BYTES: u64 = 1024 * 1024;

/// Openings that wait for each other; slots do not, as their storage differs, and large uploads are apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Line {
    pub(super) slot: Arc<str>,
    pub(super) is_large: bool,
}

impl Line {
    fn openings_max(&self) -> usize {
        match self.is_large {
            true => LARGE_MAX,
            false => OPENINGS_MAX,
        }
    }
}

/// The openings of one connection.
#[derive(Default)]
pub(super) struct Openings {
    by_line: BTreeMap<Line, Turns>,
}

#[derive(Default)]
struct Turns {
    /// How many are under way.
    count: usize,
    /// In the order in which they came: entries are counted upwards.
    waiting: BTreeSet<EntryId>,
}

impl Openings {
    /// Begins one, or has the entry wait for its turn; returns whether it may begin. None that came
    /// later goes before it.
    pub(super) fn enter(&mut self, line: Line, entry: EntryId) -> bool {
        let most = line.openings_max();
        let turns = self.by_line.entry(line).or_default();
        let first = turns.waiting.first();
        let may = turns.count < most && first.is_none_or(|first| entry < *first);
        if may {
            turns.count = turns.count.saturating_add(1);
        } else {
            turns.waiting.insert(entry);
        }
        may
    }

    /// Ends one.
    pub(super) fn leave(&mut self, line: &Line) {
        if let Some(turns) = self.by_line.get_mut(line) {
            turns.count = turns.count.saturating_sub(1);
            self.tidy(line);
        }
    }

    /// Forgets one that waits no more.
    pub(super) fn give_up(&mut self, line: &Line, entry: EntryId) {
        if let Some(turns) = self.by_line.get_mut(line) {
            turns.waiting.remove(&entry);
            self.tidy(line);
        }
    }

    /// Returns who waited longest in a line that has room; it has to enter anew.
    pub(super) fn next(&mut self, line: &Line) -> Option<EntryId> {
        let turns = self.by_line.get_mut(line)?;
        if turns.count >= line.openings_max() {
            return None;
        }
        let next = turns.waiting.pop_first();
        self.tidy(line);
        next
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.by_line.is_empty()
    }

    fn tidy(&mut self, line: &Line) {
        let is_empty = |turns: &Turns| turns.count == 0 && turns.waiting.is_empty();
        if self.by_line.get(line).is_some_and(is_empty) {
            self.by_line.remove(line);
        }
    }
}
