//! What an owner's puts cost and take up, and the index by which they do, over files of any version.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

use redb::backends::InMemoryBackend;
use redb::{Database, ReadableDatabase, ReadableTableMetadata, StorageBackend};

use super::super::index::INDEXED;
use super::super::records::Records;
use super::super::tables::{COUNTERS, NEXT_VERSION};
use super::*;
use crate::count::OwnerLimit;

mod share;

const HOUR_MS: u64 = 3_600_000;

const PLENTY: Room = Room {
    records: 1_000_000,
    bytes: u64::MAX,
};

/// Keeps its bytes over reopening, and counts what is read.
#[derive(Clone, Debug, Default)]
struct Disk {
    bytes: Arc<InMemoryBackend>,
    reads: Arc<AtomicU64>,
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.bytes.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.bytes.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.bytes.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.bytes.write(offset, data)
    }
}

impl Disk {
    /// Opens the database without a cache, so that every page that is looked at is read.
    fn database(&self) -> Database {
        let mut builder = Database::builder();
        builder.set_cache_size(0);
        builder.create_with_backend(self.clone()).expect("opens")
    }

    fn open(&self, owner: Room) -> Records {
        let bounds = Bounds { all: PLENTY, owner };
        Records::new(self.database(), bounds).expect("begins")
    }
}

fn key(owner: &str, number: u32) -> UploadKey {
    let mut upload = [0; 16];
    upload[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_be_bytes());
    upload[4..8].copy_from_slice(&number.to_be_bytes());
    UploadKey::new(owner, upload).expect("a short owner")
}

fn put(owner: &str, number: u32, facts: Facts, ttl_ms: u64) -> Stored {
    Stored {
        key: key(owner, number),
        record: vec![7; 100],
        expect: Expect::Absent,
        ttl_ms,
        facts,
        limit: None,
        is_receipt: false,
    }
}

fn receipt(owner: &str, number: u32, ttl_ms: u64) -> Stored {
    Stored {
        is_receipt: true,
        ..put(owner, number, Facts::default(), ttl_ms)
    }
}

fn limited(stored: Stored, records: u64) -> Op {
    let limit = OwnerLimit {
        records,
        ..OwnerLimit::NONE
    };
    Op::Put(Stored {
        limit: Some(limit),
        ..stored
    })
}

fn one(records: &mut Records, op: Op) -> Outcome {
    let mut outcomes = records.apply([op].iter()).expect("applied");
    outcomes.pop().expect("one for each")
}

fn stored(records: &mut Records, put: Stored) -> Version {
    match one(records, Op::Put(put)) {
        Outcome::Stored(version) => version,
        other => panic!("not stored: {other:?}"),
    }
}

/// What the owner has, and how often it was asked for.
fn counts(records: &mut Records, owner: &str) -> (Counts, u32) {
    for asked in 1.. {
        let owner = Some(owner.into());
        match one(records, Op::Count { owner }) {
            Outcome::Counts(counts) => return (counts, asked),
            Outcome::More => {}
            other => panic!("not counted: {other:?}"),
        }
    }
    unreachable!()
}

fn is_there(records: &mut Records, owner: &str, number: u32) -> bool {
    let key = key(owner, number);
    matches!(one(records, Op::Get { key }), Outcome::Record(Some(_)))
}

/// The records that the tables have, and the places.
fn lengths(disk: &Disk) -> (u64, u64) {
    let database = disk.database();
    let read = database.begin_read().expect("begins");
    let records = read.open_table(RECORDS).expect("opens").len();
    let places = read.open_table(PLACES).expect("opens").len();
    (records.expect("counted"), places.expect("counted"))
}

/// A put that is refused, and a count, look at a few pages, however many receipts their owner has.
#[test]
fn a_refused_put_looks_at_no_other_records_of_its_owner() {
    let disk = Disk::default();
    let mut records = disk.open(PLENTY);
    let unfinished = Facts::unfinished(1);
    stored(&mut records, put("many", 0, unfinished, HOUR_MS));
    let receipts: Vec<Op> = (1..5000)
        .map(|number| Op::Put(receipt("many", number, HOUR_MS)))
        .collect();
    records.apply(receipts.iter()).expect("applied");
    let mut reads_of = |op| {
        let before = disk.reads.load(Ordering::Relaxed);
        let outcome = one(&mut records, op);
        (outcome, disk.reads.load(Ordering::Relaxed) - before)
    };
    let refused = limited(put("many", 9000, unfinished, HOUR_MS), 1);
    let (outcome, reads) = reads_of(refused);
    assert!(matches!(outcome, Outcome::OverLimit), "{outcome:?}");
    assert!(reads < 50, "{reads} pages for a refused put");
    let owner = Some("many".into());
    let (outcome, reads) = reads_of(Op::Count { owner });
    assert!(
        matches!(outcome, Outcome::Counts(counts) if counts.all.records == 5000),
        "{outcome:?}"
    );
    assert!(reads < 50, "{reads} pages for a count");
}

/// One put drops a bounded number of what expired of its owner; in the end all of it leaves its place.
#[test]
fn what_expired_is_dropped_in_bounded_steps() {
    let disk = Disk::default();
    let mut records = disk.open(PLENTY);
    let unfinished = Facts::unfinished(1);
    let short: Vec<Op> = (0..1000)
        .map(|number| Op::Put(put("many", number, unfinished, 1)))
        .collect();
    records.apply(short.iter()).expect("applied");
    sleep(Duration::from_millis(5));
    let mut before = 1000;
    let mut tries = 0;
    loop {
        let outcome = one(
            &mut records,
            limited(put("many", 5000, unfinished, HOUR_MS), 1),
        );
        let Outcome::Counts(all) = one(&mut records, Op::Count { owner: None }) else {
            panic!("not counted");
        };
        let dropped = before - all.all.records;
        assert!(dropped <= EXPIRED_PER_CALL as u64, "{dropped} dropped");
        before = all.all.records;
        tries += 1;
        match outcome {
            Outcome::Stored(_) => break,
            Outcome::OverLimit => assert!(tries < 10, "what expired keeps its place"),
            other => panic!("{other:?}"),
        }
    }
    assert!(tries > 1);
    let (found, asked) = counts(&mut records, "many");
    assert_eq!((found.all.records, asked), (1, 1));
    drop(records);
    assert_eq!(lengths(&disk), (1, 1));
}

/// A count of one owner is exact, however much expired, and leaves nothing behind in the index.
#[test]
fn a_count_leaves_out_all_that_expired() {
    let disk = Disk::default();
    let mut records = disk.open(PLENTY);
    let short: Vec<Op> = (0..1000)
        .map(|number| match number % 2 {
            0 => Op::Put(receipt("many", number, 1)),
            _ => Op::Put(put("many", number, Facts::default(), 1)),
        })
        .collect();
    records.apply(short.iter()).expect("applied");
    stored(&mut records, receipt("other", 1, HOUR_MS));
    sleep(Duration::from_millis(5));
    let (found, asked) = counts(&mut records, "many");
    assert_eq!(found, Counts::default());
    assert!(asked > 1, "{asked}");
    assert_eq!(counts(&mut records, "other").0.all.records, 1);
    drop(records);
    assert_eq!(lengths(&disk), (1, 1));
}

/// A file of a version that knows no index is indexed when it is opened, and once more after such a version
/// wrote to it.
#[test]
fn a_file_without_a_whole_index_is_indexed() {
    let disk = Disk::default();
    let mut records = disk.open(PLENTY);
    let unfinished = Facts::unfinished(1);
    stored(&mut records, put("one", 1, unfinished, 40));
    stored(&mut records, receipt("one", 2, HOUR_MS));
    drop(records);
    assert_eq!(lengths(&disk), (2, 2));

    // As the version before leaves it: no index.
    let database = disk.database();
    let transaction = database.begin_write().expect("begins");
    transaction.delete_table(PLACES).expect("deleted");
    {
        let mut counters = transaction.open_table(COUNTERS).expect("opens");
        counters.remove(INDEXED).expect("removed");
    }
    transaction.commit().expect("commits");
    drop(database);
    let mut records = disk.open(PLENTY);
    assert_eq!(counts(&mut records, "one").0.unfinished.records, 1);
    sleep(Duration::from_millis(50));
    let second = limited(put("one", 3, unfinished, HOUR_MS), 1);
    let outcome = one(&mut records, second);
    assert!(matches!(outcome, Outcome::Stored(_)), "{outcome:?}");
    drop(records);
    assert_eq!(lengths(&disk), (2, 2));

    // And as it does where it knows nothing of the index that is there: one record more, one less.
    let database = disk.database();
    let transaction = database.begin_write().expect("begins");
    {
        let mut counters = transaction.open_table(COUNTERS).expect("opens");
        let next = counters
            .get(NEXT_VERSION)
            .expect("read")
            .expect("set apart")
            .value();
        counters.insert(NEXT_VERSION, next + 1).expect("inserted");
        let mut table = transaction.open_table(RECORDS).expect("opens");
        let name = table_key(&key("one", 2));
        table
            .remove(name.as_slice())
            .expect("removed")
            .expect("there");
        let name = table_key(&key("one", 4));
        let row = (next, 1, 1, 1, [7; 100].as_slice());
        table.insert(name.as_slice(), row).expect("inserted");
        let mut counts = Counts::default();
        for _ in 0..2 {
            counts.add(unfinished, bytes_of(&key("one", 4), &[7; 100]));
        }
        let mut owners = transaction.open_table(OWNERS).expect("opens");
        owners.insert("one", to_sums(counts)).expect("inserted");
    }
    transaction.commit().expect("commits");
    drop(database);
    assert_eq!(lengths(&disk), (2, 2));
    let mut records = disk.open(PLENTY);
    let (found, _) = counts(&mut records, "one");
    assert_eq!(found.unfinished.records, 1, "what expired is dropped");
    drop(records);
    assert_eq!(lengths(&disk), (1, 1));
}

/// A put that is refused changes nothing, so that nothing is committed.
#[test]
fn a_refused_put_changes_nothing() {
    let disk = Disk::default();
    let unfinished = Facts::unfinished(1);
    let mut records = disk.open(PLENTY);
    stored(&mut records, put("one", 1, unfinished, HOUR_MS));
    drop(records);
    let database = disk.database();
    for (limit, has_changed) in [(1, false), (2, true)] {
        let transaction = database.begin_write().expect("begins");
        let (mut next, mut sweep) = (1, Vec::new());
        let bounds = Bounds {
            all: PLENTY,
            owner: PLENTY,
        };
        let batch = Batch::begin(&transaction, 0, bounds, &mut next, &mut sweep);
        let mut batch = batch.expect("begins");
        let op = limited(put("one", 2, unfinished, HOUR_MS), limit);
        batch.apply(&op).expect("applied");
        assert_eq!(batch.end().expect("ends"), has_changed, "limit {limit}");
    }
}
