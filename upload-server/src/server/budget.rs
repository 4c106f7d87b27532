//! One server-wide budget for payload bytes that wait for writers, or that writers hold.
//!
//! Every connection holds a [`Share`] and reports to it what it buffers.
//! It may read another message while all shares together are below the budget.
//! It may also read one while it buffers nothing but what waits for more of its file to be judged.
//! So a short budget slows connections down and never stops one for good.
//!
//! The bytes in memory are therefore at most the budget and, per connection, two messages and what its uploads'
//! content gates hold: one message is read past the budget, and the socket is collecting another.
//! Nothing here locks unless a connection waits.
//!
//! Uploads that begin hold their first bytes until their records are saved and their writers open, and
//! many can begin at once.
//! So a connection with such bytes reads on only while those of all connections are below a small part
//! of the budget. Nobody needs to be woken for that: its own openings end, and then it looks again.
//!
//! Storage that takes parts can hold the whole budget in parts that are not full
//! yet, which only more bytes can free. Then one connection at a time may exceed
//! the budget until its parts have left, in turns: one that stands still, or takes
//! long, is passed over until the others had theirs.
//!
//! The window of an upload is a part of what is left of the budget, however many uploads there are.
//! If all shared it, a client that begins many and sends nothing would take the credit of the others.

#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use super::overdraft::Waiters;

/// An upload may be ahead of its writer by one part in this many of what is left.
///
/// So one upload alone cannot use up what is left, and the more is used, the less each gets: many that
/// are slow meet far below the budget. How many uploads there are does not matter, since those that hold
/// nothing, which anybody can begin, must not cost the others their credit.
const WINDOW_PART: u64 = 16;

/// Bytes that wait for writers which are being opened may take one part in this many of the budget.
const OPENING_PART: u64 = 32;

/// The budget of one server; clones are the same budget.
#[derive(Clone)]
pub(crate) struct Budget(Arc<Pool>);

struct Pool {
    total: u64,
    buffered: AtomicU64,
    /// Those of the buffered bytes that wait for writers which are being opened.
    opening: AtomicU64,
    next_share: AtomicU64,
    /// How many `waiters` there are, so that a release need not lock to see none.
    waiting: AtomicUsize,
    waiters: Mutex<Waiters>,
}

/// Bytes of a connection that only more bytes from its client can free.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unfreeable {
    /// Those in content gates: a few KiB for each upload.
    pub(crate) awaiting_verdict: u64,
    /// Those in parts that are not full.
    pub(crate) partial_bytes: u64,
}

impl Budget {
    /// Makes a budget of `total` bytes.
    pub(crate) fn new(total: u64) -> Self {
        Self(Arc::new(Pool {
            total,
            buffered: AtomicU64::new(0),
            opening: AtomicU64::new(0),
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
            opening: 0,
            waits: false,
            overdraws: false,
            is_waiting_for_turn: false,
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

    fn can_open_more(&self) -> bool {
        self.opening.load(Ordering::Relaxed) < self.total / OPENING_PART
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        // Waiters are inserted and removed whole, whatever panics elsewhere.
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_all(&self) {
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return;
        }
        let woken = self.change(Waiters::take_all);
        for waker in woken {
            waker.wake();
        }
    }

    /// Ends the turn of a share, if it has one and needs it no more, and passes it on.
    fn end_turn(&self, share: u64, bytes: u64, has_room: bool) {
        let woken = self.change(|waiters| waiters.end_turn(share, bytes, has_room));
        if let Some(waker) = woken {
            waker.wake();
        }
    }

    /// Has somebody wait or leave; whoever is to be woken for that is woken by the caller, unlocked.
    fn change<T>(&self, act: impl FnOnce(&mut Waiters) -> T) -> T {
        let mut waiters = self.lock();
        let done = act(&mut waiters);
        self.waiting.store(waiters.count(), Ordering::SeqCst);
        done
    }
}

/// What one connection holds of the budget; given back when dropped.
pub(crate) struct Share {
    pool: Arc<Pool>,
    id: u64,
    bytes: u64,
    opening: u64,
    waits: bool,
    overdraws: bool,
    is_waiting_for_turn: bool,
}

impl Share {
    /// Says how many payload bytes the connection buffers now.
    pub(crate) fn hold(&mut self, bytes: u64) {
        let before = std::mem::replace(&mut self.bytes, bytes);
        if bytes > before {
            let more = bytes.saturating_sub(before);
            self.pool.buffered.fetch_add(more, Ordering::SeqCst);
            if self.overdraws {
                self.pool.lock().took(self.id, more);
            }
        } else if bytes < before {
            let less = before.saturating_sub(bytes);
            self.pool.buffered.fetch_sub(less, Ordering::SeqCst);
            let has_room = self.pool.has_room();
            if self.overdraws {
                self.pool.end_turn(self.id, bytes, has_room);
            }
            if has_room {
                self.pool.wake_all();
            }
        }
    }

    /// Says how many of those bytes wait for writers that are being opened.
    pub(crate) fn open(&mut self, bytes: u64) {
        if bytes == self.opening {
            return;
        }
        let before = std::mem::replace(&mut self.opening, bytes);
        // Two's complement: adding the wrapped difference also subtracts.
        let change = bytes.wrapping_sub(before);
        self.pool.opening.fetch_add(change, Ordering::Relaxed);
    }

    /// Returns how many payload bytes the connection said it buffers.
    pub(crate) fn held(&self) -> u64 {
        self.bytes
    }

    /// Returns the window an upload may have now: a part of what is left, between `floor` and
    /// `most` (PROTOCOL CREDIT-2).
    pub(crate) fn window(&self, floor: u64, most: u64) -> u64 {
        let buffered = self.pool.buffered.load(Ordering::Relaxed);
        let left = self.pool.total.saturating_sub(buffered);
        (left / WINDOW_PART).min(most).max(floor)
    }

    /// Returns ready while the connection may read another message; otherwise
    /// the task is woken when it may, or by one of its writers that are being opened.
    /// `unfreeable` tells how many of its bytes go nowhere before more is read.
    pub(crate) fn poll_room(
        &mut self,
        unfreeable: impl FnOnce() -> Unfreeable,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        self.is_waiting_for_turn = false;
        if self.opening > 0 && !self.pool.can_open_more() {
            return Poll::Pending;
        }
        if self.bytes == 0 || self.pool.has_room() {
            self.wait_no_more();
            return Poll::Ready(());
        }
        let unfreeable = unfreeable();
        if self.bytes <= unfreeable.awaiting_verdict {
            self.wait_no_more();
            return Poll::Ready(());
        }
        let is_stuck = self.bytes
            <= unfreeable
                .awaiting_verdict
                .saturating_add(unfreeable.partial_bytes);
        let (may, woken) = self.pool.change(|waiters| {
            let (may, woken) = if is_stuck {
                waiters.may_overdraw(self.id, self.bytes)
            } else {
                (false, None)
            };
            if may {
                waiters.leave(self.id);
            } else {
                let unfreeable = is_stuck.then_some(self.bytes);
                waiters.wait(self.id, cx.waker().clone(), unfreeable);
            }
            (may, woken)
        });
        self.overdraws = may;
        self.is_waiting_for_turn = is_stuck && !may;
        if let Some(waker) = woken {
            waker.wake();
        }
        if self.overdraws {
            return Poll::Ready(());
        }
        self.waits = true;
        // A release between the look above and the insertion saw nobody waiting.
        if self.pool.has_room() {
            self.wait_no_more();
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Whoever goes on without a turn must not be given one.
    fn wait_no_more(&mut self) {
        if std::mem::take(&mut self.waits) {
            self.pool.change(|waiters| waiters.leave(self.id));
        }
    }

    /// Returns whether it waits for another share that exceeds the budget, and may stand
    /// still; it should ask again after [`turns::OVERDRAFT_STILL`].
    pub(crate) fn is_waiting_for_turn(&self) -> bool {
        self.is_waiting_for_turn
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let waited = self.waits;
        self.wait_no_more();
        self.open(0);
        self.hold(0);
        // A turn may have been given to it that it did not come to use.
        if waited || self.overdraws {
            self.pool.end_turn(self.id, 0, false);
        }
    }
}
