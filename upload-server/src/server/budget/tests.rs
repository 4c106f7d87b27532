//! Who may read on when the budget is short, and how much credit it leaves.

mod histories;

use std::{
    sync::atomic::AtomicU32,
    task::{Wake, Waker},
    time::Duration,
};

use super::*;
use crate::server::admission::{CLAIM_PART, CLAIM_STEP, CLAIM_STILL, CLAIM_TURN};

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
    assert!(full.poll_room(Unfreeable::default, &mut cx).is_pending());
    assert!(empty.poll_room(Unfreeable::default, &mut cx).is_ready());
    empty.hold(1);
    assert!(empty.poll_room(Unfreeable::default, &mut cx).is_pending());
    assert!(
        empty
            .poll_room(
                || Unfreeable {
                    awaiting_verdict: 1,
                    ..Unfreeable::default()
                },
                &mut cx
            )
            .is_ready()
    );
}

/// CREDIT-2: many uploads that begin at once do not fill memory before one of them is open;
/// CREDIT-4: whose writers are open reads on meanwhile.
#[test]
fn openings_have_a_small_part_of_the_budget() {
    let budget = Budget::new(3200);
    let (mut one, mut two, mut open) = (budget.share(), budget.share(), budget.share());
    let mut cx = Context::from_waker(Waker::noop());
    for (share, bytes) in [(&mut one, 60), (&mut two, 40)] {
        assert!(share.poll_room(Unfreeable::default, &mut cx).is_ready());
        share.hold(bytes);
        share.open(bytes);
    }
    open.hold(500);
    assert!(one.poll_room(Unfreeable::default, &mut cx).is_pending());
    assert!(two.poll_room(Unfreeable::default, &mut cx).is_pending());
    assert!(open.poll_room(Unfreeable::default, &mut cx).is_ready());
    two.open(0);
    assert!(one.poll_room(Unfreeable::default, &mut cx).is_ready());
    two.open(40);
    drop(one);
    assert!(two.poll_room(Unfreeable::default, &mut cx).is_ready());
}

#[test]
fn a_release_wakes_those_who_wait_once() {
    let budget = Budget::new(100);
    let (mut one, mut two) = (budget.share(), budget.share());
    let (woken, waker) = counting();
    let mut cx = Context::from_waker(&waker);
    one.hold(90);
    two.hold(60);
    assert!(two.poll_room(Unfreeable::default, &mut cx).is_pending());
    one.hold(45);
    assert_eq!(woken.0.load(Ordering::SeqCst), 0, "still no room");
    one.hold(10);
    assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    one.hold(0);
    assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    assert!(two.poll_room(Unfreeable::default, &mut cx).is_ready());
}

#[test]
fn a_dropped_share_gives_everything_back() {
    let budget = Budget::new(100);
    let (mut one, mut two) = (budget.share(), budget.share());
    let (woken, waker) = counting();
    let mut cx = Context::from_waker(&waker);
    one.hold(100);
    two.hold(1);
    assert!(two.poll_room(Unfreeable::default, &mut cx).is_pending());
    assert!(one.poll_room(Unfreeable::default, &mut cx).is_pending());
    drop(one);
    assert_eq!(
        woken.0.load(Ordering::SeqCst),
        1,
        "the dropped one needs no waking"
    );
    assert_eq!(budget.buffered(), 1);
}

/// What a share says whose bytes are all in parts that need so much more.
fn missing(share: &Share, missing: u64) -> impl FnOnce() -> Unfreeable + use<> {
    let partial_bytes = share.held();
    move || Unfreeable {
        awaiting_verdict: 0,
        partial_bytes: if missing > 0 { partial_bytes } else { 0 },
        missing,
    }
}

/// Asks whether a share may read on whose parts need so much more.
fn may_read(share: &mut Share, bytes: u64) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    share.poll_room(missing(share, bytes), &mut cx).is_ready()
}

/// CREDIT-2: the rest of a part is claimed before it is read, so what is claimed fits.
#[test]
fn parts_are_filled_by_those_whose_claims_fit() {
    let budget = Budget::new(100);
    let (mut one, mut two, mut three) = (budget.share(), budget.share(), budget.share());
    let (woken, waker) = counting();
    let mut cx = Context::from_waker(&waker);
    one.hold(40);
    assert!(may_read(&mut one, 20));
    two.hold(30);
    assert!(!may_read(&mut two, 20), "40 and 20, 30 and 20");
    assert!(two.is_waiting_for_claim());
    three.hold(1);
    let polled = three.poll_room(missing(&three, 5), &mut cx);
    assert!(polled.is_pending(), "it fits, and came later");
    // What one takes was claimed already.
    one.hold(60);
    assert!(!may_read(&mut two, 20) && woken.0.load(Ordering::SeqCst) == 0);
    // Its part has left.
    one.hold(0);
    assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    assert!(may_read(&mut two, 20) && may_read(&mut three, 5));
    assert!(!two.is_waiting_for_claim());
}

/// CREDIT-2: a part that is full, and a connection that is gone, claim nothing.
#[test]
fn claims_are_given_back() {
    let budget = Budget::new(100);
    let (mut one, mut two) = (budget.share(), budget.share());
    one.hold(60);
    two.hold(20);
    assert!(may_read(&mut one, 20));
    assert!(!may_read(&mut two, 20));
    assert!(
        !may_read(&mut one, 0),
        "its part is full, and another claims the rest"
    );
    assert!(may_read(&mut two, 20));
    assert!(!may_read(&mut one, 20));
    drop(two);
    assert!(may_read(&mut one, 20));
}

/// CREDIT-2: where parts that are not full hold all there is, one connection fills its own; where some are on
/// their way to storage, they are waited for.
#[test]
fn one_claim_is_admitted_alone() {
    let budget = Budget::new(100);
    let (mut one, mut two) = (budget.share(), budget.share());
    one.hold(60);
    two.hold(60);
    assert!(!may_read(&mut one, 20), "the others may leave");
    assert!(!may_read(&mut two, 20));
    assert!(may_read(&mut one, 20));
    one.hold(80);
    assert!(
        !may_read(&mut one, 0),
        "its part is full, and there is no room"
    );
    assert!(!may_read(&mut two, 20), "80 are on their way");
    one.hold(0);
    assert!(may_read(&mut two, 20));
}

/// CREDIT-2: a connection claims no more than a part of the budget at a time.
#[test]
fn claims_are_bounded() {
    let budget = Budget::new(100 * CLAIM_PART);
    let (mut one, mut two) = (budget.share(), budget.share());
    one.hold(1);
    two.hold(1);
    assert!(may_read(&mut one, u64::MAX));
    assert!(may_read(&mut two, 100));
    let mut three = budget.share();
    three.hold(100 * (CLAIM_PART - 2) - 2);
    let mut four = budget.share();
    assert!(may_read(&mut four, 0));
    four.hold(1);
    assert!(!may_read(&mut four, 0), "claims are used");
}

/// CREDIT-2: small files of part-wise storage claim what they miss, so many of them leave room for a large one.
#[test]
fn many_small_claims_fit() {
    let part = 5 * 1024 * 1024;
    let budget = Budget::new(256 * 1024 * 1024);
    let mut small: Vec<_> = std::iter::repeat_with(|| budget.share())
        .take(1_000)
        .collect();
    for share in &mut small {
        share.hold(1);
        assert!(may_read(share, 100_000));
    }
    let mut large = budget.share();
    large.hold(1);
    assert!(may_read(&mut large, part - 1));
}

/// A budget of 100 steps, and shares that hold 60 steps each, all of them in parts.
fn crowded<const N: usize>() -> ([Share; N], u64) {
    let held = 60 * CLAIM_STEP;
    let budget = Budget::new(100 * CLAIM_STEP);
    let shares = std::array::from_fn(|_| {
        let mut share = budget.share();
        share.hold(held);
        share.keep(held);
        share
    });
    (shares, held)
}

/// CREDIT-4: a sender that makes no progress is passed over, with or without small leftovers, and so is one that left.
#[tokio::test(start_paused = true)]
async fn a_claim_that_is_not_used_is_given_back() {
    let ([mut one, mut two, mut three], held) = crowded();
    let rest = 20 * CLAIM_STEP;
    assert!(may_read(&mut one, rest));
    tokio::time::advance(CLAIM_STILL / 2).await;
    one.hold(held + 1);
    assert!(!may_read(&mut two, rest) && two.is_waiting_for_claim());
    tokio::time::advance(CLAIM_STILL / 2).await;
    assert!(may_read(&mut two, rest));
    assert!(!may_read(&mut one, rest) && !may_read(&mut three, rest));
    drop(two);
    assert!(may_read(&mut one, rest), "it asked before");
    assert!(!may_read(&mut three, rest));
}

/// CREDIT-4: a fast connection has its claim for so long and no longer, and each gets one.
#[tokio::test(start_paused = true)]
async fn claims_go_around() {
    let (mut shares, held) = crowded::<3>();
    let rest = 20 * CLAIM_STEP;
    let may = |share: &mut Share| may_read(share, rest);
    assert!(shares.iter_mut().map(may).eq([true, false, false]));
    for turn in 1..8 {
        let (mine, next) = ((turn - 1) % 3, turn % 3);
        for step in 1..4 {
            tokio::time::advance(CLAIM_TURN / 4).await;
            shares[mine].hold(held + step * CLAIM_STEP);
            assert!(may_read(&mut shares[mine], rest), "turn {turn}");
            assert!(!may_read(&mut shares[next], rest), "turn {turn}");
        }
        tokio::time::advance(CLAIM_TURN / 4).await;
        assert!(may_read(&mut shares[next], rest), "turn {turn}");
        // Asking more often than others does not help.
        assert!(!may_read(&mut shares[mine], rest), "turn {turn}");
        assert!(!may_read(&mut shares[(turn + 1) % 3], rest), "turn {turn}");
        shares[mine].hold(held);
    }
}

/// CREDIT-4: who is alone may take as long as it takes.
#[tokio::test(start_paused = true)]
async fn who_is_alone_goes_on() {
    let ([mut one, _quiet], held) = crowded();
    for second in 0..20 {
        one.hold(held + second);
        assert!(may_read(&mut one, 1000 * CLAIM_STEP));
        tokio::time::advance(Duration::from_secs(1)).await;
    }
}

/// CREDIT-2: the window shrinks as the budget is used up, never below its floor.
#[test]
fn the_window_is_a_part_of_what_is_left() {
    let budget = Budget::new(16_000);
    let mut share = budget.share();
    assert_eq!(share.window(10, 400), 400);
    share.hold(14_400);
    assert_eq!(share.window(10, 400), 200);
    share.hold(50_000);
    assert_eq!(share.window(10, 400), 10);
    share.hold(0);
    assert_eq!(share.window(10, 400), 400);
}

/// CREDIT-2: uploads that were begun and hold nothing take no credit from the others.
#[test]
fn shares_that_hold_nothing_cost_nobody_credit() {
    let budget = Budget::new(16_000);
    let idle: Vec<_> = std::iter::repeat_with(|| budget.share())
        .take(10_000)
        .collect();
    let share = budget.share();
    assert_eq!(share.window(10, 400), 400);
    drop(idle);
}
