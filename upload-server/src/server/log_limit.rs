//! Log lines that a peer can cause: one a minute, which says how many were left out.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How long one line stands for those after it.
const PERIOD: Duration = Duration::from_secs(60);

/// When lines of one kind were last written.
#[derive(Debug, Default)]
pub(crate) struct LogLimit(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    quiet_until: Option<Instant>,
    left_out: u64,
}

impl LogLimit {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(State {
            quiet_until: None,
            left_out: 0,
        }))
    }

    /// Returns how many lines were left out since the last one, if another may be written now.
    pub(crate) fn pass(&self) -> Option<u64> {
        let now = Instant::now();
        // Both fields are whole after every step, so a panic elsewhere does not spoil them.
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.quiet_until.is_some_and(|until| now < until) {
            state.left_out = state.left_out.saturating_add(1);
            return None;
        }
        state.quiet_until = now.checked_add(PERIOD);
        Some(std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_line_a_minute_stands_for_the_rest() {
        let limit = LogLimit::default();
        assert_eq!(limit.pass(), Some(0));
        for _ in 0..1_000 {
            assert_eq!(limit.pass(), None);
        }
        tokio::time::advance(PERIOD).await;
        assert_eq!(limit.pass(), Some(1_000));
        assert_eq!(limit.pass(), None);
        tokio::time::advance(PERIOD).await;
        assert_eq!(limit.pass(), Some(1));
    }
}
