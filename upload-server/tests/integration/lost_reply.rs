//! The reply to the complete frame is lost, with its socket or its process.

use std::{fs, time::Duration};

use serde_json::Value;
use uuid::Uuid;

use crate::support::{
    client::{Client, registration},
    pattern::{self, Dice},
    redis_server::RedisServer,
    server::{EMBEDDED, Server, is_long_run, redis, slots},
};

const CHUNK: usize = 65_536;

/// How often the reply is lost: 200 times, or 50 times in a CI run.
fn rounds() -> u64 {
    if is_long_run() { 200 } else { 50 }
}

/// COMPLETE-3, COMPLETE-4: whatever dies right after the complete frame, the
/// receipt afterwards is always the same one, and there is one file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_receipt_is_the_same() {
    let server = Server::start(&slots(EMBEDDED));
    lose_replies(server, "embedded").await;
}

/// COMPLETE-3, COMPLETE-4: the same with Redis.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_receipt_is_the_same_with_redis() {
    let redis_server = RedisServer::start();
    let server = Server::start(&slots(&redis(redis_server.port)));
    lose_replies(server, "redis").await;
}

async fn lose_replies(mut server: Server, store: &str) {
    let mut dice = Dice::new(store);
    let mut outcomes = [0; 2];
    for round in 0..rounds() {
        let file = pattern::file(round, 3 * CHUNK - 5);
        let mut client = Client::connect(&server.ws()).await;
        let cookie = client.cookie.clone();
        let upload = Uuid::new_v4();
        let mut message = registration(upload, "resumable", "a.bin", "", file.len() as u64);
        message["client_id"] = "me".into();
        client.send(message).await;
        client
            .until(|message| message["type"] == "upload_registered")
            .await;
        client.send_file(upload, &file, CHUNK).await;
        // At once, or after a moment in which the file may be put away.
        if dice.below(3) > 0 {
            tokio::time::sleep(Duration::from_micros(dice.below(4_000))).await;
        }
        if round % 2 == 0 {
            drop(client);
        } else {
            tokio::task::block_in_place(|| {
                server.kill();
                server.restart();
            });
        }
        let (first, was_complete) = settle(&server, &cookie, upload, &file).await;
        outcomes[usize::from(was_complete)] += 1;
        assert_eq!(first["crc32c"], format!("{:08x}", crc32c::crc32c(&file)));
        // Asked again in both ways, each on a connection of its own.
        let again = Client::connect_as(&server.ws(), &cookie, true).await;
        let mut again = again.expect("a connection");
        again.complete(upload, None).await;
        let completed = again.ending(upload).await;
        let (resumed, _) = settle(&server, &cookie, upload, &file).await;
        for later in [completed, resumed] {
            assert_eq!(
                (&later["status"], &later["result"], &later["crc32c"]),
                (&first["status"], &first["result"], &first["crc32c"])
            );
        }
        server.assert_stored_once("resumable", &file);
        let path = &server.stored("resumable")[0];
        assert!(path.ends_with(first["result"]["path"].as_str().expect("a path")));
        fs::remove_file(path).expect("removed");
    }
    server.kill();
    server.assert_reaper_empties();
    let [unfinished, finished] = outcomes;
    println!("{store}: {finished} were complete already, {unfinished} were finished afterwards");
}

/// Resumes until it is complete; returns the receipt, and whether nothing had to be sent.
async fn settle(server: &Server, cookie: &str, upload: Uuid, file: &[u8]) -> (Value, bool) {
    for _ in 0..1000 {
        let client = Client::connect_as(&server.ws(), cookie, true).await;
        let mut client = client.expect("a connection");
        let resumed = client.resume(upload, Some("me")).await;
        match resumed["status"].as_str() {
            Some("complete") => return (client.ending(upload).await, true),
            Some("resumed") => {
                let offset = resumed["bytes_received"].as_u64().expect("an offset") as usize;
                let index = resumed["next_index"].as_u64().expect("an index") as u32;
                client.send_from(upload, file, offset, index, CHUNK).await;
                client.complete(upload, Some(crc32c::crc32c(file))).await;
                let ended = client.ending(upload).await;
                assert_eq!(ended["status"], "complete", "{ended}");
                return (ended, false);
            }
            Some("locked") => tokio::time::sleep(Duration::from_millis(10)).await,
            _ => panic!("{resumed}"),
        }
    }
    panic!("locked for ever");
}
