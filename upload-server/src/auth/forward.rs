//! Forward authentication: your own server is asked who sent a request.
//!
//! It fails closed: an answer that is late, broken or unknown is no yes. Only a yes is remembered, for ten
//! seconds at most, and for nothing but the very same credentials, address, method, path and slot.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::extract::OriginalUri;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri, request::Parts};
use http_body_util::Full;
use lru::LruCache;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};
use upload_core::AuthorizeStage;
use upload_proto::Code;

use super::{ClaimNames, Refusal};
use crate::{
    http::{
        forwarded::{Scheme, Transport},
        method,
        origin::host_of,
        visitor::Visitor,
    },
    outgoing::{self, HttpClient},
    slots::{answer::Denial, handlers, slot::AuthorizeRequest},
};

/// Questions running at a time; further ones wait, and their limit runs.
const UNDER_WAY_MAX: usize = 256;
/// Largest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Answers that are remembered at most.
const REMEMBERED_MAX: NonZeroUsize = NonZeroUsize::new(10_000).expect("more than none");
/// Longest time that a yes is remembered.
pub(crate) const REMEMBER_MAX: Duration = Duration::from_secs(10);
/// Idle connections kept to the server that is asked.
const IDLE_CONNECTIONS_MAX: usize = 32;
/// How often completion asks where there is no answer: the file is here, and a moment without an answer must
/// not cost it.
const TRIES: u32 = 4;
/// The pause between these tries.
const PAUSE: Duration = Duration::from_secs(1);
/// How long all of them may take: less than an `authorize` closure may, so that silence does not count as its no.
const COMPLETE_MAX: Duration = Duration::from_secs(9);

/// Whom to ask, and how.
pub(crate) struct ForwardParts {
    pub(crate) uri: Uri,
    /// Headers of the visitor that are passed on.
    pub(crate) headers: Vec<HeaderName>,
    pub(crate) limit: Duration,
    /// How long a yes is remembered.
    pub(crate) remember: Duration,
    pub(crate) transport: Transport,
}

/// Asks your own server who sent a request.
pub(crate) struct Forward {
    parts: ForwardParts,
    names: ClaimNames,
    client: HttpClient,
    places: Semaphore,
    remembered: Mutex<Remembered>,
}

/// Who was let in, by the question, and until when that counts.
type Remembered = LruCache<[u8; 32], (Instant, Arc<Visitor>)>;

/// What is asked about: what of a request is passed on.
#[derive(Clone)]
struct Question {
    headers: HeaderMap,
}

impl Forward {
    /// Prepares to ask.
    ///
    /// # Errors
    ///
    /// The address is called over TLS, and the system's certificates cannot be read.
    pub(crate) fn new(parts: ForwardParts) -> std::io::Result<Self> {
        let names = |name: &str| name.to_owned();
        Ok(Self {
            client: outgoing::client(IDLE_CONNECTIONS_MAX, [&parts.uri])?,
            parts,
            names: ClaimNames {
                owner: names("owner"),
                slots: names("slots"),
                max_file_size: names("max_file_size"),
                max_uploads: names("max_uploads"),
                max_bytes: names("max_bytes"),
                max_stored_bytes: names("max_stored_bytes"),
            },
            places: Semaphore::new(UNDER_WAY_MAX),
            remembered: Mutex::new(LruCache::new(REMEMBERED_MAX)),
        })
    }

    /// Asks who sent a request.
    pub(super) async fn admit(self: &Arc<Self>, parts: &Parts) -> Result<Arc<Visitor>, Refusal> {
        let question = self.question(parts);
        let key = question.key();
        if let Some(visitor) = self.recall(&key) {
            return Ok(visitor);
        }
        let visitor = self.ask(&question).await?;
        let again = Arc::clone(self);
        let asks = handlers::question(move |request| {
            let (again, question) = (Arc::clone(&again), question.clone());
            async move { again.may_complete(question, request).await }
        });
        let visitor = Arc::new(visitor.asking(asks));
        if !self.parts.remember.is_zero() {
            let until = Instant::now().checked_add(self.parts.remember.min(REMEMBER_MAX));
            let mut remembered = self.remembered();
            if let Some(until) = until {
                remembered.put(key, (until, Arc::clone(&visitor)));
            }
        }
        Ok(visitor)
    }

    fn recall(&self, key: &[u8; 32]) -> Option<Arc<Visitor>> {
        let mut remembered = self.remembered();
        let (until, visitor) = remembered.get(key)?;
        if *until > Instant::now() {
            return Some(Arc::clone(visitor));
        }
        remembered.pop(key);
        None
    }

    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        self.remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks once more before a file is stored, and remembers nothing.
    async fn may_complete(
        &self,
        mut question: Question,
        request: AuthorizeRequest,
    ) -> Result<(), Denial> {
        if request.stage != AuthorizeStage::Complete {
            return Ok(());
        }
        question.set("x-upload-stage", "complete");
        question.set("x-upload-slot", &request.slot);
        let is_same =
            |visitor: Visitor| visitor.owner() == request.owner && visitor.may_use(&request.slot);
        let asking = async {
            for number in 1..=TRIES {
                match self.ask(&question).await.map(is_same) {
                    Ok(true) => return Ok(()),
                    Ok(false) | Err(Refusal::Forbidden) => {
                        return Err(Denial::Refused(Code::Forbidden.into()));
                    }
                    Err(Refusal::Unauthenticated) => return Err(Denial::SignedOut),
                    Err(Refusal::Unavailable) if number < TRIES => sleep(PAUSE).await,
                    Err(Refusal::Unavailable) => {}
                }
            }
            Err(Denial::Undecided)
        };
        let answer = timeout(COMPLETE_MAX, asking).await;
        answer.unwrap_or(Err(Denial::Undecided))
    }

    async fn ask(&self, question: &Question) -> Result<Visitor, Refusal> {
        let asking = async {
            let _place = self.places.acquire().await.ok()?;
            let mut request = Request::get(self.parts.uri.clone());
            if let Some(headers) = request.headers_mut() {
                headers.clone_from(&question.headers);
            }
            let request = request.body(Full::<Bytes>::default()).ok()?;
            let answer =
                outgoing::ask(&self.client, request, self.parts.limit, ANSWER_BYTES_MAX).await;
            answer
                .inspect_err(|error| tracing::warn!(%error, "forward authentication failed"))
                .ok()
        };
        let answer = timeout(self.parts.limit, asking).await.ok().flatten();
        let answer = answer.ok_or(Refusal::Unavailable)?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => return Err(Refusal::Unauthenticated),
            StatusCode::FORBIDDEN => return Err(Refusal::Forbidden),
            status => {
                tracing::warn!(%status, "forward authentication answered neither yes nor no");
                return Err(Refusal::Unavailable);
            }
        }
        let body: Option<Map<String, Value>> = serde_json::from_slice(&answer.body).ok();
        let visitor = body.and_then(|body| self.names.visitor(&body));
        visitor.ok_or_else(|| {
            tracing::warn!("forward authentication answered something that cannot be read");
            Refusal::Unavailable
        })
    }

    fn question(&self, parts: &Parts) -> Question {
        let mut headers = HeaderMap::new();
        for name in &self.parts.headers {
            for value in parts.headers.get_all(name) {
                headers.append(name, value.clone());
            }
        }
        let mut question = Question { headers };
        let transport = &self.parts.transport;
        let scheme = match transport.scheme(parts) {
            Some(Scheme::Https) => "https",
            Some(Scheme::Http) | None => "http",
        };
        question.set("x-forwarded-proto", scheme);
        // Only the addresses of uploads heed an override.
        let meant = match parts.uri.path().starts_with("/files") {
            true => method::meant(parts),
            false => None,
        };
        let method = meant.unwrap_or_else(|| parts.method.clone());
        question.set("x-forwarded-method", method.as_str());
        // Without what follows it: tickets do.
        let original = parts.extensions.get::<OriginalUri>();
        let path = original.map_or(parts.uri.path(), |uri| uri.0.path());
        question.set("x-forwarded-uri", path);
        // Over HTTP/2 it is a part of the address, not a header.
        if let Some(host) = host_of(&parts.headers, &parts.uri) {
            question.set("x-forwarded-host", host.as_str());
        }
        if let Some(address) = transport.address(parts) {
            question.set("x-forwarded-for", &address.to_string());
        }
        question.set("x-upload-stage", "connect");
        question
    }
}

impl Question {
    fn set(&mut self, name: &'static str, value: &str) {
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
    }

    /// Returns what the same question has and no other.
    fn key(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut lines: Vec<_> = self.headers.iter().collect();
        // Lines of one name keep their order.
        lines.sort_by_key(|(name, _)| name.as_str());
        for (name, value) in lines {
            for part in [name.as_str().as_bytes(), value.as_bytes()] {
                hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
                hash.update(part);
            }
        }
        hash.finalize().into()
    }
}
