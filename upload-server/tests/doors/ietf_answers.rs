//! What answers of the IETF's draft tell: limits, lengths and codings (PROTOCOL section 12).

use std::time::Duration;

use upload_server::Limits;

use crate::wire::{Answer, LAST, MORE, Server};

const FILES: &str = "/uploads/files/files";
const PARTIAL: (&str, &str) = ("content-type", "application/partial-upload");

fn limit(answer: &Answer) -> &str {
    let limit = answer.header("upload-limit");
    limit.unwrap_or_else(|| panic!("Upload-Limit in {answer:?}"))
}

/// R10: tus-js-client speaks versions 5 and 6, and takes an offset that is the length for a file that is stored.
#[tokio::test]
async fn r10_every_byte_without_the_last_word_is_not_the_end() {
    let server = Server::start().await;
    for (version, is_told) in [("5", false), ("6", false), ("8", true)] {
        let version = ("upload-draft-interop-version", version);
        let length = ("upload-length", "6");
        let created = server
            .ask("POST", FILES, &[version, MORE, length], b"abc")
            .await;
        let path = created.header("location").expect("a location");
        let head = server.ask("HEAD", path, &[version], b"").await;
        assert_eq!(head.number("upload-length"), 6, "{head:?}");
        let headers = [version, PARTIAL, MORE, ("upload-offset", "3")];
        let appended = server.ask("PATCH", path, &headers, b"def").await;
        assert_eq!(appended.status, 204, "{appended:?}");
        let head = server.ask("HEAD", path, &[version], b"").await;
        assert_eq!(head.header("upload-complete"), Some("?0"), "{head:?}");
        assert_eq!(head.number("upload-offset"), 6);
        let told = head.header("upload-length");
        assert_eq!(told, is_told.then_some("6"), "{head:?}");
        let headers = [version, PARTIAL, LAST, ("upload-offset", "6")];
        let ended = server.ask("PATCH", path, &headers, b"").await;
        assert_eq!(ended.status, 200, "{ended:?}");
        let head = server.ask("HEAD", path, &[version], b"").await;
        assert_eq!(head.number("upload-length"), 6, "it is complete");
    }
}

/// R18: whatever is too large, its refusal tells how large a file may be.
#[tokio::test]
async fn r18_every_413_tells_the_limits() {
    let server = Server::start().await;
    let is_told = |answer: &Answer| {
        assert_eq!(answer.status, 413, "{answer:?}");
        assert!(limit(answer).contains("max-size=50000000"), "{answer:?}");
    };
    let length = ("upload-length", "50000001");
    is_told(&server.ask("POST", FILES, &[MORE, length], b"").await);
    // More than any file has.
    let mut wire = server.connect().await;
    let headers = [LAST, ("content-length", "9007199254740992")];
    wire.send("POST", FILES, &headers, b"").await;
    is_told(&wire.answer("POST").await);
    let created = server.ask("POST", FILES, &[MORE], b"").await;
    let path = created.header("location").expect("a location");
    let headers = [PARTIAL, MORE, ("upload-offset", "0"), length];
    is_told(&server.ask("PATCH", path, &headers, b"").await);
}

/// R18: no upload is said to be kept for longer than one may be unfinished.
#[tokio::test]
async fn r18_no_upload_outlives_the_longest() {
    let mut limits = Limits::default();
    limits.session.unfinished_max = Some(Duration::from_secs(100));
    let server = Server::with(|builder| builder.limits(limits)).await;
    let created = server.ask("POST", FILES, &[MORE], b"abc").await;
    let path = created.header("location").expect("a location");
    let draft = ("upload-draft-interop-version", "8");
    let told = server.ask("HEAD", path, &[draft], b"").await;
    let plain = server.ask("HEAD", path, &[], b"").await;
    for answer in [&created, &told, &plain] {
        let (_, age) = limit(answer).split_once("max-age=").expect("an age");
        let age: u64 = age.parse().expect("a number");
        assert!(age <= 100, "{answer:?}");
    }
}
