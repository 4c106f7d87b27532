//! Over a restart, and over two nodes with a Postgres that they share.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use tempfile::TempDir;
use upload_server::{
    Limits, SessionLimits, TakeError,
    stores::{PostgresStore, RedbDurability, RedbStore, UploadStateStore},
};

use crate::{
    postgres_server::PostgresServer,
    world::{ALICE, World, as_ref, bytes, fire, upload},
};

/// CTRL-6: a restart of the server between "Done" and *Save*.
#[tokio::test]
async fn ctrl_6_a_restart_between_done_and_save_loses_nothing() {
    let dir = Arc::new(TempDir::new().expect("a directory"));
    let file = bytes(30_000);
    let state = dir.path().join("state");
    let open = || RedbStore::open(&state, RedbDurability::Process);
    let store = Arc::new(open().await.expect("the embedded store"));
    let kept: Arc<dyn UploadStateStore> = Arc::clone(&store) as _;
    let before = World::on(Arc::clone(&dir), |it| it.store(kept)).await;
    let mut client = before.client(ALICE).await;
    let avatar = upload(&mut client, "one", "me.txt", &file).await;
    // A process that dies with it keeps nothing: the next one lends it at once.
    let lent = before
        .uploads
        .lend("alice", as_ref(avatar))
        .await
        .expect("it waits");
    let id = lent.take_id().to_owned();
    drop(client);
    store.close().await.expect("it was open");
    let begun = Instant::now();
    // A server that another test starts has the file open until it is a program of its own.
    let store = loop {
        match open().await {
            Ok(store) => break Arc::new(store),
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(10), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let after = World::on(Arc::clone(&dir), |it| it.store(store)).await;
    let old = lent;
    let lent = after
        .uploads
        .lend("alice", as_ref(avatar))
        .await
        .expect("it waits");
    assert_eq!((lent.take_id(), lent.attempt()), (&*id, 2));
    assert!(old.take().await.is_err(), "its process is dead");
    drop(lent);
    let mut client = after.client(ALICE).await;
    let saved = fire(&mut client, "save", Some(&[avatar])).await;
    assert_eq!(saved["result"], json!({ "saved": ["me.txt"] }));
    assert_eq!(after.saved("me.txt").as_deref(), Some(&*file));
}

/// CTRL-6: uploaded to one node, saved at another, never at both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_6_another_node_takes_what_this_one_stored() {
    let postgres = PostgresServer::start();
    let url = format!("postgres://uploads@127.0.0.1:{}/postgres", postgres.port);
    let dir = Arc::new(TempDir::new().expect("a directory"));
    let mut nodes = Vec::new();
    for _ in 0..2 {
        let store = PostgresStore::connect(&url).expect("a URL");
        let limits = Limits {
            session: SessionLimits {
                max_uploads_per_owner: 2,
                lease_ttl: Duration::from_secs(2),
                ..SessionLimits::default()
            },
            ..Limits::default()
        };
        let store: Arc<dyn UploadStateStore> = Arc::new(store);
        let node = World::on(Arc::clone(&dir), |it| it.store(store).limits(limits)).await;
        nodes.push(node);
    }
    let (one, two) = (&nodes[0], &nodes[1]);
    let file = bytes(50_000);
    let mut client = one.client(ALICE).await;
    for slot in ["one", "many"] {
        let avatar = upload(&mut client, slot, "me.txt", &file).await;
        let lent = one
            .uploads
            .lend("alice", as_ref(avatar))
            .await
            .expect("it waits");
        // Longer than its lease: what keeps it alive renews it.
        let waiting = two.uploads.lend("alice", as_ref(avatar)).await;
        assert_eq!(waiting.err(), Some(TakeError::Lent));
        drop(lent);
        let mut other = two.client(ALICE).await;
        let saved = fire(&mut other, "save", Some(&[avatar])).await;
        assert_eq!(saved["result"], json!({ "saved": ["me.txt"] }), "{saved}");
        assert_eq!(two.saved("me.txt").as_deref(), Some(&*file));
        let again = fire(&mut client, "save", Some(&[avatar])).await;
        assert_eq!(again["taken"], json!([avatar.to_string()]));
    }
    for round in 0..4 {
        let name = format!("{round}.txt");
        let avatar = upload(&mut client, "many", &name, b"text").await;
        let racers: Vec<_> = (0..12)
            .map(|n| {
                let uploads = nodes[n % 2].uploads.clone();
                tokio::spawn(async move { uploads.take("alice", as_ref(avatar)).await.is_ok() })
            })
            .collect();
        let mut taken = 0;
        for racer in racers {
            taken += u32::from(racer.await.expect("no panic"));
        }
        assert_eq!(taken, 1, "round {round}");
    }
}
