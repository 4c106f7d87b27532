//! A real Redis of a test's own, and the faults it can have.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// Longest time `redis-server` may take until it answers.
const START_MAX: Duration = Duration::from_secs(20);

/// A running `redis-server` without persistence; killed when dropped.
pub struct RedisServer {
    child: Child,
    pub port: u16,
    dir: TempDir,
}

impl RedisServer {
    pub fn start() -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let port = free_port();
        let child = spawn(port, &dir, &[]);
        let server = Self { child, port, dir };
        server.wait_for("+PONG");
        server
    }

    /// Runs one command and returns the first line of its answer.
    pub fn command(&self, words: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(format!("{words}\r\n").as_bytes()).ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).ok()?;
        Some(line.trim_end().to_owned())
    }

    /// Runs a command that must be answered with `+OK`.
    pub fn ok(&self, words: &str) {
        let answer = self.command(words);
        assert_eq!(answer.as_deref(), Some("+OK"), "{words}");
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        self.child.wait().expect("its end");
    }

    /// Starts it again, with whatever it had saved.
    pub fn restart(&mut self, options: &[&str]) {
        self.kill();
        self.child = spawn(self.port, &self.dir, options);
    }

    /// Sends it a signal by name.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(status.expect("kill").success());
    }

    /// Waits until `PING` is answered like this.
    pub fn wait_for(&self, answer: &str) {
        let began = Instant::now();
        loop {
            let found = self.command("PING");
            if found
                .as_ref()
                .is_some_and(|found| found.starts_with(answer))
            {
                return;
            }
            assert!(began.elapsed() < START_MAX, "{found:?}, not {answer}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

fn spawn(port: u16, dir: &TempDir, options: &[&str]) -> Child {
    let program = std::env::var_os("REDIS_SERVER").unwrap_or_else(|| "redis-server".into());
    Command::new(program)
        .args(["--bind", "127.0.0.1", "--save", "", "--loglevel", "warning"])
        .args(["--port", &port.to_string()])
        .arg("--dir")
        .arg(dir.path())
        .args(options)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server runs; install it with: apt-get install redis-server")
}
