//! Real Postgres servers for tests, each on a free port and in a separate directory.

use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// Longest time `postgres` may take until it takes connections.
const START_MAX: Duration = Duration::from_secs(30);

/// What has to be there.
const NEEDED: &str = "postgres runs; install it with: apt-get install postgresql";

/// A running `postgres` with a separate cluster, stopped when it is dropped.
pub struct PostgresServer {
    process: Child,
    pub port: u16,
    dir: TempDir,
}

impl PostgresServer {
    /// Makes a cluster and starts a server on it.
    pub fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        if let Some((user, group)) = other_user() {
            chown(dir.path(), Some(user), Some(group)).expect("root may");
        }
        let made = command("initdb")
            .args(["--no-sync", "--auth", "trust", "--username", "uploads"])
            .args(["--encoding", "UTF8", "--locale", "C", "--pgdata"])
            .arg(dir.path().join("data"))
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .status()
            .expect(NEEDED);
        assert!(made.success(), "initdb");
        let port = free_port();
        let process = spawn(port, dir.path());
        let mut server = Self { process, port, dir };
        server.wait_until_ready();
        server
    }

    /// Ends the server at once, without writing anything more.
    pub fn kill(&mut self) {
        let pid = self.process.id().to_string();
        let status = Command::new("kill").args(["-s", "QUIT", &pid]).status();
        assert!(status.expect("kill runs").success(), "kill -s QUIT");
        self.process.wait().expect("it is our child");
    }

    /// Starts the server again, with the same port and directory.
    pub fn restart(&mut self) {
        self.process = spawn(self.port, self.dir.path());
        self.wait_until_ready();
    }

    fn wait_until_ready(&mut self) {
        let began = Instant::now();
        loop {
            let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            if log.contains("ready to accept connections") {
                return;
            }
            let ended = self.process.try_wait().expect("it is our child");
            assert!(ended.is_none(), "postgres ended: {log}");
            assert!(began.elapsed() < START_MAX, "postgres: {log}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            self.kill();
        }
    }
}

fn spawn(port: u16, dir: &Path) -> Child {
    let log = fs::File::create(dir.join("log")).expect("created");
    command("postgres")
        .arg("-D")
        .arg(dir.join("data"))
        .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"])
        // The tests kill processes, not the machine.
        .args([
            "-c",
            "fsync=off",
            "-c",
            "shared_buffers=16MB",
            "-c",
            "max_connections=100",
        ])
        .args(["-c", "unix_socket_directories="])
        .current_dir(dir)
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect(NEEDED)
}

/// Returns a command of Postgres, which root runs as another user: it refuses to be run by root.
fn command(name: &str) -> Command {
    let mut command = Command::new(program(name));
    if let Some((user, group)) = other_user() {
        command.uid(user).gid(group);
    }
    command
}

/// Returns the user and group to run Postgres as, if this is root.
fn other_user() -> Option<(u32, u32)> {
    let id = |option: &str, user: &[&str]| {
        let output = Command::new("id").arg(option).args(user).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        text.trim().parse::<u32>().ok()
    };
    if id("-u", &[]) != Some(0) {
        return None;
    }
    ["postgres", "nobody"]
        .iter()
        .find_map(|user| Some((id("-u", &[user])?, id("-g", &[user])?)))
}

/// Looks where `POSTGRES` says, beside its `postgres`, then where Debian has it, newest first, then on the path.
fn program(name: &str) -> PathBuf {
    if let Some(named) = std::env::var_os("POSTGRES") {
        return Path::new(&named).with_file_name(name);
    }
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut found: Vec<PathBuf> = versions
        .filter_map(|version| Some(version.ok()?.path().join("bin").join(name)))
        .filter(|program| program.is_file())
        .collect();
    found.sort();
    found.pop().unwrap_or_else(|| name.into())
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}
