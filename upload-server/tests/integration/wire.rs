//! What stands on the wire: every wrong frame and message, and its one answer.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    client::{Client, Ended, chunk_frame, registration},
    pattern,
    server::{EMBEDDED, Server, slots},
};

/// FRAME-1, FRAME-4, CHUNK-6, MSG-1, FR-4 to FR-14: wrong frames.
#[tokio::test]
async fn wrong_frames() {
    let server = Server::start(&slots(EMBEDDED));
    let mut client = Client::connect(&server.ws()).await;
    let stranger = Uuid::new_v4();
    let named = |head: &[u8], tail: &[u8]| [head, stranger.as_bytes(), tail].concat();
    let name = json!(stranger.to_string());
    let nil = json!(Uuid::nil().to_string());
    let rows = [
        (vec![], "bad_frame", Value::Null),
        (vec![1], "bad_frame", Value::Null),
        (vec![0; 5], "bad_frame", Value::Null),
        (vec![1; 10], "bad_frame", Value::Null),
        (vec![1; 16], "bad_frame", Value::Null),
        (named(&[0], b""), "bad_frame", Value::Null),
        (named(&[4], b""), "bad_frame", Value::Null),
        (named(&[255], b""), "bad_frame", Value::Null),
        (named(&[1], b""), "bad_frame", name.clone()),
        (named(&[1], b"123"), "bad_frame", name.clone()),
        (named(&[2], b"1"), "bad_frame", name.clone()),
        (named(&[2], b"123"), "bad_frame", name.clone()),
        (named(&[2], b"12345"), "bad_frame", name.clone()),
        (named(&[3], b"1"), "bad_frame", name.clone()),
        (named(&[1], b"1234"), "unknown_ref", name.clone()),
        (named(&[1], b"1234hello"), "unknown_ref", name.clone()),
        (named(&[2], b""), "unknown_ref", name.clone()),
        (named(&[2], b"1234"), "unknown_ref", name.clone()),
        (named(&[3], b""), "unknown_ref", name.clone()),
        (
            chunk_frame(Uuid::nil(), 0, b"").to_vec(),
            "unknown_ref",
            nil,
        ),
    ];
    for (frame, code, named) in rows {
        client.send_binary(frame.clone()).await;
        let answer = client.next().await;
        assert_eq!(
            (&answer["type"], &answer["code"], &answer["ref"]),
            (&json!("error"), &json!(code), &named),
            "{frame:?}: {answer}"
        );
    }
    client.send(json!({ "type": "ping" })).await;
    assert_eq!(
        client.next().await,
        json!({ "type": "pong" }),
        "the socket stayed open"
    );
}

/// CTRL-1, CTRL-2, MSG-1a, FR-17 to FR-20: wrong messages.
#[tokio::test]
async fn wrong_messages() {
    let server = Server::start(&slots(EMBEDDED));
    let mut client = Client::connect(&server.ws()).await;
    let upload = Uuid::new_v4();
    let deep = "[".repeat(60_000);
    let with = |field: &str, value: Value| {
        let mut message = registration(upload, "any", "a.bin", "", 1);
        message[field] = value;
        message.to_string()
    };
    let raw_size = |size: &str| with("client_size", json!("SIZE")).replace("\"SIZE\"", size);
    let nested = "[".repeat(40) + &"]".repeat(40);
    let rows = [
        (String::new(), "bad_message"),
        ("{".into(), "bad_message"),
        ("[]".into(), "bad_message"),
        ("5".into(), "bad_message"),
        ("null".into(), "bad_message"),
        (deep, "bad_message"),
        ("{}".into(), "bad_message"),
        (r#"{"type":5}"#.into(), "bad_message"),
        (r#"{"type":"zzz"}"#.into(), "unknown_type"),
        (
            with("extra", json!("SPOT")).replace("\"SPOT\"", &nested),
            "bad_message",
        ),
        (with("ref", json!("x")), "bad_ref"),
        (with("ref", json!(5)), "bad_ref"),
        (with("ref", json!(Uuid::nil().to_string())), "bad_ref"),
        (with("ref", json!(upload.simple().to_string())), "bad_ref"),
        (with("client_name", json!(5)), "bad_name"),
        (with("client_name", json!("x".repeat(4097))), "bad_name"),
        (raw_size("-1"), "bad_size"),
        (raw_size("-0"), "bad_size"),
        (raw_size("1e3"), "bad_size"),
        (raw_size("1.0"), "bad_size"),
        (raw_size("\"1\""), "bad_size"),
        (raw_size("null"), "bad_size"),
        (raw_size("9007199254740992"), "bad_size"),
        (raw_size("9007199254740991"), "too_large"),
        (with("meta", json!([])), "bad_meta"),
        (with("meta", json!({ "a": "x".repeat(4096) })), "bad_meta"),
        (with("upload_name", json!("backdoor")), "unknown_slot"),
        (r#"{"type":"upload_resume"}"#.into(), "bad_ref"),
        (
            format!(r#"{{"type":"upload_register","ref":"{upload}","ref":"{upload}"}}"#),
            "bad_message",
        ),
        (
            with("client_name", json!("SPOT")).replace("SPOT", r"\ud800"),
            "bad_message",
        ),
    ];
    for (text, code) in rows {
        client.send_text(text.clone()).await;
        let answer = client.next().await;
        assert_eq!(answer["code"], code, "{:.120}: {answer}", text);
        if answer["type"] == "upload_progress" {
            assert_eq!(
                (&answer["status"], &answer["ref"]),
                (&json!("error"), &json!(upload.to_string()))
            );
        }
    }
    // Ignored fields may hold anything that is JSON, and upper case is folded.
    let odd = with("ref", json!(upload.to_string().to_uppercase())).replacen(
        '{',
        r#"{"junk":"\ud800","n":1e999,"#,
        1,
    );
    client.send_text(odd).await;
    let answer = client.next().await;
    assert_eq!(
        (&answer["type"], &answer["ref"]),
        (&json!("upload_registered"), &json!(upload.to_string()))
    );
}

/// CTRL-4, MSG-1: the same registration again is answered again; any other
/// reuse of a live ref is `ref_in_use`, and the live upload lives on.
#[tokio::test]
async fn a_live_ref_again() {
    let server = Server::start(&slots(EMBEDDED));
    let mut client = Client::connect(&server.ws()).await;
    let upload = Uuid::new_v4();
    let file = pattern::file(1, 100_000);
    for _ in 0..2 {
        let answer = client.register(upload, "any", "a.bin", 100_000).await;
        assert_eq!(answer["type"], "upload_registered");
    }
    client.chunk(upload, 0, &file[..65_536]).await;
    for (name, size) in [("a.bin", 100_000), ("b.bin", 100_000), ("a.bin", 5)] {
        client
            .send(registration(upload, "any", name, "", size))
            .await;
        let answer = client
            .until(|message| message["type"] != "upload_progress")
            .await;
        assert_eq!(
            (&answer["type"], &answer["code"]),
            (&json!("error"), &json!("ref_in_use"))
        );
    }
    client.chunk(upload, 1, &file[65_536..]).await;
    client.complete(upload, None).await;
    assert_eq!(client.ending(upload).await["status"], "complete");
    server.assert_stored_once("any", &file);
}

/// CHUNK-2, CHUNK-3: replays change nothing, a gap is told once and mended.
#[tokio::test]
async fn replays_and_gaps() {
    let server = Server::start(&slots(EMBEDDED));
    let mut client = Client::connect(&server.ws()).await;
    let upload = Uuid::new_v4();
    let file = pattern::file(2, 40);
    client.register(upload, "any", "a.bin", 40).await;
    client.chunk(upload, 0, &file[..10]).await;
    client.chunk(upload, 0, &[9; 10]).await;
    client.chunk(upload, 2, &file[20..30]).await;
    client.chunk(upload, 3, &file[30..]).await;
    let told = client
        .until(|message| message["code"] == "chunk_out_of_order")
        .await;
    assert_eq!(
        (&told["next_index"], &told["bytes_received"]),
        (&json!(1), &json!(10))
    );
    assert_eq!(
        (&told["status"], &told["retry"]),
        (&json!("uploading"), &json!("resend"))
    );
    for (index, data) in file.chunks(10).enumerate().skip(1) {
        client.chunk(upload, index as u32, data).await;
    }
    client.complete(upload, Some(crc32c::crc32c(&file))).await;
    let ended = client.ending(upload).await;
    assert_eq!(ended["status"], "complete", "{ended}");
    server.assert_stored_once("any", &file);
}

/// COMPLETE-2: a wrong checksum publishes nothing.
#[tokio::test]
async fn a_wrong_checksum() {
    let server = Server::start(&slots(EMBEDDED));
    let mut client = Client::connect(&server.ws()).await;
    let upload = Uuid::new_v4();
    client.register(upload, "any", "a.bin", 5).await;
    client.chunk(upload, 0, b"hello").await;
    client.complete(upload, Some(1)).await;
    assert_eq!(client.ending(upload).await["code"], "checksum_mismatch");
    assert!(server.stored("any").is_empty());
}

/// COMPLETE-4: completing again answers the same receipt; one file.
#[tokio::test]
async fn completing_again() {
    let server = Server::start(&slots(EMBEDDED));
    let mut client = Client::connect(&server.ws()).await;
    let upload = Uuid::new_v4();
    client.register(upload, "resumable", "a.bin", 5).await;
    client.send_file(upload, b"hello", 65_536).await;
    let first = client.ending(upload).await;
    client.complete(upload, None).await;
    let second = client.ending(upload).await;
    assert_eq!(first["result"], second["result"]);
    let cookie = client.cookie.clone();
    let mut later = Client::connect_as(&server.ws(), &cookie, true)
        .await
        .expect("a connection");
    later.complete(upload, Some(crc32c::crc32c(b"hello"))).await;
    let third = later.ending(upload).await;
    assert_eq!(
        (&third["result"], &third["crc32c"]),
        (&first["result"], &first["crc32c"])
    );
    server.assert_stored_once("resumable", b"hello");
    let mut stranger = Client::connect(&server.ws()).await;
    stranger.complete(upload, None).await;
    assert_eq!(stranger.next().await["code"], "unknown_ref");
}

/// FRAME-3, CONN-2: a message past the limit closes with 1009; bad UTF-8 with 1007.
#[tokio::test]
async fn too_big_and_not_text() {
    let server = Server::start(&slots(EMBEDDED));
    let mut client = Client::connect(&server.ws()).await;
    let _ = client
        .try_binary(chunk_frame(Uuid::new_v4(), 0, &[0; 65_537]))
        .await;
    assert_eq!(client.until_closed().await, Ended::Closed(1009));
    let mut client = Client::connect(&server.ws()).await;
    client.send_text("x".repeat(65_536)).await;
    assert_eq!(
        client.next().await["code"],
        "bad_message",
        "64 KiB of text are read"
    );
}

/// CONN-4: a peer that keeps sending what is refused is sent away with 4429.
#[tokio::test]
async fn an_abusive_peer() {
    let config = slots(EMBEDDED).replace("[limits]", "[limits]\nmax_refused_per_minute = 20");
    let server = Server::start(&config);
    let mut client = Client::connect(&server.ws()).await;
    let mut canary = Client::connect(&server.ws()).await;
    for _ in 0..40 {
        if client.try_binary(vec![9].into()).await.is_err() {
            break;
        }
    }
    assert_eq!(client.until_closed().await, Ended::Closed(4429));
    let file = pattern::file(3, 200_000);
    assert_eq!(
        canary.upload("any", "a.bin", &file).await["status"],
        "complete"
    );
}

/// CONN-4: 20,000 chunks of 100 bytes go through.
#[tokio::test]
async fn tiny_chunks() {
    let server = Server::start(&slots(EMBEDDED));
    let mut client = Client::connect(&server.ws()).await;
    let file = pattern::file(4, 2_000_000);
    let upload = Uuid::new_v4();
    client.register(upload, "any", "a.bin", 2_000_000).await;
    client.send_file(upload, &file, 100).await;
    assert_eq!(client.ending(upload).await["status"], "complete");
    server.assert_stored_once("any", &file);
}

/// CONN-1: the handshake checks the origin.
#[tokio::test]
async fn origins() {
    let server = Server::start(&slots(EMBEDDED));
    let own = format!("http://127.0.0.1:{}", server.port);
    for (origin, status) in [
        ("http://evil.example", 403),
        ("null", 403),
        ("http://127.0.0.1:1", 403),
        (own.as_str(), 101),
    ] {
        assert_eq!(handshake(server.port, origin), status, "{origin}");
    }
}

fn handshake(port: u16, origin: &str) -> u16 {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    let request = format!(
        "GET /uploads/ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Extensions: permessage-deflate\r\nOrigin: {origin}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("a request");
    let mut answer = [0; 2048];
    let length = stream.read(&mut answer).expect("an answer");
    let text = String::from_utf8_lossy(&answer[..length]).to_lowercase();
    assert!(
        !text.contains("permessage-deflate"),
        "compression is never negotiated"
    );
    text.split_whitespace()
        .nth(1)
        .and_then(|code| code.parse().ok())
        .expect("a status")
}
