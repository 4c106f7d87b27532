//! A picture under the name of another kind, as a client uploads it and an application finds it.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use upload_server::{SlotOptions, Uploads};
use upload_stores::MemoryStore;
use uuid::Uuid;

use crate::client::Client;

/// What an application learned of a file: its name, the name it is stored under, and the result.
type Told = Arc<Mutex<Vec<(String, String, Value)>>>;

/// Serves slots `any` and `strict` of pictures from files below `dir`, with records in `store`.
async fn serve(dir: &Path, store: &Arc<MemoryStore>, told: &Told) -> (Uploads, String) {
    let told = Arc::clone(told);
    let pictures = SlotOptions::new()
        .accept("image/*")
        .max_entries(16)
        .resumable(true)
        .store(store.clone());
    let any = pictures.clone().any_picture(true).on_complete(move |done| {
        let entry = &done.entry;
        let names = (entry.client_name().to_owned(), entry.safe_client_name());
        let result = entry.writer_result().cloned().unwrap_or_default();
        told.lock()
            .expect("not poisoned")
            .push((names.0, names.1, result));
        async {}
    });
    let uploads = Uploads::builder()
        .data_dir(dir)
        .owner(|_| Ok(Some("alice".into())))
        .allow_upload("any", any)
        .allow_upload("strict", pictures)
        .build()
        .expect("the uploads");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let app = axum::Router::new().nest("/uploads", uploads.router());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (uploads, format!("ws://{address}/uploads/ws"))
}

fn jpeg() -> Vec<u8> {
    let mut bytes = b"\xFF\xD8\xFF\xE0\0\x10JFIF\0\x01".to_vec();
    bytes.extend((0..200_000_u32).map(|n| n.to_le_bytes()[n as usize % 3]));
    bytes
}

fn stored(dir: &Path, slot: &str) -> Vec<String> {
    let files = std::fs::read_dir(dir.join(slot)).expect("the slot's folder");
    let names = files.map(|file| file.expect("a file").file_name());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

/// It is stored under the extension of what it is; its name, and what is told of it, follow. Elsewhere it is refused.
#[tokio::test]
async fn a_jpeg_called_heic_is_stored_as_jpeg() {
    let dir = TempDir::new().expect("a directory");
    let (store, told) = (Arc::new(MemoryStore::new()), Told::default());
    let (_uploads, url) = serve(dir.path(), &store, &told).await;
    let mut client = Client::connect(&url).await;
    let ended = client.upload("any", "IMG_1.HEIC", &jpeg()).await;
    assert_eq!(ended["status"], "complete", "{ended}");
    let path = ended["result"]["path"].as_str().expect("a path");
    assert!(path.ends_with("-IMG_1.jpg"), "{path}");
    let files = stored(dir.path(), "any");
    assert!(
        files.len() == 1 && files[0].ends_with("-IMG_1.jpg"),
        "{files:?}"
    );
    let learned = async {
        loop {
            let first = told.lock().expect("not poisoned").first().cloned();
            match first {
                Some(first) => return first,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    let learned = tokio::time::timeout(Duration::from_secs(10), learned).await;
    let (name, safe, result) = learned.expect("the application learns of it");
    assert_eq!((name.as_str(), safe.as_str()), ("IMG_1.HEIC", "IMG_1.jpg"));
    assert_eq!(result["path"], path);

    let ended = client.upload("strict", "IMG_1.HEIC", &jpeg()).await;
    assert_eq!(ended["code"], "content_mismatch", "{ended}");
}

/// A restart in the middle finds the file under the name it began with.
#[tokio::test]
async fn a_renamed_picture_resumes_on_another_server() {
    let dir = TempDir::new().expect("a directory");
    let (store, told) = (Arc::new(MemoryStore::new()), Told::default());
    let file = jpeg();
    let half = 65_536;
    let (first, url) = serve(dir.path(), &store, &told).await;
    let mut client = Client::connect(&url).await;
    let upload = Uuid::new_v4();
    let size = file.len() as u64;
    client.register(upload, "any", "IMG_1.HEIC", size).await;
    client.chunk(upload, 0, &file[..half]).await;
    client
        .until(|message| message["bytes_durable"] == json!(half))
        .await;
    drop(client);
    first.shutdown().await;

    let (_second, url) = serve(dir.path(), &store, &told).await;
    let mut client = Client::connect(&url).await;
    let resumed = client.resume(upload, None).await;
    assert_eq!(resumed["bytes_received"], json!(half), "{resumed}");
    client.send_from(upload, &file, half, 1, half).await;
    client.complete(upload, Some(crc32c::crc32c(&file))).await;
    let ended = client.ending(upload).await;
    assert_eq!(ended["status"], "complete", "{ended}");
    let path = ended["result"]["path"].as_str().expect("a path");
    assert!(path.ends_with("-IMG_1.jpg"), "{path}");
    assert_eq!(
        std::fs::read(dir.path().join(path)).expect("the file"),
        file
    );
}
