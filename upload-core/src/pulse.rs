//! When progress is worth a message (MSG-2).

use std::time::{Duration, Instant};

use crate::{Now, time::later};

/// One part in this many of the window that became free is told at once.
const PART: u64 = 4;

/// One part in this many is told after a moment: over a long link a client that has sent what it may
/// would wait a whole round trip for what was just short of the larger part.
const SMALL_PART: u64 = 16;

/// That moment.
const MOMENT: Duration = Duration::from_millis(10);

/// The numbers a snapshot carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) received: u64,
    pub(crate) durable: u64,
    pub(crate) credit: u64,
}

/// What was told last, and when.
#[derive(Clone, Debug)]
pub(crate) struct Pulse {
    told: Numbers,
    told_at: Instant,
}

impl Pulse {
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
            || (numbers != self.told && passed >= self.patience(numbers, size, interval))
    }

    /// Returns when numbers that moved are due at the latest.
    pub(crate) fn deadline(
        &self,
        numbers: Numbers,
        size: u64,
        interval: Duration,
    ) -> Option<Instant> {
        let patience = self.patience(numbers, size, interval);
        (numbers != self.told).then(|| later(self.told_at, patience))
    }

    fn patience(&self, numbers: Numbers, size: u64, interval: Duration) -> Duration {
        let freed = numbers.credit.saturating_sub(self.told.credit);
        if freed > 0 && freed >= size / SMALL_PART {
            interval.min(MOMENT)
        } else {
            interval
        }
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
        let pulse = Pulse::new(told, start);
        assert!(!pulse.is_due(told, 400, interval, start));
        assert_eq!(pulse.deadline(told, 400, interval), None);

        let moved = Numbers {
            received: 50,
            ..told
        };
        assert!(!pulse.is_due(moved, 400, interval, start));
        let later = Now {
            instant: start.instant + interval,
            ..start
        };
        assert_eq!(pulse.deadline(moved, 400, interval), Some(later.instant));
        assert!(pulse.is_due(moved, 400, interval, later));

        let freed = |credit| Numbers { credit, ..told };
        assert!(pulse.is_due(freed(500), 400, interval, start));
        let soon = Now {
            instant: start.instant + MOMENT,
            ..start
        };
        assert!(!pulse.is_due(freed(425), 400, interval, start));
        assert_eq!(
            pulse.deadline(freed(425), 400, interval),
            Some(soon.instant)
        );
        assert!(pulse.is_due(freed(425), 400, interval, soon));
        assert!(!pulse.is_due(freed(424), 400, interval, soon));
    }
}
