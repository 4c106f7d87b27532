//! One timer per connection, armed for whatever is due next.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// Shortest nap: what is overdue again at once does not keep the task spinning.
const MIN_SLEEP: Duration = Duration::from_millis(1);

/// Wakes its task no later than asked.
///
/// Deadlines mostly move away (every chunk pushes the idle one), so a timer
/// that is armed too early is left alone: it wakes for nothing once and is armed
/// anew then.
pub(crate) struct Timer {
    sleep: Pin<Box<Sleep>>,
    is_armed: bool,
}

impl Timer {
    pub(crate) fn new() -> Self {
        Self {
            sleep: Box::pin(sleep_until(Instant::now())),
            is_armed: false,
        }
    }

    /// Has the task woken by `at`; returns whether that is now.
    pub(crate) fn poll(&mut self, at: Option<Instant>, cx: &mut Context<'_>) -> bool {
        if let Some(at) = at
            && (!self.is_armed || at < self.sleep.deadline())
        {
            let soonest = Instant::now().checked_add(MIN_SLEEP).unwrap_or(at);
            self.sleep.as_mut().reset(at.max(soonest));
            self.is_armed = true;
        }
        if !self.is_armed {
            return false;
        }
        match self.sleep.as_mut().poll(cx) {
            Poll::Ready(()) => {
                self.is_armed = false;
                true
            }
            Poll::Pending => false,
        }
    }
}
