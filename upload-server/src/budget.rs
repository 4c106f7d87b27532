//! One server-wide budget for payload bytes that wait for writers, or that writers hold.
//!
//! Every connection holds a [`Share`] and tells it what it buffers. It may read
//! another message while all shares together are below the budget, or while it
//! buffers nothing itself but what waits for more of its file to be judged, so a
//! short budget slows connections down and never stops one for good. The bytes in
//! memory are therefore at most the budget and, per connection, two messages (the
//! one read past the budget, and the one the socket is collecting) and what its
//! uploads' content gates hold. Nothing here locks unless somebody waits.
//!
//! Storage that takes parts can hold the whole budget in parts that are not full
//! yet, which only more bytes can free. Then one connection at a time may exceed
//! the budget until its parts have left; one that stands still is passed over.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::time::Instant;

/// How long a share may stand still that exceeds the budget, before another one may.
const OVERDRAFT_STILL: Duration = Duration::from_secs(1);

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
    waiters: Mutex<Waiters>,
}

#[derive(Default)]
struct Waiters {
    /// One waker per share at most.
    wakers: BTreeMap<u64, Waker>,
    /// Who may exceed the budget now.
    overdraft: Option<Overdraft>,
}

struct Overdraft {
    share: u64,
    /// What the share held when it began.
    level: u64,
    /// When it last took more.
    moved: Instant,
}

/// Bytes of a connection that only more bytes from its client can free.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stuck {
    /// Those in content gates: a few KiB for each upload.
    pub(crate) gated: u64,
    /// Those in parts that are not full.
    pub(crate) lacking: u64,
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
            overdraws: false,
            is_outrun: false,
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

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        // Wakers are inserted and removed whole, whatever panics elsewhere.
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_all(&self) {
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return;
        }
        let woken = {
            let mut waiters = self.lock();
            self.waiting.store(0, Ordering::SeqCst);
            std::mem::take(&mut waiters.wakers)
        };
        for waker in woken.into_values() {
            waker.wake();
        }
    }

    /// Ends the overdraft of a share if it is its turn and `is_over` says so.
    fn end_overdraft(&self, share: u64, is_over: impl FnOnce(&Overdraft) -> bool) -> bool {
        let mut waiters = self.lock();
        let mine = waiters.overdraft.take_if(|one| one.share == share);
        match mine {
            Some(mine) if !is_over(&mine) => {
                waiters.overdraft = Some(mine);
                false
            }
            _ => true,
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
    overdraws: bool,
    is_outrun: bool,
}

impl Share {
    /// Says how many payload bytes the connection buffers now.
    pub(crate) fn hold(&mut self, bytes: u64) {
        let before = std::mem::replace(&mut self.bytes, bytes);
        if bytes > before {
            let more = bytes.saturating_sub(before);
            self.pool.buffered.fetch_add(more, Ordering::SeqCst);
            if self.overdraws
                && let Some(overdraft) = &mut self.pool.lock().overdraft
                && overdraft.share == self.id
            {
                overdraft.moved = Instant::now();
            }
        } else if bytes < before {
            let less = before.saturating_sub(bytes);
            self.pool.buffered.fetch_sub(less, Ordering::SeqCst);
            let has_room = self.pool.has_room();
            let is_over = |mine: &Overdraft| has_room || bytes <= mine.level / 2;
            let passes_on = self.overdraws && self.pool.end_overdraft(self.id, is_over);
            self.overdraws &= !passes_on;
            if has_room || passes_on {
                self.pool.wake_all();
            }
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
    /// the task is woken when it may. `stuck` tells how many of its bytes go
    /// nowhere before more is read.
    pub(crate) fn poll_room(
        &mut self,
        stuck: impl FnOnce() -> Stuck,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        self.is_outrun = false;
        if self.bytes == 0 || self.pool.has_room() {
            return Poll::Ready(());
        }
        let stuck = stuck();
        if self.bytes <= stuck.gated {
            return Poll::Ready(());
        }
        {
            let mut waiters = self.pool.lock();
            if self.bytes <= stuck.gated.saturating_add(stuck.lacking) {
                if self.may_overdraw(&mut waiters) {
                    self.overdraws = true;
                    return Poll::Ready(());
                }
                self.is_outrun = true;
            }
            waiters.wakers.insert(self.id, cx.waker().clone());
            let waiting = waiters.wakers.len();
            self.pool.waiting.store(waiting, Ordering::SeqCst);
        }
        self.waits = true;
        // A release between the look above and the insertion saw nobody waiting.
        if self.pool.has_room() {
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Returns whether it waits for another share to move on that exceeds the
    /// budget; it should ask again after [`OVERDRAFT_STILL`].
    pub(crate) fn is_outrun(&self) -> bool {
        self.is_outrun
    }

    fn may_overdraw(&self, waiters: &mut Waiters) -> bool {
        let now = Instant::now();
        match &waiters.overdraft {
            Some(other) if other.share == self.id => return true,
            Some(other) if now.saturating_duration_since(other.moved) < OVERDRAFT_STILL => {
                return false;
            }
            _ => {}
        }
        waiters.overdraft = Some(Overdraft {
            share: self.id,
            level: self.bytes,
            moved: now,
        });
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.waits {
            let mut waiters = self.pool.lock();
            waiters.wakers.remove(&self.id);
            let waiting = waiters.wakers.len();
            self.pool.waiting.store(waiting, Ordering::SeqCst);
        }
        self.carry(0);
        self.hold(0);
        if self.overdraws && self.pool.end_overdraft(self.id, |_| true) {
            self.pool.wake_all();
        }
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
        assert!(full.poll_room(Stuck::default, &mut cx).is_pending());
        assert!(empty.poll_room(Stuck::default, &mut cx).is_ready());
        empty.hold(1);
        assert!(empty.poll_room(Stuck::default, &mut cx).is_pending());
        assert!(
            empty
                .poll_room(
                    || Stuck {
                        gated: 1,
                        lacking: 0
                    },
                    &mut cx
                )
                .is_ready()
        );
    }

    #[test]
    fn a_release_wakes_those_who_wait_once() {
        let budget = Budget::new(100);
        let (mut one, mut two) = (budget.share(), budget.share());
        let (woken, waker) = counting();
        let mut cx = Context::from_waker(&waker);
        one.hold(90);
        two.hold(60);
        assert!(two.poll_room(Stuck::default, &mut cx).is_pending());
        one.hold(45);
        assert_eq!(woken.0.load(Ordering::SeqCst), 0, "still no room");
        one.hold(10);
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        one.hold(0);
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
        assert!(two.poll_room(Stuck::default, &mut cx).is_ready());
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
        assert!(two.poll_room(Stuck::default, &mut cx).is_pending());
        assert!(one.poll_room(Stuck::default, &mut cx).is_pending());
        drop(one);
        assert_eq!(
            woken.0.load(Ordering::SeqCst),
            1,
            "the dropped one needs no waking"
        );
        assert_eq!(budget.buffered(), 1);
        assert_eq!(two.window(1, 1000), 99);
    }

    fn stuck(lacking: u64) -> impl FnOnce() -> Stuck {
        move || Stuck { gated: 0, lacking }
    }

    /// CREDIT-2: parts that are not full may hold all there is; then one share at a time goes on,
    /// and when its part has left, the next.
    #[test]
    fn one_share_at_a_time_exceeds_the_budget() {
        let budget = Budget::new(100);
        let (mut one, mut two) = (budget.share(), budget.share());
        let (woken, waker) = counting();
        let mut cx = Context::from_waker(&waker);
        one.hold(60);
        two.hold(60);
        assert!(
            one.poll_room(stuck(50), &mut cx).is_pending(),
            "10 may leave"
        );
        assert!(!one.is_outrun());
        assert!(one.poll_room(stuck(60), &mut cx).is_ready());
        assert!(two.poll_room(stuck(60), &mut cx).is_pending());
        assert!(two.is_outrun());
        one.hold(80);
        assert!(
            one.poll_room(stuck(80), &mut cx).is_ready(),
            "still its turn"
        );
        one.hold(75);
        assert!(two.poll_room(stuck(60), &mut cx).is_pending());
        let before = woken.0.load(Ordering::SeqCst);
        one.hold(30);
        assert!(woken.0.load(Ordering::SeqCst) > before);
        assert!(two.poll_room(stuck(60), &mut cx).is_ready() && !two.is_outrun());
    }

    /// CREDIT-4: whoever stands still is passed over, and whoever is gone too.
    #[tokio::test(start_paused = true)]
    async fn a_share_that_stands_still_is_passed_over() {
        let budget = Budget::new(100);
        let mut shares = [budget.share(), budget.share(), budget.share()];
        let mut cx = Context::from_waker(Waker::noop());
        for share in &mut shares {
            share.hold(60);
        }
        let [one, two, three] = shares.each_mut();
        assert!(one.poll_room(stuck(60), &mut cx).is_ready());
        tokio::time::advance(OVERDRAFT_STILL / 2).await;
        one.hold(61);
        tokio::time::advance(OVERDRAFT_STILL / 2).await;
        assert!(two.poll_room(stuck(60), &mut cx).is_pending());
        tokio::time::advance(OVERDRAFT_STILL / 2).await;
        assert!(two.poll_room(stuck(60), &mut cx).is_ready());
        assert!(one.poll_room(stuck(61), &mut cx).is_pending());
        assert!(three.poll_room(stuck(60), &mut cx).is_pending());
        let [_one, two, mut three] = shares;
        drop(two);
        assert!(three.poll_room(stuck(60), &mut cx).is_ready());
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
