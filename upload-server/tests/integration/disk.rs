//! Storage in trouble: full, out of inodes, broken, no descriptor left.
//!
//! One upload is told what it is, what it had stored is freed or kept, and everybody else goes on.

use std::{
    fs,
    io::Write,
    path::PathBuf,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::task::block_in_place;
use uuid::Uuid;

use crate::support::{
    client::{Client, registration},
    pattern,
    server::{EMBEDDED, Server, slots},
    strace,
};

const MIB: usize = 1 << 20;
const CHUNK: usize = 65_536;
/// Past the content check, so that the writer is open.
const HEAD: usize = 10_000;
/// Longest time until a server goes on after trouble is over.
const RECOVERY_MAX: Duration = Duration::from_secs(15);

/// A small file system in memory; unmounted when dropped.
struct Disk {
    dir: Arc<TempDir>,
    path: PathBuf,
}

impl Disk {
    /// Mounts it where a server that is started in `dir` keeps its files.
    fn mount(options: &str) -> Self {
        let dir = Arc::new(TempDir::new().expect("a temporary directory"));
        let path = dir.path().join("files");
        fs::create_dir(&path).expect("a directory");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(&path)
            .output()
            .expect("mount runs");
        assert!(
            mounted.status.success(),
            "a small file system can not be mounted; run this as root, or in a namespace of its own: \
             unshare --user --map-root-user --mount cargo xtask integration\n{}",
            String::from_utf8_lossy(&mounted.stderr)
        );
        Self { dir, path }
    }

    fn start(&self) -> Server {
        let state = format!("min_free = 0\n{EMBEDDED}");
        Server::start_in(Arc::clone(&self.dir), &slots(&state))
    }

    /// Takes all space that is left.
    fn fill(&self) -> PathBuf {
        let path = self.path.join("filler");
        let mut file = fs::File::create(&path).expect("a file");
        for size in [MIB, 4096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        path
    }

    /// Takes all inodes that are left.
    fn crowd(&self) -> PathBuf {
        let path = self.path.join("crowd");
        fs::create_dir(&path).expect("a directory");
        let mut number = 0;
        while fs::File::create(path.join(number.to_string())).is_ok() {
            number += 1;
        }
        assert!(number > 0, "there were inodes left");
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

/// One upload whose chunks are sent by hand.
struct Hand {
    client: Client,
    upload: Uuid,
    file: Vec<u8>,
    sent: usize,
    /// The index of the next chunk.
    index: u32,
}

impl Hand {
    async fn begin(server: &Server, slot: &str, size: usize) -> Self {
        let mut client = Client::connect(&server.ws()).await;
        let upload = Uuid::new_v4();
        let mut message = registration(upload, slot, "a.bin", "", size as u64);
        message["client_id"] = "me".into();
        client.send(message).await;
        let answer = client
            .until(|message| message["type"] != "upload_configs")
            .await;
        assert_eq!(answer["type"], "upload_registered", "{answer}");
        let file = pattern::file(upload.as_u128() as u64, size);
        Self {
            client,
            upload,
            file,
            sent: 0,
            index: 0,
        }
    }

    /// Sends on, up to `end`.
    async fn send_to(&mut self, end: usize) {
        while self.sent < end {
            let next = end.min(self.sent + CHUNK);
            self.client
                .chunk(self.upload, self.index, &self.file[self.sent..next])
                .await;
            (self.sent, self.index) = (next, self.index + 1);
        }
    }

    /// Waits until everything that was sent is announced as durable.
    async fn until_durable(&mut self) {
        let sent = self.sent;
        self.client
            .until(|message| message["bytes_durable"] == sent)
            .await;
    }

    async fn ending(&mut self) -> Value {
        self.client.ending(self.upload).await
    }

    /// Sends the rest, and expects the file to be stored byte for byte.
    async fn complete(mut self, server: &Server) {
        self.send_to(self.file.len()).await;
        self.finish(server).await;
    }

    async fn finish(&mut self, server: &Server) {
        let crc32c = crc32c::crc32c(&self.file);
        self.client.complete(self.upload, Some(crc32c)).await;
        let ended = self.ending().await;
        assert_eq!(ended["status"], "complete", "{ended}");
        let path = ended["result"]["path"].as_str().expect("a path");
        let stored = fs::read(server.dir().join("files").join(path)).expect("the file");
        assert!(stored == self.file, "{path} is byte-exact");
    }

    /// RESUME-10: goes on once there is room, from at least what was announced as durable.
    async fn resume_and_complete(mut self, server: &Server, durable: &Value) {
        let began = Instant::now();
        let resumed = loop {
            let answer = self.client.resume(self.upload, Some("me")).await;
            // The store may still be recovering from the same trouble.
            if answer["status"] != "locked" {
                break answer;
            }
            assert!(began.elapsed() < RECOVERY_MAX, "{answer}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        assert_eq!(resumed["status"], "resumed", "{resumed}");
        let number = |value: &Value| value.as_u64().expect("a number");
        let offset = number(&resumed["bytes_received"]);
        assert!(offset >= number(durable), "{resumed} after {durable}");
        let index = u32::try_from(number(&resumed["next_index"])).expect("few");
        let file = self.file.clone();
        self.client
            .send_from(self.upload, &file, offset as usize, index, CHUNK)
            .await;
        self.finish(server).await;
    }
}

fn assert_detached(told: &Value, code: &str) {
    assert_eq!(told["code"], code, "{told}");
    assert_eq!(told["status"], "uploading", "{told}");
    assert_eq!(told["detached"], true, "{told}");
    assert_eq!(told["retry"], "later", "{told}");
    assert!(told["retry_after_ms"].as_u64() > Some(0), "{told}");
}

fn assert_ended(told: &Value, code: &str) {
    assert_eq!(told["code"], code, "{told}");
    assert_eq!(told["status"], "error", "{told}");
    let text = told["error"].as_str().expect("a text");
    assert!(
        !text.contains("os error") && !text.contains('/'),
        "MSG-4: {text}"
    );
}

/// MSG-4: the log has the cause, under an incident and the upload's ref.
fn assert_logged(server: &Server, upload: Uuid, cause: &str) {
    let log = server.log();
    let line = log.lines().find(|line| {
        line.contains("incident=") && line.contains(&upload.to_string()) && line.contains(cause)
    });
    assert!(line.is_some(), "no {cause:?} of {upload} in\n{log}");
    assert!(!log.contains("panicked"), "{log}");
}

/// Waits until the temp directory has these files only: one is removed after its client is told.
async fn until_temporary(server: &Server, expected: &[PathBuf]) {
    let began = Instant::now();
    while server.temporary() != expected {
        assert!(began.elapsed() < RECOVERY_MAX, "not {expected:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// RESUME-10: the disk fills up while uploads are under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk() {
    let disk = Disk::mount("size=64m");
    let mut server = disk.start();
    let pid = server.pid();
    // Room is reserved ahead of the bytes, so a file that is well under way has its own.
    let mut other = Hand::begin(&server, "once", 2 * MIB).await;
    other.send_to(3 * MIB / 2).await;
    other.until_durable().await;
    let mut kept = Hand::begin(&server, "resumable", 16 * MIB).await;
    kept.send_to(MIB).await;
    kept.until_durable().await;
    let kept_temp = server.temporary();
    let mut freed = Hand::begin(&server, "any", 8 * MIB).await;
    let filler = block_in_place(|| disk.fill());

    freed.send_to(HEAD).await;
    let told = freed.ending().await;
    assert_ended(&told, "storage_full");
    assert_logged(&server, freed.upload, "No space left");
    kept.send_to(2 * MIB).await;
    let told = kept.ending().await;
    assert_detached(&told, "storage_full");
    assert_logged(&server, kept.upload, "No space left");
    until_temporary(&server, &kept_temp).await;
    other.complete(&server).await;

    fs::remove_file(filler).expect("removed");
    kept.resume_and_complete(&server, &told["bytes_durable"])
        .await;
    let later = Hand::begin(&server, "any", MIB).await;
    later.complete(&server).await;
    until_temporary(&server, &[]).await;
    assert!(server.is_running() && server.pid() == pid);
}

/// RESUME-10: no inode is left for another file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_inode_left() {
    let disk = Disk::mount("size=64m,nr_inodes=64");
    let mut server = disk.start();
    let mut other = Hand::begin(&server, "once", MIB).await;
    other.send_to(HEAD).await;
    other.until_durable().await;
    let mut freed = Hand::begin(&server, "any", MIB).await;
    let mut kept = Hand::begin(&server, "resumable", MIB).await;
    let crowd = block_in_place(|| disk.crowd());

    freed.send_to(HEAD).await;
    assert_ended(&freed.ending().await, "storage_full");
    assert_logged(&server, freed.upload, "No space left");
    kept.send_to(HEAD).await;
    let told = kept.ending().await;
    assert_detached(&told, "storage_full");
    other.complete(&server).await;

    fs::remove_dir_all(crowd).expect("removed");
    kept.resume_and_complete(&server, &told["bytes_durable"])
        .await;
    until_temporary(&server, &[]).await;
    assert!(server.is_running());
}

/// MSG-4: the disk answers one file's writes with an error, and later every sync.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_disk() {
    let mut server = Server::start(&slots(EMBEDDED));
    for slot in ["any", "resumable"] {
        let mut broken = Hand::begin(&server, slot, MIB).await;
        broken.send_to(HEAD).await;
        broken.until_durable().await;
        let temp = server.temporary().pop().expect("a file");
        let mut other = Hand::begin(&server, "once", MIB).await;
        other.send_to(HEAD).await;
        let path = temp.to_str().expect("UTF-8").to_owned();
        let writes = "inject=write,writev,pwrite64,pwritev,pwritev2:error=EIO";
        let mut strace = block_in_place(|| strace::attach(&server, &["-P", &path, "-e", writes]));
        broken.send_to(MIB / 2).await;
        let told = broken.ending().await;
        assert_ended(&told, "storage_failed");
        assert_logged(&server, broken.upload, "Input/output error");
        let mut others = server.temporary();
        others.retain(|other| *other != temp);
        until_temporary(&server, &others).await;
        // While this file's disk is broken, another file's is not.
        other.complete(&server).await;
        block_in_place(|| strace::detach(&mut strace));

        // A sync that fails has lost bytes, whatever it says; the next one would not tell (COMPLETE-3).
        for error in ["ENOSPC", "EIO"] {
            let mut unsynced = Hand::begin(&server, slot, MIB).await;
            unsynced.send_to(MIB).await;
            unsynced.until_durable().await;
            let syncs = format!("inject=fsync,fdatasync:error={error}");
            let mut strace = block_in_place(|| strace::attach(&server, &["-e", &syncs]));
            let crc32c = crc32c::crc32c(&unsynced.file);
            unsynced
                .client
                .complete(unsynced.upload, Some(crc32c))
                .await;
            assert_ended(&unsynced.ending().await, "storage_failed");
            block_in_place(|| strace::detach(&mut strace));
            Hand::begin(&server, slot, MIB)
                .await
                .complete(&server)
                .await;
        }
    }
    let stored = server.stored("any").len() + server.stored("resumable").len();
    assert_eq!(stored, 4, "nothing that failed was published");
    until_temporary(&server, &[]).await;
    assert!(server.is_running());
}

/// RESUME-10: no descriptor is left: uploads under way go on, new files and connections wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_descriptor_left() {
    let mut server = Server::start(&slots(EMBEDDED));
    let mut other = Hand::begin(&server, "once", 2 * MIB).await;
    other.send_to(HEAD).await;
    other.until_durable().await;
    let mut freed = Hand::begin(&server, "any", MIB).await;
    let mut kept = Hand::begin(&server, "resumable", MIB).await;
    limit_files(&server, &first_free(&server).to_string());

    freed.send_to(HEAD).await;
    assert_ended(&freed.ending().await, "storage_throttled");
    assert_logged(&server, freed.upload, "Too many open files");
    kept.send_to(HEAD).await;
    let told = kept.ending().await;
    assert_detached(&told, "storage_throttled");
    other.send_to(MIB).await;
    other.until_durable().await;
    let url = server.ws();
    let early = tokio::time::timeout(Duration::from_millis(300), Client::connect(&url));
    assert!(early.await.is_err(), "a new connection has to wait");
    let waiting = tokio::spawn(async move { Client::connect(&url).await });

    limit_files(&server, "1024");
    let mut client = waiting.await.expect("it is let in");
    let file = pattern::file(5, MIB);
    assert_eq!(
        client.upload("any", "b.bin", &file).await["status"],
        "complete"
    );
    other.complete(&server).await;
    kept.resume_and_complete(&server, &told["bytes_durable"])
        .await;
    until_temporary(&server, &[]).await;
    assert!(server.is_running());
}

/// Returns the lowest number that no descriptor of the server has: the limit is one of numbers.
fn first_free(server: &Server) -> u32 {
    let fds = fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("its descriptors");
    let taken: Vec<u32> = fds
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    (0..)
        .find(|number| !taken.contains(number))
        .expect("there are numbers left")
}

/// Changes how many files the server may have open.
fn limit_files(server: &Server, most: &str) {
    let status = Command::new("prlimit")
        .args(["--pid", &server.pid().to_string()])
        .arg(format!("--nofile={most}:"))
        .status()
        .expect("prlimit runs; install it with: apt-get install util-linux");
    assert!(status.success());
}
