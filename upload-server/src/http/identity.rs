//! Who a connection belongs to: the application's answer, or a signed cookie.

use std::{
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header, request::Parts};
use upload_stores::OWNER_BYTES_MAX;

#[cfg(feature = "cli")]
use super::visitor::NotAllowed;
use super::{
    forwarded::Transport,
    session_cookie::{CookieKeys, Session},
    visitor::SignIn,
};
use crate::slots::{handlers::BoxFuture, timeouts};

/// When a client comes back where nothing can be found out, in seconds.
const RETRY_AFTER_SECONDS: u64 = 5;

/// Bytes a secret needs at least.
pub(crate) const SECRET_BYTES_MIN: usize = 32;

/// What owners made by the cookie begin with, so that they differ from the application's.
const SESSION: &str = "session:";

/// Beginnings of owners that no application may give: one of them would be a visitor's.
const RESERVED: [&str; 2] = [SESSION, "cap:"];

/// The application's answer to who sent a request; `None` leaves it to the cookie.
///
/// It gives the request back, to which it may have added what it found out.
pub(crate) type OwnerOf =
    Arc<dyn Fn(Parts) -> BoxFuture<(Parts, Result<Option<String>, NoOwner>)> + Send + Sync>;

/// Why a request has no owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoOwner {
    /// The application knows that it has none.
    Unauthenticated,
    /// The application could not say; the request is answered with this status.
    Failed(StatusCode),
}

impl IntoResponse for NoOwner {
    fn into_response(self) -> Response {
        match self {
            Self::Unauthenticated => StatusCode::UNAUTHORIZED.into_response(),
            Self::Failed(status @ StatusCode::SERVICE_UNAVAILABLE) => {
                let retry_after = [(header::RETRY_AFTER, RETRY_AFTER_SECONDS.to_string())];
                (status, retry_after).into_response()
            }
            Self::Failed(status) => status.into_response(),
        }
    }
}

/// The request belongs to nobody: it is answered with 401, a WebSocket is closed with 4401.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request carries no identity")]
pub struct Unauthenticated;

/// The owner of a request of a test, in its extensions; no client can put it there.
#[cfg(feature = "testing")]
#[derive(Clone)]
pub(crate) struct TestOwner(pub(crate) String);

/// Tells who requests belong to.
#[derive(Clone)]
pub(crate) struct OwnerResolver {
    pub(crate) keys: CookieKeys,
    pub(crate) owner_of: Option<OwnerOf>,
    /// How requests come; cookies are `Secure` where it is by HTTPS.
    pub(crate) transport: Transport,
}

/// Who a request belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) owner: String,
    /// The cookie that must go with the answer, if it was just made.
    pub(crate) set_cookie: Option<HeaderValue>,
}

impl OwnerResolver {
    /// Identifies a request; an unknown one gets a new owner and its cookie, and an old cookie is
    /// issued anew.
    pub(crate) async fn identify(&self, parts: &mut Parts) -> Result<Identity, NoOwner> {
        match self.named(parts).await? {
            Some(owner) => Ok(Identity::named(owner)),
            None => Ok(self.visitor(parts, now_s())),
        }
    }

    /// Identifies a request by its cookie.
    fn visitor(&self, parts: &Parts, now_s: u64) -> Identity {
        let is_secure = self.transport.is_https(parts);
        let session = self.keys.read(&parts.headers, is_secure, now_s);
        let session = session.unwrap_or_else(|| Session {
            token: CookieKeys::new_token(),
            is_due: true,
        });
        let cookie = || self.keys.issue(&session.token, is_secure, now_s);
        Identity {
            owner: format!("{SESSION}{}", session.token),
            set_cookie: session.is_due.then(cookie).flatten(),
        }
    }

    /// Identifies a request without making anything new.
    pub(crate) async fn recognise(&self, parts: &mut Parts) -> Result<Option<Identity>, NoOwner> {
        if let Some(owner) = self.named(parts).await? {
            return Ok(Some(Identity::named(owner)));
        }
        let is_secure = self.transport.is_https(parts);
        let session = self.keys.read(&parts.headers, is_secure, now_s());
        Ok(session.map(|session| Identity::named(format!("{SESSION}{}", session.token))))
    }

    /// Returns whom the application says a request belongs to.
    async fn named(&self, parts: &mut Parts) -> Result<Option<String>, NoOwner> {
        #[cfg(feature = "testing")]
        if let Some(TestOwner(owner)) = parts.extensions.get() {
            return Ok(Some(owner.clone()));
        }
        #[cfg(feature = "cli")]
        if parts.extensions.get::<NotAllowed>().is_some() {
            return Err(NoOwner::Failed(StatusCode::FORBIDDEN));
        }
        match SignIn::of(parts) {
            Some(SignIn::Visitor(visitor)) => return checked(visitor.owner().to_owned()).map(Some),
            Some(SignIn::Unauthenticated) => return Err(NoOwner::Unauthenticated),
            Some(SignIn::Unavailable) => {
                return Err(NoOwner::Failed(StatusCode::SERVICE_UNAVAILABLE));
            }
            None => {}
        }
        let Some(owner_of) = self.owner_of.clone() else {
            return Ok(None);
        };
        let asked = std::mem::replace(parts, http::Request::new(()).into_parts().0);
        // The closure itself may panic before there is a future.
        let answer = timeouts::of_authorize(async move { owner_of(asked).await }).await;
        let (asked, owner) = answer.map_err(|why| {
            tracing::error!(why, "the owner extractor did not answer");
            NoOwner::Failed(StatusCode::SERVICE_UNAVAILABLE)
        })?;
        *parts = asked;
        let Some(owner) = owner? else {
            return Ok(None);
        };
        checked(owner).map(Some)
    }
}

/// Returns an owner that can be one.
fn checked(owner: String) -> Result<String, NoOwner> {
    // Such an owner could not key a record; it belongs to nobody rather than to all like it.
    if owner.is_empty() || owner.len() > OWNER_BYTES_MAX {
        tracing::warn!(
            bytes = owner.len(),
            "the owner extractor gave an unusable owner"
        );
        return Err(NoOwner::Unauthenticated);
    }
    if let Some(reserved) = RESERVED.iter().find(|begin| owner.starts_with(**begin)) {
        tracing::warn!(
            reserved,
            "the owner extractor gave an owner that is a visitor's"
        );
        return Err(NoOwner::Unauthenticated);
    }
    Ok(owner)
}

impl Identity {
    fn named(owner: String) -> Self {
        Self {
            owner,
            set_cookie: None,
        }
    }
}

/// Returns the seconds since 1970.
fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

impl fmt::Debug for OwnerResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnerResolver").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::{super::forwarded::Proxies, *};

    fn identity() -> OwnerResolver {
        OwnerResolver {
            keys: CookieKeys::new(&[7; SECRET_BYTES_MIN], []),
            owner_of: None,
            transport: Transport::default(),
        }
    }

    fn request(headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri("/uploads/ws");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    fn first_contact(identity: &OwnerResolver, headers: &[(&str, &str)]) -> (String, String) {
        let who = identity.visitor(&request(headers), now_s());
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
        let again = identity.visitor(&request(&[("cookie", pair(&cookie))]), now_s());
        assert_eq!(again.owner, owner);
        assert_eq!(again.set_cookie, None);
        assert_ne!(first_contact(&identity, &[]).0, owner);
    }

    #[test]
    fn secure_follows_a_trusted_proxy_only() {
        let https = [("x-forwarded-proto", "https")];
        let mut identity = identity();
        assert!(!first_contact(&identity, &https).1.contains("Secure"));
        identity.transport.proxies = Proxies::Peer;
        assert!(first_contact(&identity, &https).1.contains("Secure"));
        assert!(!first_contact(&identity, &[]).1.contains("Secure"));
        let spoofed = [("x-forwarded-proto", "https, http")];
        assert!(!first_contact(&identity, &spoofed).1.contains("Secure"));
        identity.transport.is_secure = true;
        assert!(first_contact(&identity, &[]).1.contains("Secure"));
    }

    #[test]
    fn a_daily_visitor_stays_the_same_owner() {
        const DAY: u64 = 24 * 60 * 60;
        let identity = identity();
        let (owner, cookie) = first_contact(&identity, &[]);
        let mut cookie = pair(&cookie).to_owned();
        for day in 1..=90 {
            let parts = request(&[("cookie", &cookie)]);
            let who = identity.visitor(&parts, now_s() + day * DAY);
            assert_eq!(who.owner, owner, "day {day}");
            let renewed = who.set_cookie.expect("renewed once a day");
            cookie = pair(renewed.to_str().expect("text")).to_owned();
        }
    }

    fn answering(answer: fn(&Parts) -> Result<Option<String>, NoOwner>) -> OwnerResolver {
        OwnerResolver {
            owner_of: Some(Arc::new(move |parts| {
                let owner = answer(&parts);
                Box::pin(async move { (parts, owner) })
            })),
            ..identity()
        }
    }

    #[tokio::test]
    async fn the_applications_answer_goes_before_the_cookie() {
        let identity = answering(|parts| match parts.headers.get("x-user") {
            None => Ok(None),
            Some(user) if user == "banned" => Err(NoOwner::Unauthenticated),
            Some(user) => Ok(user.to_str().ok().map(str::to_owned)),
        });
        let of = async |user: &str| identity.identify(&mut request(&[("x-user", user)])).await;
        let alice = of("alice").await.expect("known");
        assert_eq!((&*alice.owner, alice.set_cookie), ("alice", None));
        assert_eq!(of("banned").await, Err(NoOwner::Unauthenticated));
        assert!(of("").await.is_err());
        assert!(of(&"x".repeat(OWNER_BYTES_MAX)).await.is_ok());
        assert!(of(&"x".repeat(OWNER_BYTES_MAX + 1)).await.is_err());
        assert!(of("session:0123").await.is_err() && of("cap:x").await.is_err());
        let visitor = identity
            .identify(&mut request(&[]))
            .await
            .expect("a session");
        assert!(visitor.owner.starts_with(SESSION) && visitor.set_cookie.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn an_application_that_cannot_say_makes_no_owner_a_stranger() {
        let hanging: OwnerOf = Arc::new(|_| Box::pin(std::future::pending()));
        let panicking: OwnerOf = Arc::new(|_| panic!("before there is a future"));
        let unavailable = Err(NoOwner::Failed(StatusCode::SERVICE_UNAVAILABLE));
        for owner_of in [hanging, panicking] {
            let identity = OwnerResolver {
                owner_of: Some(owner_of),
                ..identity()
            };
            assert_eq!(identity.identify(&mut request(&[])).await, unavailable);
        }
    }
}
