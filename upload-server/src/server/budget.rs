//! One server-wide budget for payload bytes that wait for writers, or that writers hold.
//!
//! Every connection holds a [`Share`] and reports to it what it buffers.
//! It may read another message while all shares together are below the budget.
//! It may also read one while it buffers nothing but what waits for more of its file to be judged.
//! So a short budget slows connections down and never stops one for good.
//!
//! The bytes in memory are therefore at most the budget, one claim and, per connection, two messages and what its uploads'
//! content gates hold: one message is read past the budget, and the socket is collecting another.
//! Nothing here locks unless a connection waits or fills a part.
//!
//! Uploads that begin hold their first bytes until their records are saved and their writers open, and
//! many can begin at once.
//! So a connection with such bytes reads on only while those of all connections are below a small part
//! of the budget. Nobody needs to be woken for that: its own openings end, and then it looks again.
//!
//! Storage that takes parts has no use for one that is not full yet, and only more bytes can fill it.
//! So a connection that has begun a part claims the rest of it before it reads on.
//! Claims count as used, and are admitted in the order in which they were made, each when it fits.
//! The first may never fit: a part is larger than the budget, or the clients of all parts in it are idle.
//! Then it is admitted alone, and the bytes in memory exceed the budget by what fills its parts.
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

use super::admission::{Admission, Room};

/// An upload may be ahead of its writer by one part in this many of what is left.
///
/// So one upload alone cannot use up what is left, and the more is used, the less each gets: many that
/// are slow meet far below the budget. How many uploads there are does not matter, since those that hold
/// nothing, which anybody can begin, must not cost the others their credit.
const WINDOW_PART: u64 = 8;

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
    /// Those of the buffered bytes that only more bytes can free.
    kept: AtomicU64,
    /// Bytes that connections claimed for parts and did not take yet.
    claimed: AtomicU64,
    /// How many wait, so that a release need not lock to see none.
    waiting: AtomicUsize,
    admission: Mutex<Admission>,
}

/// What of a connection only more bytes from its client can free.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unfreeable {
    /// Bytes in content gates: a few KiB for each upload.
    pub(crate) awaiting_verdict: u64,
    /// Bytes in parts that are not full, and in content that waits for its checksum.
    pub(crate) partial_bytes: u64,
    /// How many more bytes those need; 0 where there are none.
    pub(crate) missing: u64,
}

impl Budget {
    /// Makes a budget of `total` bytes.
    pub(crate) fn new(total: u64) -> Self {
        Self(Arc::new(Pool {
            total,
            buffered: AtomicU64::new(0),
            opening: AtomicU64::new(0),
            next_share: AtomicU64::new(0),
            kept: AtomicU64::new(0),
            claimed: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            admission: Mutex::default(),
        }))
    }

    /// Makes the empty share of one connection.
    pub(crate) fn share(&self) -> Share {
        Share {
            id: self.0.next_share.fetch_add(1, Ordering::Relaxed),
            pool: Arc::clone(&self.0),
            bytes: 0,
            opening: 0,
            kept: 0,
            waits: Waits::No,
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
    fn room(&self) -> Room {
        Room {
            total: self.total,
            buffered: self.buffered.load(Ordering::SeqCst),
            kept: self.kept.load(Ordering::SeqCst),
        }
    }

    fn used(&self) -> u64 {
        let claimed = self.claimed.load(Ordering::SeqCst);
        self.buffered.load(Ordering::SeqCst).saturating_add(claimed)
    }

    fn has_room(&self) -> bool {
        self.used() < self.total
    }

    fn can_open_more(&self) -> bool {
        self.opening.load(Ordering::Relaxed) < self.total / OPENING_PART
    }

    fn lock(&self) -> MutexGuard<'_, Admission> {
        // Waiters are inserted and removed whole, whatever panics elsewhere.
        self.admission
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets those go on for whom there is room now.
    fn freed(&self) {
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut woken = Vec::new();
        self.change(|admission| admission.freed(self.room(), &mut woken));
        for waker in woken {
            waker.wake();
        }
    }

    /// Adds or removes a waiting task. Tasks to be woken are returned, so that the caller wakes them without the lock.
    fn change<T>(&self, act: impl FnOnce(&mut Admission) -> T) -> T {
        let mut admission = self.lock();
        let done = act(&mut admission);
        self.waiting.store(admission.waiting(), Ordering::SeqCst);
        self.claimed.store(admission.claimed(), Ordering::SeqCst);
        done
    }
}

/// What a connection waits for, or has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    /// Nothing.
    No,
    /// Any room.
    ForRoom,
    /// A claim.
    ForClaim,
    /// Nothing: its claim was admitted.
    Admitted,
}

/// What one connection holds of the budget; given back when dropped.
pub(crate) struct Share {
    pool: Arc<Pool>,
    id: u64,
    bytes: u64,
    opening: u64,
    kept: u64,
    waits: Waits,
}

impl Share {
    /// Says how many payload bytes the connection buffers now.
    pub(crate) fn hold(&mut self, bytes: u64) {
        let before = std::mem::replace(&mut self.bytes, bytes);
        if bytes > before {
            let more = bytes.saturating_sub(before);
            self.pool.buffered.fetch_add(more, Ordering::SeqCst);
            if self.waits == Waits::Admitted {
                self.pool.change(|admission| admission.took(self.id, more));
            }
        } else if bytes < before {
            let less = before.saturating_sub(bytes);
            self.pool.buffered.fetch_sub(less, Ordering::SeqCst);
            self.keep(self.kept);
            self.pool.freed();
        }
    }

    /// Says how many of those bytes only more bytes can free.
    pub(crate) fn keep(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        let before = std::mem::replace(&mut self.kept, bytes);
        // Two's complement: adding the wrapped difference also subtracts.
        let change = bytes.wrapping_sub(before);
        self.pool.kept.fetch_add(change, Ordering::SeqCst);
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
        let left = self.pool.total.saturating_sub(self.pool.used());
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
        if self.opening > 0 && !self.pool.can_open_more() {
            return Poll::Pending;
        }
        if self.bytes == 0 {
            self.wait_no_more();
            return Poll::Ready(());
        }
        let unfreeable = unfreeable();
        let kept = unfreeable.awaiting_verdict;
        self.keep(kept.saturating_add(unfreeable.partial_bytes));
        if unfreeable.missing > 0 {
            return self.poll_claim(unfreeable.missing, cx);
        }
        if self.pool.has_room() || self.bytes <= unfreeable.awaiting_verdict {
            self.wait_no_more();
            return Poll::Ready(());
        }
        self.wait_no_more();
        self.pool
            .change(|admission| admission.wait(self.id, cx.waker().clone()));
        self.waits = Waits::ForRoom;
        // A release between the look above and the insertion saw nobody waiting.
        if self.pool.has_room() {
            self.wait_no_more();
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Claims what the parts need that it has begun.
    fn poll_claim(&mut self, missing: u64, cx: &mut Context<'_>) -> Poll<()> {
        let mut woken = Vec::new();
        let may = self.pool.change(|admission| {
            let room = self.pool.room();
            admission.ask(self.id, missing, cx.waker(), room, &mut woken)
        });
        for waker in woken {
            waker.wake();
        }
        self.waits = match may {
            true => Waits::Admitted,
            false => Waits::ForClaim,
        };
        if !may {
            // A release between the look at the room and the insertion saw nobody waiting.
            self.pool.freed();
        }
        match may {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// Gives back what it claimed, and waits no more.
    fn wait_no_more(&mut self) {
        let waited = std::mem::replace(&mut self.waits, Waits::No);
        if waited == Waits::No {
            return;
        }
        self.pool.change(|admission| admission.leave(self.id));
        if waited != Waits::ForRoom {
            self.pool.freed();
        }
    }

    /// Returns whether it waits for a claim, while those who have one may stand still; it should ask again
    /// after [`CLAIM_STILL`](super::admission::CLAIM_STILL).
    pub(crate) fn is_waiting_for_claim(&self) -> bool {
        self.waits == Waits::ForClaim
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.wait_no_more();
        self.open(0);
        self.hold(0);
    }
}
