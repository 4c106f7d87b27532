//! Who waits for room, and whose turn it is to exceed the budget.

use std::{collections::BTreeMap, task::Waker, time::Duration};

use tokio::time::Instant;

/// How long a share may stand still that exceeds the budget, before another one may.
pub(super) const OVERDRAFT_STILL: Duration = Duration::from_secs(1);

/// Bytes a share has to take within that time; fewer are standing still, so that crumbs hold up nobody.
pub(super) const OVERDRAFT_STEP: u64 = 64 * 1024;

/// How long a share may exceed the budget while others wait to, however fast it is.
pub(super) const OVERDRAFT_TURN: Duration = Duration::from_secs(2);

/// Shares that wait, and the turn of one of them.
#[derive(Default)]
pub(super) struct Waiters {
    /// One per share at most.
    by_share: BTreeMap<u64, Waiter>,
    /// Who may exceed the budget now.
    overdraft: Option<Overdraft>,
    /// Who had the last turn; the next one is whose number follows.
    last_turn: u64,
}

struct Waiter {
    waker: Waker,
    /// What the share holds, if it can only go on by exceeding the budget.
    unfreeable: Option<u64>,
}

struct Overdraft {
    share: u64,
    /// What the share held when it began.
    level: u64,
    since: Instant,
    /// When it last had taken a step more, and what it took since.
    moved: Instant,
    taken: u64,
}

impl Overdraft {
    fn new(share: u64, level: u64, now: Instant) -> Self {
        Self {
            share,
            level,
            since: now,
            moved: now,
            taken: 0,
        }
    }

    fn take(&mut self, bytes: u64) {
        self.taken = self.taken.saturating_add(bytes);
        if self.taken >= OVERDRAFT_STEP {
            self.taken = 0;
            self.moved = Instant::now();
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.moved) >= OVERDRAFT_STILL
            || now.saturating_duration_since(self.since) >= OVERDRAFT_TURN
    }
}

impl Waiters {
    /// Has a share wait; `unfreeable` is what it holds, if it can only go on by exceeding the budget.
    pub(super) fn wait(&mut self, share: u64, waker: Waker, unfreeable: Option<u64>) {
        self.by_share.insert(share, Waiter { waker, unfreeable });
    }

    /// A share waits no more.
    pub(super) fn leave(&mut self, share: u64) {
        self.by_share.remove(&share);
    }

    /// Returns how many shares wait.
    pub(super) fn count(&self) -> usize {
        self.by_share.len()
    }

    /// Takes out all that wait.
    pub(super) fn take_all(&mut self) -> Vec<Waker> {
        let all = std::mem::take(&mut self.by_share);
        all.into_values().map(|waiter| waiter.waker).collect()
    }

    /// Notes that a share took so many bytes more, if it is its turn.
    pub(super) fn took(&mut self, share: u64, bytes: u64) {
        if let Some(turn) = &mut self.overdraft
            && turn.share == share
        {
            turn.take(bytes);
        }
    }

    /// Returns whether a share that holds `bytes` may exceed the budget now, and whom to wake if
    /// it has become another one's turn.
    pub(super) fn may_overdraw(&mut self, share: u64, bytes: u64) -> (bool, Option<Waker>) {
        let now = Instant::now();
        let mut woken = None;
        if self.overdraft.as_ref().is_none_or(|turn| turn.is_over(now)) {
            woken = self.pass_turn(Some((share, bytes)), now);
        }
        let turn = self.overdraft.as_ref();
        (turn.is_some_and(|turn| turn.share == share), woken)
    }

    /// Ends the turn of a share if it has one and if what it holds now is at most half of what it
    /// began with, or nobody needs turns any more; returns whom to wake.
    pub(super) fn end_turn(&mut self, share: u64, bytes: u64, has_room: bool) -> Option<Waker> {
        let turn = self.overdraft.as_ref().filter(|turn| turn.share == share)?;
        if !has_room && bytes > turn.level / 2 {
            return None;
        }
        self.overdraft = None;
        self.pass_turn(None, Instant::now())
    }

    /// Gives the turn to the next share of those that wait for one and of `asker`, a share and what
    /// it holds; returns whom to wake for that.
    fn pass_turn(&mut self, asker: Option<(u64, u64)>, now: Instant) -> Option<Waker> {
        let next = self.last_turn.wrapping_add(1);
        let waiting = self.by_share.iter();
        let waiting = waiting.filter_map(|(share, waiter)| Some((*share, waiter.unfreeable?)));
        let asking = asker.map(|(share, _)| share);
        let (share, level) = waiting
            .filter(|(share, _)| Some(*share) != asking)
            .chain(asker)
            .min_by_key(|(share, _)| share.wrapping_sub(next))?;
        self.last_turn = share;
        self.overdraft = Some(Overdraft::new(share, level, now));
        if Some(share) == asking {
            return None;
        }
        self.by_share.remove(&share).map(|waiter| waiter.waker)
    }
}
