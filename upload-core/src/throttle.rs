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

    /// Returns when `numbers` are due, where the window has `size` bytes: at once if enough of it became free, and
    /// after an interval if anything moved.
    pub(crate) fn due_at(
        &self,
        numbers: Numbers,
        size: u64,
        interval: Duration,
    ) -> Option<Instant> {
        if numbers == self.told {
            return None;
        }
        let freed = numbers.credit.saturating_sub(self.told.credit);
        let wait = if freed > 0 && freed >= size / PART {
            return Some(self.told_at);
        } else if freed > 0 && freed >= size / SMALL_PART {
            interval.min(SHORT_WAIT)
        } else {
            interval
        };
        Some(later(self.told_at, wait))
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
        let due_at = |numbers| throttle.due_at(numbers, 400, interval);
        assert_eq!(due_at(told), None);
        let moved = Numbers {
            received: 50,
            ..told
        };
        assert_eq!(due_at(moved), Some(start.instant + interval));

        let freed = |credit| Numbers { credit, ..told };
        assert_eq!(due_at(freed(500)), Some(start.instant));
        assert_eq!(due_at(freed(425)), Some(start.instant + SHORT_WAIT));
        assert_eq!(due_at(freed(424)), Some(start.instant + interval));
    }
}
