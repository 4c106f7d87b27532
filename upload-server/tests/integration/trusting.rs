//! A client that believes `bytes_received` and nothing else.

use serde_json::json;
use uuid::Uuid;

use crate::support::{
    client::{Client, chunk_frame, complete_frame, registration},
    pattern::{self, Dice},
    proxy::Proxy,
    redis_server::RedisServer,
    server::{EMBEDDED, MEMORY, Server, redis, slots},
};

const SIZE: usize = 3 << 20;
/// Cuts per upload.
const CUTS: u64 = 8;
/// Connections after which an upload counts as stuck.
const ATTEMPTS_MAX: u32 = 200;

/// How the client cuts its file.
#[derive(Clone, Copy, Debug)]
enum Chunks {
    Of(usize),
    Mixed,
}

impl Chunks {
    fn next(self, dice: &mut Dice) -> usize {
        match self {
            Self::Of(size) => size,
            Self::Mixed => match dice.below(5) {
                0 => 65_536,
                1 => 64_512,
                2 => 1_000,
                3 => 1,
                _ => 1 + dice.below(65_536) as usize,
            },
        }
    }
}

/// CHUNK-4, RESUME-2, RESUME-3: after any cut it goes on at `bytes_received`
/// with `next_index`, and the file ends byte-exact. The socket is cut in the
/// middle of frames; with the lasting stores the process is killed as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_ends_byte_exact() {
    let redis_server = RedisServer::start();
    for state in [
        MEMORY.to_owned(),
        EMBEDDED.to_owned(),
        redis(redis_server.port),
    ] {
        let mut server = Server::start(&slots(&state));
        let mut dice = Dice::new(&state);
        for chunks in [
            Chunks::Of(64_512),
            Chunks::Of(65_536),
            Chunks::Of(1_000),
            Chunks::Mixed,
        ] {
            let kills = state != MEMORY;
            let connections = trust(&mut server, chunks, kills, &mut dice).await;
            println!("{chunks:?}: {connections} connections");
        }
    }
}

async fn trust(server: &mut Server, chunks: Chunks, kills: bool, dice: &mut Dice) -> u32 {
    let proxy = Proxy::start(server.port).await;
    let upload = Uuid::new_v4();
    let file = pattern::file(dice.below(1 << 40), SIZE);
    // The cookie comes over a connection of its own, so that no cut can take it.
    let cookie = Client::connect(&server.ws()).await.cookie;
    let mut cuts = 0;
    for attempt in 1..=ATTEMPTS_MAX {
        if cuts < CUTS {
            cuts += 1;
            proxy.cut_after(dice.below(2 * SIZE as u64 / CUTS));
        } else {
            proxy.cut_after(i64::MAX as u64);
        }
        let done = run(&proxy, &cookie, upload, &file, chunks, dice).await;
        if done == Some(true) {
            server.assert_stored_once("resumable", &file);
            std::fs::remove_file(&server.stored("resumable")[0]).expect("removed");
            if kills {
                // A kill before the record knew of the file leaves it to the reaper.
                server.assert_reaper_empties();
            } else {
                assert!(server.temporary().is_empty());
            }
            return attempt;
        }
        if kills && cuts < CUTS && dice.below(3) == 0 {
            tokio::task::block_in_place(|| {
                server.kill();
                server.restart();
            });
        }
    }
    panic!("{chunks:?} is stuck");
}

/// One connection's worth; `None` once it is lost.
async fn run(
    proxy: &Proxy,
    cookie: &str,
    upload: Uuid,
    file: &[u8],
    chunks: Chunks,
    dice: &mut Dice,
) -> Option<bool> {
    let name = upload.to_string();
    let mut client = Client::connect_as(&proxy.ws(), cookie, true).await.ok()?;
    let ask = json!({ "type": "upload_resume", "ref": name, "client_id": "me" });
    client.try_send(ask).await?;
    let answer = hear(&mut client, &name).await?;
    let (mut offset, mut index) = match answer["status"].as_str() {
        Some("complete") => return Some(true),
        Some("resumed") => {
            let offset = answer["bytes_received"].as_u64().expect("an offset");
            (
                offset as usize,
                answer["next_index"].as_u64().expect("an index") as u32,
            )
        }
        Some("not_found") => {
            let mut message = registration(upload, "resumable", "a.bin", "", file.len() as u64);
            message["client_id"] = "me".into();
            client.try_send(message).await?;
            let answer = hear(&mut client, &name).await?;
            assert_eq!(answer["type"], "upload_registered", "{answer}");
            (0, 0)
        }
        other => panic!("{other:?} for the only client there is"),
    };
    while offset < file.len() {
        let size = chunks.next(dice).min(file.len() - offset);
        let frame = chunk_frame(upload, index, &file[offset..offset + size]);
        client.try_binary(frame).await.ok()?;
        offset += size;
        index += 1;
    }
    client.try_binary(complete_frame(upload, None)).await.ok()?;
    loop {
        let message = hear(&mut client, &name).await?;
        if message["status"] == "complete" {
            return Some(true);
        }
        assert_eq!(message["status"], "uploading", "{message}");
    }
}

async fn hear(client: &mut Client, name: &str) -> Option<serde_json::Value> {
    loop {
        let message = client.try_next().await.ok()?;
        if message["ref"] == name {
            return Some(message);
        }
    }
}
