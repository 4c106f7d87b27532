//! Redis dies, forgets, stands still and refuses, while uploads run.

use std::time::Duration;

use tokio::{sync::watch, task::block_in_place};
use upload_proto::Code;

use crate::support::{
    client::{Client, registration},
    pattern,
    redis_server::RedisServer,
    server::{Server, is_long_run, redis, slots},
    uploader::{Heard, Report, Uploader, until},
};

const SIZE: usize = 4 << 20;
const QUARTER: u64 = SIZE as u64 / 4;

/// How long Redis stands still: 30 s, or 6 s in a CI run.
fn stillness() -> Duration {
    Duration::from_secs(if is_long_run() { 30 } else { 6 })
}

/// One upload during a fault.
struct Live {
    server: Server,
    file: Vec<u8>,
    gate: crate::support::uploader::Gate,
    heard: watch::Receiver<Heard>,
    sending: tokio::task::JoinHandle<Report>,
}

impl Live {
    /// Sends a quarter, and waits until it is recorded.
    async fn begin(redis_server: &RedisServer, seed: u64) -> Self {
        let server = Server::start(&slots(&redis(redis_server.port)));
        let file = pattern::file(seed, SIZE);
        let uploader = Uploader::new(&server.ws(), "resumable", file.clone());
        let (gate, mut heard) = (uploader.gate.clone(), uploader.watch());
        gate.open_to(QUARTER);
        let sending = tokio::spawn(uploader.complete());
        until(&mut heard, |heard| heard.durable >= QUARTER).await;
        assert!(heard.borrow().resumable.is_empty());
        Self {
            server,
            file,
            gate,
            heard,
            sending,
        }
    }

    /// RESUME-9: during the fault the upload goes on, and resuming is announced
    /// off, once.
    async fn goes_on(&mut self) {
        self.gate.open_to(2 * QUARTER);
        until(&mut self.heard, |heard| heard.received >= 2 * QUARTER).await;
        let told = until(&mut self.heard, |heard| !heard.resumable.is_empty()).await;
        assert_eq!(told.resumable, [(false, Some(Code::NotResumable))]);
        // RESUME-2: nothing is announced that no record says.
        assert!(told.durable < 2 * QUARTER, "{told:?}");
        self.gate.open_to(3 * QUARTER);
        until(&mut self.heard, |heard| heard.received >= 3 * QUARTER).await;
    }

    /// RESUME-9: afterwards resuming is announced on; it is true: the server is
    /// killed, and the upload goes on from what was announced.
    async fn comes_back(mut self) {
        let told = until(&mut self.heard, |heard| heard.resumable.len() > 1).await;
        assert_eq!(
            told.resumable,
            [(false, Some(Code::NotResumable)), (true, None)]
        );
        self.ends_whole().await;
    }

    async fn ends_whole(mut self) {
        until(&mut self.heard, |heard| heard.durable >= 3 * QUARTER).await;
        block_in_place(|| {
            self.server.kill();
            self.server.restart();
        });
        self.gate.open_wide();
        let report = self.sending.await.expect("it ends complete");
        assert_eq!(
            (report.heard.restarts, report.heard.resumes),
            (0, 1),
            "{report:?}"
        );
        self.server.assert_stored_once("resumable", &self.file);
        assert!(self.server.temporary().is_empty());
    }
}

/// RESUME-9: Redis is killed and comes back empty. While it is gone new uploads
/// are taken as not resumable, and nobody is told that what may exist does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed() {
    let mut redis_server = RedisServer::start();
    let mut live = Live::begin(&redis_server, 1).await;
    let mut other = Client::connect(&live.server.ws()).await;
    let left = uuid::Uuid::new_v4();
    other.register(left, "resumable", "left.bin", 100).await;
    let cookie = other.cookie.clone();
    drop(other);
    redis_server.kill();
    live.goes_on().await;

    let mut other = Client::connect_as(&live.server.ws(), &cookie, true)
        .await
        .expect("a connection");
    assert_eq!(other.resume(left, Some("me")).await["status"], "locked");
    let fresh = uuid::Uuid::new_v4();
    other
        .send(registration(fresh, "kept", "a.bin", "", 5))
        .await;
    let answer = other
        .until(|message| message["type"] == "upload_registered")
        .await;
    assert_eq!(answer["resumable"], false, "{answer}");
    other.send_file(fresh, b"hello", 65_536).await;
    assert_eq!(other.ending(fresh).await["status"], "complete");
    live.server.assert_stored_once("kept", b"hello");

    redis_server.restart(&[]);
    live.comes_back().await;
}

/// RESUME-9: Redis loses everything it knew, scripts as well; live uploads write
/// their records again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emptied() {
    let redis_server = RedisServer::start();
    let mut live = Live::begin(&redis_server, 2).await;
    redis_server.ok("SCRIPT FLUSH");
    redis_server.ok("FLUSHALL");
    live.gate.open_to(3 * QUARTER);
    until(&mut live.heard, |heard| heard.durable >= 3 * QUARTER).await;
    live.ends_whole().await;
}

/// RESUME-9: the process stands still and then goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped() {
    let redis_server = RedisServer::start();
    let mut live = Live::begin(&redis_server, 3).await;
    redis_server.signal("STOP");
    let (went_on, ()) = tokio::join!(live.goes_on(), tokio::time::sleep(stillness()));
    let () = went_on;
    redis_server.signal("CONT");
    live.comes_back().await;
}

/// RESUME-9: `CLIENT PAUSE`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paused() {
    let redis_server = RedisServer::start();
    let mut live = Live::begin(&redis_server, 4).await;
    redis_server.ok(&format!("CLIENT PAUSE {} ALL", stillness().as_millis()));
    live.goes_on().await;
    live.comes_back().await;
}

/// RESUME-9: `-LOADING`, from a Redis that reads its file slowly.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loading() {
    let mut redis_server = RedisServer::start();
    let mut live = Live::begin(&redis_server, 5).await;
    let fill = r#"EVAL "for i=1,4000 do redis.call('SET','k'..i,string.rep('x',4096)) end return {ok='OK'}" 0"#;
    redis_server.ok(fill);
    redis_server.ok("SAVE");
    // In microseconds per key; it answers between pieces of this many bytes.
    let slowly = [
        "--key-load-delay",
        "1000",
        "--loading-process-events-interval-bytes",
        "65536",
    ];
    redis_server.restart(&slowly);
    block_in_place(|| redis_server.wait_for("-LOADING"));
    live.goes_on().await;
    live.comes_back().await;
}

/// RESUME-9: `-OOM`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn out_of_memory() {
    let redis_server = RedisServer::start();
    let mut live = Live::begin(&redis_server, 6).await;
    redis_server.ok("CONFIG SET maxmemory 1");
    live.goes_on().await;
    redis_server.ok("CONFIG SET maxmemory 0");
    live.comes_back().await;
}

/// RESUME-9: `-READONLY`, from a Redis that became a replica.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_only() {
    let redis_server = RedisServer::start();
    let mut live = Live::begin(&redis_server, 7).await;
    // Of a master that is not there, so that it keeps what it has.
    redis_server.ok("REPLICAOF 127.0.0.1 1");
    live.goes_on().await;
    redis_server.ok("REPLICAOF NO ONE");
    live.comes_back().await;
}
