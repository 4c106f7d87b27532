//! How a request came: by HTTP or HTTPS, from its own connection or as proxies in front say.
//!
//! Proxies say it in `X-Forwarded-For` and `X-Forwarded-Proto`, or in `Forwarded` (RFC 7239). A proxy that
//! writes one of them may pass the other on as a visitor wrote it, so where both are there and differ, neither
//! is believed.

mod rfc7239;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::ConnectInfo;
use http::{HeaderMap, HeaderName, request::Parts};
use ipnet::IpNet;
use thiserror::Error;

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Who sends what a proxy of this very machine passes on, where nothing that is said of the sender can be
/// believed. It is no address of this machine, so all such requests together have the share of one visitor.
const UNBELIEVED: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Headers with which proxies tell that they stand in between.
#[cfg(any(test, feature = "cli"))]
const FORWARDED: [&str; 7] = [
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
];

/// How a request was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

/// A list of proxies holds something that is no address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is not an IP address or a network such as \"10.0.0.0/8\"")]
pub struct BadProxy(pub String);

/// Whose `X-Forwarded-*` are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Proxies {
    /// None.
    #[default]
    None,
    /// Those of the peer that connects, which is the only proxy.
    Peer,
    /// Those of proxies at these addresses, as many as follow each other.
    At(Vec<IpNet>),
}

impl Proxies {
    /// Reads the list; `trust_peer` counts where it is empty.
    ///
    /// # Errors
    ///
    /// An entry is neither an address nor a network.
    pub(crate) fn new(list: &[String], trust_peer: bool) -> Result<Self, BadProxy> {
        if list.is_empty() {
            return Ok(if trust_peer { Self::Peer } else { Self::None });
        }
        let parse = |text: &String| {
            let net = text.parse::<IpNet>();
            let net = net.or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            net.map_err(|_| BadProxy(text.clone()))
        };
        list.iter()
            .map(parse)
            .collect::<Result<_, _>>()
            .map(Self::At)
    }

    /// Returns how the visitor sent a request, as the outermost trusted proxy says; none if that is unknown.
    fn scheme(&self, parts: &Parts) -> Option<Scheme> {
        let depth = self.depth(parts);
        if depth == 0 {
            return None;
        }
        let words = words(&parts.headers, &FORWARDED_PROTO);
        // Each proxy appends a word at the end, or replaces those that are there.
        let word = words.get(words.len().saturating_sub(depth));
        let elements = rfc7239::elements(&parts.headers);
        let element = elements.get(elements.len().saturating_sub(depth));
        let proto = element.and_then(|element| element.proto.as_deref());
        match (word, proto) {
            (Some(word), Some(proto)) => scheme(word).filter(|known| scheme(proto) == Some(*known)),
            (word, proto) => scheme(word.copied().or(proto)?),
        }
    }

    /// Returns whether a proxy is known to be at this address.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        match self {
            Self::None => false,
            Self::Peer => true,
            Self::At(nets) => {
                let address = address.to_canonical();
                nets.iter().any(|net| net.contains(&address))
            }
        }
    }

    /// Returns the address of the visitor, as the outermost trusted proxy says; else of the connection.
    ///
    /// A visitor can make the word of a proxy one that is not believed. Behind a proxy of this very machine that
    /// must not make the visitor one of the machine's own programs, which nothing limits.
    fn address(&self, parts: &Parts) -> Option<IpAddr> {
        let peer = peer(parts).map(|peer| peer.ip().to_canonical());
        let depth = self.depth(parts);
        if depth == 0 {
            return peer;
        }
        let hops = hops(&parts.headers);
        // Each proxy appends whom it was called by.
        let hop = hops.len().checked_sub(depth).and_then(|at| hops.get(at));
        match hop {
            Some(Some(hop)) => Some(*hop),
            Some(None) => peer.filter(|ip| !ip.is_loopback()).or(Some(UNBELIEVED)),
            None => peer,
        }
    }

    /// Returns how many trusted proxies follow each other, from this end.
    fn depth(&self, parts: &Parts) -> usize {
        match self {
            Self::None => return 0,
            Self::Peer => return 1,
            Self::At(_) => {}
        }
        // Over a socket of the file system only this machine's own proxy connects.
        if !peer(parts).is_none_or(|peer| self.has(peer.ip())) {
            return 0;
        }
        let hops = hops(&parts.headers);
        let further = hops.iter().rev().map_while(|hop| *hop);
        let further = further.take_while(|ip| self.has(*ip)).count();
        further.saturating_add(1)
    }
}

/// In a request's extensions: it came by TLS that ends in this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OverTls;

/// What is known of how requests come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transport {
    pub(crate) proxies: Proxies,
    /// Whether every request came by HTTPS, as the application says.
    pub(crate) is_secure: bool,
}

impl Transport {
    /// Returns how a request was sent, where something that can be believed tells.
    pub(crate) fn scheme(&self, parts: &Parts) -> Option<Scheme> {
        let is_over_tls = parts.extensions.get::<OverTls>().is_some();
        if self.is_secure || is_over_tls || parts.uri.scheme_str() == Some("https") {
            return Some(Scheme::Https);
        }
        self.proxies.scheme(parts)
    }

    /// Returns the address a request comes from, as far as it can be believed.
    pub(crate) fn address(&self, parts: &Parts) -> Option<IpAddr> {
        self.proxies.address(parts)
    }

    /// Returns whether a request is known to have come by HTTPS.
    pub(crate) fn is_https(&self, parts: &Parts) -> bool {
        self.scheme(parts) == Some(Scheme::Https)
    }
}

/// Returns whether a request comes from this very machine and no proxy says that it passes it on.
#[cfg(any(test, feature = "cli"))]
pub fn is_local(parts: &Parts) -> bool {
    let is_loopback = peer(parts).is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    is_loopback
        && !FORWARDED
            .iter()
            .any(|name| parts.headers.contains_key(*name))
}

/// Returns who connected; none where the server does not say ([`ConnectInfo`]).
fn peer(parts: &Parts) -> Option<SocketAddr> {
    let info = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    info.map(|ConnectInfo(peer)| *peer)
}

/// Returns the words of a list in all lines of this header, in their order.
fn words<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    let lines = headers.get_all(name).into_iter();
    let lines = lines.map(|line| line.to_str().unwrap_or_default());
    lines
        .flat_map(|line| line.split(',').map(str::trim))
        .collect()
}

/// Returns who called each of the proxies, the outermost first; `None` where that is not said, or cannot be read.
/// Of headers that differ there is one such `None`: somebody called, and no one knows who.
fn hops(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let read = |hop: &str| address(hop).map(|ip| ip.to_canonical());
    let listed = words(headers, &FORWARDED_FOR).into_iter().map(read);
    let listed: Vec<_> = listed.collect();
    let elements = rfc7239::elements(headers);
    let is_said = elements.iter().any(|element| element.called_by.is_some());
    let of = |element: rfc7239::Element| element.called_by.and_then(|hop| read(&hop));
    let elements: Vec<_> = elements.into_iter().map(of).collect();
    match (listed.is_empty(), is_said) {
        (_, false) => listed,
        (true, true) => elements,
        (false, true) if listed == elements => listed,
        (false, true) => vec![None],
    }
}

fn scheme(word: &str) -> Option<Scheme> {
    match word.to_ascii_lowercase().as_str() {
        "https" | "wss" => Some(Scheme::Https),
        "http" | "ws" => Some(Scheme::Http),
        _ => None,
    }
}

/// Reads an address of `X-Forwarded-For`, which some proxies write with a port.
fn address(hop: &str) -> Option<IpAddr> {
    let socket = || hop.parse::<SocketAddr>().map(|socket| socket.ip());
    let bare = hop.trim_start_matches('[').trim_end_matches(']');
    bare.parse().or_else(|_| socket()).ok()
}
