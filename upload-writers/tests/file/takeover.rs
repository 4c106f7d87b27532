//! RESUME-3, RESUME-4: going on where somebody else still holds, or has left, a file.

use std::{collections::VecDeque, fs, time::Duration};

use upload_writers::{AbortReason, Reopened, WriterFactory};

use super::{Place, facts, write};

#[tokio::test]
async fn a_released_file_is_continued_in_place() {
    let place = Place::new(|_| {});
    let facts = facts(6, true);
    let mut writer = place.opened(&facts).await;
    write(&mut writer, "abcX").await;
    let (name, checkpoint) = (place.temp(), writer.checkpoint());
    let checkpoint = checkpoint.expect("can be reopened");
    drop(writer);
    let mut writer = place.reopened(&facts, &checkpoint, 3).await;
    assert_eq!(place.temp(), name);
    assert_eq!(fs::read(&name).expect("reads"), b"abc", "the tail is gone");
    assert_eq!(writer.checkpoint(), Some(checkpoint));
    write(&mut writer, "def").await;
    let result = writer.close().await.expect("closes");
    assert_eq!(place.read(&result), b"abcdef");
}

#[tokio::test]
async fn a_held_file_is_waited_for() {
    let place = Place::new(|config| config.lock_wait = Duration::from_secs(600));
    let facts = facts(6, true);
    let mut old = place.opened(&facts).await;
    write(&mut old, "abc").await;
    let (name, checkpoint) = (place.temp(), old.checkpoint());
    let checkpoint = checkpoint.expect("can be reopened");
    let factory = place.factory.clone();
    let again = facts.clone();
    let task = tokio::spawn(async move { factory.reopen(&again, &checkpoint, 3).await });
    tokio::task::yield_now().await;
    drop(old);
    let reopened = task.await.expect("ends").expect("reopens");
    assert!(matches!(reopened, Reopened::Open(_)), "{reopened:?}");
    assert_eq!(place.temp(), name, "nothing was copied");
}

/// RESUME-3: a parked writer keeps nobody away, and goes on where nobody came.
#[tokio::test]
async fn a_resting_writer_goes_on() {
    let place = Place::new(|_| {});
    let facts = facts(6, true);
    let mut writer = place.opened(&facts).await;
    write(&mut writer, "abc").await;
    writer.rest();
    write(&mut writer, "def").await;
    writer.rest();
    let result = writer.close().await.expect("closes");
    assert_eq!(place.read(&result), b"abcdef");
}

/// RESUME-3, RESUME-4: what rests is continued in place by another, and then
/// neither writes, publishes nor removes anything.
#[tokio::test]
async fn a_resting_file_is_taken_at_once() {
    let place = Place::new(|config| config.lock_wait = Duration::from_secs(600));
    let facts = facts(6, true);
    let mut parked = Vec::new();
    for _ in 0..3 {
        let mut writer = place.opened(&facts).await;
        write(&mut writer, "abcX").await;
        let checkpoint = writer.checkpoint().expect("can be reopened");
        let name = place.temp();
        writer.rest();
        let mut new = place.reopened(&facts, &checkpoint, 3).await;
        assert_eq!(place.temp(), name, "nothing was copied");
        write(&mut new, "def").await;
        let result = new.close().await.expect("closes");
        parked.push((writer, result));
    }
    for (turn, (mut old, result)) in parked.into_iter().enumerate() {
        match turn {
            0 => {
                let mut chunks = VecDeque::from(["Y".into()]);
                old.write_chunks(&mut chunks)
                    .await
                    .expect_err("is not its own");
            }
            1 => drop(old.close().await.expect_err("is not its own")),
            _ => old.abort(&AbortReason::Superseded).await,
        }
        assert_eq!(place.read(&result), b"abcdef");
    }
    assert_eq!(place.names("docs").len(), 3);
}

#[tokio::test]
async fn a_file_that_stays_held_is_copied() {
    let place = Place::new(|_| {});
    let facts = facts(6, true);
    let mut old = place.opened(&facts).await;
    write(&mut old, "abcX").await;
    let first = old.checkpoint().expect("can be reopened");
    let mut new = place.reopened(&facts, &first, 3).await;
    let second = new.checkpoint().expect("can be reopened");
    assert_ne!(first, second);
    let name = place.temp();
    assert!(name.to_string_lossy().ends_with(".1.resumable.part"));

    write(&mut old, "Y").await;
    assert_eq!(fs::read(&name).expect("reads"), b"abc");
    old.close().await.expect_err("its name was taken away");
    old.abort(&AbortReason::Superseded).await;
    write(&mut new, "def").await;
    let result = new.close().await.expect("closes");
    assert_eq!(place.read(&result), b"abcdef");
    assert_eq!(place.names(".tmp"), [""; 0]);
    assert_eq!(place.names("docs").len(), 1);
}

/// RESUME-2: of several that take over at once, none finds the bytes gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn takeovers_at_once_lose_nothing() {
    let place = Place::new(|config| config.lock_wait = Duration::ZERO);
    let facts = facts(6, true);
    for _ in 0..40 {
        let mut old = place.opened(&facts).await;
        write(&mut old, "abc").await;
        let checkpoint = old.checkpoint().expect("can be reopened");
        let reopen = || {
            let (factory, facts) = (place.factory.clone(), facts.clone());
            let checkpoint = checkpoint.clone();
            tokio::spawn(async move { factory.reopen(&facts, &checkpoint, 3).await })
        };
        let (one, other) = (reopen(), reopen());
        for reopened in [one.await, other.await] {
            let reopened = reopened.expect("ends").expect("reopens");
            assert!(matches!(reopened, Reopened::Open(_)), "{reopened:?}");
        }
        old.abort(&AbortReason::Cancelled).await;
    }
}

/// RESUME-2: a process that dies after taking over and before recording it loses nothing.
#[tokio::test]
async fn an_unrecorded_takeover_is_found() {
    let place = Place::new(|_| {});
    let facts = facts(6, true);
    let mut old = place.opened(&facts).await;
    write(&mut old, "abc").await;
    let recorded = old.checkpoint().expect("can be reopened");
    drop(place.reopened(&facts, &recorded, 3).await);
    drop(old);
    let mut writer = place.reopened(&facts, &recorded, 3).await;
    write(&mut writer, "def").await;
    let result = writer.close().await.expect("closes");
    assert_eq!(place.read(&result), b"abcdef");
}

/// A copy that was never finished is neither continued nor in the way.
#[tokio::test]
async fn an_unfinished_copy_is_passed_over() {
    let place = Place::new(|_| {});
    let facts = facts(6, true);
    let mut old = place.opened(&facts).await;
    write(&mut old, "abc").await;
    let recorded = old.checkpoint().expect("can be reopened");
    let stale = place.temp().to_string_lossy().replace(".0.", ".1.");
    fs::write(&stale, "a").expect("writes");
    drop(place.reopened(&facts, &recorded, 3).await);
    assert_eq!(place.names(".tmp").len(), 2, "the copy and the stale one");
    let mut writer = place.reopened(&facts, &recorded, 3).await;
    write(&mut writer, "def").await;
    let result = writer.close().await.expect("closes");
    assert_eq!(place.read(&result), b"abcdef");
}

/// COMPLETE-4: an old holder that finishes first wins; there is one file, and its result is told.
#[tokio::test]
async fn a_close_before_the_takeover_is_the_ending() {
    let place = Place::new(|_| {});
    let facts = facts(3, true);
    let mut old = place.opened(&facts).await;
    write(&mut old, "abc").await;
    let checkpoint = old.checkpoint().expect("can be reopened");
    let result = old.close().await.expect("closes");
    match place.reopen(&facts, &checkpoint, 3).await {
        Reopened::Closed { result: told } => assert_eq!(told, result),
        other => panic!("reopened as {other:?}"),
    }
    let path = result["path"].as_str().expect("has a path");
    fs::write(place.dir.path().join(path), "ab").expect("writes");
    let reopened = place.reopen(&facts, &checkpoint, 3).await;
    assert!(matches!(reopened, Reopened::Gone), "not the declared size");
}

/// The loss of power may take bytes that only the process was promised.
#[tokio::test]
async fn a_file_that_lost_its_end_is_gone() {
    let place = Place::new(|_| {});
    let facts = facts(6, true);
    let mut writer = place.opened(&facts).await;
    write(&mut writer, "abc").await;
    let checkpoint = writer.checkpoint().expect("can be reopened");
    drop(writer);
    fs::write(place.temp(), "ab").expect("writes");
    let reopened = place.reopen(&facts, &checkpoint, 3).await;
    assert!(matches!(reopened, Reopened::Gone), "{reopened:?}");
}
