//! Which host names the ready server answers to.

use super::read;

/// CONN-1: on loopback, without a list of pages or proxies, only own names are answered.
#[test]
fn conn_1_hosts_are_checked_by_default_on_loopback() {
    let rule = |toml: &str| {
        read(toml)
            .expect("good")
            .host_rule()
            .map(<[String]>::to_vec)
    };
    assert_eq!(rule(""), Some(Vec::new()));
    assert_eq!(rule("listen = \"[::1]:1\""), Some(Vec::new()));
    // A port that was inherited counts in place of the one that is configured.
    let mut config = read("[slots.a]").expect("good");
    config.inherited = vec![([0, 0, 0, 0], 80).into()];
    assert!(config.host_rule().is_none());
    let mut config = read("listen = \"0.0.0.0:80\"\n[slots.a]").expect("good");
    config.inherited = vec![([127, 0, 0, 1], 80).into()];
    assert!(config.host_rule().is_some());
    for open in [
        "demo = true\nlisten = \"0.0.0.0:8080\"",
        "trust_proxy = true",
        "trusted_proxies = [\"127.0.0.1\"]",
        "allowed_origins = [\"https://example.org\"]",
    ] {
        assert_eq!(rule(open), None, "{open}");
        let named = format!("{open}\nallowed_hosts = [\"example.org\"]");
        assert_eq!(rule(&named), Some(vec!["example.org".to_owned()]), "{open}");
    }
}
