//! Signed tokens (RFC 7519).

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use http::{header, request::Parts};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value};
use thiserror::Error;

use super::{
    ClaimNames, Refusal, TOKEN_BYTES_MAX, bearer, claims,
    crypto::{self, ALGORITHMS},
    jwks::{Jwks, Key, Source, fits},
    lines_of,
};
use crate::{http::visitor::Visitor, outgoing};

/// Idle connections kept to where keys are published.
const IDLE_CONNECTIONS_MAX: usize = 1;

/// Tokens cannot be checked with these keys.
#[derive(Debug, Error)]
pub(crate) enum JwtError {
    #[error("{} cannot be read: {source}", .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} holds no public key of RSA, P-256 or Ed25519 in PEM", .0.display())]
    NoKey(PathBuf),
    #[error("{0}")]
    Secret(&'static str),
    #[error("{0}")]
    Client(io::Error),
}

/// What tokens are held to.
#[derive(Clone, Debug, Default)]
pub(crate) struct JwtParts<'a> {
    /// HS256.
    pub(crate) secret: Option<&'a [u8]>,
    /// Files in PEM.
    pub(crate) public_keys: &'a [PathBuf],
    pub(crate) jwks: Option<Source>,
    pub(crate) refresh: Duration,
    pub(crate) issuer: Option<&'a str>,
    pub(crate) audience: Option<&'a str>,
    pub(crate) leeway: Duration,
    pub(crate) cookie: Option<&'a str>,
}

/// Checks tokens.
pub(crate) struct Jwt {
    keys: Vec<Key>,
    jwks: Option<Arc<Jwks>>,
    validation: Validation,
    leeway: Duration,
    cookie: Option<String>,
    names: ClaimNames,
}

impl Jwt {
    /// Reads keys.
    ///
    /// # Errors
    ///
    /// One cannot be read.
    pub(crate) fn new(parts: JwtParts<'_>, names: ClaimNames) -> Result<Self, JwtError> {
        crypto::install();
        let mut keys = Vec::new();
        if let Some(secret) = parts.secret {
            let key = DecodingKey::from_secret(secret);
            keys.push(Key {
                id: None,
                algorithm: Algorithm::HS256,
                key: key.map_err(|_| JwtError::Secret("is empty"))?,
            });
        }
        for path in parts.public_keys {
            let text = std::fs::read(path).map_err(|source| JwtError::File {
                path: path.clone(),
                source,
            })?;
            keys.push(public_key(&text).ok_or_else(|| JwtError::NoKey(path.clone()))?);
        }
        let jwks = match parts.jwks {
            Some(source) => {
                let address = match &source {
                    Source::At(address) => Some(address),
                    Source::File(_) => None,
                };
                let client = outgoing::client(IDLE_CONNECTIONS_MAX, address);
                let client = client.map_err(JwtError::Client)?;
                Some(Arc::new(Jwks::new(source, parts.refresh, client)))
            }
            None => None,
        };
        let mut validation = Validation {
            leeway: parts.leeway.as_secs(),
            validate_nbf: true,
            ..Validation::default()
        };
        let mut required = vec!["exp"];
        if let Some(issuer) = parts.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        // Without one, a token that is meant for somebody is not meant for this server.
        if let Some(audience) = parts.audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
        Ok(Self {
            keys,
            jwks,
            validation,
            leeway: parts.leeway,
            cookie: parts.cookie.map(str::to_owned),
            names,
        })
    }

    /// Finds out who sent a request, by the token in its header or cookie.
    pub(super) async fn admit(&self, parts: &Parts) -> Result<Arc<Visitor>, Refusal> {
        let token = if parts.headers.contains_key(header::AUTHORIZATION) {
            bearer(parts)
        } else {
            self.cookie.as_deref().and_then(|name| cookie(parts, name))
        };
        self.verify(token.ok_or(Refusal::Unauthenticated)?).await
    }

    /// Finds out whose a token is.
    pub(super) async fn verify(&self, token: &str) -> Result<Arc<Visitor>, Refusal> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(refused("it is too long"));
        }
        let header = decode_header(token).map_err(|_| refused("it is no token"))?;
        let algorithm = header.alg;
        if !ALGORITHMS.contains(&algorithm) {
            return Err(refused("its algorithm is not accepted"));
        }
        let id = header.kid.as_deref();
        // A secret and keys in files have no names; what they were not signed with is the published keys'.
        let own = self.keys.iter().filter(|key| fits(key, None, algorithm));
        let mut tried = own.map(|key| self.claims(token, key));
        if let Some(claims) = tried.find_map(Result::ok) {
            return self.visitor(&claims);
        }
        let Some(jwks) = self.jwks.as_ref().filter(|_| algorithm != Algorithm::HS256) else {
            return Err(refused("no key of the configuration fits it"));
        };
        let keys = jwks.find(id, algorithm).await;
        let keys = keys.map_err(|_| Refusal::Unavailable)?;
        let claims = keys.iter().find_map(|key| self.claims(token, key).ok());
        let claims = claims.ok_or_else(|| refused("no published key fits it"))?;
        self.visitor(&claims)
    }

    fn claims(&self, token: &str, key: &Key) -> Result<Map<String, Value>, Refusal> {
        let mut validation = self.validation.clone();
        validation.algorithms = vec![key.algorithm];
        let token = decode(token, &key.key, &validation);
        token.map(|token| token.claims).map_err(|error| {
            tracing::debug!(%error, "a token is refused");
            Refusal::Unauthenticated
        })
    }

    fn visitor(&self, claims: &Map<String, Value>) -> Result<Arc<Visitor>, Refusal> {
        let visitor = self.names.visitor(claims);
        let visitor =
            visitor.ok_or_else(|| refused("its owner is missing, or a claim is unreadable"))?;
        // A token without an end would have been refused.
        let end = claims::end_of(claims, self.leeway);
        let end = end.ok_or_else(|| refused("its end is unreadable"))?;
        Ok(claims::until(visitor, Some(end)))
    }
}

/// Refuses a token; the log says why, and nothing of what the token says.
fn refused(why: &'static str) -> Refusal {
    tracing::debug!(why, "a token is refused");
    Refusal::Unauthenticated
}

/// Reads a public key in PEM.
fn public_key(pem: &[u8]) -> Option<Key> {
    let read = [
        (Algorithm::RS256, DecodingKey::from_rsa_pem(pem)),
        (Algorithm::ES256, DecodingKey::from_ec_pem(pem)),
        (Algorithm::EdDSA, DecodingKey::from_ed_pem(pem)),
    ];
    let mut read = read.into_iter();
    read.find_map(|(algorithm, key)| {
        Some(Key {
            id: None,
            algorithm,
            key: key.ok()?,
        })
    })
}

/// Returns the value of the one cookie of this name.
fn cookie<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    let lines = lines_of(parts, &header::COOKIE);
    let pairs = lines.flat_map(|line| line.split(|byte| *byte == b';'));
    let mut values = pairs.filter_map(|pair| {
        let (found, value) = std::str::from_utf8(pair).ok()?.trim().split_once('=')?;
        (found == name).then_some(value)
    });
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value),
        _ => None,
    }
}
