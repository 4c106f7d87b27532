//! Random histories of many uploads that share a small budget: every one of them ends, and memory is bounded.
//!
//! Clients send parts at their own speed, are idle for a while or for good, or leave; storage takes its time for a
//! part.
//! A connection polls when it is woken, when its client has sent something, when its part was stored, and once in a
//! second while it waits for a claim: as in the server.

use std::{sync::Arc, task::Context, time::Duration};

use super::{super::*, Count};
use crate::server::admission::CLAIM_TURN;

/// How many histories are played.
const HISTORIES: u64 = 2_000;
/// How far the clock goes at a time.
const TICK: Duration = Duration::from_millis(50);
/// A connection that waits for a claim looks again after this many ticks.
const LOOK_TICKS: u64 = 20;
/// Sizes are in units of so many bytes.
const UNIT: u64 = 4096;
/// Bytes of a message at most.
const MESSAGE: u64 = 64 * UNIT;

/// Numbers that a seed decides (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % most
    }
}

/// How clients are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clients {
    /// Each fills any part while it may keep its claim.
    Quick,
    /// Some are slow, and all are idle now and then.
    Any,
}

/// One connection with one upload.
struct Upload {
    share: Share,
    woken: Arc<Count>,
    seen: u32,
    part_bytes: u64,
    /// Bytes of the part that is not full.
    partial: u64,
    /// Parts that are being stored: when each is done, and its bytes.
    storing: Vec<(u64, u64)>,
    /// What was not read yet, and how much of that the client has sent.
    left: u64,
    sent: u64,
    /// What it never sends, although it keeps its connection.
    unsent: u64,
    /// Bytes the client sends in a tick, and until when it is idle.
    speed: u64,
    still_until: u64,
    clients: Clients,
    looked_at: u64,
}

impl Upload {
    fn new(budget: &Budget, clients: Clients, chance: &mut Chance) -> Self {
        let part_bytes = 1 + chance.below(400 * UNIT);
        let left = 1 + chance.below(6 * part_bytes);
        let (slowest, still) = match clients {
            Clients::Quick => (20 * UNIT, 0),
            Clients::Any => (1, chance.below(40)),
        };
        let unsent = match clients {
            Clients::Any if chance.below(4) == 0 => chance.below(left),
            Clients::Any | Clients::Quick => 0,
        };
        Self {
            share: budget.share(),
            woken: Arc::default(),
            seen: 0,
            part_bytes,
            partial: 0,
            storing: Vec::new(),
            left,
            sent: 0,
            unsent,
            speed: slowest + chance.below(200 * UNIT),
            still_until: still,
            clients,
            looked_at: 0,
        }
    }

    fn held(&self) -> u64 {
        let storing: u64 = self.storing.iter().map(|(_, bytes)| bytes).sum();
        self.partial + storing
    }

    /// Returns whether nobody waits for it.
    fn is_over(&self) -> bool {
        self.left == self.unsent && self.storing.is_empty()
    }

    fn may_read(&mut self, cx: &mut Context<'_>) -> bool {
        let missing = match self.partial {
            0 => 0,
            partial => self.part_bytes - partial,
        };
        let unfreeable = Unfreeable {
            awaiting_verdict: 0,
            partial_bytes: self.partial,
            missing,
        };
        self.share.poll_room(|| unfreeable, cx).is_ready()
    }

    /// Takes what came, as long as the budget lets it.
    fn poll(&mut self, now: u64, chance: &mut Chance) {
        self.looked_at = now;
        self.seen = self.woken.0.load(Ordering::SeqCst);
        let waker = std::task::Waker::from(Arc::clone(&self.woken));
        let mut cx = Context::from_waker(&waker);
        // It looks whether it may read before it knows whether anything is there.
        while self.may_read(&mut cx) && self.sent > 0 {
            // A message is read whole, and may begin the next part.
            let bytes = self.sent.min(1 + chance.below(MESSAGE));
            self.sent -= bytes;
            self.left -= bytes;
            self.partial += bytes;
            self.share.hold(self.held());
            let mut store = |bytes| self.storing.push((now + 1 + chance.below(20), bytes));
            while self.partial >= self.part_bytes {
                self.partial -= self.part_bytes;
                store(self.part_bytes);
            }
            if self.left == 0 && self.partial > 0 {
                store(std::mem::take(&mut self.partial));
            }
        }
    }

    /// A tick: its client sends, and its storage stores.
    fn tick(&mut self, now: u64, chance: &mut Chance) {
        let stored = self.storing.len();
        self.storing.retain(|(at, _)| *at > now);
        let has_news = stored != self.storing.len();
        if has_news {
            self.share.hold(self.held());
        }
        if self.clients == Clients::Any && self.still_until <= now && chance.below(40) == 0 {
            self.still_until = now + chance.below(100);
        }
        let comes = match self.still_until <= now {
            true => self.speed.min(self.left - self.unsent - self.sent),
            false => 0,
        };
        self.sent += comes;
        let is_woken = self.seen != self.woken.0.load(Ordering::SeqCst);
        let looks = self.share.is_waiting_for_claim() && now >= self.looked_at + LOOK_TICKS;
        if comes > 0 || has_news || is_woken || looks {
            self.poll(now, chance);
        }
    }
}

/// Plays a history; returns the most bytes in memory, and the most there may be.
async fn history(seed: u64, clients: Clients) -> (u64, u64) {
    let mut chance = Chance(seed);
    let total = (50 + chance.below(2000)) * UNIT;
    let budget = Budget::new(total);
    let count = 2 + chance.below(24);
    let upload = |_| Upload::new(&budget, clients, &mut chance);
    let mut uploads: Vec<_> = (0..count).map(upload).collect();
    let parts = uploads.iter().map(|upload| upload.part_bytes);
    let largest = parts.clone().max().unwrap_or(0);
    // Each connection is at most a message ahead of what it may, since it reads messages whole. Where some are too
    // slow to fill a part while they may, those that are not full can be more than the budget.
    let allowed = count * MESSAGE
        + match clients {
            Clients::Quick => total + largest,
            Clients::Any => total.max(parts.sum()) + largest,
        };
    // With all others before it, each message waits for that many turns at most.
    let ticks: u64 = uploads
        .iter()
        .map(|upload| 2 + upload.left / upload.speed)
        .sum();
    let turn = u64::try_from(CLAIM_TURN.as_millis() / TICK.as_millis()).expect("small");
    let deadline = 2000 + ticks * (turn + LOOK_TICKS);
    let (mut most, mut now) = (0, 0);
    while !uploads.iter().all(Upload::is_over) {
        assert!(now < deadline, "seed {seed}: an upload starves");
        tokio::time::advance(TICK).await;
        now += 1;
        // Now and then a client leaves, with what it had.
        uploads.retain(|_| chance.below(2000) > 0);
        for upload in &mut uploads {
            upload.tick(now, &mut chance);
            most = most.max(budget.buffered());
        }
    }
    drop(uploads);
    assert_eq!(budget.0.used(), 0, "seed {seed}: something is left");
    assert_eq!(budget.0.room().kept, 0, "seed {seed}");
    assert_eq!(budget.0.waiting.load(Ordering::SeqCst), 0, "seed {seed}");
    (most, allowed)
}

async fn histories(clients: Clients) {
    let mut short = 0_u32;
    for seed in 1..=HISTORIES {
        let (most, allowed) = history(seed, clients).await;
        assert!(most <= allowed, "seed {seed}: {most} bytes of {allowed}");
        short += u32::from(most * 2 > allowed);
    }
    // A budget that is never short would show nothing.
    assert!(short > 100, "{short} histories were short of memory");
}

/// CREDIT-2, CREDIT-4: no upload that shares a budget starves.
#[tokio::test(start_paused = true)]
async fn no_upload_starves_in_any_history() {
    histories(Clients::Any).await;
}

/// CREDIT-2: memory stays within the budget, what fills one part, and a message of each connection.
#[tokio::test(start_paused = true)]
async fn memory_is_bounded_in_any_history_of_quick_clients() {
    histories(Clients::Quick).await;
}
