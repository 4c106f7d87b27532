//! Real Redis servers for the tests, each on a free port and in a directory of its own.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::{Client, Cmd, FromRedisValue};
use tempfile::TempDir;

/// How often a starting server is asked whether it is ready, every 10 ms.
const ASKS_MAX: usize = 1500;

/// A running `redis-server`, killed when it is dropped.
pub(crate) struct Server {
    process: Child,
    port: u16,
    dir: TempDir,
    options: Vec<String>,
}

impl Server {
    /// Starts a server that writes every change to its log before it answers.
    pub(crate) async fn start() -> Self {
        // With `everysec` a write to the log waits while the log is being synced, and the answer
        // does not wait for it.
        Self::start_with(&["--appendonly", "yes", "--appendfsync", "always"]).await
    }

    /// Starts a server with options of its own.
    pub(crate) async fn start_with(options: &[&str]) -> Self {
        // Somebody else may take a free port before the server does.
        for _ in 0..5 {
            let dir = tempfile::tempdir().expect("a directory");
            let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
            let port = free_port();
            let mut server = Self {
                process: spawn(port, &dir, &options),
                port,
                dir,
                options,
            };
            if server.is_ready().await {
                return server;
            }
        }
        panic!("redis-server does not start");
    }

    pub(crate) fn url(&self) -> String {
        url(self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Ends the process with SIGKILL.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        self.process.wait().expect("it is our child");
    }

    /// Starts the process again, with the same port and directory.
    pub(crate) async fn restart(&mut self) {
        self.kill();
        self.process = spawn(self.port, &self.dir, &self.options);
        assert!(self.is_ready().await, "redis-server starts again");
    }

    /// Stops the process where it stands (`STOP`), or lets it go on (`CONT`).
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.process.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(status.success(), "kill -{name}");
    }

    /// Runs a command past the store.
    pub(crate) async fn run<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = Cmd::new();
        for word in words {
            command.arg(word);
        }
        let client = Client::open(self.url()).expect("our own URL");
        let mut connection = client
            .get_multiplexed_async_connection()
            .await
            .expect("the server is up");
        command
            .query_async(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    async fn is_ready(&mut self) -> bool {
        let client = Client::open(self.url()).expect("our own URL");
        for _ in 0..ASKS_MAX {
            if self.process.try_wait().expect("it is our child").is_some() {
                return false;
            }
            if let Ok(mut connection) = client.get_multiplexed_async_connection().await {
                let pong: redis::RedisResult<String> =
                    Cmd::new().arg("PING").query_async(&mut connection).await;
                // While it loads its log, it says so instead.
                if pong.is_ok() {
                    return true;
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Returns the URL of whatever listens on this port of this machine.
pub(crate) fn url(port: u16) -> String {
    format!("redis://127.0.0.1:{port}/")
}

/// Returns a port nobody listens on, whose partner for a cluster's bus exists too.
pub(crate) fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        if port < 55_000 && TcpListener::bind(("127.0.0.1", port + 10_000)).is_ok() {
            return port;
        }
    }
}

fn spawn(port: u16, dir: &TempDir, options: &[String]) -> Child {
    Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--save", "", "--loglevel", "warning"])
        .args(["--port", &port.to_string()])
        .arg("--dir")
        .arg(dir.path())
        .args(options)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server runs; install it with: apt-get install redis-server")
}
