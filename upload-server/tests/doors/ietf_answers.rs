//! What answers of the IETF's draft tell: limits, lengths and codings (PROTOCOL section 12).

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio::net::TcpListener;
use upload_server::Limits;

use crate::{
    leaving::{Rig, SLOW, WINDOW},
    wire::{Answer, LAST, MORE, OFFSET_TYPE, Server, files, pattern},
};

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

/// R7: a question that names no protocol ends no upload of the draft, and shows no client of tus an end that is none.
/// In the words of tus it does end it (T18).
#[tokio::test]
async fn r7_a_question_without_a_protocol_is_no_last_word() {
    let server = Server::start().await;
    let length = ("upload-length", "6");
    let create = async || {
        let created = server.ask("POST", FILES, &[MORE, length], b"abcdef").await;
        assert_eq!(created.status, 201, "{created:?}");
        created.header("location").expect("a location").to_owned()
    };
    let path = create().await;
    for method in ["HEAD", "GET"] {
        let told = server.ask(method, &path, &[], b"").await;
        assert_eq!((told.status, told.number("upload-offset")), (200, 6));
        assert_eq!(told.header("upload-complete"), Some("?0"), "{told:?}");
        assert_eq!(told.header("upload-length"), None, "{told:?}");
    }
    assert!(server.stored().is_empty());
    let headers = [PARTIAL, LAST, ("upload-offset", "6")];
    let ended = server.ask("PATCH", &path, &headers, b"").await;
    assert_eq!(ended.status, 200, "{ended:?}");
    let head = server.ask("HEAD", &path, &[], b"").await;
    assert_eq!(head.number("upload-length"), 6, "it is complete");
    assert_eq!(head.header("upload-complete"), Some("?1"));
    let path = create().await;
    assert_eq!(server.offset(&path).await, 6);
    assert_eq!(server.stored(), [b"abcdef", b"abcdef"]);
}

/// R7, R8: a last append of which all came completes its upload, though its client has left.
#[tokio::test]
async fn r8_content_that_came_whole_is_not_broken_off() {
    let rig = Rig::with_small_window().await;
    let body = pattern(WINDOW + 1000);
    let length = body.len().to_string();
    let creation = [MORE, ("upload-length", &*length)];
    let created = rig.server.ask("POST", SLOW, &creation, b"").await;
    let path = created.header("location").expect("a location");
    let headers = [
        PARTIAL,
        LAST,
        ("upload-offset", "0"),
        ("content-length", &*length),
    ];
    rig.send_and_leave(("PATCH", path), &headers, body.split_at(WINDOW))
        .await;
    rig.stores(&body).await;
    let draft = ("upload-draft-interop-version", "8");
    let head = rig.server.ask("HEAD", path, &[draft], b"").await;
    assert_eq!(head.header("upload-complete"), Some("?1"), "{head:?}");
}

/// T13, R16: what follows a complete upload is refused whether its length is known or not.
#[tokio::test]
async fn r16_content_without_a_length_does_not_follow_the_end() {
    let server = Server::start().await;
    let chunked = ("transfer-encoding", "chunked");
    let created = server.ask("POST", FILES, &[LAST], b"abcdef").await;
    let path = created.header("location").expect("a location");
    let at = ("upload-offset", "6");
    for (headers, excess, repeat) in [
        (&[PARTIAL, LAST, at, chunked][..], 400, 200),
        (
            &[("tus-resumable", "1.0.0"), OFFSET_TYPE, at, chunked],
            413,
            204,
        ),
    ] {
        for (body, status) in [
            (&b"3\r\nxyz\r\n0\r\n\r\n"[..], excess),
            (b"0\r\n\r\n", repeat),
        ] {
            let answer = server.ask("PATCH", path, headers, body).await;
            assert_eq!(answer.status, status, "{answer:?}");
            assert_eq!(answer.number("upload-offset"), 6, "{answer:?}");
        }
    }
    assert_eq!(server.stored(), [b"abcdef"]);
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

/// A server with a slot `open`, which looks for nothing in what it takes.
async fn with_open_slot() -> Server {
    Server::with(|builder| {
        let open = files().allow_active_content(true);
        builder.allow_upload("open", open)
    })
    .await
}

/// Gives out the finished files of these slots.
async fn given_out(server: &Server) -> Server {
    let slots = ["open", "files"];
    let app = server.uploads.public_files(slots).expect("slots of files");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, app).await });
    Server {
        address,
        uploads: server.uploads.clone(),
        dir: Arc::clone(&server.dir),
    }
}

fn path_in(result: &Value) -> String {
    let path = result["path"].as_str().expect("a path");
    format!("/{path}")
}

/// R9: a file keeps its coding, with which it is given out.
#[tokio::test]
async fn r9_the_coding_is_kept() {
    let server = with_open_slot().await;
    let headers = [
        LAST,
        ("content-encoding", "gzip"),
        ("content-disposition", "attachment; filename=\"a.txt\""),
    ];
    let created = server
        .ask("POST", "/uploads/files/open", &headers, b"coded")
        .await;
    assert_eq!(created.status, 200, "{created:?}");
    let json = created.json();
    assert_eq!((&json["name"], &json["size"]), (&"a.txt".into(), &5.into()));
    let upload = created.header("location").expect("a location");
    let head = server.tus("HEAD", upload, &[], b"").await;
    assert_eq!(head.header("upload-metadata"), None, "the client sent none");
    let path = path_in(&json["result"]);
    let answer = given_out(&server).await.ask("GET", &path, &[], b"").await;
    assert_eq!((answer.status, &*answer.body), (200, "coded"));
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    let disposition = answer.header("content-disposition").expect("a name");
    assert!(disposition.contains("\"a.txt\""), "{disposition}");
}

/// R9, R19: what a slot looks for cannot be found in coded bytes.
#[tokio::test]
async fn r9_coded_content_is_refused_where_it_cannot_be_judged() {
    let server = with_open_slot().await;
    for (slot, coding, status) in [
        ("files", "gzip", 415),
        ("pictures", "gzip", 415),
        ("open", "gzip, br", 415),
        ("files", "identity", 200),
    ] {
        let path = format!("/uploads/files/{slot}");
        let headers = [LAST, ("content-encoding", coding)];
        let answer = server.ask("POST", &path, &headers, b"abc").await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.header("upload-complete"), Some("?1"));
    }
    assert_eq!(server.stored(), [b"abc"]);
}

/// R9: of a slot that judges content, no file is given out as if it were coded, whatever its client says elsewhere.
#[tokio::test]
async fn r9_judged_content_is_given_out_as_it_was_judged() {
    let server = with_open_slot().await;
    // content-encoding: gzip, filename: a.txt
    let metadata = "content-encoding Z3ppcA==,filename YS50eHQ=";
    let headers = [
        OFFSET_TYPE,
        ("upload-length", "3"),
        ("upload-metadata", metadata),
    ];
    let created = server.tus("POST", FILES, &headers, b"abc").await;
    assert_eq!(created.status, 201, "{created:?}");
    let result = created.header("upload-result").expect("a result");
    let result = serde_json::from_str(result).expect("JSON");
    let path = path_in(&result);
    let answer = given_out(&server).await.ask("GET", &path, &[], b"").await;
    assert_eq!((answer.status, &*answer.body), (200, "abc"));
    assert_eq!(answer.header("content-encoding"), None);
    let upload = created.header("location").expect("a location");
    let head = server.tus("HEAD", upload, &[], b"").await;
    assert_eq!(head.header("upload-metadata"), Some(metadata));
}
