//! The table of PROTOCOL 8, row by row, with every store where the row differs.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    client::Client,
    pattern,
    redis_server::RedisServer,
    server::{EMBEDDED, MEMORY, Server, redis, slots},
};

const CHUNK: usize = 65_536;
const CHUNKS: usize = 6;

/// An upload of which two chunks and a half are with the server.
struct Begun {
    client: Client,
    upload: Uuid,
    file: Vec<u8>,
    cookie: String,
}

/// Where the half-sent file stands.
const SENT: usize = 2 * CHUNK + CHUNK / 2;

async fn begin(server: &Server, slot: &str) -> Begun {
    let mut client = Client::connect(&server.ws()).await;
    let cookie = client.cookie.clone();
    let upload = Uuid::new_v4();
    let file = pattern::file(SENT as u64, CHUNKS * CHUNK);
    let mut message =
        crate::support::client::registration(upload, slot, "a.bin", "", file.len() as u64);
    message["client_id"] = "tab one".into();
    client.send(message).await;
    let name = upload.to_string();
    let answer = client
        .until(|message| message["ref"] == name.as_str())
        .await;
    assert_eq!(answer["type"], "upload_registered", "{answer}");
    client.chunk(upload, 0, &file[..CHUNK]).await;
    client.chunk(upload, 1, &file[CHUNK..2 * CHUNK]).await;
    client.chunk(upload, 2, &file[2 * CHUNK..SENT]).await;
    let resumable = answer["resumable"] == true;
    client
        .until(|message| {
            let counted = if resumable {
                "bytes_durable"
            } else {
                "bytes_received"
            };
            message["ref"] == name.as_str() && message[counted] == SENT
        })
        .await;
    Begun {
        client,
        upload,
        file,
        cookie,
    }
}

impl Begun {
    /// Comes back on a new connection and asks to go on.
    async fn come_back(&mut self, server: &Server, client_id: Option<&str>) -> Value {
        let again = Client::connect_as(&server.ws(), &self.cookie, true).await;
        self.client = again.expect("a connection");
        self.client.resume(self.upload, client_id).await
    }

    /// Sends the rest from where `resumed` says, and checks what is stored.
    async fn finish(&mut self, server: &Server, slot: &str, resumed: &Value) {
        assert_eq!(resumed["status"], "resumed", "{resumed}");
        let offset = resumed["bytes_received"].as_u64().expect("an offset") as usize;
        // RESUME-6: the checksum of the prefix that the server kept.
        let prefix = format!("{:08x}", crc32c::crc32c(&self.file[..offset]));
        assert_eq!(resumed["crc32c"], prefix);
        let index = resumed["next_index"].as_u64().expect("an index");
        assert_eq!(index, (offset / CHUNK) as u64, "CHUNK-4");
        self.client
            .send_from(self.upload, &self.file, offset, index as u32, CHUNK)
            .await;
        self.client
            .complete(self.upload, Some(crc32c::crc32c(&self.file)))
            .await;
        let ended = self.client.ending(self.upload).await;
        assert_eq!(ended["status"], "complete", "{ended}");
        server.assert_stored_once(slot, &self.file);
        assert!(server.temporary().is_empty(), "{:?}", server.temporary());
    }

    /// Waits until the server let go of the temp file.
    async fn assert_aborted(&mut self, server: &Server) {
        for _ in 0..500 {
            if server.temporary().is_empty() {
                let resumed = self.come_back(server, Some("tab one")).await;
                assert_eq!(resumed["status"], "not_found", "{resumed}");
                assert!(server.stored("any").is_empty() && server.stored("resumable").is_empty());
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("still there: {:?}", server.temporary());
    }
}

/// Runs a row with a server of every store.
struct Stores {
    redis: RedisServer,
}

impl Stores {
    fn start() -> Self {
        Self {
            redis: RedisServer::start(),
        }
    }

    fn all(&self) -> [String; 3] {
        [
            MEMORY.to_owned(),
            EMBEDDED.to_owned(),
            redis(self.redis.port),
        ]
    }

    fn lasting(&self) -> [String; 2] {
        [EMBEDDED.to_owned(), redis(self.redis.port)]
    }
}

/// Row 1, RESUME-3: the socket drops and the client returns: it goes on from
/// the last chunk; what is not resumable is aborted.
#[tokio::test]
async fn row_1_the_socket_drops() {
    let stores = Stores::start();
    for state in stores.all() {
        let server = Server::start(&slots(&state));
        let mut begun = begin(&server, "resumable").await;
        let resumed = begun.come_back(&server, Some("tab one")).await;
        assert_eq!(resumed["bytes_received"], SENT, "the last chunk counts");
        begun.finish(&server, "resumable", &resumed).await;

        let mut begun = begin(&server, "any").await;
        let gone = Client::connect_as(&server.ws(), &begun.cookie, true).await;
        begun.client = gone.expect("a connection");
        let left = server.stored("resumable");
        for path in left {
            std::fs::remove_file(path).expect("removed");
        }
        begun.assert_aborted(&server).await;
    }
}

/// Row 2, CONN-3, RESUME-3a: a tab in the background stands still for too long,
/// is let go, and goes on when it comes back, also on the same connection.
#[tokio::test]
async fn row_2_a_tab_in_the_background() {
    let stores = Stores::start();
    for state in stores.all() {
        let config = slots(&state).replace("[limits]", "[limits]\nidle_upload_seconds = 1");
        let server = Server::start(&config);
        let mut begun = begin(&server, "resumable").await;
        let told = begun.client.ending(begun.upload).await;
        assert_eq!(
            (&told["status"], &told["code"]),
            (&json!("uploading"), &json!("idle_timeout"))
        );
        assert_eq!(
            (&told["detached"], &told["retry"]),
            (&json!(true), &json!("later"))
        );
        let resumed = begun.client.resume(begun.upload, Some("tab one")).await;
        assert_eq!(resumed["bytes_received"], SENT);
        begun.finish(&server, "resumable", &resumed).await;

        let mut begun = begin(&server, "any").await;
        let told = begun.client.ending(begun.upload).await;
        assert_eq!(
            (&told["status"], &told["code"]),
            (&json!("error"), &json!("idle_timeout"))
        );
        std::fs::remove_file(&server.stored("resumable")[0]).expect("removed");
        begun.assert_aborted(&server).await;
    }
}

/// Row 3, RESUME-5: with the memory store a restart ends everything, and the
/// answer is the very one of an upload that never was.
#[tokio::test]
async fn row_3_a_restart_with_the_memory_store() {
    for slot in ["resumable", "any"] {
        for signal in ["TERM", "KILL"] {
            let mut server = Server::start(&slots(MEMORY));
            let mut begun = begin(&server, slot).await;
            end(&mut server, signal);
            server.restart();
            let resumed = begun.come_back(&server, Some("tab one")).await;
            let mut unknown = begun.client.resume(Uuid::new_v4(), Some("tab one")).await;
            unknown["ref"] = resumed["ref"].clone();
            assert_eq!(resumed["status"], "not_found");
            assert_eq!(resumed, unknown);
            server.assert_reaper_empties();
            assert!(server.stored(slot).is_empty());
        }
    }
}

/// Row 4, RESUME-2, RESUME-3: with a lasting store a restart and a kill are
/// survived from the durable offset; what is not resumable is gone.
#[tokio::test]
async fn row_4_a_restart_with_a_lasting_store() {
    let stores = Stores::start();
    for state in stores.lasting() {
        for signal in ["TERM", "KILL"] {
            let mut server = Server::start(&slots(&state));
            let mut begun = begin(&server, "resumable").await;
            end(&mut server, signal);
            server.restart();
            let resumed = begun.come_back(&server, Some("tab one")).await;
            assert_eq!(
                resumed["bytes_received"], SENT,
                "all of it was announced durable"
            );
            begun.finish(&server, "resumable", &resumed).await;
            std::fs::remove_file(&server.stored("resumable")[0]).expect("removed");

            let mut begun = begin(&server, "any").await;
            end(&mut server, signal);
            server.restart();
            let resumed = begun.come_back(&server, Some("tab one")).await;
            assert_eq!(resumed["status"], "not_found");
            server.assert_reaper_empties();
            assert!(server.stored("any").is_empty());
        }
    }
}

/// Row 5, RESUME-3, RESUME-4: with Redis and shared storage another node goes
/// on, also while the first one still holds it.
#[tokio::test]
async fn row_5_another_node() {
    let stores = Stores::start();
    let config = slots(&redis(stores.redis.port));
    let first = Server::start(&config);
    let second = Server::start_in(first.shared_dir(), &config);
    let mut begun = begin(&first, "resumable").await;
    let old = Client::connect(&first.ws()).await;
    let mut old = std::mem::replace(&mut begun.client, old);
    let resumed = begun.come_back(&second, Some("tab one")).await;
    assert_eq!(resumed["bytes_received"], SENT);
    // What the old holder still takes reaches nobody.
    let _ = old
        .try_binary(crate::support::client::chunk_frame(
            begun.upload,
            3,
            &[9; 100],
        ))
        .await;
    begun.finish(&second, "resumable", &resumed).await;

    let mut begun = begin(&first, "any").await;
    let resumed = begun.come_back(&second, Some("tab one")).await;
    assert_eq!(resumed["status"], "not_found");
}

/// Row 6, RESUME-7: the client closes the tab: aborted, unless the slot keeps.
#[tokio::test]
async fn row_6_the_tab_is_closed() {
    let stores = Stores::start();
    for state in stores.all() {
        let server = Server::start(&slots(&state));
        for slot in ["resumable", "any"] {
            let mut begun = begin(&server, slot).await;
            let other = Client::connect(&server.ws()).await;
            std::mem::replace(&mut begun.client, other)
                .close(1001)
                .await;
            begun.assert_aborted(&server).await;
        }
        let mut begun = begin(&server, "kept").await;
        let other = Client::connect(&server.ws()).await;
        std::mem::replace(&mut begun.client, other)
            .close(1001)
            .await;
        let resumed = begun.come_back(&server, Some("tab one")).await;
        assert_eq!(resumed["bytes_received"], SENT);
        begun.finish(&server, "kept", &resumed).await;
    }
}

/// Row 7, RESUME-3a, RESUME-4: a second tab is `locked` while the first lives,
/// and may go on once the first let go; another owner is told `not_found`.
#[tokio::test]
async fn row_7_a_second_tab() {
    let stores = Stores::start();
    for state in stores.all() {
        let server = Server::start(&slots(&state));
        let mut begun = begin(&server, "resumable").await;
        let second = Client::connect_as(&server.ws(), &begun.cookie, true).await;
        let mut second = second.expect("a connection");
        for client_id in [Some("tab two"), None] {
            let answer = second.resume(begun.upload, client_id).await;
            assert_eq!(answer["status"], "locked", "{client_id:?}: {answer}");
        }
        let own = begun.client.resume(begun.upload, Some("tab one")).await;
        assert_eq!(own["status"], "locked", "RESUME-3a: {own}");
        let mut stranger = Client::connect(&server.ws()).await;
        let answer = stranger.resume(begun.upload, Some("tab one")).await;
        assert_eq!(answer["status"], "not_found", "{answer}");
        // The first is not disturbed by any of it.
        begun
            .client
            .chunk(begun.upload, 3, &begun.file[SENT..SENT + 10])
            .await;
        let name = begun.upload.to_string();
        begun
            .client
            .until(|message| {
                message["ref"] == name.as_str() && message["bytes_durable"] == SENT + 10
            })
            .await;
        drop(std::mem::replace(&mut begun.client, second));
        let resumed = loop {
            let answer = begun.client.resume(begun.upload, Some("tab two")).await;
            if answer["status"] != "locked" {
                break answer;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        };
        begun.finish(&server, "resumable", &resumed).await;
    }
}

fn end(server: &mut Server, signal: &str) {
    if signal == "KILL" {
        server.kill();
    } else {
        server.terminate();
    }
}
