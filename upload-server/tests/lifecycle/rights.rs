//! Whom the application lets in, and how much of it, over a real socket.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use serde_json::{Value, json};
use upload_server::{AuthorizeRequest, AuthorizeStage, Limits, SlotOptions, UploadsBuilder};
use uuid::Uuid;

use crate::World;

/// What the application was asked, and what it answers.
#[derive(Clone, Default)]
struct Desk {
    asked: Arc<Mutex<Vec<(AuthorizeStage, String)>>>,
    is_closed: Arc<AtomicBool>,
}

impl Desk {
    /// Asks this desk about every upload; all connections are one visitor's.
    fn at(&self, builder: UploadsBuilder) -> UploadsBuilder {
        let desk = self.clone();
        let again = SlotOptions::new().max_entries(16).resumable(true);
        builder
            .owner(|_| Ok(Some("alice".into())))
            .allow_upload("again", again)
            .authorize(move |request: AuthorizeRequest| {
                let desk = desk.clone();
                async move {
                    let question = (request.stage, request.client_name);
                    desk.asked.lock().expect("not poisoned").push(question);
                    !desk.is_closed.load(Ordering::SeqCst)
                }
            })
    }

    fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
    }

    fn open(&self) {
        self.is_closed.store(false, Ordering::SeqCst);
    }

    fn asked(&self) -> Vec<(AuthorizeStage, String)> {
        std::mem::take(&mut self.asked.lock().expect("not poisoned"))
    }
}

fn question(stage: AuthorizeStage) -> (AuthorizeStage, String) {
    (stage, "a.bin".into())
}

fn crc(file: &[u8]) -> Option<u32> {
    Some(crc32c::crc32c(file))
}

/// CTRL-5: the application is asked before the first byte and before the name.
#[tokio::test]
async fn an_upload_is_asked_about_at_its_begin_and_its_end() {
    let desk = Desk::default();
    let world = World::with(|builder| desk.at(builder)).await;
    let mut client = world.client().await;
    let (upload, file) = (Uuid::new_v4(), vec![7; 20_000]);
    client.register(upload, "files", "a.bin", 20_000).await;
    assert_eq!(desk.asked(), [question(AuthorizeStage::Register)]);
    client.send_file(upload, &file, 4096).await;
    assert_eq!(client.ending(upload).await["status"], "complete");
    assert_eq!(desk.asked(), [question(AuthorizeStage::Complete)]);
}

/// CTRL-5: whom the application does not let in registers nothing.
#[tokio::test]
async fn a_closed_desk_lets_nobody_in() {
    let desk = Desk::default();
    desk.close();
    let world = World::with(|builder| desk.at(builder)).await;
    let mut client = world.client().await;
    let upload = Uuid::new_v4();
    let refused = client.register(upload, "files", "a.bin", 20_000).await;
    assert_eq!(
        (&refused["status"], &refused["code"]),
        (&json!("error"), &json!("forbidden"))
    );
    assert!(world.calls(upload).is_empty());
}

/// CTRL-5: a right that was withdrawn while the bytes came stores nothing, and
/// what was written is undone.
#[tokio::test]
async fn a_withdrawn_right_stores_nothing() {
    let desk = Desk::default();
    let world = World::with(|builder| desk.at(builder)).await;
    let mut client = world.client().await;
    let (upload, file) = (Uuid::new_v4(), vec![7; 20_000]);
    client.register(upload, "files", "a.bin", 20_000).await;
    client.send_from(upload, &file, 0, 0, 4096).await;
    desk.close();
    client.complete(upload, crc(&file)).await;
    let ending = client.ending(upload).await;
    assert_eq!(
        (&ending["status"], &ending["code"]),
        (&json!("error"), &json!("forbidden"))
    );
    world.aborted(1).await;
    let calls = world.calls(upload);
    let closed = calls
        .iter()
        .any(|call| matches!(call, super::Recorded::Close));
    assert!(!closed, "{calls:?}");
}

/// CTRL-5: who may not upload any more does not go on; who may again, does.
#[tokio::test]
async fn a_withdrawn_right_does_not_go_on() {
    let desk = Desk::default();
    let world = World::with(|builder| desk.at(builder)).await;
    let (upload, file) = (Uuid::new_v4(), vec![7; 200_000]);
    let mut client = world.client().await;
    client.register(upload, "again", "a.bin", 200_000).await;
    client.chunk(upload, 0, &file[..65_536]).await;
    let is_kept = |message: &Value| message["bytes_durable"] == 65_536;
    client.until(is_kept).await;
    drop(client);

    desk.close();
    let mut client = world.client().await;
    client
        .send(json!({"type": "upload_resume", "ref": upload.to_string()}))
        .await;
    let is_it = |message: &Value| message["ref"] == upload.to_string();
    let mut refused = client.until(is_it).await;
    while refused["status"] == "locked" {
        // The first connection has not let go yet.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        client
            .send(json!({"type": "upload_resume", "ref": upload.to_string()}))
            .await;
        refused = client.until(is_it).await;
    }
    assert_eq!(
        (&refused["type"], &refused["code"]),
        (&json!("error"), &json!("forbidden"))
    );

    desk.open();
    let resumed = client.resume(upload, None).await;
    assert_eq!(
        (&resumed["status"], &resumed["bytes_received"]),
        (&json!("resumed"), &json!(65_536))
    );
    desk.asked();
    client.send_from(upload, &file, 65_536, 1, 65_536).await;
    client.complete(upload, crc(&file)).await;
    assert_eq!(client.ending(upload).await["status"], "complete");
    assert_eq!(desk.asked(), [question(AuthorizeStage::Complete)]);
}

/// CTRL-3: the declared bytes of one owner are limited over all connections, and
/// what ended makes room.
#[tokio::test]
async fn an_owner_has_so_many_bytes() {
    let mut limits = Limits::default();
    limits.session.max_bytes_per_owner = Some(30_000);
    let world =
        World::with(|builder| builder.limits(limits).owner(|_| Ok(Some("alice".into())))).await;
    let (mut client, mut other) = (world.client().await, world.client().await);
    let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
    let registered = client.register(first, "files", "a.bin", 20_000).await;
    assert_eq!(registered["type"], "upload_registered");
    let refused = other.register(second, "files", "b.bin", 10_001).await;
    assert_eq!(refused["code"], "too_many_entries");
    client.cancel(first).await;
    assert_eq!(client.ending(first).await["status"], "cancelled");
    let registered = other.register(second, "files", "b.bin", 10_001).await;
    assert_eq!(registered["type"], "upload_registered");
}
