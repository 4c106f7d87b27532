//! Puts a notice into the outbox: until it is there, its upload is not complete.
//!
//! A disk that is full for a while costs no notice: the upload waits, as it does where too many calls wait. An
//! upload whose connection ends meanwhile has no receipt, so its resume finds the finished file and tells again. What a
//! write that failed left in the outbox all the same is called then, too.

use std::{
    future::pending,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use super::{
    due::{Party, Place},
    hooks::{Hooks, Notice, now_ms},
    journal::JournalError,
    queue::{self, Call},
};

/// The shortest pause after the outbox failed for a notice; it doubles, and chance adds up to as much again.
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// Where doubling ends. A notice is tried for as long as its upload's connection lives.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How often it is said that uploads wait for the outbox.
const SAID_EVERY_MS: u64 = 60_000;

impl Hooks {
    /// Puts a notice into the outbox and has it delivered; when it returns, no crash loses it.
    ///
    /// It waits where too many calls wait, and where the outbox fails. Where the server ends and has closed
    /// the outbox, it never returns: without a receipt the record stays as it is; the next server finds the
    /// finished file and calls the hooks.
    pub(crate) async fn tell(
        self: &Arc<Self>,
        notice: &Notice,
        party: &Party,
        tracker: &TaskTracker,
    ) {
        let mut places = Vec::with_capacity(self.hooks.len());
        for hook in &self.hooks {
            places.push(hook.place(party).await);
        }
        let calls: Arc<[Call]> = self.calls(notice, party).into();
        let pauses = ExponentialBuilder::new()
            .with_min_delay(PAUSE_MIN)
            .with_max_delay(PAUSE_MAX)
            .without_max_times()
            .with_jitter();
        let mut pauses = pauses.build();
        let mut is_first = true;
        loop {
            let note = note(Arc::clone(self), Arc::clone(&calls), places, is_first);
            // A separate task: what is in the journal is announced, even if this future is dropped.
            match tracker.spawn(note).await {
                Ok(Ok(())) => return,
                Ok(Err((JournalError::Failed, kept))) => places = kept,
                Ok(Err((JournalError::Closed, _))) => return pending().await,
                // It was cancelled with its runtime, or panicked.
                Err(error) => {
                    let event_id = &*notice.event_id;
                    tracing::error!(%error, event_id, "a notice has to wait for a resume");
                    return pending().await;
                }
            }
            self.say_that_it_failed();
            is_first = false;
            sleep(pauses.next().unwrap_or(PAUSE_MAX)).await;
        }
    }

    fn say_that_it_failed(&self) {
        let now = now_ms();
        let said = self.failed_ms.load(Ordering::Relaxed);
        if now.saturating_sub(said) >= SAID_EVERY_MS {
            self.failed_ms.store(now, Ordering::Relaxed);
            tracing::error!("uploads wait before they are complete: the outbox failed");
        }
    }
}

/// Writes calls into the journal and has them made; gives their places back where that failed.
async fn note(
    hooks: Arc<Hooks>,
    calls: Arc<[Call]>,
    places: Vec<Place>,
    is_first: bool,
) -> Result<(), (JournalError, Vec<Place>)> {
    let added = {
        let calls = Arc::clone(&calls);
        let journal = &hooks.journal;
        journal.write(move |transaction| queue::add(transaction, &calls))
    };
    match added.await {
        Ok(added) => {
            // A commit that failed may have taken effect: calls that are there are not announced yet.
            let added = calls.iter().zip(added).map(|(call, is_new)| {
                let was_in_doubt = hooks.in_doubt.take(call.key());
                is_new || was_in_doubt || !is_first
            });
            Hooks::announce(&calls, places, &added.collect::<Vec<_>>());
            Ok(())
        }
        Err(error) => {
            for call in &*calls {
                hooks.in_doubt.add(call.key());
            }
            Err((error, places))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::outbox::{due::Next, hooks::Hook, journal::Journal, queue::spoil};

    struct Outbox {
        hooks: Arc<Hooks>,
        journal: Journal,
        tracker: TaskTracker,
    }

    impl Outbox {
        fn new() -> Self {
            let journal = Journal::open(None).expect("opened");
            let hook = Hook::new(None, "http://127.0.0.1:1/x", b"s").expect("an address");
            let hooks = Hooks::new(vec![hook], journal.clone()).expect("it can be called");
            Self {
                hooks: Arc::new(hooks),
                journal,
                tracker: TaskTracker::new(),
            }
        }

        fn tell(&self) -> impl Future<Output = ()> + Send + use<> {
            let (hooks, tracker) = (Arc::clone(&self.hooks), self.tracker.clone());
            async move { hooks.tell(&notice(), &"party".into(), &tracker).await }
        }

        fn calls(&self) -> Arc<[Call]> {
            self.hooks.calls(&notice(), &"party".into()).into()
        }

        /// Returns the call that is to be made next.
        fn next(&self) -> Option<u128> {
            match self.hooks.hooks[0].due.next(now_ms()) {
                Next::Now(_, key) => Some(key),
                Next::In(_) | Next::Never => None,
            }
        }

        async fn waiting(&self) -> Vec<u128> {
            let waiting = self.journal.read(queue::list).await.expect("listed");
            waiting.into_iter().map(|waiting| waiting.key).collect()
        }
    }

    fn notice() -> Notice {
        Notice {
            event_id: "event".to_owned(),
            event: "upload_complete",
            result: Value::Null,
            ..Notice::default()
        }
    }

    /// COMPLETE-3: a disk that is full for a while costs no notice, and no upload is complete meanwhile.
    #[tokio::test(start_paused = true)]
    async fn a_notice_waits_until_the_outbox_takes_it() {
        let outbox = Outbox::new();
        spoil(&outbox.journal, true).await;
        let telling = tokio::spawn(outbox.tell());
        sleep(Duration::from_secs(600)).await;
        assert!(!telling.is_finished(), "it is complete without its notice");
        spoil(&outbox.journal, false).await;
        telling.await.expect("told");
        let waiting = outbox.waiting().await;
        assert_eq!(waiting.len(), 1);
        assert_eq!(outbox.next(), Some(waiting[0]), "it is called");
    }

    /// What an attempt that failed may have written is announced by the next one of the same upload.
    #[tokio::test]
    async fn a_call_of_a_failed_attempt_is_made() {
        let outbox = Outbox::new();
        outbox.tell().await;
        assert!(outbox.next().is_some());
        let hook = &outbox.hooks.hooks[0];
        for (is_first, is_called) in [(true, false), (false, true)] {
            let places = vec![hook.place(&"party".into()).await];
            let hooks = Arc::clone(&outbox.hooks);
            let noted = note(hooks, outbox.calls(), places, is_first);
            assert!(noted.await.is_ok());
            assert_eq!(outbox.next().is_some(), is_called, "{is_first}");
        }
    }

    /// And by the next upload that tells of it, where the one whose attempt failed left.
    #[tokio::test]
    async fn a_call_of_a_failed_attempt_is_made_for_the_resume() {
        let outbox = Outbox::new();
        let (calls, in_doubt) = (outbox.calls(), &outbox.hooks.in_doubt);
        spoil(&outbox.journal, true).await;
        let mut telling = Box::pin(outbox.tell());
        let failed = async {
            while !in_doubt.has(calls[0].key()) {
                sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            biased;
            () = &mut telling => panic!("the outbox fails"),
            () = failed => {}
        }
        drop(telling);
        spoil(&outbox.journal, false).await;
        // Its commit took effect all the same.
        let theirs = Arc::clone(&calls);
        let commit = move |transaction: &_| queue::add(transaction, &theirs);
        assert_eq!(outbox.journal.write(commit).await, Ok(vec![true]));
        assert_eq!(outbox.next(), None);
        outbox.tell().await;
        assert!(outbox.next().is_some(), "the call is not made");
        assert!(!in_doubt.has(calls[0].key()));
        outbox.tell().await;
        assert_eq!(outbox.next(), None, "it is made once");
    }

    /// A connection may end between the commit and what follows it; the call is made all the same.
    #[tokio::test]
    async fn a_call_is_made_though_its_upload_is_dropped() {
        let outbox = Outbox::new();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let journal = outbox.journal.clone();
        let hold = move |_: &_| Ok(released.recv().is_ok());
        let held = tokio::spawn(async move { journal.write(hold).await });
        tokio::task::yield_now().await;
        let mut telling = Box::pin(outbox.tell());
        tokio::select! {
            biased;
            () = &mut telling => panic!("the journal is held"),
            () = sleep(Duration::from_millis(20)) => {}
        }
        drop(telling);
        release.send(()).expect("it is held");
        assert_eq!(held.await.expect("released"), Ok(true));
        let mut rounds = 0;
        while outbox.waiting().await.is_empty() {
            rounds += 1;
            assert!(rounds < 1_000, "it was not asked for");
            sleep(Duration::from_millis(1)).await;
        }
        outbox.tracker.close();
        outbox.tracker.wait().await;
        assert!(outbox.next().is_some(), "the call is not made");
    }
}
