//! Files as every HTTP client sends them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use base64_simd::STANDARD;
use sha2::{Digest, Sha256};
use upload_server::stores::{RedbDurability, RedbStore};

use crate::{
    leaving::{Rig, SLOW, WINDOW},
    wire::{Server, files, pattern},
};

const FILES: &str = "/uploads/files/files";

#[tokio::test]
async fn a_body_is_stored_under_its_name() {
    let server = Server::start().await;
    let body = pattern(300_000);
    let headers = [
        ("content-type", "text/plain; charset=utf-8"),
        ("content-disposition", "attachment; filename=\"a b.txt\""),
    ];
    let answer = server.ask("POST", FILES, &headers, &body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let json = answer.json();
    assert_eq!(json["name"], "a b.txt");
    assert_eq!(json["type"], "text/plain");
    assert_eq!(json["size"], 300_000);
    assert_eq!(json["status"], "complete");
    assert_eq!(json["crc32c"], format!("{:08x}", crc32c::crc32c(&body)));
    assert_eq!(server.stored(), [body]);
    let path = answer.header("location").expect("a location");
    let head = server.ask("HEAD", path, &[], b"").await;
    assert_eq!(head.number("upload-offset"), 300_000);
    assert_eq!(head.header("upload-complete"), Some("?1"));
}

/// A store on a disk answers later than one in memory; the content is read as soon as it did.
#[tokio::test]
async fn content_is_read_once_the_store_has_answered() {
    let state = tempfile::tempdir().expect("a directory");
    let store = RedbStore::open(&state.path().join("state"), RedbDurability::Process).await;
    let store = Arc::new(store.expect("the embedded store"));
    let server = Server::with(|it| it.store(store)).await;
    let begun = Instant::now();
    for _ in 0..4 {
        let answer = server.ask("POST", FILES, &[], &pattern(200_000)).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(8), "it waited");
}

#[tokio::test]
async fn a_file_is_put_by_its_name() {
    let server = Server::start().await;
    let path = "/uploads/files/pictures/by-name/a%20b.png";
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0";
    let answer = server
        .ask("PUT", path, &[("content-type", "image/png")], png)
        .await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.json()["name"], "a b.png");
    let location = answer.header("location").expect("a location");
    assert!(
        location.starts_with("/uploads/files/pictures/"),
        "{location}"
    );
    assert!(!location.contains("by-name"), "{location}");
    let text = "/uploads/files/pictures/by-name/a.txt";
    assert_eq!(server.ask("PUT", text, &[], b"abc").await.status, 415);
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_nothing() {
    let server = Server::start().await;
    let mut wire = server.connect().await;
    wire.send(
        "POST",
        FILES,
        &[("content-length", "100000")],
        &pattern(50_000),
    )
    .await;
    drop(wire);
    let good = server.ask("POST", FILES, &[], b"abc").await;
    assert_eq!(good.status, 201);
    assert_eq!(server.stored(), [b"abc"]);
}

/// Content says by its length that all of it came; its client need not wait for the answer.
#[tokio::test]
async fn a_whole_body_is_stored_though_its_client_has_left() {
    let rig = Rig::with_small_window().await;
    let body = pattern(WINDOW + 1000);
    let length = body.len().to_string();
    let headers = [("content-length", &*length)];
    rig.send_and_leave(("POST", SLOW), &headers, body.split_at(WINDOW))
        .await;
    rig.stores(&body).await;
}

/// Without a length, the end of content can be that of its connection, unless its client waits for the answer.
#[tokio::test]
async fn a_body_without_a_length_is_not_stored_once_its_client_has_left() {
    let rig = Rig::with_small_window().await;
    let chunk = [&b"4000\r\n"[..], &pattern(WINDOW)[..], b"\r\n"].concat();
    let headers = [("transfer-encoding", "chunked")];
    rig.send_and_leave(("POST", SLOW), &headers, (&chunk, b"0\r\n\r\n"))
        .await;
    rig.aborts().await;
}

#[tokio::test]
async fn a_digest_is_checked() {
    let server = Server::start().await;
    let body = pattern(100_000);
    let digest = |bytes: &[u8]| {
        let digest = STANDARD.encode_to_string(Sha256::digest(bytes));
        format!("sha-256=:{digest}:")
    };
    for name in ["content-digest", "repr-digest"] {
        let wrong = server
            .ask("POST", FILES, &[(name, &digest(b"other"))], &body)
            .await;
        assert_eq!(wrong.status, 400, "{wrong:?}");
        assert_eq!(wrong.json()["code"], "checksum_mismatch");
        assert!(server.stored().is_empty());
    }
    let right = [("content-digest", &*digest(&body))];
    assert_eq!(server.ask("POST", FILES, &right, &body).await.status, 201);
    assert_eq!(server.stored(), [body]);
}

#[tokio::test]
async fn what_the_slot_does_not_take_is_refused() {
    let server = Server::start().await;
    let large = [("content-length", "50000001"), ("expect", "100-continue")];
    let mut wire = server.connect().await;
    wire.send("POST", FILES, &large, b"").await;
    assert_eq!(wire.answer("POST").await.status, 413);
    let html = b"<!doctype html><script>alert(1)</script>";
    let answer = server.ask("POST", FILES, &[], html).await;
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (415, &"active_content".into())
    );
    assert!(server.stored().is_empty());
}

/// What is more than the slot takes is too large, whether its length was told or not.
#[tokio::test]
async fn a_body_that_outgrows_the_slot_is_too_large() {
    let server = Server::with(|it| it.allow_upload("small", files().max_file_size(4))).await;
    let small = "/uploads/files/small";
    let chunked = ("transfer-encoding", "chunked");
    let body = b"6\r\nabcdef\r\n0\r\n\r\n";
    for headers in [&[chunked][..], &[chunked, ("upload-complete", "?1")]] {
        let mut wire = server.connect().await;
        wire.send("POST", small, headers, body).await;
        let answer = wire.answer("POST").await;
        let code = answer.header("upload-code");
        assert_eq!(
            (answer.status, code),
            (413, Some("too_large")),
            "{headers:?}"
        );
    }
    let deferred = [("upload-defer-length", "1")];
    let created = server.tus("POST", small, &deferred, b"").await;
    let path = created.header("location").expect("a location");
    let answer = server.append(path, 0, b"abcdef").await;
    let code = answer.header("upload-code");
    assert_eq!((answer.status, code), (413, Some("too_large")));
    assert!(server.stored().is_empty());
}

/// A body whose length is not told is complete with its last chunk, and only then.
#[tokio::test]
async fn a_chunked_body_is_stored() {
    let server = Server::start().await;
    let chunked = [("transfer-encoding", "chunked")];
    let mut wire = server.connect().await;
    wire.send(
        "PUT",
        "/uploads/files/files/by-name/a.txt",
        &chunked,
        b"3\r\nabc\r\n",
    )
    .await;
    wire.write(b"2\r\nde\r\n0\r\n\r\n").await;
    let answer = wire.answer("PUT").await;
    assert_eq!((answer.status, &answer.json()["size"]), (201, &5.into()));
    let mut wire = server.connect().await;
    wire.send("POST", FILES, &chunked, b"3\r\nabc\r\n").await;
    drop(wire);
    assert_eq!(server.ask("POST", FILES, &[], b"x").await.status, 201);
    let mut stored = server.stored();
    stored.sort();
    assert_eq!(stored, [&b"abcde"[..], b"x"]);
}

fn form(parts: &[(&str, &str)]) -> Vec<u8> {
    let mut body = String::new();
    for (head, content) in parts {
        body.push_str(&format!(
            "--b\r\ncontent-disposition: form-data; {head}\r\n\r\n{content}\r\n"
        ));
    }
    (body + "--b--\r\n").into_bytes()
}

const FORM: (&str, &str) = ("content-type", "multipart/form-data; boundary=b");

#[tokio::test]
async fn each_file_of_a_form_is_an_upload() {
    let server = Server::start().await;
    let body = form(&[
        ("name=\"album\"", "holiday"),
        (
            "name=\"f\"; filename=\"a.txt\"\r\ncontent-type: text/plain",
            "first",
        ),
        ("name=\"f\"; filename=\"ä.txt\"", "second"),
    ]);
    let answer = server.ask("POST", FILES, &[FORM], &body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let json = answer.json();
    let uploads = json["uploads"].as_array().expect("a list");
    let names: Vec<_> = uploads.iter().map(|upload| &upload["name"]).collect();
    assert_eq!(names, ["a.txt", "ä.txt"]);
    assert_eq!(
        (&uploads[0]["type"], &uploads[1]["size"]),
        (&"text/plain".into(), &6.into())
    );
    let mut stored = server.stored();
    stored.sort();
    assert_eq!(stored, [&b"first"[..], b"second"]);
}

/// The reads of a connection grow, so later forms come with more than a part's head in one read.
#[tokio::test]
async fn large_forms_follow_each_other_on_one_connection() {
    let server = Server::start().await;
    let all = pattern(6 * 346_000);
    let mut wire = server.connect().await;
    let mut sent = Vec::new();
    for pair in all.chunks(2 * 346_000) {
        let mut body = Vec::new();
        for file in pair.chunks(346_000) {
            let head = b"--b\r\ncontent-disposition: form-data; name=f; filename=f.bin\r\n\r\n";
            body.extend_from_slice(head);
            body.extend_from_slice(file);
            body.extend_from_slice(b"\r\n");
            sent.push(file);
        }
        body.extend_from_slice(b"--b--\r\n");
        wire.send("POST", FILES, &[FORM], &body).await;
        let answer = wire.answer("POST").await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    let mut stored = server.stored();
    stored.sort();
    sent.sort();
    assert!(stored == sent, "the files differ from those that were sent");
}

/// A file that is refused undoes no other, and its rest is read.
#[tokio::test]
async fn a_refused_file_of_a_form_undoes_no_other() {
    let server = Server::start().await;
    let html = format!("<!doctype html><script>{}</script>", " ".repeat(1_000_000));
    let body = form(&[
        ("name=a; filename=a.txt", "first"),
        ("name=b; filename=b.txt", &html),
        ("name=c; filename=c.txt", "third"),
    ]);
    let answer = server.ask("POST", FILES, &[FORM], &body).await;
    assert_eq!(answer.status, 207, "{answer:?}");
    let uploads = &answer.json()["uploads"];
    assert_eq!(
        (&uploads[1]["code"], &uploads[1]["name"]),
        (&"active_content".into(), &"b.txt".into())
    );
    assert_eq!(
        (&uploads[0]["status"], &uploads[2]["status"]),
        (&"complete".into(), &"complete".into())
    );
    let one = form(&[("name=b; filename=b.txt", &html)]);
    assert_eq!(server.ask("POST", FILES, &[FORM], &one).await.status, 415);
    assert_eq!(server.stored().len(), 2);
}

#[tokio::test]
async fn a_form_that_is_none_is_400() {
    let server = Server::start().await;
    let whole = form(&[("name=a; filename=a.txt", "first")]);
    let long = form(&[("name=a", &"x".repeat(100_000))]);
    for (headers, body) in [
        (&[("content-type", "multipart/form-data")][..], &whole[..]),
        (&[FORM], b"--b--\r\n"),
        (&[FORM], b"nothing"),
        (&[FORM], &whole[..whole.len() - 8]),
        (&[FORM], &form(&[("name=a", "only text")])),
        (&[FORM], &long),
    ] {
        let answer = server.ask("POST", FILES, headers, body).await;
        assert_eq!(answer.status, 400, "{answer:?}");
    }
    assert!(server.stored().is_empty(), "a part without its end is none");
}

#[tokio::test]
async fn browsers_without_a_script_are_sent_on() {
    let server = Server::with(|builder| builder.form_redirect("/thanks")).await;
    let body = form(&[("name=a; filename=a.txt", "first")]);
    let page = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    let answer = server.ask("POST", FILES, &[FORM, page], &body).await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, Some("/thanks"))
    );
    assert_eq!(server.ask("POST", FILES, &[FORM], &body).await.status, 201);
}
