//! Many creators of one owner, and an owner who has most of what all share (PROTOCOL CTRL-3).

use std::sync::Arc;

use upload_server::{Limits, SessionLimits, SlotOptions};
use uuid::Uuid;

use crate::{
    client::Client,
    stores::Opened,
    world::{ALICE, World, bytes},
};

/// Creators of one owner at the same time.
const CREATORS: usize = 32;

/// CTRL-3: of many who register for one owner at two nodes at once, exactly as many succeed as the limit says.
async fn creators_stop_at_the_limit(opened: Opened) {
    let limits = Limits {
        session: SessionLimits {
            max_uploads_per_owner: 5,
            ..SessionLimits::default()
        },
        ..Limits::default()
    };
    let dir = Arc::new(tempfile::TempDir::new().expect("a directory"));
    let mut nodes = Vec::new();
    for store in [&opened.store, &opened.other] {
        let (limits, store) = (limits.clone(), Arc::clone(store));
        let node = World::on(Arc::clone(&dir), |it| it.limits(limits).store(store)).await;
        nodes.push(node);
    }
    let mut clients = Vec::new();
    for number in 0..CREATORS {
        clients.push(nodes[number % 2].client(ALICE).await);
    }
    let start = Arc::new(tokio::sync::Barrier::new(CREATORS));
    let creators: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            let start = Arc::clone(&start);
            tokio::spawn(async move {
                start.wait().await;
                let upload = Uuid::new_v4();
                let answer = client.register(upload, "many", "a.txt", 100_000).await;
                // Its place is held until all were answered.
                (client, answer)
            })
        })
        .collect();
    let (mut held, mut registered) = (Vec::new(), 0);
    for creator in creators {
        let (client, answer) = creator.await.expect("no panic");
        held.push(client);
        if answer["type"] == "upload_registered" {
            registered += 1;
        } else {
            assert_eq!(answer["code"], "too_many_entries", "{answer}");
        }
    }
    assert_eq!(registered, 5);
    let counts = opened.store.count(Some("alice")).await.expect("counted");
    assert_eq!(counts.unfinished.records, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_3_creators_at_two_nodes_stop_at_the_limit_in_memory() {
    creators_stop_at_the_limit(Opened::in_memory()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_3_creators_at_two_nodes_stop_at_the_limit_in_the_embedded_store() {
    creators_stop_at_the_limit(Opened::embedded().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_3_creators_at_two_nodes_stop_at_the_limit_in_postgres() {
    creators_stop_at_the_limit(Opened::postgres()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_3_creators_at_two_nodes_stop_at_the_limit_in_redis() {
    creators_stop_at_the_limit(Opened::redis()).await;
}

/// Registers an upload, sends its first half if `sends`, and returns its ref, or the code of the refusal.
async fn begin(client: &mut Client, sends: bool) -> Result<Uuid, String> {
    let upload = Uuid::new_v4();
    let answer = client.register(upload, "lots", "a.bin", 20_000).await;
    if answer["type"] != "upload_registered" {
        return Err(answer["code"].as_str().unwrap_or_default().to_owned());
    }
    if sends {
        client.chunk(upload, 0, &bytes(20_000)[..10_000]).await;
        let name = upload.to_string();
        client
            .until(|message| {
                message["ref"] == name.as_str() && message["bytes_received"].as_u64() > Some(0)
            })
            .await;
    }
    Ok(upload)
}

/// Sends the rest, and returns the last snapshot.
async fn end(client: &mut Client, upload: Uuid) -> serde_json::Value {
    let file = bytes(20_000);
    client.chunk(upload, 1, &file[10_000..]).await;
    client.complete(upload, Some(crc32c::crc32c(&file))).await;
    client.ending(upload).await
}

/// CTRL-3: where the server has as many uploads as it takes, the oldest registration without a byte of the owner who
/// has most gives way to a newcomer; what was begun does not, and who has most is refused.
#[tokio::test]
async fn ctrl_3_who_has_most_gives_way_to_newcomers() {
    let limits = Limits {
        max_uploads: 16,
        ..Limits::default()
    };
    let world = World::with(|builder| {
        let slot = SlotOptions::new().max_entries(32);
        builder.limits(limits).allow_upload("lots", slot)
    })
    .await;
    let full = Err("rate_limited".to_owned());
    // Three quarters of all; what is kept for newcomers and resumes is not for who has something.
    let mut greedy = world.client("who=greedy").await;
    let (mut begun, mut empty) = (Vec::new(), Vec::new());
    for number in 0..12 {
        let upload = begin(&mut greedy, number < 3).await.expect("a place");
        match number {
            0..3 => begun.push(upload),
            _ => empty.push(upload),
        }
    }
    assert_eq!(begin(&mut greedy, false).await, full);
    // Two have the places of newcomers, and two those of the greedy one.
    let mut newcomers = Vec::new();
    for number in 0..4 {
        let mut client = world.client(&format!("who={number}")).await;
        let upload = begin(&mut client, true)
            .await
            .expect("a newcomer is served");
        newcomers.push((client, upload));
    }
    assert_eq!(begin(&mut greedy, false).await, full);
    // An eighth of all may be alive without a place, so that memory is bounded.
    let mut fifth = world.client("who=fifth").await;
    assert_eq!(begin(&mut fifth, true).await, full);
    for lost in &empty[..2] {
        greedy.chunk(*lost, 0, &bytes(10_000)).await;
        let ended = greedy.ending(*lost).await;
        assert_eq!(ended["code"], "rate_limited", "{ended}");
    }
    let upload = begin(&mut fifth, true).await.expect("a newcomer is served");
    newcomers.push((fifth, upload));
    for (client, upload) in &mut newcomers {
        let ended = end(client, *upload).await;
        assert_eq!(ended["status"], "complete", "{ended}");
    }
    // What the greedy one had begun continues, and so does the registration that no one needed.
    for upload in begun {
        let ended = end(&mut greedy, upload).await;
        assert_eq!(ended["status"], "complete", "{ended}");
    }
    let last = *empty.last().expect("some");
    greedy.chunk(last, 0, &bytes(20_000)[..10_000]).await;
    let ended = end(&mut greedy, last).await;
    assert_eq!(ended["status"], "complete", "{ended}");
    assert_eq!(world.copies_in("lots", &bytes(20_000)), 9);
}
