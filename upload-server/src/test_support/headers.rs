//! Windows into the parsers of header fields, for the fuzzer; not part of the interface.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use http::{HeaderMap, HeaderValue, Method, Request};
use serde_json::Value;
use upload_proto::UploadRef;

use crate::http::{
    doors::{self, visitor::Address},
    files::range::{Ranged, ranged},
    forwarded::{Proxies, Scheme, Transport},
    ietf, plain,
    tus::{
        fields::{self, Length},
        metadata,
    },
    visit::check::Checking,
};

/// What `Upload-Metadata` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TusMetadata {
    /// The name of the file.
    pub name: Option<String>,
    /// Its type.
    pub media_type: Option<String>,
    /// Its path.
    pub relative_path: Option<String>,
    /// Its date, in milliseconds since 1970.
    pub last_modified: Option<u64>,
    /// Keys and values, with the header as it was where they alone do not tell it.
    pub pairs: Vec<(String, String)>,
    /// What `HEAD` answers.
    pub echo: Option<String>,
}

/// Reads `Upload-Metadata`; none if it is refused.
pub fn tus_metadata(header: &str) -> Option<TusMetadata> {
    let read = metadata::Metadata::parse(header).ok()?;
    let echo = metadata::echo(&read.meta);
    let pairs = read.meta.into_iter().map(|(key, value)| match value {
        Value::String(value) => (key, value),
        other => (key, other.to_string()),
    });
    Some(TusMetadata {
        name: read.name,
        media_type: read.media_type,
        relative_path: read.relative_path,
        last_modified: read.last_modified,
        pairs: pairs.collect(),
        echo,
    })
}

/// Reads a number of bytes, as tus writes it.
///
/// # Errors
///
/// It is none; this is the status of the refusal.
pub fn tus_bytes(headers: &HeaderMap, name: &str) -> Result<Option<u64>, u16> {
    fields::bytes(headers, name).map_err(|()| 400)
}

/// Reads the length of a creation; none where it follows.
///
/// # Errors
///
/// The status of the refusal.
pub fn tus_length(headers: &HeaderMap) -> Result<Option<u64>, u16> {
    match fields::length(headers) {
        Ok(Length::Known(bytes)) => Ok(Some(bytes)),
        Ok(Length::Deferred) => Ok(None),
        Err(refusal) => Err(refusal.status.as_u16()),
    }
}

/// Reads `Upload-Checksum`; tells whether there is one.
///
/// # Errors
///
/// The status of the refusal.
pub fn tus_checksum(headers: &HeaderMap) -> Result<bool, u16> {
    let checking = fields::checksum(headers).map_err(|refusal| refusal.status.as_u16())?;
    Ok(!matches!(checking, Checking::Nothing))
}

/// Reads a boolean of a structured field.
pub fn draft_boolean(headers: &HeaderMap, name: &str) -> Option<bool> {
    ietf::fields::boolean(headers, name)
}

/// Reads a number of bytes of a structured field.
pub fn draft_bytes(headers: &HeaderMap, name: &str) -> Option<u64> {
    ietf::fields::bytes(headers, name)
}

/// Tells whether a digest field has a digest that is checked.
pub fn draft_digest(headers: &HeaderMap, name: &str) -> bool {
    ietf::fields::digest(headers, name).is_some()
}

/// Reads the CRC32C of a digest field.
pub fn draft_crc32c(headers: &HeaderMap, name: &str) -> Option<u32> {
    ietf::fields::crc32c(headers, name)
}

/// Reads the name of a file in `Content-Disposition`.
pub fn file_name(disposition: &[u8]) -> Option<String> {
    plain::names::file_name(disposition)
}

/// Reads the name of a form's file.
pub fn form_file_name(disposition: &[u8]) -> Option<String> {
    plain::names::form_file_name(disposition)
}

/// What to send of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeAsked {
    /// All of it.
    Whole,
    /// This many bytes from this offset on.
    Part(u64, u64),
    /// There are no such bytes.
    Nothing,
}

/// Reads `Range` for a file of this length.
pub fn range(wanted: &HeaderValue, length: u64) -> RangeAsked {
    match ranged(Some(wanted), length) {
        Ranged::Whole => RangeAsked::Whole,
        Ranged::Part { first, bytes } => RangeAsked::Part(first, bytes),
        Ranged::Nothing => RangeAsked::Nothing,
    }
}

/// Reads the last part of an upload's path.
pub fn upload_address(text: &str) -> Option<UploadRef> {
    Address::parse(text).map(|address| address.upload)
}

/// Returns the protocol that a request speaks which creates an upload.
pub fn protocol(headers: &HeaderMap) -> &'static str {
    doors::door_of(&Method::POST, headers).as_str()
}

/// Returns the visitor of a request that came from `peer`, and whether it came by HTTPS where that is known.
///
/// Proxies of this list are trusted, or all where it is empty.
pub fn visitor(
    proxies: &[String],
    peer: SocketAddr,
    headers: &HeaderMap,
) -> (Option<IpAddr>, Option<bool>) {
    let mut parts = Request::new(()).into_parts().0;
    parts.headers = headers.clone();
    parts.extensions.insert(ConnectInfo(peer));
    let transport = Transport {
        proxies: Proxies::new(proxies, true).unwrap_or_default(),
        is_secure: false,
    };
    let scheme = transport.scheme(&parts);
    (
        transport.address(&parts),
        scheme.map(|scheme| scheme == Scheme::Https),
    )
}
