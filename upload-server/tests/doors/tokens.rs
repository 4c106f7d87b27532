//! Uploads that last longer than the tokens of their requests.

use std::time::Duration;

use axum::middleware::from_fn;
use upload_server::{AuthorizeRequest, AuthorizeStage};

use crate::{
    sign_in::{server, sign_in},
    wire::{MORE, OFFSET_TYPE, Server},
};

const FILES: &str = "/uploads/files/files";

/// A token lasts for minutes and an upload for hours: the newest request says until when.
#[tokio::test]
async fn an_upload_outlasts_the_token_that_it_began_with() {
    let server = server().await;
    let (short, long) = (("x-lasts", "400"), ("x-lasts", "60000"));
    let length = ("upload-length", "6");
    let created = server.tus("POST", FILES, &[length, short], b"").await;
    assert_eq!(created.status, 201, "{created:?}");
    let path = created.header("location").expect("a location");
    let append = async |at: &str, token, data: &[u8]| {
        let headers = [OFFSET_TYPE, ("upload-offset", at), token];
        server.tus("PATCH", path, &headers, data).await
    };
    assert_eq!(append("0", short, b"abc").await.status, 204);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let last = append("3", long, b"def").await;
    assert_eq!(last.status, 204, "{last:?}");
    assert_eq!(server.stored(), [b"abcdef"]);
}

/// T44: what came is kept where the sign-in ends while more comes, and continues with the next one.
#[tokio::test]
async fn what_came_outlives_a_token_that_ends_within_a_request() {
    let server = server().await;
    let (short, long) = (("x-lasts", "200"), ("x-lasts", "60000"));
    for draft in [false, true] {
        let (version, kind) = match draft {
            true => (MORE, ("content-type", "application/partial-upload")),
            false => (("tus-resumable", "1.0.0"), OFFSET_TYPE),
        };
        let length = ("upload-length", "6");
        let created = server
            .ask("POST", FILES, &[version, length, long], b"")
            .await;
        assert_eq!(created.status, 201, "{created:?}");
        let path = created.header("location").expect("a location");
        let mut wire = server.connect().await;
        let (at, bytes) = (("upload-offset", "0"), ("content-length", "6"));
        let headers = [version, kind, at, bytes, short];
        wire.send("PATCH", path, &headers, b"abc").await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        wire.write(b"def").await;
        let cut = wire.answer("PATCH").await;
        assert_eq!(cut.status, 503, "{cut:?}");
        assert!(cut.header("retry-after").is_some());
        let head = server.tus("HEAD", path, &[long], b"").await;
        assert_eq!(head.status, 200, "{head:?}");
        assert_eq!(head.number("upload-offset"), 3);
        let at = ("upload-offset", "3");
        let rest = [OFFSET_TYPE, at, long];
        let last = server.tus("PATCH", path, &rest, b"def").await;
        assert_eq!(last.status, 204, "{last:?}");
    }
    assert_eq!(server.stored(), [b"abcdef", b"abcdef"]);
}

/// CTRL-5: the same where all of it came, and the sign-in ends before it is known whether the file may be stored.
#[tokio::test]
async fn what_came_outlives_a_token_that_ends_before_its_file_is_stored() {
    let slow = async |request: AuthorizeRequest| {
        if request.stage == AuthorizeStage::Complete {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        true
    };
    let server = Server::behind(
        |builder| builder.authorize(slow),
        |router| router.layer(from_fn(sign_in)),
    )
    .await;
    let (short, long) = (("x-lasts", "200"), ("x-lasts", "60000"));
    let length = ("upload-length", "6");
    let created = server.tus("POST", FILES, &[length, long], b"").await;
    assert_eq!(created.status, 201, "{created:?}");
    let path = created.header("location").expect("a location");
    let headers = [OFFSET_TYPE, ("upload-offset", "0"), short];
    let late = server.tus("PATCH", path, &headers, b"abcdef").await;
    assert_eq!(late.status, 503, "{late:?}");
    assert!(late.header("retry-after").is_some());
    assert!(server.stored().is_empty());
    // T18: every byte is here, so the question stores the file.
    let head = server.tus("HEAD", path, &[long], b"").await;
    assert_eq!(head.status, 200, "{head:?}");
    assert_eq!(head.number("upload-offset"), 6);
    assert_eq!(server.stored(), [b"abcdef"]);
}

/// A file is not complete for somebody whose sign-in ended while it came.
#[tokio::test]
async fn nothing_completes_behind_the_end_of_its_sign_in() {
    let server = server().await;
    let mut wire = server.connect().await;
    let headers = [("x-lasts", "200"), ("content-length", "6")];
    wire.send("POST", FILES, &headers, b"abc").await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    wire.write(b"def").await;
    assert_eq!(wire.answer("POST").await.status, 403);
    assert!(server.stored().is_empty());
}
