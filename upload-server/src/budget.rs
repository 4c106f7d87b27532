//! One server-wide budget for payload bytes that wait for writers.
//!
//! Every connection holds a [`Share`] and tells it what it buffers. It may read
//! another message while all shares together are below the budget, or while it
//! buffers nothing itself but what waits for more of its file to be judged, so a
//! short budget slows connections down and never stops one for good. The bytes in
//! memory are therefore at most the budget and, per connection, two messages (the
//! one read past the budget, and the one the socket is collecting) and what its
//! uploads' content gates hold. Nothing here locks unless somebody waits.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

/// The budget of one server; clones are the same budget.
#[derive(Clone)]
pub(crate) struct Budget(Arc<Pool>);

struct Pool {
    total: u64,
    buffered: AtomicU64,
    uploads: AtomicU64,
    next_share: AtomicU64,
    /// How many wakers `waiters` holds, so that a release need not lock to see none.
    waiting: AtomicUsize,
    /// One waker per share at most.
    waiters: Mutex<BTreeMap<u64, Waker>>,
}

impl Budget {
    /// Makes a budget of `total` bytes.
    pub(crate) fn new(total: u64) -> Self {
        Self(Arc::new(Pool {
            total,
            buffered: AtomicU64::new(0),
            uploads: AtomicU64::new(0),
            next_share: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            waiters: Mutex::default(),
        }))
    }

    /// Makes the empty share of one connection.
    pub(crate) fn share(&self) -> Share {
        Share {
            id: self.0.next_share.fetch_add(1, Ordering::Relaxed),
            pool: Arc::clone(&self.0),
            bytes: 0,
            uploads: 0,
            waits: false,
        }
    }

    /// Returns the bytes all shares hold.
    pub(crate) fn buffered(&self) -> u64 {
        self.0.buffered.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("total", &self.0.total)
            .field("buffered", &self.buffered())
            .finish_non_exhaustive()
    }
}

impl Pool {
    fn has_room(&self) -> bool {
        self.buffered.load(Ordering::SeqCst) < self.total
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Waker>> {
        // Wakers are inserted and removed whole, whatever panics elsewhere.
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_all(&self) {
        if self.waiting.load(Ordering::SeqCst) == 0 || !self.has_room() {
            return;
        }
        let woken = {
            let mut waiters = self.lock();
            self.waiting.store(0, Ordering::SeqCst);
            std::mem::take(&mut *waiters)
        };
        for waker in woken.into_values() {
            waker.wake();
        }
    }
}

/// What one connection holds of the budget; given back when dropped.
pub(crate) struct Share {
    pool: Arc<Pool>,
    id: u64,
    bytes: u64,
    uploads: u64,
    waits: bool,
}

impl Share {
    /// Says how many payload bytes the connection buffers now.
    pub(crate) fn hold(&mut self, bytes: u64) {
        let before = std::mem::replace(&mut self.bytes, bytes);
        if bytes > before {
            let more = bytes.saturating_sub(before);
            self.pool.buffered.fetch_add(more, Ordering::SeqCst);
        } else if bytes < before {
            let less = before.saturating_sub(bytes);
            self.pool.buffered.fetch_sub(less, Ordering::SeqCst);
            self.pool.wake_all();
        }
    }

    /// Returns how many payload bytes the connection said it buffers.
    pub(crate) fn held(&self) -> u64 {
        self.bytes
    }

    /// Says how many uploads the connection has under way now.
    pub(crate) fn carry(&mut self, uploads: u64) {
        let before = std::mem::replace(&mut self.uploads, uploads);
        // Two's complement: adding the wrapped difference also subtracts.
        let change = uploads.wrapping_sub(before);
        self.pool.uploads.fetch_add(change, Ordering::Relaxed);
    }

    /// Returns the window an upload may have now: an equal part of what is left,
    /// between `floor` and `most` (PROTOCOL CREDIT-2).
    pub(crate) fn window(&self, floor: u64, most: u64) -> u64 {
        let buffered = self.pool.buffered.load(Ordering::Relaxed);
        let uploads = self.pool.uploads.load(Ordering::Relaxed).max(1);
        let left = self.pool.total.saturating_sub(buffered);
        left.checked_div(uploads)
            .unwrap_or(left)
            .min(most)
            .max(floor)
    }

    /// Returns ready while the connection may read another message; otherwise
    /// the task is woken when it may. `gated` tells how many of its bytes no
    /// writer can take before more is read.
    pub(crate) fn poll_room(
        &mut self,
        gated: impl FnOnce() -> u64,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if self.bytes == 0 || self.pool.has_room() || self.bytes <= gated() {
            return Poll::Ready(());
        }
        {
            let mut waiters = self.pool.lock();
            waiters.insert(self.id, cx.waker().clone());
            self.pool.waiting.store(waiters.len(), Ordering::SeqCst);
        }
        self.waits = true;
        // A release between the look above and the insertion saw nobody waiting.
        if self.pool.has_room() {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.waits {
            let mut waiters = self.pool.lock();
            waiters.remove(&self.id);
            self.pool.waiting.store(waiters.len(), Ordering::SeqCst);
        }
        self.carry(0);
        self.hold(0);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::AtomicU32,
        task::{Wake, Waker},
    };

    use super::*;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn counting() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count::default());
        (Arc::clone(&count), Waker::from(count))
    }

    /// CREDIT-2: past the budget only those read on who hold nothing, or nothing
    /// that a writer could take yet.
    #[test]
    fn who_holds_nothing_may_always_read() {
        let budget = Budget::new(100);
        let (mut full, mut empty) = (budget.share(), budget.share());
        let (_, waker) = counting();
        let mut cx = Context::from_waker(&waker);
        full.hold(100);
        assert!(full.poll_room(|| 0, &mut cx).is_pending());
        assert!(empty.poll_room(|| 0, &mut cx).is_ready());
        empty.hold(1);
        assert!(empty.poll_room(|| 0, &mut cx).is_pending());
        assert!(empty.poll_room(|| 1, &mut cx).is_ready());
    }

    #[test]
    fn a_release_wakes_those_who_wait_once() {
        let budget = Budget::new(100);
        let (mut one, mut two) = (budget.share(), budget.share());
        let (woken, waker) = counting();
        let mut cx = Context::from_waker(&waker);
        one.hold(90);
        two.hold(60);
        assert!(two.poll_room(|| 0, &mut cx).is_pending());
        one.hold(45);
        assert_eq!(woken.0.load(Ordering::SeqCst), 0, "still no room");
        one.hold(10);
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        one.hold(0);
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        assert!(two.poll_room(|| 0, &mut cx).is_ready());
    }

    #[test]
    fn a_dropped_share_gives_everything_back() {
        let budget = Budget::new(100);
        let (mut one, mut two) = (budget.share(), budget.share());
        let (woken, waker) = counting();
        let mut cx = Context::from_waker(&waker);
        one.hold(100);
        one.carry(3);
        two.hold(1);
        two.carry(1);
        assert!(two.poll_room(|| 0, &mut cx).is_pending());
        assert!(one.poll_room(|| 0, &mut cx).is_pending());
        drop(one);
        assert_eq!(
            woken.0.load(Ordering::SeqCst),
            1,
            "the dropped one needs no waking"
        );
        assert_eq!(budget.buffered(), 1);
        assert_eq!(two.window(1, 1000), 99);
    }

    /// CREDIT-2: the window shrinks with the budget and the number of uploads,
    /// and never below its floor.
    #[test]
    fn the_window_is_an_equal_part_of_what_is_left() {
        let budget = Budget::new(1000);
        let mut share = budget.share();
        assert_eq!(share.window(10, 400), 400);
        share.carry(4);
        assert_eq!(share.window(10, 400), 250);
        share.hold(600);
        assert_eq!(share.window(10, 400), 100);
        share.hold(5000);
        assert_eq!(share.window(10, 400), 10);
        share.carry(0);
        share.hold(0);
        assert_eq!(share.window(10, 400), 400);
    }
}
