//! Listeners that come from outside: from a parent that keeps them over restarts, and in the file system.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    os::{fd::OwnedFd, unix::fs::PermissionsExt},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    task::{JoinSet, block_in_place},
    time::{interval, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::support::{
    pattern,
    server::{EMBEDDED, Server, binary, files_below, slots, without_our_variables},
    uploader::{Uploader, until},
};

const RESTARTS: usize = 20;
/// Between two connects: 200 a second.
const CONNECT_EVERY: Duration = Duration::from_millis(5);
/// Uploads that run over all restarts.
const UPLOADS: usize = 8;
const SIZE: usize = 4 << 20;
/// Longest time that anything may take; a machine under load takes long for everything.
const GUARD: Duration = Duration::from_secs(60);

/// Gives a listener to a process as `systemd` does: as descriptor 3, named by variables.
const PASS_ON: &str = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"";

/// A parent that keeps a port while servers come and go.
struct Parent {
    listener: TcpListener,
    dir: TempDir,
    child: Child,
}

impl Parent {
    fn start() -> Self {
        Self::start_on(Ipv4Addr::LOCALHOST, &slots(EMBEDDED))
    }

    fn start_on(address: Ipv4Addr, config: &str) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let path = dir.path().to_str().expect("UTF-8 path");
        let config = config.replace("{dir}", path);
        fs::write(dir.path().join("config.toml"), config).expect("a configuration");
        let listener = TcpListener::bind((address, 0)).expect("a port");
        let child = spawn(&listener, dir.path());
        Self {
            listener,
            dir,
            child,
        }
    }

    fn port(&self) -> u16 {
        self.listener.local_addr().expect("its address").port()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Ends the server as a supervisor does, and starts the next once it is gone.
    fn restart(&mut self) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", "TERM", &pid]).status();
        assert!(status.expect("kill").success());
        let ended = self.child.wait().expect("its end");
        assert!(ended.success(), "{ended}\n{}", self.log());
        self.child = spawn(&self.listener, self.dir.path());
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of the servers\n{}", self.log());
        }
    }
}

fn spawn(listener: &TcpListener, dir: &Path) -> Child {
    let mut options = fs::OpenOptions::new();
    let log = options.create(true).append(true).open(dir.join("log"));
    let log = log.expect("a log file");
    let listener = OwnedFd::from(listener.try_clone().expect("a second handle"));
    without_our_variables(Command::new("sh"))
        .args(["-c", PASS_ON, "sh"])
        .arg(binary())
        .arg("--config")
        .arg(dir.join("config.toml"))
        .env("RUST_LOG", "info")
        .stdin(Stdio::from(listener))
        .stdout(log.try_clone().expect("a second handle"))
        .stderr(log)
        .spawn()
        .expect("sh")
}

/// Connects, asks, and returns what is wrong with the answer.
async fn ask(port: u16) -> Result<(), String> {
    ask_as(port, "localhost").await
}

/// The same by another name of the server.
async fn ask_as(port: u16, host: &str) -> Result<(), String> {
    let answer = async {
        let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        let request = format!("GET /healthz HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    match timeout(GUARD, answer).await {
        Ok(Ok(answer)) if answer.starts_with("HTTP/1.1 200 ") => Ok(()),
        Ok(Ok(answer)) => Err(format!("answered {answer:?}")),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

/// Connects 200 times a second until told to stop; returns how many there were, and what failed.
async fn connect_on(port: u16, stop: CancellationToken) -> (usize, Vec<String>) {
    let mut clients = JoinSet::new();
    let mut ticks = interval(CONNECT_EVERY);
    while !stop.is_cancelled() {
        ticks.tick().await;
        clients.spawn(ask(port));
    }
    let ended = clients.join_all().await;
    let count = ended.len();
    (count, ended.into_iter().filter_map(Result::err).collect())
}

/// RESUME-3: a port that a parent holds refuses nobody while servers are exchanged behind it, and no upload is
/// lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_behind_an_inherited_port_refuse_nobody() {
    let mut parent = block_in_place(Parent::start);
    let port = parent.port();
    let file = pattern::file(91, SIZE);
    let (mut uploads, mut gates, mut heard) = (JoinSet::new(), Vec::new(), Vec::new());
    for _ in 0..UPLOADS {
        let url = format!("ws://127.0.0.1:{port}/uploads/ws");
        let uploader = Uploader::new(&url, "resumable", file.clone());
        uploader.gate.open_to(SIZE as u64 / 2);
        gates.push(uploader.gate.clone());
        heard.push(uploader.watch());
        uploads.spawn(uploader.complete());
    }
    for heard in &mut heard {
        until(heard, |heard| heard.sent > 0).await;
    }
    let stop = CancellationToken::new();
    let clients = tokio::spawn(connect_on(port, stop.clone()));
    let began = Instant::now();
    for _ in 0..RESTARTS {
        block_in_place(|| parent.restart());
        let answer = ask(port).await;
        assert_eq!(answer, Ok(()), "{}", parent.log());
        // Each server meets some clients of its own.
        tokio::time::sleep(20 * CONNECT_EVERY).await;
    }
    let took = began.elapsed();
    stop.cancel();
    let (count, failures) = clients.await.expect("no panic");
    assert!(failures.is_empty(), "of {count}: {failures:?}");
    assert!(count >= 5 * RESTARTS, "{count} connects");
    for gate in &gates {
        gate.open_wide();
    }
    let mut resumes = 0;
    while let Some(report) = uploads.join_next().await {
        let heard = report.expect("it ends complete").heard;
        assert_eq!(heard.restarts, 0, "{heard:?}");
        resumes += heard.resumes;
    }
    assert!(resumes as usize >= UPLOADS, "the restarts met the uploads");
    let stored = files_below(&parent.dir.path().join("files/resumable"));
    assert_eq!(stored.len(), UPLOADS);
    for path in stored {
        assert!(fs::read(path).expect("stored") == file);
    }
    println!("{RESTARTS} restarts in {took:?}: {count} connects, none refused, {resumes} resumes");
}

/// What depends on who can connect depends on the port that was inherited, whatever `listen` says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inherited_port_of_all_addresses_needs_slots() {
    let start = |config: &str| block_in_place(|| Parent::start_on(Ipv4Addr::UNSPECIFIED, config));
    let mut unnamed = start("data_dir = \"{dir}/files\"\n");
    let began = Instant::now();
    let ended = loop {
        if let Some(ended) = unnamed.child.try_wait().expect("its state") {
            break ended;
        }
        let log = unnamed.log();
        assert!(!log.contains("listening on"), "it serves the demo:\n{log}");
        assert!(
            began.elapsed() < GUARD,
            "it neither ends nor serves:\n{log}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let log = unnamed.log();
    assert!(!ended.success(), "{log}");
    assert!(log.contains("slots: none is named"), "{log}");

    let named = start(&slots(EMBEDDED));
    let answer = ask_as(named.port(), "uploads.example.org").await;
    assert_eq!(answer, Ok(()), "{}", named.log());
}

/// A socket of the file system is served beside the port, is for its user and group, and takes the place of one
/// that a killed server left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_of_the_file_system_is_served_beside_the_port() {
    let config = format!("listen_socket = \"{{dir}}/socket\"\n{}", slots(EMBEDDED));
    let mut server = block_in_place(|| Server::start(&config));
    let path = server.dir().join("socket");
    for round in 0..2 {
        let began = Instant::now();
        let mut client = loop {
            match UnixStream::connect(&path).await {
                Ok(client) => break client,
                Err(error) => assert!(began.elapsed() < GUARD, "round {round}: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        client.write_all(request).await.expect("sent");
        let mut answer = String::new();
        let read = timeout(GUARD, client.read_to_string(&mut answer)).await;
        read.expect("in time").expect("read");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let mode = fs::metadata(&path).expect("a socket").permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        assert_eq!(ask(server.port).await, Ok(()));
        // Killed, it leaves the socket behind.
        block_in_place(|| server.restart());
    }
    // A file that is none is not taken away.
    server.kill();
    fs::remove_file(&path).expect("removed");
    fs::write(&path, "mine").expect("written");
    let refused = block_in_place(|| server.run(&[]));
    assert!(!refused.status.success());
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(error.contains("cannot listen on"), "{error}");
    assert_eq!(fs::read_to_string(&path).expect("as it was"), "mine");
}
