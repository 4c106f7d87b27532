//! Handlers that are dropped or panic while they wait, at each place where they do, on every store.

use std::{
    future::{Future, poll_fn},
    path::{Path, PathBuf},
    task::Poll,
};

use upload_server::{LentUpload, TakeError, Uploads, proto::UploadRef};

use crate::{
    stores::Opened,
    world::{ALICE, Places, World, as_ref, bytes, until, upload},
};

/// A handler that waits more often than this does not end.
const WAITS_MAX: u32 = 200;

/// What a handler does with what it is lent.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wish {
    Take,
    Persist,
    PersistEntry,
    /// Each attempt to another target, on one file system and on the other in turn.
    PersistElsewhere,
    Refuse,
    GiveBack,
}

/// How a handler ends that does not come to its end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ending {
    Dropped,
    Panics,
}

/// Polls a future until it waits for the `waits`-th time, and ends it then; `None` if it was ended.
async fn ended_at<F>(ending: Ending, waits: u32, work: F) -> Option<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let mut work = Box::pin(work);
    let mut left = waits;
    let polled = poll_fn(move |context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if left <= 1 => match ending {
            Ending::Dropped => Poll::Ready(None),
            Ending::Panics => panic!("a bug of the application"),
        },
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    });
    match tokio::spawn(polled).await {
        Ok(done) => done,
        Err(error) => {
            assert!(error.is_panic() && ending == Ending::Panics, "{error}");
            None
        }
    }
}

async fn handler(
    uploads: Uploads,
    file: UploadRef,
    wish: Wish,
    places: Places,
) -> Result<(), TakeError> {
    let lent = uploads.lend("alice", file).await?;
    let target = target(&places, wish, lent.attempt());
    match wish {
        Wish::Take => lent.take().await.map(drop),
        Wish::Persist | Wish::PersistElsewhere => {
            lent.persist(target).await.map(drop).map_err(inner)
        }
        Wish::PersistEntry => {
            let entry = lent.entry().clone();
            entry.persist(target).await.map_err(inner)?;
            lent.take().await.map(drop)
        }
        Wish::Refuse => lent.refuse().await,
        Wish::GiveBack => lent.give_back().await,
    }
}

fn target(places: &Places, wish: Wish, attempt: u32) -> PathBuf {
    match (wish, attempt % 2) {
        (Wish::PersistElsewhere, 0) => places.near.join(format!("attempt {attempt}")),
        (Wish::PersistElsewhere, _) => places.far.join(format!("attempt {attempt}")),
        _ => places.near.join(format!("{wish:?}")),
    }
}

/// Returns why a move failed.
fn inner(error: std::io::Error) -> TakeError {
    let source = error.into_inner().expect("an error of the loan");
    *source.downcast().expect("an error of the loan")
}

/// CTRL-6: whatever it waits for, a handler that is dropped or panics gives back what it did not take, and what it
/// took is never lent again; the file is in one place, whole.
async fn handlers_end_at_each_wait(opened: Opened) {
    let world = World::with(|builder| builder.store(opened.store.clone())).await;
    let mut client = world.client(ALICE).await;
    for ending in [Ending::Dropped, Ending::Panics] {
        for wish in [
            Wish::Take,
            Wish::Persist,
            Wish::PersistEntry,
            Wish::PersistElsewhere,
            Wish::Refuse,
            Wish::GiveBack,
        ] {
            let content = bytes(3000);
            let (mut file, mut last) = (None, None::<(String, u32)>);
            for waits in 1.. {
                assert!(waits < WAITS_MAX, "{wish:?} does not end");
                let upload = match file {
                    Some(file) => file,
                    None => as_ref(upload(&mut client, "many", "a.txt", &content).await),
                };
                let (uploads, places) = (world.uploads.clone(), world.places.clone());
                let work = handler(uploads, upload, wish, places);
                let ended = ended_at(ending, waits, work).await;
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
                        assert_eq!(world.copies(&content).len(), 1, "{wish:?}");
                        file = Some(upload);
                        again.give_back().await.expect("it waits again");
                    }
                    Err(TakeError::Taken) => {
                        let copies = world.copies(&content);
                        let [copy] = &copies[..] else {
                            panic!("{wish:?}: {copies:?}");
                        };
                        let is_moved = copy.starts_with(&*world.places.near)
                            || copy.starts_with(&*world.places.far);
                        assert_eq!(is_moved, wish != Wish::Take, "{wish:?}: {copies:?}");
                        let takes = !matches!(wish, Wish::Refuse | Wish::GiveBack);
                        assert!(takes, "{wish:?} takes nothing");
                        std::fs::remove_file(copy).expect("removed");
                        (file, last) = (None, None);
                    }
                    Err(error) => {
                        assert_eq!((wish, error), (Wish::Refuse, TakeError::Unknown));
                        until("removed", || world.copies(&content).is_empty()).await;
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
            assert_eq!(world.left(), Vec::<PathBuf>::new(), "{wish:?}: {ending:?}");
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
    assert!(is_exactly(&path, content), "byte by byte");
}

fn is_exactly(path: &Path, content: &[u8]) -> bool {
    std::fs::read(path).expect("it is there") == content
}

#[tokio::test]
async fn ctrl_6_a_handler_that_ends_gives_back_in_memory() {
    handlers_end_at_each_wait(Opened::in_memory()).await;
}

#[tokio::test]
async fn ctrl_6_a_handler_that_ends_gives_back_in_the_embedded_store() {
    handlers_end_at_each_wait(Opened::embedded().await).await;
}

#[tokio::test]
async fn ctrl_6_a_handler_that_ends_gives_back_in_postgres() {
    handlers_end_at_each_wait(Opened::postgres()).await;
}

#[tokio::test]
async fn ctrl_6_a_handler_that_ends_gives_back_in_redis() {
    handlers_end_at_each_wait(Opened::redis()).await;
}
