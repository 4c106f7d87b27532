//! What headers of proxies say, and when that is believed.

use http::Request;

use super::*;

fn request(peer: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().uri("/uploads/ws");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut parts = request.body(()).expect("a request").into_parts().0;
    let peer: SocketAddr = peer.parse().expect("an address");
    parts.extensions.insert(ConnectInfo(peer));
    parts
}

fn of(proxies: &Proxies, peer: &str, headers: &[(&str, &str)]) -> Option<Scheme> {
    proxies.scheme(&request(peer, headers))
}

#[test]
fn one_proxy_is_believed_its_last_word() {
    let peer = Proxies::Peer;
    let proto = |lines: &[&str]| {
        let lines: Vec<_> = lines
            .iter()
            .map(|line| ("x-forwarded-proto", *line))
            .collect();
        of(&peer, "192.0.2.1:1", &lines)
    };
    assert_eq!(proto(&["https"]), Some(Scheme::Https));
    assert_eq!(proto(&["HTTP"]), Some(Scheme::Http));
    assert_eq!(proto(&["https, http"]), Some(Scheme::Http));
    assert_eq!(
        proto(&["https", "http"]),
        Some(Scheme::Http),
        "an appended line"
    );
    assert_eq!(proto(&["http", "https"]), Some(Scheme::Https));
    assert_eq!(proto(&["gopher"]), None);
    assert_eq!(proto(&[]), None);
    let headers = [("x-forwarded-proto", "https")];
    assert_eq!(of(&Proxies::None, "192.0.2.1:1", &headers), None);
}

/// TLS ends at the first of two proxies.
#[test]
fn a_chain_of_known_proxies_is_believed_its_outermost_word() {
    let list = ["10.0.0.0/8".to_owned(), "::1".to_owned()];
    let proxies = Proxies::new(&list, false).expect("a good list");
    let two = [
        ("x-forwarded-proto", "https, http"),
        ("x-forwarded-for", "203.0.113.9, 10.0.0.2"),
    ];
    assert_eq!(of(&proxies, "10.0.0.1:1", &two), Some(Scheme::Https));
    assert_eq!(
        of(&proxies, "[::ffff:10.0.0.1]:1", &two),
        Some(Scheme::Https)
    );
    assert_eq!(of(&proxies, "192.0.2.1:1", &two), None, "a stranger");
    let spoofed = [
        ("x-forwarded-proto", "https, http"),
        ("x-forwarded-for", "203.0.113.9"),
    ];
    assert_eq!(of(&proxies, "10.0.0.1:1", &spoofed), Some(Scheme::Http));
    let replaced = [
        ("x-forwarded-proto", "https"),
        ("x-forwarded-for", "203.0.113.9, 10.0.0.2"),
    ];
    assert_eq!(of(&proxies, "[::1]:1", &replaced), Some(Scheme::Https));
    for bad in ["example.org", "10.0.0.0/33", ""] {
        let bad = bad.to_owned();
        assert_eq!(
            Proxies::new(std::slice::from_ref(&bad), true),
            Err(BadProxy(bad))
        );
    }
}

fn visitor(proxies: &Proxies, headers: &[(&str, &str)]) -> Option<String> {
    let address = proxies.address(&request("10.0.0.1:1", headers));
    address.map(|address| address.to_string())
}

#[test]
fn the_standard_header_says_the_same() {
    let list = ["10.0.0.0/8".to_owned()];
    let proxies = Proxies::new(&list, false).expect("a good list");
    let said = |forwarded: &str| {
        let headers = [("forwarded", forwarded)];
        let address = visitor(&proxies, &headers).expect("an address");
        (address, of(&proxies, "10.0.0.1:1", &headers))
    };
    let is = |address: &str, scheme| (address.to_owned(), scheme);
    let https = Some(Scheme::Https);
    assert_eq!(
        said("for=203.0.113.9;proto=https"),
        is("203.0.113.9", https)
    );
    assert_eq!(
        said("For=\"[2001:db8::9]:4711\"; Proto=https;by=_here"),
        is("2001:db8::9", https)
    );
    assert_eq!(
        said("for=203.0.113.9;proto=https, for=10.0.0.2;proto=http"),
        is("203.0.113.9", https),
        "two proxies that are known"
    );
    assert_eq!(
        said("for=198.51.100.1;proto=https, for=203.0.113.9;proto=http"),
        is("203.0.113.9", Some(Scheme::Http)),
        "what the visitor wrote is passed on"
    );
    assert_eq!(said("for=unknown;proto=https"), is("10.0.0.1", https));
    assert_eq!(said("proto=https"), is("10.0.0.1", https));
    assert_eq!(said(";,;=\"\\"), is("10.0.0.1", None));
    assert_eq!(
        said("for=198.51.100.1;proto=https;x=\", for=203.0.113.9;proto=http"),
        is("10.0.0.1", None),
        "the visitor opened a quotation around what the proxy says"
    );
    let stranger = request("192.0.2.1:1", &[("forwarded", "for=203.0.113.9")]);
    let address = proxies.address(&stranger).expect("an address");
    assert_eq!(address.to_string(), "192.0.2.1");
}

/// Of two headers one may be the visitor's own.
#[test]
fn headers_that_differ_are_not_believed() {
    let proxies = Proxies::Peer;
    let both = |forwarded: &str| {
        let headers = [
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-proto", "http"),
            ("forwarded", forwarded),
        ];
        let address = visitor(&proxies, &headers).expect("an address");
        (address, of(&proxies, "10.0.0.1:1", &headers))
    };
    let agreed = ("203.0.113.9".to_owned(), Some(Scheme::Http));
    assert_eq!(both("for=203.0.113.9;proto=http"), agreed);
    assert_eq!(both("by=10.0.0.1"), agreed, "it says nothing of it");
    let neither = ("10.0.0.1".to_owned(), None);
    assert_eq!(both("for=198.51.100.1;proto=https"), neither);
    assert_eq!(both("x=\", for=203.0.113.9;proto=http"), neither);
}

#[test]
fn what_a_proxy_passes_on_is_not_local() {
    assert!(is_local(&request("127.0.0.1:1", &[])));
    assert!(is_local(&request("[::ffff:127.0.0.1]:1", &[])));
    assert!(!is_local(&request("192.0.2.1:1", &[])));
    for passed_on in [
        ("forwarded", "for=192.0.2.1"),
        ("via", "1.1 proxy"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-host", "example.org"),
        ("x-forwarded-port", "443"),
        ("x-forwarded-proto", "https"),
        ("x-real-ip", "192.0.2.1"),
    ] {
        let request = request("127.0.0.1:1", &[passed_on]);
        assert!(!is_local(&request), "{passed_on:?}");
    }
    let unknown = Request::new(()).into_parts().0;
    assert!(!is_local(&unknown));
}

/// Behind a proxy of this machine, over TCP or a socket of the file system, it is no one's word that a request comes
/// from the machine itself.
#[test]
fn what_is_not_believed_is_not_of_this_machine() {
    let here: IpAddr = "127.0.0.1".parse().expect("an address");
    let there: IpAddr = "203.0.113.9".parse().expect("an address");
    let list = [here.to_string()];
    let listed = Proxies::new(&list, false).expect("a good list");
    let differing = [
        ("x-forwarded-for", "203.0.113.9"),
        ("forwarded", "for=192.0.2.1"),
    ];
    let open = [("x-forwarded-for", "203.0.113.9"), ("forwarded", "x=\"")];
    let unreadable = [("x-forwarded-for", "unknown")];
    let empty = [("x-forwarded-for", "")];
    let hidden = [("forwarded", "for=_hidden;proto=https")];
    for proxies in [Proxies::Peer, listed] {
        for headers in [&differing[..], &open, &unreadable, &empty, &hidden] {
            for peer in ["127.0.0.1:1", "[::ffff:127.0.0.1]:1"] {
                let request = request(peer, headers);
                assert_eq!(proxies.address(&request), Some(UNBELIEVED), "{headers:?}");
                assert!(!is_local(&request), "{headers:?}");
            }
            let mut unnamed = request("127.0.0.1:1", headers);
            unnamed.extensions.remove::<ConnectInfo<SocketAddr>>();
            assert_eq!(proxies.address(&unnamed), Some(UNBELIEVED), "{headers:?}");
        }
        // A program of the machine, and a visitor of whom the proxy tells.
        let own = request("127.0.0.1:1", &[]);
        assert_eq!(proxies.address(&own), Some(here));
        let told = request("127.0.0.1:1", &[("x-forwarded-for", "203.0.113.9")]);
        assert_eq!(proxies.address(&told), Some(there));
    }
    let unlisted = request("127.0.0.1:1", &differing);
    assert_eq!(Proxies::None.address(&unlisted), Some(here));
}
