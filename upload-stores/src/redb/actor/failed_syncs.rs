//! A disk that could not write something: what memory still holds of it is nothing to build upon.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;

use redb::StorageBackend;
use redb::backends::FileBackend;

use super::super::RedbDurability;
use super::super::records::Stored;
use super::*;
use crate::count::Facts;
use crate::key::UploadKey;
use crate::store::Expect;

/// What is written, or lost, as one.
const PAGE_BYTES: usize = 4096;

/// Records that are there before the disk fails, so many that each put changes a small part of the tables.
const FIRST: std::ops::Range<u8> = 10..40;

/// Bytes of a record, of which few fit in a page.
const RECORD_BYTES: usize = 1500;

/// The disk beneath a file whose own bytes are what memory holds.
#[derive(Default)]
struct Disk {
    bytes: Vec<u8>,
    /// By page, what memory holds and takes for written.
    lost: BTreeMap<usize, Vec<u8>>,
    /// Which pages the next sync cannot write.
    fails: Option<fn(usize) -> bool>,
}

impl Disk {
    fn sync(&mut self, memory: &[u8]) -> io::Result<()> {
        let fails = self.fails.take();
        self.bytes.resize(memory.len(), 0);
        let written = self.bytes.chunks_mut(PAGE_BYTES);
        for (number, (page, written)) in memory.chunks(PAGE_BYTES).zip(written).enumerate() {
            let is_written = match self.lost.get(&number) {
                Some(lost) => lost == page,
                None => written == page,
            };
            if is_written {
                continue;
            }
            if fails.is_some_and(|fails| fails(number)) {
                self.lost.insert(number, page.to_vec());
            } else {
                written.copy_from_slice(page);
                self.lost.remove(&number);
            }
        }
        match fails {
            Some(_) => Err(io::Error::other("the disk failed")),
            None => Ok(()),
        }
    }
}

thread_local! {
    static DISK: RefCell<Disk> = RefCell::default();
}

fn sync_data(file: &FileBackend) -> io::Result<()> {
    let length = usize::try_from(file.len()?).expect("a small file");
    let mut memory = vec![0; length];
    file.read(0, &mut memory)?;
    DISK.with_borrow_mut(|disk| disk.sync(&memory))
}

fn forget_cache(file: &File) -> io::Result<()> {
    DISK.with_borrow_mut(|disk| {
        disk.lost.clear();
        file.set_len(disk.bytes.len() as u64)?;
        file.write_all_at(&disk.bytes, 0)
    })
}

fn key(byte: u8) -> UploadKey {
    UploadKey::new("owner", [byte; 16]).expect("a short owner")
}

fn put(byte: u8) -> Op {
    Op::Put(Stored {
        key: key(byte),
        record: vec![byte; RECORD_BYTES],
        expect: Expect::Absent,
        ttl_ms: 60_000,
        facts: Facts::default(),
        limit: None,
        is_receipt: false,
    })
}

/// RESUME-2: what was acknowledged after a sync failed is there after a loss of power, and so is what came before.
#[test]
fn a_commit_whose_sync_failed_is_not_built_upon() {
    let kinds: [fn(usize) -> bool; 4] = [
        |_| true,
        // All but the page that says which commit is the newest.
        |page| page > 0,
        |page| page == 0,
        |page| page % 2 == 1,
    ];
    let options = RedbOptions {
        durability: RedbDurability::Disk,
        ..RedbOptions::default()
    };
    for (kind, fails) in kinds.into_iter().enumerate() {
        DISK.set(Disk::default());
        let dir = tempfile::tempdir().expect("a directory");
        let mut home = Home::lock(dir.path().to_owned(), &options).expect("the only one");
        home.sync_data = sync_data;
        home.forget_cache = forget_cache;
        let reopen = || open(&home, &options).map(|(records, _)| records);
        let mut keeper = Keeper::new(home.file(), reopen().expect("opens"), reopen);
        let first: Vec<Op> = FIRST.map(put).collect();
        keeper.apply(first.iter()).expect("stored");

        DISK.with_borrow_mut(|disk| disk.fails = Some(fails));
        let failed = keeper.apply([put(1)].iter());
        let failed = failed.expect_err("the disk failed");
        assert_eq!(failed.kind(), StoreErrorKind::Unavailable);
        keeper.closed_at = Instant::now()
            .checked_sub(REOPEN_PAUSE)
            .expect("the machine is up");
        let outcomes = keeper.apply([put(200)].iter()).expect("open again");
        assert!(
            matches!(outcomes[..], [Outcome::Stored(_)]),
            "{kind}: {outcomes:?}"
        );

        // The power is lost.
        let left = DISK.with_borrow(|disk| disk.bytes.clone());
        let dir = tempfile::tempdir().expect("a directory");
        let home = Home::lock(dir.path().to_owned(), &options).expect("the only one");
        fs::write(home.file(), left).expect("written");
        let (mut records, _) = open(&home, &options)
            .unwrap_or_else(|error| panic!("{kind}: the file cannot be opened: {error:?}"));
        let acknowledged: Vec<Op> = FIRST
            .chain([200])
            .map(|byte| Op::Get { key: key(byte) })
            .collect();
        for found in records.apply(acknowledged.iter()).expect("read") {
            assert!(
                matches!(found, Outcome::Record(Some(_))),
                "{kind}: {found:?}"
            );
        }
    }
}
