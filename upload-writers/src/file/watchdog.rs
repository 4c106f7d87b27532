//! Keeps a runtime awake while one of its threads is in a call that does not return.
//!
//! The threads of a runtime that have nothing to do sleep, but for one, which waits for sockets and timers. If
//! just that one begins a call that hangs, the others go on sleeping and no thread waits for sockets and
//! timers any more. A task that comes from outside of the runtime wakes one of them, which then takes over.

use std::{
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, Thread},
    time::Duration,
};

use tokio::runtime::Handle;

/// How long no call may return until the runtime is woken, and how often it is then.
const TICK: Duration = Duration::from_millis(50);

/// How many ticks without a call the thread waits before it sleeps.
const IDLE_TICKS: u32 = 20;

/// Watches the calls of one factory, by a thread that sleeps while there are none.
#[derive(Debug, Default)]
pub(super) struct Watchdog {
    calls: Arc<Calls>,
    thread: OnceLock<Option<Thread>>,
}

#[derive(Debug, Default)]
struct Calls {
    begun: AtomicU64,
    ended: AtomicU64,
    is_asleep: AtomicBool,
}

impl Calls {
    fn ended(&self) -> u64 {
        self.ended.load(Ordering::SeqCst)
    }

    fn are_running(&self) -> bool {
        self.begun.load(Ordering::SeqCst) != self.ended()
    }
}

impl Watchdog {
    /// Notes that a call begins on a thread of the runtime.
    pub(super) fn begin(&self) {
        self.calls.begun.fetch_add(1, Ordering::SeqCst);
        let thread = self.thread.get_or_init(|| start(&self.calls));
        if self.calls.is_asleep.load(Ordering::SeqCst)
            && let Some(thread) = thread
        {
            thread.unpark();
        }
    }

    /// Notes that a call returned.
    pub(super) fn end(&self) {
        self.calls.ended.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if let Some(Some(thread)) = self.thread.get() {
            // It finds that nothing is left to watch, and ends.
            thread.unpark();
        }
    }
}

/// Starts the thread; none outside of a runtime, or where the system has no thread left.
fn start(calls: &Arc<Calls>) -> Option<Thread> {
    let runtime = Handle::try_current().ok()?;
    let calls = Arc::downgrade(calls);
    let thread = thread::Builder::new()
        .name("upload-watchdog".to_owned())
        .spawn(move || watch(&calls, &runtime))
        .ok()?;
    Some(thread.thread().clone())
}

fn watch(calls: &Weak<Calls>, runtime: &Handle) {
    let (mut ended, mut idle_ticks) = (0, 0);
    loop {
        thread::park_timeout(TICK);
        if idle_ticks > IDLE_TICKS {
            sleep_until_a_call(calls);
            idle_ticks = 0;
        }
        let Some(calls) = calls.upgrade() else {
            return;
        };
        if !calls.are_running() {
            idle_ticks += 1;
        } else {
            idle_ticks = 0;
            if calls.ended() == ended {
                drop(runtime.spawn(async {}));
            }
        }
        ended = calls.ended();
    }
}

/// Sleeps until a call begins, or the factory is gone.
fn sleep_until_a_call(calls: &Weak<Calls>) {
    let is_idle = calls.upgrade().is_some_and(|calls| {
        calls.is_asleep.store(true, Ordering::SeqCst);
        // A call that began just before does not wake this thread.
        !calls.are_running()
    });
    if is_idle {
        thread::park();
    }
    if let Some(calls) = calls.upgrade() {
        calls.is_asleep.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::{runtime::Builder, time::sleep};

    use super::*;

    #[test]
    fn a_call_that_hangs_leaves_timers_running() {
        const HANG: Duration = Duration::from_secs(2);
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let watchdog = Arc::new(Watchdog::default());
        let passed = runtime.block_on(async {
            let watched = Arc::clone(&watchdog);
            let hanging = tokio::spawn(async move {
                // The thread that waits for timers is the one that goes on with this task.
                sleep(Duration::from_millis(10)).await;
                watched.begin();
                thread::sleep(HANG);
                watched.end();
            });
            let begun = Instant::now();
            for _ in 0..5 {
                sleep(Duration::from_millis(20)).await;
            }
            let passed = begun.elapsed();
            hanging.await.expect("it ends");
            passed
        });
        assert!(passed < HANG / 2, "{passed:?}");
    }

    #[test]
    fn its_thread_sleeps_without_calls_and_wakes_with_the_next() {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .expect("a runtime");
        let _entered = runtime.enter();
        let watchdog = Watchdog::default();
        let is_asleep = || watchdog.calls.is_asleep.load(Ordering::SeqCst);
        for _ in 0..2 {
            watchdog.begin();
            watchdog.end();
            let begun = Instant::now();
            while !is_asleep() {
                assert!(begun.elapsed() < TICK * IDLE_TICKS * 20);
                thread::sleep(TICK);
            }
            watchdog.begin();
            while is_asleep() {
                assert!(begun.elapsed() < TICK * IDLE_TICKS * 40);
                thread::sleep(TICK / 10);
            }
            watchdog.end();
        }
    }
}
