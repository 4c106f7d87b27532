//! Hooks: addresses that are told of every stored file, at least once.
//!
//! A call waits in the outbox before anybody else learns of the file: it is written there once the
//! writer has closed, and only then does the upload go on to its receipt. So neither a crash nor a
//! restart loses one; either may repeat it. Repetitions carry the same event id, also where a
//! killed server finds a file finished and completes it again.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use http::Uri;
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use upload_core::Entry;

use super::{
    delivery,
    due::{CALLS_MAX, Due, Party, Place},
    in_doubt::InDoubt,
    journal::Journal,
    queue::Call,
    signature::Signer,
};
use crate::{
    outgoing::{self, HttpClient},
    slots::entry::stored_name,
};

/// Idle connections kept for each hook.
const IDLE_CONNECTIONS_MAX: usize = 2;

/// How many hooks a server calls at most.
#[cfg(any(test, feature = "cli"))]
pub(crate) const HOOKS_MAX: usize = 16;

/// The address of a hook cannot be called.
#[cfg(any(test, feature = "cli"))]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HookError {
    /// It is not an address, and is not shown: it may hold a password.
    #[error("is not an address such as \"http://127.0.0.1:7000/uploaded\"")]
    Url,
    /// It needs TLS, which this build does not have.
    #[error("\"https\" needs a build with the feature \"hooks-tls\"")]
    Tls,
}

/// One address to call.
#[derive(Debug)]
pub(crate) struct Hook {
    /// What calls in the journal are known by: the address may hold a password.
    pub(super) name: String,
    url: String,
    pub(super) uri: Uri,
    pub(super) signer: Signer,
    pub(super) due: Arc<Due>,
    /// When it was last said that uploads wait for it, in milliseconds since 1970.
    waited_ms: AtomicU64,
}

impl Hook {
    /// Reads the address; `secret` signs what it receives. Without a name, it has one of its address.
    ///
    /// # Errors
    ///
    /// It cannot be called.
    #[cfg(any(test, feature = "cli"))]
    pub(crate) fn new(name: Option<&str>, url: &str, secret: &[u8]) -> Result<Self, HookError> {
        let uri: Uri = url.parse().map_err(|_| HookError::Url)?;
        match uri.scheme_str() {
            _ if uri.host().is_none_or(str::is_empty) => return Err(HookError::Url),
            Some("http") => {}
            Some("https") if cfg!(feature = "hooks-tls") => {}
            Some("https") => return Err(HookError::Tls),
            _ => return Err(HookError::Url),
        }
        let name = match name {
            Some(name) => name.to_owned(),
            None => event_id(&["hook", url]),
        };
        Ok(Self {
            name,
            url: url.to_owned(),
            uri,
            signer: Signer::new(secret),
            due: Arc::default(),
            waited_ms: AtomicU64::new(0),
        })
    }

    /// Returns a place for a call; waits for one where too many calls wait.
    pub(super) async fn place(&self, party: &Party) -> Place {
        /// How often it is said that this happens.
        const SAID_EVERY_MS: u64 = 60_000;

        if let Some(place) = self.due.try_place(party) {
            return place;
        }
        let now = now_ms();
        let said = self.waited_ms.load(Ordering::Relaxed);
        if now.saturating_sub(said) >= SAID_EVERY_MS {
            self.waited_ms.store(now, Ordering::Relaxed);
            tracing::warn!(
                hook = self.name,
                most = CALLS_MAX,
                "uploads wait for a hook that has too many calls outstanding"
            );
        }
        self.due.place(party).await
    }
}

/// When delivery ends.
#[derive(Clone, Debug)]
pub(crate) struct Stops {
    /// No call is begun any more.
    pub(crate) draining: CancellationToken,
    /// No answer is waited for any more.
    pub(crate) closing: CancellationToken,
}

/// All hooks of a server, and the calls that wait for them.
#[derive(Debug)]
pub(crate) struct Hooks {
    pub(super) hooks: Vec<Arc<Hook>>,
    pub(super) client: HttpClient,
    pub(super) journal: Journal,
    /// When it was last said that uploads wait for the journal, in milliseconds since 1970.
    pub(super) failed_ms: AtomicU64,
    /// The keys of calls that may be in the journal, and are not made.
    pub(super) in_doubt: InDoubt,
}

/// The hook of this number in the list cannot be called.
#[derive(Debug)]
pub(crate) struct Uncallable {
    pub(crate) number: usize,
    pub(crate) source: io::Error,
}

/// The body of a call; fields that are not known are null.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Notice {
    pub(crate) event_id: String,
    pub(crate) event: &'static str,
    pub(crate) upload_id: String,
    pub(crate) slot: Option<String>,
    pub(crate) owner: Option<String>,
    /// For display; never use it in a path or key.
    pub(crate) client_name: Option<String>,
    pub(crate) safe_client_name: Option<String>,
    pub(crate) client_type: Option<String>,
    pub(crate) size: Option<u64>,
    /// Eight hex digits.
    pub(crate) crc32c: Option<String>,
    /// What the page, or a hook that decides, sent along.
    pub(crate) meta: Option<Map<String, Value>>,
    pub(crate) result: Value,
    /// RFC 3339, in UTC.
    pub(crate) at: String,
}

impl Notice {
    /// Describes a stored file.
    pub(crate) fn of_upload(
        owner: &str,
        entry: &Entry,
        crc32c: Option<u32>,
        result: &Value,
    ) -> Self {
        let upload_id = entry.upload.to_string();
        let event = "upload_complete";
        let stored = result.to_string();
        Self {
            event_id: event_id(&[event, owner, &upload_id, &entry.slot, &stored]),
            event,
            upload_id,
            slot: Some(entry.slot.to_string()),
            owner: Some(owner.to_owned()),
            client_name: Some(entry.client_name.clone()),
            safe_client_name: Some(stored_name(entry)),
            client_type: Some(entry.client_type.clone()),
            size: entry.length.known(),
            crc32c: crc32c.map(|crc| format!("{crc:08x}")),
            meta: Some(entry.meta.clone()),
            result: result.clone(),
            at: jiff::Timestamp::now().to_string(),
        }
    }
}

/// Returns an id that the same event gets again.
pub(crate) fn event_id(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part.as_bytes());
    }
    let hash = hash.finalize();
    let bytes = hash.first_chunk().copied().unwrap_or_default();
    uuid::Builder::from_custom_bytes(bytes)
        .into_uuid()
        .to_string()
}

impl Hooks {
    /// Prepares to call them.
    ///
    /// # Errors
    ///
    /// One of them cannot be called.
    pub(crate) fn new(hooks: Vec<Hook>, journal: Journal) -> Result<Self, Uncallable> {
        let addresses = hooks.iter().map(|hook| &hook.uri);
        let client = outgoing::client(IDLE_CONNECTIONS_MAX, addresses);
        let client = client.map_err(|source| {
            let number = hooks.iter().position(|hook| outgoing::is_tls(&hook.uri));
            Uncallable {
                number: number.unwrap_or_default(),
                source,
            }
        })?;
        Ok(Self {
            hooks: hooks.into_iter().map(Arc::new).collect(),
            client,
            journal,
            failed_ms: AtomicU64::new(0),
            in_doubt: InDoubt::default(),
        })
    }

    /// Returns whether there is any.
    pub(crate) fn are_there(&self) -> bool {
        !self.hooks.is_empty()
    }

    /// Returns the calls a notice makes, one for each hook.
    #[expect(clippy::expect_used, reason = "a struct of texts and numbers is JSON")]
    pub(crate) fn calls(&self, notice: &Notice, party: &Party) -> Vec<Call> {
        let body = serde_json::to_string(notice).expect("a notice is JSON");
        let now = now_ms();
        let call = |hook: &Arc<Hook>| Call {
            event_id: notice.event_id.clone(),
            hook: hook.name.clone(),
            body: body.clone(),
            tries: 0,
            since_ms: now,
            due_ms: now,
            party: party.to_string(),
        };
        self.hooks.iter().map(call).collect()
    }

    /// Returns places for a notice's calls, one for each hook; none where one has too many calls outstanding.
    pub(crate) fn try_places(&self, party: &Party) -> Option<Vec<Place>> {
        let places = self.hooks.iter().map(|hook| hook.due.try_place(party));
        places.collect()
    }

    /// Has calls made that were added to the outbox; those that were in it already are made anyhow.
    pub(crate) fn announce(calls: &[Call], places: Vec<Place>, added: &[bool]) {
        for ((call, place), is_new) in calls.iter().zip(places).zip(added) {
            if *is_new {
                place.keep(call.due_ms, call.key());
            }
        }
    }

    /// Makes the calls that wait and those to come, until the server drains.
    pub(crate) fn start(
        self: &Arc<Self>,
        stops: Stops,
        tracker: &TaskTracker,
        runtime: &tokio::runtime::Handle,
    ) {
        if self.are_there() {
            tracker.spawn_on(delivery::run(Arc::clone(self), stops), runtime);
        }
    }

    /// Finds the hook of a call; calls of before have its address for a name.
    pub(super) fn hook(&self, name: &str) -> Option<&Arc<Hook>> {
        let mut hooks = self.hooks.iter();
        hooks.find(|hook| hook.name == name || hook.url == name)
    }
}

/// Returns the time in milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        let hook = |url| Hook::new(None, url, b"s").map(|_| ());
        assert_eq!(hook("http://127.0.0.1:7000/uploaded?x=1"), Ok(()));
        for bad in ["", "here", "/uploaded", "ftp://a/b", "http:///x", "http://"] {
            assert_eq!(hook(bad), Err(HookError::Url), "{bad}");
        }
        let tls = cfg!(feature = "hooks-tls");
        assert_eq!(hook("https://example.org/x").is_ok(), tls);
    }

    #[test]
    fn the_same_event_has_the_same_id() {
        let id = event_id(&["a", "bc"]);
        assert_eq!(id, event_id(&["a", "bc"]));
        assert_ne!(id, event_id(&["ab", "c"]));
        assert_eq!(id.len(), 36);
    }
}
