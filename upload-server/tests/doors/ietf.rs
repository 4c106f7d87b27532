//! The rules of the IETF's draft (PROTOCOL section 12).

use crate::wire::{Answer, LAST, MORE, Server, pattern};

const FILES: &str = "/uploads/files/files";
const PARTIAL: (&str, &str) = ("content-type", "application/partial-upload");

async fn create(server: &Server, length: usize) -> String {
    let length = length.to_string();
    let answer = server
        .ask("POST", FILES, &[MORE, ("upload-length", &length)], b"")
        .await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.header("location").expect("a location").to_owned()
}

async fn append(
    server: &Server,
    path: &str,
    at: usize,
    complete: (&str, &str),
    data: &[u8],
) -> Answer {
    let at = at.to_string();
    let headers = [PARTIAL, complete, ("upload-offset", &*at)];
    server.ask("PATCH", path, &headers, data).await
}

/// R2, R7: a whole file in one request.
#[tokio::test]
async fn r2_a_creation_may_be_the_whole_upload() {
    let server = Server::start().await;
    for method in ["POST", "PUT"] {
        let answer = server.ask(method, FILES, &[LAST], b"abc").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("upload-complete"), Some("?1"));
        assert!(answer.header("location").is_some());
        assert_eq!(answer.json()["size"], 3);
    }
    assert_eq!(server.stored(), [b"abc", b"abc"]);
}

#[tokio::test]
async fn r3_lengths_have_to_agree() {
    let server = Server::start().await;
    let answer = server
        .ask("POST", FILES, &[LAST, ("upload-length", "5")], b"abc")
        .await;
    assert_eq!(answer.status, 400);
    let problem = answer.json();
    let kind = problem["type"].as_str().expect("a type");
    assert!(kind.ends_with("#inconsistent-upload-length"), "{kind}");
}

/// R4: no 104 is sent, whatever version a client speaks.
#[tokio::test]
async fn r4_no_104_is_sent() {
    let server = Server::start().await;
    for version in ["5", "6", "8"] {
        let headers = [
            MORE,
            ("upload-length", "6"),
            ("upload-draft-interop-version", version),
        ];
        let answer = server.ask("POST", FILES, &headers, b"abc").await;
        assert_eq!(answer.status, 201, "the first answer");
    }
}

#[tokio::test]
async fn r6_a_creation_that_is_not_the_end_is_201() {
    let server = Server::start().await;
    let answer = server
        .ask("POST", FILES, &[MORE, ("upload-length", "6")], b"abc")
        .await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("upload-complete"), Some("?0"));
    assert_eq!(answer.number("upload-offset"), 3);
    let limit = answer.header("upload-limit").expect("limits");
    assert!(
        limit.contains("max-size=50000000") && limit.contains("max-age="),
        "{limit}"
    );
}

/// R5: the location is the same in every answer to a creation.
#[tokio::test]
async fn r5_the_location_is_the_uploads() {
    let server = Server::start().await;
    let answer = server.ask("POST", FILES, &[LAST], b"abc").await;
    let path = answer.header("location").expect("a location");
    let head = server
        .ask("HEAD", path, &[("upload-draft-interop-version", "8")], b"")
        .await;
    assert_eq!(
        (head.status, head.header("upload-complete")),
        (204, Some("?1"))
    );
}

#[tokio::test]
async fn r7_every_byte_is_not_the_end() {
    let server = Server::start().await;
    let path = create(&server, 6).await;
    let answer = append(&server, &path, 0, MORE, b"abcdef").await;
    assert_eq!(
        (answer.status, answer.header("upload-complete")),
        (204, Some("?0"))
    );
    assert!(server.stored().is_empty());
    let answer = append(&server, &path, 6, LAST, b"").await;
    assert_eq!(
        (answer.status, answer.header("upload-complete")),
        (200, Some("?1"))
    );
    assert_eq!(server.stored(), [b"abcdef"]);
}

#[tokio::test]
async fn r8_what_came_of_a_broken_request_is_kept() {
    let server = Server::start().await;
    let path = create(&server, 100_000).await;
    let mut wire = server.connect().await;
    let headers = [
        PARTIAL,
        LAST,
        ("upload-offset", "0"),
        ("content-length", "100000"),
    ];
    wire.send("PATCH", &path, &headers, &pattern(60_000)).await;
    let at = server
        .ask("HEAD", &path, &[], b"")
        .await
        .number("upload-offset");
    drop(wire);
    let rest = &pattern(100_000)[at..];
    assert_eq!(append(&server, &path, at, LAST, rest).await.status, 200);
    assert_eq!(server.stored(), [pattern(100_000)]);
}

#[tokio::test]
async fn r9_name_and_type_are_kept() {
    let server = Server::start().await;
    let headers = [
        LAST,
        ("content-type", "text/plain"),
        (
            "content-disposition",
            "attachment; filename*=UTF-8''%c3%a4.txt",
        ),
    ];
    let json = server.ask("POST", FILES, &headers, b"abc").await.json();
    assert_eq!(
        (&json["name"], &json["type"]),
        (&"ä.txt".into(), &"text/plain".into())
    );
}

#[tokio::test]
async fn r10_an_offset_is_asked_for_without_one() {
    let server = Server::start().await;
    let path = create(&server, 6).await;
    append(&server, &path, 0, MORE, b"abc").await;
    let version = ("upload-draft-interop-version", "8");
    for method in ["HEAD", "GET"] {
        let answer = server.ask(method, &path, &[version], b"").await;
        assert_eq!((answer.status, answer.number("upload-offset")), (204, 3));
        assert_eq!(answer.header("upload-complete"), Some("?0"));
        assert_eq!(answer.number("upload-length"), 6);
        assert!(answer.header("upload-limit").is_some());
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        for extra in [("upload-offset", "3"), MORE] {
            let answer = server.ask(method, &path, &[version, extra], b"").await;
            assert_eq!(answer.status, 400, "{extra:?}");
        }
    }
}

/// R11: the offset that the server tells is accepted.
#[tokio::test]
async fn r11_the_offset_is_accepted() {
    let server = Server::start().await;
    let path = create(&server, 6).await;
    append(&server, &path, 0, MORE, b"abc").await;
    let at = server
        .ask("HEAD", &path, &[], b"")
        .await
        .number("upload-offset");
    assert_eq!(append(&server, &path, at, LAST, b"def").await.status, 200);
}

#[tokio::test]
async fn r12_an_append_has_type_offset_and_word() {
    let server = Server::start().await;
    let path = create(&server, 6).await;
    for (headers, status) in [
        (&[MORE, ("upload-offset", "0")][..], 415),
        (&[PARTIAL, MORE], 400),
        (&[PARTIAL, ("upload-offset", "0")], 400),
        (&[PARTIAL, MORE, ("upload-offset", "x")], 400),
        // Version 5 has no separate type.
        (
            &[
                MORE,
                ("upload-offset", "0"),
                ("upload-draft-interop-version", "5"),
            ],
            204,
        ),
    ] {
        let answer = server.ask("PATCH", &path, headers, b"abc").await;
        assert_eq!(answer.status, status, "{headers:?}");
    }
}

#[tokio::test]
async fn r13_another_offset_is_409_with_the_right_one() {
    let server = Server::start().await;
    let path = create(&server, 6).await;
    append(&server, &path, 0, MORE, b"abc").await;
    let answer = append(&server, &path, 5, LAST, b"f").await;
    assert_eq!((answer.status, answer.number("upload-offset")), (409, 3));
    assert_eq!(answer.header("upload-complete"), Some("?0"));
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    let problem = answer.json();
    let kind = problem["type"].as_str().expect("a type");
    assert!(kind.ends_with("#mismatching-upload-offset"), "{kind}");
    assert_eq!(
        (&problem["expected-offset"], &problem["provided-offset"]),
        (&3.into(), &5.into())
    );
}

#[tokio::test]
async fn r14_an_append_tells_the_offset() {
    let server = Server::start().await;
    let path = create(&server, 6).await;
    let answer = append(&server, &path, 0, MORE, b"abc").await;
    assert_eq!((answer.status, answer.number("upload-offset")), (204, 3));
    assert_eq!(answer.header("upload-complete"), Some("?0"));
}

#[tokio::test]
async fn r15_a_length_that_is_wrong_is_400() {
    let server = Server::start().await;
    let path = create(&server, 6).await;
    let short = append(&server, &path, 0, LAST, b"abc").await;
    assert_eq!(
        (short.status, short.header("upload-complete")),
        (400, Some("?0"))
    );
    assert!(server.stored().is_empty());
    let long = append(&server, &path, 3, MORE, b"defgh").await;
    assert_eq!(
        (long.status, long.header("upload-complete")),
        (400, Some("?0"))
    );
    let kind = long.json()["type"].as_str().expect("a type").to_owned();
    assert!(kind.ends_with("#inconsistent-upload-length"), "{kind}");
    let gone = server.ask("HEAD", &path, &[], b"").await.status;
    assert!([404, 410].contains(&gone), "the upload is invalid: {gone}");
}

#[tokio::test]
async fn r16_the_final_answer_is_repeated() {
    let server = Server::start().await;
    let path = create(&server, 3).await;
    for _ in 0..2 {
        let answer = append(&server, &path, 3, LAST, b"").await;
        if answer.status == 409 {
            append(&server, &path, 0, LAST, b"abc").await;
        } else {
            assert_eq!((answer.status, &answer.json()["size"]), (200, &3.into()));
        }
    }
    let answer = append(&server, &path, 1, LAST, b"bc").await;
    assert_eq!(
        (answer.status, answer.header("upload-complete")),
        (400, Some("?1"))
    );
    assert_eq!(server.stored(), [b"abc"]);
}

#[tokio::test]
async fn r17_a_deleted_upload_is_gone() {
    let server = Server::start().await;
    let path = create(&server, 6).await;
    let version = [("upload-draft-interop-version", "8")];
    assert_eq!(server.ask("DELETE", &path, &version, b"").await.status, 204);
    let gone = server.ask("HEAD", &path, &version, b"").await.status;
    assert!([404, 410].contains(&gone), "{gone}");
    let taken = "/uploads/files/taken";
    let done = server.ask("POST", taken, &[LAST], b"abc").await;
    let path = done.header("location").expect("a location");
    assert_eq!(server.ask("DELETE", path, &version, b"").await.status, 404);
}

#[tokio::test]
async fn r18_limits_are_told_before_an_upload() {
    let server = Server::start().await;
    let answer = server.ask("OPTIONS", FILES, &[], b"").await;
    let limit = answer.header("upload-limit").expect("limits");
    assert!(
        limit.contains("max-size=50000000") && limit.contains("min-size=0"),
        "{limit}"
    );
    let old = [
        MORE,
        ("upload-length", "3"),
        ("upload-draft-interop-version", "6"),
    ];
    let answer = server.ask("POST", FILES, &old, b"").await;
    let limit = answer.header("upload-limit").expect("limits");
    assert!(limit.contains("expires="), "{limit}");
}

/// R19: a file that was looked at and refused is not to be resumed.
#[tokio::test]
async fn r19_a_refused_file_is_complete() {
    let server = Server::start().await;
    let html = b"<!doctype html><script>alert(1)</script>";
    let answer = server.ask("POST", FILES, &[LAST], html).await;
    assert_eq!(
        (answer.status, answer.header("upload-complete")),
        (415, Some("?1"))
    );
}

/// R21: a request whose upload another took over completes nothing.
#[tokio::test]
async fn r21_a_stale_request_completes_nothing() {
    let server = Server::start().await;
    let path = create(&server, 6).await;
    let mut wire = server.connect().await;
    let headers = [
        PARTIAL,
        LAST,
        ("upload-offset", "0"),
        ("content-length", "6"),
    ];
    wire.send("PATCH", &path, &headers, b"abc").await;
    let at = server
        .ask("HEAD", &path, &[], b"")
        .await
        .number("upload-offset");
    wire.write(b"def").await;
    assert_eq!(wire.answer("PATCH").await.status, 503);
    assert!(server.stored().is_empty());
    let rest = &b"abcdef"[at..];
    assert_eq!(append(&server, &path, at, LAST, rest).await.status, 200);
    assert_eq!(server.stored(), [b"abcdef"]);
}

#[tokio::test]
async fn r22_refusals_are_problem_details() {
    let server = Server::start().await;
    let answer = server.ask("PATCH", FILES, &[MORE], b"").await;
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    let problem = answer.json();
    assert_eq!((answer.status, &problem["status"]), (405, &405.into()));
    assert!(problem["title"].is_string() && problem["code"].is_string());
}
