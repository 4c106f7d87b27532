//! Trying again: how often, and after how long.

use std::time::Duration;

use tokio::time::sleep;
use uuid::Uuid;

use super::{config::RetryPolicy, errors::Failure};

/// The tries of one request.
#[derive(Debug)]
pub(super) struct Attempts<'a> {
    policy: &'a RetryPolicy,
    what: &'static str,
    made: u32,
}

impl<'a> Attempts<'a> {
    pub(super) fn new(policy: &'a RetryPolicy, what: &'static str) -> Self {
        Self {
            policy,
            what,
            made: 0,
        }
    }

    /// Rests before the next try; gives the failure back if there is to be none.
    pub(super) async fn pause(&mut self, failure: Failure) -> Result<(), Failure> {
        self.made = self.made.saturating_add(1);
        if !failure.transient || self.made >= self.policy.attempts {
            return Err(failure);
        }
        let pause = self.policy.pause(self.made, Uuid::new_v4().as_u128());
        tracing::debug!(request = self.what, attempt = self.made, ?pause, %failure, "trying again");
        sleep(pause).await;
        Ok(())
    }
}

impl RetryPolicy {
    /// How long to rest after `made` tries: between half the backoff and all of it, so that many
    /// writers which failed together do not come back together.
    fn pause(&self, made: u32, random: u128) -> Duration {
        let factor = 1_u32
            .checked_shl(made.saturating_sub(1))
            .unwrap_or(u32::MAX);
        let most = self.backoff.saturating_mul(factor).min(self.backoff_max);
        let least = most / 2;
        let nanos = random % most.saturating_sub(least).as_nanos().saturating_add(1);
        least.saturating_add(Duration::from_nanos(
            u64::try_from(nanos).unwrap_or(u64::MAX),
        ))
    }
}

/// Makes a request again and again, as long as its failure passes by and tries are left.
macro_rules! retried {
    ($policy:expr, $what:literal, $request:expr) => {{
        let mut attempts = $crate::s3::retry::Attempts::new($policy, $what);
        $crate::s3::retry::retried!(attempts, $request)
    }};
    ($attempts:expr, $request:expr) => {
        loop {
            match $request.await {
                Ok(answer) => break Ok(answer),
                Err(failure) => match $attempts.pause(failure).await {
                    Ok(()) => {}
                    Err(failure) => break Err(failure),
                },
            }
        }
    };
}
pub(super) use retried;

#[cfg(test)]
mod tests {
    use super::*;

    /// The outage the documentation of [`RetryPolicy`] names.
    const OUTAGE: Duration = Duration::from_secs(10);

    #[test]
    fn pauses_grow_to_their_bound() {
        let policy = RetryPolicy {
            backoff: Duration::from_millis(100),
            backoff_max: Duration::from_millis(350),
            ..RetryPolicy::default()
        };
        for (made, most) in [(1, 100), (2, 200), (3, 350), (40, 350), (u32::MAX, 350)] {
            let most = Duration::from_millis(most);
            for random in [0, 1, u128::MAX, u128::MAX / 3, most.as_nanos()] {
                let pause = policy.pause(made, random);
                assert!(most / 2 <= pause && pause <= most, "after {made}");
            }
            assert_eq!(policy.pause(made, most.as_nanos() / 2), most);
        }
    }

    /// A bucket that refuses every request at once may be away for as long as the pauses last.
    #[test]
    fn a_short_outage_is_waited_out() {
        let policy = RetryPolicy::default();
        let pauses = (1..policy.attempts).map(|made| policy.pause(made, 0));
        assert!(pauses.sum::<Duration>() >= OUTAGE);
    }

    #[tokio::test]
    async fn only_what_passes_is_tried_again() {
        let policy = RetryPolicy {
            attempts: 3,
            backoff: Duration::ZERO,
            ..RetryPolicy::default()
        };
        let mut tries = 0;
        let ended: Result<(), Failure> = retried!(&policy, "test", async {
            tries += 1;
            Err(Failure::timeout())
        });
        assert!(ended.is_err());
        assert_eq!(tries, 3);
        let mut tries = 0;
        let ended: Result<u32, Failure> = retried!(&policy, "test", async {
            tries += 1;
            if tries < 3 {
                Err(Failure::timeout())
            } else {
                Ok(tries)
            }
        });
        assert_eq!(ended.ok(), Some(3));
        let mut tries = 0;
        let ended: Result<(), Failure> = retried!(&policy, "test", async {
            tries += 1;
            Err(Failure::unusable("nonsense"))
        });
        assert!(ended.is_err());
        assert_eq!(tries, 1);
    }
}
