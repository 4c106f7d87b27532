//! How often it is tried again, and after which pause.

use std::time::Duration;

use super::facts::SenderConfig;

/// Doublings of the pause after which it does not matter any more.
const DOUBLINGS_MAX: u32 = 16;

/// What was tried so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Retries {
    /// In a row without progress.
    attempts: u32,
    /// In all: an upload that is sent whole and then begins anew made progress each time.
    restarts: u32,
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
