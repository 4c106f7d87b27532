//! Secrets: how they are read, and that no other user can read them.

use super::*;

/// A secret may be all digits; where it is nothing a secret can be, the error does not tell it.
#[test]
fn secrets_are_text_and_stay_out_of_errors() {
    let config = read("[state]\nredis_url = 123456").expect("good");
    assert_eq!(config.state.redis_url.expect("there").expose(), "123456");
    for (toml, key) in [
        ("secret = 1234.5678", "secret: "),
        ("secret = true", "secret: "),
        ("secret = [\"1234\"]", "secret: "),
        ("webhook = \"1234\"", "webhook: "),
        ("webhook = 1234", "webhook: "),
        ("[webhook]\nsecret = 1234.5", "webhook.secret: "),
        ("hooks = \"1234\"", "hooks: "),
        (
            "[[hooks]]\nurl = \"http://a\"\nsecret = 1234.5",
            "hooks.0.secret: ",
        ),
        ("[state]\nredis_url = 1234.5", "state.redis_url: "),
        ("[state]\npostgres_url = 1234.5", "state.postgres_url: "),
    ] {
        let text = trouble(toml);
        assert!(text.starts_with(key), "{text}");
        assert!(!text.contains("1234") && !text.contains("true"), "{text}");
    }
}

/// An address may hold a password, also one that cannot be called.
#[test]
fn the_address_of_a_hook_stays_out_of_errors() {
    let secret = "s".repeat(32);
    for url in [
        "htp://user:1234@a.example/uploaded",
        "http://user:1234@/uploaded",
        "user:1234@a.example",
        "http://a.example/ 1234",
    ] {
        for (table, key) in [
            ("[[hooks]]", "hooks.0.url: "),
            ("[deciding_hook]", "deciding_hook.url: "),
        ] {
            let text = trouble(&format!("{table}\nurl = {url:?}\nsecret = {secret:?}"));
            assert!(text.starts_with(key), "{text}");
            assert!(!text.contains("1234"), "{text}");
        }
    }
}

#[cfg(unix)]
#[test]
fn a_file_with_secrets_that_every_user_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("uploads.toml");
    let warnings = |toml: &str, mode: u32| {
        std::fs::write(&file, toml).expect("written");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("ours");
        Config::load(Some(&file)).expect("good").warnings()
    };
    let secret = format!("[webhook]\nsecret = {:?}\n", "s".repeat(32));
    let [warning] = &warnings(&secret, 0o644)[..] else {
        panic!("one warning");
    };
    assert!(
        warning.starts_with("webhook: every user can read"),
        "{warning}"
    );
    assert!(!warning.contains("sss"), "{warning}");
    assert!(warnings(&secret, 0o640).is_empty());
    assert!(warnings("listen = \"127.0.0.1:9000\"\n", 0o644).is_empty());
}
