//! The rules of the core of tus 1.0.0 (PROTOCOL section 12).

use crate::wire::{OFFSET_TYPE, Server, pattern};

const FILES: &str = "/uploads/files/files";

#[tokio::test]
async fn t1_every_answer_carries_the_version() {
    let server = Server::start().await;
    let path = server.create(3).await;
    for (method, path) in [
        ("POST", FILES),
        ("HEAD", &path),
        ("PATCH", &path),
        ("DELETE", "/uploads/files/files/nothing"),
        ("OPTIONS", FILES),
        ("PUT", &path),
    ] {
        let answer = server.tus(method, path, &[], b"").await;
        assert_eq!(answer.header("tus-resumable"), Some("1.0.0"), "{answer:?}");
    }
}

#[tokio::test]
async fn t2_another_version_is_412() {
    let server = Server::start().await;
    let headers = [("tus-resumable", "0.2.2"), ("upload-length", "3")];
    let answer = server.ask("POST", FILES, &headers, b"").await;
    assert_eq!(answer.status, 412);
    assert_eq!(answer.header("tus-version"), Some("1.0.0"));
    assert_eq!(answer.header("location"), None);
}

#[tokio::test]
async fn t3_head_is_served_without_a_version() {
    let server = Server::start().await;
    let path = server.create(3).await;
    let answer = server.ask("HEAD", &path, &[], b"").await;
    assert_eq!((answer.status, answer.number("upload-offset")), (200, 0));
    let headers = [OFFSET_TYPE, ("upload-offset", "0")];
    let answer = server.ask("PATCH", &path, &headers, b"abc").await;
    assert_eq!(answer.status, 412);
}

#[tokio::test]
async fn t4_options_tell_what_there_is() {
    let server = Server::start().await;
    let other = [("tus-resumable", "9.9.9")];
    for headers in [&[][..], &other] {
        let answer = server.ask("OPTIONS", FILES, headers, b"").await;
        assert_eq!(answer.status, 204);
        assert_eq!(answer.header("tus-version"), Some("1.0.0"));
        let extensions = answer.header("tus-extension").expect("extensions");
        assert!(extensions.contains("creation-with-upload"), "{extensions}");
        assert_eq!(answer.number("tus-max-size"), 50_000_000);
        assert_eq!(answer.header("tus-checksum-algorithm"), Some("sha1,sha256"));
    }
}

#[tokio::test]
async fn t5_the_method_is_overridden_on_post_only() {
    let server = Server::start().await;
    let path = server.create(3).await;
    let with = |method| {
        [
            OFFSET_TYPE,
            ("upload-offset", "0"),
            ("x-http-method-override", method),
        ]
    };
    let answer = server.tus("POST", &path, &with("PATCH"), b"ab").await;
    assert_eq!((answer.status, answer.number("upload-offset")), (204, 2));
    let answer = server.tus("POST", &path, &with("HEAD"), b"").await;
    assert_eq!((answer.status, answer.number("upload-offset")), (200, 2));
    let answer = server.tus("HEAD", &path, &with("DELETE"), b"").await;
    assert_eq!(answer.status, 200, "still there");
    let answer = server.tus("POST", &path, &with("BREW"), b"").await;
    assert_eq!(answer.status, 400);
    let answer = server.tus("POST", &path, &with("DELETE"), b"").await;
    assert_eq!(answer.status, 204);
}

#[tokio::test]
async fn t6_head_tells_how_far_an_upload_has_come() {
    let server = Server::start().await;
    let metadata = "zeta Yg==,filename YS50eHQ=,empty";
    let headers = [("upload-length", "5"), ("upload-metadata", metadata)];
    let created = server.tus("POST", FILES, &headers, b"").await;
    let path = created.header("location").expect("a location");
    for (at, data) in [(0, "ab"), (2, "")] {
        let answer = server.tus("HEAD", path, &[], b"").await;
        assert_eq!((answer.status, &*answer.body), (200, ""));
        assert_eq!(answer.number("upload-offset"), at);
        assert_eq!(answer.number("upload-length"), 5);
        assert_eq!(answer.header("upload-metadata"), Some(metadata));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        server.append(path, at, data.as_bytes()).await;
    }
}

#[tokio::test]
async fn t7_head_of_what_is_not_there_tells_no_offset() {
    let server = Server::start().await;
    let path = server.create(5).await;
    let (public, _) = path.split_once('~').expect("a capability");
    for path in [
        "/uploads/files/files/11111111-2222-3333-4444-555555555555",
        "/uploads/files/files/nothing",
        "/uploads/files/pictures/11111111-2222-3333-4444-555555555555",
        public,
        &format!("{public}~{}", "0".repeat(32)),
        &path.replace("/files/files/", "/files/pictures/"),
        &path.replace("/files/files/", "/files/none/"),
    ] {
        let answer = server.tus("HEAD", path, &[], b"").await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.header("upload-offset"), None);
    }
}

#[tokio::test]
async fn t9_appended_content_has_a_type() {
    let server = Server::start().await;
    let path = server.create(3).await;
    for headers in [
        &[("upload-offset", "0")][..],
        &[("upload-offset", "0"), ("content-type", "text/plain")],
    ] {
        let answer = server.tus("PATCH", &path, headers, b"abc").await;
        assert_eq!(answer.status, 415);
    }
    assert_eq!(server.offset(&path).await, 0);
}

#[tokio::test]
async fn t10_the_offset_has_to_be_the_current_one() {
    let server = Server::start().await;
    let path = server.create(5).await;
    for bad in ["", "-1", "1.0", "a"] {
        let headers = [OFFSET_TYPE, ("upload-offset", bad)];
        assert_eq!(
            server.tus("PATCH", &path, &headers, b"abc").await.status,
            400
        );
    }
    assert_eq!(
        server
            .tus("PATCH", &path, &[OFFSET_TYPE], b"abc")
            .await
            .status,
        400
    );
    for at in [1, 5, 99] {
        let answer = server.append(&path, at, b"a").await;
        assert_eq!((answer.status, answer.number("upload-offset")), (409, 0));
    }
    assert_eq!(server.offset(&path).await, 0);
}

#[tokio::test]
async fn t11_appended_content_is_answered_with_the_new_offset() {
    let server = Server::start().await;
    let bytes = pattern(100_000);
    let path = server.create(bytes.len()).await;
    let mut at = 0;
    for piece in bytes.chunks(33_000) {
        let answer = server.append(&path, at, piece).await;
        at += piece.len();
        assert_eq!((answer.status, answer.number("upload-offset")), (204, at));
    }
    assert_eq!(server.stored(), [bytes]);
}

#[tokio::test]
async fn t12_a_broken_body_is_kept() {
    let server = Server::start().await;
    let path = server.create(100_000).await;
    let mut wire = server.connect().await;
    let headers = [
        ("tus-resumable", "1.0.0"),
        OFFSET_TYPE,
        ("upload-offset", "0"),
        ("content-length", "100000"),
    ];
    wire.send("PATCH", &path, &headers, &pattern(60_000)).await;
    while server.offset(&path).await < 60_000 {
        // A HEAD ends the append, which is why it is sent anew.
        let at = server.offset(&path).await;
        server.append(&path, at, &pattern(60_000)[at..]).await;
    }
    drop(wire);
    assert_eq!(server.offset(&path).await, 60_000);
    let rest = &pattern(100_000)[60_000..];
    assert_eq!(server.append(&path, 60_000, rest).await.status, 204);
    assert_eq!(server.stored(), [pattern(100_000)]);
}

#[tokio::test]
async fn t13_content_past_the_length_is_413() {
    let server = Server::start().await;
    let path = server.create(4).await;
    let answer = server.append(&path, 0, b"abcdef").await;
    assert_eq!((answer.status, answer.number("upload-offset")), (413, 0));
    let mut wire = server.connect().await;
    let headers = [
        ("tus-resumable", "1.0.0"),
        OFFSET_TYPE,
        ("upload-offset", "0"),
        ("transfer-encoding", "chunked"),
    ];
    wire.send("PATCH", &path, &headers, b"6\r\nabcdef\r\n0\r\n\r\n")
        .await;
    let answer = wire.answer("PATCH").await;
    assert_eq!((answer.status, answer.number("upload-offset")), (413, 4));
    assert_eq!(server.stored(), [b"abcd"]);
    let path = server.create(4).await;
    let mut wire = server.connect().await;
    wire.send("PATCH", &path, &headers, b"2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n")
        .await;
    assert_eq!(wire.answer("PATCH").await.status, 204);
}

#[tokio::test]
async fn t14_appending_to_what_is_not_there_is_404_and_to_what_ended_410() {
    let server = Server::start().await;
    let nothing = "/uploads/files/files/11111111-2222-3333-4444-555555555555";
    assert_eq!(server.append(nothing, 0, b"abc").await.status, 404);
}

#[tokio::test]
async fn t15_an_empty_append_changes_nothing() {
    let server = Server::start().await;
    let path = server.create(4).await;
    for at in [0, 2, 4, 4] {
        let answer = server.append(&path, at, b"").await;
        assert_eq!((answer.status, answer.number("upload-offset")), (204, at));
        if at < 4 {
            server.append(&path, at, &b"abcd"[at..at + 2]).await;
        }
    }
    assert_eq!(server.stored(), [b"abcd"]);
}

#[tokio::test]
async fn t16_what_the_headers_refuse_is_not_asked_for() {
    let server = Server::start().await;
    let path = server.create(4).await;
    let headers = |at, length| {
        [
            ("tus-resumable", "1.0.0"),
            OFFSET_TYPE,
            ("upload-offset", at),
            ("content-length", length),
            ("expect", "100-continue"),
        ]
    };
    for (at, length, status) in [("1", "3", 409), ("0", "5", 413)] {
        let mut wire = server.connect().await;
        wire.send("PATCH", &path, &headers(at, length), b"").await;
        assert_eq!(wire.answer("PATCH").await.status, status, "no 100");
    }
    let mut wire = server.connect().await;
    wire.send("PATCH", &path, &headers("0", "4"), b"").await;
    assert_eq!(wire.answer("PATCH").await.status, 100);
    wire.write(b"abcd").await;
    assert_eq!(wire.answer("PATCH").await.status, 204);
}

#[tokio::test]
async fn t17_an_empty_file_is_complete_at_its_creation() {
    let server = Server::start().await;
    let path = server.create(0).await;
    assert_eq!(server.stored(), [b""]);
    assert_eq!(server.offset(&path).await, 0);
}

/// T18: who reads offset = length finds the file.
#[tokio::test]
async fn t18_the_whole_offset_means_a_stored_file() {
    let server = Server::start().await;
    let path = server.create(4).await;
    let answer = server.append(&path, 0, b"abcd").await;
    assert_eq!(answer.status, 204);
    assert!(answer.header("upload-result").is_some());
    assert_eq!(server.stored(), [b"abcd"]);
    let head = server.tus("HEAD", &path, &[], b"").await;
    assert_eq!(head.number("upload-offset"), head.number("upload-length"));
    assert!(head.header("upload-result").is_some());
}
