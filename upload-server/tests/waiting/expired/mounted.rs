//! Slots that only `mount` gives to a visitor.

use super::*;

/// Gives each visitor a slot that resumes, and one whose finished files are deleted.
fn mounted(builder: UploadsBuilder) -> UploadsBuilder {
    let limits = limits(Duration::from_secs(1));
    let session = SessionLimits {
        unclaimed_ttl: Duration::from_secs(2),
        ..limits.session
    };
    let limits = Limits {
        session,
        parked_max: 0,
        ..limits
    };
    builder.limits(limits).mount(|visit| {
        visit.allow_upload("own", SlotOptions::new().resumable(true))?;
        visit.allow_upload("form", SlotOptions::new().delete_untaken(true))
    })
}

async fn leave_half(world: &World) -> Uuid {
    let upload = Uuid::new_v4();
    let mut client = world.client(ALICE).await;
    let registered = client.register(upload, "own", "a.txt", 20_000).await;
    assert_eq!(registered["type"], "upload_registered", "{registered}");
    client.chunk(upload, 0, &bytes(10_000)).await;
    client
        .until(|message| message["bytes_durable"].as_u64() == Some(10_000))
        .await;
    upload
}

/// RESUME-8, CTRL-6: what only a visitor's slots took expires as what all slots take: bytes first, then the record;
/// and a handler of HTTP finds a finished file.
#[tokio::test]
async fn resume_8_what_a_mounted_slot_took_expires() {
    let store = Arc::new(MemoryStore::new());
    let kept: Arc<dyn UploadStateStore> = Arc::clone(&store) as _;
    let world = World::with(|builder| mounted(builder).store(kept)).await;
    let unfinished = || unfinished(&world.dir.path().join("data"));
    let mut client = world.client(ALICE).await;
    let form = upload(&mut client, "form", "me.txt", b"mine").await;
    let listed = world.uploads.list("alice").await.expect("listed");
    let [waiting] = &listed[..] else {
        panic!("one waits: {listed:?}");
    };
    assert_eq!(waiting.upload_ref(), as_ref(form));
    let lent = world.uploads.lend("alice", as_ref(form)).await;
    let lent = lent.expect("it waits");
    assert_eq!(
        std::fs::read(lent.path().expect("a file")).expect("read"),
        b"mine"
    );
    lent.give_back().await.expect("it waits again");
    let left = leave_half(&world).await;
    assert_eq!((unfinished(), world.files("form")), (1, 1));
    until("the bytes are removed", || {
        unfinished() == 0 && world.files("form") == 0
    })
    .await;
    let answer = world.client(ALICE).await.resume(left, None).await;
    assert_eq!(answer["status"], "not_found");
    for round in 0.. {
        assert!(round < 300, "records are left behind");
        let counts = store.count(None).await.expect("counted");
        // What tells how a finished one ended is kept for a while.
        if counts.unfinished.records + counts.waiting.records == 0 && counts.all.records <= 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// RESUME-8: after a restart the slot is known again once its owner comes back to the upload.
#[tokio::test]
async fn resume_8_a_restarted_node_learns_a_mounted_slot_again() {
    let dir = Arc::new(TempDir::new().expect("a directory"));
    let open = || RedbStore::open(dir.path().join("state"), RedbDurability::Process);
    let unfinished = || unfinished(&dir.path().join("data"));
    let store = Arc::new(open().await.expect("the embedded store"));
    let kept: Arc<dyn UploadStateStore> = Arc::clone(&store) as _;
    let before = World::on(Arc::clone(&dir), |builder| mounted(builder).store(kept)).await;
    let left = leave_half(&before).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    store.close().await.expect("it was open");
    drop(before);
    let store = Arc::new(open().await.expect("the embedded store"));
    let kept: Arc<dyn UploadStateStore> = Arc::clone(&store) as _;
    let after = World::on(Arc::clone(&dir), |builder| mounted(builder).store(kept)).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(unfinished(), 1, "its writer is not known");
    let resumed = after.client(ALICE).await.resume(left, None).await;
    assert_eq!(resumed["status"], "resumed", "{resumed}");
    until("the bytes are removed", || unfinished() == 0).await;
    for round in 0.. {
        assert!(round < 300, "its record is deleted");
        if store.count(None).await.expect("counted") == Counts::default() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
