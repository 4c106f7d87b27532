//! `Origin` and `Host` headers (PROTOCOL CONN-1).

use http::{HeaderMap, HeaderValue, header};
use upload_server::testing;

use crate::cursor::Cursor;

/// The list, the host and the origin, a line each.
pub(super) fn run(input: &[u8]) {
    let mut cursor = Cursor::new(input);
    let lines = [cursor.line(), cursor.line(), cursor.line()];
    let [list, host, origin] = lines;
    let mut headers = HeaderMap::new();
    let (Ok(host_value), Ok(origin_value)) =
        (HeaderValue::from_str(host), HeaderValue::from_str(origin))
    else {
        return;
    };
    headers.insert(header::HOST, host_value);
    headers.insert(header::ORIGIN, origin_value);
    let list: Vec<String> = list
        .split(' ')
        .filter(|entry| !entry.is_empty())
        .map(str::to_owned)
        .collect();
    let Some(welcome) = testing::origin(&list, &headers) else {
        return;
    };
    if !welcome {
        return;
    }
    assert_ne!(origin, "null");
    let (scheme, rest) = origin.split_once("://").expect("an origin");
    let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    assert!(
        scheme.bytes().all(is_scheme) && !rest.is_empty(),
        "{origin:?}"
    );
    assert!(!rest.contains(['/', '@', '?', '#', '\\']), "{origin:?}");
    if list.is_empty() {
        // A page of the web and of the same host, whatever the port and a dot at its end.
        assert!(["http", "https"].contains(&&*scheme.to_ascii_lowercase()));
        let name = |text: &str| {
            let end = text.rfind(':').filter(|at| !text[*at..].contains(']'));
            let host = &text[..end.unwrap_or(text.len())];
            host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
        };
        assert_eq!(name(rest), name(host), "{origin:?} {host:?}");
    }
}
