//! *Remove* on the page removes it at the server (PROTOCOL COMPLETE-7).

use serde_json::json;
use upload_server::TakeError;
use uuid::Uuid;

use crate::world::{ALICE, World, as_ref, bytes, fire, until, upload};

/// COMPLETE-7: a cancel after "Done" deletes the file and frees its place; the next pick replaces it.
#[tokio::test]
async fn complete_7_removing_deletes_and_makes_room() {
    let world = World::start().await;
    let mut client = world.client(ALICE).await;
    let wrong = upload(&mut client, "one", "wrong.txt", &bytes(9_000)).await;
    assert_eq!(world.files("one"), 1);
    let refused = client.register(Uuid::new_v4(), "one", "b.txt", 4).await;
    assert_eq!(refused["code"], "too_many_entries");
    client.cancel(wrong).await;
    assert_eq!(client.ending(wrong).await["status"], "cancelled");
    until("the file is gone", || world.files("one") == 0).await;
    let right = upload(&mut client, "one", "right.txt", b"right").await;
    let saved = fire(&mut client, "save", Some(&[wrong, right])).await;
    assert_eq!(saved["result"], json!({ "saved": ["right.txt"] }));
    assert_eq!(saved["unknown"], json!([wrong.to_string()]));
    // Again, on this connection and on another one: the same ending.
    client.cancel(wrong).await;
    assert_eq!(client.ending(wrong).await["status"], "cancelled");
    let mut other = world.client(ALICE).await;
    other.cancel(wrong).await;
    assert_eq!(other.ending(wrong).await["status"], "cancelled");
}

/// COMPLETE-7: it is removed from wherever its owner wants it removed; one that was taken stays taken.
#[tokio::test]
async fn complete_7_another_connection_removes_it() {
    let world = World::start().await;
    let mut first = world.client(ALICE).await;
    let wrong = upload(&mut first, "one", "wrong.txt", b"wrong").await;
    let mut second = world.client(ALICE).await;
    second.cancel(wrong).await;
    assert_eq!(second.ending(wrong).await["status"], "cancelled");
    until("the file is gone", || world.files("one") == 0).await;
    // The place is free where it was held.
    let right = upload(&mut first, "one", "right.txt", b"right").await;
    world
        .uploads
        .take("alice", as_ref(right))
        .await
        .expect("it waits");
    second.cancel(right).await;
    assert_eq!(second.ending(right).await["status"], "complete");
    assert_eq!(world.files("one"), 1, "it is the application's");
}

/// COMPLETE-7: what a handler has is not removed; it is removed once it is given back.
#[tokio::test]
async fn complete_7_a_lent_upload_is_locked() {
    let world = World::start().await;
    let mut client = world.client(ALICE).await;
    let avatar = upload(&mut client, "one", "me.txt", b"mine").await;
    let lent = world
        .uploads
        .lend("alice", as_ref(avatar))
        .await
        .expect("it waits");
    client.cancel(avatar).await;
    let answer = client.until(|message| message["type"] == "error").await;
    assert_eq!(
        (&answer["code"], &answer["ref"]),
        (&json!("locked"), &json!(avatar.to_string()))
    );
    let busy = world.uploads.delete("alice", as_ref(avatar)).await;
    assert_eq!(busy, Err(TakeError::Lent));
    lent.refuse().await.expect("refused");
    assert_eq!(world.files("one"), 0);
    let gone = world.uploads.lend("alice", as_ref(avatar)).await;
    assert_eq!(gone.err(), Some(TakeError::Unknown));
    client.register(Uuid::new_v4(), "one", "b.txt", 4).await;
}
