//! The programs of the guide to object storage, as they are printed: each stores a file.

mod reports;
mod videos;

use axum::Router;
use bytes::Bytes;
use serde_json::Value;
use tempfile::TempDir;
use upload_server::{SlotOptions, Uploads, testing::TestClient};
use upload_writers::WriterFactory;

use super::{BUCKET, Engine, guide, scenarios::MIB};
use crate::support::pattern;

const PROGRAMS: [&str; 2] = [
    include_str!("programs/videos.rs"),
    include_str!("programs/reports.rs"),
];

/// Each program is a block of the guide, and stores a file of several parts.
pub async fn store_files(engine: &Engine) {
    let guide = std::fs::read_to_string(guide::GUIDE).expect("the guide");
    for program in PROGRAMS {
        let (_, code) = program.split_once("\n\n").expect("a head");
        let is_printed = guide.contains(&format!("```rust\n{code}```"));
        assert!(is_printed, "the guide has another program than\n{code}");
    }
    let file = Bytes::from(pattern::file(6, 11 * MIB));
    let endpoint = format!("http://127.0.0.1:{}", engine.port);
    let videos = videos::videos(&engine.client, BUCKET, Some(&endpoint));
    let result = stored(videos.expect("a factory"), &file).await;
    engine.assert_holds(&result, &file).await;
    let key = result["key"].as_str().expect("a key");
    assert!(key.starts_with("videos/"), "{key}");
    let result = stored(reports::reports().expect("a factory"), &file).await;
    assert_eq!(result["size"], file.len(), "{result}");
}

/// Uploads a file to an application with this factory; returns the result.
async fn stored(factory: impl WriterFactory + 'static, file: &Bytes) -> Value {
    let dir = TempDir::new().expect("a temporary directory");
    let slot = SlotOptions::new().max_file_size(1 << 30).writer(factory);
    let uploads = Uploads::builder()
        .data_dir(dir.path())
        .allow_upload("files", slot)
        .build()
        .expect("a configuration");
    let app = Router::new().nest("/uploads", uploads.router());
    let mut client = TestClient::new(app).expect("a free port").owner("ann");
    let stored = client.upload("files", "film.bin", file.to_vec()).await;
    stored.expect("it is stored").result
}
