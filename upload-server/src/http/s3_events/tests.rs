//! Handlers of created objects run once for each event, whatever becomes of its sender and of the journal.

use std::sync::atomic::AtomicU32;

use super::*;
use crate::outbox::queue::spoil;

/// The route's state, with a handler that counts.
struct World {
    events: Arc<S3Events>,
    tracker: TaskTracker,
    runs: Arc<AtomicU32>,
}

impl World {
    fn new() -> Self {
        let runs = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&runs);
        let counting = handler(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            async {}
        });
        let journal = Journal::open(None).expect("opened");
        let hooks = Arc::new(Hooks::new(Vec::new(), journal.clone()).expect("no hook"));
        Self {
            events: S3Events::new(None, vec![counting], journal, hooks),
            tracker: TaskTracker::new(),
            runs,
        }
    }

    fn take(&self) -> impl Future<Output = Response> {
        take(&self.tracker, &self.events, vec![created()])
    }

    /// Says the event, and returns how many were news; none where it was refused.
    async fn fired(&self) -> Option<u64> {
        fired_of(self.take().await).await
    }

    /// Has a commit take effect that was said to have failed.
    async fn commit(&self) {
        let take = |transaction: &_| dedup::take(transaction, &created());
        assert_eq!(self.events.journal.write(take).await, Ok(true));
    }

    async fn until_in_doubt(&self) {
        let key = dedup::key(&created());
        let mut rounds = 0;
        while !self.events.in_doubt.has(key) {
            rounds += 1;
            assert!(rounds < 10_000, "no attempt failed");
            sleep(Duration::from_millis(1)).await;
        }
    }

    async fn until_run(&self, times: u32) {
        let mut rounds = 0;
        while self.runs.load(Ordering::SeqCst) != times {
            rounds += 1;
            assert!(rounds < 1_000, "it was noted and had no effect");
            sleep(Duration::from_millis(1)).await;
        }
    }
}

fn created() -> Created {
    Created {
        bucket: "bucket".to_owned(),
        key: "key".to_owned(),
        size: 1,
        etag: None,
        version: None,
        sequencer: Some("0A".to_owned()),
        time: None,
    }
}

async fn fired_of(answer: Response) -> Option<u64> {
    let body = axum::body::to_bytes(answer.into_body(), 1_000).await;
    let body: serde_json::Value = serde_json::from_slice(&body.expect("read")).expect("JSON");
    body["fired"].as_u64()
}

/// A sender may go between the commit and what follows it: said again, it would be no news.
#[tokio::test]
async fn a_handler_runs_though_the_sender_is_gone() {
    let world = World::new();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let journal = world.events.journal.clone();
    let hold = move |_: &_| Ok(released.recv().is_ok());
    let held = tokio::spawn(async move { journal.write(hold).await });
    tokio::task::yield_now().await;
    let mut taking = Box::pin(world.take());
    tokio::select! {
        biased;
        _ = &mut taking => panic!("the journal is held"),
        () = sleep(Duration::from_millis(20)) => {}
    }
    drop(taking);
    release.send(()).expect("it is held");
    assert_eq!(held.await.expect("released"), Ok(true));
    world.until_run(1).await;
}

/// A commit that failed may have taken effect, which the next attempt for the same request finds.
#[tokio::test]
async fn what_an_attempt_that_failed_noted_is_news_for_the_next_one() {
    let world = World::new();
    spoil(&world.events.journal, true).await;
    let meanwhile = async {
        world.until_in_doubt().await;
        spoil(&world.events.journal, false).await;
        world.commit().await;
    };
    let (fired, ()) = tokio::join!(world.fired(), meanwhile);
    assert_eq!(fired, Some(1));
    world.until_run(1).await;
    assert_eq!(world.fired().await, Some(0), "it is news once");
}

/// And which a sender finds that was refused, and says it again.
#[tokio::test(start_paused = true)]
async fn what_was_refused_is_news_when_it_is_said_again() {
    let world = World::new();
    spoil(&world.events.journal, true).await;
    assert_eq!(world.fired().await, None);
    spoil(&world.events.journal, false).await;
    world.commit().await;
    assert_eq!(world.fired().await, Some(1));
    world.until_run(1).await;
    assert_eq!(world.fired().await, Some(0), "it is news once");
    assert_eq!(world.runs.load(Ordering::SeqCst), 1);
}
