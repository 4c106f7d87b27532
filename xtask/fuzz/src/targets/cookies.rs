//! `Cookie` headers with a session among what neighbours wrote.

use http::{HeaderMap, HeaderValue, header};
use upload_server::testing;

/// The token of the session.
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// What is before the session and, after a line feed, what follows it.
pub(super) fn run(input: &[u8]) {
    let mut parts = input.splitn(2, |byte| *byte == b'\n');
    let (before, after) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    let own = testing::session_cookie(TOKEN).expect("a cookie");
    let Some(foreign) = headers(&[before, after]) else {
        return;
    };
    assert_eq!(testing::session(&foreign), None, "no one signed this");
    let line = [before, b"; ", own.as_bytes(), b";", after].concat();
    for lines in [&[&line[..]][..], &[before, own.as_bytes(), after]] {
        let Some(headers) = headers(lines) else {
            return;
        };
        let found = testing::session(&headers);
        assert_eq!(found.as_deref(), Some(TOKEN), "{lines:?}");
    }
}

/// Returns a header line for each; none where HTTP has no such value.
fn headers(lines: &[&[u8]]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(header::COOKIE, HeaderValue::from_bytes(line).ok()?);
    }
    Some(headers)
}
