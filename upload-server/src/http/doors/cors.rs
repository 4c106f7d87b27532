//! What pages of other origins may change, send and read (Fetch, "CORS protocol").

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

use crate::http::{
    forwarded::Scheme,
    origin::{Origins, Refused},
};

/// What pages may read of every answer.
const EXPOSED: &str = "Location, Tus-Resumable, Tus-Version, Tus-Extension, Tus-Max-Size, \
    Tus-Checksum-Algorithm, Upload-Offset, Upload-Length, Upload-Metadata, Upload-Defer-Length, \
    Upload-Concat, Upload-Expires, Upload-Complete, Upload-Limit, Upload-Draft-Interop-Version, \
    Upload-Code, Upload-Result, Retry-After, X-Request-ID";

const METHODS: &str = "POST, HEAD, PATCH, PUT, DELETE, GET";

const HEADERS: &str = "Authorization, Content-Type, Content-Digest, Repr-Digest, \
    Content-Disposition, Tus-Resumable, Upload-Offset, Upload-Length, Upload-Metadata, \
    Upload-Defer-Length, Upload-Concat, Upload-Checksum, Upload-Complete, Upload-Limit, \
    Upload-Draft-Interop-Version, Upload-Client-Id, X-HTTP-Method-Override, X-Request-ID, X-Requested-With";

/// How long a browser remembers the answer to a preflight, in seconds.
const MAX_AGE: &str = "86400";

/// What a page may do with the answers to its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readable {
    /// It may read them.
    Plainly,
    /// And its requests may carry cookies.
    WithCredentials,
}

impl Origins {
    /// Checks a request that changes something, as forms and scripts of any page can send it.
    ///
    /// Beyond [`Origins::check`], a browser that says `Sec-Fetch-Site: same-origin` is believed about a
    /// page whose origin is opaque, and one that says `cross-site` has to name an origin.
    pub(crate) fn check_change(
        &self,
        headers: &HeaderMap,
        uri: &Uri,
        scheme: Option<Scheme>,
    ) -> Result<(), Refused> {
        let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let origin = origins.next().map(HeaderValue::as_bytes);
        match (origin, site) {
            (Some(b"null"), Some(b"same-origin")) if origins.next().is_none() => Ok(()),
            (None, Some(b"cross-site" | b"same-site")) => Err(Refused),
            _ => self.check(headers, uri, scheme),
        }
    }

    /// Returns what the page that sent a request may do with the answer; `None` for pages that are not
    /// allowed, and for requests of no page.
    pub(crate) fn readable(
        &self,
        headers: &HeaderMap,
        uri: &Uri,
        scheme: Option<Scheme>,
    ) -> Option<Readable> {
        headers.get(header::ORIGIN)?;
        self.check(headers, uri, scheme).ok()?;
        Some(match self.are_any() {
            true => Readable::Plainly,
            false => Readable::WithCredentials,
        })
    }
}

/// Lets the page that asked read an answer.
pub(super) fn expose(headers: &mut HeaderMap, origin: HeaderValue, readable: Readable) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    if readable == Readable::WithCredentials {
        set(headers, header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
    }
    set(headers, header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
}

/// Lets the page that asks send what clients send.
pub(super) fn allow(headers: &mut HeaderMap) {
    set(headers, header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    set(headers, header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
    set(headers, header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}
