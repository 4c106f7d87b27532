//! A real file goes through the server onto disk.

use std::{
    fs::File,
    io::Write,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

use crate::support::{
    client::Client,
    pattern,
    server::{EMBEDDED, Server, binary, slots},
};

const MIB: usize = 1 << 20;

fn write_pattern(path: &Path, length: u64) {
    let mut file = File::create(path).expect("a file");
    let mut offset = 0;
    while offset < length {
        let piece = pattern::bytes(1, offset, MIB.min((length - offset) as usize));
        file.write_all(&piece).expect("room for the file");
        offset += piece.len() as u64;
    }
}

fn sha256sum(path: &Path) -> String {
    let output = Command::new("sha256sum")
        .arg(path)
        .output()
        .expect("sha256sum");
    let text = String::from_utf8(output.stdout).expect("text");
    text.split_whitespace().next().expect("a sum").to_owned()
}

fn send(server: &Server, file: &Path, slot: &str, extra: &[&str]) -> Output {
    Command::new(binary())
        .arg("send")
        .arg(file)
        .args(["--url", &server.ws(), "--slot", slot])
        .args(extra)
        .env("XDG_STATE_HOME", server.dir().join("state"))
        .env("XDG_CACHE_HOME", server.dir().join("cache"))
        .output()
        .expect("send runs")
}

/// COMPLETE-3: `send` of a 1 GiB file ends byte-exact, by `sha256sum` of both sides.
#[test]
fn a_gibibyte_from_the_terminal() {
    let server = Server::start(&slots(EMBEDDED));
    let source = server.dir().join("source.bin");
    write_pattern(&source, 1 << 30);
    let sent = send(&server, &source, "resumable", &["--json"]);
    assert!(
        sent.status.success(),
        "{}",
        String::from_utf8_lossy(&sent.stderr)
    );
    let line: Value = serde_json::from_slice(&sent.stdout).expect("one line of JSON");
    assert_eq!(line["result"]["size"], 1_u64 << 30, "{line}");
    let stored = server.stored("resumable");
    assert_eq!(stored.len(), 1);
    assert_eq!(sha256sum(&stored[0]), sha256sum(&source));
    assert!(server.temporary().is_empty());
}

/// The bar is live: on a terminal it shows growing percentages, speed and time.
#[test]
fn a_progress_bar_on_a_terminal() {
    let server = Server::start(&slots(EMBEDDED));
    let source = server.dir().join("source.bin");
    write_pattern(&source, 256 << 20);
    let command = format!(
        "{} send {} --url {} --slot any",
        binary().display(),
        source.display(),
        server.ws()
    );
    let output = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env("TERM", "xterm")
        .env("COLUMNS", "120")
        .env("XDG_STATE_HOME", server.dir().join("state"))
        .output()
        .expect("script, from bsdutils");
    assert!(output.status.success());
    let screen = String::from_utf8_lossy(&output.stdout).into_owned();
    let percents: std::collections::BTreeSet<&str> = screen
        .split(|c: char| !(c.is_ascii_digit() || c == '%'))
        .filter(|word| word.len() > 1 && word.ends_with('%'))
        .collect();
    assert!(
        percents.len() >= 3,
        "a bar that moves: {percents:?} in {screen}"
    );
    assert!(screen.contains("/s"), "a speed: {screen}");
}

/// A refused file makes `send` fail with the server's code.
#[test]
fn send_tells_a_refusal() {
    let config = slots(EMBEDDED) + "\n[slots.images]\naccept = \".png\"\n";
    let server = Server::start(&config);
    let source = server.dir().join("notes.txt");
    std::fs::write(&source, b"not an image").expect("a file");
    let sent = send(&server, &source, "images", &["--json"]);
    assert!(!sent.status.success());
    let line: Value = serde_json::from_slice(&sent.stdout).expect("one line of JSON");
    assert_eq!(line["code"], "type_not_accepted", "{line}");
    assert!(server.stored("images").is_empty());
}

/// COMPLETE-5 and the sizes around a chunk's edge, byte-exact.
#[tokio::test]
async fn sizes_around_the_edges() {
    let server = Server::start(&slots(EMBEDDED));
    let mut client = Client::connect(&server.ws()).await;
    for size in [0, 1, 65_535, 65_536, 65_537, 131_072, 5 * MIB + 3] {
        let file = pattern::file(size as u64, size);
        let ended = client.upload("any", "file.bin", &file).await;
        assert_eq!(ended["status"], "complete", "{size}: {ended}");
        assert_eq!(ended["crc32c"], format!("{:08x}", crc32c::crc32c(&file)));
        let path = ended["result"]["path"].as_str().expect("a path");
        let stored = std::fs::read(server.dir().join("files").join(path)).expect("stored");
        assert!(stored == file, "{size} bytes are exact");
    }
}
