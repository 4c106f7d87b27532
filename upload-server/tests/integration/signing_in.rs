//! Sign-in as it is deployed: a backend in Python behind nginx is asked, and tokens end during uploads.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use base64_simd::URL_SAFE_NO_PAD;
use futures_util::StreamExt;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderName, HeaderValue, Uri};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::{task::block_in_place, time::timeout};
use tokio_websockets::ClientBuilder;
use upload_core::Outcome;
use upload_proto::Code;

use crate::{
    proxies::Running,
    support::{
        client::Client,
        pattern,
        server::{EMBEDDED, Server, slots},
        uploader::{Uploader, until},
    },
};

const SIZE: usize = 4 << 20;
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// Longest time that anything may take.
const GUARD: Duration = Duration::from_secs(60);
/// The close code of a socket whose visitor is not signed in.
const UNAUTHENTICATED: u16 = 4401;

/// The backend that is asked; killed when dropped.
struct Backend {
    child: Child,
    dir: tempfile::TempDir,
    port: u16,
}

impl Backend {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let program = "tests/integration/signing_in/backend.py";
        let log = fs::File::create(dir.path().join("log")).expect("a file");
        let child = Command::new("python3")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(program))
            .arg(dir.path())
            .stdin(Stdio::null())
            .stdout(log)
            .spawn()
            .expect("python3; apt-get install -y python3");
        let mut backend = Self {
            child,
            dir,
            port: 0,
        };
        let began = Instant::now();
        while backend.port == 0 {
            assert!(began.elapsed() < GUARD, "the backend does not start");
            std::thread::sleep(Duration::from_millis(10));
            let port = backend.lines().first().map(|line| line.trim().parse());
            backend.port = port.and_then(Result::ok).unwrap_or_default();
        }
        backend
    }

    fn lines(&self) -> Vec<String> {
        let log = fs::read_to_string(self.dir.path().join("log")).expect("its log");
        // What is not whole yet comes with the next look.
        let whole = log.rfind('\n').map_or(0, |end| end + 1);
        log[..whole].lines().map(str::to_owned).collect()
    }

    /// Returns what it was asked.
    fn questions(&self) -> Vec<Value> {
        let lines = self.lines();
        let questions = lines.iter().skip(1);
        questions
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }

    /// Signs somebody out.
    fn end(&self, session: &str) {
        fs::write(self.dir.path().join(session), "").expect("written");
    }

    fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Returns the close code with which a socket is answered.
async fn close_code(url: &str, cookie: &str) -> Option<u16> {
    let uri: Uri = url.parse().expect("a URL");
    let mut builder = ClientBuilder::from_uri(uri);
    let headers = [("sec-websocket-protocol", "upload.v1"), ("cookie", cookie)];
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).expect("a value");
        let added = builder.add_header(HeaderName::from_static(name), value);
        builder = added.expect("a header of ours");
    }
    let (mut socket, _) = builder.connect().await.expect("a connection");
    loop {
        let message = timeout(GUARD, socket.next()).await.expect("in time");
        if let Some((code, _)) = message?.ok()?.as_close() {
            return Some(code.into());
        }
    }
}

/// Returns a token in the cookie that the servers here read.
fn token(owner: &str, seconds: u64) -> String {
    format!("token={}", signed(owner, seconds))
}

/// Signs claims that end in so many seconds.
pub fn signed(owner: &str, seconds: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let end = now.expect("after 1970").as_secs() + seconds;
    let encode = |value: Value| URL_SAFE_NO_PAD.encode_to_string(value.to_string());
    let head = encode(json!({ "alg": "HS256", "typ": "JWT" }));
    let signed = format!("{head}.{}", encode(json!({ "sub": owner, "exp": end })));
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length");
    mac.update(signed.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode_to_string(mac.finalize().into_bytes());
    format!("{signed}.{signature}")
}

/// CONN-2: behind nginx, a backend decides who comes in, what they may use, and once more whether a file is
/// stored; without its answer nobody comes in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_behind_nginx_decides_who_uploads() {
    let mut backend = block_in_place(Backend::start);
    let config = format!(
        "trusted_proxies = [\"127.0.0.1\"]\n{}\n[auth.forward]\nurl = \"http://127.0.0.1:{}/who\"\n\
         cache = \"1s\"\n",
        slots(EMBEDDED),
        backend.port
    );
    let server = block_in_place(|| Server::start(&config));
    let proxy = block_in_place(|| Running::start("nginx", server.port));
    let (alice, bob) = ("app_session=of-alice", "app_session=of-bob");

    for cookie in ["", "app_session=of-nobody"] {
        assert_eq!(close_code(&proxy.ws(), cookie).await, Some(UNAUTHENTICATED));
    }
    let asked = format!(
        "POST /uploads/files/once HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nTus-Resumable: 1.0.0\r\n\
         Upload-Length: 5\r\nContent-Length: 0\r\n\r\n",
        proxy.port
    );
    let answer = block_in_place(|| proxy.ask(&asked));
    assert!(answer.starts_with("http/1.1 401"), "{answer}");

    let file = pattern::file(61, SIZE);
    let whole = Uploader::new(&proxy.ws(), "resumable", file.clone()).owner(alice);
    whole.complete().await;
    server.assert_stored_once("resumable", &file);
    let questions = backend.questions();
    let stage = |stage: &str| {
        let found = questions.iter().rev();
        let mut found = found.filter(|question| question["owner"] == "alice");
        found
            .find(|question| question["x-upload-stage"] == stage)
            .unwrap_or_else(|| panic!("no {stage} in {questions:?}"))
    };
    let connect = stage("connect");
    assert_eq!(connect["x-forwarded-for"], "127.0.0.1", "{connect}");
    assert_eq!(connect["x-forwarded-uri"], "/uploads/ws", "{connect}");
    let host = format!("127.0.0.1:{}", proxy.port);
    assert_eq!(connect["x-forwarded-host"], host.as_str(), "{connect}");
    assert_eq!(stage("complete")["x-upload-slot"], "resumable");

    // A slot that the backend does not name is as if it were not there.
    let client = Client::connect_as(&proxy.ws(), alice, true).await;
    let configs = client.expect("a connection").configs["upload_configs"].clone();
    let named: Vec<_> = configs.as_object().expect("slots").keys().collect();
    assert_eq!(named, ["resumable"], "{configs}");

    // Signed out in the middle of a file, nothing of it is stored.
    let uploader = Uploader::new(&proxy.ws(), "once", file.clone()).owner(bob);
    let (gate, mut heard) = (uploader.gate.clone(), uploader.watch());
    gate.open_to(SIZE as u64 / 2);
    let sending = tokio::spawn(uploader.run());
    until(&mut heard, |heard| heard.received >= SIZE as u64 / 2).await;
    backend.end("of-bob");
    gate.open_wide();
    let outcome = sending.await.expect("no panic").outcome;
    assert!(
        matches!(
            outcome,
            Outcome::Refused {
                code: Code::Forbidden,
                ..
            }
        ),
        "{outcome:?}"
    );
    assert!(server.stored("once").is_empty());

    // What was remembered is over after a second; then it fails closed.
    block_in_place(|| backend.stop());
    let began = Instant::now();
    loop {
        let head = block_in_place(|| proxy.handshake(&format!("Cookie: {alice}\r\n")));
        if head.starts_with("http/1.1 503") {
            break;
        }
        assert!(began.elapsed() < GUARD, "{head}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// CONN-2: when a token ends, its socket is closed with 4401, a new socket needs a new one, and with that the
/// upload continues where it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_ends_during_an_upload_is_renewed() {
    let config = format!(
        "{}\n[auth.jwt]\nsecret = \"{SECRET}\"\ncookie = \"token\"\nleeway = 0\n",
        slots(EMBEDDED)
    );
    let server = block_in_place(|| Server::start(&config));
    let file = pattern::file(62, SIZE);
    let short = token("alice", 6);
    let mut beside = Client::connect_as(&server.ws(), &short, true)
        .await
        .expect("signed in");
    let uploader = Uploader::new(&server.ws(), "resumable", file.clone()).owner(&short);
    let (gate, mut heard) = (uploader.gate.clone(), uploader.watch());
    let upload = uploader.upload();
    let half = SIZE as u64 / 2;
    gate.open_to(half);
    let sending = tokio::spawn(uploader.run());
    until(&mut heard, |heard| heard.received >= half).await;
    // The socket beside it is told why; both come back in vain.
    let ended = beside.until_closed().await;
    assert_eq!(
        ended,
        crate::support::client::Ended::Closed(UNAUTHENTICATED)
    );
    until(&mut heard, |heard| heard.connections >= 3).await;
    assert_eq!(
        close_code(&server.ws(), &short).await,
        Some(UNAUTHENTICATED)
    );
    sending.abort();
    assert!(server.stored("resumable").is_empty());

    let renewed = Uploader::new(&server.ws(), "resumable", file.clone())
        .owner(&token("alice", 3600))
        .resuming(upload);
    let heard = renewed.complete().await.heard;
    assert_eq!((heard.restarts, heard.offered), (0, half), "{heard:?}");
    server.assert_stored_once("resumable", &file);
}
