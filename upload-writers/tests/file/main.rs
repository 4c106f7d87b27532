//! The file writer where the general suite cannot look: names on disk, takeovers, sweeps.

mod crash;
mod setup;
mod sweep;
mod takeover;

use std::{
    collections::VecDeque,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    sync::mpsc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::timeout;
use upload_writers::{
    AbortReason, BoxWriter, Checkpoint, Durability, FileWriterConfig, FileWriterFactory, Reopened,
    UploadFacts, WriteErrorKind, WriterFactory, Written,
};

/// A factory over a directory of its own.
struct Place {
    dir: TempDir,
    factory: FileWriterFactory,
}

impl Place {
    fn new(change: impl FnOnce(&mut FileWriterConfig)) -> Self {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut config = FileWriterConfig::new(dir.path());
        config.lock_wait = Duration::ZERO;
        // A machine that is loaded is no disk that is slow, which would keep locks and what is reserved.
        config.inline_write_max = Duration::from_secs(60);
        change(&mut config);
        let factory = FileWriterFactory::new(config).expect("sets up");
        Self { dir, factory }
    }

    /// What lies in a directory, in order.
    fn names(&self, dir: &str) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path().join(dir)).expect("lists");
        let name = |entry: Result<fs::DirEntry, _>| entry.expect("lists").file_name();
        let mut names: Vec<String> = entries
            .map(|entry| name(entry).into_string().expect("names are text"))
            .collect();
        names.sort();
        names
    }

    /// The one file under way.
    fn temp(&self) -> std::path::PathBuf {
        let names = self.names(".tmp");
        assert_eq!(names.len(), 1, "{names:?}");
        self.dir.path().join(".tmp").join(&names[0])
    }

    fn read(&self, result: &Value) -> Vec<u8> {
        let path = result["path"].as_str().expect("has a path");
        fs::read(self.dir.path().join(path)).expect("reads")
    }

    async fn opened(&self, facts: &UploadFacts) -> BoxWriter {
        self.factory.create(facts).await.expect("creates")
    }

    /// Reopens as the next holder, in the epoch after the last one's.
    async fn reopen(
        &self,
        facts: &mut UploadFacts,
        checkpoint: &Checkpoint,
        offset: u64,
    ) -> Reopened {
        facts.epoch += 1;
        let reopened = self.factory.reopen(facts, checkpoint, offset).await;
        reopened.expect("reopening works")
    }

    async fn reopened(
        &self,
        facts: &mut UploadFacts,
        checkpoint: &Checkpoint,
        offset: u64,
    ) -> BoxWriter {
        match self.reopen(facts, checkpoint, offset).await {
            Reopened::Open(writer) => writer,
            other => panic!("reopened as {other:?}"),
        }
    }
}

fn facts(client_size: u64, resumable: bool) -> UploadFacts {
    let upload = "00000000-0000-4000-8000-000000000001";
    let mut facts = UploadFacts::new(upload, "docs", client_size);
    facts.client_name = "../a.txt".to_owned();
    facts.safe_client_name = "a.txt".to_owned();
    facts.resumable = resumable;
    facts
}

fn chunks(text: &'static str) -> VecDeque<Bytes> {
    VecDeque::from([Bytes::from_static(text.as_bytes())])
}

async fn write(writer: &mut BoxWriter, text: &'static str) -> Written {
    writer
        .write_chunks(&mut chunks(text))
        .await
        .expect("writes")
}

/// COMPLETE-3: a file appears under its name only when it is whole.
#[tokio::test]
async fn a_file_is_published_by_close() {
    let place = Place::new(|_| {});
    let facts = facts(5, false);
    let mut writer = place.opened(&facts).await;
    write(&mut writer, "hello").await;
    assert_eq!(place.names("docs"), [""; 0]);
    let temp = place.temp();
    let name = temp.file_name().expect("has a name").to_string_lossy();
    assert!(name.ends_with(".1.once.part"), "{name}");
    let mode = fs::metadata(&temp).expect("metadata").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let result = writer.close().await.expect("closes");
    assert_eq!(result["size"], 5);
    assert_eq!(place.read(&result), b"hello");
    assert_eq!(place.names(".tmp"), [""; 0]);
    let path = result["path"].as_str().expect("has a path");
    assert!(
        path.starts_with("docs/") && path.ends_with("-a.txt"),
        "{path}"
    );
    assert!(
        !path.contains(&facts.upload_id),
        "a client must not choose it"
    );
}

#[tokio::test]
async fn a_slot_that_is_no_directory_is_refused_at_once() {
    let place = Place::new(|_| {});
    for slot in ["..", ".tmp", "a/b", ""] {
        let mut facts = facts(5, true);
        facts.slot = slot.to_owned();
        let created = place.factory.create(&facts).await;
        let error = created.err().expect("refused");
        assert_eq!(error.kind, WriteErrorKind::Failed);
    }
    assert_eq!(place.names(""), [".tmp"]);
}

/// RESUME-2: with `disk`, bytes are durable when a sync says so.
#[tokio::test]
async fn durable_means_what_was_configured() {
    let written = |received, durable| Written { received, durable };
    let place = Place::new(|_| {});
    let mut writer = place.opened(&facts(5, true)).await;
    assert_eq!(write(&mut writer, "hello").await, written(5, 5));

    let place = Place::new(|config| config.durability = Durability::Disk);
    let mut writer = place.opened(&facts(5, true)).await;
    assert_eq!(write(&mut writer, "hello").await, written(5, 0));
    assert_eq!(writer.flush().await.expect("flushes"), written(5, 5));
}

#[tokio::test]
async fn room_is_reserved_ahead_and_given_back() {
    let declared = 64 << 20;
    let place = Place::new(|config| config.preallocate = true);
    let mut writer = place.opened(&facts(declared, true)).await;
    let disk = || fs::metadata(place.temp()).expect("metadata").blocks() * 512;
    assert_eq!(disk(), 0, "a declared size takes no room");
    let mut large = VecDeque::from([Bytes::from(vec![7; 4 << 20])]);
    writer.write_chunks(&mut large).await.expect("writes");
    write(&mut writer, "hello").await;
    let metadata = fs::metadata(place.temp()).expect("metadata");
    assert_eq!(
        metadata.len(),
        (4 << 20) + 5,
        "the length tells what is there"
    );
    assert!(disk() <= 9 << 20, "no more is reserved than was received");
    let result = writer.close().await.expect("closes");
    let path = result["path"].as_str().expect("has a path");
    let metadata = fs::metadata(place.dir.path().join(path)).expect("metadata");
    assert!(metadata.blocks() * 512 < 6 << 20, "unused blocks are kept");
}

/// A file that waits for its client, or for a restart, takes no more of the disk than it has bytes.
#[tokio::test]
async fn reserved_room_is_given_back_when_nobody_writes() {
    for is_dropped in [false, true] {
        let place = Place::new(|config| config.preallocate = true);
        let mut writer = place.opened(&facts(64 << 20, true)).await;
        let disk = || fs::metadata(place.temp()).expect("metadata").blocks() * 512;
        let mut large = VecDeque::from([Bytes::from(vec![7; 4 << 20])]);
        writer.write_chunks(&mut large).await.expect("writes");
        write(&mut writer, "hello").await;
        assert!(disk() > 6 << 20, "it has reserved {}", disk());
        writer.suspend();
        if is_dropped {
            write(&mut writer, "hello").await;
            drop(writer);
        }
        assert!(disk() < 5 << 20, "{} stay reserved", disk());
        assert!(fs::metadata(place.temp()).expect("is there").len() >= (4 << 20) + 5);
    }
}

#[tokio::test]
async fn a_file_somebody_changed_is_not_published() {
    let place = Place::new(|_| {});
    let mut writer = place.opened(&facts(5, true)).await;
    write(&mut writer, "hello").await;
    fs::write(place.temp(), "hell").expect("writes");
    let error = writer.close().await.expect_err("is not what was written");
    assert_eq!(error.kind, WriteErrorKind::Failed);
    writer.abort(&AbortReason::Storage(error.kind)).await;
    assert_eq!(place.names(".tmp"), [""; 0]);
    assert_eq!(place.names("docs"), [""; 0]);
}

/// A runtime whose one blocking thread waits until the sender is dropped, so that a test decides
/// what happens before blocking work begins.
fn stuck_runtime() -> (
    tokio::runtime::Runtime,
    impl Fn(&tokio::runtime::Runtime) -> mpsc::Sender<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .max_blocking_threads(1)
        .build()
        .expect("a runtime");
    let stick = |runtime: &tokio::runtime::Runtime| {
        let (sender, receiver) = mpsc::channel::<()>();
        runtime.spawn_blocking(move || receiver.recv());
        sender
    };
    (runtime, stick)
}

#[test]
fn a_write_abandoned_half_way_loses_nothing_durable() {
    let place = Place::new(|config| config.inline_write_max = Duration::ZERO);
    let (runtime, stick) = stuck_runtime();
    let mut writer = runtime.block_on(place.opened(&facts(9, true)));
    // The first write is inline and too slow for a limit of nothing.
    runtime.block_on(write(&mut writer, "abc"));
    let stuck = stick(&runtime);
    runtime.block_on(async {
        let mut late = chunks("def");
        let gave_up = timeout(Duration::ZERO, writer.write_chunks(&mut late)).await;
        gave_up.expect_err("waits for the blocking thread");
        let checkpoint = writer.checkpoint().expect("what was durable still is");
        drop((stuck, writer));
        let mut writer = place.reopened(&mut facts(9, true), &checkpoint, 3).await;
        write(&mut writer, "DEFGHI").await;
        let result = writer.close().await.expect("closes");
        assert_eq!(place.read(&result), b"abcDEFGHI");
    });
}

/// RESUME-2: a flush that nobody waits for goes on, and later calls tell how far it came.
#[test]
fn a_flush_that_is_left_goes_on() {
    let place = Place::new(|config| config.durability = Durability::Disk);
    let (runtime, stick) = stuck_runtime();
    let mut writer = runtime.block_on(place.opened(&facts(9, true)));
    runtime.block_on(write(&mut writer, "abc"));
    let stuck = stick(&runtime);
    runtime.block_on(async {
        let left = timeout(Duration::ZERO, writer.flush()).await;
        left.expect_err("waits for the blocking thread");
        let written = write(&mut writer, "def").await;
        assert_eq!((written.received, written.durable), (6, 0));
        drop(stuck);
        let told = async {
            while write(&mut writer, "").await.durable < 3 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let told = timeout(Duration::from_secs(60), told).await;
        told.expect("the sync that was left is told of");
        write(&mut writer, "ghi").await;
        let written = writer.flush().await.expect("flushes");
        assert_eq!((written.received, written.durable), (9, 9));
        let result = writer.close().await.expect("closes");
        assert_eq!(place.read(&result), b"abcdefghi");
    });
}

#[test]
fn aborting_a_close_given_up_half_way_removes_the_file_it_published() {
    let place = Place::new(|_| {});
    let (runtime, stick) = stuck_runtime();
    let mut writer = runtime.block_on(place.opened(&facts(3, true)));
    runtime.block_on(write(&mut writer, "abc"));
    runtime.block_on(async {
        let mut close = writer.close();
        let begun = (&mut close).now_or_never();
        assert!(begun.is_none(), "waits for the blocking thread");
        // That one does this behind the rename, and then nothing for a while.
        let behind = tokio::task::spawn_blocking(|| ());
        behind.await.expect("ends");
        let stuck = stick(&runtime);
        let gave_up = (&mut close).now_or_never();
        assert!(gave_up.is_none(), "waits for a sync of the directories");
        drop(close);
        assert_eq!(place.names("docs").len(), 1, "it has its name");
        drop(stuck);
        writer.abort(&AbortReason::Cancelled).await;
    });
    assert_eq!(place.names(".tmp"), [""; 0]);
    assert_eq!(place.names("docs"), [""; 0]);
}
