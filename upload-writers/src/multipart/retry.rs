//! Trying again: how often, and after how long.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::sleep;

use super::error::BackendError;

/// How failed requests are tried again.
///
/// Between two tries of a request lies `backoff`, doubled with each try up to `backoff_max`, and a random
/// time of up to as much again. It replaces the retries of the user's client, so that the two do not
/// multiply. By default an outage of up to 10 seconds goes unnoticed, however quickly requests fail;
/// after a longer one a resumable upload waits for its client to come back (PROTOCOL RESUME-10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How often a request is made at most; 0 counts as 1.
    pub attempts: u32,
    /// How long the first pause is at least.
    pub backoff: Duration,
    /// How long any pause is at most, but for its random part.
    pub backoff_max: Duration,
    /// After how long without an answer, and while sending without any byte taken, a request is
    /// abandoned and tried again. Putting the parts of an object together may take four times as long.
    pub attempt_timeout: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 8,
            backoff: Duration::from_millis(500),
            backoff_max: Duration::from_secs(5),
            attempt_timeout: Duration::from_secs(30),
        }
    }
}

impl RetryPolicy {
    /// Makes each request once, for backends that try again by themselves.
    pub fn once() -> Self {
        Self {
            attempts: 1,
            ..Self::default()
        }
    }

    fn pauses(&self) -> ExponentialBuilder {
        let retries = self.attempts.saturating_sub(1);
        ExponentialBuilder::default()
            .with_factor(2.0)
            .with_min_delay(self.backoff)
            .with_max_delay(self.backoff_max)
            .with_max_times(usize::try_from(retries).unwrap_or(usize::MAX))
    }
}

/// The tries of one request, or of several that share them.
#[derive(Debug)]
pub(super) struct Attempts {
    pauses: ExponentialBackoff,
    what: &'static str,
}

impl Attempts {
    pub(super) fn new(policy: &RetryPolicy, what: &'static str) -> Self {
        Self {
            pauses: policy.pauses().with_jitter().build(),
            what,
        }
    }

    /// Waits before the next try; returns the error if there is to be none.
    pub(super) async fn pause(&mut self, error: BackendError) -> Result<(), BackendError> {
        if !error.transient {
            return Err(error);
        }
        let Some(pause) = self.pauses.next() else {
            return Err(error);
        };
        tracing::debug!(request = self.what, ?pause, %error, "trying again");
        sleep(pause).await;
        Ok(())
    }

    /// Makes a request again and again, as long as its failure passes by and tries are left.
    pub(super) async fn run<T, F>(
        &mut self,
        mut request: impl FnMut() -> F,
    ) -> Result<T, BackendError>
    where
        F: Future<Output = Result<T, BackendError>>,
    {
        loop {
            match request().await {
                Ok(answer) => return Ok(answer),
                Err(error) => self.pause(error).await?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bucket that refuses every request at once may be away for as long as the pauses last.
    #[test]
    fn a_short_outage_is_waited_out() {
        let pauses: Vec<Duration> = RetryPolicy::default().pauses().build().collect();
        assert_eq!(pauses.len(), 7);
        assert!(pauses.iter().sum::<Duration>() >= Duration::from_secs(10));
        assert_eq!(RetryPolicy::once().pauses().build().count(), 0);
    }

    #[tokio::test]
    async fn only_what_passes_is_tried_again() {
        let policy = RetryPolicy {
            attempts: 3,
            backoff: Duration::ZERO,
            backoff_max: Duration::ZERO,
            ..RetryPolicy::default()
        };
        for (error, most) in [
            (BackendError::timeout as fn() -> BackendError, 3),
            (|| BackendError::unusable("nonsense"), 1),
        ] {
            let mut tries = 0;
            let request = || {
                tries += 1;
                async { Err::<(), _>(error()) }
            };
            let ended = Attempts::new(&policy, "test").run(request).await;
            ended.expect_err("fails each time");
            assert_eq!(tries, most);
        }
        let mut tries = 0;
        let request = || {
            tries += 1;
            let done = if tries < 3 {
                Err(BackendError::timeout())
            } else {
                Ok(tries)
            };
            async { done }
        };
        let ended = Attempts::new(&policy, "test").run(request).await;
        assert_eq!(ended.ok(), Some(3));
    }
}
