//! `Forwarded` and `X-Forwarded-*`, as a visitor wrote them, with what the one proxy appended.

use http::{HeaderMap, HeaderValue, header};
use upload_server::testing;

use crate::fields;

const VISITOR: &str = "203.0.113.9";
/// What the proxy says of its visitor, who came without TLS.
const SAID: &str = "for=203.0.113.9;proto=http";

pub(super) fn run(input: &[u8]) {
    let written = fields::headers(input);
    for proxies in [&[][..], &["10.0.0.0/8".to_owned()]] {
        for headers in [on_a_line_of_its_own(&written), on_the_last_line(&written)] {
            let peer = "10.0.0.1:4711".parse().expect("an address");
            let (address, is_https) = testing::visitor(proxies, peer, &headers);
            let address = address.expect("the connection has one").to_string();
            let is_right = [VISITOR, "10.0.0.1"].contains(&&*address);
            assert!(is_right, "{address} is the visitor's word: {headers:?}");
            assert_ne!(is_https, Some(true), "the visitor's word: {headers:?}");
        }
    }
}

fn on_a_line_of_its_own(written: &HeaderMap) -> HeaderMap {
    let mut headers = written.clone();
    headers.append(header::FORWARDED, HeaderValue::from_static(SAID));
    headers
}

fn on_the_last_line(written: &HeaderMap) -> HeaderMap {
    let lines = written.get_all(header::FORWARDED).iter();
    let mut lines: Vec<_> = lines.map(|line| line.as_bytes().to_vec()).collect();
    match lines.last_mut() {
        Some(last) => last.extend(format!(", {SAID}").bytes()),
        None => lines.push(SAID.into()),
    }
    let mut headers = written.clone();
    headers.remove(header::FORWARDED);
    for line in lines {
        let value = HeaderValue::from_bytes(&line).expect("of values");
        headers.append(header::FORWARDED, value);
    }
    headers
}
