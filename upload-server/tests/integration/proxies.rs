//! Behind nginx and Caddy, configured as `docs/deploy` says.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::task::block_in_place;

use crate::{
    doors::upload_through,
    support::{
        http::{Http, ask},
        pattern,
        server::{EMBEDDED, Server, free_port, slots},
        uploader::{Uploader, until},
    },
};

const SIZE: usize = 8 << 20;
/// Longest time a proxy may take to listen.
const START_MAX: Duration = Duration::from_secs(20);

/// A proxy in front of one server; killed when dropped.
pub struct Running {
    child: Child,
    pub port: u16,
    _dir: TempDir,
}

impl Running {
    /// Starts `program` with a file of `docs/deploy`, its addresses exchanged for those of this test.
    pub fn start(name: &str, to: u16) -> Self {
        Self::start_with(name, to, |site| site)
    }

    /// Starts it with changes to that file.
    fn start_with(name: &str, to: u16, change: impl FnOnce(String) -> String) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let port = free_port();
        let listen = format!("127.0.0.1:{port}");
        let upstream = format!("127.0.0.1:{to}");
        let mut command = match name {
            "nginx" => nginx(dir.path(), &listen, &upstream, change),
            _ => caddy(dir.path(), &listen, &upstream),
        };
        let log = fs::File::create(dir.path().join("log")).expect("a file");
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}; apt-get install -y {name}"));
        let mut proxy = Self {
            child,
            port,
            _dir: dir,
        };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = fs::read_to_string(proxy._dir.path().join("log")).unwrap_or_default();
            let runs = matches!(proxy.child.try_wait(), Ok(None));
            assert!(runs && began.elapsed() < START_MAX, "{name}: {log}");
            thread::sleep(Duration::from_millis(10));
        }
        proxy
    }

    pub fn ws(&self) -> String {
        format!("ws://127.0.0.1:{}/uploads/ws", self.port)
    }

    /// Returns the status line and the headers that answer a handshake.
    pub fn handshake(&self, more: &str) -> String {
        self.ask(&format!(
            "GET /uploads/ws HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n",
            self.port
        ))
    }

    /// Returns the status line and the headers that answer a request.
    pub fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connects");
        let timeout = Some(Duration::from_secs(10));
        stream.set_read_timeout(timeout).expect("a timeout");
        stream.write_all(request.as_bytes()).expect("is taken");
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
            head.push(byte[0]);
        }
        String::from_utf8_lossy(&head).to_ascii_lowercase()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn deploy(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/deploy");
    fs::read_to_string(path.join(file)).expect("a file of docs/deploy")
}

/// Exchanges a line that must be there.
fn exchange(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "no {from:?} in\n{text}");
    text.replace(from, to)
}

/// The file is one of those that a distribution's nginx includes, without TLS here.
fn nginx(
    dir: &Path,
    listen: &str,
    upstream: &str,
    change: impl FnOnce(String) -> String,
) -> Command {
    let site = change(deploy("nginx.conf"));
    let site = exchange(&site, "listen 443 ssl;", &format!("listen {listen};"));
    let site = exchange(&site, "127.0.0.1:8080", upstream);
    let site: Vec<_> = site
        .lines()
        .filter(|line| !line.trim_start().starts_with("ssl_"))
        .collect();
    let dir = dir.display();
    let whole = format!(
        "pid {dir}/pid;\nerror_log {dir}/error.log;\ndaemon off;\nuser root;\nworker_processes 1;\n\
         events {{}}\nhttp {{\naccess_log off;\nclient_body_temp_path {dir}/body;\n\
         proxy_temp_path {dir}/proxy;\nfastcgi_temp_path {dir}/f;\nuwsgi_temp_path {dir}/u;\n\
         scgi_temp_path {dir}/s;\n{}\n}}\n",
        site.join("\n")
    );
    let path = PathBuf::from(dir.to_string()).join("nginx.conf");
    fs::write(&path, whole).expect("a configuration");
    let mut command = Command::new("nginx");
    command.arg("-e").arg("stderr").arg("-c").arg(path);
    command
}

/// Without a name to get a certificate for, Caddy speaks plain HTTP.
fn caddy(dir: &Path, listen: &str, upstream: &str) -> Command {
    let site = deploy("Caddyfile");
    let site = exchange(&site, "example.org", &format!("http://{listen}"));
    let site = exchange(&site, "127.0.0.1:8080", upstream);
    let path = dir.join("Caddyfile");
    fs::write(&path, format!("{{\n\tadmin off\n}}\n{site}")).expect("a configuration");
    let mut command = Command::new("caddy");
    command
        .args(["run", "--adapter", "caddyfile", "--config"])
        .arg(path)
        .env("HOME", dir)
        .env("XDG_DATA_HOME", dir)
        .env("XDG_CONFIG_HOME", dir);
    command
}

/// CONN-1: what the page and its host are gets through, and what a visitor claims about the proxy does not.
fn headers_are_passed(proxy: &Running) {
    let own = format!("Origin: http://127.0.0.1:{}\r\n", proxy.port);
    let foreign = "Origin: http://elsewhere.example\r\n";
    let claimed = "X-Forwarded-Proto: https\r\n";
    for more in ["", &own, claimed] {
        let head = proxy.handshake(more);
        assert!(head.starts_with("http/1.1 101"), "{more:?}: {head}");
        assert!(head.contains("set-cookie:"), "{head}");
        assert!(
            !head.contains("secure"),
            "this visitor came without TLS: {head}"
        );
    }
    let head = proxy.handshake(foreign);
    assert!(head.starts_with("http/1.1 403"), "{head}");
}

/// What S3 tells gets through to the server, which refuses what nobody signed.
fn events_are_passed(proxy: &Running) {
    let head = proxy.ask(&format!(
        "POST /webhooks/s3 HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Length: 0\r\n\r\n",
        proxy.port
    ));
    assert!(head.starts_with("http/1.1 403"), "{head}");
}

/// RESUME-3, CONN-2: a file arrives byte for byte, and goes on after a restart of the server, all through
/// the proxy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_pass_proxies() {
    for name in ["nginx", "caddy"] {
        let config = format!(
            "trust_proxy = true\n{}\n[webhook]\nsecret = \"0123456789abcdef0123456789abcdef\"\n",
            slots(EMBEDDED)
        );
        let mut server = Server::start(&config);
        let proxy = block_in_place(|| Running::start(name, server.port));
        block_in_place(|| headers_are_passed(&proxy));
        block_in_place(|| events_are_passed(&proxy));
        block_in_place(|| upload_through(proxy.port, &server));

        let file = pattern::file(41, SIZE);
        let whole = Uploader::new(&proxy.ws(), "once", file.clone());
        whole.complete().await;
        server.assert_stored_once("once", &file);

        let uploader = Uploader::new(&proxy.ws(), "resumable", file.clone());
        let (gate, mut heard) = (uploader.gate.clone(), uploader.watch());
        gate.open_to(SIZE as u64 / 2);
        let sending = tokio::spawn(uploader.complete());
        until(&mut heard, |heard| heard.received >= SIZE as u64 / 2).await;
        block_in_place(|| server.terminate());
        block_in_place(|| server.restart());
        gate.open_wide();
        let report = sending.await.expect("it ends complete");
        assert_eq!(report.heard.restarts, 0);
        assert!(
            report.heard.resumes > 0 && report.heard.drains > 0,
            "{report:?}"
        );
        server.assert_stored_once("resumable", &file);
        println!("{name}: an upload, and one over a restart, byte for byte");
    }
}

/// T12, T45: what `HEAD` tells while a `PATCH` passes nginx. Unbuffered, what has come so far, and it ends the
/// `PATCH`. Buffered, what there was before, since nginx still collects the content; the `PATCH` continues.
#[test]
fn head_during_a_patch_tells_what_nginx_has_passed_on() {
    const TUS: (&str, &str) = ("tus-resumable", "1.0.0");
    const TYPE: (&str, &str) = ("content-type", "application/offset+octet-stream");
    const BUFFERING: &str = "proxy_request_buffering off;";

    let file = pattern::file(47, 4 << 20);
    let (first, rest) = file.split_at(file.len() / 2);
    let length = file.len().to_string();
    for is_buffered in [false, true] {
        let server = Server::start(&slots(EMBEDDED));
        let proxy = Running::start_with("nginx", server.port, |site| match is_buffered {
            true => exchange(&site, BUFFERING, "proxy_request_buffering on;"),
            false => site,
        });
        let headers = [TUS, ("upload-length", &length)];
        let created = ask(proxy.port, "POST", "/uploads/files/kept", &headers, b"");
        assert_eq!(created.status, 201, "{created:?}");
        let path = created.header("location").expect("a location");
        let mut patch = Http::connect(proxy.port).expect("nginx listens");
        let headers = [
            TUS,
            TYPE,
            ("upload-offset", "0"),
            ("content-length", &length),
        ];
        assert!(patch.head("PATCH", path, &headers) && patch.write(first));
        let arrived = || -> u64 {
            let files = server.temporary();
            let sizes = files.iter().filter_map(|path| path.metadata().ok());
            sizes.map(|facts| facts.len()).sum()
        };
        let began = Instant::now();
        while !is_buffered && arrived() < 1 << 20 {
            assert!(began.elapsed() < START_MAX, "{} came", arrived());
            thread::sleep(Duration::from_millis(5));
        }

        let told = ask(proxy.port, "HEAD", path, &[TUS], b"");
        assert_eq!(told.status, 200, "{told:?}");
        let at = told.number("upload-offset").expect("an offset") as usize;
        if is_buffered {
            assert_eq!(at, 0, "nothing is passed on before all of it came");
            assert!(patch.write(rest));
            let answer = patch.answer("PATCH").expect("an answer");
            assert_eq!(answer.status, 204, "{answer:?}");
            assert_eq!(answer.number("upload-offset"), Some(file.len() as u64));
        } else {
            assert!((1..=first.len()).contains(&at), "{at}");
            let answer = patch.answer("PATCH").expect("an answer");
            assert_eq!(answer.status, 423, "{answer:?}");
            assert!(answer.header("retry-after").is_some(), "{answer:?}");
            let offset = at.to_string();
            let headers = [TUS, TYPE, ("upload-offset", &*offset)];
            let answer = ask(proxy.port, "PATCH", path, &headers, &file[at..]);
            assert_eq!(answer.status, 204, "{answer:?}");
        }
        server.assert_stored_once("kept", &file);
        println!("nginx, buffered {is_buffered}: HEAD during a PATCH told {at}");
    }
}
