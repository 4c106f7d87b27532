//! Sockets that look alive and are not, and tabs that race.

use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::support::{
    client::{Client, chunk_frame, registration},
    pattern,
    redis_server::RedisServer,
    server::{EMBEDDED, Server, redis, slots},
};

const CHUNK: usize = 65_536;
const SIZE: usize = 5 * CHUNK + 77;
const ROUNDS: u64 = 100;
/// What the takeover may take.
const TAKEOVER_MAX: Duration = Duration::from_secs(1);

/// Registers as tab `client_id` and sends three chunks.
async fn begin(server: &Server, file: &[u8], client_id: &str) -> (Client, Uuid) {
    let mut client = Client::connect(&server.ws()).await;
    let upload = Uuid::new_v4();
    let mut message = registration(upload, "resumable", "a.bin", "", SIZE as u64);
    message["client_id"] = client_id.into();
    client.send(message).await;
    client
        .until(|message| message["type"] == "upload_registered")
        .await;
    client
        .send_from(upload, &file[..3 * CHUNK], 0, 0, CHUNK)
        .await;
    (client, upload)
}

async fn finish(client: &mut Client, upload: Uuid, file: &[u8], resumed: &serde_json::Value) {
    let offset = resumed["bytes_received"].as_u64().expect("an offset") as usize;
    let index = resumed["next_index"].as_u64().expect("an index") as u32;
    client.send_from(upload, file, offset, index, CHUNK).await;
    client.complete(upload, Some(crc32c::crc32c(file))).await;
    let ended = client.ending(upload).await;
    assert_eq!(ended["status"], "complete", "{ended}");
}

fn check_and_clear(server: &Server, file: &[u8]) {
    server.assert_stored_once("resumable", file);
    std::fs::remove_file(&server.stored("resumable")[0]).expect("removed");
}

/// RESUME-4: the old socket is silent and still open; the new one, on the same
/// node or on another, has the upload in time, and the old one changes nothing.
async fn take_over(nodes: &[Server], rounds: u64, longest_allowed: Duration, what: &str) {
    let (here, there) = (&nodes[0], &nodes[nodes.len() - 1]);
    let mut longest = Duration::ZERO;
    for round in 0..rounds {
        let file = pattern::file(round, SIZE);
        let (mut old, upload) = begin(here, &file, "one").await;
        let again = Client::connect_as(&there.ws(), &old.cookie, true).await;
        let mut new = again.expect("a connection");
        if nodes.len() > 1 {
            // Another node has what the record says.
            old.until(|message| message["bytes_durable"] == 3 * CHUNK)
                .await;
        }
        let began = Instant::now();
        let resumed = new.resume(upload, Some("one")).await;
        let took = began.elapsed();
        assert_eq!(resumed["status"], "resumed", "round {round}: {resumed}");
        assert!(took <= longest_allowed, "round {round} took {took:?}");
        longest = longest.max(took);
        // The old socket wakes up: its bytes and its cancel reach nobody.
        let _ = old.try_binary(chunk_frame(upload, 3, &[9; 1000])).await;
        let told = old.ending(upload).await;
        assert_eq!(told["code"], "superseded", "{told}");
        old.cancel(upload).await;
        finish(&mut new, upload, &file, &resumed).await;
        check_and_clear(here, &file);
    }
    println!("{what}: {rounds} takeovers of {rounds}, the longest took {longest:?}");
}

#[tokio::test]
async fn a_half_open_socket_is_taken_over() {
    let nodes = [Server::start(&slots(EMBEDDED))];
    take_over(&nodes, ROUNDS, TAKEOVER_MAX, "embedded").await;
}

#[tokio::test]
async fn a_half_open_socket_is_taken_over_with_redis() {
    let redis_server = RedisServer::start();
    let nodes = [Server::start(&slots(&redis(redis_server.port)))];
    take_over(&nodes, ROUNDS, TAKEOVER_MAX, "redis").await;
}

/// A node that is left waits half a second for the old one to let go of the
/// file, and then goes on with a copy; the margin is for a busy machine.
#[tokio::test]
async fn a_half_open_socket_is_taken_over_by_another_node() {
    let redis_server = RedisServer::start();
    let config = slots(&redis(redis_server.port));
    let first = Server::start(&config);
    let second = Server::start_in(first.shared_dir(), &config);
    let nodes = [first, second];
    take_over(&nodes, 10, 2 * TAKEOVER_MAX, "another node").await;
    nodes[0].assert_reaper_empties();
}

/// RESUME-4: two tabs race for what a third left behind: one wins, the other is
/// `locked`, and the file is whole. `servers` are one or two processes.
async fn race(servers: &[Server], what: &str) {
    let (here, there) = (&servers[0], &servers[servers.len() - 1]);
    let mut wins = [0; 2];
    for round in 0..ROUNDS {
        let file = pattern::file(round, SIZE);
        let (old, upload) = begin(here, &file, "gone").await;
        let cookie = old.cookie.clone();
        let one = Client::connect_as(&here.ws(), &cookie, true).await;
        let two = Client::connect_as(&there.ws(), &cookie, true).await;
        let (mut one, mut two) = (one.expect("a connection"), two.expect("a connection"));
        drop(old);
        // Until the server notices the loss, both are locked.
        let (first, second) = loop {
            let (first, second) = tokio::join!(
                one.resume(upload, Some("one")),
                two.resume(upload, Some("two"))
            );
            if first["status"] != "locked" || second["status"] != "locked" {
                break (first, second);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        let (winner, resumed, loser, other) = if first["status"] == "resumed" {
            wins[0] += 1;
            (&mut one, first, &mut two, second)
        } else {
            wins[1] += 1;
            (&mut two, second, &mut one, first)
        };
        assert_eq!(
            (&resumed["status"], &other["status"]),
            (&"resumed".into(), &"locked".into())
        );
        // What the loser sends all the same reaches nobody.
        loser.send_binary(chunk_frame(upload, 3, &[7; 100])).await;
        assert_eq!(
            loser.until(|message| message["code"] != "").await["code"],
            "unknown_ref"
        );
        finish(winner, upload, &file, &resumed).await;
        check_and_clear(here, &file);
    }
    println!("{what}: {ROUNDS} races, won {wins:?}");
}

#[tokio::test]
async fn two_tabs_race() {
    race(&[Server::start(&slots(EMBEDDED))], "one process").await;
}

#[tokio::test]
async fn two_tabs_race_on_two_nodes() {
    let redis_server = RedisServer::start();
    let config = slots(&redis(redis_server.port));
    let first = Server::start(&config);
    let second = Server::start_in(first.shared_dir(), &config);
    race(&[first, second], "two nodes").await;
}
