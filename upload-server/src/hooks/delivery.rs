//! Calls the hooks: a few calls at a time for each, again after failures, until they succeed.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, future::join_all, stream::FuturesUnordered};
use http::{Request, header};
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::{
    Hook, Hooks, now_ms,
    outbox::{self, Call},
};
use crate::{metrics, shared::Shared, signature};

/// Calls of one hook under way at a time.
const UNDER_WAY_MAX: usize = 4;
/// How long a hook has to answer.
const CALL: Duration = Duration::from_secs(10);
/// The longest pause after the first failure; it doubles with each further one.
const BACKOFF: Duration = Duration::from_secs(1);
/// The longest pause after any failure.
const BACKOFF_MAX: Duration = Duration::from_secs(300);
/// How long a call is tried before it is given up: 3 days.
const CALL_LIFE: Duration = Duration::from_secs(3 * 24 * 60 * 60);
/// How long a journal that failed is left alone.
const JOURNAL_PAUSE: Duration = Duration::from_secs(5);
/// Idle connections kept for each hook.
const IDLE_CONNECTIONS_MAX: usize = 2;

#[cfg(not(feature = "hooks-tls"))]
type Connector = HttpConnector;
#[cfg(feature = "hooks-tls")]
type Connector = hyper_rustls::HttpsConnector<HttpConnector>;

type HttpClient = Client<Connector, Full<Bytes>>;

/// Finds what waits from before, and delivers until the server drains.
pub(super) async fn run(hooks: Arc<Hooks>, shared: Arc<Shared>) {
    let client = match connector() {
        Ok(connector) => Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .build(connector),
        Err(error) => {
            tracing::error!(%error, "hooks cannot be called");
            return;
        }
    };
    tokio::select! {
        () = load(&hooks) => {}
        () = shared.draining.cancelled() => return,
    }
    let workers = hooks.hooks.iter().map(|hook| {
        let worker = Worker {
            hooks: &hooks,
            hook,
            client: &client,
        };
        worker.run(&shared)
    });
    join_all(workers).await;
}

/// Puts what earlier processes left into the queues.
async fn load(hooks: &Hooks) {
    let waiting = loop {
        match hooks.journal.read(outbox::list).await {
            Ok(waiting) => break waiting,
            Err(_) => sleep(JOURNAL_PAUSE).await,
        }
    };
    let mut strangers = 0_u64;
    for call in waiting {
        match hooks.hook(&call.url) {
            Some(hook) => hook.put_due(call.due_ms, call.key),
            None => strangers = strangers.saturating_add(1),
        }
    }
    if strangers > 0 {
        tracing::warn!(
            calls = strangers,
            "calls wait for hooks that are not configured any more"
        );
    }
}

struct Worker<'a> {
    hooks: &'a Hooks,
    hook: &'a Hook,
    client: &'a HttpClient,
}

impl Worker<'_> {
    async fn run(self, shared: &Shared) {
        let mut under_way = FuturesUnordered::new();
        loop {
            let mut pause = None;
            while under_way.len() < UNDER_WAY_MAX {
                match self.take_due() {
                    Due::Now(key) => under_way.push(self.deliver(key)),
                    Due::In(wait) => {
                        pause = Some(wait);
                        break;
                    }
                    Due::Never => break,
                }
            }
            let pause = async {
                match pause {
                    Some(wait) => sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(again) = under_way.next() => self.put_back(again),
                () = self.hook.wake.notified() => {}
                () = pause => {}
                () = shared.draining.cancelled() => break,
            }
        }
        // What is not heard of in time is called again after the start.
        tokio::select! {
            () = async { while under_way.next().await.is_some() {} } => {}
            () = shared.closing.cancelled() => {}
        }
    }

    fn take_due(&self) -> Due {
        let mut due = self.hook.due.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(&(at, key)) = due.first() else {
            return Due::Never;
        };
        match at.checked_sub(now_ms()) {
            None | Some(0) => {
                due.pop_first();
                Due::Now(key)
            }
            Some(wait) => Due::In(Duration::from_millis(wait)),
        }
    }

    fn put_back(&self, again: Option<(u64, u128)>) {
        if let Some((due_ms, key)) = again {
            self.hook.put_due(due_ms, key);
        }
    }

    /// Makes one call; returns when it is to be made again, if it is.
    async fn deliver(&self, key: u128) -> Option<(u64, u128)> {
        let found = self
            .hooks
            .journal
            .read(move |transaction| outbox::find(transaction, key));
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
        match failure {
            None => {
                metrics::hook_called("delivered");
                tracing::debug!(event_id = call.event_id, "a hook was called");
            }
            Some(failure) if is_over => {
                metrics::hooks_lost(1);
                tracing::error!(event_id = call.event_id, failure, "a hook is given up");
            }
            Some(failure) => {
                metrics::hook_called("failed");
                call.tries = call.tries.saturating_add(1);
                call.due_ms = after(backoff(call.tries));
                let (event_id, tries) = (&*call.event_id, call.tries);
                tracing::warn!(
                    event_id,
                    tries,
                    failure,
                    "a hook failed and is called again"
                );
                let due_ms = call.due_ms;
                // Lost, it only means that the next process calls sooner.
                let _ = journal
                    .write(move |transaction| outbox::update(transaction, &call))
                    .await;
                return Some((due_ms, key));
            }
        }
        match journal
            .write(move |transaction| outbox::remove(transaction, key))
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
        let answer = self.client.request(request).await;
        let status = answer
            .map_err(|error| crate::driver::chain(&error))?
            .status();
        // What it says besides is not read: a redirect is no acknowledgement either.
        if status.is_success() {
            Ok(())
        } else {
            Err(status.to_string())
        }
    }
}

enum Due {
    Now(u128),
    In(Duration),
    Never,
}

/// Returns the pause after so many failures: between a half and the whole of the longest one.
fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let longest = BACKOFF.saturating_mul(1 << doublings).min(BACKOFF_MAX);
    let half = millis(longest) / 2;
    let (random, _) = Uuid::new_v4().as_u64_pair();
    let jitter = random.checked_rem(half.saturating_add(1)).unwrap_or(0);
    Duration::from_millis(half.saturating_add(jitter))
}

fn after(wait: Duration) -> u64 {
    now_ms().saturating_add(millis(wait))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(not(feature = "hooks-tls"))]
fn connector() -> std::io::Result<Connector> {
    Ok(plain())
}

#[cfg(feature = "hooks-tls")]
fn connector() -> std::io::Result<Connector> {
    let mut plain = plain();
    plain.enforce_http(false);
    let provider = rustls::crypto::ring::default_provider();
    let https =
        hyper_rustls::HttpsConnectorBuilder::new().with_provider_and_native_roots(provider)?;
    Ok(https.https_or_http().enable_http1().wrap_connector(plain))
}

fn plain() -> HttpConnector {
    let mut plain = HttpConnector::new();
    plain.set_connect_timeout(Some(CALL));
    plain.set_nodelay(true);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_bounded() {
        for failures in 1..100 {
            let pause = backoff(failures);
            assert!(pause <= BACKOFF_MAX && pause >= BACKOFF / 2, "{pause:?}");
        }
        assert!(backoff(1) <= BACKOFF);
        assert!(backoff(u32::MAX) >= BACKOFF_MAX / 2);
    }
}
