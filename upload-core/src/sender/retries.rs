//! How often it is tried again, and after which pause.

use std::time::Duration;

use super::facts::SenderConfig;

/// Doublings of the pause after which it does not matter any more.
const DOUBLINGS_MAX: u32 = 16;

/// How often a ref that is in use is asked for again: over a minute in all, in which a server stores a file or
/// notices a lost connection.
const ASKS_MAX: u32 = 10;

/// What was tried so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Retries {
    /// In a row without progress.
    attempts: u32,
    /// In all: an upload that is sent whole and then begins anew made progress each time.
    restarts: u32,
    /// Times left to ask for a ref that is in use, while a lost connection may still be storing its file.
    asks: u32,
}

impl Retries {
    /// Counts an attempt; returns whether it may be made.
    pub(super) fn attempt(&mut self, config: &SenderConfig) -> bool {
        self.attempts = self.attempts.saturating_add(1);
        self.attempts <= config.attempts_max
    }

    /// Counts a restart; returns whether it may be made.
    pub(super) fn restart(&mut self, config: &SenderConfig) -> bool {
        self.restarts = self.restarts.saturating_add(1);
        self.restarts <= config.restarts_max
    }

    /// The connection was lost while its server may have been storing the file.
    pub(super) fn completing_lost(&mut self) {
        self.asks = ASKS_MAX;
    }

    /// Returns whether a lost connection may still be storing the file.
    pub(super) fn may_be_stored(&self) -> bool {
        self.asks > 0
    }

    /// The ref is in use, so nothing began anew; returns whether to ask for it again.
    pub(super) fn ask_again(&mut self) -> bool {
        let Some(asks) = self.asks.checked_sub(1) else {
            return false;
        };
        self.asks = asks;
        self.restarts = self.restarts.saturating_sub(1);
        true
    }

    /// This connection holds the ref, so no lost one does.
    pub(super) fn attached(&mut self) {
        self.asks = 0;
    }

    /// The server has more than before.
    pub(super) fn progressed(&mut self) {
        self.attempts = 0;
    }

    /// Returns the pause before the next attempt.
    pub(super) fn backoff(&self, config: &SenderConfig) -> Duration {
        let doublings = self.attempts.min(DOUBLINGS_MAX);
        let pause = config
            .backoff_min
            .saturating_mul(2_u32.saturating_pow(doublings));
        pause.min(config.backoff_max)
    }
}

/// Lengthens a pause by the host's random share, so that clients do not come back all at once.
pub(super) fn jittered(pause: Duration, config: &SenderConfig) -> Duration {
    let percent = config.jitter_percent.min(50).saturating_add(100);
    let pause = pause.saturating_mul(percent).checked_div(100);
    pause.unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_resets_attempts_and_never_restarts() {
        let config = SenderConfig {
            attempts_max: 2,
            restarts_max: 2,
            ..SenderConfig::default()
        };
        let mut retries = Retries::default();
        for _ in 0..10 {
            assert!(retries.attempt(&config) && retries.attempt(&config));
            assert!(!retries.attempt(&config));
            retries.progressed();
        }
        assert!(retries.restart(&config));
        retries.progressed();
        assert!(retries.restart(&config));
        retries.progressed();
        assert!(!retries.restart(&config));
    }

    #[test]
    fn a_ref_in_use_is_asked_for_a_bounded_number_of_times() {
        let config = SenderConfig {
            restarts_max: 1,
            ..SenderConfig::default()
        };
        let mut retries = Retries::default();
        assert!(!retries.may_be_stored() && !retries.ask_again());
        retries.completing_lost();
        for _ in 0..ASKS_MAX {
            assert!(retries.may_be_stored());
            assert!(retries.restart(&config) && retries.ask_again());
        }
        assert!(!retries.may_be_stored() && !retries.ask_again());
        retries.completing_lost();
        retries.attached();
        assert!(!retries.may_be_stored());
        assert!(retries.restart(&config) && !retries.restart(&config));
    }

    #[test]
    fn pauses_double_up_to_a_limit() {
        let config = SenderConfig {
            attempts_max: u32::MAX,
            jitter_percent: 90,
            ..SenderConfig::default()
        };
        let mut retries = Retries::default();
        let pauses: Vec<_> = (0..40)
            .map(|_| {
                let pause = retries.backoff(&config).as_millis();
                retries.attempt(&config);
                pause
            })
            .collect();
        assert_eq!(pauses[..7], [250, 500, 1000, 2000, 4000, 8000, 10_000]);
        assert!(pauses[7..].iter().all(|pause| *pause == 10_000));
        assert_eq!(
            jittered(Duration::from_secs(2), &config),
            Duration::from_secs(3)
        );
        jittered(Duration::MAX, &config);
    }
}
