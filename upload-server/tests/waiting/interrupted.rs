//! Handlers of events that fail or panic, at each place where they wait and at the second of three files.
//!
//! On every store, each file is at its destination or waits, in one place and whole.

use std::{
    future::poll_fn,
    path::PathBuf,
    sync::{Arc, Mutex},
    task::Poll,
};

use serde_json::Value;
use upload_server::{
    Entries, EventContext, HandlerError, LentUpload, TakeError, UploadedEntry, UploadsBuilder,
};
use uuid::Uuid;

use crate::{
    client::Client,
    stores::Opened,
    world::{ALICE, Places, World, as_ref, bytes, fire, upload},
};

/// A handler that waits more often than this does not end.
const WAITS_MAX: u32 = 300;
/// The files by what the handler does with them.
const NAMES: [&str; 3] = ["taken.txt", "moved.txt", "far.txt"];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Ending {
    Fails,
    Panics,
}

/// Where a handler ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    /// When it waits for this time.
    Wait(u32),
    /// Before it does anything with its second file.
    Second,
    /// When it has moved its second file, and not taken it.
    SecondMoved,
}

/// What the next run of the handler does, and what the runs saw.
#[derive(Clone, Default)]
struct Script {
    next: Arc<Mutex<Option<(At, Ending)>>>,
    /// The name, take id and attempt of each file that was lent.
    seen: Arc<Mutex<Vec<(String, String, u32)>>>,
}

impl Script {
    fn end(&self, at: At, ending: Ending) {
        *self.next.lock().expect("whole") = Some((at, ending));
    }

    fn next(&self) -> Option<(At, Ending)> {
        self.next.lock().expect("whole").take()
    }

    fn saw(&self, file: &LentUpload) {
        let seen = (
            file.client_name().to_owned(),
            file.take_id().to_owned(),
            file.attempt(),
        );
        self.seen.lock().expect("whole").push(seen);
    }

    /// Returns the last take id and attempt of a file, if a handler saw it.
    fn last(&self, name: &str) -> Option<(String, u32)> {
        let seen = self.seen.lock().expect("whole");
        let last = seen.iter().rev().find(|it| it.0 == name);
        last.map(|it| (it.1.clone(), it.2))
    }

    fn clear(&self) {
        self.seen.lock().expect("whole").clear();
    }
}

fn ended(ending: Ending) -> HandlerError {
    match ending {
        Ending::Fails => HandlerError::new("no room"),
        Ending::Panics => panic!("a bug of the application"),
    }
}

/// Ends a handler when it waits for the `waits`-th time.
async fn ended_at<T>(
    waits: u32,
    ending: Ending,
    work: impl Future<Output = Result<T, HandlerError>>,
) -> Result<T, HandlerError> {
    let mut work = Box::pin(work);
    let mut left = waits;
    poll_fn(move |context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(done),
        Poll::Pending if left <= 1 => Poll::Ready(Err(ended(ending))),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

fn target(places: &Places, file: &UploadedEntry) -> Option<PathBuf> {
    match file.client_name() {
        "taken.txt" => None,
        "moved.txt" => Some(places.near.join(file.upload_ref().to_string())),
        _ => Some(places.far.join(file.upload_ref().to_string())),
    }
}

/// Settles each file alone.
async fn keep(
    script: &Script,
    places: &Places,
    entries: Entries,
    end: Option<(At, Ending)>,
) -> Result<usize, HandlerError> {
    let mut kept = 0;
    for file in entries.of("many").await? {
        script.saw(&file);
        match end {
            Some((At::Second, ending)) if kept == 1 => return Err(ended(ending)),
            Some((At::SecondMoved, ending)) if kept == 1 => {
                let target = target(places, &file).expect("it is moved");
                file.entry().persist(target).await?;
                return Err(ended(ending));
            }
            _ => {}
        }
        match target(places, &file) {
            None => drop(file.take().await?),
            Some(target) => drop(file.persist(target).await?),
        }
        kept += 1;
    }
    Ok(kept)
}

/// Takes all files or none.
async fn keep_all(
    places: &Places,
    event: EventContext,
    end: Option<(At, Ending)>,
) -> Result<usize, HandlerError> {
    let files = event.uploads.consume_uploaded_entries("many").await;
    for (number, file) in files.iter().enumerate() {
        match end {
            Some((At::Second, ending)) if number == 1 => return Err(ended(ending)),
            _ => {}
        }
        if let Some(target) = target(places, file) {
            file.persist(target).await?;
        }
        match end {
            Some((At::SecondMoved, ending)) if number == 1 => return Err(ended(ending)),
            _ => {}
        }
    }
    Ok(files.len())
}

/// A page with three files that are finished.
struct Trial {
    world: World,
    script: Script,
    client: Client,
    contents: [Vec<u8>; 3],
    files: [Uuid; 3],
}

impl Trial {
    async fn start(opened: &Opened) -> Self {
        let script = Script::default();
        let scripts = [script.clone(), script.clone()];
        let dir = Arc::new(tempfile::TempDir::new().expect("a directory"));
        let world = World::placed(dir, |builder: UploadsBuilder, places: &Places| {
            let [one, other] = scripts;
            let (near, all) = (places.clone(), places.clone());
            builder
                .store(opened.store.clone())
                .handle_event("keep", async move |entries: Entries| {
                    let end = one.next();
                    let work = keep(&one, &near, entries, end);
                    match end {
                        Some((At::Wait(waits), ending)) => ended_at(waits, ending, work).await,
                        _ => work.await,
                    }
                })
                .handle_event("keep_all", async move |event: EventContext| {
                    let end = other.next();
                    let work = keep_all(&all, event, end);
                    match end {
                        Some((At::Wait(waits), ending)) => ended_at(waits, ending, work).await,
                        _ => work.await,
                    }
                })
        })
        .await;
        let client = world.client(ALICE).await;
        Self {
            world,
            script,
            client,
            contents: [3000, 4000, 5000].map(bytes),
            files: [Uuid::nil(); 3],
        }
    }

    async fn upload(&mut self) {
        self.script.clear();
        for (index, name) in NAMES.into_iter().enumerate() {
            let content = &self.contents[index];
            self.files[index] = upload(&mut self.client, "many", name, content).await;
        }
    }

    async fn fire(&mut self, event: &str) -> Value {
        let files = self.files;
        fire(&mut self.client, event, Some(&files)).await
    }

    /// Returns which files were taken; each is in one place, and whole.
    async fn look(&self, context: &str) -> [bool; 3] {
        let mut taken = [false; 3];
        for (index, name) in NAMES.into_iter().enumerate() {
            let context = format!("{name}, {context}");
            let upload = as_ref(self.files[index]);
            let copies = || {
                let copies = self.world.copies(&self.contents[index]);
                assert_eq!(copies.len(), 1, "{context}: {copies:?}");
                copies.into_iter().next().expect("one")
            };
            match self.world.uploads.lend("alice", upload).await {
                Ok(again) => {
                    assert_eq!(again.path(), Some(copies()), "{context}");
                    if let Some((take_id, attempt)) = self.script.last(name) {
                        assert_eq!(again.take_id(), take_id, "{context}");
                        assert!(again.attempt() > attempt, "{context}");
                    }
                    self.script.saw(&again);
                    again.give_back().await.expect("it waits again");
                }
                Err(error) => {
                    assert_eq!(error, TakeError::Taken, "{context}");
                    let folder = match index {
                        0 => &*self.world.dir.path().join("data/many"),
                        1 => &*self.world.places.near,
                        _ => &*self.world.places.far,
                    };
                    assert_eq!(copies().parent(), Some(folder), "{context}");
                    taken[index] = true;
                }
            }
        }
        taken
    }

    /// Has the rest kept, and looks at everything.
    async fn finish(&mut self, event: &str, context: &str) {
        let before = NAMES.map(|name| self.script.last(name));
        let done = self.fire(event).await;
        assert_eq!(done["ok"], true, "{context}: {done}");
        assert_eq!(self.look(context).await, [true; 3], "{context}");
        for (name, before) in NAMES.into_iter().zip(before) {
            let (Some(before), Some(after)) = (before, self.script.last(name)) else {
                continue;
            };
            assert_eq!(after.0, before.0, "{name}, {context}");
            assert!(after.1 >= before.1, "{name}, {context}");
        }
        for path in self.world.left() {
            std::fs::remove_file(path).expect("removed");
        }
    }
}

/// CTRL-6: an error and a panic at each place where a handler waits.
async fn each_wait(opened: Opened) {
    let mut trial = Trial::start(&opened).await;
    for event in ["keep", "keep_all"] {
        for ending in [Ending::Fails, Ending::Panics] {
            for waits in 1.. {
                assert!(waits < WAITS_MAX, "{event} does not end");
                trial.upload().await;
                trial.script.end(At::Wait(waits), ending);
                let result = trial.fire(event).await;
                let context = format!("{event}: {ending:?} at wait {waits}: {result}");
                let taken = trial.look(&context).await;
                let is_done = result["ok"] == true;
                if is_done {
                    assert_eq!(taken, [true; 3], "{context}");
                } else if event == "keep_all" {
                    assert_eq!(taken, [false; 3], "{context}");
                } else {
                    assert_eq!(result["code"], "event_failed", "{context}");
                }
                trial.finish(event, &context).await;
                if is_done {
                    break;
                }
            }
        }
    }
}

/// CTRL-6: of three files the first is kept, the second fails, and the third is not reached.
async fn second_of_three(opened: Opened) {
    let mut trial = Trial::start(&opened).await;
    for ending in [Ending::Fails, Ending::Panics] {
        for at in [At::Second, At::SecondMoved] {
            for (event, wanted) in [("keep", [true, false, false]), ("keep_all", [false; 3])] {
                trial.upload().await;
                trial.script.end(at, ending);
                let result = trial.fire(event).await;
                let context = format!("{event}: {ending:?} {at:?}");
                assert_eq!(result["code"], "event_failed", "{context}: {result}");
                assert_eq!(trial.look(&context).await, wanted, "{context}");
                let folder = match at {
                    At::SecondMoved => trial.world.places.near.to_path_buf(),
                    _ => trial.world.dir.path().join("data/many"),
                };
                let second = trial.world.copies(&trial.contents[1]);
                assert_eq!(second[0].parent(), Some(&*folder), "{context}");
                let third = trial.world.copies(&trial.contents[2]);
                let folder = trial.world.dir.path().join("data/many");
                assert_eq!(third[0].parent(), Some(&*folder), "{context}");
                trial.finish(event, &context).await;
            }
        }
    }
}

#[tokio::test]
async fn ctrl_6_a_handler_that_fails_or_panics_at_any_wait_in_memory() {
    each_wait(Opened::in_memory()).await;
}

#[tokio::test]
async fn ctrl_6_a_handler_that_fails_or_panics_at_any_wait_in_the_embedded_store() {
    each_wait(Opened::embedded().await).await;
}

#[tokio::test]
async fn ctrl_6_a_handler_that_fails_or_panics_at_any_wait_in_postgres() {
    each_wait(Opened::postgres()).await;
}

#[tokio::test]
async fn ctrl_6_a_handler_that_fails_or_panics_at_any_wait_in_redis() {
    each_wait(Opened::redis()).await;
}

#[tokio::test]
async fn ctrl_6_the_second_of_three_fails_in_memory() {
    second_of_three(Opened::in_memory()).await;
}

#[tokio::test]
async fn ctrl_6_the_second_of_three_fails_in_the_embedded_store() {
    second_of_three(Opened::embedded().await).await;
}

#[tokio::test]
async fn ctrl_6_the_second_of_three_fails_in_postgres() {
    second_of_three(Opened::postgres()).await;
}

#[tokio::test]
async fn ctrl_6_the_second_of_three_fails_in_redis() {
    second_of_three(Opened::redis()).await;
}
