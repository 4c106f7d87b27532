//! Requests of clients that cannot run here, taken from their source (`vectors/from_source.json`).

use serde_json::Value;

use crate::wire::{Answer, Server};

const FILES: &str = "/uploads/files/files";
const PUBLIC: &str = "https://example.org/uploads";
const VECTORS: &str = include_str!("vectors/from_source.json");

/// T11, T16, T21, T24, R6, R7, R10: what TUSKit, tus-java-client, rclone, URLSession and pyrufh send is answered as
/// they need it, and becomes their file.
#[tokio::test]
async fn clients_that_cannot_run_here_are_answered_as_they_need_it() {
    let vectors: Value = serde_json::from_str(VECTORS).expect("JSON");
    let cases = vectors["cases"].as_array().expect("cases");
    assert!(cases.len() >= 10);
    for case in cases {
        assert_eq!(case["marked"], "from source", "{case}");
        let commit = text(&case["commit"]);
        let is_hex = |byte: u8| byte.is_ascii_hexdigit();
        assert!(commit.len() == 40 && commit.bytes().all(is_hex), "{commit}");
        run(case).await;
    }
}

async fn run(case: &Value) {
    let is_public = case["needs_public_url"] == true;
    let server = Server::with(|builder| match is_public {
        true => builder.public_url(PUBLIC),
        false => builder,
    })
    .await;
    let mut path = None;
    for request in case["requests"].as_array().expect("requests") {
        let to = match text(&request["to"]) {
            "slot" => FILES.to_owned(),
            _ => path.clone().expect("created before"),
        };
        let answer = send(&server, &to, request).await;
        let about = format!("{}: {request}: {answer:?}", case["client"]);
        assert_eq!(u64::from(answer.status), request["status"], "{about}");
        for (name, value) in request["answers"].as_object().into_iter().flatten() {
            assert_eq!(answer.header(name), Some(text(value)), "{about}");
        }
        if let Some(location) = answer.header("location") {
            let bare = location.strip_prefix(PUBLIC);
            assert_eq!(bare.is_some(), is_public, "{about}");
            let bare = bare.map(|rest| format!("/uploads{rest}"));
            path = Some(bare.unwrap_or_else(|| location.to_owned()));
        }
    }
    let client = &case["client"];
    assert_eq!(
        server.stored(),
        [text(&case["stored"]).as_bytes()],
        "{client}"
    );
    if let Some(name) = case["name"].as_str() {
        let names = server.stored_names();
        assert!(
            names.iter().all(|stored| stored.ends_with(name)),
            "{client}: {names:?}"
        );
    }
}

/// Sends a request as its client does: with a length, or in chunks after the 100.
async fn send(server: &Server, path: &str, request: &Value) -> Answer {
    let method = text(&request["method"]);
    let content = request["content"].as_str().unwrap_or_default().as_bytes();
    let headers = request["headers"].as_array().expect("headers").iter();
    // Names are as the client writes them, and the test looks for them in lower case.
    let mut headers: Vec<_> = headers
        .map(|pair| match text(&pair[0]) {
            "Content-Length" => ("content-length", text(&pair[1])),
            name => (name, text(&pair[1])),
        })
        .collect();
    let mut wire = server.connect().await;
    if request["sent"] == "chunked" {
        headers.push(("transfer-encoding", "chunked"));
        wire.send(method, path, &headers, b"").await;
        assert_eq!(wire.answer(method).await.status, 100, "it is awaited");
        let size = format!("{:x}\r\n", content.len());
        wire.write(&[size.as_bytes(), content, b"\r\n0\r\n\r\n"].concat())
            .await;
        // The method that is overridden decides what the answer looks like.
        return wire.answer(method).await;
    }
    wire.send(method, path, &headers, content).await;
    wire.answer(method).await
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}
