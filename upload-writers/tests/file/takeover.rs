//! RESUME-3, RESUME-4: going on where somebody else still holds, or has left, a file.

use std::{collections::VecDeque, fs, os::unix::fs::MetadataExt, path::Path, time::Duration};

use upload_writers::{AbortReason, Reopened, WriteErrorKind, WriterFactory};

use super::{Place, facts, write};

fn inode(path: &Path) -> u64 {
    fs::metadata(path).expect("is there").ino()
}

#[tokio::test]
async fn a_released_file_is_continued_in_place() {
    let place = Place::new(|_| {});
    let mut facts = facts(6, true);
    let mut writer = place.opened(&facts).await;
    write(&mut writer, "abcX").await;
    let (name, checkpoint) = (place.temp(), writer.checkpoint());
    let checkpoint = checkpoint.expect("can be reopened");
    drop(writer);
    let same = inode(&name);
    let mut writer = place.reopened(&mut facts, &checkpoint, 3).await;
    let name = place.temp();
    assert_eq!(inode(&name), same, "nothing was copied");
    assert!(name.to_string_lossy().ends_with(".2.resumable.part"));
    assert_eq!(fs::read(&name).expect("reads"), b"abc", "the tail is gone");
    assert_ne!(writer.checkpoint(), Some(checkpoint), "the name is new");
    write(&mut writer, "def").await;
    let result = writer.close().await.expect("closes");
    assert_eq!(place.read(&result), b"abcdef");
}

#[tokio::test]
async fn a_held_file_is_waited_for() {
    let place = Place::new(|config| config.lock_wait = Duration::from_secs(600));
    let mut facts = facts(6, true);
    let mut old = place.opened(&facts).await;
    write(&mut old, "abc").await;
    let (same, checkpoint) = (inode(&place.temp()), old.checkpoint());
    let checkpoint = checkpoint.expect("can be reopened");
    let factory = place.factory.clone();
    facts.epoch += 1;
    let again = facts.clone();
    let task = tokio::spawn(async move { factory.reopen(&again, &checkpoint, 3).await });
    tokio::task::yield_now().await;
    drop(old);
    let reopened = task.await.expect("ends").expect("reopens");
    assert!(matches!(reopened, Reopened::Open(_)), "{reopened:?}");
    assert_eq!(inode(&place.temp()), same, "nothing was copied");
}

/// RESUME-3: a parked writer keeps nobody away, and goes on where nobody came.
#[tokio::test]
async fn a_resting_writer_goes_on() {
    let place = Place::new(|_| {});
    let facts = facts(6, true);
    let mut writer = place.opened(&facts).await;
    write(&mut writer, "abc").await;
    writer.suspend();
    write(&mut writer, "def").await;
    writer.suspend();
    let result = writer.close().await.expect("closes");
    assert_eq!(place.read(&result), b"abcdef");
}

/// RESUME-3, RESUME-4: what rests is continued in place by another, and then
/// neither writes, publishes nor removes anything.
#[tokio::test]
async fn a_resting_file_is_taken_at_once() {
    let place = Place::new(|config| config.lock_wait = Duration::from_secs(600));
    let mut facts = facts(6, true);
    let mut parked = Vec::new();
    for _ in 0..3 {
        let mut writer = place.opened(&facts).await;
        write(&mut writer, "abcX").await;
        let checkpoint = writer.checkpoint().expect("can be reopened");
        let same = inode(&place.temp());
        writer.suspend();
        let mut new = place.reopened(&mut facts, &checkpoint, 3).await;
        assert_eq!(inode(&place.temp()), same, "nothing was copied");
        write(&mut new, "def").await;
        let result = new.close().await.expect("closes");
        parked.push((writer, result));
    }
    for (turn, (mut old, result)) in parked.into_iter().enumerate() {
        match turn {
            0 => {
                let mut chunks = VecDeque::from(["Y".into()]);
                let error = old.write_chunks(&mut chunks).await;
                let error = error.expect_err("is not its own");
                assert!(error.is_temporary(), "the upload continues elsewhere");
            }
            1 => drop(old.close().await.expect_err("is not its own")),
            _ => old.abort(&AbortReason::Cancelled).await,
        }
        assert_eq!(place.read(&result), b"abcdef");
    }
    assert_eq!(place.names("docs").len(), 3);
}

#[tokio::test]
async fn a_file_that_stays_held_is_copied() {
    let place = Place::new(|_| {});
    let mut facts = facts(6, true);
    let mut old = place.opened(&facts).await;
    write(&mut old, "abcX").await;
    let first = old.checkpoint().expect("can be reopened");
    let mut new = place.reopened(&mut facts, &first, 3).await;
    let second = new.checkpoint().expect("can be reopened");
    assert_ne!(first, second);
    let name = place.temp();
    assert!(name.to_string_lossy().ends_with(".2.resumable.part"));

    write(&mut old, "Y").await;
    assert_eq!(fs::read(&name).expect("reads"), b"abc");
    old.close().await.expect_err("its name was taken away");
    old.abort(&AbortReason::Cancelled).await;
    write(&mut new, "def").await;
    let result = new.close().await.expect("closes");
    assert_eq!(place.read(&result), b"abcdef");
    assert_eq!(place.names(".tmp"), [""; 0]);
    assert_eq!(place.names("docs").len(), 1);
}

/// RESUME-2: of several that take over at once, none finds the bytes gone, and the latest has them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn takeovers_at_once_lose_nothing() {
    let place = Place::new(|config| config.lock_wait = Duration::ZERO);
    let mut facts = facts(6, true);
    for _ in 0..40 {
        let mut old = place.opened(&facts).await;
        write(&mut old, "abc").await;
        let checkpoint = old.checkpoint().expect("can be reopened");
        let mut reopen = || {
            facts.epoch += 1;
            let (factory, facts) = (place.factory.clone(), facts.clone());
            let checkpoint = checkpoint.clone();
            tokio::spawn(async move { factory.reopen(&facts, &checkpoint, 3).await })
        };
        let (one, other) = (reopen(), reopen());
        let (earlier, later) = (one.await.expect("ends"), other.await.expect("ends"));
        match earlier {
            Ok(Reopened::Open(_)) => {}
            Err(error) if error.kind == WriteErrorKind::Throttled => {}
            other => panic!("reopened as {other:?}"),
        }
        assert!(matches!(later, Ok(Reopened::Open(_))), "{later:?}");
        old.abort(&AbortReason::Cancelled).await;
    }
}

/// RESUME-2: a process that dies after taking over and before recording it loses nothing.
#[tokio::test]
async fn an_unrecorded_takeover_is_found() {
    let place = Place::new(|_| {});
    let mut facts = facts(6, true);
    let mut old = place.opened(&facts).await;
    write(&mut old, "abc").await;
    let recorded = old.checkpoint().expect("can be reopened");
    drop(place.reopened(&mut facts, &recorded, 3).await);
    drop(old);
    let mut writer = place.reopened(&mut facts, &recorded, 3).await;
    write(&mut writer, "def").await;
    let result = writer.close().await.expect("closes");
    assert_eq!(place.read(&result), b"abcdef");
}

/// A copy that was never finished is neither continued nor in the way.
#[tokio::test]
async fn an_unfinished_copy_is_passed_over() {
    let place = Place::new(|_| {});
    let mut facts = facts(6, true);
    let mut old = place.opened(&facts).await;
    write(&mut old, "abc").await;
    let recorded = old.checkpoint().expect("can be reopened");
    let stale = place.temp().to_string_lossy().replace(".1.", ".2.");
    fs::write(&stale, "a").expect("writes");
    facts.epoch += 1;
    drop(place.reopened(&mut facts, &recorded, 3).await);
    let mut writer = place.reopened(&mut facts, &recorded, 3).await;
    write(&mut writer, "def").await;
    let result = writer.close().await.expect("closes");
    assert_eq!(place.read(&result), b"abcdef");
}

/// COMPLETE-4: an old holder that finishes first wins; there is one file, and its result is told.
#[tokio::test]
async fn a_close_before_the_takeover_is_the_ending() {
    let place = Place::new(|_| {});
    let mut facts = facts(3, true);
    let mut old = place.opened(&facts).await;
    write(&mut old, "abc").await;
    let checkpoint = old.checkpoint().expect("can be reopened");
    let result = old.close().await.expect("closes");
    match place.reopen(&mut facts, &checkpoint, 3).await {
        Reopened::Closed { result: told } => assert_eq!(told, result),
        other => panic!("reopened as {other:?}"),
    }
    let path = result["path"].as_str().expect("has a path");
    fs::write(place.dir.path().join(path), "ab").expect("writes");
    let reopened = place.reopen(&mut facts, &checkpoint, 3).await;
    assert!(matches!(reopened, Reopened::Gone), "not the declared size");
}

/// The loss of power may take bytes that only the process was promised.
#[tokio::test]
async fn a_file_that_lost_its_end_is_gone() {
    let place = Place::new(|_| {});
    let mut facts = facts(6, true);
    let mut writer = place.opened(&facts).await;
    write(&mut writer, "abc").await;
    let checkpoint = writer.checkpoint().expect("can be reopened");
    drop(writer);
    fs::write(place.temp(), "ab").expect("writes");
    let reopened = place.reopen(&mut facts, &checkpoint, 3).await;
    assert!(matches!(reopened, Reopened::Gone), "{reopened:?}");
}

/// RESUME-4: a holder whose reopen comes late takes nothing from the one that came after it, and
/// what that one was told to be durable stays.
#[tokio::test(start_paused = true)]
async fn a_late_reopen_takes_nothing_from_a_later_holder() {
    let place = Place::new(|config| config.lock_wait = Duration::from_secs(1));
    let facts = |epoch| {
        let mut facts = facts(9, true);
        facts.epoch = epoch;
        facts
    };
    let mut first = place.opened(&facts(1)).await;
    write(&mut first, "abc").await;
    let recorded = first.checkpoint().expect("can be reopened");

    // The second finds the file held, and waits.
    let (factory, checkpoint) = (place.factory.clone(), recorded.clone());
    let second = tokio::spawn(async move { factory.reopen(&facts(2), &checkpoint, 3).await });
    tokio::time::sleep(Duration::from_millis(120)).await;
    assert!(!second.is_finished(), "it waits");

    // Meanwhile the third finds it free. The clock stands while it works, so the second sleeps.
    drop(first);
    let mut third = place.reopened(&mut facts(2), &recorded, 3).await;
    write(&mut third, "def").await;
    let recorded = third.checkpoint().expect("can be reopened");

    let late = second.await.expect("ends");
    let late = late.expect_err("a later holder has the file");
    assert_eq!(late.kind, WriteErrorKind::Throttled);

    // The third dies with six bytes announced.
    drop(third);
    let mut fourth = place.reopened(&mut facts(3), &recorded, 6).await;
    write(&mut fourth, "ghi").await;
    let result = fourth.close().await.expect("closes");
    assert_eq!(place.read(&result), b"abcdefghi");
    assert_eq!(place.names(".tmp"), [""; 0]);
}

/// RESUME-4: the same where the late one begins when the later holder is long at work.
#[tokio::test]
async fn a_lower_epoch_finds_a_later_holder() {
    let place = Place::new(|_| {});
    let mut facts = facts(6, true);
    let mut first = place.opened(&facts).await;
    write(&mut first, "abc").await;
    let recorded = first.checkpoint().expect("can be reopened");
    drop(first);
    let late = facts.clone();
    facts.epoch = 5;
    let mut later = place.reopened(&mut facts, &recorded, 3).await;
    let newer = later.checkpoint().expect("can be reopened");
    for checkpoint in [&recorded, &newer] {
        let mut late = late.clone();
        late.epoch = 2;
        let error = place.factory.reopen(&late, checkpoint, 3).await;
        let error = error.expect_err("a later holder has the file");
        assert_eq!(error.kind, WriteErrorKind::Throttled);
    }
    write(&mut later, "def").await;
    let result = later.close().await.expect("closes");
    assert_eq!(place.read(&result), b"abcdef");
}

/// RESUME-4: a writer that was overtaken removes nothing of the file that continues.
#[tokio::test]
async fn a_stale_abort_leaves_the_later_file() {
    let place = Place::new(|_| {});
    for rests in [true, false] {
        let mut facts = facts(6, true);
        let mut old = place.opened(&facts).await;
        write(&mut old, "abc").await;
        let recorded = old.checkpoint().expect("can be reopened");
        if rests {
            old.suspend();
        }
        let mut new = place.reopened(&mut facts, &recorded, 3).await;
        old.abort(&AbortReason::Cancelled).await;
        write(&mut new, "def").await;
        let result = new.close().await.expect("closes");
        assert_eq!(place.read(&result), b"abcdef");
    }
}

/// RESUME-4: nor does it take the bytes from a later holder that waits for them.
#[tokio::test(start_paused = true)]
async fn a_stale_abort_leaves_what_is_waited_for() {
    let place = Place::new(|config| config.lock_wait = Duration::from_secs(1));
    let mut facts = facts(6, true);
    let mut old = place.opened(&facts).await;
    write(&mut old, "abcX").await;
    let recorded = old.checkpoint().expect("can be reopened");
    facts.epoch += 1;
    let factory = place.factory.clone();
    let new = tokio::spawn(async move { factory.reopen(&facts, &recorded, 3).await });
    tokio::time::sleep(Duration::from_millis(120)).await;
    assert!(!new.is_finished(), "it waits");
    old.abort(&AbortReason::Cancelled).await;
    let Ok(Reopened::Open(mut new)) = new.await.expect("ends") else {
        panic!("the bytes are gone");
    };
    write(&mut new, "def").await;
    let result = new.close().await.expect("closes");
    assert_eq!(place.read(&result), b"abcdef");
    assert_eq!(place.names(".tmp"), [""; 0]);
}

/// RESUME-2: a reopen whose answer was lost is found again, also by many later holders and in the
/// same epoch.
#[tokio::test]
async fn a_reopen_nobody_recorded_is_found() {
    let place = Place::new(|_| {});
    let mut facts = facts(6, true);
    let mut writer = place.opened(&facts).await;
    write(&mut writer, "abc").await;
    let recorded = writer.checkpoint().expect("can be reopened");
    drop(writer);
    for epoch in [2, 2, 60, 100, 101] {
        facts.epoch = epoch - 1;
        drop(place.reopened(&mut facts, &recorded, 3).await);
    }
    let mut writer = place.reopened(&mut facts, &recorded, 3).await;
    write(&mut writer, "def").await;
    let result = writer.close().await.expect("closes");
    assert_eq!(place.read(&result), b"abcdef");
}

/// COMPLETE-4: where a close needs two names for a moment and dies between, the file is published,
/// and nobody cuts it.
#[tokio::test]
async fn a_file_with_both_names_is_published() {
    let place = Place::new(|_| {});
    let mut facts = facts(6, true);
    let mut writer = place.opened(&facts).await;
    write(&mut writer, "abcdef").await;
    let recorded = writer.checkpoint().expect("can be reopened");
    drop(writer);
    let published = recorded.0["final"].as_str().expect("has a place");
    let published = place.dir.path().join(published);
    fs::hard_link(place.temp(), &published).expect("links");
    let reopened = place.reopen(&mut facts, &recorded, 3).await;
    assert!(matches!(reopened, Reopened::Closed { .. }), "{reopened:?}");
    assert_eq!(fs::read(published).expect("reads"), b"abcdef");
    assert_eq!(place.names(".tmp"), [""; 0]);
}
