//! What configurations are taken, and how the others are answered.

mod hosts;
mod openness;
mod secrets;
mod sweeps;
mod times;

use std::time::Duration;

use figment::{
    Figment,
    providers::{Format, Toml},
};

use super::*;

fn read(toml: &str) -> Result<Config, ConfigError> {
    Config::read(&Figment::new().merge(Toml::string(toml)))
}

fn trouble(toml: &str) -> String {
    read(toml).expect_err("refused").to_string()
}

#[test]
fn without_a_file_it_is_the_demo() {
    let config = read("").expect("defaults");
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert!(config.has_demo());
    assert_eq!(config.state.store, StoreKind::Embedded);
    assert_eq!(config.state_dir(), Path::new("./uploads/.state"));
    let resumable = |name: &str| config.slots.get(name).map(|slot| slot.resumable);
    assert_eq!(resumable("avatar"), Some(false));
    for name in ["photos", "documents", "video"] {
        assert_eq!(resumable(name), Some(true), "{name}");
    }
    assert_eq!(config.slots.len(), 4);
}

#[test]
fn every_key_is_understood() {
    let config = read(
        r#"
        listen = "0.0.0.0:9000"
        admin_listen = "127.0.0.1:9090"
        data_dir = "/srv/uploads"
        temp_dir = "/srv/uploads/.tmp"
        state_dir = "/srv/state"
        allowed_origins = ["https://example.org"]
        require_origin = true
        trust_proxy = true
        secret = "0123456789abcdef0123456789abcdef"
        demo = false
        capability_urls = false
        buffer_budget = "64MiB"
        durability = "disk"

        [state]
        store = "memory"
        ttl_seconds = 60

        [limits]
        max_connections = 1
        max_visits = 9
        max_uploads = 3
        max_uploads_per_owner = 2
        max_bytes_per_owner = "3GiB"
        max_stored_bytes_per_owner = "10GiB"
        max_capability_uploads = 5
        max_capability_bytes = "7GiB"
        idle_upload_seconds = 3
        handshake_seconds = 4
        first_message_seconds = 5
        ping_seconds = 6
        max_refused_per_minute = 7
        checksum = false
        sweep_seconds = 8

        [slots.video]
        accept = ".mp4,.mov"
        max_entries = 4
        max_file_size = 500_000_000
        chunk_size = "1MiB"
        auto_upload = false
        resumable = true
        keep_on_leave = true
        active_content = ["xml", "all"]
        any_picture = true
        doors = ["tus", "ietf"]
        writer = "discard"
        store = "embedded"
        "#,
    )
    .expect("all good");
    assert_eq!(config.state_dir(), Path::new("/srv/state"));
    let limits = config.limits();
    assert_eq!(limits.buffer_budget, 64 * 1024 * 1024);
    assert_eq!(limits.max_connections, 1);
    assert_eq!(limits.max_visits, 9);
    assert_eq!(limits.max_uploads, 3);
    assert_eq!(limits.session.max_uploads_per_owner, 2);
    assert_eq!(limits.session.max_bytes_per_owner, Some(3 << 30));
    assert_eq!(limits.session.max_stored_bytes_per_owner, Some(10 << 30));
    assert_eq!(limits.max_capability_uploads, Some(5));
    assert_eq!(limits.max_capability_bytes, Some(7 << 30));
    assert_eq!(limits.session.idle_upload, Duration::from_secs(3));
    assert_eq!(limits.handshake, Duration::from_secs(4));
    assert_eq!(limits.session.first_message, Duration::from_secs(5));
    assert_eq!(limits.session.ping_interval, Duration::from_secs(6));
    assert_eq!(limits.session.max_refused_per_minute, 7);
    assert!(!limits.checksum);
    assert_eq!(limits.sweep_interval, Duration::from_secs(8));
    assert_eq!(limits.session.record_ttl, Duration::from_secs(60));
    let video = config.slots.get("video").expect("the slot");
    assert_eq!(video.chunk_size, Size(1024 * 1024));
    assert_eq!(video.max_file_size, Size(500_000_000));
    assert_eq!(video.writer, WriterKind::Discard);
    assert_eq!(video.doors, [DoorKind::Tus, DoorKind::Ietf]);
    assert_eq!(config.capability_urls, Some(false));
    assert_eq!(video.store, Some(StoreKind::Embedded));
    assert_eq!(config.slots.len(), 1);
    assert!(!config.has_demo());
}

/// Servers that share files may each have hooks, each with a separate directory.
#[tokio::test]
async fn servers_that_share_files_have_state_of_their_own() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = |state: &str| {
        let data = dir.path().join("data");
        let toml = format!(
            "data_dir = {data:?}\n{state}\n[webhook]\nsecret = \"0123456789abcdef0123456789abcdef\"\n\
             [[hooks]]\nurl = \"http://127.0.0.1:9/\"\nsecret = \"0123456789abcdef0123456789abcdef\"\n"
        );
        read(&toml).expect("good")
    };
    let first = config("").open().await.expect("opens");
    let second = config("").open().await;
    assert!(second.is_err(), "one process at a time has the directory");
    let own = dir.path().join("second");
    let second = config(&format!("state_dir = {own:?}")).open().await;
    let second = second.expect("opens next to the first");
    for file in ["uploads.redb", "hooks.redb"] {
        assert!(own.join(file).is_file(), "{file}");
    }
    assert!(first.shutdown().await && second.shutdown().await);
}

#[test]
fn own_slots_switch_the_demo_off() {
    assert!(!read("[slots.a]").expect("good").has_demo());
    assert!(read("demo = true\n[slots.a]").expect("good").has_demo());
    let bare = read("demo = false").expect("good");
    assert!(!bare.has_demo() && bare.slots.len() == 4);
}

#[test]
fn unknown_keys_are_named_with_their_place() {
    for (toml, key) in [
        ("lisen = \"127.0.0.1:1\"", "lisen: unknown key"),
        (
            "[limits]\nmax_conections = 1",
            "limits.max_conections: unknown key",
        ),
        ("[state]\nstor = \"memory\"", "state.stor: unknown key"),
        (
            "[slots.video]\nmax_entires = 4",
            "slots.video.max_entires: unknown key",
        ),
        (
            "[[hooks]]\nurl = \"http://a\"\nsecret = \"0123456789abcdef0123456789abcdef\"\nx = 1",
            "hooks.0.x: unknown key",
        ),
        ("[webhook]\nsecrets = \"x\"", "webhook.secrets: unknown key"),
        (
            "[slots.a.s3]\nbuckets = \"b\"",
            "slots.a.s3.buckets: unknown key",
        ),
    ] {
        let text = trouble(toml);
        assert!(text.starts_with(key), "{text}");
    }
}

#[test]
fn bad_values_are_named_with_their_key() {
    for (toml, key) in [
        ("listen = \"here\"", "listen: "),
        ("buffer_budget = \"many\"", "buffer_budget: "),
        ("buffer_budget = -1", "buffer_budget: "),
        ("durability = \"none\"", "durability: "),
        ("demo = \"yes\"", "demo: "),
        ("secret = \"short\"", "secret: "),
        ("previous_secrets = [\"short\"]", "previous_secrets: "),
        ("trusted_proxies = [\"example.org\"]", "trusted_proxies: "),
        ("allowed_hosts = [\"http://a\"]", "allowed_hosts: "),
        ("[webhook]\nsecret = \"short\"", "webhook.secret: "),
        ("allowed_origins = [\"example.org\"]", "allowed_origins: "),
        ("admin_listen = \"127.0.0.1:8080\"", "admin_listen: "),
        ("[limits]\nping_seconds = 0", "limits.ping_seconds: "),
        ("[state]\nstore = \"disk\"", "state.store: "),
        ("[state]\nttl_seconds = 0", "state.ttl_seconds: "),
        (
            "[slots.a]\nmax_file_size = \"5 apples\"",
            "slots.a.max_file_size: ",
        ),
        ("[slots.a]\nchunk_size = \"8GiB\"", "slots.a.chunk_size: "),
        ("[slots.a]\nchunk_size = \"1GiB\"", "slots.a: chunk_size "),
        ("[slots.a]\nmax_entries = 0", "slots.a: max_entries "),
        ("[slots.\"a/b\"]", "slots.a/b: "),
        ("[slots.a.s3]\nbucket = \"b\"", "slots.a.s3: "),
        (
            "[slots.a.object_store]\nurl = \"memory://\"",
            "slots.a.object_store: ",
        ),
        ("[webhook]\nsecret = \"\"", "webhook.secret: "),
        (
            "[[hooks]]\nurl = \"here\"\nsecret = \"0123456789abcdef0123456789abcdef\"",
            "hooks.0.url: ",
        ),
        (
            "[[hooks]]\nurl = \"http://a\"\nsecret = \"\"",
            "hooks.0.secret: ",
        ),
        ("[slots.a]\nwriter = \"tape\"", "slots.a.writer: "),
    ] {
        let text = trouble(toml);
        assert!(text.starts_with(key), "{text}");
    }
}

#[test]
fn hooks_and_webhook_are_read() {
    let config = read(
        "[webhook]\nsecret = \"0123456789abcdef0123456789abcdef\"\n[[hooks]]\nurl = \"http://a/x\"\nsecret = \"0123456789abcdef0123456789abcdef\"\n\
         [[hooks]]\nurl = \"http://b/y\"\nsecret = \"0123456789abcdef0123456789abcdef\"",
    )
    .expect("good");
    assert_eq!(config.hooks.len(), 2);
    let debug = format!("{config:?}");
    assert!(
        config.webhook.is_some() && !debug.contains("http://a/x"),
        "{debug}"
    );
    let twice =
        "[[hooks]]\nurl = \"http://a\"\nsecret = \"0123456789abcdef0123456789abcdef\"\n".repeat(2);
    assert!(trouble(&twice).starts_with("hooks.1.url: "));
    let many: String = (0..17)
        .map(|n| {
            format!(
                "[[hooks]]\nurl = \"http://a/{n}\"\nsecret = \"0123456789abcdef0123456789abcdef\"\n"
            )
        })
        .collect();
    assert!(trouble(&many).starts_with("hooks: "));
    if cfg!(not(feature = "hooks-tls")) {
        let text = trouble(
            "[[hooks]]\nurl = \"https://a\"\nsecret = \"0123456789abcdef0123456789abcdef\"",
        );
        assert!(
            text.starts_with("hooks.0.url: ") && text.contains("hooks-tls"),
            "{text}"
        );
    }
}

/// What a build cannot do is said with the feature that can.
#[test]
fn writers_of_other_builds_name_their_feature() {
    let s3 = "[slots.a]\nwriter = \"s3\"\n[slots.a.s3]\nbucket = \"b\"\nregion = \"r\"";
    let store = "[slots.a]\nwriter = \"object_store\"\n[slots.a.object_store]\nurl = \"memory://\"";
    for (toml, is_built, feature) in [
        (s3, cfg!(feature = "s3"), "\"s3\""),
        (store, cfg!(feature = "object-store"), "\"object-store\""),
    ] {
        match read(toml) {
            Ok(_) => assert!(is_built, "{feature}"),
            Err(error) => {
                let text = error.to_string();
                assert!(!is_built, "{text}");
                assert!(
                    text.starts_with("slots.a.writer: ") && text.contains(feature),
                    "{text}"
                );
            }
        }
    }
}

#[cfg(feature = "s3")]
#[test]
fn buckets_are_checked() {
    let slot = |keys: &str| {
        format!("[slots.a]\nwriter = \"s3\"\n[slots.a.s3]\nbucket = \"b\"\nregion = \"r\"\n{keys}")
    };
    for name in ["aws", "r2", "gcs", "minio", "garage", "generic"] {
        let config = read(&slot(&format!("provider = \"{name}\""))).expect(name);
        let s3 = config.slots["a"].s3.clone().expect("a bucket");
        assert_eq!(s3.provider.as_deref(), Some(name));
        assert_eq!(s3.max_parts_in_flight, 4);
    }
    for (keys, told) in [
        (
            "provider = \"tape\"",
            "slots.a.s3.provider: \"tape\" is none of aws, r2, gcs",
        ),
        ("provider = \"azure\"", "slots.a.s3.provider: \"azure\""),
        (
            "max_parts_in_flight = 0",
            "slots.a.s3.max_parts_in_flight: ",
        ),
        ("prefix = \"/x\"", "slots.a.s3.prefix: "),
        ("endpoint = \"s3://b\"", "slots.a.s3.endpoint: "),
    ] {
        let text = trouble(&slot(keys));
        assert!(text.starts_with(told), "{text}");
    }
    assert!(trouble(&slot("provider = \"azure\"")).contains("az://"));
}

/// What cannot be gone on with is no slot that says it can.
#[cfg(feature = "object-store")]
#[test]
fn resumable_slots_need_a_writer_that_can_reopen() {
    let slot = |url: &str, resumable: bool| {
        format!(
            "[slots.a]\nwriter = \"object_store\"\nresumable = {resumable}\n\
             [slots.a.object_store]\nurl = \"{url}\""
        )
    };
    for url in ["memory:///x", "s3://b/x", "gs://b/x", "az://b/x"] {
        assert!(read(&slot(url, true)).is_ok(), "{url}");
    }
    assert!(read(&slot("file:///x", false)).is_ok());
    let text = trouble(&slot("file:///x", true));
    assert!(text.starts_with("slots.a.resumable: "), "{text}");
}

#[cfg(feature = "presign")]
#[test]
fn direct_slots_need_a_bucket() {
    let slot = |s3: &str| format!("[slots.a]\ndirect = true\n{s3}");
    assert!(trouble(&slot("")).starts_with("slots.a.s3: "));
    let s3 = |keys: &str| slot(&format!("[slots.a.s3]\nregion = \"r\"\n{keys}"));
    assert!(read(&s3("bucket = \"b\"")).is_ok());
    for (keys, key) in [
        ("", "slots.a.s3.bucket: "),
        ("bucket = \"b\"\nprefix = \"../\"", "slots.a.s3.prefix: "),
        (
            "bucket = \"b\"\nendpoint = \"here\"",
            "slots.a.s3.endpoint: ",
        ),
        (
            "bucket = \"b\"\nexpires_seconds = 0",
            "slots.a.s3.expires_seconds: ",
        ),
        (
            "bucket = \"b\"\nexpires_seconds = 604801",
            "slots.a.s3.expires_seconds: ",
        ),
    ] {
        let text = trouble(&s3(keys));
        assert!(text.starts_with(key), "{text}");
    }
}

#[test]
fn shared_stores_need_to_know_where_they_are() {
    for store in ["redis", "postgres"] {
        for table in ["state", "slots.a"] {
            let text = trouble(&format!("[{table}]\nstore = \"{store}\""));
            assert!(text.starts_with("state."), "{text}");
        }
    }
}

#[test]
fn broken_toml_and_missing_files_are_errors() {
    assert!(read("listen = ").is_err());
    let missing = Config::load(Some(Path::new("/nonexistent/uploads.toml")));
    assert!(matches!(missing, Err(ConfigError::NoFile(_))));
}

#[test]
fn secrets_stay_out_of_debug_output() {
    let toml = "secret = \"0123456789abcdef0123456789abcdef\"\n\
        [state]\nredis_url = \"redis://:password@host\"\n\
        postgres_url = \"postgres://a:password@host/b\"";
    let debug = format!("{:?}", read(toml).expect("good"));
    assert!(!debug.contains("012345") && !debug.contains("password"));
}
