//! When progress is worth a message (MSG-2).
//!
//! A quarter of the window is enough news; a sixteenth is, 10 ms after the last snapshot. Over a long link
//! the quarter alone leaves a client without credit for bytes that are just short of it.

use std::time::{Duration, Instant};

use crate::{Now, time::later};

/// One part in this many of the window that became free is told at once.
const PART: u64 = 4;

/// One part in this many is sent after a short wait.
///
/// Over a long link, a client without credit would otherwise wait a whole round trip for what was just short of
/// the larger part.
const SMALL_PART: u64 = 16;

/// That wait.
const SHORT_WAIT: Duration = Duration::from_millis(10);

/// The numbers a snapshot carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) received: u64,
    pub(crate) durable: u64,
    pub(crate) credit: u64,
}

/// What was told last, and when.
#[derive(Clone, Debug)]
pub(crate) struct ProgressThrottle {
    told: Numbers,
    told_at: Instant,
}

impl ProgressThrottle {
    pub(crate) fn new(told: Numbers, now: Now) -> Self {
        Self {
            told,
            told_at: now.instant,
        }
    }

    /// Returns whether `numbers` are due, where the window has `size` bytes: enough of it became free,
    /// or anything moved and the interval is over.
    pub(crate) fn is_due(&self, numbers: Numbers, size: u64, interval: Duration, now: Now) -> bool {
        let freed = numbers.credit.saturating_sub(self.told.credit);
        let passed = now.since(self.told_at);
        (freed > 0 && freed >= size / PART)
            || (numbers != self.told && passed >= self.wait(numbers, size, interval))
    }

    /// Returns when numbers that moved are due at the latest.
    pub(crate) fn deadline(
        &self,
        numbers: Numbers,
        size: u64,
        interval: Duration,
    ) -> Option<Instant> {
        let wait = self.wait(numbers, size, interval);
        (numbers != self.told).then(|| later(self.told_at, wait))
    }

    fn wait(&self, numbers: Numbers, size: u64, interval: Duration) -> Duration {
        let freed = numbers.credit.saturating_sub(self.told.credit);
        if freed > 0 && freed >= size / SMALL_PART {
            interval.min(SHORT_WAIT)
        } else {
            interval
        }
    }

    /// Returns the latest credit that the client knows of.
    pub(crate) fn credit(&self) -> u64 {
        self.told.credit
    }

    /// Notes that `numbers` went out. None of them ever goes back within one
    /// attachment (MSG-2).
    pub(crate) fn told(&mut self, numbers: Numbers, now: Now) {
        self.told = numbers;
        self.told_at = now.instant;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MSG-2: at once for a quarter of the window, otherwise at the interval.
    #[test]
    fn speaks_for_credit_at_once_and_for_progress_in_time() {
        let interval = Duration::from_millis(200);
        let start = Now {
            instant: crate::time::tests::epoch(),
            unix_ms: 0,
        };
        let told = Numbers {
            received: 0,
            durable: 0,
            credit: 400,
        };
        let throttle = ProgressThrottle::new(told, start);
        assert!(!throttle.is_due(told, 400, interval, start));
        assert_eq!(throttle.deadline(told, 400, interval), None);

        let moved = Numbers {
            received: 50,
            ..told
        };
        assert!(!throttle.is_due(moved, 400, interval, start));
        let later = Now {
            instant: start.instant + interval,
            ..start
        };
        assert_eq!(throttle.deadline(moved, 400, interval), Some(later.instant));
        assert!(throttle.is_due(moved, 400, interval, later));

        let freed = |credit| Numbers { credit, ..told };
        assert!(throttle.is_due(freed(500), 400, interval, start));
        let soon = Now {
            instant: start.instant + SHORT_WAIT,
            ..start
        };
        assert!(!throttle.is_due(freed(425), 400, interval, start));
        assert_eq!(
            throttle.deadline(freed(425), 400, interval),
            Some(soon.instant)
        );
        assert!(throttle.is_due(freed(425), 400, interval, soon));
        assert!(!throttle.is_due(freed(424), 400, interval, soon));
    }
}
