//! The example apps, used as a browser would use them.

mod client;

#[path = "../../examples/axum_app.rs"]
#[expect(dead_code, reason = "the example's main is not called")]
mod axum_app;
#[cfg(feature = "s3")]
#[path = "../../examples/to_bucket.rs"]
#[expect(dead_code, reason = "the example's main is not called")]
mod to_bucket;
#[cfg(feature = "testing")]
mod users;

use std::{fs, path::Path};

use serde_json::json;
use tokio::time::timeout;
use upload_server::Uploads;

use client::{Client, PATIENCE, serve};

/// The smallest beginning a content check takes for a file's type, with a pattern after it.
fn file(head: &[u8], words: u32) -> Vec<u8> {
    let pattern = (0..words).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes());
    head.iter().copied().chain(pattern).collect()
}

async fn ends(uploads: &Uploads) {
    let ended = timeout(PATIENCE, uploads.shutdown()).await;
    assert!(ended.expect("an end in time"));
}

#[tokio::test]
async fn an_avatar_is_uploaded_and_saved_by_the_page() {
    let dir = tempfile::tempdir().expect("a directory");
    let (app, uploads) = axum_app::app(dir.path()).expect("the app");
    let address = serve(app).await;
    let mut client = Client::connect(address, None).await.expect("connected");
    assert_eq!(
        client.configs.upload_configs["avatar"].accept,
        ".jpg,.jpeg,.png"
    );

    let avatar = file(b"\xFF\xD8\xFF\xE0\x00\x10JFIF\x00\x01\x01\x00", 50_000);
    client
        .upload("avatar", "me.jpg", "image/jpeg", &avatar)
        .await;
    let saved = client.event("save", &json!({ "name": "Ann" })).await;
    assert_eq!(saved, json!({ "saved": 1, "name": "Ann" }));
    let stored = fs::read(dir.path().join("avatar.jpg")).expect("saved");
    assert!(stored == avatar, "saved byte by byte");

    drop(client);
    ends(&uploads).await;
}

#[cfg(feature = "s3")]
#[tokio::test]
async fn a_video_goes_to_the_bucket_in_parts() {
    let dir = tempfile::tempdir().expect("a directory");
    let (bucket, data) = (dir.path().join("s3"), dir.path().join("data"));
    fs::create_dir(&bucket).expect("a directory");
    let s3 = to_bucket::client(&to_bucket::s3_server(&bucket).await.expect("a server"));
    let (app, uploads) = to_bucket::app(&s3, &data).await.expect("the app");
    let mut client = Client::connect(serve(app).await, None)
        .await
        .expect("connected");

    // Two parts of 5 MiB and a short one.
    let video = file(b"\x00\x00\x00\x1Cftypisom\x00\x00\x02\x00", 3_000_000);
    let result = client
        .upload("video", "harbour.mp4", "video/mp4", &video)
        .await;
    assert_eq!(result["bucket"], "videos");
    let key = result["key"].as_str().expect("a key");
    let object = s3.get_object().bucket("videos").key(key).send().await;
    let stored = object.expect("stored").body.collect().await.expect("read");
    assert!(stored.into_bytes() == video, "stored byte by byte");
    assert_eq!(count_files(&data.join("video")), 0, "no file in between");

    drop(client);
    ends(&uploads).await;
}

/// Counts the files below a folder.
fn count_files(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .map(|path| if path.is_dir() { count_files(&path) } else { 1 })
        .sum()
}
