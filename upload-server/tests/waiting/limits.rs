//! Limits of an owner count what is stored (PROTOCOL CTRL-3).

use std::sync::Arc;

use upload_server::{
    Limits, SessionLimits, SlotOptions,
    stores::{MemoryStore, UploadStateStore},
};
use uuid::Uuid;

use crate::{
    stores::Opened,
    world::{ALICE, BOB, World, as_ref, until, upload},
};

fn two() -> Limits {
    Limits {
        session: SessionLimits {
            max_uploads_per_owner: 2,
            max_waiting_per_owner: 3,
            ..SessionLimits::default()
        },
        // Nothing is parked, so that only the records are left.
        parked_max: 0,
        ..Limits::default()
    }
}

/// CTRL-3: twelve uploads that are left, at a limit of two: the third is refused, and so is every other.
#[tokio::test]
async fn ctrl_3_uploads_that_were_left_count() {
    let store = Arc::new(MemoryStore::new());
    let kept: Arc<dyn UploadStateStore> = Arc::clone(&store) as _;
    let world = World::with(|builder| builder.limits(two()).store(kept)).await;
    let mut refused = 0;
    for _ in 0..12 {
        let mut client = world.client(ALICE).await;
        let upload = Uuid::new_v4();
        let answer = client.register(upload, "many", "a.txt", 100_000).await;
        if answer["code"] == "too_many_entries" {
            refused += 1;
            continue;
        }
        client.chunk(upload, 0, &[1; 60_000]).await;
        client
            .until(|message| message["bytes_durable"].as_u64().unwrap_or(0) > 0)
            .await;
        drop(client);
    }
    assert_eq!(refused, 10);
    let counts = store.count(Some("alice")).await.expect("counted");
    assert_eq!(counts.unfinished.records, 2);
    let mut other = world.client(BOB).await;
    upload(&mut other, "many", "b.txt", b"bbbb").await;
}

/// CTRL-3: waiting uploads have a limit of their own; past it nothing is stored and nothing left behind.
#[tokio::test]
async fn ctrl_3_waiting_uploads_have_a_limit_of_their_own() {
    let world = World::with(|builder| {
        let slot = SlotOptions::new().max_entries(16);
        builder.limits(two()).allow_upload("plain", slot)
    })
    .await;
    for slot in ["plain", "many"] {
        let mut client = world.client(&format!("who={slot}")).await;
        for n in 0..3 {
            upload(&mut client, slot, &format!("{n}.txt"), b"text").await;
        }
        let fourth = client.upload(slot, "4.txt", b"text").await;
        assert_eq!(fourth["code"], "too_many_entries", "{slot}: {fourth}");
        until("its file is gone", || world.files(slot) == 3).await;
        let listed = world.uploads.list(slot).await.expect("listed");
        assert_eq!(listed.len(), 3);
        let taken = world.uploads.take(slot, listed[0].upload_ref()).await;
        taken.expect("it waits");
        upload(&mut client, slot, "5.txt", b"text").await;
    }
}

/// COMPLETE-4: what only tells that a file was taken or removed gives way to what its owner uploads next.
#[tokio::test]
async fn complete_4_what_was_taken_or_removed_leaves_room() {
    // Four records for each owner.
    let store = Arc::new(MemoryStore::with_limits(16, usize::MAX));
    let kept: Arc<dyn UploadStateStore> = Arc::clone(&store) as _;
    let world = World::with(|builder| builder.store(kept)).await;
    let mut alice = world.client(ALICE).await;
    for n in 0..12 {
        let done = upload(&mut alice, "many", &format!("{n}.txt"), b"text").await;
        let done = as_ref(done);
        if n % 2 == 0 {
            world.uploads.take("alice", done).await.expect("it waits");
        } else {
            world.uploads.delete("alice", done).await.expect("it waits");
        }
    }
    let counts = store.count(Some("alice")).await.expect("counted");
    assert_eq!(counts.all.records, 4);
}

/// What an owner stores is limited over unfinished and waiting uploads together.
async fn stored_bytes_are_limited(opened: Opened) {
    let limits = Limits {
        session: SessionLimits {
            max_stored_bytes_per_owner: Some(100),
            ..SessionLimits::default()
        },
        ..Limits::default()
    };
    let kept = Arc::clone(&opened.store);
    let world = World::with(|builder| builder.limits(limits).store(kept)).await;
    let mut alice = world.client(ALICE).await;
    let first = upload(&mut alice, "many", "a.txt", &[b'a'; 60]).await;
    let answer = alice.register(Uuid::new_v4(), "many", "b.txt", 41).await;
    assert_eq!(answer["code"], "too_many_entries", "{answer}");
    let answer = alice.register(Uuid::new_v4(), "many", "b.txt", 101).await;
    assert_eq!(answer["code"], "too_large", "{answer}");
    upload(&mut alice, "many", "c.txt", &[b'c'; 40]).await;
    let counts = opened.store.count(Some("alice")).await.expect("counted");
    assert_eq!((counts.waiting.records, counts.waiting.bytes), (2, 100));

    // Without a record it is compared at its end.
    let late = alice.upload("one", "d.txt", b"d").await;
    assert_eq!(late["code"], "too_many_entries", "{late}");
    until("its file is gone", || world.files("one") == 0).await;

    upload(&mut world.client(BOB).await, "many", "b.txt", &[b'b'; 100]).await;
    world
        .uploads
        .take("alice", as_ref(first))
        .await
        .expect("it waits");
    upload(&mut alice, "many", "e.txt", &[b'e'; 60]).await;
}

/// CTRL-3: bytes stored per owner, in memory.
#[tokio::test]
async fn ctrl_3_stored_bytes_are_limited_in_memory() {
    stored_bytes_are_limited(Opened::in_memory()).await;
}

/// CTRL-3: bytes stored per owner, in the embedded store.
#[tokio::test]
async fn ctrl_3_stored_bytes_are_limited_in_the_embedded_store() {
    stored_bytes_are_limited(Opened::embedded().await).await;
}

/// CTRL-3: bytes stored per owner, in Postgres.
#[tokio::test]
async fn ctrl_3_stored_bytes_are_limited_in_postgres() {
    stored_bytes_are_limited(Opened::postgres()).await;
}

/// CTRL-3: bytes stored per owner, in Redis.
#[tokio::test]
async fn ctrl_3_stored_bytes_are_limited_in_redis() {
    stored_bytes_are_limited(Opened::redis()).await;
}
