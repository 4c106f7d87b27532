//! Files that are moved more than once, to other targets, or by who may not: none is lost, and none is there twice.

use std::{
    future::{Future, poll_fn},
    io::{Error, ErrorKind},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    task::Poll,
};

use upload_server::{LentUpload, SlotOptions, TakeError, UploadedEntry, proto::UploadRef};

use crate::{
    client::Client,
    world::{ALICE, World, as_ref, bytes, until, upload},
};

/// A move that waits more often than this does not end.
const WAITS_MAX: u32 = 100;

/// A node with a file that waits.
struct Trial {
    world: World,
    client: Client,
    content: Vec<u8>,
    file: UploadRef,
}

impl Trial {
    async fn start() -> Self {
        let world = World::start().await;
        let mut client = world.client(ALICE).await;
        let content = bytes(3000);
        let file = as_ref(upload(&mut client, "many", "a.txt", &content).await);
        Self {
            world,
            client,
            content,
            file,
        }
    }

    async fn lend(&self) -> LentUpload {
        let lent = self.world.uploads.lend("alice", self.file).await;
        lent.expect("it waits")
    }

    fn near(&self, name: &str) -> PathBuf {
        self.world.places.near.join(name)
    }

    fn far(&self, name: &str) -> PathBuf {
        self.world.places.far.join(name)
    }

    /// The file is here, whole, and nowhere else.
    fn is_only_at(&self, path: &Path) {
        assert_eq!(self.world.copies(&self.content), [path]);
    }

    /// A second upload with other bytes of the same length.
    async fn another(&mut self) -> (LentUpload, Vec<u8>) {
        let other: Vec<u8> = self.content.iter().map(|byte| !byte).collect();
        let file = upload(&mut self.client, "many", "b.txt", &other).await;
        let lent = self.world.uploads.lend("alice", as_ref(file)).await;
        (lent.expect("it waits"), other)
    }
}

fn is_lost(error: &Error) -> bool {
    let source = error
        .get_ref()
        .and_then(|it| it.downcast_ref::<TakeError>());
    source == Some(&TakeError::Lost)
}

/// CTRL-6: an attempt moves the file and dies, and the next one names another target: the file moves on.
#[tokio::test]
async fn ctrl_6_another_target_moves_the_file_on() {
    let trial = Trial::start().await;
    let targets = [
        trial.near("a"),
        trial.far("b"),
        trial.near("c"),
        trial.far("d"),
        trial.far("a"),
    ];
    for target in &targets {
        let lent = trial.lend().await;
        lent.entry().persist(target).await.expect("moved");
        assert_eq!(lent.path().as_ref(), Some(target));
        trial.is_only_at(target);
        drop(lent);
        let again = trial.lend().await;
        assert_eq!(
            again.path().as_ref(),
            Some(target),
            "the next attempt finds it"
        );
        again.give_back().await.expect("it waits again");
    }
    let entry = trial.lend().await.persist(trial.near("kept")).await;
    let entry = entry.expect("taken");
    trial.is_only_at(&trial.near("kept"));
    assert_eq!(entry.path(), Some(trial.near("kept")));
}

/// CTRL-6: an attempt that names another target and dies before it moved anything does not hide where the file is.
#[tokio::test]
async fn ctrl_6_a_target_that_was_only_named_hides_nothing() {
    let trial = Trial::start().await;
    let first = trial.near("first");
    let lent = trial.lend().await;
    lent.entry().persist(&first).await.expect("moved");
    drop(lent);
    // It cannot be moved into what is a file.
    let blocked = first.join("below");
    let lent = trial.lend().await;
    lent.entry().persist(blocked).await.expect_err("no folder");
    drop(lent);
    let again = trial.lend().await;
    assert_eq!(again.path(), Some(first.clone()));
    again.persist(&first).await.expect("it is there");
    trial.is_only_at(&first);
}

/// CTRL-6: moving twice within one attempt, even if the first move was dropped and continues by itself.
#[tokio::test]
async fn ctrl_6_moves_of_one_attempt_follow_each_other() {
    let trial = Trial::start().await;
    for waits in 1..=WAITS_MAX {
        let (one, two) = (trial.far("one"), trial.near("two"));
        let lent = trial.lend().await;
        let entry: UploadedEntry = lent.entry().clone();
        let ended = dropped_at(waits, entry.persist(&one)).await;
        lent.entry().persist(&two).await.expect("moved");
        entry.persist(&two).await.expect("it is there");
        trial.is_only_at(&two);
        lent.give_back().await.expect("it waits again");
        if ended.is_some_and(|moved| moved.is_ok()) {
            return;
        }
    }
    panic!("a move does not end");
}

/// CTRL-6: an upload is given back or taken once a move is over that was dropped, so that no other attempt meets it.
#[tokio::test]
async fn ctrl_6_a_dropped_move_is_over_before_the_loan_is() {
    let world = World::start().await;
    let mut client = world.client(ALICE).await;
    let content = bytes(1 << 20);
    let file = as_ref(upload(&mut client, "many", "a.txt", &content).await);
    for attempt in 0..4 {
        let target = [&world.places.near, &world.places.far][attempt % 2].join("a");
        let lent = world.uploads.lend("alice", file).await.expect("it waits");
        let mut moving = Box::pin(lent.entry().persist(&target));
        // It is on its way once there is a record of it.
        for _ in 0..3 {
            let begun = std::future::poll_fn(|context| Poll::Ready(moving.as_mut().poll(context)));
            if begun.await.is_ready() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        drop(moving);
        lent.give_back().await.expect("it waits again");
        assert_eq!(world.copies(&content).len(), 1, "attempt {attempt}");
    }
}

/// Polls a future until it waits for the `waits`-th time, and drops it then; `None` if it was dropped.
async fn dropped_at<F: Future>(waits: u32, work: F) -> Option<F::Output> {
    let mut work = Box::pin(work);
    let mut left = waits;
    poll_fn(move |context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if left <= 1 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

/// CTRL-6: a copy of an entry moves nothing once the upload was given back, and does once it was taken.
#[tokio::test]
async fn ctrl_6_what_was_given_back_is_not_moved() {
    let trial = Trial::start().await;
    let target = trial.near("moved");
    for waits in [false, true] {
        let lent = trial.lend().await;
        let (entry, stored) = (lent.entry().clone(), lent.path().expect("a file"));
        match waits {
            true => lent.give_back().await.expect("it waits again"),
            false => drop(lent),
        }
        let moved = entry.persist(&target).await.expect_err("it is another's");
        assert!(is_lost(&moved), "{moved}");
        trial.is_only_at(&stored);
    }
    let taken = trial.lend().await.take().await.expect("taken");
    taken.persist(&target).await.expect("moved");
    trial.is_only_at(&target);
}

/// CTRL-6: what a list or a notification shows is not lent, and so not moved.
#[tokio::test]
async fn ctrl_6_what_only_waits_is_not_moved() {
    let trial = Trial::start().await;
    let target = trial.near("moved");
    let listed = trial.world.uploads.list("alice").await.expect("listed");
    let stored = listed[0].path().expect("a file");
    let moved = listed[0]
        .persist(&target)
        .await
        .expect_err("it is not lent");
    assert_eq!(moved.kind(), ErrorKind::PermissionDenied);
    trial.is_only_at(&stored);
    // It shows where the file is by now.
    let lent = trial.lend().await;
    lent.entry().persist(&target).await.expect("moved");
    lent.give_back().await.expect("it waits again");
    let listed = trial.world.uploads.list("alice").await.expect("listed");
    assert_eq!(listed[0].path(), Some(target));
}

/// CTRL-6: a notification of a slot whose files wait has nothing to move either.
#[tokio::test]
async fn ctrl_6_a_notification_moves_nothing() {
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let world = World::with(|builder| {
        builder.on_upload_complete(move |done| {
            let tell = tell.clone();
            async move {
                let target = done.entry.path().expect("a file").with_extension("moved");
                let moved = done
                    .entry
                    .persist(target)
                    .await
                    .map_err(|error| error.kind());
                tell.send(moved).await.expect("it is awaited");
            }
        })
    })
    .await;
    let mut client = world.client(ALICE).await;
    upload(&mut client, "many", "a.txt", b"mine").await;
    let moved = told.recv().await.expect("a notification");
    assert_eq!(moved, Err(ErrorKind::PermissionDenied));
    assert_eq!(world.copies(b"mine").len(), 1);
}

/// CTRL-6: a file of others that happens to have the same bytes is not treated as the one that is moved.
#[tokio::test]
async fn ctrl_6_the_same_bytes_of_others_are_kept() {
    for far in [false, true] {
        let trial = Trial::start().await;
        let target = match far {
            true => trial.far("a"),
            false => trial.near("a"),
        };
        std::fs::create_dir_all(target.parent().expect("a folder")).expect("made");
        std::fs::write(&target, &trial.content).expect("written");
        let theirs = std::fs::metadata(&target).expect("there").ino();
        for _ in 0..3 {
            let lent = trial.lend().await;
            let moved = lent.entry().persist(&target).await.expect_err("it is kept");
            assert_eq!(moved.kind(), ErrorKind::AlreadyExists);
            lent.give_back().await.expect("it waits again");
        }
        assert_eq!(std::fs::metadata(&target).expect("there").ino(), theirs);
        assert_eq!(trial.world.copies(&trial.content).len(), 2);
    }
}

/// CTRL-6: another upload took the place of a file that was moved: a later attempt of the first one moves it nowhere.
#[tokio::test]
async fn ctrl_6_a_file_that_took_its_place_stays() {
    let mut trial = Trial::start().await;
    let target = trial.near("avatar");
    let lent = trial.lend().await;
    lent.entry().persist(&target).await.expect("moved");
    lent.give_back().await.expect("it waits again");
    let (newer, other) = trial.another().await;
    newer
        .entry()
        .persist_replacing(&target)
        .await
        .expect("replaced");
    newer.take().await.expect("taken");
    let lent = trial.lend().await;
    let moved = lent
        .entry()
        .persist(trial.near("b"))
        .await
        .expect_err("it is gone");
    assert_eq!(moved.kind(), ErrorKind::NotFound);
    assert!(moved.to_string().contains("avatar"), "{moved}");
    assert_eq!(trial.world.copies(&other), std::slice::from_ref(&target));
    // To the same target again, it was moved before.
    lent.entry()
        .persist_replacing(&target)
        .await
        .expect("it was there");
    lent.take().await.expect("taken");
    assert_eq!(trial.world.copies(&other), [target]);
}

/// CTRL-6: a process that is started elsewhere finds what went to a relative path.
#[tokio::test]
async fn ctrl_6_relative_targets_are_found_from_everywhere() {
    let trial = Trial::start().await;
    let here = std::env::current_dir().expect("a folder");
    let up: PathBuf = here.components().skip(1).map(|_| "..").collect();
    let target = trial.near("relative");
    let relative = up.join(target.strip_prefix("/").expect("a path"));
    let lent = trial.lend().await;
    lent.entry().persist(&relative).await.expect("moved");
    drop(lent);
    let again = trial.lend().await;
    let path = again.path().expect("a file");
    assert!(path.is_absolute(), "{}", path.display());
    trial.is_only_at(&target);
    again.persist(&relative).await.expect("it is there");
    trial.is_only_at(&target);
}

/// CTRL-6: a target that a record cannot name is refused before anything moves.
#[tokio::test]
async fn ctrl_6_targets_are_utf_8() {
    use std::os::unix::ffi::OsStrExt;

    let trial = Trial::start().await;
    let target = trial
        .world
        .places
        .near
        .join(std::ffi::OsStr::from_bytes(b"\xff"));
    let lent = trial.lend().await;
    let stored = lent.path().expect("a file");
    let moved = lent.entry().persist(target).await.expect_err("no text");
    assert_eq!(moved.kind(), ErrorKind::InvalidInput);
    trial.is_only_at(&stored);
}

/// CTRL-6: where completion consumes, a copy of the entry moves the file when its handler is over.
#[tokio::test]
async fn ctrl_6_a_task_of_a_completion_handler_moves_its_file() {
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let consumed = SlotOptions::new().on_complete(move |done| {
        let tell = tell.clone();
        async move { tell.send(done.entry).await.expect("it is awaited") }
    });
    let world = World::with(|builder| builder.allow_upload("consumed", consumed)).await;
    let mut client = world.client(ALICE).await;
    upload(&mut client, "consumed", "a.txt", b"mine").await;
    let entry = told.recv().await.expect("a notification");
    let list = || world.uploads.list("alice");
    for _ in 0..500 {
        if list().await.expect("listed").is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    entry
        .persist(world.places.far.join("a"))
        .await
        .expect("moved");
    until("moved", || {
        world.copies(b"mine") == [world.places.far.join("a")]
    })
    .await;
}
