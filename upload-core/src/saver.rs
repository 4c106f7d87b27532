//! When an upload's record is written: one save in flight, the newest next.

use std::time::{Duration, Instant};

use crate::{Now, RecordExpect, RecordPhase, RecordVersion, time::later};

/// First and longest pause after a save that failed.
const RETRY_MIN: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// What a save in flight will have made true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Saving {
    pub(crate) offset: u64,
    pub(crate) phase: RecordPhase,
    /// Whether who takes the upload over finds this very file.
    pub(crate) has_checkpoint: bool,
    /// Whether it gives the lease back.
    pub(crate) released: bool,
}

/// Bookkeeping of one upload's record.
#[derive(Debug)]
pub(crate) struct Saver {
    enabled: bool,
    version: Option<RecordVersion>,
    in_flight: Option<Saving>,
    /// A conflict is being looked into by reading the record.
    checking: bool,
    saved: Option<Saving>,
    /// Something else than its numbers changed since the last save began.
    outdated: bool,
    /// A save that tells where the bytes are began, or the record told it before:
    /// others may have learned of this writer.
    told_writer: bool,
    tried_at: Option<Instant>,
    /// `None` while the store is well.
    retry: Option<Retry>,
}

#[derive(Clone, Copy, Debug)]
struct Retry {
    at: Instant,
    pause: Duration,
}

impl Saver {
    /// Starts for a new record, or for one read at `version`.
    pub(crate) fn new(enabled: bool, version: Option<RecordVersion>) -> Self {
        Self {
            enabled,
            version,
            in_flight: None,
            checking: false,
            saved: None,
            outdated: false,
            told_writer: false,
            tried_at: None,
            retry: None,
        }
    }

    /// Notes that the record told where the bytes are before this session had it.
    pub(crate) fn knows_writer(&mut self) {
        self.told_writer = true;
    }

    /// Returns whether another process may have learned where the bytes are.
    pub(crate) fn has_told_writer(&self) -> bool {
        self.told_writer
    }

    /// Returns whether this upload keeps a record at all.
    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Returns whether the store took the last save.
    pub(crate) fn is_healthy(&self) -> bool {
        self.retry.is_none()
    }

    /// Returns whether an answer of the store is awaited.
    pub(crate) fn is_busy(&self) -> bool {
        self.in_flight.is_some() || self.checking
    }

    /// Returns what the record is known to say.
    pub(crate) fn saved(&self) -> Option<Saving> {
        self.saved
    }

    /// Returns the version to delete, once no answer is awaited.
    pub(crate) fn version(&self) -> Option<RecordVersion> {
        self.version
    }

    /// Returns what the next save must find in the store.
    pub(crate) fn expect(&self) -> RecordExpect {
        self.version
            .map_or(RecordExpect::Absent, RecordExpect::Version)
    }

    /// Returns the phase that the save in flight will have recorded.
    pub(crate) fn saving_phase(&self) -> Option<RecordPhase> {
        self.in_flight.map(|saving| saving.phase)
    }

    /// Ends the pause after a save that failed.
    pub(crate) fn hurry(&mut self, now: Now) {
        if let Some(retry) = &mut self.retry {
            retry.at = now.instant;
        }
    }

    /// Asks for a save although no number changed.
    pub(crate) fn outdate(&mut self) {
        self.outdated = true;
    }

    /// Switches the record off for good (RESUME-1: too large).
    pub(crate) fn disable(&mut self) {
        self.enabled = false;
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
        if !self.enabled || self.is_busy() {
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
            Some(saved) if self.outdated || saved != target => age >= interval,
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
        if !self.enabled || self.is_busy() {
            return None;
        }
        if let Some(retry) = self.retry {
            return Some(retry.at);
        }
        let pause = match self.saved {
            Some(saved) if saved == target && !self.outdated => renew,
            _ => interval,
        };
        self.tried_at.map(|at| later(at, pause))
    }

    /// Notes that a save went out.
    pub(crate) fn begin(&mut self, saving: Saving, now: Now) {
        self.in_flight = Some(saving);
        self.told_writer |= saving.has_checkpoint;
        self.outdated = false;
        self.tried_at = Some(now.instant);
    }

    /// Notes the store's yes; returns whether the store had been failing.
    pub(crate) fn saved_as(&mut self, version: RecordVersion) -> bool {
        self.version = Some(version);
        self.saved = self.in_flight.take().or(self.saved);
        self.retry.take().is_some()
    }

    /// Notes the store's failure; returns whether it is the first in a row.
    /// Whether the save took effect is unknown, so the next may conflict.
    pub(crate) fn failed(&mut self, now: Now) -> bool {
        self.in_flight = None;
        self.checking = false;
        self.outdated = true;
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

    /// Notes a conflict; the record must be read to learn what it means.
    pub(crate) fn conflicted(&mut self) {
        self.in_flight = None;
        self.checking = true;
    }

    /// Goes on from what was found under the key: our own record at `version`,
    /// or none at all (then it is written anew).
    pub(crate) fn adopt(&mut self, version: Option<RecordVersion>) {
        self.checking = false;
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
            has_checkpoint: true,
            released: false,
        }
    }

    /// One save in flight, progress at its interval, a new phase at once.
    #[test]
    fn saves_are_coalesced() {
        let start = epoch();
        let mut saver = Saver::new(true, None);
        let wants = |saver: &Saver, target, ms| saver.wants(target, INTERVAL, RENEW, at(ms, start));
        assert!(wants(&saver, target(0), 0));
        saver.begin(target(0), at(0, start));
        assert!(!wants(&saver, target(5), 1000), "one is in flight");
        saver.saved_as(RecordVersion(1));
        assert_eq!(saver.expect(), RecordExpect::Version(RecordVersion(1)));
        assert!(!wants(&saver, target(5), 50), "the interval is not over");
        assert!(wants(&saver, target(5), 100));
        let completing = Saving {
            phase: RecordPhase::Completing,
            ..target(5)
        };
        assert!(wants(&saver, completing, 1));
        assert!(!wants(&saver, target(0), 9_999));
        assert!(wants(&saver, target(0), 10_000), "the lease is renewed");
        saver.outdate();
        assert!(wants(&saver, target(0), 100), "the checkpoint changed");
    }

    /// RESUME-9: a failing store is asked again after growing pauses, and told
    /// of once.
    #[test]
    fn failures_pause_and_recover() {
        let start = epoch();
        let mut saver = Saver::new(true, None);
        saver.begin(target(0), at(0, start));
        assert!(saver.failed(at(0, start)), "the first in a row");
        assert!(!saver.wants(target(0), INTERVAL, RENEW, at(249, start)));
        assert!(saver.wants(target(0), INTERVAL, RENEW, at(250, start)));
        saver.begin(target(0), at(250, start));
        assert!(!saver.failed(at(250, start)));
        assert!(!saver.wants(target(0), INTERVAL, RENEW, at(700, start)));
        saver.begin(target(0), at(750, start));
        assert!(saver.saved_as(RecordVersion(2)), "it had been failing");
        assert!(saver.is_healthy());
    }

    /// RESUME-4: what is found under the key decides what the next save expects.
    #[test]
    fn a_conflict_waits_for_a_look() {
        let start = epoch();
        let mut saver = Saver::new(true, Some(RecordVersion(3)));
        saver.begin(target(0), at(0, start));
        saver.conflicted();
        assert!(saver.is_busy());
        saver.adopt(None);
        assert_eq!(saver.expect(), RecordExpect::Absent);
        assert!(saver.wants(target(0), INTERVAL, RENEW, at(0, start)));
    }
}
