//! Groups of files, with a sync that tells what it is asked.

use std::{cell::RefCell, fs, io};

use tempfile::TempDir;
use tokio::time::timeout;
use uuid::Uuid;

use super::{
    super::{
        FileWriterConfig, FileWriterFactory,
        place::Place,
        temp::{self, TempName},
    },
    *,
};
use crate::writer::{UploadFacts, WriterFactory};

type Answered = oneshot::Receiver<Result<(), WriteError>>;

/// A place where files end, on whatever file system the tests have.
struct Ground {
    factory: FileWriterFactory,
    close: Arc<GroupClose>,
    _dir: TempDir,
}

impl Ground {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let config = FileWriterConfig::new(dir.path().join("data"));
        let factory = FileWriterFactory::new(config).expect("it serves");
        let open = File::open(dir.path()).expect("opened");
        let close = GroupClose {
            state: Mutex::new(State {
                watch: Some(Watch {
                    dir: Arc::new(open),
                    number: 0,
                }),
                waiting: Vec::new(),
                has_leader: false,
                ended: VecDeque::new(),
                slow_syncs: 0,
                paused_until: None,
            }),
        };
        Self {
            factory,
            close: Arc::new(close),
            _dir: dir,
        }
    }

    fn ending(&self) -> Ending {
        let shared = &self.factory.shared;
        let uuid = Uuid::new_v4();
        let name = TempName {
            uuid,
            generation: 1,
            resumable: false,
        };
        let path = shared.temp_path(name);
        let file = temp::create(&path).expect("made");
        fs::write(&path, b"text").expect("written");
        Ending {
            shared: Arc::clone(shared),
            file: Arc::new(file),
            path,
            place: Place::new(None, "slot", uuid, "a.txt").expect("a place"),
            size: 4,
            client_size: 4,
        }
    }

    /// Has a file wait, and leads if no one does.
    fn wait(&self) -> (Answered, Option<Leader>) {
        let (answer, answered) = oneshot::channel();
        let mut state = self.close.state();
        state.waiting.push((self.ending(), answer));
        let leads = !mem::replace(&mut state.has_leader, true);
        let leader = leads.then(|| Leader {
            of: Arc::clone(&self.close),
            is_done: false,
        });
        (answered, leader)
    }

    fn published(&self) -> usize {
        let slot = self.factory.config().data_dir.join("slot");
        fs::read_dir(slot).map_or(0, Iterator::count)
    }
}

/// COMPLETE-3: a sync that runs already does not answer for a file that came after it began, and no file has its
/// name before its sync.
#[test]
fn a_sync_answers_for_those_who_came_before_it_began() {
    let ground = Ground::new();
    let (mut first, leader) = ground.wait();
    let late = RefCell::new(Vec::new());
    let counts = RefCell::new(Vec::new());
    leader.expect("it leads").run(|_| {
        counts.borrow_mut().push(ground.published());
        if counts.borrow().len() == 1 {
            late.borrow_mut().extend([ground.wait().0, ground.wait().0]);
        }
        Ok(())
    });
    assert_eq!(*counts.borrow(), [0, 1]);
    assert!(first.try_recv().expect("is answered").is_ok());
    for mut other in late.take() {
        assert!(other.try_recv().expect("is answered").is_ok());
    }
    assert_eq!(ground.published(), 3);
    assert!(ground.wait().1.is_some(), "the next one leads");
}

/// COMPLETE-3: the system tells of a lost write once, so no one who came before is told that all is well.
#[test]
fn a_failed_sync_fails_those_who_came_meanwhile_and_lets_older_files_alone() {
    let ground = Ground::new();
    let older = ground.close.ticket();
    let (mut first, leader) = ground.wait();
    let late = RefCell::new(None);
    leader.expect("it leads").run(|_| {
        *late.borrow_mut() = Some(ground.wait().0);
        Err(io::ErrorKind::StorageFull.into())
    });
    let mut late = late.take().expect("came meanwhile");
    for answered in [&mut first, &mut late] {
        let error = answered.try_recv().expect("is answered");
        let error = error.expect_err("failed");
        assert_eq!(error.kind, WriteErrorKind::Failed, "not a full disk");
    }
    assert_eq!(ground.published(), 0);
    let again = ground.close.join(older, ground.ending(), true);
    assert!(again.is_err(), "it began before the error");
}

/// A few files are synced by themselves, and so are all while a group takes long.
#[tokio::test]
async fn groups_are_formed_in_a_crowd_only() {
    let ground = Ground::new();
    let ticket = ground.close.ticket();
    let alone = ground.close.join(ticket, ground.ending(), false);
    assert!(alone.is_err(), "there is no crowd");
    let untold = ground.close.join(None, ground.ending(), true);
    assert!(untold.is_err(), "it does not know when it began");
    let crowded = ground.close.join(ticket, ground.ending(), true);
    let closed = crowded.expect("a crowd").await;
    assert_eq!(closed.is_ok(), cfg!(target_os = "linux"));

    ground.close.state().synced(SYNC_MAX * 2);
    let resting = ground
        .close
        .join(ground.close.ticket(), ground.ending(), true);
    assert!(resting.is_err(), "something large was written");
}

/// A quick disk lets few syncs wait, however many files end.
#[test]
fn many_files_that_end_at_once_are_a_rush() {
    let ground = Ground::new();
    let mut state = ground.close.state();
    let begun = Instant::now();
    let mut ends_at = |ms| state.is_rush(begun + Duration::from_millis(ms));
    for ms in 0..7 {
        assert!(!ends_at(ms), "{ms}");
    }
    assert!(ends_at(10), "the eighth");
    assert!(ends_at(11) && !ends_at(13), "eight in 10 ms, then in 11");
    for ms in (100..1_000).step_by(2) {
        assert!(!ends_at(ms), "500 a second");
    }
}

/// What lay on the disk from before holds groups up once; next to a large upload they become rare.
#[test]
fn pauses_grow_while_every_group_takes_long() {
    let ground = Ground::new();
    let mut state = ground.close.state();
    let took = SYNC_MAX * 3;
    let mut pauses = || state.synced(took);
    assert_eq!([pauses(), pauses(), pauses()], [took, took * 2, took * 4]);
    for _ in 0..40 {
        assert!(state.synced(took) <= PAUSE_MAX);
    }
    assert_eq!(state.synced(took), PAUSE_MAX);
    assert_eq!(state.synced(SYNC_MAX), Duration::ZERO);
    assert_eq!(state.synced(took), took);
}

#[test]
fn who_gave_up_is_not_published() {
    let ground = Ground::new();
    let (gone, leader) = ground.wait();
    drop(gone);
    let (mut other, _) = ground.wait();
    leader.expect("it leads").run(|_| Ok(()));
    assert!(other.try_recv().expect("is answered").is_ok());
    assert_eq!(ground.published(), 1);
}

/// So it is with a file that is closed by itself: what its caller began publishes nothing behind it.
#[test]
fn who_gave_up_alone_is_not_published() {
    let ground = Ground::new();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().max_blocking_threads(1).build();
    runtime.expect("a runtime").block_on(async {
        let facts = UploadFacts::new("upload", "slot", 0);
        let mut writer = ground.factory.create(&facts).await.expect("creates");
        // The one thread that could sync the file is kept until no one waits for it.
        let (keep, kept) = std::sync::mpsc::channel::<()>();
        drop(spawn_blocking(move || kept.recv()));
        let gave_up = timeout(Duration::ZERO, writer.close()).await;
        gave_up.expect_err("it waits for its sync");
        drop(keep);
        spawn_blocking(|| ()).await.expect("runs behind it");
        assert_eq!(ground.published(), 0);
    });
}

/// The leader may be dropped with its runtime; the others do not wait for ever.
#[test]
fn no_one_waits_for_a_leader_that_is_gone() {
    let ground = Ground::new();
    let (mut first, leader) = ground.wait();
    drop(leader);
    let gone = first.try_recv().expect_err("no one answers");
    assert_eq!(gone, oneshot::error::TryRecvError::Closed);
    assert!(ground.wait().1.is_some(), "the next one leads");
}

#[cfg(target_os = "linux")]
#[test]
fn releases_of_the_system_are_read() {
    assert_eq!(version("6.1.0-13-amd64"), Some((6, 1)));
    assert_eq!(version("5.10.0"), Some((5, 10)));
    assert_eq!(version("5.4.0-rc1"), Some((5, 4)));
    assert_eq!(version("odd"), None);
}
