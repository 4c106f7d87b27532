//! `[auth]`: who may upload, and as whom.

use std::{path::PathBuf, sync::Arc, time::Duration};

use serde::Deserialize;

use super::{ConfigError, Secret, Time, deciding::TIMEOUT_MAX};
use crate::{
    auth::{Auth, ClaimNames, Forward, ForwardParts, Jwt, JwtParts, REMEMBER_MAX, Source},
    http::{forwarded::Transport, identity::SECRET_BYTES_MIN},
    outgoing,
};

/// Longest time that clocks may differ.
const LEEWAY_MAX: Duration = Duration::from_secs(300);

/// `[auth]`: without it, every visitor has an identity, by a signed cookie.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct AuthConfig {
    /// Signed tokens.
    pub jwt: Option<JwtConfig>,
    /// Your own server, which is asked.
    pub forward: Option<ForwardConfig>,
}

/// `[auth.jwt]`: signed tokens (RFC 7519) by HS256, RS256, ES256 or EdDSA.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct JwtConfig {
    /// What tokens of HS256 are signed with, at least 32 bytes.
    pub secret: Option<Secret>,
    /// Files with public keys in PEM, of RSA, P-256 or Ed25519.
    pub public_keys: Vec<PathBuf>,
    /// A document of public keys (JWKS): its address, or its file.
    pub jwks: Option<String>,
    /// How old that document may be before it is read again; a token with a key that is not in it causes a look at once, every 30 seconds at most.
    pub jwks_refresh: Time,
    /// Who has to have made the token, its `iss`; anyone with the key if none.
    pub issuer: Option<String>,
    /// Whom it has to be meant for, its `aud`; if none, tokens that name an audience are refused.
    pub audience: Option<String>,
    /// How much clocks may differ.
    pub leeway: Time,
    /// A cookie that may have the token where there is no `Authorization`.
    pub cookie: Option<String>,
    /// The claim that is the owner.
    pub owner_claim: String,
    /// The claim that lists the slots that may be used, as a list or with spaces between them; all if it is missing.
    pub slots_claim: String,
    /// The claim that bounds the size of a file.
    pub max_file_size_claim: String,
    /// The claim that bounds the owner's unfinished uploads.
    pub max_uploads_claim: String,
    /// The claim that bounds the declared bytes of those.
    pub max_bytes_claim: String,
    /// The claim that bounds the bytes of the owner's unfinished uploads and of those that wait, together.
    pub max_stored_bytes_claim: String,
}

impl Default for JwtConfig {
    fn default() -> Self {
        Self {
            secret: None,
            public_keys: Vec::new(),
            jwks: None,
            jwks_refresh: Time(Duration::from_secs(600)),
            issuer: None,
            audience: None,
            leeway: Time(Duration::from_secs(30)),
            cookie: None,
            owner_claim: "sub".to_owned(),
            slots_claim: "upload_slots".to_owned(),
            max_file_size_claim: "upload_max_file_size".to_owned(),
            max_uploads_claim: "upload_max_uploads".to_owned(),
            max_bytes_claim: "upload_max_bytes".to_owned(),
            max_stored_bytes_claim: "upload_max_stored_bytes".to_owned(),
        }
    }
}

/// `[auth.forward]`: an address that is asked who sent a request.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ForwardConfig {
    /// The address.
    pub url: String,
    /// Headers of the visitor that are passed on.
    pub headers: Vec<String>,
    /// How long an answer may take, 8 seconds at most; after that, requests receive 503.
    pub timeout: Time,
    /// How long a positive answer is remembered for the same headers, address, method, path and slot, at most 10 seconds; 0 switches this off.
    pub cache: Time,
}

impl Default for ForwardConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            headers: vec!["authorization".to_owned(), "cookie".to_owned()],
            timeout: Time(Duration::from_secs(3)),
            cache: Time(Duration::from_secs(10)),
        }
    }
}

impl AuthConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        match (&self.jwt, &self.forward) {
            (Some(jwt), None) => jwt.check(),
            (None, Some(forward)) => forward.check(),
            (None, None) => Err(ConfigError::invalid("auth", "needs jwt or forward")),
            (Some(_), Some(_)) => {
                let why = "jwt and forward exclude each other";
                Err(ConfigError::invalid("auth", why))
            }
        }
    }

    /// Reads keys, and prepares to ask.
    pub(super) fn open(&self, transport: Transport) -> Result<Option<Arc<Auth>>, ConfigError> {
        Ok(match (&self.jwt, &self.forward) {
            (Some(jwt), _) => Some(Auth::with_tokens(jwt.open()?)),
            (None, Some(forward)) => Some(Auth::forwarding(forward.open(transport)?)),
            (None, None) => None,
        })
    }
}

impl JwtConfig {
    fn check(&self) -> Result<(), ConfigError> {
        if self.secret.is_none() && self.public_keys.is_empty() && self.jwks.is_none() {
            let why = "needs secret, public_keys or jwks";
            return Err(ConfigError::invalid("auth.jwt", why));
        }
        if let Some(secret) = &self.secret
            && secret.expose().len() < SECRET_BYTES_MIN
        {
            let why = format!("needs at least {SECRET_BYTES_MIN} bytes");
            return Err(ConfigError::invalid("auth.jwt.secret", why));
        }
        if self.leeway.0 > LEEWAY_MAX {
            return Err(ConfigError::invalid(
                "auth.jwt.leeway",
                "must be at most 5m",
            ));
        }
        self.source().map(|_| ())
    }

    fn source(&self) -> Result<Option<Source>, ConfigError> {
        let Some(jwks) = &self.jwks else {
            return Ok(None);
        };
        if !jwks.contains("://") {
            return Ok(Some(Source::File(PathBuf::from(jwks))));
        }
        let uri = outgoing::address(jwks);
        let uri = uri.map_err(|error| ConfigError::invalid("auth.jwt.jwks", error.to_string()))?;
        Ok(Some(Source::At(uri)))
    }

    fn open(&self) -> Result<Jwt, ConfigError> {
        let parts = JwtParts {
            secret: self
                .secret
                .as_ref()
                .map(|secret| secret.expose().as_bytes()),
            public_keys: &self.public_keys,
            jwks: self.source()?,
            refresh: self.jwks_refresh.0,
            issuer: self.issuer.as_deref(),
            audience: self.audience.as_deref(),
            leeway: self.leeway.0,
            cookie: self.cookie.as_deref(),
        };
        let names = ClaimNames {
            owner: self.owner_claim.clone(),
            slots: self.slots_claim.clone(),
            max_file_size: self.max_file_size_claim.clone(),
            max_uploads: self.max_uploads_claim.clone(),
            max_bytes: self.max_bytes_claim.clone(),
            max_stored_bytes: self.max_stored_bytes_claim.clone(),
        };
        Jwt::new(parts, names).map_err(|error| ConfigError::invalid("auth.jwt", error.to_string()))
    }
}

impl ForwardConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let invalid =
            |key: &str, why: String| ConfigError::invalid(&format!("auth.forward.{key}"), why);
        outgoing::address(&self.url).map_err(|error| invalid("url", error.to_string()))?;
        for name in &self.headers {
            name.parse::<http::HeaderName>()
                .map_err(|_| invalid("headers", format!("{name:?} is no name of a header")))?;
        }
        if self.timeout.0.is_zero() || self.timeout.0 > TIMEOUT_MAX {
            return Err(invalid(
                "timeout",
                "must be above 0 and at most 8s".to_owned(),
            ));
        }
        if self.cache.0 > REMEMBER_MAX {
            return Err(invalid("cache", "must be at most 10s".to_owned()));
        }
        Ok(())
    }

    fn open(&self, transport: Transport) -> Result<Forward, ConfigError> {
        let invalid = |why: String| ConfigError::invalid("auth.forward", why);
        let uri = outgoing::address(&self.url).map_err(|error| invalid(error.to_string()))?;
        let headers = self.headers.iter().filter_map(|name| name.parse().ok());
        let parts = ForwardParts {
            uri,
            headers: headers.collect(),
            limit: self.timeout.0,
            remember: self.cache.0,
            transport,
        };
        Forward::new(parts).map_err(|error| invalid(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use figment::{
        Figment,
        providers::{Format, Toml},
    };

    use crate::config::Config;

    #[test]
    fn sign_in_is_by_one_way_that_is_whole() {
        let read = |toml: &str| {
            let read = Config::read(&Figment::new().merge(Toml::string(toml)));
            read.map(|_| ()).map_err(|error| error.to_string())
        };
        let secret = "secret = \"0123456789abcdef0123456789abcdef\"";
        for good in [
            format!("[auth.jwt]\n{secret}\nleeway = 10"),
            "[auth.jwt]\njwks = \"http://127.0.0.1:9/jwks.json\"\njwks_refresh = \"5m\"".to_owned(),
            "[auth.forward]\nurl = \"http://127.0.0.1:9/\"\ncache = \"2s\"".to_owned(),
            "[auth.forward]\nurl = \"http://127.0.0.1:9/\"\ntimeout = \"8s\"".to_owned(),
        ] {
            assert_eq!(read(&good), Ok(()), "{good}");
        }
        for (bad, key) in [
            ("[auth]", "auth: needs jwt or forward"),
            ("[auth.jwt]", "auth.jwt: needs secret"),
            ("[auth.jwt]\nsecret = \"short\"", "auth.jwt.secret: needs"),
            ("[auth.jwt]\njwks = \"ftp://a/b\"", "auth.jwt.jwks: is not"),
            (
                "[auth.jwt]\njwks = \"a\"\nleeway = \"1h\"",
                "auth.jwt.leeway",
            ),
            ("[auth.forward]", "auth.forward.url: is not"),
            (
                "[auth.forward]\nurl = \"http://a\"\ncache = \"11s\"",
                "auth.forward.cache: must be at most 10s",
            ),
            (
                "[auth.forward]\nurl = \"http://a\"\ntimeout = 0",
                "auth.forward.timeout",
            ),
            (
                "[auth.forward]\nurl = \"http://a\"\ntimeout = \"15s\"",
                "auth.forward.timeout: must be above 0 and at most 8s",
            ),
            (
                "[auth.forward]\nurl = \"http://a\"\nheaders = [\"a b\"]",
                "auth.forward.headers",
            ),
            ("[auth.forward]\nurl = \"http://a\"\n[auth.jwt]", "exclude"),
        ] {
            let error = read(bad).expect_err(bad);
            assert!(error.contains(key), "{bad}: {error}");
        }
    }
}
