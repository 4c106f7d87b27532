//! Who may read on when the budget is short, and how much credit it leaves.

use std::{
    sync::atomic::AtomicU32,
    task::{Wake, Waker},
    time::Duration,
};

use super::*;
use crate::server::overdraft::{OVERDRAFT_STEP, OVERDRAFT_STILL, OVERDRAFT_TURN};

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
                    partial_bytes: 0
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

fn unfreeable(partial_bytes: u64) -> impl FnOnce() -> Unfreeable {
    move || Unfreeable {
        awaiting_verdict: 0,
        partial_bytes,
    }
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
        one.poll_room(unfreeable(50), &mut cx).is_pending(),
        "10 may leave"
    );
    assert!(!one.is_waiting_for_turn());
    assert!(one.poll_room(unfreeable(60), &mut cx).is_ready());
    assert!(two.poll_room(unfreeable(60), &mut cx).is_pending());
    assert!(two.is_waiting_for_turn());
    one.hold(80);
    assert!(
        one.poll_room(unfreeable(80), &mut cx).is_ready(),
        "still its turn"
    );
    one.hold(75);
    assert!(two.poll_room(unfreeable(60), &mut cx).is_pending());
    let before = woken.0.load(Ordering::SeqCst);
    one.hold(30);
    assert!(woken.0.load(Ordering::SeqCst) > before);
    assert!(two.poll_room(unfreeable(60), &mut cx).is_ready() && !two.is_waiting_for_turn());
}

/// A budget of 100 steps, and shares that hold 60 steps each, all of them in parts.
fn overdrawn<const N: usize>() -> ([Share; N], u64) {
    let held = 60 * OVERDRAFT_STEP;
    let budget = Budget::new(100 * OVERDRAFT_STEP);
    let shares = std::array::from_fn(|_| {
        let mut share = budget.share();
        share.hold(held);
        share
    });
    (shares, held)
}

fn may_read(share: &mut Share) -> bool {
    let bytes = share.held();
    let mut cx = Context::from_waker(Waker::noop());
    share.poll_room(unfreeable(bytes), &mut cx).is_ready()
}

/// CREDIT-4: whoever stands still is passed over, crumbs or not, and whoever is gone too.
#[tokio::test(start_paused = true)]
async fn a_share_that_stands_still_is_passed_over() {
    let ([mut one, mut two, mut three], held) = overdrawn();
    assert!(may_read(&mut one));
    tokio::time::advance(OVERDRAFT_STILL / 2).await;
    one.hold(held + 1);
    assert!(!may_read(&mut two) && two.is_waiting_for_turn());
    tokio::time::advance(OVERDRAFT_STILL / 2).await;
    assert!(may_read(&mut two));
    assert!(!may_read(&mut one) && !may_read(&mut three));
    drop(two);
    assert!(may_read(&mut three) && !may_read(&mut one));
}

/// CREDIT-4: whoever is fast has a turn of so long and no longer, and everybody gets one.
#[tokio::test(start_paused = true)]
async fn turns_go_around() {
    let (mut shares, held) = overdrawn::<3>();
    assert!(shares.iter_mut().map(may_read).eq([true, false, false]));
    for turn in 1..8 {
        let (mine, next) = ((turn - 1) % 3, turn % 3);
        for step in 1..4 {
            tokio::time::advance(OVERDRAFT_TURN / 4).await;
            shares[mine].hold(held + step * OVERDRAFT_STEP);
            assert!(may_read(&mut shares[mine]), "turn {turn}");
            assert!(!may_read(&mut shares[next]), "turn {turn}");
        }
        tokio::time::advance(OVERDRAFT_TURN / 4).await;
        // Asking more often than others does not help.
        assert!(!may_read(&mut shares[mine]), "turn {turn}");
        assert!(!may_read(&mut shares[(turn + 1) % 3]), "turn {turn}");
        assert!(may_read(&mut shares[next]), "turn {turn}");
        shares[mine].hold(held);
    }
}

/// CREDIT-4: who is alone may exceed the budget for as long as it takes.
#[tokio::test(start_paused = true)]
async fn who_is_alone_goes_on() {
    let ([mut one, _quiet], held) = overdrawn();
    for second in 0..20 {
        one.hold(held + second);
        assert!(may_read(&mut one));
        tokio::time::advance(Duration::from_secs(1)).await;
    }
}

/// CREDIT-2: the window shrinks as the budget is used up, never below its floor.
#[test]
fn the_window_is_a_part_of_what_is_left() {
    let budget = Budget::new(16_000);
    let mut share = budget.share();
    assert_eq!(share.window(10, 400), 400);
    share.hold(12_800);
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
