//! The signed cookie that tells visitors apart whom the application does not name.
//!
//! Its value is `<token>.<issued>.<mac>`: 32 hex digits, seconds since 1970, and HMAC-SHA256 of cookie name,
//! token and time in hex.
//! The key is derived from the secret, so that nothing else that is signed with the same secret is a session.
//! Cookies are read from the bytes of the header: what a neighbour wrote beside ours, in whatever encoding,
//! does not matter.

use std::time::Duration;

use axum_extra::extract::cookie::{Cookie, SameSite};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderValue, header};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// Name of the cookie over plain HTTP.
pub(crate) const NAME: &str = "upload_session";

/// Name of the cookie where it is `Secure`: browsers take it from this very host only, so that a sibling
/// domain cannot plant one (RFC 6265bis, 4.1.3.2).
pub(crate) const HOST_NAME: &str = "__Host-upload_session";

/// Longest life of a cookie since it was issued: 30 days.
const LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Age at which a cookie is issued anew, for the same visitor.
const RENEW_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// How far in the future a cookie may have been issued, by a node whose clock is ahead.
const CLOCK_SKEW: Duration = Duration::from_secs(60 * 60);

/// What the signing key is derived from the secret for.
const PURPOSE: &[u8] = b"upload-server session cookie 1";

/// Length of a token: the hex digits of a UUID.
const TOKEN_BYTES: usize = 32;

/// The keys of a server: the first signs, all of them verify.
#[derive(Clone)]
pub(crate) struct CookieKeys(Vec<Hmac<Sha256>>);

/// A session that a request proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) token: String,
    /// Whether the cookie is old, or signed with an old key, and should be issued anew.
    pub(crate) is_due: bool,
}

impl CookieKeys {
    /// Signs with `secret`; what was signed with one of `previous` is still read.
    pub(crate) fn new<'a>(secret: &'a [u8], previous: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let secrets = std::iter::once(secret).chain(previous);
        Self(secrets.map(|secret| mac(&derive(secret))).collect())
    }

    /// Returns the session of a request; none if it has no valid cookie, or valid ones of several sessions:
    /// then one of them was planted, and nothing tells which.
    pub(crate) fn read(&self, headers: &HeaderMap, is_secure: bool, now_s: u64) -> Option<Session> {
        let name = name(is_secure);
        let mut found: Option<Session> = None;
        for value in values(headers, name) {
            let Some(session) = self.verify(name, value, now_s) else {
                continue;
            };
            match &mut found {
                None => found = Some(session),
                Some(other) if other.token == session.token => other.is_due &= session.is_due,
                Some(_) => return None,
            }
        }
        found
    }

    /// Makes the token of a new visitor.
    pub(crate) fn new_token() -> String {
        Uuid::new_v4().simple().to_string()
    }

    /// Returns the `Set-Cookie` of a session.
    #[expect(clippy::expect_used, reason = "30 days are in range of any clock")]
    pub(crate) fn issue(&self, token: &str, is_secure: bool, now_s: u64) -> Option<HeaderValue> {
        let name = name(is_secure);
        let issued = now_s.to_string();
        let mac = self.0.first()?.clone();
        let value = format!("{token}.{issued}.{}", signature(mac, name, token, &issued));
        let cookie = Cookie::build((name, value))
            .path("/")
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(is_secure)
            .max_age(LIFE.try_into().expect("30 days are in range"));
        HeaderValue::from_str(&cookie.build().to_string()).ok()
    }

    fn verify(&self, name: &str, value: &[u8], now_s: u64) -> Option<Session> {
        let text = std::str::from_utf8(value).ok()?;
        let mut parts = text.split('.');
        let (token, issued, given) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || token.len() != TOKEN_BYTES {
            return None;
        }
        let matches = |mac: &Hmac<Sha256>| {
            let expected = signature(mac.clone(), name, token, issued);
            bool::from(expected.as_bytes().ct_eq(given.as_bytes()))
        };
        let key = self.0.iter().position(matches)?;
        let issued: u64 = issued.parse().ok()?;
        let age = now_s.saturating_sub(issued);
        let is_ahead = issued.saturating_sub(now_s) > CLOCK_SKEW.as_secs();
        if age >= LIFE.as_secs() || is_ahead {
            return None;
        }
        Some(Session {
            token: token.to_owned(),
            is_due: key > 0 || age >= RENEW_AFTER.as_secs(),
        })
    }
}

fn name(is_secure: bool) -> &'static str {
    if is_secure { HOST_NAME } else { NAME }
}

/// Returns the values of all cookies of this name, as they stand in the header (RFC 6265, 5.4).
fn values<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(header::COOKIE).into_iter();
    let pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(move |pair| {
        let rest = pair.trim_ascii().strip_prefix(name.as_bytes())?;
        rest.trim_ascii_start()
            .strip_prefix(b"=")
            .map(<[u8]>::trim_ascii)
    })
}

fn derive(secret: &[u8]) -> [u8; 32] {
    mac(secret)
        .chain_update(PURPOSE)
        .finalize()
        .into_bytes()
        .into()
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn mac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

fn signature(mac: Hmac<Sha256>, name: &str, token: &str, issued: &str) -> String {
    let mac = mac.chain_update(format!("{name}={token}.{issued}"));
    let mac: [u8; 32] = mac.finalize().into_bytes().into();
    mac.iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;
    const DAY: u64 = 24 * 60 * 60;

    fn keys() -> CookieKeys {
        CookieKeys::new(&[7; 32], [])
    }

    fn pair(keys: &CookieKeys, token: &str, is_secure: bool, now_s: u64) -> String {
        let cookie = keys.issue(token, is_secure, now_s).expect("a cookie");
        let cookie = cookie.to_str().expect("text");
        cookie.split(';').next().expect("a pair").to_owned()
    }

    fn read(keys: &CookieKeys, lines: &[&[u8]], now_s: u64) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            let line = HeaderValue::from_bytes(line).expect("a header");
            headers.append(header::COOKIE, line);
        }
        keys.read(&headers, false, now_s)
            .map(|session| session.token)
    }

    #[test]
    fn cookies_of_neighbours_in_any_encoding_change_nothing() {
        let (keys, token) = (keys(), CookieKeys::new_token());
        let own = pair(&keys, &token, false, NOW);
        for (before, after) in [
            (&b"who=Jos\xe9; "[..], &b""[..]),
            (b"", b"; who=Jos\xc3\xa9"),
            (b"a=\"{\\\"x\\\":1}\"; =; ;b; ", b";c=%zz"),
            (b"xupload_session=1; upload_session2=2; ", b""),
            (b"upload_session=forged; ", b"; upload_session="),
        ] {
            let line = [before, own.as_bytes(), after].concat();
            assert_eq!(read(&keys, &[&line], NOW), Some(token.clone()), "{line:?}");
        }
        let lines = [&b"who=Jos\xe9"[..], own.as_bytes()];
        assert_eq!(read(&keys, &lines, NOW), Some(token));
    }

    #[test]
    fn two_sessions_in_one_request_are_none() {
        let keys = keys();
        let tokens = [CookieKeys::new_token(), CookieKeys::new_token()];
        let pairs = tokens
            .each_ref()
            .map(|token| pair(&keys, token, false, NOW));
        let line = pairs.join("; ");
        assert_eq!(read(&keys, &[line.as_bytes()], NOW), None);
        let lines = pairs.each_ref().map(|pair| pair.as_bytes());
        assert_eq!(read(&keys, &lines, NOW), None);
        let twice = [pairs[0].as_bytes(), pairs[0].as_bytes()];
        assert_eq!(read(&keys, &twice, NOW), Some(tokens[0].clone()));
    }

    #[test]
    fn an_old_cookie_is_due_and_an_expired_one_is_invalid() {
        let (keys, token) = (keys(), CookieKeys::new_token());
        let own = pair(&keys, &token, false, NOW);
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::from_str(&own).expect("text"));
        let due = |now_s| {
            keys.read(&headers, false, now_s)
                .map(|session| session.is_due)
        };
        assert_eq!(due(NOW), Some(false));
        assert_eq!(due(NOW + DAY), Some(true));
        assert_eq!(due(NOW + 29 * DAY), Some(true));
        assert_eq!(due(NOW + 30 * DAY), None);
        assert_eq!(due(NOW - 60), Some(false), "another node's clock");
        assert_eq!(due(NOW - DAY), None);
    }

    #[test]
    fn an_old_key_reads_and_the_new_one_signs() {
        let (old, token) = (keys(), CookieKeys::new_token());
        let own = pair(&old, &token, false, NOW);
        let both = CookieKeys::new(&[8; 32], [&[7; 32][..]]);
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::from_str(&own).expect("text"));
        let session = both.read(&headers, false, NOW).expect("known");
        assert_eq!(
            (session.token.as_str(), session.is_due),
            (token.as_str(), true)
        );
        let renewed = pair(&both, &token, false, NOW);
        assert_eq!(read(&old, &[renewed.as_bytes()], NOW), None);
        assert_eq!(
            read(&CookieKeys::new(&[8; 32], []), &[own.as_bytes()], NOW),
            None
        );
    }

    #[test]
    fn forged_foreign_and_misplaced_cookies_are_invalid() {
        let (keys, token) = (keys(), CookieKeys::new_token());
        let own = pair(&keys, &token, false, NOW);
        let value = own.split_once('=').expect("a pair").1;
        let later = value.replace(&NOW.to_string(), &(NOW + 1).to_string());
        let other = value.replacen(&token, &CookieKeys::new_token(), 1);
        for cookie in [
            format!("{NAME}={token}"),
            format!("{NAME}={later}"),
            format!("{NAME}={other}"),
            format!("{NAME}=\"{value}\""),
            format!("{NAME}={}", value.to_uppercase()),
            format!("{NAME}={value}."),
            format!("{NAME}={}", &value[..value.len() - 1]),
            format!("{HOST_NAME}={value}"),
            pair(&keys, &token, true, NOW).replace(HOST_NAME, NAME),
        ] {
            assert_eq!(read(&keys, &[cookie.as_bytes()], NOW), None, "{cookie}");
        }
    }

    #[test]
    fn a_secure_cookie_can_only_come_from_this_host() {
        let (keys, token) = (keys(), CookieKeys::new_token());
        let cookie = keys.issue(&token, true, NOW).expect("a cookie");
        let cookie = cookie.to_str().expect("text");
        assert!(cookie.starts_with("__Host-upload_session="), "{cookie}");
        for attribute in [
            "Secure",
            "HttpOnly",
            "SameSite=Lax",
            "Path=/",
            "Max-Age=2592000",
        ] {
            assert!(cookie.split("; ").any(|part| part == attribute), "{cookie}");
        }
        assert!(!cookie.contains("Domain"));
        let planted = pair(&keys, &token, false, NOW);
        let mut headers = HeaderMap::new();
        headers.insert(
            header::COOKIE,
            HeaderValue::from_str(&planted).expect("text"),
        );
        assert_eq!(keys.read(&headers, true, NOW), None);
    }
}
