//! When a record is written: one save in flight, the newest next.

use std::time::{Duration, Instant};

use crate::{Length, Now, RecordExpect, RecordPhase, RecordVersion, time::later};

/// First and longest pause after a save that failed.
const RETRY_MIN: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// What a save in flight will have made true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Saving {
    pub(crate) offset: u64,
    pub(crate) phase: RecordPhase,
    pub(crate) length: Length,
    /// Whether who takes the upload over finds this very file.
    pub(crate) has_checkpoint: bool,
    /// Whether it gives the lease back.
    pub(crate) released: bool,
    /// Counts the checkpoints, so that a newer one is something to save.
    pub(crate) revision: u32,
}

/// What the store is doing for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Idle,
    /// It writes this.
    Saving(Saving),
    /// It reads the record, so that a conflict can be understood.
    Reading,
}

/// Whether another holder can know where the bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// No record ever said it.
    ToUs,
    /// A save that says it began, or the record said it before.
    ToOthers,
}

/// Whether every record that may be there says how long the file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LengthTold {
    Yes,
    /// One may have been written before the length was known.
    Perhaps,
}

/// Bookkeeping of one record.
#[derive(Debug)]
pub(crate) struct Keeper {
    version: Option<RecordVersion>,
    call: Call,
    saved: Option<Saving>,
    known: Known,
    length: LengthTold,
    tried_at: Option<Instant>,
    /// `None` while the store works.
    retry: Option<Retry>,
}

#[derive(Clone, Copy, Debug)]
struct Retry {
    at: Instant,
    pause: Duration,
}

impl Keeper {
    /// Starts for a new record, or for one read at `version`.
    pub(crate) fn new(version: Option<RecordVersion>, known: Known) -> Self {
        Self {
            version,
            call: Call::Idle,
            saved: None,
            known,
            length: LengthTold::Yes,
            tried_at: None,
            retry: None,
        }
    }

    /// Returns whether another holder can know where the bytes are.
    pub(crate) fn known(&self) -> Known {
        self.known
    }

    /// Returns whether every record that may be there says how long the file is.
    pub(crate) fn tells_length(&self) -> bool {
        self.length == LengthTold::Yes
    }

    /// Returns whether the store took the last save.
    pub(crate) fn is_healthy(&self) -> bool {
        self.retry.is_none()
    }

    /// Returns whether an answer of the store is awaited.
    pub(crate) fn is_busy(&self) -> bool {
        self.call != Call::Idle
    }

    /// Returns what the record is known to say.
    pub(crate) fn saved(&self) -> Option<Saving> {
        self.saved
    }

    /// Returns the version to delete, once no answer is awaited.
    pub(crate) fn version(&self) -> Option<RecordVersion> {
        self.version
    }

    /// Returns whether the store had the record, as far as is known.
    pub(crate) fn was_saved(&self) -> bool {
        self.version.is_some()
    }

    /// Returns what the next save must find in the store.
    pub(crate) fn expect(&self) -> RecordExpect {
        self.version
            .map_or(RecordExpect::Absent, RecordExpect::Version)
    }

    /// Returns the phase that the save in flight will have recorded.
    pub(crate) fn saving_phase(&self) -> Option<RecordPhase> {
        match self.call {
            Call::Saving(saving) => Some(saving.phase),
            Call::Idle | Call::Reading => None,
        }
    }

    /// Ends the pause after a save that failed.
    pub(crate) fn retry_now(&mut self, now: Now) {
        if let Some(retry) = &mut self.retry {
            retry.at = now.instant;
        }
    }

    /// Returns whether `target` is worth a save now: something changed, none is
    /// in flight, a failed store has had its pause, and mere progress waits for
    /// its interval. `renew` asks for a save also without change.
    pub(crate) fn wants(
        &self,
        target: Saving,
        interval: Duration,
        renew: Duration,
        now: Now,
    ) -> bool {
        if self.is_busy() {
            return false;
        }
        if self.retry.is_some_and(|retry| now.instant < retry.at) {
            return false;
        }
        let Some(tried_at) = self.tried_at else {
            return true;
        };
        let age = now.since(tried_at);
        match self.saved {
            None => true,
            Some(saved) if (saved.phase, saved.released) != (target.phase, target.released) => true,
            Some(_) if self.retry.is_some() => true,
            Some(saved) if saved != target => age >= interval,
            Some(_) => age >= renew,
        }
    }

    /// Returns when `wants` may turn true by time alone.
    pub(crate) fn deadline(
        &self,
        target: Saving,
        interval: Duration,
        renew: Duration,
    ) -> Option<Instant> {
        if self.is_busy() {
            return None;
        }
        if let Some(retry) = self.retry {
            return Some(retry.at);
        }
        let pause = match self.saved {
            Some(saved) if saved == target => renew,
            _ => interval,
        };
        self.tried_at.map(|at| later(at, pause))
    }

    /// Notes that a save went out.
    pub(crate) fn begin(&mut self, saving: Saving, now: Now) {
        self.call = Call::Saving(saving);
        if saving.has_checkpoint {
            self.known = Known::ToOthers;
        }
        if saving.length.known().is_none() {
            self.length = LengthTold::Perhaps;
        }
        self.tried_at = Some(now.instant);
    }

    /// Notes that the store saved; returns whether it had been failing.
    pub(crate) fn saved_as(&mut self, version: RecordVersion) -> bool {
        self.version = Some(version);
        if let Call::Saving(saving) = self.call {
            self.saved = Some(saving);
            if saving.length.known().is_some() {
                self.length = LengthTold::Yes;
            }
        }
        self.call = Call::Idle;
        self.retry.take().is_some()
    }

    /// Notes the store's failure; returns whether it is the first in a row.
    /// Whether the save took effect is unknown, so the next may conflict.
    pub(crate) fn failed(&mut self, now: Now) -> bool {
        self.call = Call::Idle;
        let pause = self.retry.map_or(RETRY_MIN, |retry| {
            retry.pause.saturating_mul(2).min(RETRY_MAX)
        });
        let first = self.retry.is_none();
        self.retry = Some(Retry {
            at: now.after(pause),
            pause,
        });
        first
    }

    /// Notes that the record is read, to learn what a conflict means or whether a save took effect.
    pub(crate) fn looks(&mut self) {
        self.call = Call::Reading;
    }

    /// Continues from what was found under the key: our own record at `version`,
    /// or none at all (then it is written anew).
    pub(crate) fn adopt(&mut self, version: Option<RecordVersion>) {
        self.call = Call::Idle;
        self.version = version;
        self.saved = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::tests::epoch;

    const INTERVAL: Duration = Duration::from_millis(100);
    const RENEW: Duration = Duration::from_secs(10);

    fn at(ms: u64, start: Instant) -> Now {
        Now {
            instant: start + Duration::from_millis(ms),
            unix_ms: ms,
        }
    }

    fn target(offset: u64) -> Saving {
        Saving {
            offset,
            phase: RecordPhase::Receiving,
            length: Length::Known(9),
            has_checkpoint: true,
            released: false,
            revision: 0,
        }
    }

    /// One save in flight, progress at its interval, a new phase at once.
    #[test]
    fn saves_are_coalesced() {
        let start = epoch();
        let mut keeper = Keeper::new(None, Known::ToUs);
        let wants =
            |keeper: &Keeper, target, ms| keeper.wants(target, INTERVAL, RENEW, at(ms, start));
        assert!(wants(&keeper, target(0), 0));
        keeper.begin(target(0), at(0, start));
        assert!(!wants(&keeper, target(5), 1000), "one is in flight");
        keeper.saved_as(RecordVersion(1));
        assert_eq!(keeper.expect(), RecordExpect::Version(RecordVersion(1)));
        assert!(!wants(&keeper, target(5), 50), "the interval is not over");
        assert!(wants(&keeper, target(5), 100));
        assert!(keeper.known() == Known::ToOthers);
        let completing = Saving {
            phase: RecordPhase::Completing,
            ..target(5)
        };
        assert!(wants(&keeper, completing, 1));
        assert!(!wants(&keeper, target(0), 9_999));
        assert!(wants(&keeper, target(0), 10_000), "the lease is renewed");
        let newer = Saving {
            revision: 1,
            ..target(0)
        };
        assert!(wants(&keeper, newer, 100), "the checkpoint changed");
    }

    /// RESUME-9: a failing store is asked again after growing pauses, and told
    /// of once.
    #[test]
    fn failures_pause_and_recover() {
        let start = epoch();
        let mut keeper = Keeper::new(None, Known::ToUs);
        keeper.begin(target(0), at(0, start));
        assert!(keeper.failed(at(0, start)), "the first in a row");
        assert!(!keeper.wants(target(0), INTERVAL, RENEW, at(249, start)));
        assert!(keeper.wants(target(0), INTERVAL, RENEW, at(250, start)));
        keeper.begin(target(0), at(250, start));
        assert!(!keeper.failed(at(250, start)));
        assert!(!keeper.wants(target(0), INTERVAL, RENEW, at(700, start)));
        keeper.begin(target(0), at(750, start));
        assert!(keeper.saved_as(RecordVersion(2)), "it had been failing");
        assert!(keeper.is_healthy());
    }

    /// RESUME-4: what is found under the key decides what the next save expects.
    #[test]
    fn a_conflict_waits_for_a_look() {
        let start = epoch();
        let mut keeper = Keeper::new(Some(RecordVersion(3)), Known::ToUs);
        keeper.begin(target(0), at(0, start));
        keeper.looks();
        assert!(keeper.is_busy());
        keeper.adopt(None);
        assert_eq!(keeper.expect(), RecordExpect::Absent);
        assert!(keeper.wants(target(0), INTERVAL, RENEW, at(0, start)));
    }
}
