//! What time makes due: files that no handler took, and handlers that did not finish.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tempfile::TempDir;
use upload_server::{
    Limits, SessionLimits, SlotOptions, TakeError,
    stores::{MemoryStore, RedbDurability, RedbStore, UploadStateStore},
};

use crate::world::{ALICE, World, as_ref, until, upload};

fn short(unclaimed_ttl: Duration) -> Limits {
    Limits {
        session: SessionLimits {
            unclaimed_ttl,
            lease_ttl: Duration::from_secs(1),
            ..SessionLimits::default()
        },
        sweep_interval: Duration::from_secs(1),
        ..Limits::default()
    }
}

/// CTRL-6: what no handler took in time waits no longer; its file is deleted only where the slot says so.
#[tokio::test]
async fn ctrl_6_what_was_not_taken_in_time_is_removed() {
    let world = World::with(|builder| {
        let deletes = SlotOptions::new().delete_untaken(true).max_entries(2);
        let limits = short(Duration::from_secs(2));
        builder.limits(limits).allow_upload("form", deletes)
    })
    .await;
    let mut client = world.client(ALICE).await;
    let kept = upload(&mut client, "one", "kept.txt", b"kept").await;
    let gone = upload(&mut client, "form", "gone.txt", b"gone").await;
    assert_eq!((world.files("one"), world.files("form")), (1, 1));
    until("the file is deleted", || world.files("form") == 0).await;
    assert!(
        world
            .uploads
            .list("alice")
            .await
            .expect("listed")
            .is_empty()
    );
    for ended in [kept, gone] {
        let lent = world.uploads.lend("alice", as_ref(ended)).await;
        assert_eq!(lent.err(), Some(TakeError::Unknown));
    }
    assert_eq!(world.files("one"), 1, "it may be linked to");
    // Its place is free once its record is gone.
    for _ in 0..100 {
        let answer = client
            .register(uuid::Uuid::new_v4(), "one", "b.txt", 4)
            .await;
        if answer["type"] == "upload_registered" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the place is free in five seconds");
}

/// CTRL-6: what a handler has is not removed under it.
#[tokio::test]
async fn ctrl_6_what_is_lent_outlives_its_time() {
    let world = World::with(|builder| {
        let deletes = SlotOptions::new().delete_untaken(true);
        let limits = short(Duration::from_secs(2));
        builder.limits(limits).allow_upload("form", deletes)
    })
    .await;
    let mut client = world.client(ALICE).await;
    let avatar = upload(&mut client, "form", "me.txt", b"mine").await;
    let lent = world
        .uploads
        .lend("alice", as_ref(avatar))
        .await
        .expect("it waits");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(world.files("form"), 1);
    lent.take().await.expect("it was renewed");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.files("form"), 1, "it is the application's");
}

/// A completion handler that panics, or whose process dies, is handed its upload again.
#[tokio::test]
async fn completion_handlers_run_again() {
    let dir = Arc::new(TempDir::new().expect("a directory"));
    let runs = Arc::new(AtomicU32::new(0));
    let slot = |hangs: bool| {
        let runs = Arc::clone(&runs);
        SlotOptions::new().on_complete(move |completed| {
            let run = runs.fetch_add(1, Ordering::SeqCst);
            assert_eq!(completed.owner, "alice");
            async move {
                assert!(run > 0, "the first one panics");
                if hangs {
                    std::future::pending::<()>().await;
                }
                assert_eq!(completed.entry.data().await.expect("read"), "text");
            }
        })
    };
    let open = || RedbStore::open(dir.path().join("state"), RedbDurability::Process);
    let store = Arc::new(open().await.expect("the embedded store"));
    let kept: Arc<dyn UploadStateStore> = Arc::clone(&store) as _;
    let limits = || short(Duration::from_secs(600));
    let before = World::on(Arc::clone(&dir), |builder| {
        let builder = builder.limits(limits()).store(kept);
        builder.allow_upload("handled", slot(true))
    })
    .await;
    let mut client = before.client(ALICE).await;
    upload(&mut client, "handled", "a.txt", b"text").await;
    until("it ran again", || runs.load(Ordering::SeqCst) == 2).await;
    store.close().await.expect("it was open");
    let store = Arc::new(open().await.expect("the embedded store"));
    let after = World::on(Arc::clone(&dir), |builder| {
        let builder = builder.limits(limits()).store(store);
        builder.allow_upload("handled", slot(false))
    })
    .await;
    until("the next process ran it", || {
        runs.load(Ordering::SeqCst) == 3
    })
    .await;
    for _ in 0..100 {
        if after
            .uploads
            .list("alice")
            .await
            .expect("listed")
            .is_empty()
        {
            tokio::time::sleep(Duration::from_secs(2)).await;
            assert_eq!(runs.load(Ordering::SeqCst), 3, "it is taken");
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it is taken in five seconds");
}

/// The handler of all slots runs again as a slot's own does: with it where the slot has one, and alone elsewhere.
#[tokio::test]
async fn the_handler_of_all_slots_runs_again_where_completion_consumes() {
    let dir = Arc::new(TempDir::new().expect("a directory"));
    let (own, all) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let open = || RedbStore::open(dir.path().join("state"), RedbDurability::Process);
    let limits = || short(Duration::from_secs(600));
    let node = async |store: Arc<dyn UploadStateStore>, hangs: bool| {
        let (own, all) = (Arc::clone(&own), Arc::clone(&all));
        World::on(Arc::clone(&dir), move |builder| {
            let both = SlotOptions::new().on_complete(move |_| {
                own.fetch_add(1, Ordering::SeqCst);
                async {}
            });
            builder
                .limits(limits())
                .store(store)
                .allow_upload("both", both)
                .allow_upload("only", SlotOptions::new().consume_on_complete(true))
                .on_upload_complete(move |completed| {
                    let run = all.fetch_add(1, Ordering::SeqCst);
                    assert_eq!(completed.owner, "alice");
                    async move {
                        assert!(run > 1, "the first two panic");
                        if hangs {
                            std::future::pending::<()>().await;
                        }
                        assert_eq!(completed.entry.data().await.expect("read"), "text");
                    }
                })
        })
        .await
    };
    let store = Arc::new(open().await.expect("the embedded store"));
    let before = node(Arc::clone(&store) as _, true).await;
    let mut client = before.client(ALICE).await;
    for slot in ["both", "only"] {
        upload(&mut client, slot, "a.txt", b"text").await;
    }
    let runs = |number: &AtomicU32| number.load(Ordering::SeqCst);
    until("each ran again", || runs(&all) == 4).await;
    assert_eq!(runs(&own), 2);
    store.close().await.expect("it was open");
    let store = Arc::new(open().await.expect("the embedded store"));
    let after = node(store, false).await;
    until("the next process ran them", || runs(&all) == 6).await;
    for _ in 0..200 {
        let waiting = after.uploads.list("alice").await.expect("listed");
        if waiting.is_empty() {
            tokio::time::sleep(Duration::from_secs(2)).await;
            assert_eq!((runs(&own), runs(&all)), (3, 6), "they are taken");
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("they are taken in ten seconds");
}

/// An outage of handlers is made up for by one look, although few of them run at a time.
#[tokio::test]
async fn one_look_runs_every_handler_that_is_due() {
    const UPLOADS: u32 = 40;

    let dir = Arc::new(TempDir::new().expect("a directory"));
    let store = Arc::new(MemoryStore::new());
    let runs = Arc::new(AtomicU32::new(0));
    let node = async |works: bool| {
        let (runs, store) = (Arc::clone(&runs), Arc::clone(&store));
        // Each node looks once, when it starts.
        let limits = Limits {
            sweep_interval: Duration::from_secs(600),
            ..short(Duration::from_secs(600))
        };
        World::on(Arc::clone(&dir), move |builder| {
            let slot = SlotOptions::new().max_entries(64).on_complete(move |_| {
                let runs = Arc::clone(&runs);
                async move {
                    assert!(works, "it is out of order");
                    runs.fetch_add(1, Ordering::SeqCst);
                }
            });
            let builder = builder.limits(limits).store(store);
            builder.allow_upload("handled", slot)
        })
        .await
    };
    let before = node(false).await;
    let mut client = before.client(ALICE).await;
    for number in 0..UPLOADS {
        upload(&mut client, "handled", &format!("{number}.txt"), b"text").await;
    }
    // They were tried once, and may be tried again by then.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let after = node(true).await;
    until("all run", || runs.load(Ordering::SeqCst) == UPLOADS).await;
    for _ in 0..100 {
        let waiting = after.uploads.list("alice").await.expect("listed");
        if waiting.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("they are taken in five seconds");
}
