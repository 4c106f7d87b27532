//! Which names the server answers to: the rule against DNS rebinding (PROTOCOL CONN-1).
//!
//! A page of an attacker can have its own name resolve to an address of ours, loopback included; the browser
//! then takes us for that page's own server.
//! `Host` has the name it asked for, so a request for a name that is not ours is answered with 421.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, Uri, uri::Authority};
use thiserror::Error;

#[cfg(feature = "doors")]
use super::{
    doors::call::awaits_asking,
    visit::{Rest, rest::Drains},
};
use super::{
    forwarded::Transport,
    origin::{host_of, split},
};
use crate::server::log_limit::LogLimit;

/// A list of hosts holds something that is not one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is not a host such as \"uploads.example.org\"")]
pub struct BadHost(pub String);

/// The names that the server answers to, besides IP addresses, `localhost` and names below it, which no
/// attacker can have point anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AllowedHosts(Arc<[String]>);

impl AllowedHosts {
    /// Reads the list.
    ///
    /// # Errors
    ///
    /// An entry is not a host, without scheme and port.
    pub(crate) fn new(list: &[String]) -> Result<Self, BadHost> {
        let parse = |text: &String| {
            let host = text.parse::<Authority>().ok().and_then(|host| split(&host));
            match host {
                Some((host, None)) => Ok(host),
                _ => Err(BadHost(text.clone())),
            }
        };
        list.iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// Returns whether the request names a host that the server answers to.
    pub(crate) fn allows(&self, headers: &HeaderMap, uri: &Uri) -> bool {
        let host = host_of(headers, uri).and_then(|host| split(&host));
        host.is_some_and(|(host, _)| is_own(&host) || self.0.contains(&host))
    }

    /// Has a router answer 421 to requests for other hosts, on every route and for what is no route.
    pub(crate) fn guard(&self, router: Router, transport: &Transport) -> Router {
        let guard = Guard {
            hosts: self.clone(),
            transport: transport.clone(),
            #[cfg(feature = "doors")]
            drains: Arc::default(),
        };
        router.layer(middleware::from_fn_with_state(guard, check))
    }
}

/// What a guarded router needs.
#[derive(Clone)]
struct Guard {
    hosts: AllowedHosts,
    transport: Transport,
    /// Reads what is left of refused requests.
    #[cfg(feature = "doors")]
    drains: Arc<Drains>,
}

async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    if guard.hosts.allows(request.headers(), request.uri()) {
        return next.run(request).await;
    }
    static LOG_LIMIT: LogLimit = LogLimit::new();

    let (parts, body) = request.into_parts();
    let address = guard.transport.address(&parts);
    if let Some(left_out) = LOG_LIMIT.pass() {
        tracing::warn!(
            host = ?parts.headers.get(http::header::HOST),
            address = address.map(tracing::field::display),
            left_out,
            "a request for another host is refused; allowed_hosts names those that are welcome"
        );
    }
    #[cfg(feature = "doors")]
    {
        let awaits = awaits_asking(&parts.headers);
        guard.drains.drain(Rest::Unread(body), awaits, address);
    }
    #[cfg(not(feature = "doors"))]
    drop(body);
    let text =
        "This server does not answer to this host name; allowed_hosts lists those it answers to.\n";
    (StatusCode::MISDIRECTED_REQUEST, text).into_response()
}

/// Returns whether a host is an IP address, `localhost` or below it.
fn is_own(host: &str) -> bool {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let is_address = match bare {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.parse::<std::net::Ipv4Addr>().is_ok(),
    };
    is_address || host == "localhost" || host.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header};

    use super::*;

    /// CONN-1: against DNS rebinding a server answers to its own names only.
    #[test]
    fn conn_1_only_own_hosts_are_answered() {
        let list = [
            "uploads.example.org".to_owned(),
            "Other.Example.org.".to_owned(),
        ];
        let hosts = AllowedHosts::new(&list).expect("a good list");
        for (host, welcome) in [
            ("uploads.example.org", true),
            ("UPLOADS.example.ORG.:8080", true),
            ("other.example.org", true),
            ("example.org", false),
            ("evil.test:8080", false),
            ("uploads.example.org.evil.test", false),
            ("uploads.example.org@evil.test", false),
            ("127.0.0.1:8080", true),
            ("192.168.1.7", true),
            ("[::1]:8080", true),
            ("localhost", true),
            ("LocalHost:8080", true),
            ("app.localhost:8080", true),
            ("notlocalhost", false),
            ("127.0.0.1.evil.test", false),
            ("127.1", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            assert_eq!(
                hosts.allows(&headers, &Uri::from_static("/")),
                welcome,
                "{host}"
            );
        }
        assert!(!hosts.allows(&HeaderMap::new(), &Uri::from_static("/")));
        let mut two = HeaderMap::new();
        two.append(header::HOST, HeaderValue::from_static("localhost"));
        two.append(header::HOST, HeaderValue::from_static("evil.test"));
        assert!(!hosts.allows(&two, &Uri::from_static("/")));
        for bad in ["https://example.org", "example.org:80", "", "a/b"] {
            let bad = bad.to_owned();
            assert_eq!(
                AllowedHosts::new(std::slice::from_ref(&bad)),
                Err(BadHost(bad))
            );
        }
    }
}
