//! `upload-server send`, as people and scripts use it.

mod again;
mod balanced;

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    path::Path,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use uuid::Uuid;

use crate::support::{
    client::Client,
    pattern,
    relay::{Valve, tls_before},
    server::{EMBEDDED, Server, binary, slots},
};

/// Longest time until a failure is reported.
const TOLD_WITHIN: Duration = Duration::from_secs(2);

fn send(home: &Path, url: &str, words: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command
        .args(["send", "--slot", "any", "--url", url])
        .args(words)
        .current_dir(home)
        .env("XDG_STATE_HOME", home.join("state"))
        .env("XDG_CACHE_HOME", home.join("cache"))
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn output(mut command: Command) -> Output {
    command.output().expect("send runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The lines of `--json`.
fn lines(output: &Output) -> Vec<Value> {
    let lines = text(&output.stdout);
    let lines = lines.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect()
}

fn stored(server: &Server, line: &Value) -> Vec<u8> {
    let path = line["result"]["path"].as_str();
    let path = path.unwrap_or_else(|| panic!("not stored: {line}"));
    fs::read(server.dir().join("files").join(path)).expect("a stored file")
}

fn set_up() -> Server {
    Server::start(&(slots(EMBEDDED) + "\n"))
}

/// A file that is rewritten in place while it is sent, head and tail, is stored by no means half
/// old and half new.
#[test]
fn a_file_rewritten_meanwhile_is_an_error() {
    let server = set_up();
    let file = server.dir().join("disk.img");
    let size = 60_000_000;
    fs::write(&file, vec![b'A'; size]).expect("written");
    let valve = Valve::before(server.port, 8_000_000);
    let url = format!("ws://127.0.0.1:{}/uploads/ws", valve.port);
    let sending = send(server.dir(), &url, &["--json", "disk.img"]).spawn();
    let sending = sending.expect("send runs");
    valve.stopped.recv().expect("it sends");
    thread::sleep(Duration::from_millis(300));
    let mut changed = fs::OpenOptions::new()
        .write(true)
        .open(&file)
        .expect("opened");
    changed.write_all(&[b'B'; 1_000]).expect("written");
    drop(valve.stopped);
    valve.go.send(()).expect("it waits");
    let sent = sending.wait_with_output().expect("its end");
    let line = lines(&sent).remove(0);
    assert_eq!(line["ok"], false, "{line}");
    assert_eq!(line["error"], "the file changed while it was sent");
    assert!(!sent.status.success());
    assert!(server.stored("any").is_empty());
}

/// What tells no size, or is no file at all, is stored with all its bytes.
#[test]
fn files_without_a_size_are_sent_whole() {
    let server = set_up();
    let content = pattern::file(3, 300_000);
    let pipe = server.dir().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(made.success());
    let writer = thread::spawn({
        let content = content.clone();
        move || fs::write(pipe, content)
    });
    let words = [
        "--json",
        "--jobs",
        "1",
        "/proc/cpuinfo",
        "pipe",
        "-",
        "--stdin-name",
        "notes.bin",
    ];
    let mut sending = send(server.dir(), &server.ws(), &words);
    let mut sending = sending.stdin(Stdio::piped()).spawn().expect("send runs");
    let mut stdin = sending.stdin.take().expect("piped");
    stdin.write_all(b"from the pipe").expect("written");
    drop(stdin);
    let sent = sending.wait_with_output().expect("its end");
    writer.join().expect("no panic").expect("written");
    assert!(sent.status.success(), "{}", text(&sent.stderr));
    let lines = lines(&sent);
    let cpuinfo = fs::read("/proc/cpuinfo").expect("read");
    // Frequencies differ from reading to reading.
    assert!(stored(&server, &lines[0]).starts_with(&cpuinfo[..cpuinfo.len().min(60)]));
    assert!(lines[0]["size"].as_u64() > Some(0));
    assert!(stored(&server, &lines[1]) == content);
    assert_eq!(stored(&server, &lines[2]), b"from the pipe");
    assert!(
        lines[2]["result"]["path"]
            .as_str()
            .is_some_and(|path| path.contains("notes"))
    );
}

/// An empty file is stored empty.
#[test]
fn an_empty_file_is_stored() {
    let server = set_up();
    fs::write(server.dir().join("empty.bin"), b"").expect("written");
    let sent = output(send(server.dir(), &server.ws(), &["--json", "empty.bin"]));
    assert!(sent.status.success(), "{}", text(&sent.stderr));
    assert_eq!(stored(&server, &lines(&sent)[0]), b"");
}

/// Directories are sent whole or by patterns, several files at a time, each under the name it has
/// there; what cannot be sent is an error, and everything else is sent.
#[test]
fn directories_patterns_links_and_a_summary() {
    let server = set_up();
    let at = |name: &str| server.dir().join(name);
    fs::create_dir_all(at("tree/sub")).expect("made");
    for number in 0..20 {
        let content = pattern::file(number, 1_000 * number as usize);
        fs::write(at(&format!("tree/sub/{number}.bin")), content).expect("written");
    }
    fs::write(at("tree/left.tmp"), b"x").expect("written");
    fs::write(at("real.txt"), b"behind a link").expect("written");
    std::os::unix::fs::symlink("real.txt", at("link.txt")).expect("linked");
    let words = [
        "--json",
        "--jobs",
        "5",
        "tree",
        "link.txt",
        "gone.txt",
        "--exclude",
        "*.tmp",
    ];
    let sent = output(send(server.dir(), &server.ws(), &words));
    assert!(!sent.status.success());
    let lines = lines(&sent);
    let (ok, failed): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line["ok"] == true);
    assert_eq!((ok.len(), failed.len()), (21, 1), "{lines:?}");
    assert_eq!(failed[0]["file"], "gone.txt");
    for line in ok {
        let file = line["file"].as_str().expect("a name");
        assert!(
            stored(&server, line) == fs::read(at(file)).expect("read"),
            "{line}"
        );
        let name = Path::new(file)
            .file_stem()
            .and_then(|it| it.to_str())
            .expect("a name");
        let path = line["result"]["path"].as_str().expect("a path");
        assert!(path.contains(name), "{line}");
    }
    let summary = text(&sent.stderr);
    assert!(summary.contains("21 files stored, 1 not: "), "{summary}");
    // A few connections carried them all.
    let connections: u64 = lines
        .iter()
        .filter_map(|line| line["connections"].as_u64())
        .sum();
    assert!(connections >= 21, "{lines:?}");
}

/// A run ends with a summary; `--quiet` prints errors only.
#[test]
fn quiet_prints_errors_only() {
    let server = set_up();
    fs::write(server.dir().join("a.txt"), b"a").expect("written");
    let sent = output(send(server.dir(), &server.ws(), &["--quiet", "a.txt"]));
    assert!(sent.status.success());
    assert_eq!((text(&sent.stdout), text(&sent.stderr)), Default::default());
    let sent = output(send(server.dir(), &server.ws(), &["--quiet", "gone.txt"]));
    assert!(!sent.status.success());
    assert!(text(&sent.stderr).starts_with("gone.txt: cannot be read: "));
    let sent = output(send(server.dir(), &server.ws(), &["a.txt"]));
    assert!(
        text(&sent.stderr).contains("1 file stored: 1 B in "),
        "{}",
        text(&sent.stderr)
    );
}

/// The first line that is written, and when.
fn first_word(mut command: Command) -> (String, Duration) {
    let began = Instant::now();
    let mut child = command.spawn().expect("send runs");
    let mut line = String::new();
    let stderr = child.stderr.take().expect("piped");
    BufReader::new(stderr).read_line(&mut line).expect("a line");
    let took = began.elapsed();
    // It may have ended by itself.
    let _ = child.kill();
    child.wait().expect("its end");
    (line, took)
}

/// A server that is not there, or does not answer, is reported at once; it is tried again.
#[test]
fn the_first_failure_is_reported_soon() {
    let home = tempfile::tempdir().expect("a directory");
    fs::write(home.path().join("a.txt"), b"a").expect("written");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = format!("http://{}", listener.local_addr().expect("its address"));
    let (line, took) = first_word(send(home.path(), &silent, &["a.txt"]));
    assert_eq!(line, "127.0.0.1: no answer yet\n");
    assert!(took < TOLD_WITHIN, "{took:?}");
    drop(listener);
    let (line, took) = first_word(send(home.path(), &silent, &["a.txt"]));
    assert_eq!(line, "127.0.0.1: Connection refused; trying again\n");
    assert!(took < TOLD_WITHIN, "{took:?}");
}

/// Of many small files more are in flight than the server takes from one owner: fewer are sent then, and all are stored.
#[test]
fn more_small_files_at_a_time_than_an_owner_may_have() {
    let few = slots(EMBEDDED).replace("max_uploads_per_owner = 4096", "max_uploads_per_owner = 3");
    let server = Server::start(&few);
    fs::create_dir_all(server.dir().join("tree")).expect("made");
    for number in 0..200 {
        let name = format!("tree/{number}.bin");
        fs::write(server.dir().join(name), pattern::file(number, 500)).expect("written");
    }
    let sent = output(send(server.dir(), &server.ws(), &["--json", "tree"]));
    assert!(sent.status.success(), "{}", text(&sent.stderr));
    let lines = lines(&sent);
    assert_eq!(lines.len(), 200);
    for line in lines {
        let name = line["file"]
            .as_str()
            .and_then(|path| path.rsplit('/').next());
        let number = name.and_then(|name| name.strip_suffix(".bin")?.parse().ok());
        let number: u64 = number.expect("a number");
        assert!(
            stored(&server, &line) == pattern::file(number, 500),
            "{line}"
        );
    }
}

/// Large files for which another upload of the owner leaves no place are refused one by one, behind the small ones:
/// none of them is left out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_files_without_a_place_are_told_of() {
    let limit = "max_uploads_per_owner = 4096\nmax_bytes_per_owner = 1_000_000";
    let few = slots(EMBEDDED).replace("max_uploads_per_owner = 4096", limit);
    let server = Server::start(&few);
    let mut other = Client::connect(&server.ws()).await;
    let held = other.register(Uuid::new_v4(), "any", "held.bin", 800_000);
    assert_eq!(held.await["type"], "upload_registered");
    fs::create_dir_all(server.dir().join("tree")).expect("made");
    for number in 0..205 {
        let size = if number < 5 { 300_000 } else { 500 };
        let name = format!("tree/{number}.bin");
        fs::write(server.dir().join(name), pattern::file(number, size)).expect("written");
    }
    let cookie = format!("Cookie: {}", other.cookie);
    let words = ["--json", "--header", &*cookie, "tree"];
    let sent = output(send(server.dir(), &server.ws(), &words));
    assert!(!sent.status.success());
    let lines = lines(&sent);
    let (ok, refused): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line["ok"] == true);
    assert_eq!((ok.len(), refused.len()), (200, 5), "{refused:?}");
    for line in refused {
        assert_eq!(line["code"], "too_many_entries", "{line}");
    }
}

/// Token and headers are sent; a refusal that lasts ends the whole run at once.
#[test]
fn tokens_and_headers_are_sent() {
    let home = tempfile::tempdir().expect("a directory");
    for name in ["a.txt", "b.txt", "c.txt"] {
        fs::write(home.path().join(name), b"a").expect("written");
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/app", listener.local_addr().expect("its address"));
    let answering = thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("a client");
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).expect("a request");
            request.push(byte[0]);
        }
        let refusal = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n";
        client.write_all(refusal).expect("answered");
        String::from_utf8(request).expect("text").to_lowercase()
    });
    let words = [
        "-j",
        "1",
        "--header",
        "X-Api-Key: a key",
        "a.txt",
        "b.txt",
        "c.txt",
    ];
    let mut sending = send(home.path(), &url, &words);
    sending.env("SEND_TOKEN", "t0k3n");
    let began = Instant::now();
    let sent = output(sending);
    assert!(began.elapsed() < TOLD_WITHIN && !sent.status.success());
    let request = answering.join().expect("no panic");
    assert!(request.starts_with("get /app/ws http/1.1\r\n"), "{request}");
    for header in ["authorization: bearer t0k3n\r\n", "x-api-key: a key\r\n"] {
        assert!(request.contains(header), "{request}");
    }
    let said = text(&sent.stderr);
    assert!(said.contains("HTTP status 401"), "{said}");
    assert!(said.contains("0 files stored, 3 not"), "{said}");
    assert!(!said.contains("t0k3n"), "{said}");
}

/// `wss:` and `https:` reach a server whose certificate the system trusts, and no other.
#[test]
fn encrypted_connections_are_trusted_or_refused() {
    let server = set_up();
    let content = pattern::file(9, 700_000);
    fs::write(server.dir().join("a.bin"), &content).expect("written");
    let (port, certificate) = tls_before(server.port);
    fs::write(server.dir().join("ca.pem"), certificate).expect("written");
    let mut seen = BTreeSet::new();
    for url in [
        format!("https://localhost:{port}"),
        format!("wss://localhost:{port}/uploads/ws"),
    ] {
        let mut sending = send(server.dir(), &url, &["--json", "a.bin"]);
        sending.env("SSL_CERT_FILE", server.dir().join("ca.pem"));
        let sent = output(sending);
        assert!(sent.status.success(), "{}", text(&sent.stderr));
        let line = lines(&sent).remove(0);
        assert!(stored(&server, &line) == content, "{line}");
        assert!(seen.insert(line["upload_id"].to_string()));
    }
    let (other, _) = tls_before(server.port);
    let mut sending = send(
        server.dir(),
        &format!("https://localhost:{other}"),
        &["a.bin"],
    );
    sending.env("SSL_CERT_FILE", server.dir().join("ca.pem"));
    let began = Instant::now();
    let sent = output(sending);
    assert!(!sent.status.success() && began.elapsed() < TOLD_WITHIN);
    assert!(
        text(&sent.stderr).contains("certificate"),
        "{}",
        text(&sent.stderr)
    );
}
