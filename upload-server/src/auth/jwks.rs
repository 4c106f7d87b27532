//! Public keys that somebody publishes: a JWKS document in a file or at an address (RFC 7517).

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::Full;
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse},
};
use tokio::{sync::Mutex, time::Instant};

use crate::outgoing::{self, HttpClient};

/// The shortest time between two looks at the document, however many ask for an unknown key.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// How long looking may take.
const LOOK: Duration = Duration::from_secs(5);
/// Largest document, in bytes.
const DOCUMENT_BYTES_MAX: usize = 256 * 1024;
/// Keys of a document that are used; further ones are passed over.
const KEYS_MAX: usize = 64;
/// Longest time that keys are believed while the document cannot be had.
const KEYS_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// Where the document is.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    File(PathBuf),
    At(Uri),
}

/// One public key.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// Whether a key of this name can be what a token was signed with.
pub(super) fn fits(key: &Key, id: Option<&str>, algorithm: Algorithm) -> bool {
    key.algorithm == algorithm && (id.is_none() || key.id.as_deref() == id)
}

/// The keys could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoKeys;

/// The keys of a document, as it was when it was last looked at.
pub(super) struct Jwks {
    source: Source,
    refresh: Duration,
    client: HttpClient,
    known: RwLock<Known>,
    /// When it was last tried to look; held while somebody looks.
    looked: Mutex<Option<Instant>>,
}

#[derive(Clone, Default)]
struct Known {
    keys: Arc<[Key]>,
    /// When the document was read; none before the first time.
    read: Option<Instant>,
}

impl Jwks {
    pub(super) fn new(source: Source, refresh: Duration, client: HttpClient) -> Self {
        Self {
            source,
            refresh,
            client,
            known: RwLock::default(),
            looked: Mutex::new(None),
        }
    }

    /// Returns the keys a token can be signed with; an unknown name causes a look at the document, unless
    /// there was one a moment ago.
    ///
    /// # Errors
    ///
    /// There are no keys at all: the document could not be had yet, or not for a day.
    pub(super) async fn find(
        self: &Arc<Self>,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Vec<Key>, NoKeys> {
        let known = self.known();
        let age = known.read.map(|read| read.elapsed());
        let found = known.fitting(id, algorithm);
        match age {
            Some(age) if !found.is_empty() && age < KEYS_LIFE => {
                if age >= self.refresh {
                    let again = Arc::clone(self);
                    tokio::spawn(async move { again.look().await });
                }
                return Ok(found);
            }
            _ => {}
        }
        self.look().await;
        let known = self.known();
        match known.read {
            Some(read) if read.elapsed() < KEYS_LIFE => Ok(known.fitting(id, algorithm)),
            _ => Err(NoKeys),
        }
    }

    fn known(&self) -> Known {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.clone()
    }

    /// Looks at the document, unless somebody did a moment ago; others meanwhile wait for the same
    /// look.
    async fn look(&self) {
        let mut looked = self.looked.lock().await;
        if looked.is_some_and(|at| at.elapsed() < LOOK_AGAIN) {
            return;
        }
        *looked = Some(Instant::now());
        match self.read().await {
            Ok(keys) => {
                let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
                *known = Known {
                    keys,
                    read: Some(Instant::now()),
                };
            }
            Err(error) => tracing::warn!(error, "the keys of tokens cannot be read"),
        }
    }

    async fn read(&self) -> Result<Arc<[Key]>, String> {
        let document = match &self.source {
            Source::File(path) => {
                let read = tokio::fs::read(path).await;
                Bytes::from(read.map_err(|error| format!("{}: {error}", path.display()))?)
            }
            Source::At(uri) => {
                let request = Request::get(uri.clone()).body(Full::default());
                let request = request.map_err(|error| error.to_string())?;
                let answer = outgoing::ask(&self.client, request, LOOK, DOCUMENT_BYTES_MAX).await;
                let answer = answer.map_err(|error| error.to_string())?;
                if !answer.status.is_success() {
                    return Err(answer.status.to_string());
                }
                answer.body
            }
        };
        keys_of(&document)
    }
}

impl Known {
    fn fitting(&self, id: Option<&str>, algorithm: Algorithm) -> Vec<Key> {
        let keys = self.keys.iter();
        keys.filter(|key| fits(key, id, algorithm))
            .cloned()
            .collect()
    }
}

/// Reads a document; keys of kinds that are not taken are passed over.
///
/// # Errors
///
/// It is not one.
pub(super) fn keys_of(document: &[u8]) -> Result<Arc<[Key]>, String> {
    let set: JwkSet = serde_json::from_slice(document).map_err(|error| error.to_string())?;
    let keys = set.keys.iter().filter_map(key_of);
    Ok(keys.take(KEYS_MAX).collect())
}

fn key_of(jwk: &Jwk) -> Option<Key> {
    let common = &jwk.common;
    if !matches!(common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let (algorithm, named) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        // What is published is no secret.
        _ => return None,
    };
    if common.key_algorithm.is_some_and(|other| other != named) {
        return None;
    }
    Some(Key {
        id: common.key_id.clone(),
        algorithm,
        key: DecodingKey::from_jwk(jwk).ok()?,
    })
}
