//! Whether an upload is too slow while others find no place (CONN-3).

use std::time::Duration;

use crate::SessionLimits;

/// How far an upload had come when it was looked at last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pace {
    since: Duration,
    received: u64,
    refusals: u64,
}

impl Pace {
    /// Begins to look, at a time of the caller's clock.
    pub(crate) fn from(since: Duration, received: u64, refusals: u64) -> Self {
        Self {
            since,
            received,
            refusals,
        }
    }

    /// Returns when to look again.
    pub(crate) fn next(&self, limits: &SessionLimits) -> Duration {
        self.since.saturating_add(limits.idle_upload)
    }

    /// Looks if it is time; returns whether the upload was slower than the least speed, and somebody was refused
    /// meanwhile.
    pub(crate) fn is_too_slow(
        &mut self,
        now: Duration,
        received: u64,
        refusals: u64,
        limits: &SessionLimits,
    ) -> bool {
        if now < self.next(limits) {
            return false;
        }
        let before = std::mem::replace(self, Self::from(now, received, refusals));
        let seconds = now.saturating_sub(before.since).as_secs();
        let least = limits.bytes_per_second_min.saturating_mul(seconds);
        refusals != before.refusals && received.saturating_sub(before.received) < least
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CONN-3: only who is slow while others are refused has to go.
    #[test]
    fn conn_3_slowness_matters_while_others_are_refused() {
        let limits = SessionLimits {
            bytes_per_second_min: 10,
            ..SessionLimits::default()
        };
        let at = Duration::from_secs;
        let look = |received, refusals| {
            let mut pace = Pace::from(at(0), 0, 7);
            pace.is_too_slow(at(60), received, refusals, &limits)
        };
        assert!(look(599, 8));
        assert!(!look(600, 8), "fast enough");
        assert!(!look(0, 7), "no one else is refused");
        let mut pace = Pace::from(at(0), 0, 0);
        assert!(
            !pace.is_too_slow(at(59), 0, 1, &limits),
            "too early to tell"
        );
        assert!(pace.is_too_slow(at(60), 0, 1, &limits));
        assert!(
            !pace.is_too_slow(at(120), 0, 1, &limits),
            "since the last look"
        );
    }
}
