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
    /// Returns how long ago `earlier` was, zero where it lies in the future.
    pub(crate) fn since(&self, earlier: Instant) -> Duration {
        self.instant.saturating_duration_since(earlier)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A moment for tests to count from.
    #[allow(clippy::disallowed_methods)]
    pub(crate) fn epoch() -> Instant {
        Instant::now()
    }
}
