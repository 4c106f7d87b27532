//! Content that comes slowly, stops, or is more than is wanted.

use std::time::{Duration, Instant};

use base64_simd::STANDARD;
use sha2::{Digest, Sha256};
use upload_server::{Door, Limits};

use crate::wire::{OFFSET_TYPE, Server, files, pattern};

const FILES: &str = "/uploads/files/files";
const FORM: (&str, &str) = ("content-type", "multipart/form-data; boundary=b");

async fn impatient(idle_ms: u64) -> Server {
    let mut limits = Limits::default();
    limits.session.idle_upload = Duration::from_millis(idle_ms);
    Server::with(|builder| builder.limits(limits)).await
}

fn checksum(bytes: &[u8]) -> String {
    format!(
        "sha256 {}",
        STANDARD.encode_to_string(Sha256::digest(bytes))
    )
}

/// T44: only silence is counted, also while content waits for its checksum; but it has to bring something.
#[tokio::test]
async fn t44_checked_content_may_take_its_time() {
    let server = impatient(600).await;
    let path = server.create(40_000).await;
    let body = pattern(40_000);
    let sum = checksum(&body);
    let headers = [
        ("tus-resumable", "1.0.0"),
        OFFSET_TYPE,
        ("upload-offset", "0"),
        ("upload-checksum", &*sum),
        ("content-length", "40000"),
    ];
    let mut wire = server.connect().await;
    let mut pieces = body.chunks(8_000);
    wire.send("PATCH", &path, &headers, pieces.next().expect("a piece"))
        .await;
    for piece in pieces {
        tokio::time::sleep(Duration::from_millis(250)).await;
        wire.write(piece).await;
    }
    let answer = wire.answer("PATCH").await;
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(server.stored(), [body]);
    // A byte now and then is as good as silence.
    let path = server.create(40_000).await;
    let mut wire = server.connect().await;
    wire.send("PATCH", &path, &headers, b"a").await;
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        wire.write(b"a").await;
    }
    assert_eq!(wire.answer("PATCH").await.status, 503);
    assert_eq!(server.offset(&path).await, 0, "nothing of it was checked");
}

/// T44, CONN-3: content that waits for its checksum is not slower for that, though another owner is refused.
#[tokio::test]
async fn t44_checked_content_is_as_quick_as_it_came() {
    let mut limits = Limits {
        max_uploads: 1,
        ..Limits::default()
    };
    limits.session.idle_upload = Duration::from_millis(600);
    limits.session.bytes_per_second_min = 1 << 20;
    let server = Server::with(|builder| builder.limits(limits)).await;
    let file = pattern(80_000);
    let (first, rest) = file.split_at(8_000);
    let path = server.create(file.len()).await;
    assert_eq!(server.append(&path, 0, first).await.status, 204);
    let sum = checksum(rest);
    let headers = [
        ("tus-resumable", "1.0.0"),
        OFFSET_TYPE,
        ("upload-offset", "8000"),
        ("upload-checksum", &*sum),
        ("content-length", "72000"),
    ];
    let mut wire = server.connect().await;
    wire.send("PATCH", &path, &headers, b"").await;
    let length = ("upload-length", "1");
    for piece in rest.chunks(8_000) {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let other = server.tus("POST", FILES, &[length], b"").await;
        assert_eq!(other.status, 503, "{other:?}");
        wire.write(piece).await;
    }
    let answer = wire.answer("PATCH").await;
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(server.stored(), [file]);
}

/// CONN-4: what a connection may send in a second bounds an upload however many requests bring it.
#[tokio::test]
async fn conn_4_many_small_requests_send_no_faster_than_one() {
    let mut limits = Limits::default();
    limits.rates.bytes_per_connection = Some(128 * 1024);
    let server = Server::with(|builder| builder.limits(limits)).await;
    let file = pattern(640 * 1024);
    let path = server.create(file.len()).await;
    let begun = Instant::now();
    for (number, piece) in file.chunks(16 * 1024).enumerate() {
        let answer = server.append(&path, number * 16 * 1024, piece).await;
        assert_eq!(answer.status, 204, "{answer:?}");
    }
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(2), "{took:?}");
    assert_eq!(server.stored(), [file]);
}

/// T44: a file in one request that stops is not cancelled by its client, and may be sent once more.
#[tokio::test]
async fn t44_a_plain_body_that_stops_may_come_again() {
    let server = impatient(200).await;
    let mut wire = server.connect().await;
    wire.send("POST", FILES, &[("content-length", "100")], b"abc")
        .await;
    let answer = wire.answer("POST").await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.header("retry-after").is_some());
    assert_eq!(answer.json()["retry"], "later");
    assert!(server.stored().is_empty());
}

/// R12: content with a digest is held back, and so much of it can be.
#[tokio::test]
async fn checked_content_has_a_limit_that_is_told() {
    let server = Server::start().await;
    let body = pattern((16 << 20) + 1);
    let length = body.len();
    let path = server.create(length).await;
    let digest = STANDARD.encode_to_string(Sha256::digest(&body));
    let digest = format!("sha-256=:{digest}:");
    let headers = [
        ("content-type", "application/partial-upload"),
        ("upload-complete", "?0"),
        ("upload-offset", "0"),
        ("content-digest", &*digest),
    ];
    let answer = server.ask("PATCH", &path, &headers, &body).await;
    assert_eq!(answer.status, 413, "{answer:?}");
    assert!(answer.body.contains("16 MiB"), "{answer:?}");
    let sum = checksum(&body);
    let headers = [
        OFFSET_TYPE,
        ("upload-offset", "0"),
        ("upload-checksum", &*sum),
    ];
    let answer = server.tus("PATCH", &path, &headers, &body).await;
    assert_eq!(answer.status, 413, "{answer:?}");
    assert!(answer.body.contains("16 MiB"), "{answer:?}");
    assert_eq!(server.offset(&path).await, 0);
}

fn part(name: &str, content: &[u8]) -> Vec<u8> {
    let head = format!("--b\r\ncontent-disposition: form-data; name=f; filename={name}\r\n\r\n");
    [head.as_bytes(), content, b"\r\n"].concat()
}

/// D3: a form that goes wrong behind a file still tells what became of the file.
#[tokio::test]
async fn a_form_tells_of_its_files_whatever_follows_them() {
    let server = Server::start().await;
    let broken = b"--b\r\nno header\r\n\r\nabc\r\n--b--\r\n";
    let form = [&part("a.txt", b"abc")[..], broken].concat();
    let answer = server.ask("POST", FILES, &[FORM], &form).await;
    assert_eq!(answer.status, 207, "{answer:?}");
    let uploads = &answer.json()["uploads"];
    assert_eq!(uploads[0]["name"], "a.txt");
    assert_eq!(uploads[0]["status"], "complete");
    assert_eq!(uploads[1]["code"], "bad_request", "{uploads}");
    assert_eq!(server.stored(), [b"abc"]);
    // Alone, it is as malformed as it is.
    let answer = server.ask("POST", FILES, &[FORM], broken).await;
    assert_eq!(answer.status, 400, "{answer:?}");
}

/// D3: the refusal of a large file in a form reaches a client that sends all of it.
#[tokio::test]
async fn a_large_file_of_a_form_is_refused_by_what_it_is() {
    let server =
        Server::with(|builder| builder.allow_upload("small", files().max_file_size(1_000_000)))
            .await;
    let form = [&part("a.bin", &pattern(70 << 20))[..], b"--b--\r\n"].concat();
    let answer = server
        .ask("POST", "/uploads/files/small", &[FORM], &form)
        .await;
    assert_eq!(answer.status, 413, "{answer:?}");
    assert_eq!(answer.json()["uploads"][0]["name"], "a.bin");
    assert!(server.stored().is_empty());
}

/// D3: files of a form that are not looked at do not vanish without a result.
#[tokio::test]
async fn what_follows_a_large_file_of_a_form_has_a_result() {
    let server =
        Server::with(|builder| builder.allow_upload("small", files().max_file_size(1_000_000)))
            .await;
    let parts = [
        part("a.txt", b"abc"),
        part("b.bin", &pattern(70 << 20)),
        part("c.txt", b"def"),
    ];
    let form = [&parts.concat()[..], b"--b--\r\n"].concat();
    let answer = server
        .ask("POST", "/uploads/files/small", &[FORM], &form)
        .await;
    assert_eq!(answer.status, 207, "{answer:?}");
    let uploads = &answer.json()["uploads"];
    assert_eq!(uploads[0]["status"], "complete");
    assert_eq!(uploads[1]["name"], "b.bin");
    let rest = &uploads[2];
    assert!(rest["name"].is_null(), "{uploads}");
    assert_eq!(rest["status"], "error");
    assert_eq!(rest["error"], "What follows was not looked at");
    assert_eq!(server.stored(), [b"abc"]);
}

/// Where nothing of a form is stored, its status is that of a refusal, which no client takes for success.
#[tokio::test]
async fn a_form_of_which_nothing_is_stored_is_refused() {
    let server = Server::start().await;
    let parts = [part("b.bin", &pattern(70 << 20)), part("c.txt", b"def")];
    let form = [&parts.concat()[..], b"--b--\r\n"].concat();
    let answer = server
        .ask("POST", "/uploads/files/pictures", &[FORM], &form)
        .await;
    assert_eq!(answer.status, 415, "{answer:?}");
    let uploads = answer.json()["uploads"].clone();
    assert_eq!(uploads.as_array().map(Vec::len), Some(2), "{uploads}");
    assert!(server.stored().is_empty());
}

/// T3: clients that leave their protocol out of a question are served where any door is open.
#[tokio::test]
async fn t3_questions_without_a_protocol_pass_any_door() {
    for door in [Door::Tus, Door::Ietf] {
        let server =
            Server::with(|builder| builder.allow_upload("one", files().doors([door]))).await;
        let slot = "/uploads/files/one";
        let created = match door {
            Door::Ietf => {
                let headers = [("upload-complete", "?0"), ("upload-length", "3")];
                server.ask("POST", slot, &headers, b"").await
            }
            _ => {
                server
                    .tus("POST", slot, &[("upload-length", "3")], b"")
                    .await
            }
        };
        assert_eq!(created.status, 201, "{created:?}");
        let path = created.header("location").expect("a location");
        let head = server.ask("HEAD", path, &[], b"").await;
        assert_eq!((head.status, head.number("upload-offset")), (200, 0));
        let options = server.ask("OPTIONS", slot, &[], b"").await;
        assert!(options.header("upload-limit").is_some(), "{options:?}");
        let plain = server.ask("POST", slot, &[], b"abc").await;
        assert_eq!(plain.status, 404, "the door for files is closed");
        assert_eq!(server.ask("DELETE", path, &[], b"").await.status, 204);
    }
}
