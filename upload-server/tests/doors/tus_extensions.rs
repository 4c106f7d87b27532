//! The rules of the extensions of tus 1.0.0 (PROTOCOL section 12).

use std::time::{Duration, SystemTime};

use base64_simd::STANDARD;
use sha1::{Digest, Sha1};
use upload_server::Limits;

use crate::wire::{Answer, OFFSET_TYPE, Server};

const FILES: &str = "/uploads/files/files";

#[tokio::test]
async fn t20_a_creation_needs_one_length() {
    let server = Server::start().await;
    for headers in [
        &[][..],
        &[("upload-length", "-1")],
        &[("upload-length", "3"), ("upload-defer-length", "1")],
        &[("upload-defer-length", "2")],
    ] {
        let answer = server.tus("POST", FILES, headers, b"").await;
        assert_eq!(answer.status, 400, "{headers:?}");
    }
}

#[tokio::test]
async fn t21_the_location_is_a_path_or_a_configured_address() {
    let server = Server::start().await;
    let path = server.create(3).await;
    assert!(path.starts_with("/uploads/files/files/"), "{path}");
    let server =
        Server::with(|builder| builder.public_url("https://example.org/app/uploads/")).await;
    let location = server.create(3).await;
    let start = "https://example.org/app/uploads/files/files/";
    assert!(location.starts_with(start), "{location}");
}

#[tokio::test]
async fn t22_more_than_the_slot_takes_is_413() {
    let server = Server::start().await;
    for length in ["50000001", "99999999999999999999999"] {
        let answer = server
            .tus("POST", FILES, &[("upload-length", length)], b"")
            .await;
        assert_eq!(answer.status, 413, "{length}");
    }
}

#[tokio::test]
async fn t23_metadata_may_be_empty_and_must_be_good() {
    let server = Server::start().await;
    for (metadata, status) in [("", 201), ("a", 201), ("a YQ==,a YQ==", 400), ("a *", 400)] {
        let headers = [("upload-length", "3"), ("upload-metadata", metadata)];
        let answer = server.tus("POST", FILES, &headers, b"").await;
        assert_eq!(answer.status, status, "{metadata}");
    }
}

/// T24: the name decides whether the slot takes a file.
#[tokio::test]
async fn t24_name_and_type_come_with_the_metadata() {
    let server = Server::start().await;
    // a.png, a.txt
    for (name, status) in [("YS5wbmc=", 201), ("YS50eHQ=", 415)] {
        let metadata = format!("filename {name}");
        let headers = [("upload-length", "3"), ("upload-metadata", &*metadata)];
        let answer = server
            .tus("POST", "/uploads/files/pictures", &headers, b"")
            .await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
}

#[tokio::test]
async fn t25_unknown_headers_are_ignored() {
    let server = Server::start().await;
    let headers = [
        ("upload-length", "3"),
        ("upload-future", "1"),
        ("upload-checksum", "sha1 AAAA"),
    ];
    let answer = server.tus("POST", FILES, &headers, b"").await;
    assert_eq!(answer.status, 201, "a checksum of nothing too");
}

#[tokio::test]
async fn t26_a_creation_may_bring_content() {
    let server = Server::start().await;
    let headers = [OFFSET_TYPE, ("upload-length", "5")];
    let answer = server.tus("POST", FILES, &headers, b"abc").await;
    assert_eq!((answer.status, answer.number("upload-offset")), (201, 3));
    let path = answer.header("location").expect("a location");
    assert_eq!(server.append(path, 3, b"de").await.status, 204);
    assert_eq!(server.stored(), [b"abcde"]);
    let whole = server.tus("POST", FILES, &headers, b"12345").await;
    assert_eq!((whole.status, whole.number("upload-offset")), (201, 5));
    let other = [("content-type", "text/plain"), ("upload-length", "5")];
    assert_eq!(server.tus("POST", FILES, &other, b"abc").await.status, 415);
}

#[tokio::test]
async fn t30_an_unfinished_upload_tells_when_it_expires() {
    let server = Server::start().await;
    let created = server
        .tus("POST", FILES, &[("upload-length", "3")], b"")
        .await;
    assert!(
        created
            .header("upload-expires")
            .expect("a date")
            .ends_with("GMT")
    );
    let path = created.header("location").expect("a location");
    let answer = server.append(path, 0, b"a").await;
    assert!(answer.header("upload-expires").is_some());
    let head = server.tus("HEAD", path, &[], b"").await;
    assert!(head.header("upload-expires").is_some());
}

/// T30: however an upload progresses, it is not kept for longer than one may be unfinished.
#[tokio::test]
async fn t30_no_upload_outlives_the_longest() {
    const LONGEST: Duration = Duration::from_secs(100);

    let mut limits = Limits::default();
    limits.session.unfinished_max = Some(LONGEST);
    let server = Server::with(|builder| builder.limits(limits)).await;
    let expires = |answer: &Answer| {
        let date = answer.header("upload-expires").expect("a date");
        httpdate::parse_http_date(date).expect("a date")
    };
    let created = server
        .tus("POST", FILES, &[("upload-length", "3")], b"")
        .await;
    let first = expires(&created);
    assert!(first <= SystemTime::now() + LONGEST, "{created:?}");
    let path = created.header("location").expect("a location");
    let appended = server.append(path, 0, b"a").await;
    let head = server.tus("HEAD", path, &[], b"").await;
    for answer in [appended, head] {
        assert_eq!(expires(&answer), first, "{answer:?}");
    }
}

#[tokio::test]
async fn t31_content_with_another_checksum_is_460() {
    let server = Server::start().await;
    let path = server.create(6).await;
    let sum = |data: &[u8]| format!("sha1 {}", STANDARD.encode_to_string(Sha1::digest(data)));
    let with = |sum: &str| sum.to_owned();
    for (sum, data, status, at) in [
        (with("sha1 ***"), &b"abc"[..], 400, 0),
        (with("crc99 AAAA"), b"abc", 400, 0),
        (sum(b"xyz"), b"abc", 460, 0),
        (sum(b"abc"), b"abc", 204, 3),
    ] {
        let headers = [
            OFFSET_TYPE,
            ("upload-offset", "0"),
            ("upload-checksum", &*sum),
        ];
        let answer = server.tus("PATCH", &path, &headers, data).await;
        assert_eq!(answer.status, status, "{sum}");
        assert_eq!(server.offset(&path).await, at);
    }
    let right = sum(b"def");
    let headers = [
        OFFSET_TYPE,
        ("upload-offset", "3"),
        ("upload-checksum", &*right),
    ];
    assert_eq!(
        server.tus("PATCH", &path, &headers, b"def").await.status,
        204
    );
    assert_eq!(server.stored(), [b"abcdef"]);
}

/// T32: not announced, and a trailer is no checksum.
#[tokio::test]
async fn t32_checksums_in_trailers_are_not_announced() {
    let server = Server::start().await;
    let answer = server.ask("OPTIONS", FILES, &[], b"").await;
    let extensions = answer.header("tus-extension").expect("extensions");
    assert!(!extensions.contains("checksum-trailer"), "{extensions}");
}

#[tokio::test]
async fn t33_a_deleted_upload_is_gone() {
    let server = Server::start().await;
    let path = server.create(6).await;
    server.append(&path, 0, b"abc").await;
    assert_eq!(server.tus("DELETE", &path, &[], b"").await.status, 204);
    for method in ["HEAD", "DELETE"] {
        let answer = server.tus(method, &path, &[], b"").await;
        assert!([404, 410].contains(&answer.status), "{answer:?}");
        assert_eq!(answer.header("upload-offset"), None);
    }
}

#[tokio::test]
async fn t34_a_delete_ends_an_append_that_runs() {
    let server = Server::start().await;
    let path = server.create(100).await;
    let mut wire = server.connect().await;
    let headers = [
        ("tus-resumable", "1.0.0"),
        OFFSET_TYPE,
        ("upload-offset", "0"),
        ("content-length", "100"),
    ];
    wire.send("PATCH", &path, &headers, b"abc").await;
    assert_eq!(server.tus("DELETE", &path, &[], b"").await.status, 204);
    let answer = wire.answer("PATCH").await;
    assert!([404, 410, 423].contains(&answer.status), "{answer:?}");
}

#[tokio::test]
async fn t35_a_complete_upload_is_not_deleted() {
    let server = Server::start().await;
    let headers = [OFFSET_TYPE, ("upload-length", "3")];
    let created = server
        .tus("POST", "/uploads/files/taken", &headers, b"abc")
        .await;
    let path = created.header("location").expect("a location").to_owned();
    assert_eq!(server.tus("DELETE", &path, &[], b"").await.status, 403);
    assert_eq!(server.stored(), [b"abc"]);
}

/// T36, T38, T39: not announced, and refused before anything is stored.
#[tokio::test]
async fn t36_concatenation_is_refused() {
    let server = Server::start().await;
    let answer = server.ask("OPTIONS", FILES, &[], b"").await;
    assert!(!answer.head.contains("concatenation"));
    for concat in [
        "partial",
        "final;/uploads/files/files/a /uploads/files/files/b",
    ] {
        let headers = [("upload-length", "3"), ("upload-concat", concat)];
        let answer = server.tus("POST", FILES, &headers, b"").await;
        assert_eq!(answer.status, 501);
        assert_eq!(answer.header("location"), None);
    }
    assert!(server.stored().is_empty());
}

#[tokio::test]
async fn t47_coded_content_is_415() {
    let server = Server::start().await;
    let path = server.create(3).await;
    for (coding, status) in [("gzip", 415), ("identity", 204)] {
        let headers = [
            OFFSET_TYPE,
            ("upload-offset", "0"),
            ("content-encoding", coding),
        ];
        let answer = server.tus("PATCH", &path, &headers, b"abc").await;
        assert_eq!(answer.status, status, "{coding}");
    }
}

/// T27: an upload without a length says so until an append tells it, once.
#[tokio::test]
async fn t27_the_length_may_follow() {
    let server = Server::start().await;
    let created = server
        .tus("POST", FILES, &[("upload-defer-length", "1")], b"")
        .await;
    assert_eq!(created.status, 201, "{created:?}");
    let path = created.header("location").expect("a location");
    assert_eq!(server.append(path, 0, b"abcd").await.status, 204);
    let head = server.tus("HEAD", path, &[], b"").await;
    assert_eq!(head.header("upload-defer-length"), Some("1"));
    assert_eq!(
        (head.number("upload-offset"), head.header("upload-length")),
        (4, None)
    );
    for (length, status) in [
        ("3", 400),
        ("x", 400),
        ("50000001", 413),
        ("6", 204),
        ("7", 400),
        ("6", 204),
    ] {
        let headers = [
            OFFSET_TYPE,
            ("upload-offset", "4"),
            ("upload-length", length),
        ];
        let answer = server.tus("PATCH", path, &headers, b"").await;
        assert_eq!(answer.status, status, "{length}");
    }
    let head = server.tus("HEAD", path, &[], b"").await;
    assert_eq!(
        (
            head.number("upload-length"),
            head.header("upload-defer-length")
        ),
        (6, None)
    );
    assert_eq!(server.append(path, 4, b"ef").await.status, 204);
    assert_eq!(server.stored(), [b"abcdef"]);
}

#[tokio::test]
async fn t28_an_empty_last_append_completes_and_is_repeatable() {
    let server = Server::start().await;
    let headers = [OFFSET_TYPE, ("upload-defer-length", "1")];
    let created = server.tus("POST", FILES, &headers, b"abc").await;
    assert_eq!((created.status, created.number("upload-offset")), (201, 3));
    let path = created.header("location").expect("a location");
    for _ in 0..2 {
        let headers = [OFFSET_TYPE, ("upload-offset", "3"), ("upload-length", "3")];
        let answer = server.tus("PATCH", path, &headers, b"").await;
        assert_eq!((answer.status, answer.number("upload-offset")), (204, 3));
    }
    assert_eq!(server.stored(), [b"abc"]);
}
