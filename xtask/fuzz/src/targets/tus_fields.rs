//! Header fields of tus: lengths, offsets, checksums, metadata.

use http::{HeaderMap, HeaderValue};
use upload_proto::limits::{
    CLIENT_NAME_BYTES_MAX, CLIENT_TYPE_BYTES_MAX, DATE_MS_MAX, META_BYTES_MAX, SIZE_MAX,
};
use upload_server::testing;

use crate::fields;

/// What a header may have at most that is kept as it was.
const HEADER_BYTES_MAX: usize = 6 * 1024;

pub(super) fn run(input: &[u8]) {
    let headers = fields::headers(input);
    for name in ["upload-offset", "upload-length"] {
        assert_eq!(testing::tus_bytes(&headers, name), decimal(&headers, name));
    }
    length(&headers);
    checksum(&headers);
    if let Some(Ok(text)) = headers.get("upload-metadata").map(HeaderValue::to_str) {
        metadata(text);
    }
    let spoken = testing::protocol(&headers);
    if headers.contains_key("tus-resumable") {
        assert_eq!(spoken, "tus");
    }
    if let Some(Ok(text)) = headers.get("location").map(HeaderValue::to_str)
        && let Some(upload) = testing::upload_address(text)
    {
        assert_eq!(testing::upload_address(&upload.to_string()), Some(upload));
    }
}

/// Reads a number by nothing that the server uses.
fn decimal(headers: &HeaderMap, name: &str) -> Result<Option<u64>, u16> {
    let values: Vec<_> = headers.get_all(name).iter().collect();
    match values[..] {
        [] => Ok(None),
        [one] if !one.is_empty() && one.as_bytes().iter().all(u8::is_ascii_digit) => {
            let value = one.as_bytes().iter().fold(0_u64, |value, digit| {
                value
                    .saturating_mul(10)
                    .saturating_add((digit - b'0').into())
            });
            Ok(Some(value))
        }
        _ => Err(400),
    }
}

/// T20: exactly one of the two.
fn length(headers: &HeaderMap) {
    let known = decimal(headers, "upload-length");
    let deferred = headers.get("upload-defer-length");
    match testing::tus_length(headers) {
        Ok(Some(bytes)) => {
            assert_eq!((known, deferred), (Ok(Some(bytes)), None));
            assert!(bytes <= SIZE_MAX);
        }
        Ok(None) => {
            assert_eq!(known, Ok(None));
            assert!(deferred.is_some_and(|value| value == "1"));
        }
        Err(status) => assert!([400, 413].contains(&status)),
    }
}

fn checksum(headers: &HeaderMap) {
    let text = headers.get("upload-checksum").map(HeaderValue::to_str);
    match (testing::tus_checksum(headers), text) {
        (Ok(false), text) => assert!(text.is_none()),
        (Ok(true), Some(Ok(text))) => {
            let (algorithm, digest) = text.trim().split_once(' ').expect("two words");
            let expected = match &*algorithm.to_ascii_lowercase() {
                "sha1" => 28,
                "sha256" => 44,
                other => panic!("{other} is not announced"),
            };
            assert_eq!(digest.trim().len(), expected, "{text:?}");
            // Written in one way, it is the same.
            let plain = format!("{} {}", algorithm.to_ascii_lowercase(), digest.trim());
            let plain = fields::alone("upload-checksum", &plain);
            assert_eq!(testing::tus_checksum(&plain), Ok(true));
        }
        (Ok(true), _) => panic!("a checksum of nothing"),
        (Err(status), _) => assert_eq!(status, 400),
    }
}

/// T23, T24: what is taken is echoed as it was, and is within its bounds.
fn metadata(text: &str) {
    let Some(read) = testing::tus_metadata(text) else {
        return;
    };
    let echo = read.echo.clone().unwrap_or_default();
    assert_eq!(echo, text);
    assert_eq!(testing::tus_metadata(&echo), Some(read.clone()));
    let is_within = |text: &Option<String>, most: usize| {
        text.as_ref()
            .is_none_or(|text| !text.is_empty() && text.len() <= most)
    };
    assert!(is_within(&read.name, CLIENT_NAME_BYTES_MAX));
    assert!(is_within(&read.relative_path, CLIENT_NAME_BYTES_MAX));
    assert!(is_within(&read.media_type, CLIENT_TYPE_BYTES_MAX));
    assert!(read.last_modified.is_none_or(|date| date <= DATE_MS_MAX));
    // The header itself has a separate bound.
    let is_pair = |(key, _): &&(String, String)| key != "upload-metadata";
    let pairs = read.pairs.iter().filter(is_pair);
    let bytes: usize = pairs.map(|(key, value)| key.len() + value.len()).sum();
    assert!(bytes <= META_BYTES_MAX, "{bytes} bytes");
    assert!(text.len() <= HEADER_BYTES_MAX, "{} bytes", text.len());
}
