//! `GET /uploads/{ref}/status`: the owner sees, everybody else sees nothing.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    client::Client,
    pattern,
    redis_server::RedisServer,
    server::{EMBEDDED, MEMORY, Server, redis, slots},
};

/// An answer without what differs between any two.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    headers: Vec<String>,
    body: String,
}

fn ask(port: u16, method: &str, path: &str, cookie: &str) -> Answer {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    let cookie = match cookie {
        "" => String::new(),
        cookie => format!("Cookie: {cookie}\r\n"),
    };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{cookie}Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("a request");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .expect("a status");
    let mut headers: Vec<String> = lines
        .map(str::to_lowercase)
        .filter(|line| !line.starts_with("date:"))
        .collect();
    headers.sort();
    Answer {
        status: status.parse().expect("a number"),
        headers,
        body: body.to_owned(),
    }
}

/// RESUME-5 and the route's own row: the owner's 200; the same 404 for unknown,
/// malformed, foreign and ownerless; GET only.
#[tokio::test]
async fn only_the_owner_is_told() {
    let redis_server = RedisServer::start();
    for state in [
        MEMORY.to_owned(),
        EMBEDDED.to_owned(),
        redis(redis_server.port),
    ] {
        let server = Server::start(&slots(&state));
        let mut client = Client::connect(&server.ws()).await;
        let cookie = client.cookie.clone();
        let upload = Uuid::new_v4();
        let file = pattern::file(9, 200_000);
        client
            .register(upload, "resumable", "Résumé.bin", 200_000)
            .await;
        client.chunk(upload, 0, &file[..65_536]).await;
        client.chunk(upload, 1, &file[65_536..131_072]).await;
        client
            .until(|message| message["bytes_durable"] == 131_072)
            .await;

        let path = |id: &str| format!("/uploads/{id}/status");
        let own = path(&upload.to_string());
        let found = ask(server.port, "GET", &own, &cookie);
        assert_eq!(found.status, 200, "{found:?}");
        let body: Value = serde_json::from_str(&found.body).expect("JSON");
        let expected = json!({
            "upload_id": upload.to_string(),
            "status": "uploading",
            "bytes_received": 131_072,
            "chunks_received": [[0, 1]],
            "filename": "Résumé.bin",
            "expected_size": 200_000,
        });
        assert_eq!(body, expected);

        let stranger = Client::connect(&server.ws()).await;
        let once = Uuid::new_v4();
        client.register(once, "any", "a.bin", 100).await;
        let rows = [
            (
                "unknown",
                path(&Uuid::new_v4().to_string()),
                cookie.as_str(),
            ),
            ("malformed", path("not-a-uuid"), &cookie),
            (
                "without hyphens",
                path(&upload.simple().to_string()),
                &cookie,
            ),
            ("nil", path(&Uuid::nil().to_string()), &cookie),
            ("other owner", own.clone(), &stranger.cookie),
            ("no cookie", own.clone(), ""),
            ("forged cookie", own.clone(), "upload_owner=forged"),
        ];
        let same = ask(server.port, "GET", &rows[0].1, rows[0].2);
        assert_eq!(
            (same.status, same.body.as_str()),
            (404, r#"{"status":"not_found"}"#)
        );
        for (what, path, cookie) in rows {
            assert_eq!(ask(server.port, "GET", &path, cookie), same, "{what}");
        }
        // What keeps no record is known to the connection that holds it.
        let live = ask(server.port, "GET", &path(&once.to_string()), &cookie);
        assert_eq!(live.status, 200, "{live:?}");
        let foreign = ask(
            server.port,
            "GET",
            &path(&once.to_string()),
            &stranger.cookie,
        );
        assert_eq!(foreign, same);
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            assert_eq!(
                ask(server.port, method, &own, &cookie).status,
                405,
                "{method}"
            );
        }

        client.chunk(upload, 2, &file[131_072..196_608]).await;
        client.chunk(upload, 3, &file[196_608..]).await;
        client.complete(upload, None).await;
        assert_eq!(client.ending(upload).await["status"], "complete");
        let body: Value =
            serde_json::from_str(&ask(server.port, "GET", &own, &cookie).body).expect("JSON");
        assert_eq!(
            (&body["status"], &body["bytes_received"]),
            (&json!("complete"), &json!(200_000))
        );
    }
}

/// A store that does not answer looks like an upload that never was.
#[tokio::test]
async fn a_failing_store_tells_nothing() {
    let mut redis_server = RedisServer::start();
    let mut server = Server::start(&slots(&redis(redis_server.port)));
    let mut client = Client::connect(&server.ws()).await;
    let cookie = client.cookie.clone();
    let upload = Uuid::new_v4();
    client.register(upload, "resumable", "a.bin", 100).await;
    let path = format!("/uploads/{upload}/status");
    assert_eq!(ask(server.port, "GET", &path, &cookie).status, 200);
    redis_server.kill();
    // Nobody holds it any more, so only the store could tell.
    server.restart();
    let answer = ask(server.port, "GET", &path, &cookie);
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (404, r#"{"status":"not_found"}"#)
    );
}
