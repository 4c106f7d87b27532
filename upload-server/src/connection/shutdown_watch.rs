//! What the server tells all its connections at once.

use std::{
    pin::Pin,
    task::{Context, Waker},
};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// One token, watched by one task.
///
/// All connections wait on the same token, and waiting takes its lock, so the wait is polled once.
/// From then on a look at the token is enough to tell whether a wake-up came from it.
pub(crate) struct Signal {
    token: CancellationToken,
    wait: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Whom the token wakes.
    waker: Option<Waker>,
    was_told: bool,
}

impl Signal {
    pub(crate) fn new(token: CancellationToken) -> Self {
        Self {
            wait: Box::pin(token.clone().cancelled_owned()),
            token,
            waker: None,
            was_told: false,
        }
    }

    /// Returns whether the token was cancelled, the first time it is seen; otherwise the task is woken by it.
    pub(crate) fn is_news(&mut self, cx: &mut Context<'_>) -> bool {
        if self.was_told {
            return false;
        }
        if self.token.is_cancelled() {
            self.was_told = true;
            return true;
        }
        let is_known = self
            .waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()));
        if !is_known {
            self.waker = Some(cx.waker().clone());
            self.was_told = self.wait.as_mut().poll(cx).is_ready();
        }
        self.was_told
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicU32, Ordering},
        },
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn tells_once_and_wakes_the_task_that_asked_last() {
        let (first, last) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let wakers = [&first, &last].map(|count| Waker::from(Arc::clone(count)));
        let token = CancellationToken::new();
        let mut signal = Signal::new(token.clone());
        for waker in &wakers {
            assert!(!signal.is_news(&mut Context::from_waker(waker)));
            assert!(!signal.is_news(&mut Context::from_waker(waker)));
        }
        token.cancel();
        assert_eq!(first.0.load(Ordering::SeqCst), 0);
        assert_eq!(last.0.load(Ordering::SeqCst), 1);
        let mut cx = Context::from_waker(&wakers[1]);
        assert!(signal.is_news(&mut cx));
        assert!(!signal.is_news(&mut cx));
    }
}
