//! RESUME-8: what nobody holds any more goes; everything else stays.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    time::{Duration, SystemTime},
};

use upload_writers::{NamedUploads, Orphan, SweepPolicy, WriterFactory};

use super::{Place, facts, write};

const HOUR: Duration = Duration::from_secs(3_600);

fn policy(dry_run: bool) -> SweepPolicy {
    SweepPolicy {
        resumable_older_than: HOUR,
        others_older_than: Duration::ZERO,
        named: NamedUploads::default(),
        dry_run,
    }
}

async fn sweep(place: &Place, dry_run: bool) -> Vec<Orphan> {
    let orphans = place.factory.sweep(&policy(dry_run)).await;
    orphans.expect("the directory can be listed")
}

fn age(place: &Place, by: Duration) {
    let file = File::options().write(true).open(place.temp());
    let then = SystemTime::now() - by;
    let file = file.expect("opens");
    file.set_modified(then).expect("sets the time");
}

#[tokio::test]
async fn an_upload_that_cannot_be_resumed_is_stray_at_once() {
    let place = Place::new(|_| {});
    let mut writer = place.opened(&facts(5, false)).await;
    write(&mut writer, "hello").await;
    assert_eq!(sweep(&place, false).await, [], "it is held");
    drop(writer);
    let listed = sweep(&place, true).await;
    assert_eq!(place.names(".tmp").len(), 1, "only told");
    let swept = sweep(&place, false).await;
    assert_eq!(place.names(".tmp"), [""; 0]);
    for orphans in [listed, swept] {
        assert_eq!(orphans.len(), 1);
        assert_eq!((orphans[0].bytes, orphans[0].resumable), (5, false));
        assert!(orphans[0].what.ends_with(".once.part"));
    }
    assert_eq!(sweep(&place, false).await, []);
}

#[tokio::test]
async fn a_resumable_upload_is_stray_when_it_rested_long_enough() {
    let place = Place::new(|_| {});
    let mut facts = facts(5, true);
    let mut writer = place.opened(&facts).await;
    write(&mut writer, "hello").await;
    age(&place, 2 * HOUR);
    assert_eq!(sweep(&place, false).await, [], "it is held");
    let checkpoint = writer.checkpoint().expect("can be reopened");
    drop(writer);
    age(&place, HOUR / 2);
    assert_eq!(sweep(&place, false).await, [], "it may come back");
    age(&place, 2 * HOUR);
    drop(place.reopened(&mut facts, &checkpoint, 5).await);
    assert_eq!(sweep(&place, false).await, [], "it rests from now on");
    age(&place, 2 * HOUR);
    let orphans = sweep(&place, false).await;
    assert_eq!(orphans.len(), 1);
    assert!(orphans[0].resumable && orphans[0].age >= HOUR);
    assert_eq!(place.names(".tmp"), [""; 0]);
}

/// Its record was renewed when it was resumed, whether or not a byte came then.
#[tokio::test]
async fn a_writer_that_is_parked_again_is_young() {
    let place = Place::new(|_| {});
    let mut writer = place.opened(&facts(5, true)).await;
    write(&mut writer, "hello").await;
    for _ in 0..2 {
        age(&place, 2 * HOUR);
        writer.suspend();
        assert_eq!(sweep(&place, false).await, [], "it may come back");
    }
    let result = writer.close().await.expect("its file is there");
    assert_eq!(place.read(&result), b"hello");
}

/// A file that another holder has resumed is not made young by the one before.
#[tokio::test]
async fn a_writer_that_was_replaced_keeps_no_file_from_a_sweep() {
    let place = Place::new(|_| {});
    let mut facts = facts(5, true);
    let mut old = place.opened(&facts).await;
    write(&mut old, "hel").await;
    let checkpoint = old.checkpoint().expect("can be reopened");
    old.suspend();
    drop(place.reopened(&mut facts, &checkpoint, 3).await);
    age(&place, 2 * HOUR);
    old.suspend();
    assert_eq!(sweep(&place, false).await.len(), 1);
}

#[tokio::test]
async fn foreign_and_finished_files_stay() {
    let place = Place::new(|_| {});
    let mut writer = place.opened(&facts(5, false)).await;
    write(&mut writer, "hello").await;
    let result = writer.close().await.expect("closes");
    let temp_dir = place.dir.path().join(".tmp");
    fs::write(temp_dir.join("notes.part"), "x").expect("writes");
    let name = "ffffffff-ffff-4fff-8fff-ffffffffffff.0.once.part";
    let target = place.dir.path().join("target");
    fs::write(&target, "x").expect("writes");
    symlink(&target, temp_dir.join(name)).expect("links");
    fs::create_dir(temp_dir.join(name.replace(".0.", ".1."))).expect("makes");
    assert_eq!(sweep(&place, false).await, []);
    assert_eq!(place.read(&result), b"hello");
    assert_eq!(fs::read(target).expect("reads"), b"x");
    assert_eq!(place.names(".tmp").len(), 3);
}

/// A clock that was set back makes files young, not old.
#[tokio::test]
async fn files_from_the_future_have_rested_for_no_time() {
    let place = Place::new(|_| {});
    drop(place.opened(&facts(5, true)).await);
    let file = File::options()
        .write(true)
        .open(place.temp())
        .expect("opens");
    file.set_modified(SystemTime::now() + 2 * HOUR)
        .expect("sets the time");
    assert_eq!(sweep(&place, false).await, []);
}
