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
