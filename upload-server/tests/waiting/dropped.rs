//! Handlers that are dropped while they wait, at each place where they do, on every store.

use std::{
    future::{Future, poll_fn},
    path::Path,
    sync::Arc,
    task::Poll,
};

use tempfile::TempDir;
use upload_server::{
    LentUpload, TakeError, Uploads,
    proto::UploadRef,
    stores::{MemoryStore, PostgresStore, RedbDurability, RedbStore, UploadStateStore},
};

use crate::{
    postgres_server::PostgresServer,
    world::{ALICE, World, as_ref, bytes, upload},
};

/// A handler that waits more often than this does not end.
const WAITS_MAX: u32 = 200;

/// What a handler does with what it is lent.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wish {
    Take,
    Persist,
    PersistEntry,
    Refuse,
    GiveBack,
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

async fn handler(
    uploads: Uploads,
    file: UploadRef,
    wish: Wish,
    target: &Path,
) -> Result<(), TakeError> {
    let lent = uploads.lend("alice", file).await?;
    match wish {
        Wish::Take => lent.take().await.map(drop),
        Wish::Persist => lent.persist(target).await.map(drop).map_err(inner),
        Wish::PersistEntry => {
            let entry = lent.entry().clone();
            entry.persist(target).await.map_err(inner)?;
            lent.take().await.map(drop)
        }
        Wish::Refuse => lent.refuse().await,
        Wish::GiveBack => lent.give_back().await,
    }
}

/// Returns why a move failed.
fn inner(error: std::io::Error) -> TakeError {
    let source = error.into_inner().expect("an error of the loan");
    *source.downcast().expect("an error of the loan")
}

/// CTRL-6: whatever it waits for, a handler that is dropped gives back what it did not take, and what it took is
/// never lent again.
async fn handlers_are_dropped_at_each_wait(store: Arc<dyn UploadStateStore>) {
    let world = World::with(|builder| builder.store(store)).await;
    let mut client = world.client(ALICE).await;
    let content = bytes(3000);
    for wish in [
        Wish::Take,
        Wish::Persist,
        Wish::PersistEntry,
        Wish::Refuse,
        Wish::GiveBack,
    ] {
        let target = world.dir.path().join(format!("{wish:?}"));
        let (mut file, mut last) = (None, None::<(String, u32)>);
        for waits in 1.. {
            assert!(waits < WAITS_MAX, "{wish:?} does not end");
            let upload = match file {
                Some(file) => file,
                None => as_ref(upload(&mut client, "many", "a.txt", &content).await),
            };
            let uploads = world.uploads.clone();
            let ended = dropped_at(waits, handler(uploads, upload, wish, &target)).await;
            let (is_over, is_whole) = match &ended {
                None => (false, false),
                Some(done) => {
                    assert_eq!(*done, Ok(()), "{wish:?} after {waits} waits");
                    (true, wish != Wish::GiveBack)
                }
            };
            match world.uploads.lend("alice", upload).await {
                Ok(again) => {
                    assert!(!is_whole, "{wish:?} was done, and it is lent again");
                    check(&again, &content, last.as_ref());
                    last = Some((again.take_id().to_owned(), again.attempt()));
                    file = Some(upload);
                    again.give_back().await.expect("it waits again");
                }
                Err(TakeError::Taken) => {
                    let takes = matches!(wish, Wish::Take | Wish::Persist | Wish::PersistEntry);
                    assert!(takes, "{wish:?} takes nothing");
                    if wish != Wish::Take {
                        let moved = std::fs::read(&target).expect("it was moved");
                        assert!(moved == content, "byte by byte");
                        std::fs::remove_file(&target).expect("removed");
                    }
                    (file, last) = (None, None);
                }
                Err(error) => {
                    assert_eq!((wish, error), (Wish::Refuse, TakeError::Unknown));
                    (file, last) = (None, None);
                }
            }
            if is_over {
                if let Some(left) = file {
                    world.uploads.delete("alice", left).await.expect("it waits");
                }
                break;
            }
        }
    }
}

/// It is the same upload under the same id, as a later attempt, and whole wherever it is by now.
fn check(again: &LentUpload, content: &[u8], last: Option<&(String, u32)>) {
    if let Some((take_id, attempt)) = last {
        assert_eq!(again.take_id(), take_id);
        assert!(again.attempt() > *attempt);
    }
    let path = again.path().expect("a file");
    let bytes = std::fs::read(path).expect("it is there");
    assert!(bytes == content, "byte by byte");
}

#[tokio::test]
async fn ctrl_6_a_dropped_handler_gives_back_in_memory() {
    handlers_are_dropped_at_each_wait(Arc::new(MemoryStore::new())).await;
}

#[tokio::test]
async fn ctrl_6_a_dropped_handler_gives_back_in_the_embedded_store() {
    let dir = TempDir::new().expect("a directory");
    let store = RedbStore::open(dir.path().join("state"), RedbDurability::Process).await;
    handlers_are_dropped_at_each_wait(Arc::new(store.expect("the embedded store"))).await;
}

#[tokio::test]
async fn ctrl_6_a_dropped_handler_gives_back_in_postgres() {
    let postgres = PostgresServer::start();
    let url = format!("postgres://uploads@127.0.0.1:{}/postgres", postgres.port);
    let store = PostgresStore::connect(&url).expect("a URL");
    handlers_are_dropped_at_each_wait(Arc::new(store)).await;
}
