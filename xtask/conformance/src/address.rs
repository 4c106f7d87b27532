//! Addresses of servers, and where a `Location` leads.

use std::{error::Error, fmt, str::FromStr};

/// Where a server is: `http://host:port/path`, or the same with `ws`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Host and port, as one connects to them.
    pub(crate) authority: String,
    /// Host and port as the header `Host` has them.
    pub(crate) host: String,
    /// Path and query.
    pub(crate) path: String,
}

/// The text is not the address of a server that can be checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// The scheme is none that is spoken.
    Scheme,
    /// There is no host.
    Host,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => {
                "an address begins with http:// or ws://; \
                 for a server behind TLS, give the address behind its proxy"
            }
            Self::Host => "the address has no host",
        })
    }
}

impl Error for AddressError {}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let rest = text
            .strip_prefix("http://")
            .or_else(|| text.strip_prefix("ws://"))
            .ok_or(AddressError::Scheme)?;
        let (host, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, "/"),
        };
        // What follows the brackets of an IPv6 address, or else the whole host.
        let behind = host.rsplit(']').next().unwrap_or(host);
        let authority = match behind.contains(':') {
            true => host.to_owned(),
            false => format!("{host}:80"),
        };
        if authority.starts_with(':') {
            return Err(AddressError::Host);
        }
        Ok(Self {
            authority,
            host: host.to_owned(),
            path: path.to_owned(),
        })
    }
}

impl Address {
    /// Returns the path that a `Location` means; the server is asked for it under the address that was given.
    pub(crate) fn path_of(&self, location: &str) -> String {
        let behind_scheme = location.split_once("://").map(|(_, rest)| rest);
        let behind_scheme = behind_scheme.or_else(|| location.strip_prefix("//"));
        if let Some(rest) = behind_scheme {
            return rest
                .find('/')
                .map_or("/", |slash| rest.split_at(slash).1)
                .to_owned();
        }
        if location.starts_with('/') {
            return location.to_owned();
        }
        let folder = self.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{folder}/{location}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_host_and_a_path() {
        let parts = |text: &str| {
            let address: Address = text.parse()?;
            Ok::<_, AddressError>((address.authority, address.host, address.path))
        };
        let found = |authority: &str, host: &str, path: &str| {
            Ok((authority.to_owned(), host.to_owned(), path.to_owned()))
        };
        assert_eq!(parts("http://a:1/b/c"), found("a:1", "a:1", "/b/c"));
        assert_eq!(parts("ws://a"), found("a:80", "a", "/"));
        assert_eq!(parts("http://[::1]/x"), found("[::1]:80", "[::1]", "/x"));
        assert_eq!(parts("http://[::1]:9/"), found("[::1]:9", "[::1]:9", "/"));
        assert_eq!(parts("https://a/"), Err(AddressError::Scheme));
        assert_eq!(parts("http:///b"), Err(AddressError::Host));
    }

    #[test]
    fn a_location_is_a_path_of_the_same_server() {
        let address: Address = "http://a:1/files/in".parse().expect("an address");
        for (location, path) in [
            ("/x/1", "/x/1"),
            ("1", "/files/1"),
            ("https://b.example/y/1?z", "/y/1?z"),
            ("//b.example/y", "/y"),
            ("http://b.example", "/"),
        ] {
            assert_eq!(address.path_of(location), path, "{location}");
        }
    }
}
