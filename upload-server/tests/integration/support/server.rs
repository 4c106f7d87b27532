//! Starting, stopping and killing the binary.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// Longest time the binary may take from its start to its first answer.
const START_MAX: Duration = Duration::from_secs(20);

/// One running binary; killed when dropped.
pub struct Server {
    child: Child,
    pub port: u16,
    dir: Arc<TempDir>,
    config: PathBuf,
    log: PathBuf,
    env: Vec<(String, String)>,
}

/// Returns the binary under test.
pub fn binary() -> PathBuf {
    std::env::var_os("UPLOAD_SERVER_BINARY")
        .map_or_else(|| env!("CARGO_BIN_EXE_upload-server").into(), Into::into)
}

/// Whether the long counts of the issue are wanted, not those of a CI run.
pub fn is_long_run() -> bool {
    std::env::var_os("UPLOAD_LONG_RUN").is_some()
}

/// Returns a port nobody listens on.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

impl Server {
    /// Starts with `config`, TOML in which `{dir}` stands for a fresh directory and `{port}` for the server's.
    pub fn start(config: &str) -> Self {
        let dir = Arc::new(TempDir::new().expect("a temporary directory"));
        Self::start_in(dir, config)
    }

    /// Starts with a log of this level.
    pub fn start_logging(config: &str, level: &str) -> Self {
        let dir = Arc::new(TempDir::new().expect("a temporary directory"));
        let level = ("RUST_LOG".to_owned(), level.to_owned());
        Self::start_with(dir, config, vec![level])
    }

    /// Starts another server with its own port and configuration in `dir`.
    pub fn start_in(dir: Arc<TempDir>, config: &str) -> Self {
        Self::start_with(dir, config, Vec::new())
    }

    /// Starts it with more variables in its environment.
    pub fn start_with(dir: Arc<TempDir>, config: &str, env: Vec<(String, String)>) -> Self {
        let port = free_port();
        let path = dir.path().to_str().expect("UTF-8 path");
        let text = format!("listen = \"127.0.0.1:{port}\"\n{config}");
        let text = text
            .replace("{dir}", path)
            .replace("{port}", &port.to_string());
        let config = dir.path().join(format!("config-{port}.toml"));
        fs::write(&config, text).expect("a configuration file");
        let log = dir.path().join(format!("log-{port}.txt"));
        let child = spawn(&config, &log, &env);
        let mut server = Self {
            child,
            port,
            dir,
            config,
            log,
            env,
        };
        server.wait_until_ready();
        server
    }

    /// Starts it again with the same port, configuration and files.
    pub fn restart(&mut self) {
        self.kill();
        self.child = spawn(&self.config, &self.log, &self.env);
        self.wait_until_ready();
    }

    /// Kills it with SIGKILL; it may have ended before.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        self.child.wait().expect("its end");
    }

    /// Runs another command of the binary with the same configuration.
    pub fn run(&self, words: &[&str]) -> Output {
        without_our_variables(Command::new(binary()))
            .arg("--config")
            .arg(&self.config)
            .args(words)
            .output()
            .expect("the binary runs")
    }

    /// Makes everything in the temp directory as old as the reaper wants it,
    /// runs `upload-server gc`, and asserts that nothing is left.
    pub fn assert_reaper_empties(&self) {
        for path in self.temporary() {
            let status = Command::new("touch")
                .args(["-d", "2 days ago"])
                .arg(path)
                .status();
            assert!(status.expect("touch").success());
        }
        let output = self.run(&["gc"]);
        assert!(
            self.temporary().is_empty(),
            "{:?} after {output:?}",
            self.temporary()
        );
    }

    /// Sends SIGTERM and waits; returns how long it took to exit.
    pub fn terminate(&mut self) -> Duration {
        let began = Instant::now();
        self.signal("TERM");
        self.child.wait().expect("its end");
        began.elapsed()
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(status.expect("kill").success());
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Whether it still runs after something that may have killed it.
    ///
    /// After a SIGKILL was sent, a process exists for a moment longer, but it answers no request.
    pub fn has_survived(&mut self) -> bool {
        let began = Instant::now();
        while self.is_running() {
            if self.answers() {
                return true;
            }
            assert!(began.elapsed() < START_MAX, "it runs and is silent");
            thread::sleep(Duration::from_millis(2));
        }
        false
    }

    fn answers(&self) -> bool {
        let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        let mut answer = String::new();
        TcpStream::connect(("127.0.0.1", self.port))
            .and_then(|mut socket| {
                socket.set_read_timeout(Some(START_MAX))?;
                socket.write_all(request)?;
                socket.read_to_string(&mut answer)
            })
            .is_ok_and(|_| answer.starts_with("HTTP/1.1 200"))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn shared_dir(&self) -> Arc<TempDir> {
        Arc::clone(&self.dir)
    }

    pub fn ws(&self) -> String {
        format!("ws://127.0.0.1:{}/uploads/ws", self.port)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Returns the finished files of a slot.
    pub fn stored(&self, slot: &str) -> Vec<PathBuf> {
        files_below(&self.dir.path().join("files").join(slot))
    }

    /// Returns what lies in the temp directory.
    pub fn temporary(&self) -> Vec<PathBuf> {
        files_below(&self.dir.path().join("files/.tmp"))
    }

    /// Asserts that a slot holds exactly one file, with these bytes.
    pub fn assert_stored_once(&self, slot: &str, expected: &[u8]) {
        let files = self.stored(slot);
        assert_eq!(files.len(), 1, "exactly one file in {slot}: {files:?}");
        let bytes = fs::read(&files[0]).expect("the stored file");
        assert!(bytes == expected, "{:?} is byte-exact", files[0]);
    }

    fn wait_until_ready(&mut self) {
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(self.is_running(), "it ended at its start:\n{}", self.log());
            assert!(began.elapsed() < START_MAX, "not ready:\n{}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("--- log of the server\n{}", self.log());
        }
    }
}

fn spawn(config: &Path, log: &Path, env: &[(String, String)]) -> Child {
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .expect("a log file");
    without_our_variables(Command::new(binary()))
        .env("RUST_LOG", "info")
        .envs(env.iter().map(|(name, value)| (name, value)))
        .arg("--config")
        .arg(config)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a second handle"))
        .stderr(log)
        .spawn()
        .expect("the binary starts")
}

/// The binary takes every `UPLOAD_` variable for a key of its configuration.
pub fn without_our_variables(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("UPLOAD_") {
            command.env_remove(name);
        }
    }
    command
}

/// Returns every file below `dir`, hidden ones left out.
pub fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(dir) else {
        return found;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A configuration with one slot of every kind the tests need.
pub fn slots(state: &str) -> String {
    format!(
        r#"
data_dir = "{{dir}}/files"
demo = false
{state}

[limits]
max_uploads_per_owner = 4096

[slots.any]
max_entries = 4096
max_file_size = "8GiB"

[slots.once]
max_entries = 64
max_file_size = "8GiB"

[slots.resumable]
max_entries = 4096
max_file_size = "8GiB"
resumable = true

[slots.kept]
max_entries = 64
max_file_size = "8GiB"
resumable = true
keep_on_leave = true
"#
    )
}

/// The three kinds of state a server can keep.
pub const MEMORY: &str = "[state]\nstore = \"memory\"\n";
pub const EMBEDDED: &str = "[state]\nstore = \"embedded\"\n";

pub fn postgres(port: u16) -> String {
    let url = format!("postgres://uploads@127.0.0.1:{port}/postgres");
    format!("[state]\nstore = \"postgres\"\npostgres_url = \"{url}\"\n")
}

pub fn redis(port: u16) -> String {
    format!("[state]\nstore = \"redis\"\nredis_url = \"redis://127.0.0.1:{port}/0\"\n")
}
