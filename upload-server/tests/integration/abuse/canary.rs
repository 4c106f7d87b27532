//! Honest uploads on connections of their own, under way while everything else is sent.

use serde_json::Value;
use uuid::Uuid;

use crate::support::{client::Client, pattern, server::Server};

const CHUNK: usize = 4096;

pub struct Canary {
    client: Client,
    upload: Uuid,
    slot: &'static str,
    file: Vec<u8>,
    sent: usize,
    index: u32,
}

impl Canary {
    /// Registers a file that `steps` steps send.
    pub async fn begin(server: &Server, cookie: &str, slot: &'static str, steps: usize) -> Self {
        let client = Client::connect_as(&server.ws(), cookie, true).await;
        let mut client = client.expect("a connection");
        let upload = Uuid::new_v4();
        let file = pattern::file(steps as u64, steps.max(1) * CHUNK);
        let registered = client
            .register(upload, slot, "canary.bin", file.len() as u64)
            .await;
        assert_eq!(registered["type"], "upload_registered", "{registered}");
        Self {
            client,
            upload,
            slot,
            file,
            sent: 0,
            index: 0,
        }
    }

    /// Sends one more chunk, except for the last.
    pub async fn step(&mut self) {
        let end = self.sent + CHUNK;
        if end < self.file.len() {
            let data = &self.file[self.sent..end];
            self.client.chunk(self.upload, self.index, data).await;
            (self.sent, self.index) = (end, self.index + 1);
        }
    }

    /// Sends the rest, and asserts that the file arrived byte for byte, with no trouble told.
    pub async fn finish(mut self, server: &Server) {
        assert!(
            self.sent > 0 && self.sent < self.file.len(),
            "it was under way"
        );
        let rest = self.sent;
        self.client
            .send_from(self.upload, &self.file, rest, self.index, CHUNK)
            .await;
        self.client
            .complete(self.upload, Some(crc32c::crc32c(&self.file)))
            .await;
        let end = loop {
            let message: Value = self.client.next().await;
            assert_eq!(message["ref"], self.upload.to_string(), "{message}");
            assert_eq!(message.get("code"), None, "{message}");
            if message["status"] == "complete" {
                break message;
            }
        };
        let path = end["result"]["path"].as_str().expect("a path");
        assert!(path.starts_with(self.slot), "{path}");
        let stored = std::fs::read(server.dir().join("files").join(path)).expect("stored");
        assert!(stored == self.file, "{path} is byte-exact");
    }
}
