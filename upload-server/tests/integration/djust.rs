//! A client that knows only what djust's browser code knows.

use serde_json::json;
use uuid::Uuid;

use crate::support::{
    client::{Client, registration},
    pattern,
    server::{EMBEDDED, Server, slots},
};

/// CREDIT-3: it offers no subprotocol, sends 64,512-byte chunks as fast as it
/// can, never looks at credit, completes without a checksum, and reads only
/// `type`, `ref`, `status` and `progress`.
#[tokio::test]
async fn forty_megabytes_byte_exact() {
    let server = Server::start(&slots(EMBEDDED));
    let mut client = Client::connect_as(&server.ws(), "", false)
        .await
        .expect("a connection");
    let file = pattern::file(40, 40_000_000);
    let upload = Uuid::new_v4();
    let mut message = registration(upload, "any", "holiday.bin", "", file.len() as u64);
    message["resumable"] = json!(false);
    client.send(message).await;
    let answer = client
        .until(|message| message["type"] == "upload_registered")
        .await;
    assert_eq!(answer["ref"], upload.to_string());
    client.send_from(upload, &file, 0, 0, 63 * 1024).await;
    client.complete(upload, None).await;
    let ended = client
        .until(|message| message["type"] == "upload_progress" && message["status"] != "uploading")
        .await;
    assert_eq!(
        (&ended["status"], &ended["progress"]),
        (&json!("complete"), &json!(100))
    );
    server.assert_stored_once("any", &file);
}

/// CHUNK-3, COMPLETE-1: what such a client would wait for for ever ends in error.
#[tokio::test]
async fn it_is_never_left_waiting() {
    let server = Server::start(&slots(EMBEDDED));
    let mut client = Client::connect_as(&server.ws(), "", false)
        .await
        .expect("a connection");
    let gap = Uuid::new_v4();
    client.register(gap, "any", "a.bin", 100).await;
    client.chunk(gap, 1, &[1; 10]).await;
    let ended = client.ending(gap).await;
    assert_eq!(
        (&ended["status"], &ended["code"]),
        (&json!("error"), &json!("chunk_out_of_order"))
    );

    let short = Uuid::new_v4();
    client.register(short, "any", "a.bin", 100).await;
    client.chunk(short, 0, &[1; 99]).await;
    client.complete(short, None).await;
    let ended = client.ending(short).await;
    assert_eq!(
        (&ended["status"], &ended["code"]),
        (&json!("error"), &json!("incomplete"))
    );
    assert!(server.stored("any").is_empty());
}

/// FRAME-3: chunks of exactly the announced size never meet the message limit,
/// whatever that size is.
#[tokio::test]
async fn a_full_chunk_always_fits() {
    for chunk_size in [1000, 65_536, 1_048_576] {
        let config = slots(EMBEDDED) + &format!("\n[slots.sized]\nchunk_size = {chunk_size}\n");
        let server = Server::start(&config);
        let mut client = Client::connect(&server.ws()).await;
        let announced = client.configs["upload_configs"]["sized"]["chunk_size"].clone();
        assert_eq!(announced, chunk_size);
        let file = pattern::file(3, chunk_size * 3);
        let ended = client.upload("sized", "a.bin", &file).await;
        assert_eq!(ended["status"], "complete", "{ended}");
        server.assert_stored_once("sized", &file);
    }
}

/// COMPLETE-1: bytes missing in any way are never called complete.
#[tokio::test]
async fn missing_bytes_are_never_complete() {
    let server = Server::start(&slots(EMBEDDED));
    let mut client = Client::connect(&server.ws()).await;
    let file = pattern::file(5, 400_000);
    let chunks: Vec<_> = file.chunks(65_536).collect();
    for left_out in 0..chunks.len() {
        let upload = Uuid::new_v4();
        client
            .register(upload, "any", "a.bin", file.len() as u64)
            .await;
        for (index, data) in chunks.iter().enumerate() {
            if index != left_out {
                client.chunk(upload, index as u32, data).await;
            }
        }
        client.complete(upload, Some(crc32c::crc32c(&file))).await;
        let name = upload.to_string();
        let told = client
            .until(|message| message["ref"] == name.as_str() && message["code"] == "incomplete")
            .await;
        assert_eq!(told["status"], "uploading");
        assert_eq!(told["next_index"], left_out);
        let offset = told["bytes_received"].as_u64().expect("an offset") as usize;
        client
            .send_from(upload, &file, offset, left_out as u32, 65_536)
            .await;
        client.complete(upload, Some(crc32c::crc32c(&file))).await;
        assert_eq!(client.ending(upload).await["status"], "complete");
    }
    for path in server.stored("any") {
        assert!(std::fs::read(path).expect("stored") == file);
    }
}
