//! What a writer does while a call to its volume does not return.

use std::{
    collections::VecDeque,
    fs,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tempfile::TempDir;
use tokio::{
    runtime::{Builder, Runtime},
    task::spawn_blocking,
    time::{sleep, timeout},
};

use super::super::{Durability, FileWriterConfig, FileWriterFactory, begin::UntakenFile, temp};
use crate::{
    error::{AbortReason, WriteError},
    writer::{BoxWriter, UploadFacts, WriterFactory},
};

const MIB: u64 = 1 << 20;

/// A factory whose calls are never slow, in a directory with one file.
struct Ground {
    factory: FileWriterFactory,
    _dir: TempDir,
}

impl Ground {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut config = FileWriterConfig::new(dir.path());
        config.inline_write_max = Duration::from_secs(600);
        let factory = FileWriterFactory::new(config).expect("the directories");
        Self { factory, _dir: dir }
    }

    /// A writer of a large file that has written `bytes`, and reserved as much again from 1 MiB on.
    async fn written(&self, bytes: u64) -> BoxWriter {
        let mut facts = UploadFacts::new("upload", "slot", 64 * MIB);
        facts.resumable = true;
        let mut writer = self.factory.create(&facts).await.expect("creates");
        write(&mut writer, bytes).await;
        writer
    }

    fn path(&self) -> PathBuf {
        let mut names = fs::read_dir(&self.factory.config().temp_dir).expect("lists");
        names.next().expect("one file").expect("lists").path()
    }

    /// How much of the disk the file takes.
    fn taken(&self) -> u64 {
        fs::metadata(self.path()).expect("is there").blocks() * 512
    }

    fn is_locked(&self) -> bool {
        let file = temp::open(&self.path()).expect("opens");
        !temp::try_lock(&file.expect("is there")).expect("tries")
    }
}

async fn write(writer: &mut BoxWriter, bytes: u64) {
    let bytes = usize::try_from(bytes).expect("few");
    let mut chunks = VecDeque::from([Bytes::from(vec![7; bytes])]);
    writer.write_chunks(&mut chunks).await.expect("writes");
}

/// A runtime with one thread for blocking calls.
fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    let builder = builder.enable_time().max_blocking_threads(1);
    builder.build().expect("a runtime")
}

/// Keeps that thread until the sender is dropped.
fn stick() -> mpsc::Sender<()> {
    let (sender, receiver) = mpsc::channel::<()>();
    drop(spawn_blocking(move || receiver.recv()));
    sender
}

/// A volume that hangs would take a thread of the runtime with each writer whose client is quiet.
#[test]
fn no_suspension_begins_next_to_a_call_that_does_not_return() {
    let (ground, runtime) = (Ground::new(), runtime());
    runtime.block_on(async {
        let mut writer = ground.written(4 * MIB).await;
        let shared = Arc::clone(&ground.factory.shared);
        let hangs = shared.pace.inline(Instant::now()).expect("the only call");
        let stuck = stick();
        writer.suspend();
        assert!(ground.taken() > 6 * MIB, "{} are taken", ground.taken());
        assert!(ground.is_locked());
        drop(stuck);
        write(&mut writer, 1).await;
        assert!(ground.is_locked(), "its call waited for that");
        drop(hangs);
        writer.suspend();
        assert!(ground.taken() < 5 * MIB, "{} are taken", ground.taken());
        assert!(!ground.is_locked());
    });
}

/// A volume may be busy for a moment only, and a lock that stays would have another holder copy the file.
#[test]
fn another_thread_suspends_a_file_next_to_other_calls() {
    let (ground, runtime) = (Ground::new(), runtime());
    runtime.block_on(async {
        let mut writer = ground.written(4 * MIB).await;
        let shared = Arc::clone(&ground.factory.shared);
        let busy = shared.pace.inline(Instant::now()).expect("the only call");
        writer.suspend();
        // There is one such thread.
        spawn_blocking(|| ()).await.expect("ends");
        assert!(ground.taken() < 5 * MIB, "{} are taken", ground.taken());
        assert!(!ground.is_locked());
        drop(busy);
    });
}

/// A lock may be asked of a server that does not answer.
#[test]
fn a_suspended_writer_takes_its_lock_on_another_thread() {
    let (ground, runtime) = (Ground::new(), runtime());
    runtime.block_on(async {
        let mut writer = ground.written(5).await;
        writer.suspend();
        let stuck = stick();
        let mut chunks = VecDeque::from([Bytes::from_static(b"hello")]);
        let mut call = writer.write_chunks(&mut chunks);
        let waits = timeout(Duration::ZERO, &mut call).await;
        waits.expect_err("the lock is taken elsewhere");
        drop(stuck);
        assert_eq!(call.await.expect("writes").received, 10);
        assert!(ground.is_locked());
    });
}

#[test]
fn a_file_is_closed_elsewhere_next_to_a_call_that_does_not_return() {
    let (ground, runtime) = (Ground::new(), runtime());
    runtime.block_on(async {
        let writer = ground.written(4 * MIB).await;
        let shared = Arc::clone(&ground.factory.shared);
        let hangs = shared.pace.inline(Instant::now()).expect("the only call");
        let stuck = stick();
        drop(writer);
        assert!(ground.is_locked(), "it was closed here");
        assert!(ground.taken() > 6 * MIB, "{} are taken", ground.taken());
        drop(stuck);
        spawn_blocking(|| ())
            .await
            .expect("runs behind the closing");
        assert!(!ground.is_locked());
        assert!(ground.taken() < 5 * MIB, "{} are taken", ground.taken());
        drop(hangs);
    });
}

/// Thousands of small files end in a second: no other thread has to be woken for each.
#[test]
fn a_small_file_is_closed_at_once() {
    let (ground, runtime) = (Ground::new(), runtime());
    runtime.block_on(async {
        let writer = ground.written(5).await;
        let stuck = stick();
        drop(writer);
        assert!(!ground.is_locked());
        drop(stuck);
    });
}

/// What comes waits in memory until there is a file for it.
#[test]
fn a_file_is_made_without_waiting_for_another_thread() {
    let (ground, runtime) = (Ground::new(), runtime());
    runtime.block_on(async {
        // The first one finds out whether the directory serves.
        drop(ground.written(1).await);
        let stuck = stick();
        let made = timeout(Duration::from_secs(20), ground.written(1)).await;
        assert!(made.is_ok(), "it waits for a thread");
        drop((made, stuck));
    });
}

/// It would take a thread of the runtime with it, where the volume hangs.
#[test]
fn no_file_is_made_inline_next_to_a_call_that_does_not_return() {
    let (ground, runtime) = (Ground::new(), runtime());
    runtime.block_on(async {
        drop(ground.written(1).await);
        let shared = Arc::clone(&ground.factory.shared);
        let hangs = shared.pace.inline(Instant::now()).expect("the only call");
        let stuck = stick();
        let facts = UploadFacts::new("upload", "slot", MIB);
        let mut making = Box::pin(ground.factory.create(&facts));
        let made = timeout(Duration::from_millis(200), &mut making).await;
        assert!(made.is_err(), "it is for another thread");
        drop((stuck, hangs));
        drop(making.await.expect("is made"));
    });
}

type Making<'a> = Pin<Box<dyn Future<Output = Result<BoxWriter, WriteError>> + Send + 'a>>;

/// A file that its own task has made, and that waits for the sync of its directory.
struct MadeInline<'a> {
    making: Making<'a>,
    /// How many files there were before.
    before: usize,
    /// Keeps the thread for blocking calls.
    stuck: mpsc::Sender<()>,
    _first: BoxWriter,
}

impl<'a> MadeInline<'a> {
    async fn of(factory: &'a FileWriterFactory, facts: &'a UploadFacts) -> Self {
        let first = factory.create(facts).await.expect("creates");
        let stuck = stick();
        for _ in 0..10 {
            let before = files(factory);
            let mut making: Making<'a> = factory.create(facts);
            let made = timeout(Duration::from_millis(200), &mut making).await;
            if made.is_err() && files(factory) == before + 1 {
                return Self {
                    making,
                    before,
                    stuck,
                    _first: first,
                };
            }
            // A sync was on its way, or the machine paused and files are made elsewhere for a second.
            sleep(Duration::from_millis(1100)).await;
        }
        panic!("no file is made by its own task");
    }
}

fn resumable() -> UploadFacts {
    let mut facts = UploadFacts::new("upload", "slot", MIB);
    facts.resumable = true;
    facts
}

/// A factory that syncs the names of new files, and whose calls are never slow.
fn on_disk() -> (TempDir, FileWriterFactory) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = FileWriterConfig::new(dir.path());
    config.durability = Durability::Disk;
    config.inline_write_max = Duration::from_secs(600);
    let factory = FileWriterFactory::new(config).expect("the directories");
    (dir, factory)
}

/// How many files are written at present.
fn files(factory: &FileWriterFactory) -> usize {
    let names = fs::read_dir(&factory.config().temp_dir);
    names.expect("lists").count()
}

/// Waits for another thread, until so many are left.
async fn until(factory: &FileWriterFactory, left: usize) {
    let gone = async {
        while files(factory) != left {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let gone = timeout(Duration::from_secs(20), gone).await;
    gone.expect("another thread removes it");
}

/// No one would come for it.
#[test]
fn a_file_that_was_made_inline_goes_with_its_future() {
    let ((_dir, factory), facts) = (on_disk(), resumable());
    runtime().block_on(async {
        let made = MadeInline::of(&factory, &facts).await;
        drop(made.making);
        assert_eq!(files(&factory), made.before);
        drop(made.stuck);
    });
}

/// A client may leave just when the volume hangs.
#[test]
fn a_new_file_is_removed_elsewhere_next_to_a_call_that_does_not_return() {
    let ((_dir, factory), facts) = (on_disk(), resumable());
    let shared = Arc::clone(&factory.shared);
    runtime().block_on(async {
        let made = MadeInline::of(&factory, &facts).await;
        let hangs = shared.pace.inline(Instant::now()).expect("the only call");
        drop(made.making);
        let left = files(&factory);
        assert_eq!(left, made.before + 1, "it was removed here");
        drop(made.stuck);
        until(&factory, made.before).await;
        drop(hangs);
    });
}

/// The directory is another thread's until its call returns.
#[test]
fn a_new_file_is_removed_elsewhere_while_another_one_is_made() {
    let ((_dir, factory), facts) = (on_disk(), resumable());
    let shared = Arc::clone(&factory.shared);
    runtime().block_on(async {
        let made = MadeInline::of(&factory, &facts).await;
        let making_another = shared.naming();
        drop(made.making);
        let left = files(&factory);
        drop(making_another);
        assert_eq!(left, made.before + 1, "it was removed here");
        drop(made.stuck);
        until(&factory, made.before).await;
    });
}

/// Closing a file may wait as well as removing it.
#[test]
fn an_abort_whose_future_is_dropped_ends_elsewhere() {
    let (ground, runtime) = (Ground::new(), runtime());
    runtime.block_on(async {
        let writer = ground.written(4 * MIB).await;
        let openings = Arc::clone(&ground.factory.shared.openings);
        let all = u32::try_from(openings.available_permits()).expect("few");
        let taken = openings.acquire_many_owned(all).await.expect("permits");
        let mut abort = writer.abort(&AbortReason::Cancelled);
        let waits = timeout(Duration::ZERO, &mut abort).await;
        waits.expect_err("others are at the directory");
        drop(abort);
        assert!(ground.is_locked(), "it was closed here");
        drop(taken);
        until(&ground.factory, 0).await;
    });
}

/// A resume may be dropped when its file is open already.
#[test]
fn a_file_that_was_reopened_is_closed_elsewhere_next_to_a_call_that_does_not_return() {
    let (ground, runtime) = (Ground::new(), runtime());
    runtime.block_on(async {
        drop(ground.written(4).await);
        let shared = Arc::clone(&ground.factory.shared);
        let file = temp::open(&ground.path()).expect("opens");
        let file = file.expect("is there");
        assert!(temp::try_lock(&file).expect("tries"), "it was let go");
        let found = UntakenFile::found(&shared, file);
        let hangs = shared.pace.inline(Instant::now()).expect("the only call");
        let stuck = stick();
        drop(found);
        assert!(ground.is_locked(), "it was closed here");
        drop(stuck);
        spawn_blocking(|| ())
            .await
            .expect("runs behind the closing");
        assert!(!ground.is_locked());
        assert_eq!(files(&ground.factory), 1, "it was there before");
        drop(hangs);
    });
}
