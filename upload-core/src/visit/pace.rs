//! How fast the content of requests comes.

use crate::{EntryId, Now, pace::Pace};

use super::{Stage, Visit};

impl Visit {
    /// Learns that content is about to be read, or was not for a while: whether it comes too slowly counts from
    /// here.
    pub fn content_begins(&mut self, now: Now) {
        let begun = *self.begun.get_or_insert(now.instant);
        let Stage::Held(entry, _) = self.stage else {
            return;
        };
        let received = self.uploads.position(entry).unwrap_or_default().received;
        let refusals = self.uploads.config().tally.refusals();
        self.pace = Pace::from(now.since(begun), received, refusals);
    }

    /// CONN-3: returns whether content comes too slowly while others find no place.
    pub(super) fn is_too_slow(&mut self, entry: EntryId, now: Now) -> bool {
        let Some(begun) = self.begun else {
            return false;
        };
        let received = self.uploads.position(entry).unwrap_or_default().received;
        let config = self.uploads.config();
        let refusals = config.tally.refusals();
        self.pace
            .is_too_slow(now.since(begun), received, refusals, &config.limits)
    }
}
