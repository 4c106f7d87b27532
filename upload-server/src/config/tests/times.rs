//! Times and sizes, as numbers and as text.

use std::time::Duration;

use super::{read, trouble};

/// Each key of a time takes numbers and text, and says so where it finds neither.
#[test]
fn times_may_be_text_wherever_there_are_some() {
    let bucket = "[slots.a]\ndirect = true\n[slots.a.s3]\nbucket = \"b\"\nregion = \"r\"\n";
    for (table, key) in [
        ("[limits]\n", "idle_upload_seconds"),
        ("[limits]\n", "handshake_seconds"),
        ("[limits]\n", "first_message_seconds"),
        ("[limits]\n", "ping_seconds"),
        ("[limits]\n", "sweep_seconds"),
        ("[state]\n", "ttl_seconds"),
        (bucket, "expires_seconds"),
    ] {
        for good in ["90", "\"90s\"", "\"1m 30s\""] {
            let config = read(&format!("{table}{key} = {good}"));
            assert!(config.is_ok(), "{key} = {good}: {config:?}");
        }
        for bad in ["\"soon\"", "true", "-1", "1.5"] {
            let text = trouble(&format!("{table}{key} = {bad}"));
            assert!(text.contains(key) && text.contains("\"1h 30m\""), "{text}");
        }
    }
    let config = read("[limits]\nidle_upload_seconds = \"2m\"").expect("good");
    assert_eq!(config.limits().session.idle_upload.as_secs(), 120);
    let text = trouble("min_free = \"much\"");
    assert!(
        text.contains("min_free") && text.contains("\"64KiB\""),
        "{text}"
    );
}

/// A record that lives for a second is leased for no longer.
#[test]
fn a_short_life_of_records_shortens_their_leases() {
    let config = read("[state]\nttl_seconds = 1").expect("all good");
    let limits = config.limits();
    assert_eq!(limits.session.lease_ttl, Duration::from_secs(1));
    assert_eq!(limits.contradiction(), None);
}
