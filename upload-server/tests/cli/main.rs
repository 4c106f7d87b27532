//! The binary's commands, as an operator runs them.

mod admin;
mod variables;

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Output},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// Longest time the binary may take to answer.
const START_MAX: Duration = Duration::from_secs(60);

fn command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_upload-server"));
    // The variables of the developer's shell are not part of the test.
    for (name, _) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("UPLOAD_"))
        {
            command.env_remove(name);
        }
    }
    command.current_dir(dir);
    command
}

fn run(dir: &Path, args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = command(dir);
    command.args(args).envs(env.iter().copied());
    command.output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn dir() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

#[test]
fn check_config_shows_the_demo_and_makes_nothing() {
    let dir = dir();
    let checked = run(dir.path(), &["check-config"], &[]);
    let out = text(&checked.stdout);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    for part in [
        "127.0.0.1:8080",
        "avatar",
        "photos",
        "documents",
        "video",
        "ok",
    ] {
        assert!(out.contains(part), "{out}");
    }
    assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 0);
}

/// Who is told is listed, and nothing of it that is secret.
#[test]
fn check_config_lists_hooks_and_the_webhook() {
    let dir = dir();
    let config = "[webhook]\nsecret = \"of the webhook, which has 32 bytes\"\n\
        [deciding_hook]\nurl = \"http://decides.example/may?token=t0ken\"\nsecret = \"of the decider, which has 32 bytes\"\n\
        [[hooks]]\nurl = \"http://127.0.0.1:7000/uploaded?token=t0ken\"\nsecret = \"of the hook, which has 32 bytes or more\"\n\
        [[hooks]]\nurl = \"http://other.example/x\"\nsecret = \"of the other, which has 32 bytes or more\"\n";
    fs::write(dir.path().join("uploads.toml"), config).expect("written");
    let checked = run(dir.path(), &["check-config", "-c", "uploads.toml"], &[]);
    let out = text(&checked.stdout);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    for line in [
        "webhook   at /webhooks/s3",
        "decides   http://decides.example\n",
        "hook      http://127.0.0.1:7000\n",
        "hook      http://other.example\n",
    ] {
        assert!(out.contains(line), "{out}");
    }
    assert!(!out.contains("of the") && !out.contains("t0ken"), "{out}");
}

/// Variables are read as numbers where they are ones; a secret of digits is text all the same, and
/// what is wrong with it is said without it.
#[test]
fn a_secret_of_digits_is_a_secret() {
    let dir = dir();
    let check = |env: &[(&str, &str)]| run(dir.path(), &["check-config"], env);
    let digits = "0".repeat(31);
    let good = check(&[
        ("UPLOAD_WEBHOOK__SECRET", &format!("{digits}8")),
        ("UPLOAD_SECRET", &format!("{digits}7")),
    ]);
    assert!(good.status.success(), "{}", text(&good.stderr));
    assert!(text(&good.stdout).contains("webhook   at /webhooks/s3"));
    for (name, value) in [
        ("UPLOAD_WEBHOOK", "987654"),
        ("UPLOAD_SECRET", "987654"),
        ("UPLOAD_HOOKS", "987654"),
    ] {
        let bad = check(&[(name, value)]);
        let err = text(&bad.stderr);
        assert!(!bad.status.success(), "{name}");
        assert!(!err.contains(value), "{err}");
    }
}

/// Without a listener of its own, `/metrics` stands beside the uploads.
#[test]
fn metrics_without_a_listener_of_their_own_are_for_this_machine() {
    let dir = dir();
    let check = |env: &[(&str, &str)]| text(&run(dir.path(), &["check-config"], env).stdout);
    let open = check(&[]);
    assert!(open.contains("/metrics for this machine only"), "{open}");
    let apart = check(&[("UPLOAD_ADMIN_LISTEN", "127.0.0.1:9")]);
    assert!(!apart.contains("for this machine only"), "{apart}");
}

#[test]
fn a_bad_file_is_named_with_its_key() {
    let dir = dir();
    let file = dir.path().join("uploads.toml");
    fs::write(&file, "[slots.video]\nmax_entires = 4\n").expect("written");
    for args in [
        &["check-config", "--config", "uploads.toml"][..],
        &["-c", "uploads.toml"],
    ] {
        let checked = run(dir.path(), args, &[]);
        let err = text(&checked.stderr);
        assert!(!checked.status.success());
        assert!(
            err.contains("slots.video.max_entires: unknown key"),
            "{err}"
        );
        assert!(
            err.contains("max_entries") && err.contains("uploads.toml"),
            "{err}"
        );
    }
    let missing = run(dir.path(), &["check-config", "-c", "none.toml"], &[]);
    assert!(text(&missing.stderr).contains("none.toml"));
}

#[test]
fn the_environment_overrides_the_file() {
    let dir = dir();
    let file = dir.path().join("uploads.toml");
    fs::write(
        &file,
        "listen = \"127.0.0.1:1\"\n[slots.a]\nmax_entries = 2\n",
    )
    .expect("written");
    let env = [
        ("UPLOAD_CONFIG", "uploads.toml"),
        ("UPLOAD_LISTEN", "127.0.0.1:2"),
        ("UPLOAD_SLOTS__A__MAX_FILE_SIZE", "1MiB"),
    ];
    let checked = run(dir.path(), &["check-config"], &env);
    let out = text(&checked.stdout);
    assert!(
        out.contains("127.0.0.1:2"),
        "{out}{}",
        text(&checked.stderr)
    );
    assert!(out.contains("2 x 1048576 bytes"), "{out}");
    let kubernetes = [
        ("UPLOAD_SERVICE_HOST", "10.0.0.1"),
        ("UPLOAD_PORT", "tcp://10.0.0.1:80"),
    ];
    assert!(
        run(dir.path(), &["check-config"], &kubernetes)
            .status
            .success()
    );
    let unknown = run(dir.path(), &["check-config"], &[("UPLOAD_LISEN", "x")]);
    let err = text(&unknown.stderr);
    assert!(
        !unknown.status.success() && err.contains("lisen: unknown key"),
        "{err}"
    );
}

/// RESUME-8: `gc` looks at what a server left behind, and may only look.
#[test]
fn resume_8_gc_runs_without_a_server() {
    let dir = dir();
    for args in [&["gc", "--dry-run"][..], &["gc"]] {
        let swept = run(dir.path(), args, &[]);
        let out = text(&swept.stdout);
        assert!(swept.status.success(), "{out}{}", text(&swept.stderr));
        assert!(out.contains("0 files, 0 bytes"), "{out}");
    }
}

/// A server on a port of its own; killed when dropped.
struct Running {
    child: Child,
    port: u16,
}

impl Running {
    /// Starts with a file of configuration, and waits until the server answers.
    fn start(dir: &Path, config: &Path) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0");
        let port = port.expect("a port").local_addr().expect("it").port();
        let log = fs::File::create(dir.join("log")).expect("a file");
        let listen = format!("127.0.0.1:{port}");
        let child = command(dir)
            .arg("--config")
            .arg(config)
            .env("UPLOAD_LISTEN", &listen)
            .env("UPLOAD_WEBHOOK__SECRET", "0123456789abcdef0123456789abcdef")
            .env("AWS_ACCESS_KEY_ID", "key")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .stdout(log.try_clone().expect("a handle"))
            .stderr(log)
            .spawn()
            .expect("the binary runs");
        let mut running = Self { child, port };
        let began = Instant::now();
        while running.ask("/healthz").is_none() {
            let log = fs::read_to_string(dir.join("log")).unwrap_or_default();
            let runs = matches!(running.child.try_wait(), Ok(None));
            assert!(runs && began.elapsed() < START_MAX, "{log}");
            thread::sleep(Duration::from_millis(10));
        }
        running
    }

    /// Returns the answer to a request, if it is a good one.
    fn ask(&self, path: &str) -> Option<String> {
        let answer = self.send("GET", path, "")?;
        answer.starts_with("HTTP/1.1 200 ").then_some(answer)
    }

    fn send(&self, method: &str, path: &str, body: &str) -> Option<String> {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n{body}"
        );
        socket.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).ok()?;
        Some(answer)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// RESUME-8: beside a server that has the store open, `gc` leaves it to that server, and has not failed.
#[test]
fn resume_8_gc_runs_beside_a_server() {
    let dir = dir();
    let config = dir.path().join("uploads.toml");
    fs::write(&config, "[slots.a]\nresumable = true\n").expect("written");
    let running = Running::start(dir.path(), &config);
    let swept = run(dir.path(), &["-c", "uploads.toml", "gc"], &[]);
    let out = text(&swept.stdout);
    assert!(swept.status.success(), "{out}{}", text(&swept.stderr));
    assert!(
        out.contains("the server that runs removes expired records"),
        "{out}"
    );
    // What has no labels is there before anything happens.
    let metrics = running.ask("/metrics").expect("metrics");
    let began = Instant::now();
    let has_gauges = |text: String| {
        [
            "upload_disk_free_bytes ",
            "upload_disk_bytes ",
            "uploads_parked 0",
            "upload_store_records{store=\"embedded\",kind=\"unfinished\"} 0",
            "upload_store_records{store=\"embedded\",kind=\"other\"} 0",
            "upload_store_upload_bytes{store=\"embedded\",kind=\"waiting\"} 0",
            "upload_store_bytes{store=\"embedded\"} 0",
        ]
        .iter()
        .all(|line| text.contains(&format!("\n{line}")))
    };
    while !running.ask("/metrics").is_some_and(has_gauges) {
        assert!(
            began.elapsed() < START_MAX,
            "disk and stores are not looked at"
        );
        thread::sleep(Duration::from_millis(10));
    }
    for line in [
        "upload_connections 0",
        "uploads_active{slot=\"a\",door=\"socket\"} 0",
        "uploads_active{slot=\"a\",door=\"tus\"} 0",
        "uploads_started_total{slot=\"a\",door=\"plain\"} 0",
        "uploads_ended_total{slot=\"a\",door=\"ietf\",outcome=\"complete\",code=\"\"} 0",
        "upload_http_visits 0",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
}

/// Uploads are counted by slot and door, and are in flight no more once they ended.
#[test]
fn metrics_tell_slot_and_door() {
    let dir = dir();
    let config = dir.path().join("uploads.toml");
    let slots = "[slots.a]\n[slots.b]\ndoors = [\"plain\"]\n";
    fs::write(&config, slots).expect("written");
    let running = Running::start(dir.path(), &config);
    let sent = running.send("PUT", "/uploads/files/a/by-name/x.txt", "hello");
    assert!(sent.is_some_and(|answer| answer.starts_with("HTTP/1.1 201 ")));
    let counted = |text: &String| {
        [
            "uploads_started_total{slot=\"a\",door=\"plain\"} 1",
            "uploads_active{slot=\"a\",door=\"plain\"} 0",
            "uploads_ended_total{slot=\"a\",door=\"plain\",outcome=\"complete\",code=\"\"} 1",
            "uploads_started_total{slot=\"a\",door=\"tus\"} 0",
            "uploads_started_total{slot=\"b\",door=\"socket\"} 0",
        ]
        .iter()
        .all(|line| text.contains(&format!("\n{line}\n")))
    };
    let began = Instant::now();
    let text = loop {
        let text = running.ask("/metrics").expect("metrics");
        if counted(&text) {
            break text;
        }
        assert!(began.elapsed() < START_MAX, "{text}");
        thread::sleep(Duration::from_millis(10));
    };
    assert!(
        !text.contains("slot=\"b\",door=\"tus\""),
        "a door that the slot does not have"
    );
}

/// Every example of a configuration starts as it is.
#[test]
fn examples_of_configurations_start() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/deploy/examples");
    let mut started = Vec::new();
    for entry in fs::read_dir(examples).expect("the examples") {
        let path = entry.expect("an entry").path();
        let dir = dir();
        let running = Running::start(dir.path(), &path);
        assert!(running.ask("/readyz").is_some(), "{}", path.display());
        started.push(path.file_name().expect("a name").to_owned());
    }
    started.sort();
    assert_eq!(
        started,
        ["djust-like.toml", "s3-only.toml", "tusd-like.toml"]
    );
}

#[test]
fn send_says_what_is_wrong() {
    let dir = dir();
    fs::write(dir.path().join("a.txt"), "hello").expect("written");
    let url = ["--url", "ftp://127.0.0.1:9/uploads/ws", "--slot", "a"];
    let bad_url = run(dir.path(), &[&["send", "a.txt"][..], &url].concat(), &[]);
    assert!(!bad_url.status.success());
    assert!(text(&bad_url.stderr).contains("expected such as wss://host/uploads/ws"));

    let url = [
        "--url",
        "ws://127.0.0.1:9/uploads/ws",
        "--slot",
        "a",
        "--json",
    ];
    let missing = run(dir.path(), &[&["send", "none.txt"][..], &url].concat(), &[]);
    assert!(!missing.status.success());
    let line: serde_json::Value =
        serde_json::from_slice(&missing.stdout).expect("one line of JSON");
    assert_eq!(
        (&line["ok"], &line["file"]),
        (&false.into(), &"none.txt".into())
    );
    assert!(
        line["error"]
            .as_str()
            .is_some_and(|text| text.starts_with("cannot be read"))
    );
}
