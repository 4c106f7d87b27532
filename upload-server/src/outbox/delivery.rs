//! Calls the hooks: a few calls at a time for each, again after failures, until they succeed.

use std::{sync::Arc, time::Duration};

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use futures_util::{StreamExt, future::join_all, stream::FuturesUnordered};
use http::{Request, header};
use http_body_util::Full;
use tokio::time::{sleep, timeout};

use super::{
    due::{Next, Party},
    hooks::{Hook, Hooks, Stops, now_ms},
    queue::{self, Call},
    signature,
};
use crate::metrics;

/// Calls of one hook under way at a time.
const UNDER_WAY_MAX: usize = 4;
/// How long a hook has to answer.
const CALL: Duration = Duration::from_secs(10);
/// The shortest pause after the first failure; it doubles with each further one, and chance adds up to as
/// much again.
const BACKOFF_MIN: Duration = Duration::from_millis(500);
/// Where doubling ends.
const BACKOFF_MAX: Duration = Duration::from_secs(150);
/// How long a call is tried before it is given up: 3 days.
const CALL_LIFE: Duration = Duration::from_secs(3 * 24 * 60 * 60);
/// How long a journal that failed is left alone.
const JOURNAL_PAUSE: Duration = Duration::from_secs(5);

/// Finds what waits from before, and delivers until the server drains.
pub(super) async fn run(hooks: Arc<Hooks>, stops: Stops) {
    tokio::select! {
        () = load(&hooks) => {}
        () = stops.draining.cancelled() => return,
    }
    let workers: Vec<_> = hooks
        .hooks
        .iter()
        .map(|hook| Worker {
            hooks: &hooks,
            hook,
        })
        .collect();
    join_all(workers.iter().map(|worker| worker.run(&stops))).await;
}

/// Puts what earlier processes left into the queues.
async fn load(hooks: &Hooks) {
    let waiting = loop {
        match hooks.journal.read(queue::list).await {
            Ok(waiting) => break waiting,
            Err(_) => sleep(JOURNAL_PAUSE).await,
        }
    };
    let mut orphaned = 0_u64;
    for call in waiting {
        match hooks.hook(&call.hook) {
            Some(hook) => hook.due.load(&call.party.into(), call.due_ms, call.key),
            None => orphaned = orphaned.saturating_add(1),
        }
    }
    if orphaned > 0 {
        tracing::warn!(
            calls = orphaned,
            "calls wait for hooks that are not configured any more"
        );
    }
}

struct Worker<'a> {
    hooks: &'a Hooks,
    hook: &'a Hook,
}

impl Worker<'_> {
    async fn run(&self, stops: &Stops) {
        let mut under_way = FuturesUnordered::new();
        loop {
            let mut pause = None;
            while under_way.len() < UNDER_WAY_MAX {
                match self.hook.due.next(now_ms()) {
                    Next::Now(party, key) => under_way.push(async move {
                        let again = self.deliver(key).await;
                        (party, again)
                    }),
                    Next::In(wait) => {
                        pause = Some(Duration::from_millis(wait));
                        break;
                    }
                    Next::Never => break,
                }
            }
            let pause = async {
                match pause {
                    Some(wait) => sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some((party, again)) = under_way.next() => self.put_back(&party, again),
                () = self.hook.due.wake.notified() => {}
                () = pause => {}
                () = stops.draining.cancelled() => break,
            }
        }
        // What is not heard of in time is called again after the start.
        tokio::select! {
            () = async { while under_way.next().await.is_some() {} } => {}
            () = stops.closing.cancelled() => {}
        }
    }

    fn put_back(&self, party: &Party, again: Option<(u64, u128)>) {
        match again {
            Some((due_ms, key)) => self.hook.due.put(party, due_ms, key),
            None => self.hook.due.free(party),
        }
        metrics::hook_calls_waiting(&self.hook.name, self.hook.due.waiting());
    }

    /// Makes one call; returns when it is to be made again, if it is.
    async fn deliver(&self, key: u128) -> Option<(u64, u128)> {
        let found = self
            .hooks
            .journal
            .read(move |transaction| queue::find(transaction, key));
        let mut call = match found.await {
            Ok(Some(call)) => call,
            Ok(None) => return None,
            Err(_) => return Some((after(JOURNAL_PAUSE), key)),
        };
        let failure = match timeout(CALL, self.post(&call)).await {
            Ok(Ok(())) => None,
            Ok(Err(failure)) => Some(failure),
            Err(_) => Some("no answer in time".to_owned()),
        };
        let journal = &self.hooks.journal;
        let is_over = now_ms().saturating_sub(call.since_ms) >= millis(CALL_LIFE);
        let hook = &*self.hook.name;
        match failure {
            None => {
                metrics::hook_called("delivered");
                tracing::debug!(hook, event_id = call.event_id, "a hook was called");
            }
            Some(failure) if is_over => {
                metrics::hooks_lost(1);
                let event_id = &*call.event_id;
                tracing::error!(hook, event_id, failure, "a hook is given up");
            }
            Some(failure) => {
                metrics::hook_called("failed");
                call.tries = call.tries.saturating_add(1);
                call.due_ms = after(backoff(call.tries));
                let (event_id, tries) = (&*call.event_id, call.tries);
                tracing::warn!(
                    hook,
                    event_id,
                    tries,
                    failure,
                    "a hook failed and is called again"
                );
                let due_ms = call.due_ms;
                // Lost, it only means that the next process calls sooner.
                let _ = journal
                    .write(move |transaction| queue::update(transaction, &call))
                    .await;
                return Some((due_ms, key));
            }
        }
        match journal
            .write(move |transaction| queue::remove(transaction, key))
            .await
        {
            Ok(()) => None,
            Err(_) => Some((after(JOURNAL_PAUSE), key)),
        }
    }

    async fn post(&self, call: &Call) -> Result<(), String> {
        let signature = self.hook.signer.sign(call.body.as_bytes());
        let request = Request::post(self.hook.uri.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(
                header::USER_AGENT,
                concat!("upload-server/", env!("CARGO_PKG_VERSION")),
            )
            .header(signature::HEADER, signature)
            .body(Full::new(Bytes::from(call.body.clone())))
            .map_err(|error| error.to_string())?;
        let answer = self.hooks.client.request(request).await;
        let status = answer.map_err(|error| crate::text::chain(&error))?.status();
        // What it says besides is not read: a redirect is no acknowledgement either.
        if status.is_success() {
            Ok(())
        } else {
            Err(status.to_string())
        }
    }
}

/// Returns the pause after so many failures: twice as long each time, and up to as much again by chance.
fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let pauses = ExponentialBuilder::new()
        .with_min_delay(BACKOFF_MIN)
        .with_max_delay(BACKOFF_MAX)
        .without_max_times()
        .with_jitter();
    let mut pauses = pauses.build().skip(usize::try_from(doublings).unwrap_or(0));
    pauses.next().unwrap_or(BACKOFF_MAX)
}

fn after(wait: Duration) -> u64 {
    now_ms().saturating_add(millis(wait))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_bounded() {
        for failures in 1..100 {
            let pause = backoff(failures);
            assert!(
                pause <= BACKOFF_MAX * 2 && pause >= BACKOFF_MIN,
                "{pause:?}"
            );
        }
        assert!(backoff(1) <= BACKOFF_MIN * 2);
        assert!(backoff(u32::MAX) >= BACKOFF_MAX);
    }
}
