//! Where the server is, and what is said to it besides.

use http::{HeaderName, HeaderValue, Uri};

/// Where the ready server has its socket.
const SOCKET: &str = "/uploads/ws";

/// A server's socket: a `ws:` or `wss:` URL with a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address(Uri);

impl Address {
    /// Reads the URL of a socket, or of the place where the router is mounted.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let expected = "expected such as wss://host/uploads/ws or https://host";
        let url: Uri = text
            .parse()
            .map_err(|error| format!("{error}; {expected}"))?;
        let scheme = match url.scheme_str() {
            Some("ws" | "http") => "ws",
            Some("wss" | "https") => "wss",
            _ => return Err(expected.to_owned()),
        };
        let Some(authority) = url.authority().filter(|it| !it.host().is_empty()) else {
            return Err(expected.to_owned());
        };
        if authority.as_str().contains('@') {
            return Err("a user in a URL is not sent; use --token or --header".to_owned());
        }
        let is_socket = matches!(url.scheme_str(), Some("ws" | "wss"));
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let path = match path.trim_end_matches('/') {
            _ if is_socket => path.to_owned(),
            "" => SOCKET.to_owned(),
            mounted if mounted.ends_with("/ws") => mounted.to_owned(),
            mounted => format!("{mounted}/ws"),
        };
        let url = Uri::builder()
            .scheme(scheme)
            .authority(authority.clone())
            .path_and_query(path)
            .build();
        Ok(Self(url.map_err(|error| error.to_string())?))
    }

    /// Returns the URL of the socket.
    pub(super) fn url(&self) -> &Uri {
        &self.0
    }

    /// Returns whether the connection is encrypted.
    pub(super) fn is_tls(&self) -> bool {
        self.0.scheme_str() == Some("wss")
    }

    /// Returns the host; an IPv6 address has brackets in a URL only.
    pub(super) fn host(&self) -> &str {
        let host = self.0.host().unwrap_or_default();
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Returns the port, or the one that the scheme implies.
    pub(super) fn port(&self) -> u16 {
        let implied = if self.is_tls() { 443 } else { 80 };
        self.0.port_u16().unwrap_or(implied)
    }
}

/// Reads `Name: value`.
pub(super) fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text
        .split_once(':')
        .ok_or("expected such as \"Authorization: Bearer …\"")?;
    let name = HeaderName::try_from(name.trim()).map_err(|error| error.to_string())?;
    let value = HeaderValue::try_from(value.trim()).map_err(|error| error.to_string())?;
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_sockets_and_of_sites() {
        for (text, url, host, port) in [
            ("ws://h/uploads/ws", "ws://h/uploads/ws", "h", 80),
            ("ws://h:8080/any?a=b", "ws://h:8080/any?a=b", "h", 8080),
            ("wss://h/x/", "wss://h/x/", "h", 443),
            ("http://h:1", "ws://h:1/uploads/ws", "h", 1),
            ("https://h/", "wss://h/uploads/ws", "h", 443),
            ("https://h/app/files/", "wss://h/app/files/ws", "h", 443),
            ("https://h/app/ws", "wss://h/app/ws", "h", 443),
            (
                "https://[::1]:8443",
                "wss://[::1]:8443/uploads/ws",
                "::1",
                8443,
            ),
        ] {
            let address = Address::parse(text).expect(text);
            assert_eq!(address.url().to_string(), url);
            assert_eq!((address.host(), address.port()), (host, port), "{text}");
        }
        for text in [
            "",
            "h",
            "ftp://h",
            "ws://",
            "/uploads/ws",
            "wss://a:b@h",
            "ws://h h",
        ] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn headers_are_names_and_values() {
        let (name, value) = header("X-Api-Key:  a:b ").expect("a header");
        assert_eq!(
            (name.as_str(), value.as_bytes()),
            ("x-api-key", &b"a:b"[..])
        );
        for text in ["", "name", ": value", "a b: c", "a: b\nc: d"] {
            assert!(header(text).is_err(), "{text:?}");
        }
    }
}
