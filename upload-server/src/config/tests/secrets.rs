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
