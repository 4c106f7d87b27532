//! Hooks: addresses that are told of every stored file, at least once.
//!
//! A call waits in the outbox before anybody else learns of the file: it is written there once the
//! writer has closed, and only then does the upload go on to its receipt. So neither a crash nor a
//! restart loses one; either may repeat it. Repetitions carry the same event id, also where a
//! killed server finds a file finished and completes it again.

mod delivery;
pub(crate) mod journal;
pub(crate) mod outbox;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use http::Uri;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::sync::Notify;
use upload_core::Entry;
use upload_validate::safe_name;

use self::{
    journal::{Journal, JournalError},
    outbox::Call,
};
use crate::{metrics, shared::Shared, signature::Signer};

/// How many hooks a server calls at most.
pub(crate) const HOOKS_MAX: usize = 16;

/// The address of a hook cannot be called.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HookError {
    /// It is not an address.
    #[error("{0:?} is not an address such as \"http://127.0.0.1:7000/uploaded\"")]
    Url(String),
    /// It needs TLS, which this build does not have.
    #[error("\"https\" needs a build with the feature \"hooks-tls\"")]
    Tls,
}

/// One address to call.
#[derive(Debug)]
pub(crate) struct Hook {
    url: String,
    uri: Uri,
    signer: Signer,
    /// When which call is due, the next one first.
    due: Mutex<BTreeSet<(u64, u128)>>,
    wake: Notify,
}

impl Hook {
    /// Reads the address; `secret` signs what it is told.
    ///
    /// # Errors
    ///
    /// It cannot be called.
    pub(crate) fn new(url: &str, secret: &[u8]) -> Result<Self, HookError> {
        let uri: Uri = url.parse().map_err(|_| HookError::Url(url.to_owned()))?;
        match uri.scheme_str() {
            _ if uri.host().is_none_or(str::is_empty) => {
                return Err(HookError::Url(url.to_owned()));
            }
            Some("http") => {}
            Some("https") if cfg!(feature = "hooks-tls") => {}
            Some("https") => return Err(HookError::Tls),
            _ => return Err(HookError::Url(url.to_owned())),
        }
        Ok(Self {
            url: url.to_owned(),
            uri,
            signer: Signer::new(secret),
            due: Mutex::default(),
            wake: Notify::new(),
        })
    }

    fn put_due(&self, due_ms: u64, key: u128) {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        due.insert((due_ms, key));
        drop(due);
        self.wake.notify_one();
    }
}

/// All hooks of a server, and the calls that wait for them.
#[derive(Debug)]
pub(crate) struct Hooks {
    hooks: Vec<Arc<Hook>>,
    journal: Journal,
}

/// What a hook is told (DESIGN section 7); what is not known is null.
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
            safe_client_name: Some(safe_name(&entry.client_name).into_string()),
            client_type: Some(entry.client_type.clone()),
            size: Some(entry.client_size),
            crc32c: crc32c.map(|crc| format!("{crc:08x}")),
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
    pub(crate) fn new(hooks: Vec<Hook>, journal: Journal) -> Self {
        Self {
            hooks: hooks.into_iter().map(Arc::new).collect(),
            journal,
        }
    }

    /// Returns whether there is any.
    pub(crate) fn are_there(&self) -> bool {
        !self.hooks.is_empty()
    }

    /// Returns the calls a notice makes, one for each hook.
    #[expect(clippy::expect_used, reason = "a struct of texts and numbers is JSON")]
    pub(crate) fn calls(&self, notice: &Notice) -> Vec<Call> {
        let body = serde_json::to_string(notice).expect("a notice is JSON");
        let now = now_ms();
        let call = |hook: &Arc<Hook>| Call {
            event_id: notice.event_id.clone(),
            url: hook.url.clone(),
            body: body.clone(),
            tries: 0,
            since_ms: now,
            due_ms: now,
        };
        self.hooks.iter().map(call).collect()
    }

    /// Has calls made that are in the outbox.
    pub(crate) fn announce(&self, calls: &[Call]) {
        for call in calls {
            if let Some(hook) = self.hook(&call.url) {
                hook.put_due(call.due_ms, call.key());
            }
        }
    }

    /// Puts a notice into the outbox and has it delivered; when it returns, no crash loses it.
    ///
    /// Where the outbox is full or the disk fails, the notice is lost and the upload goes on: the
    /// file is stored, and the log has the event. Where the server ends and has closed the outbox,
    /// it never returns: without a receipt the record stays as it is, and whoever finds the file
    /// finished after the restart tells of it.
    pub(crate) async fn tell(&self, notice: &Notice) {
        let calls = self.calls(notice);
        let stored = {
            let calls = calls.clone();
            let add = self
                .journal
                .write(move |transaction| outbox::add(transaction, &calls));
            add.await
        };
        let lost = match stored {
            Ok(lost) => lost,
            Err(JournalError::Failed) => calls.len(),
            Err(JournalError::Closed) => std::future::pending().await,
        };
        note_lost(lost, notice);
        self.announce(&calls);
    }

    /// Makes the calls that wait and those to come, until the server drains.
    pub(crate) fn start(self: &Arc<Self>, shared: &Arc<Shared>, runtime: &tokio::runtime::Handle) {
        if self.are_there() {
            let deliveries = delivery::run(Arc::clone(self), Arc::clone(shared));
            shared.tracker.spawn_on(deliveries, runtime);
        }
    }

    fn hook(&self, url: &str) -> Option<&Arc<Hook>> {
        self.hooks.iter().find(|hook| hook.url == url)
    }
}

/// Tells of calls the outbox did not take.
pub(crate) fn note_lost(lost: usize, notice: &Notice) {
    if lost > 0 {
        metrics::hooks_lost(lost);
        tracing::error!(
            lost,
            event_id = notice.event_id,
            upload = notice.upload_id,
            "hooks are not called: the outbox is full or failed"
        );
    }
}

/// Returns the time in milliseconds since 1970.
fn now_ms() -> u64 {
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
        let hook = |url| Hook::new(url, b"s").map(|_| ());
        assert_eq!(hook("http://127.0.0.1:7000/uploaded?x=1"), Ok(()));
        for bad in ["", "here", "/uploaded", "ftp://a/b", "http:///x", "http://"] {
            assert!(matches!(hook(bad), Err(HookError::Url(_))), "{bad}");
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
