//! When progress is worth a message (MSG-2).

use std::time::{Duration, Instant};

use crate::{Now, time::later};

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

    /// Returns whether `numbers` are due: a quarter of the window was freed, or
    /// anything moved and the interval is over.
    pub(crate) fn is_due(
        &self,
        numbers: Numbers,
        quarter: u64,
        interval: Duration,
        now: Now,
    ) -> bool {
        let freed = numbers.credit.saturating_sub(self.told.credit);
        (freed > 0 && freed >= quarter)
            || (numbers != self.told && now.since(self.told_at) >= interval)
    }

    /// Returns when numbers that moved are due at the latest.
    pub(crate) fn deadline(&self, numbers: Numbers, interval: Duration) -> Option<Instant> {
        (numbers != self.told).then(|| later(self.told_at, interval))
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
        assert!(!pulse.is_due(told, 100, interval, start));
        assert_eq!(pulse.deadline(told, interval), None);

        let moved = Numbers {
            received: 50,
            ..told
        };
        assert!(!pulse.is_due(moved, 100, interval, start));
        let later = Now {
            instant: start.instant + interval,
            ..start
        };
        assert_eq!(pulse.deadline(moved, interval), Some(later.instant));
        assert!(pulse.is_due(moved, 100, interval, later));

        let freed = Numbers {
            credit: 500,
            ..told
        };
        assert!(pulse.is_due(freed, 100, interval, start));
    }
}
