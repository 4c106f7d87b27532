//! Who waits for room, and which connections may fill the parts they have begun.
//!
//! A part that is not full can only leave once the rest of it has come, so that rest is claimed from the budget
//! before it is read. Claims are admitted in the order in which they were made, each as soon as it fits. Where the
//! first does not fit even after everything has left that can, it is admitted alone, and may fill its part.
//! Who does not use a claim, or is slow, gives it back once another one needs it, and asks anew, behind the others.

use std::{
    collections::{BTreeMap, HashMap},
    task::Waker,
    time::Duration,
};

use tokio::time::Instant;

/// How long a connection may leave its claim unused while others wait.
pub(super) const CLAIM_STILL: Duration = Duration::from_secs(1);

/// Bytes a connection has to take within that time; fewer are standing still, so that crumbs hold up nobody.
pub(super) const CLAIM_STEP: u64 = 64 * 1024;

/// How long a connection may have its claim while others wait, however fast it is.
pub(super) const CLAIM_TURN: Duration = Duration::from_secs(2);

/// The most that one connection claims at a time: one part in this many of the budget.
pub(super) const CLAIM_PART: u64 = 4;

/// The budget as it is now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) total: u64,
    pub(super) buffered: u64,
    /// Those of the buffered bytes that only more bytes can free.
    pub(super) kept: u64,
}

impl Room {
    /// Returns the bytes that leave without more that comes.
    fn leaving(self) -> u64 {
        self.buffered.saturating_sub(self.kept)
    }
}

/// Connections that wait, and those that have a claim.
#[derive(Default)]
pub(super) struct Admission {
    admitted: HashMap<u64, Claim>,
    /// The bytes of all of those that were not taken yet.
    claimed: u64,
    /// Who waits for a claim, by arrival.
    queue: BTreeMap<u64, Asking>,
    arrivals: HashMap<u64, u64>,
    next_arrival: u64,
    /// Who waits for any room.
    others: HashMap<u64, Waker>,
}

struct Asking {
    share: u64,
    /// What its parts need.
    missing: u64,
    /// How much of that it claims.
    bytes: u64,
    waker: Waker,
}

struct Claim {
    /// What may still be taken.
    left: u64,
    since: Instant,
    /// When it last had taken a step more, and what it took since.
    moved: Instant,
    taken: u64,
}

impl Claim {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.moved) >= CLAIM_STILL
            || now.saturating_duration_since(self.since) >= CLAIM_TURN
    }
}

impl Admission {
    /// Has a share wait for any room.
    pub(super) fn wait(&mut self, share: u64, waker: Waker) {
        self.others.insert(share, waker);
    }

    /// A share waits no more, and gives back what it claimed.
    pub(super) fn leave(&mut self, share: u64) {
        self.others.remove(&share);
        if let Some(arrival) = self.arrivals.remove(&share) {
            self.queue.remove(&arrival);
        }
        if let Some(claim) = self.admitted.remove(&share) {
            self.claimed = self.claimed.saturating_sub(claim.left);
        }
    }

    /// Returns how many shares wait.
    pub(super) fn waiting(&self) -> usize {
        self.others.len().saturating_add(self.queue.len())
    }

    /// Returns the bytes that were claimed and not taken yet, the claim that is next included: what comes
    /// meanwhile must not take its room.
    pub(super) fn claimed(&self) -> u64 {
        let next = self.queue.first_key_value();
        self.claimed
            .saturating_add(next.map_or(0, |(_, asking)| asking.bytes))
    }

    /// Notes that a share took so many bytes more.
    pub(super) fn took(&mut self, share: u64, bytes: u64) {
        let Some(claim) = self.admitted.get_mut(&share) else {
            return;
        };
        let less = claim.left.min(bytes);
        claim.left = claim.left.saturating_sub(less);
        self.claimed = self.claimed.saturating_sub(less);
        claim.taken = claim.taken.saturating_add(bytes);
        if claim.taken >= CLAIM_STEP {
            claim.taken = 0;
            claim.moved = Instant::now();
        }
    }

    /// Returns whether a share may take bytes of the parts it has begun, of which `missing` bytes are missing; it
    /// waits otherwise. Others that may now are in `woken`.
    pub(super) fn ask(
        &mut self,
        share: u64,
        missing: u64,
        waker: &Waker,
        room: Room,
        woken: &mut Vec<Waker>,
    ) -> bool {
        if self
            .admitted
            .get(&share)
            .is_some_and(|claim| claim.left > 0)
        {
            return true;
        }
        self.admitted.remove(&share);
        self.others.remove(&share);
        let arrival = *self.arrivals.entry(share).or_insert(self.next_arrival);
        self.next_arrival = self.next_arrival.max(arrival.saturating_add(1));
        let asking = Asking {
            share,
            missing,
            bytes: missing.min(room.total / CLAIM_PART).max(1),
            waker: waker.clone(),
        };
        self.queue.insert(arrival, asking);
        self.admit(Some(share), room, woken);
        self.admitted.contains_key(&share)
    }

    /// Admits those in front for whom there is room.
    pub(super) fn freed(&mut self, room: Room, woken: &mut Vec<Waker>) {
        self.admit(None, room, woken);
        if room.buffered.saturating_add(self.claimed()) < room.total {
            woken.extend(self.others.drain().map(|(_, waker)| waker));
        }
    }

    fn admit(&mut self, asker: Option<u64>, room: Room, woken: &mut Vec<Waker>) {
        if self.queue.is_empty() {
            return;
        }
        let now = Instant::now();
        while let Some(first) = self.queue.first_entry() {
            let Asking { bytes, missing, .. } = *first.get();
            let with =
                |bytes_now: u64| bytes_now.saturating_add(self.claimed).saturating_add(bytes);
            let left = if with(room.buffered) <= room.total {
                bytes
            } else if with(room.kept) <= room.total || room.leaving() > room.total / 2 {
                // What is on its way to storage will leave.
                return;
            } else if self.admitted.is_empty() {
                missing
            } else if self.give_back_one(now) {
                continue;
            } else {
                return;
            };
            let asking = first.remove();
            self.arrivals.remove(&asking.share);
            self.claimed = self.claimed.saturating_add(left);
            let claim = Claim {
                left,
                since: now,
                moved: now,
                taken: 0,
            };
            self.admitted.insert(asking.share, claim);
            if asker != Some(asking.share) {
                woken.push(asking.waker);
            }
        }
    }

    /// Takes a claim back that was not used in time: the oldest of those.
    fn give_back_one(&mut self, now: Instant) -> bool {
        let over = self.admitted.iter().filter(|(_, claim)| claim.is_over(now));
        let oldest = over.min_by_key(|(_, claim)| claim.since);
        let Some(share) = oldest.map(|(share, _)| *share) else {
            return false;
        };
        self.leave(share);
        true
    }
}
