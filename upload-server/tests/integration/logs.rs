//! What the log says, and what it never says.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::json;
use uuid::Uuid;

use crate::support::{
    client::{Client, registration},
    server::{EMBEDDED, Server, free_port, slots},
};

/// What a client can write into names, types, events and headers, to be found again in the log.
const NAME: &str = "marker-name\u{1b}[31m\r\n\u{7f}\u{9b}2Jforged ERROR line.bin";
const EVENT: &str = "marker-event\u{1b}]0;title\u{7}\nforged";
const SECRET: &str = "marker-secret-0123456789abcdef0123456789abcdef";
const HOOK_SECRET: &str = "marker-hook-secret-0123456789abcdef";

/// Longest time until a call that fails is in the log.
const LOGGED_WITHIN: Duration = Duration::from_secs(20);

/// MSG-4: an error that a client saw stands in the log under its ref and an incident; names, cookies and
/// secrets do not, and no control character of a peer gets there as it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_keeps_what_is_needed_and_nothing_else() {
    for level in ["info", "debug"] {
        let config = format!(
            "secret = \"{SECRET}\"\n{}\n[webhook]\nsecret = \"{HOOK_SECRET}\"\n",
            slots(EMBEDDED)
        );
        let server = Server::start_logging(&config, level);
        let mut client = Client::connect(&server.ws()).await;
        let cookie = client.cookie.clone();
        let (_, value) = cookie.split_once('=').expect("a name and a value");

        // Stored, refused, failed by storage, and rubbish; all of it under names that do harm.
        let stored = Uuid::new_v4();
        client.register(stored, "any", NAME, 3).await;
        client.send_file(stored, b"abc", 65_536).await;
        assert_eq!(client.ending(stored).await["status"], "complete");
        let refused = Uuid::new_v4();
        client
            .send(registration(refused, NAME, NAME, NAME, 1))
            .await;
        client
            .send(json!({"type": "event", "event": EVENT, "id": NAME}))
            .await;
        client.send(json!({"type": NAME})).await;
        client.send_text(format!("{{\"{NAME}")).await;
        client.send_binary(NAME.as_bytes().to_vec()).await;
        let failed = fail(&server, &mut client).await;
        for path in [
            "/uploads/ws".to_owned(),
            format!("/uploads/{stored}/status?marker-query%1b"),
            "/webhooks/s3".to_owned(),
        ] {
            rubbish(server.port, &path);
        }
        drop(client);

        let log = server.log();
        let raw: Vec<_> = log
            .chars()
            .filter(|c| c.is_control() && *c != '\n')
            .collect();
        assert!(raw.is_empty(), "{level}: {raw:?} in\n{log}");
        assert!(
            !log.contains("\nforged"),
            "{level}: a forged line in\n{log}"
        );
        for secret in [value, SECRET, HOOK_SECRET, "marker-token"] {
            assert!(!log.contains(secret), "{level}: {secret} in\n{log}");
        }
        if level == "info" {
            assert!(!log.contains("marker-name"), "a file's name in\n{log}");
        }
        let about = |upload: Uuid, words: &[&str]| {
            let upload = upload.to_string();
            log.lines()
                .any(|line| line.contains(&upload) && words.iter().all(|word| line.contains(word)))
        };
        assert!(about(stored, &["upload complete"]), "{log}");
        assert!(about(failed, &["incident=", "WARN"]), "{log}");
        assert!(about(failed, &["upload ended", "storage_failed"]), "{log}");
        // Each code is explained by its first line, also a refusal that `info` does not show otherwise.
        for code in ["storage_failed", "unknown_slot", "unknown_type"] {
            let row = format!("/docs/errors.md#{code}");
            let lines: Vec<_> = log.lines().filter(|line| line.contains(&row)).collect();
            assert_eq!(lines.len(), 1, "{level}: {code} in\n{log}");
            assert!(
                lines[0].contains(&format!("code=\"{code}\"")),
                "{}",
                lines[0]
            );
        }
    }
}

/// Has the storage of one upload fail for a reason that names a path.
async fn fail(server: &Server, client: &mut Client) -> Uuid {
    let slot = server.dir().join("files/once");
    std::fs::write(&slot, "in the way").expect("a file where a directory should be");
    let upload = Uuid::new_v4();
    client.register(upload, "once", NAME, 10_000).await;
    client.send_file(upload, &[7; 10_000], 65_536).await;
    let told = client.ending(upload).await;
    assert_eq!(told["code"], "storage_failed", "{told}");
    assert!(!told.to_string().contains("files"), "{told}");
    upload
}

/// A request whose headers are as bad as HTTP lets them be.
fn rubbish(port: u16, path: &str) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connects");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://\u{9b}marker\r\n\
         Cookie: upload_owner=marker-token\r\nAuthorization: Bearer marker-token\r\n\
         Sec-WebSocket-Protocol: marker\t\u{9b}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("is taken");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.starts_with(b"HTTP/1.1 4"), "{answer:?}");
}

/// Refusals are logged once a minute with what was expected: pages of another origin that ask first, and files
/// that are too large by any door.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_preflights_and_sizes_are_told_once() {
    let config = format!("{}\n[slots.small]\nmax_file_size = 10\n", slots(EMBEDDED));
    let server = Server::start_logging(&config, "info");
    let address = format!("127.0.0.1:{}", server.port);
    for _ in 0..2 {
        let asked = ask(
            &format!(
                "OPTIONS /uploads/files/small HTTP/1.1\r\nHost: {address}\r\nOrigin: https://other.example\r\n\
             Access-Control-Request-Method: POST\r\nConnection: close\r\n\r\n"
            ),
            server.port,
        );
        assert!(asked.starts_with("HTTP/1.1 204") && !asked.contains("access-control-allow"));
        let asked = ask(
            &format!(
                "POST /uploads/files/small HTTP/1.1\r\nHost: {address}\r\nTus-Resumable: 1.0.0\r\n\
             Upload-Length: 11\r\nConnection: close\r\n\r\n"
            ),
            server.port,
        );
        assert!(asked.starts_with("HTTP/1.1 413"), "{asked}");
    }
    let mut client = Client::connect(&server.ws()).await;
    let refused = client.register(Uuid::new_v4(), "small", "a.bin", 11).await;
    assert_eq!(refused["code"], "too_large", "{refused}");
    let log = server.log();
    for (told, expected) in [
        (
            "a request of another origin is refused",
            "https://other.example",
        ),
        ("a file is refused by its size", "max_file_size"),
    ] {
        let lines: Vec<_> = log.lines().filter(|line| line.contains(told)).collect();
        assert!(
            lines.len() == 1 && lines[0].contains(expected),
            "{lines:?} in\n{log}"
        );
    }
}

/// Of several hooks, the log names the one that fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_names_the_hook_that_fails() {
    let config = format!(
        "{}\n[[hooks]]\nname = \"marker-hook\"\nurl = \"http://127.0.0.1:{}/\"\n\
         secret = \"{HOOK_SECRET}\"\n",
        slots(EMBEDDED),
        free_port()
    );
    let server = Server::start_logging(&config, "info");
    let mut client = Client::connect(&server.ws()).await;
    let upload = Uuid::new_v4();
    client.register(upload, "any", "a.bin", 3).await;
    client.send_file(upload, b"abc", 65_536).await;
    let began = Instant::now();
    let line = loop {
        let log = server.log();
        if let Some(line) = log.lines().find(|line| line.contains("a hook failed")) {
            break line.to_owned();
        }
        assert!(began.elapsed() < LOGGED_WITHIN, "{log}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(line.contains("hook=\"marker-hook\""), "{line}");
}

fn ask(request: &str, port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connects");
    stream.write_all(request.as_bytes()).expect("is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}
