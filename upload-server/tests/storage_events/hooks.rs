//! Hooks of the binary: told at least once, also by a server that was killed in between.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    http::{send, signature},
    receiver::Receiver,
};

const SECRET: &str = "the hook's secret of 32 bytes and more";

/// The binary, killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
}

impl Server {
    pub(crate) fn start(dir: &Path) -> Self {
        Self::run(command(dir))
    }

    fn run(mut command: Command) -> Self {
        let mut child = command
            .args(["--config", "uploads.toml"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary runs");
        let output = child.stdout.take().expect("piped");
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).expect("a line");
        let address = line.trim().strip_prefix("listening on http://");
        let address = address.expect("an address").to_owned();
        Self { child, address }
    }

    /// Kills it, as the system would.
    fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_upload-server"));
    for (name, _) in std::env::vars_os() {
        let is_ours = |name: &str| name.starts_with("UPLOAD_") || name.starts_with("AWS_");
        if name.to_str().is_some_and(is_ours) {
            command.env_remove(name);
        }
    }
    command.current_dir(dir);
    command
}

fn configure(dir: &Path, hook: std::net::SocketAddr) {
    let config = format!(
        "listen = \"127.0.0.1:0\"\ndata_dir = \"data\"\n[webhook]\nsecret = \"w of thirty-two bytes, or of more\"\n\
         [slots.docs]\nmax_entries = 4\n[slots.kept]\nresumable = true\n\
         [[hooks]]\nurl = \"http://{hook}/uploaded\"\nsecret = \"{SECRET}\"\n"
    );
    fs::write(dir.join("uploads.toml"), config).expect("written");
}

async fn upload(dir: &Path, server: &Server, slot: &str, name: &str, content: &str) {
    fs::write(dir.join(name), content).expect("written");
    let url = format!("ws://{}/uploads/ws", server.address);
    let mut sending = command(dir);
    sending.args(["send", name, "--url", &url, "--slot", slot]);
    sending.env("XDG_STATE_HOME", dir).env("HOME", dir);
    let sent = tokio::task::spawn_blocking(move || sending.output());
    let sent = sent.await.expect("no panic").expect("the binary runs");
    assert!(
        sent.status.success(),
        "{}",
        String::from_utf8_lossy(&sent.stderr)
    );
}

fn event_ids(notices: &[Value]) -> Vec<&str> {
    notices
        .iter()
        .map(|notice| notice["event_id"].as_str().expect("an id"))
        .collect()
}

/// A receiver that refuses twice is called again, with the same event.
#[tokio::test]
async fn a_hook_that_fails_is_called_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let receiver = Receiver::start(listener, 2).await;
    configure(dir.path(), receiver.address);
    let server = Server::start(dir.path());
    upload(dir.path(), &server, "docs", "hello.txt", "hello, hook").await;
    let calls = receiver.calls(3).await;
    let notices: Vec<Value> = calls.iter().map(|call| call.verified(SECRET)).collect();
    assert_eq!(notices[0], notices[1]);
    assert_eq!(notices[0], notices[2]);
    let notice = &notices[0];
    let fields = [
        ("event", json!("upload_complete")),
        ("slot", json!("docs")),
        ("client_name", json!("hello.txt")),
        ("safe_client_name", json!("hello.txt")),
        ("size", json!(11)),
        (
            "crc32c",
            json!(format!("{:08x}", crc32c::crc32c(b"hello, hook"))),
        ),
    ];
    for (name, value) in fields {
        assert_eq!(notice[name], value, "{notice}");
    }
    for name in ["event_id", "upload_id", "owner", "client_type", "at"] {
        assert!(notice[name].is_string(), "{name}: {notice}");
    }
    let path = notice["result"]["path"].as_str().expect("a path");
    let stored = fs::read_to_string(dir.path().join("data").join(path));
    assert_eq!(stored.expect("stored"), "hello, hook");
}

/// Returns the command of a server that finds no certificates.
fn without_certificates(dir: &Path) -> Command {
    let mut command = command(dir);
    command.env("SSL_CERT_FILE", "/dev/null");
    command.env_remove("SSL_CERT_DIR");
    command
}

#[tokio::test]
async fn a_hook_over_http_needs_no_certificates() {
    let dir = tempfile::tempdir().expect("a directory");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let receiver = Receiver::start(listener, 0).await;
    configure(dir.path(), receiver.address);
    let server = Server::run(without_certificates(dir.path()));
    upload(dir.path(), &server, "docs", "hello.txt", "hello, hook").await;
    let calls = receiver.calls(1).await;
    assert_eq!(calls[0].verified(SECRET)["size"], json!(11));
}

/// So it is for all others that a server asks, or does not ask: only an address with `https` refuses the start.
#[test]
fn a_server_without_certificates_starts_where_it_needs_none() {
    const HTTP: &str = "http://127.0.0.1:9/";
    const HTTPS: &str = "https://127.0.0.1:9/";
    let secret = format!("secret = \"{SECRET}\"");
    let called = |table: &str, key: &str, url: &str| format!("{table}\n{key} = \"{url}\"\n");
    let signed = |table: &str, url: &str| format!("{}{secret}\n", called(table, "url", url));
    let start = |lines: &str| {
        let dir = tempfile::tempdir().expect("a directory");
        let config = format!("listen = \"127.0.0.1:0\"\n[slots.docs]\n{lines}");
        fs::write(dir.path().join("uploads.toml"), config).expect("written");
        (without_certificates(dir.path()), dir)
    };
    for good in [
        format!("[auth.jwt]\n{secret}\n"),
        called("[auth.jwt]", "jwks", HTTP),
        called("[auth.forward]", "url", HTTP),
        signed("[deciding_hook]", HTTP),
    ] {
        let (command, _dir) = start(&good);
        drop(Server::run(command));
    }
    for (bad, key) in [
        (called("[auth.jwt]", "jwks", HTTPS), "auth.jwt: "),
        (called("[auth.forward]", "url", HTTPS), "auth.forward: "),
        (signed("[deciding_hook]", HTTPS), "deciding_hook: "),
        (
            signed("[[hooks]]", HTTP) + &signed("[[hooks]]", HTTPS),
            "hooks.1.url: ",
        ),
    ] {
        let (mut command, _dir) = start(&bad);
        command.args(["--config", "uploads.toml"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let mut line = String::new();
        let output = child.stdout.take().expect("piped");
        BufReader::new(output).read_line(&mut line).expect("read");
        let _ = child.kill();
        let ended = child.wait_with_output().expect("its end");
        let said = String::from_utf8_lossy(&ended.stderr);
        let expected = format!("error: {key}the system's certificates cannot be read");
        assert!(line.is_empty() && said.contains(&expected), "{line}{said}");
    }
}

/// By whatever door it came.
#[tokio::test]
async fn a_hook_learns_what_was_sent_along() {
    let dir = tempfile::tempdir().expect("a directory");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let receiver = Receiver::start(listener, 0).await;
    configure(dir.path(), receiver.address);
    let server = Server::start(dir.path());
    let headers = [
        ("tus-resumable", &b"1.0.0"[..]),
        ("upload-length", b"3"),
        ("upload-metadata", b"filename YS50eHQ=,album c3VtbWVy"),
        ("content-type", b"application/offset+octet-stream"),
    ];
    let url = format!("http://{}/uploads/files/docs", server.address);
    let answer = send("POST", &url, &headers, "abc").await;
    assert_eq!(answer.status, 201);
    let calls = receiver.calls(1).await;
    let notice = calls[0].verified(SECRET);
    assert_eq!(notice["client_name"], json!("a.txt"), "{notice}");
    assert_eq!(notice["meta"]["album"], json!("summer"), "{notice}");
}

/// What was complete when the server was killed is told by the next one, resumable or not; what
/// was told before is not told again.
#[tokio::test]
async fn a_killed_server_tells_after_its_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    // Nobody listens at first: the port is only held.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let hook = listener.local_addr().expect("an address");
    drop(listener);
    configure(dir.path(), hook);
    let mut server = Server::start(dir.path());
    upload(dir.path(), &server, "docs", "a.txt", "one").await;
    upload(dir.path(), &server, "kept", "b.txt", "two").await;
    let event = r#"{"Records":[{"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"k/x","size":3,"eTag":"e","sequencer":"01"}}}]}"#;
    let signed = signature("w of thirty-two bytes, or of more", event.as_bytes());
    let headers = [("x-upload-signature", signed.as_bytes())];
    let url = format!("http://{}/webhooks/s3", server.address);
    let answer = send("POST", &url, &headers, event).await;
    assert_eq!(answer.json(), json!({ "ok": true, "fired": 1 }));
    server.kill();

    let listener = TcpListener::bind(hook).await.expect("the port again");
    let receiver = Receiver::start(listener, 0).await;
    let mut server = Server::start(dir.path());
    let calls = receiver.calls(3).await;
    let notices: Vec<Value> = calls.iter().map(|call| call.verified(SECRET)).collect();
    let told = |event: &str, size: u64| {
        let is_it = |notice: &&Value| notice["event"] == event && notice["size"] == size;
        notices.iter().filter(is_it).count()
    };
    assert_eq!(told("upload_complete", 3), 2, "{notices:?}");
    assert_eq!(told("object_created", 3), 1, "{notices:?}");
    let object = notices
        .iter()
        .find(|notice| notice["event"] == "object_created");
    let object = object.expect("told");
    assert_eq!(
        object["result"],
        json!({ "bucket": "b", "key": "k/x", "etag": "e", "size": 3 })
    );
    for name in [
        "slot",
        "owner",
        "client_name",
        "safe_client_name",
        "client_type",
        "crc32c",
    ] {
        assert!(object[name].is_null(), "{name}");
    }

    // The last call may have been answered without that being noted before the kill.
    server.kill();
    let server = Server::start(dir.path());
    upload(dir.path(), &server, "docs", "c.txt", "three").await;
    let calls = loop {
        let calls = receiver.calls(4).await;
        let last: Value = calls.last().expect("some").verified(SECRET);
        if last["client_name"] == "c.txt" {
            break calls;
        }
        tokio::task::yield_now().await;
    };
    let notices: Vec<Value> = calls.iter().map(|call| call.verified(SECRET)).collect();
    let mut ids = event_ids(&notices);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4, "repetitions have the same id");
}
