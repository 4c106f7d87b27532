//! Structured fields of the IETF's draft, and digests (RFC 9530).

use http::{HeaderMap, HeaderValue};
use upload_server::testing;

use crate::fields;

/// The largest integer of a structured field (RFC 8941).
const INTEGER_MAX: u64 = 999_999_999_999_999;

pub(super) fn run(input: &[u8]) {
    let headers = fields::headers(input);
    for name in ["upload-complete", "upload-incomplete"] {
        if let Some(value) = testing::draft_boolean(&headers, name) {
            let text = if value { "?1" } else { "?0" };
            assert!(of(&headers, name).trim().starts_with(text));
            let plain = fields::alone(name, text);
            assert_eq!(testing::draft_boolean(&plain, name), Some(value));
        }
    }
    for name in [
        "upload-offset",
        "upload-length",
        "upload-draft-interop-version",
    ] {
        if let Some(value) = testing::draft_bytes(&headers, name) {
            assert!(value <= INTEGER_MAX);
            let plain = fields::alone(name, &value.to_string());
            assert_eq!(testing::draft_bytes(&plain, name), Some(value));
        }
    }
    for name in ["content-digest", "repr-digest"] {
        digests(&headers, name);
    }
    let is_draft = testing::draft_boolean(&headers, "upload-complete").is_some();
    if is_draft && !headers.contains_key("tus-resumable") && !headers.contains_key("content-type") {
        assert_eq!(testing::protocol(&headers), "ietf");
    }
}

/// R20: what is known of a list stays so, whatever else is in it.
fn digests(headers: &HeaderMap, name: &'static str) {
    let found = (
        testing::draft_digest(headers, name),
        testing::draft_crc32c(headers, name),
    );
    if found == (false, None) {
        return;
    }
    let value = of(headers, name);
    let mut more = HeaderMap::new();
    for line in [
        HeaderValue::from_static("unknown=:AA==:"),
        joined(headers, name),
    ] {
        more.append(name, line);
    }
    let again = (
        testing::draft_digest(&more, name),
        testing::draft_crc32c(&more, name),
    );
    assert_eq!(again, found, "{value:?}");
}

fn of(headers: &HeaderMap, name: &str) -> String {
    let value = headers.get(name).expect("it was read");
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// Writes all lines of a field as one.
fn joined(headers: &HeaderMap, name: &str) -> HeaderValue {
    let lines: Vec<_> = headers
        .get_all(name)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    HeaderValue::from_bytes(&lines.join(&b", "[..])).expect("of values")
}
