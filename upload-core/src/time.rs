//! The moment at which an input happened, told by the host.

use std::time::{Duration, Instant};

/// The host's clocks, read once per input.
///
/// Durations are measured on `instant`, which never goes back; what other
/// processes must understand (lease and record times) is `unix_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// A monotonic reading.
    pub instant: Instant,
    /// Milliseconds since the Unix epoch.
    pub unix_ms: u64,
}

impl Now {
    /// Returns the moment that lies `pause` ahead.
    pub(crate) fn after(&self, pause: Duration) -> Instant {
        later(self.instant, pause)
    }

    /// Returns how long ago `earlier` was, zero where it lies in the future.
    pub(crate) fn since(&self, earlier: Instant) -> Duration {
        self.instant.saturating_duration_since(earlier)
    }
}

/// Returns a pause in whole milliseconds.
pub(crate) fn millis(pause: Duration) -> u64 {
    u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)
}

/// What stands for a moment that no clock reaches.
const FAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Returns the moment `pause` after `from`; the other side may name a pause of any length.
pub(crate) fn later(from: Instant, pause: Duration) -> Instant {
    let at = from.checked_add(pause).or_else(|| from.checked_add(FAR));
    at.unwrap_or(from)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A moment for tests to count from.
    #[allow(clippy::disallowed_methods)]
    pub(crate) fn epoch() -> Instant {
        Instant::now()
    }

    #[test]
    fn no_pause_is_too_long() {
        let from = epoch();
        assert_eq!(
            later(from, Duration::from_secs(1))
                .duration_since(from)
                .as_secs(),
            1
        );
        assert_eq!(later(from, Duration::MAX), later(from, FAR));
    }
}
