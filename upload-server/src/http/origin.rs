//! Which web pages may open a socket (PROTOCOL CONN-1).

use std::fmt;

use http::{HeaderMap, Uri, header, uri::Authority};
use thiserror::Error;

use super::forwarded::Scheme;

/// The pages that may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origins {
    allowed: Allowed,
    /// Whether a request that names no origin, and so is not a browser's, is refused.
    required: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Allowed {
    /// Host and port of the `Host` header.
    SameHost,
    Any,
    Listed(Vec<Origin>),
}

/// A list of origins holds something that is not one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is not an origin such as \"https://example.org\"")]
pub struct BadOrigin(pub String);

/// The page may not connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

impl Origins {
    /// Reads the list: empty for the same host, `"*"` for any.
    ///
    /// # Errors
    ///
    /// An entry is neither `"*"` nor a scheme, a host and perhaps a port; the scheme may be an app's own,
    /// such as `capacitor://localhost`.
    pub(crate) fn new(list: &[String], required: bool) -> Result<Self, BadOrigin> {
        let allowed = if list.is_empty() {
            Allowed::SameHost
        } else if list.iter().any(|origin| origin == "*") {
            Allowed::Any
        } else {
            let parse = |text: &String| Origin::parse(text).ok_or_else(|| BadOrigin(text.clone()));
            Allowed::Listed(list.iter().map(parse).collect::<Result<_, _>>()?)
        };
        Ok(Self { allowed, required })
    }

    /// Returns whether every page may connect.
    #[cfg(feature = "doors")]
    pub(crate) fn are_any(&self) -> bool {
        self.allowed == Allowed::Any
    }

    /// Checks the `Origin` of a request.
    ///
    /// The opaque origin `null` is never welcome: a sandboxed frame of any page has it.
    ///
    /// `scheme` is how the request came, where that is known.
    /// Says which pages may come in.
    pub(crate) fn expected(&self) -> String {
        match &self.allowed {
            Allowed::SameHost => "the host that was asked, or one of allowed_origins".to_owned(),
            Allowed::Any => "any origin, and one only".to_owned(),
            Allowed::Listed(list) => {
                let list: Vec<_> = list.iter().map(ToString::to_string).collect();
                format!("one of allowed_origins: {}", list.join(", "))
            }
        }
    }

    pub(crate) fn check(
        &self,
        headers: &HeaderMap,
        uri: &Uri,
        scheme: Option<Scheme>,
    ) -> Result<(), Refused> {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let Some(origin) = origins.next() else {
            return if self.required { Err(Refused) } else { Ok(()) };
        };
        if origins.next().is_some() {
            return Err(Refused);
        }
        let origin = origin
            .to_str()
            .ok()
            .and_then(Origin::parse)
            .ok_or(Refused)?;
        let welcome = match &self.allowed {
            Allowed::Any => true,
            Allowed::Listed(list) => list.contains(&origin),
            Allowed::SameHost => {
                host_of(headers, uri).is_some_and(|host| origin.is_at(&host, scheme))
            }
        };
        if welcome { Ok(()) } else { Err(Refused) }
    }
}

/// Returns where the request was sent to, as the client named it.
pub(crate) fn host_of(headers: &HeaderMap, uri: &Uri) -> Option<Authority> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let authority = match hosts.next() {
        Some(host) => host.to_str().ok()?.parse().ok()?,
        None => uri.authority()?.clone(),
    };
    hosts.next().is_none().then_some(authority)
}

/// A scheme, a host and a port (RFC 6454).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    /// In lower case.
    scheme: String,
    /// In lower case, without a final dot.
    host: String,
    /// That of the scheme where it is left out; `None` for schemes without one, as those of apps.
    port: Option<u16>,
}

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        if !scheme.starts_with(|first: char| first.is_ascii_lowercase())
            || !scheme.bytes().all(is_part)
        {
            return None;
        }
        let (host, port) = split(&rest.parse().ok()?)?;
        let port = port.or_else(|| default_port(&scheme));
        Some(Self { scheme, host, port })
    }

    /// Returns whether the page came from `authority`; a port left out there is the default of this
    /// origin's scheme. Where the request is known to have come by another scheme, it did not.
    fn is_at(&self, authority: &Authority, scheme: Option<Scheme>) -> bool {
        let Some(default) = default_port(&self.scheme) else {
            return false;
        };
        let is_known_other = scheme.is_some_and(|scheme| name(scheme) != self.scheme);
        !is_known_other
            && split(authority).is_some_and(|(host, port)| {
                host == self.host && Some(port.unwrap_or(default)) == self.port
            })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        match self.port {
            Some(port) if Some(port) != default_port(&self.scheme) => write!(f, ":{port}"),
            _ => Ok(()),
        }
    }
}

fn name(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// Returns the host, made comparable, and the port of an authority without user information.
pub(super) fn split(authority: &Authority) -> Option<(String, Option<u16>)> {
    let text = authority.as_str();
    let host = authority.host();
    let port = match text.strip_prefix(host)? {
        "" => None,
        rest => Some(rest.strip_prefix(':')?.parse().ok()?),
    };
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    (!host.is_empty()).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn check(allowed: &[&str], required: bool, host: &str, origin: Option<&str>) -> bool {
        let allowed: Vec<_> = allowed.iter().map(|&text| text.to_owned()).collect();
        let origins = Origins::new(&allowed, required).expect("a good list");
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(host).expect("host"));
        if let Some(origin) = origin {
            headers.insert(
                header::ORIGIN,
                HeaderValue::from_str(origin).expect("origin"),
            );
        }
        origins
            .check(&headers, &Uri::from_static("/uploads/ws"), None)
            .is_ok()
    }

    /// CONN-1: with an empty list, host and port of `Host` decide.
    #[test]
    fn conn_1_the_same_host_and_port() {
        for (host, origin, welcome) in [
            ("localhost:8080", "http://localhost:8080", true),
            ("LocalHost:8080", "HTTP://localhost:8080", true),
            ("localhost:8080", "http://localhost:8081", false),
            ("localhost:8080", "http://localhost", false),
            ("localhost:8080", "http://127.0.0.1:8080", false),
            ("example.org", "https://example.org", true),
            ("example.org", "http://example.org", true),
            ("example.org.", "https://example.org", true),
            ("example.org:443", "https://example.org", true),
            ("example.org:80", "http://example.org", true),
            ("example.org", "https://example.org:443", true),
            ("example.org:80", "https://example.org", false),
            ("example.org", "https://example.org:8443", false),
            ("example.org", "https://example.org.evil.net", false),
            ("example.org", "https://evil.net", false),
            ("example.org", "https://sub.example.org", false),
            ("example.org", "https://example.org@evil.net", false),
            ("example.org", "https://evil.net@example.org", false),
            ("example.org", "https://example.org/", false),
            ("example.org", "https://example.org/path", false),
            ("example.org", "https://example.org:99999", false),
            ("example.org", "https://example.org:", false),
            ("example.org", "file://example.org", false),
            ("example.org", "chrome-extension://example.org", false),
            ("example.org", "example.org", false),
            ("example.org", "null", false),
            ("example.org", "", false),
            ("[::1]:8080", "http://[::1]:8080", true),
            ("[::1]", "https://[::1]", true),
            ("[::1]:8080", "http://[::2]:8080", false),
        ] {
            assert_eq!(
                check(&[], false, host, Some(origin)),
                welcome,
                "{host} {origin}"
            );
        }
    }

    /// CONN-1: a list names the origins whole, `"*"` is any; `null` is neither's.
    #[test]
    fn conn_1_listed_and_any() {
        let list = ["https://example.org", "http://localhost:3000"];
        for (allowed, origin, welcome) in [
            (&list[..], "https://example.org", true),
            (&list, "https://EXAMPLE.org:443", true),
            (&list, "http://example.org", false),
            (&list, "http://localhost:3000", true),
            (&list, "http://localhost", false),
            (&list, "https://own.host", false),
            (&list, "null", false),
            (&["*"], "https://any.example", true),
            (&["https://example.org", "*"], "http://any.example:99", true),
            (&["*"], "null", false),
        ] {
            assert_eq!(
                check(allowed, false, "own.host", Some(origin)),
                welcome,
                "{allowed:?} {origin}"
            );
        }
    }

    /// CONN-1: apps have schemes of their own, which a list names and `"*"` lets in.
    #[test]
    fn conn_1_schemes_of_apps() {
        let list = [
            "capacitor://localhost",
            "TAURI://LocalHost.",
            "ionic://localhost",
            "chrome-extension://abcdefghijklmnop",
            "app://host:8080",
        ];
        for (allowed, origin, welcome) in [
            (&list[..], "capacitor://localhost", true),
            (&list, "tauri://localhost", true),
            (&list, "ionic://localhost", true),
            (&list, "chrome-extension://abcdefghijklmnop", true),
            (&list, "app://host:8080", true),
            (&list, "app://host", false),
            (&list, "capacitor://localhost:80", false),
            (&list, "capacitor://other", false),
            (&list, "http://localhost", false),
            (&list, "moz-extension://abcdefghijklmnop", false),
            (&["*"], "capacitor://localhost", true),
            (&["*"], "chrome-extension://abcdefghijklmnop", true),
            (&["*"], "capacitor://", false),
            (&["*"], "://localhost", false),
            (&["*"], "capacitor://localhost/", false),
            (&["*"], "null", false),
            (&[], "capacitor://localhost", false),
        ] {
            assert_eq!(
                check(allowed, false, "localhost", Some(origin)),
                welcome,
                "{allowed:?} {origin}"
            );
        }
    }

    /// CONN-1: a page that came by HTTP is not the same as one that came by HTTPS.
    #[test]
    fn conn_1_the_scheme_is_compared_where_it_is_known() {
        let origins = Origins::new(&[], false).expect("a good list");
        let allows = |origin: &'static str, scheme| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("app.example"));
            headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            origins
                .check(&headers, &Uri::from_static("/"), scheme)
                .is_ok()
        };
        assert!(allows("https://app.example", Some(Scheme::Https)));
        assert!(!allows("http://app.example", Some(Scheme::Https)));
        assert!(allows("http://app.example", Some(Scheme::Http)));
        assert!(!allows("https://app.example", Some(Scheme::Http)));
        assert!(allows("http://app.example", None) && allows("https://app.example", None));
    }

    /// CONN-1: no `Origin` is no browser, which is welcome unless one is required.
    #[test]
    fn conn_1_no_origin() {
        assert!(check(&[], false, "own.host", None));
        assert!(check(&["https://example.org"], false, "own.host", None));
        assert!(!check(&[], true, "own.host", None));
        assert!(!check(&["*"], true, "own.host", None));
    }

    #[test]
    fn two_origins_or_hosts_are_refused() {
        let origins = Origins::new(&[], false).expect("a good list");
        let mut headers = HeaderMap::new();
        headers.append(header::HOST, HeaderValue::from_static("a.org"));
        headers.append(header::ORIGIN, HeaderValue::from_static("http://a.org"));
        assert!(
            origins
                .check(&headers, &Uri::from_static("/"), None)
                .is_ok()
        );
        headers.append(header::HOST, HeaderValue::from_static("b.org"));
        assert!(
            origins
                .check(&headers, &Uri::from_static("/"), None)
                .is_err()
        );
        headers.insert(header::HOST, HeaderValue::from_static("a.org"));
        headers.append(header::ORIGIN, HeaderValue::from_static("http://a.org"));
        assert!(
            origins
                .check(&headers, &Uri::from_static("/"), None)
                .is_err()
        );
    }

    #[test]
    fn bad_lists_are_named() {
        for text in [
            "example.org",
            "https://",
            "https://a/b",
            "null",
            "file://",
            "capacitor:localhost",
            "1app://localhost",
            "a b://localhost",
            "",
        ] {
            let bad = Origins::new(&[text.to_owned()], false);
            assert_eq!(bad, Err(BadOrigin(text.to_owned())));
        }
    }
}
