//! The configurations of the guide to object storage, as they are printed: each stores a file.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use tempfile::TempDir;

use super::{BUCKET, Engine, REGION, credentials};
use crate::support::{client::Client, pattern, server::Server};

/// Where the guide is.
pub const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/object-storage.md");

/// A block, with the slot that it configures.
pub struct Block {
    pub text: String,
    pub slot: String,
}

/// Returns the guide's configurations.
pub fn blocks() -> Vec<Block> {
    let guide = std::fs::read_to_string(GUIDE).expect("the guide");
    let parts = guide.split("\n```toml\n").skip(1);
    let texts = parts.map(|part| part.split("```").next().unwrap_or_default());
    let with_slot = |text: &str| {
        let slot = text
            .lines()
            .find_map(|line| line.strip_prefix("[slots.")?.strip_suffix(']'));
        Block {
            text: text.to_owned(),
            slot: slot.expect("a slot").to_owned(),
        }
    };
    texts.map(with_slot).collect()
}

/// Starts a server with a block and sends it a small video; returns the file and the result.
pub async fn stored(block: &Block, env: Vec<(String, String)>) -> (Bytes, Value) {
    let config = format!("data_dir = \"{{dir}}/files\"\ndemo = false\n{}", block.text);
    let start = move || {
        let dir = Arc::new(TempDir::new().expect("a temporary directory"));
        Server::start_with(dir, &config, env)
    };
    let server = tokio::task::spawn_blocking(start).await.expect("starts");
    let mut file = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom".to_vec();
    file.extend(pattern::file(5, 100_000));
    let mut client = Client::connect(&server.ws()).await;
    let ended = client.upload(&block.slot, "harbour.mp4", &file).await;
    assert_eq!(ended["status"], "complete", "{ended} for\n{}", block.text);
    (file.into(), ended["result"].clone())
}

/// Each block for S3 stores a file in the bucket, below its prefix; that in memory stores one as well.
pub async fn blocks_store_files(engine: &Engine) {
    let (mut in_buckets, mut in_memory) = (0, 0);
    for mut block in blocks() {
        if block.text.contains("memory:///") {
            let (file, result) = stored(&block, Vec::new()).await;
            assert_eq!(result["size"], file.len(), "{result}");
            in_memory += 1;
        } else if block.text.contains(".s3]\n") {
            block.text = block
                .text
                .lines()
                .map(|line| here(line, engine.port) + "\n")
                .collect();
            let prefix = value(&block.text, "prefix")
                .unwrap_or("uploads/")
                .to_owned();
            let (file, result) = stored(&block, credentials()).await;
            engine.assert_holds(&result, &file).await;
            let key = result["key"].as_str().expect("a key");
            assert!(key.starts_with(&prefix), "{key} in {prefix}");
            in_buckets += 1;
        }
    }
    assert_eq!((in_buckets, in_memory), (3, 1), "blocks of the guide");
}

/// Names the test's bucket and server in place of those of the guide.
fn here(line: &str, port: u16) -> String {
    let address = format!("endpoint = \"http://127.0.0.1:{port}\"\nforce_path_style = true");
    match line.split_once(" = ") {
        Some(("bucket", _)) => format!("bucket = \"{BUCKET}\"\n{address}"),
        Some(("region", _)) => format!("region = \"{REGION}\""),
        Some(("endpoint" | "force_path_style", _)) => String::new(),
        _ => line.to_owned(),
    }
}

fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let mut lines = text.lines().filter_map(|line| line.split_once(" = "));
    let (_, value) = lines.find(|(name, _)| *name == key)?;
    Some(value.trim_matches('"'))
}
