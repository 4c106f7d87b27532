//! Limits of an owner count what is stored (PROTOCOL CTRL-3).

use std::sync::Arc;

use upload_server::{
    Limits, SessionLimits, SlotOptions,
    stores::{MemoryStore, UploadStateStore},
};
use uuid::Uuid;

use crate::world::{ALICE, BOB, World, until, upload};

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
