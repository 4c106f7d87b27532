//! Clients of others upload over HTTP: tus-js-client, tuspy, aiotus, resumable-upload and curl, while the server is killed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{
    http::ask,
    pattern,
    postgres_server::PostgresServer,
    redis_server::RedisServer,
    server::{EMBEDDED, Server, postgres, redis, slots},
};

const SIZE: usize = (24 << 20) + 12_345;
/// Longest time one upload may take.
const UPLOAD_MAX: Duration = Duration::from_secs(120);

/// A server, and a file to send to it.
struct Scene {
    server: Server,
    file: PathBuf,
    bytes: Vec<u8>,
}

impl Scene {
    fn new() -> Self {
        Self::with(EMBEDDED)
    }

    /// With more of the configuration.
    fn with(config: &str) -> Self {
        let server = Server::start(&slots(config));
        let bytes = pattern::file(7, SIZE);
        let file = server.dir().join("source.bin");
        fs::write(&file, &bytes).expect("a file to send");
        Self {
            server,
            file,
            bytes,
        }
    }

    fn address(&self) -> String {
        format!("http://127.0.0.1:{}/uploads/files/kept", self.server.port)
    }

    /// Starts a client with this address and file.
    fn start(&self, program: &mut Command, words: &[&str]) -> Child {
        let program = program.arg(self.address()).arg(&self.file).args(words);
        let started = program
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        started.expect("the client starts; `cargo xtask integration` installs it")
    }

    /// Returns the finished files, without the one that is sent.
    fn stored(&self) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        collect(&self.server.dir().join("files"), &mut found);
        found
    }

    /// Waits until this many bytes of an unfinished upload are on the disk. Before, a client may not
    /// have begun, and a creation that fails is not repeated by each of them.
    fn wait_until_arrived(&self, client: &mut Child, bytes: u64) {
        let began = Instant::now();
        let arrived = || -> u64 {
            let files = self.server.temporary();
            files
                .iter()
                .filter_map(|path| Some(path.metadata().ok()?.len()))
                .sum()
        };
        while arrived() < bytes && client.try_wait().expect("a process").is_none() {
            assert!(began.elapsed() < UPLOAD_MAX, "{bytes} bytes arrive");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[track_caller]
    fn assert_stored(&self, times: usize) {
        let stored = self.stored();
        assert_eq!(stored.len(), times);
        assert!(
            stored.iter().all(|file| *file == self.bytes),
            "byte by byte"
        );
    }
}

fn collect(folder: &Path, found: &mut Vec<Vec<u8>>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy();
        if name.starts_with('.') {
            continue;
        }
        match path.is_dir() {
            true => collect(&path, found),
            false => {
                found.extend((!name.ends_with(".key")).then(|| fs::read(&path).expect("a file")))
            }
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/doors")
}

fn tus_js() -> Command {
    let mut command = Command::new("node");
    command.arg(folder().join("tus.mjs"));
    command
}

/// Returns a client in Python; `cargo xtask integration` installs what it imports.
fn python(script: &str) -> Command {
    let python = folder().join("venv/bin/python");
    let mut command = Command::new(python);
    command.arg(folder().join(script));
    command
}

fn tuspy() -> Command {
    python("tus.py")
}

/// Waits for a client, and kills it if it takes too long.
fn finish(mut client: Child) -> Output {
    let began = Instant::now();
    while client.try_wait().expect("a process").is_none() {
        if began.elapsed() > UPLOAD_MAX {
            let _ = client.kill();
        }
        thread::sleep(Duration::from_millis(20));
    }
    client.wait_with_output().expect("its output")
}

fn json(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Uploads through a proxy on this port: in pieces with tus-js-client, and as one body with curl.
pub(crate) fn upload_through(port: u16, server: &Server) {
    let bytes = pattern::file(43, (3 << 20) + 1);
    let file = server.dir().join("through.bin");
    fs::write(&file, &bytes).expect("a file to send");
    let address = format!("http://127.0.0.1:{port}/uploads/files/kept");
    let output = tus_js().arg(&address).arg(&file).output();
    let answer = json(&output.expect("node runs"));
    assert!(answer["url"].is_string(), "{answer}");
    let mut curl = Command::new("curl");
    let curl = curl.args(["-sS", "--fail-with-body", "-T"]).arg(&file);
    let output = curl.arg(format!("{address}/by-name/a.bin")).output();
    let output = output.expect("curl runs");
    assert!(output.status.success(), "{output:?}");
    let mut found = Vec::new();
    collect(&server.dir().join("files/kept"), &mut found);
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|file| *file == bytes), "byte by byte");
}

#[test]
fn tus_js_client_uploads_in_every_mode() {
    let scene = Scene::new();
    let modes: [&[&str]; 7] = [
        &[],
        &["whole"],
        &["with-creation"],
        &["override"],
        &["deferred"],
        &["ietf-03"],
        &["ietf-05"],
    ];
    for (number, words) in modes.iter().enumerate() {
        let answer = json(&finish(scene.start(&mut tus_js(), words)));
        assert!(answer["error"].is_null(), "{words:?}: {answer}");
        scene.assert_stored(number + 1);
    }
    let answer = json(&finish(scene.start(&mut tus_js(), &["parallel"])));
    assert!(
        answer["error"].is_string(),
        "refused, and not stored as parts"
    );
    scene.assert_stored(modes.len());
    let answer = json(&finish(scene.start(&mut tus_js(), &["terminate"])));
    assert!(answer["terminated"].is_string(), "{answer}");
    scene.assert_stored(modes.len());
}

/// A server that is killed while a client uploads costs the client a retry, and nothing of its file; whatever
/// store keeps the records.
#[test]
fn clients_continue_after_the_server_is_killed() {
    let redis_server = RedisServer::start();
    let postgres_server = PostgresServer::start();
    for (config, mut program) in [
        (EMBEDDED.to_owned(), tus_js()),
        (redis(redis_server.port), tuspy()),
        (postgres(postgres_server.port), python("with_resumable.py")),
    ] {
        let mut scene = Scene::with(&config);
        let mut client = scene.start(&mut program, &[]);
        let began = Instant::now();
        for bytes in [1 << 20, SIZE as u64 / 2] {
            scene.wait_until_arrived(&mut client, bytes);
            scene.server.restart();
        }
        let output = finish(client);
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(!text.contains("error"), "{output:?}");
        assert!(
            text.contains("http"),
            "the address of the upload: {output:?}"
        );
        assert!(began.elapsed() < UPLOAD_MAX);
        let stored = scene.stored().len();
        assert_eq!(stored, 1, "{output:?}, {}", scene.server.log());
        scene.assert_stored(1);
    }
}

/// What these send with each request is checked by SHA-1 or SHA-256.
#[test]
fn resumable_upload_uploads_in_every_mode() {
    let scene = Scene::new();
    for (number, word) in ["sha1", "sha256", "override", "deferred"]
        .iter()
        .enumerate()
    {
        let output = finish(scene.start(&mut python("with_resumable.py"), &[word]));
        assert!(output.status.success(), "{word}: {output:?}");
        scene.assert_stored(number + 1);
    }
}

/// T21: a client that needs whole addresses is told them.
#[test]
fn aiotus_uploads_where_the_public_address_is_named() {
    let scene = Scene::with(&format!(
        "public_url = \"http://127.0.0.1:{{port}}/uploads\"\n{EMBEDDED}"
    ));
    let output = finish(scene.start(&mut python("with_aiotus.py"), &[]));
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with("http://127.0.0.1:"), "{text}");
    scene.assert_stored(1);
}

#[test]
fn tuspy_uploads() {
    let scene = Scene::new();
    let output = finish(scene.start(&mut tuspy(), &[]));
    assert!(output.status.success(), "{output:?}");
    scene.assert_stored(1);
}

#[test]
fn curl_uploads_bodies_and_forms() {
    let scene = Scene::new();
    let file = scene.file.to_str().expect("UTF-8");
    let form = format!("file=@{file}");
    let body = format!("@{file}");
    let sized = format!("upload-length: {SIZE}");
    let forms: [&[&str]; 8] = [
        &["-F", &form],
        &["-F", "note=before the file", "-F", &form, "-H", "expect:"],
        // tus, with the file in its creation.
        &[
            "--data-binary",
            &body,
            "-H",
            "tus-resumable: 1.0.0",
            "-H",
            &sized,
            "-H",
            "content-type: application/offset+octet-stream",
        ],
        // The IETF's draft, in one request.
        &[
            "--data-binary",
            &body,
            "-H",
            "upload-complete: ?1",
            "-H",
            "content-type: application/octet-stream",
            "-H",
            "expect: 100-continue",
        ],
        &["-X", "PUT", "--data-binary", &body, "-H", "content-type:"],
        &[
            "--data-binary",
            &body,
            "-H",
            "content-type: application/octet-stream",
        ],
        &["-T", file],
        &["-T", file, "-H", "transfer-encoding: chunked"],
    ];
    for (number, words) in forms.iter().enumerate() {
        let mut curl = Command::new("curl");
        let address = match words.first() {
            Some(&"-T") => format!("{}/by-name/a.bin", scene.address()),
            _ => scene.address(),
        };
        let output = curl
            .args(["-sS", "--fail-with-body"])
            .args(*words)
            .arg(address)
            .output();
        let output = output.expect("curl runs");
        assert!(output.status.success(), "{words:?}: {output:?}");
        scene.assert_stored(number + 1);
    }
}

/// CONN-1: the default server refuses a form of another site, with the cookie of the visitor and without.
/// It stores the form of a page of the same site.
#[test]
fn conn_1_forms_of_other_sites_are_refused_with_cookies_and_without() {
    let server = Server::start(&slots(EMBEDDED));
    let session = ask(server.port, "GET", "/uploads/session", &[], b"");
    let cookie = session.header("set-cookie").expect("a cookie");
    let cookie = ("cookie", cookie.split(';').next().expect("a pair"));
    let own = format!("http://127.0.0.1:{}", server.port);
    let multipart = ("content-type", "multipart/form-data; boundary=b");
    let form =
        b"--b\r\ncontent-disposition: form-data; name=f; filename=a.txt\r\n\r\nabc\r\n--b--\r\n";
    let cross: [&[(&str, &str)]; 5] = [
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("origin", "null"), ("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "cross-site")],
        &[("origin", "http://127.0.0.1.evil.example")],
    ];
    let urlencoded = ("content-type", "application/x-www-form-urlencoded");
    let text = ("content-type", "text/plain");
    for headers in cross {
        for with in [&[][..], &[cookie]] {
            for (media_type, body) in [
                (multipart, &form[..]),
                (urlencoded, &b"a=b"[..]),
                (text, &b"abc"[..]),
            ] {
                let headers = [&[media_type][..], headers, with].concat();
                let answer = ask(server.port, "POST", "/uploads/files/kept", &headers, body);
                assert_eq!(answer.status, 403, "{headers:?}: {answer:?}");
                let body = String::from_utf8_lossy(&answer.body);
                assert!(body.contains("\"forbidden\""), "{body}");
                assert_eq!(answer.header("access-control-allow-origin"), None);
            }
        }
    }
    assert!(server.stored("kept").is_empty() && server.temporary().is_empty());
    let headers = [multipart, ("origin", &*own), cookie];
    let answer = ask(server.port, "POST", "/uploads/files/kept", &headers, form);
    assert_eq!(answer.status, 201, "{answer:?}");
    server.assert_stored_once("kept", b"abc");
}
