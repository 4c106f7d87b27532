//! The embedded store: conformance, the lock on its directory, damage, and `kill -9`.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use upload_stores::{
    Counts, Expect, FaultyStore, PutError, REDB_OVERHEAD_BYTES, RedbDurability, RedbOptions,
    RedbStore, StoreErrorKind, UploadKey, UploadStateStore, conformance,
};

#[path = "../stores/owners.rs"]
mod owners;

const HOUR: Duration = Duration::from_secs(3600);

/// Tells the child process which directory is its.
const CHILD_DIR: &str = "UPLOAD_STORES_CHILD_DIR";

/// Tells the child process how many records to put before it goes on to change them.
const CHILD_RECORDS: &str = "UPLOAD_STORES_CHILD_RECORDS";

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        let bytes = self.0.lock().expect("nobody panicked");
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panicked").write(line)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn open(dir: &Path) -> RedbStore {
    RedbStore::open(dir, RedbDurability::Process)
        .await
        .expect("the store opens")
}

fn key(number: u64) -> UploadKey {
    let mut upload = [0; 16];
    // Spread over the table, as random ids are.
    upload[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    UploadKey::new("owner", upload).expect("a short owner")
}

/// RESUME-4, RESUME-8: the embedded store conforms.
#[tokio::test]
async fn redb_conforms() {
    let dir = tempfile::tempdir().expect("a directory");
    conformance::all(&open(dir.path()).await).await;
}

/// It conforms too where every commit waits for the disk, and under a fault injector.
#[tokio::test]
async fn redb_on_disk_conforms_inside_a_fault_injector() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = RedbStore::open(dir.path(), RedbDurability::Disk)
        .await
        .expect("the store opens");
    conformance::all(&FaultyStore::new(Arc::new(store))).await;
}

/// Records and the order of versions survive a clean restart; what expired meanwhile is missing.
#[tokio::test]
async fn a_new_file_has_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path()).await;
    for owner in [None, Some("ann")] {
        let counts = store.count(owner).await.expect("counted");
        assert_eq!(counts, Counts::default());
    }
    assert_eq!(store.sweep().await.expect("swept"), 0);
}

#[tokio::test]
async fn records_survive_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path()).await;
    let kept = store
        .put(&key(1), b"kept", Expect::Absent, HOUR)
        .await
        .expect("put");
    let deleted = store
        .put(&key(2), b"deleted", Expect::Absent, HOUR)
        .await
        .expect("put");
    store
        .delete(&key(2), Expect::Version(deleted))
        .await
        .expect("delete");
    let blink = Duration::from_millis(1);
    store
        .put(&key(3), b"expired", Expect::Absent, blink)
        .await
        .expect("put");
    store.close().await.expect("close");
    tokio::time::sleep(Duration::from_millis(20)).await;

    let store = open(dir.path()).await;
    let found = store.get(&key(1)).await.expect("get").expect("kept");
    assert_eq!(
        (found.record.as_slice(), found.version),
        (&b"kept"[..], kept)
    );
    assert_eq!(store.get(&key(2)).await.expect("get"), None);
    assert_eq!(store.get(&key(3)).await.expect("get"), None);
    let again = store
        .put(&key(2), b"again", Expect::Absent, HOUR)
        .await
        .expect("put");
    assert_ne!(again, deleted, "a version came twice");
    assert_eq!(store.sweep().await.expect("sweep"), 1);
    assert_eq!(store.sweep().await.expect("sweep"), 0);
}

/// A second store in the same directory is refused with words an operator understands.
#[tokio::test]
async fn a_directory_has_one_store_at_a_time() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = open(dir.path()).await;
    let second = RedbStore::open(dir.path(), RedbDurability::Process).await;
    let error = second.expect_err("the directory is taken");
    assert_eq!(error.kind(), StoreErrorKind::Failed);
    assert!(error.to_string().contains("another process"), "{error}");

    first.close().await.expect("close");
    let closed = first.get(&key(1)).await.expect_err("it is closed");
    assert_eq!(closed.kind(), StoreErrorKind::Unavailable);
    open(dir.path()).await;
}

/// A sweep goes through more records than one step of it takes, and drops the expired ones only.
#[tokio::test]
async fn a_sweep_reaches_every_record() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Arc::new(open(dir.path()).await);
    let mut puts = tokio::task::JoinSet::new();
    for number in 0..3000 {
        let store = Arc::clone(&store);
        let ttl = if number % 3 == 0 {
            HOUR
        } else {
            Duration::from_millis(1)
        };
        puts.spawn(async move {
            store
                .put(&key(number), b"record", Expect::Absent, ttl)
                .await
        });
    }
    while let Some(put) = puts.join_next().await {
        put.expect("no panic").expect("put");
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(store.sweep().await.expect("sweep"), 2000);
    for number in 0..3000 {
        let found = store.get(&key(number)).await.expect("get");
        assert_eq!(found.is_some(), number % 3 == 0, "record {number}");
    }
}

/// A full store refuses new records, changes old ones, and makes room from what expired.
#[tokio::test]
async fn the_number_of_records_is_bounded() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = RedbOptions {
        records_max: 2,
        owner_share: 1,
        ..RedbOptions::default()
    };
    let store = RedbStore::open_with(dir.path(), options)
        .await
        .expect("the store opens");
    let version = store
        .put(&key(1), b"1", Expect::Absent, HOUR)
        .await
        .expect("put");
    store
        .put(&key(2), b"2", Expect::Absent, HOUR)
        .await
        .expect("put");
    let refused = store.put(&key(3), b"3", Expect::Absent, HOUR).await;
    assert!(
        matches!(&refused, Err(PutError::Store(e)) if e.kind() == StoreErrorKind::Unavailable),
        "{refused:?}"
    );
    let blink = Duration::from_millis(1);
    store
        .put(&key(1), b"1", Expect::Version(version), blink)
        .await
        .expect("put");
    tokio::time::sleep(Duration::from_millis(20)).await;
    store
        .put(&key(3), b"3", Expect::Absent, HOUR)
        .await
        .expect("room again");
}

/// One owner's records leave room in the file for those of others.
#[tokio::test]
async fn one_owner_leaves_room_in_the_file() {
    let options = RedbOptions {
        records_max: owners::RECORDS_MAX,
        ..RedbOptions::default()
    };
    let open = async |dir| {
        let store = RedbStore::open_with(dir, options.clone()).await;
        store.expect("the store opens")
    };
    let dirs = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let [one, two] = dirs.each_ref().map(|dir| dir.path());
    owners::receipts_of_one_owner_leave_room(&open(one).await).await;
    owners::unfinished_uploads_of_one_owner_leave_room(&open(two).await).await;
}

/// The bytes of all records are bounded, with the names of their owners.
#[tokio::test]
async fn the_bytes_of_records_are_bounded() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = RedbOptions {
        bytes_max: 100 + 5 + REDB_OVERHEAD_BYTES as u64,
        owner_share: 1,
        ..RedbOptions::default()
    };
    let store = RedbStore::open_with(dir.path(), options)
        .await
        .expect("the store opens");
    let refused = store.put(&key(1), &[0; 101], Expect::Absent, HOUR).await;
    assert!(
        matches!(&refused, Err(PutError::Store(e)) if e.kind() == StoreErrorKind::Unavailable),
        "{refused:?}"
    );
    let version = store
        .put(&key(1), &[0; 100], Expect::Absent, HOUR)
        .await
        .expect("to the last byte");
    let version = store
        .put(&key(1), &[1; 100], Expect::Version(version), HOUR)
        .await
        .expect("its own bytes do not count twice");
    let refused = store.put(&key(2), b"", Expect::Absent, HOUR).await;
    assert!(refused.is_err(), "{refused:?}");
    store
        .delete(&key(1), Expect::Version(version))
        .await
        .expect("delete");
    store
        .put(&key(2), b"", Expect::Absent, HOUR)
        .await
        .expect("room again");
}

/// After many records expired, a sweep makes the file small again, with what lives intact.
#[tokio::test]
async fn the_file_shrinks_again() {
    shrinks(3000, 100).await;
}

/// So does one of some MiB, which is where the flood of a small server ends.
#[tokio::test]
async fn a_file_of_some_mebibytes_shrinks_again() {
    shrinks(400, 10).await;
}

async fn shrinks(all: u64, live: u64) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Arc::new(open(dir.path()).await);
    let mut puts = tokio::task::JoinSet::new();
    for number in 0..all {
        let store = Arc::clone(&store);
        let ttl = if number < live {
            HOUR
        } else {
            Duration::from_millis(1)
        };
        puts.spawn(async move {
            store
                .put(&key(number), &[7; 8000], Expect::Absent, ttl)
                .await
        });
    }
    while let Some(put) = puts.join_next().await {
        put.expect("no panic").expect("put");
    }
    let length = || {
        let file = fs::metadata(dir.path().join("uploads.redb"));
        file.expect("the file").len()
    };
    let full = length();
    assert!(full > 8000 * all, "{full} bytes");
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(store.sweep().await.expect("sweep"), all - live);
    for number in 0..live {
        let found = store.get(&key(number)).await.expect("get");
        assert!(found.is_some_and(|found| found.record == [7; 8000]));
    }
    // Only a sweep that keeps no call waiting compacts.
    let by = Instant::now() + Duration::from_secs(10);
    while length() >= full / 4 {
        assert!(Instant::now() < by, "{} of {full} bytes", length());
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(store.sweep().await.expect("sweep"), 0);
    }
    let counts = store.count(None).await.expect("count");
    assert_eq!(counts.all.records, live);
}

/// A file that a power loss damaged is set aside, so that the server starts; on `Disk` it is an
/// error, since there nothing should have damaged it.
#[tokio::test]
async fn a_damaged_file_is_set_aside_or_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("uploads.redb");
    let store = open(dir.path()).await;
    for number in 0..100 {
        store
            .put(&key(number), &[7; 1000], Expect::Absent, HOUR)
            .await
            .expect("put");
    }
    store.close().await.expect("close");

    let whole = fs::read(&file).expect("the file");
    let mut overwritten = whole.clone();
    for page in overwritten.chunks_mut(4096).skip(1) {
        page.fill(0);
    }
    let damages = [
        b"not a database at all, but some text".to_vec(),
        overwritten,
    ];
    for damaged in damages {
        fs::write(&file, &damaged).expect("write");
        let store = open(dir.path()).await;
        let aside = store.set_aside().expect("it says where the file is");
        assert_eq!(fs::read(aside).expect("it is there").len(), damaged.len());
        assert_eq!(store.get(&key(1)).await.expect("get"), None);
        store
            .put(&key(1), b"new", Expect::Absent, HOUR)
            .await
            .expect("put");
        store.close().await.expect("close");
        let store = open(dir.path()).await;
        assert_eq!(store.set_aside(), None);
        assert!(store.get(&key(1)).await.expect("get").is_some());
        store.close().await.expect("close");
    }

    fs::write(&file, b"not a database at all, but some text").expect("write");
    let refused = RedbStore::open(dir.path(), RedbDurability::Disk).await;
    assert_eq!(
        refused.expect_err("damaged").kind(),
        StoreErrorKind::Corrupt
    );
}

/// A file that is found damaged while the store runs is replaced without a restart, which takes all
/// records with it: the log says so.
#[tokio::test]
async fn a_file_replaced_at_run_time_is_told() {
    let log = Log::default();
    let lines = log.clone();
    tracing_subscriber::fmt()
        .with_writer(move || lines.clone())
        .init();
    let dir = tempfile::tempdir().expect("a directory");
    let options = RedbOptions {
        cache_bytes: 0,
        ..RedbOptions::default()
    };
    let store = RedbStore::open_with(dir.path(), options)
        .await
        .expect("the store opens");
    for number in 0..100 {
        store
            .put(&key(number), &[7; 1000], Expect::Absent, HOUR)
            .await
            .expect("put");
    }
    let path = dir.path().join("uploads.redb");
    let length = fs::metadata(&path).expect("the file").len();
    let mut file = fs::File::options().write(true).open(&path).expect("opens");
    file.write_all(&vec![0; usize::try_from(length).expect("a small file")])
        .expect("write");

    let mut troubles = 0;
    while troubles == 0 || store.get(&key(1)).await.is_err() {
        let put = store.put(&key(1000), b"new", Expect::Absent, HOUR).await;
        troubles += u32::from(put.is_err());
        assert!(troubles < 100, "{put:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(store.get(&key(1)).await.expect("get"), None);
    let told = log.text();
    let damaged = dir.path().join("uploads.redb.damaged");
    assert!(damaged.is_file());
    assert!(
        told.contains("WARN") && told.contains(&*damaged.to_string_lossy()),
        "{told}"
    );
}

/// RESUME-2: what was acknowledged before `kill -9` is there after it, round after round on one file.
#[tokio::test]
async fn acknowledged_puts_survive_kill_9() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut acknowledged = HashMap::new();
    for round in 0..5 {
        kill_after(dir.path(), 40, 500 + 300 * round, &mut acknowledged);
        check(dir.path(), &acknowledged).await;
    }
}

/// RESUME-2: the same with many records, whose file has to be repaired.
#[tokio::test]
async fn ten_thousand_records_survive_kill_9() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut acknowledged = HashMap::new();
    kill_after(dir.path(), 10_000, 12_000, &mut acknowledged);
    check(dir.path(), &acknowledged).await;
}

/// Runs the child until it acknowledged all records and so many puts, kills it, and notes the
/// newest put of each key.
fn kill_after(dir: &Path, records: u64, puts: usize, acknowledged: &mut HashMap<u64, u64>) {
    let mut child = Command::new(std::env::current_exe().expect("this test's own path"))
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(CHILD_DIR, dir)
        .env(CHILD_RECORDS, records.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the child starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut seen = 0;
    let mut killed = false;
    // What the child wrote before it died is read to the end.
    while let Some(Ok(line)) = lines.next() {
        let mut words = line.split_whitespace();
        if words.next() != Some("put") {
            continue;
        }
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
        let (Some(record), Some(count), Some("end")) = (number(), number(), words.next()) else {
            continue; // the line the kill cut short
        };
        acknowledged.insert(record, count);
        seen += 1;
        if seen >= puts && acknowledged.len() as u64 == records {
            child.kill().expect("SIGKILL");
            killed = true;
        }
    }
    let status = child.wait().expect("the child ends");
    assert!(
        killed && !status.success(),
        "the child ended by itself after {seen} puts"
    );
}

/// Every record is at least as new as what was acknowledged, and whole.
async fn check(dir: &Path, acknowledged: &HashMap<u64, u64>) {
    let store = RedbStore::open(dir, RedbDurability::Process)
        .await
        .expect("repaired");
    assert_eq!(store.set_aside(), None, "a kill damages nothing");
    for (&record, &count) in acknowledged {
        let found = store.get(&key(record)).await.expect("get");
        let found = found.unwrap_or_else(|| panic!("record {record} is lost"));
        let (stored, rest) = found.record.split_first_chunk().expect("a count");
        assert!(
            u64::from_be_bytes(*stored) >= count,
            "record {record} went back"
        );
        assert!(
            rest.iter().all(|&byte| byte == stored[7]),
            "record {record} is torn"
        );
    }
    store.close().await.expect("close");
}

/// The process that is killed: puts records from many tasks and says so after each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run and killed by the tests above"]
async fn child() {
    let dir = std::env::var(CHILD_DIR).expect("started by a test above");
    let records: u64 = std::env::var(CHILD_RECORDS)
        .ok()
        .and_then(|text| text.parse().ok())
        .expect("started by a test above");
    let store = Arc::new(open(Path::new(&dir)).await);
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..20 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            loop {
                for number in (task..records).step_by(20) {
                    put_next(&store, number).await;
                }
            }
        });
    }
    tasks.join_next().await;
}

async fn put_next(store: &RedbStore, number: u64) {
    let (expect, count) = match store.get(&key(number)).await.expect("get") {
        Some(found) => {
            let count = found.record.first_chunk().expect("a count");
            (
                Expect::Version(found.version),
                u64::from_be_bytes(*count) + 1,
            )
        }
        None => (Expect::Absent, 0),
    };
    let mut record = count.to_be_bytes().to_vec();
    record.resize(500, count.to_be_bytes()[7]);
    store
        .put(&key(number), &record, expect, HOUR)
        .await
        .expect("put");
    // One write, so that lines of tasks do not mix.
    let line = format!("put {number} {count} end\n");
    std::io::stdout()
        .write_all(line.as_bytes())
        .expect("the parent reads");
}
