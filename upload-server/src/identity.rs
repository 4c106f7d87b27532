//! Who a connection belongs to: the application's answer, or a signed cookie.

use std::{fmt, sync::Arc, time::Duration};

use axum::response::IntoResponse;
use axum_extra::extract::cookie::{Cookie, Key, SameSite, SignedCookieJar};
use http::{HeaderMap, HeaderValue, header, request::Parts};
use upload_stores::OWNER_BYTES_MAX;
use uuid::Uuid;

/// Name of the cookie that carries the owner of whoever is not signed in.
pub(crate) const COOKIE: &str = "upload_session";

/// Bytes a secret needs at least.
pub(crate) const SECRET_BYTES_MIN: usize = 32;

/// How long the cookie lives: 30 days.
const COOKIE_LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What owners made by the cookie begin with, so that they differ from the application's.
const SESSION: &str = "session:";

/// The application's answer to who sent a request; `None` leaves it to the cookie.
pub(crate) type OwnerOf =
    Arc<dyn Fn(&Parts) -> Result<Option<String>, Unauthenticated> + Send + Sync>;

/// The request belongs to nobody: it is answered with 401, a WebSocket is closed with 4401.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request carries no identity")]
pub struct Unauthenticated;

/// Tells who requests belong to.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) key: Key,
    pub(crate) owner_of: Option<OwnerOf>,
    /// Whether `X-Forwarded-Proto` is a proxy's word and not anybody's.
    pub(crate) trust_proxy: bool,
    /// Whether every cookie is `Secure`, however the request came.
    pub(crate) secure_cookie: bool,
}

/// Who a request belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) owner: String,
    /// The cookie that must go with the answer, if it was just made.
    pub(crate) set_cookie: Option<HeaderValue>,
}

impl Identity {
    /// Identifies a request; one that nobody knows gets a new owner and its cookie.
    pub(crate) fn identify(&self, parts: &Parts) -> Result<Who, Unauthenticated> {
        if let Some(who) = self.recognise(parts)? {
            return Ok(who);
        }
        let token = Uuid::new_v4().simple().to_string();
        Ok(Who {
            owner: format!("{SESSION}{token}"),
            set_cookie: self.cookie(token, parts),
        })
    }

    /// Identifies a request without making anything new.
    pub(crate) fn recognise(&self, parts: &Parts) -> Result<Option<Who>, Unauthenticated> {
        if let Some(owner_of) = &self.owner_of
            && let Some(owner) = owner_of(parts)?
        {
            // Such an owner could not key a record; it belongs to nobody rather than to all like it.
            if owner.is_empty() || owner.len() > OWNER_BYTES_MAX {
                tracing::warn!(
                    bytes = owner.len(),
                    "the owner extractor gave an unusable owner"
                );
                return Err(Unauthenticated);
            }
            return Ok(Some(Who {
                owner,
                set_cookie: None,
            }));
        }
        let jar = SignedCookieJar::from_headers(&parts.headers, self.key.clone());
        Ok(jar.get(COOKIE).map(|cookie| Who {
            owner: format!("{SESSION}{}", cookie.value()),
            set_cookie: None,
        }))
    }

    #[expect(clippy::expect_used, reason = "30 days are in range of any clock")]
    fn cookie(&self, token: String, parts: &Parts) -> Option<HeaderValue> {
        let cookie = Cookie::build((COOKIE, token))
            .path("/")
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(self.secure_cookie || self.is_https(parts))
            .max_age(COOKIE_LIFE.try_into().expect("30 days are in range"));
        let jar = SignedCookieJar::new(self.key.clone()).add(cookie);
        jar.into_response()
            .headers()
            .get(header::SET_COOKIE)
            .cloned()
    }

    fn is_https(&self, parts: &Parts) -> bool {
        let forwarded = |headers: &HeaderMap| {
            let value = headers.get("x-forwarded-proto")?.to_str().ok()?;
            // The proxy next to us appends its word to what came from outside.
            Some(
                value
                    .rsplit(',')
                    .next()?
                    .trim()
                    .eq_ignore_ascii_case("https"),
            )
        };
        parts.uri.scheme_str() == Some("https")
            || self.trust_proxy && forwarded(&parts.headers).unwrap_or(false)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn identity() -> Identity {
        Identity {
            key: Key::derive_from(&[7; SECRET_BYTES_MIN]),
            owner_of: None,
            trust_proxy: false,
            secure_cookie: false,
        }
    }

    fn request(headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri("/uploads/ws");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    fn first_contact(identity: &Identity, headers: &[(&str, &str)]) -> (String, String) {
        let who = identity.identify(&request(headers)).expect("anybody");
        let cookie = who.set_cookie.expect("a new cookie");
        (who.owner, cookie.to_str().expect("text").to_owned())
    }

    fn pair(cookie: &str) -> &str {
        cookie.split(';').next().expect("a pair")
    }

    #[test]
    fn first_contact_makes_a_cookie_that_is_recognised() {
        let identity = identity();
        let (owner, cookie) = first_contact(&identity, &[]);
        for attribute in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=2592000"] {
            assert!(cookie.split("; ").any(|part| part == attribute), "{cookie}");
        }
        assert!(!cookie.contains("Secure"));
        let again = identity
            .identify(&request(&[("cookie", pair(&cookie))]))
            .expect("known");
        assert_eq!(again.owner, owner);
        assert_eq!(again.set_cookie, None);
        assert_ne!(first_contact(&identity, &[]).0, owner);
    }

    #[test]
    fn a_forged_or_foreign_cookie_is_nobodys() {
        let (owner, cookie) = first_contact(&identity(), &[]);
        let forged = pair(&cookie).replacen('a', "b", 1).replacen('1', "2", 1);
        let unsigned = format!("{COOKIE}={}", owner.trim_start_matches(SESSION));
        let mut other = identity();
        other.key = Key::derive_from(&[8; SECRET_BYTES_MIN]);
        for (identity, cookie) in [
            (&identity(), forged.as_str()),
            (&identity(), &unsigned),
            (&other, pair(&cookie)),
        ] {
            let who = identity
                .identify(&request(&[("cookie", cookie)]))
                .expect("anybody");
            assert_ne!(who.owner, owner);
            assert!(who.set_cookie.is_some());
        }
    }

    #[test]
    fn secure_follows_a_trusted_proxy_only() {
        let https = [("x-forwarded-proto", "https")];
        let mut identity = identity();
        assert!(!first_contact(&identity, &https).1.contains("Secure"));
        identity.trust_proxy = true;
        assert!(first_contact(&identity, &https).1.contains("Secure"));
        assert!(!first_contact(&identity, &[]).1.contains("Secure"));
        let spoofed = [("x-forwarded-proto", "https, http")];
        assert!(!first_contact(&identity, &spoofed).1.contains("Secure"));
        identity.secure_cookie = true;
        assert!(first_contact(&identity, &[]).1.contains("Secure"));
    }

    #[test]
    fn the_applications_answer_goes_before_the_cookie() {
        let mut identity = identity();
        identity.owner_of = Some(Arc::new(|parts| match parts.headers.get("x-user") {
            None => Ok(None),
            Some(user) if user == "banned" => Err(Unauthenticated),
            Some(user) => Ok(user.to_str().ok().map(str::to_owned)),
        }));
        let of = |user: &str| identity.identify(&request(&[("x-user", user)]));
        assert_eq!(of("alice").map(|who| who.owner), Ok("alice".to_owned()));
        assert!(of("alice").is_ok_and(|who| who.set_cookie.is_none()));
        assert_eq!(of("banned").map(|who| who.owner), Err(Unauthenticated));
        assert!(of("").is_err());
        assert!(of(&"x".repeat(OWNER_BYTES_MAX)).is_ok());
        assert!(of(&"x".repeat(OWNER_BYTES_MAX + 1)).is_err());
        let anybody = identity.identify(&request(&[])).expect("a session");
        assert!(anybody.owner.starts_with(SESSION) && anybody.set_cookie.is_some());
    }
}
