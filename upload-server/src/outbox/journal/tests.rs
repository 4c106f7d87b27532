//! One file, its readers and writers.

use std::{
    cell::RefCell,
    fs,
    io::{self, Seek, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use redb::{ReadTransaction, ReadableDatabase, TableDefinition, WriteTransaction};

use super::{
    Journal, JournalError, JournalOpenError,
    actor::SHRINK_FROM_BYTES,
    failed,
    place::{FILE, Place},
};

thread_local! {
    /// The directories whose names this thread made durable, in its order.
    pub(super) static SYNCED: RefCell<Vec<PathBuf>> = const { RefCell::new(Vec::new()) };
    /// What the disk has of the file that this thread opens, where memory holds something else.
    static DISK: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Has a file hold what the disk has.
pub(super) fn forget(mut file: &fs::File) -> io::Result<()> {
    DISK.with_borrow(|disk| match disk {
        None => Ok(()),
        Some(bytes) => {
            file.set_len(bytes.len() as u64)?;
            file.rewind()?;
            file.write_all(bytes)
        }
    })
}

const NUMBERS: TableDefinition<'_, u64, u64> = TableDefinition::new("numbers");

async fn put(journal: &Journal, key: u64) -> Result<u64, JournalError> {
    let put = move |transaction: &WriteTransaction| {
        let mut table = transaction.open_table(NUMBERS).map_err(failed)?;
        table.insert(key, key).map_err(failed)?;
        Ok(key)
    };
    journal.write(put).await
}

async fn count(journal: &Journal) -> Result<u64, JournalError> {
    use redb::ReadableTableMetadata;

    let count = |transaction: &ReadTransaction| {
        let table = transaction.open_table(NUMBERS).map_err(failed)?;
        table.len().map_err(failed)
    };
    journal.read(count).await
}

#[tokio::test]
async fn what_was_answered_is_there_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let journal = Journal::open(Some(dir.path())).expect("opened");
    let puts = (0..1000).map(|key| put(&journal, key));
    let puts = futures_util::future::join_all(puts).await;
    assert!(puts.iter().all(Result::is_ok));
    journal.close().await;
    assert_eq!(put(&journal, 1).await, Err(JournalError::Closed));
    assert_eq!(count(&journal).await, Err(JournalError::Closed));
    let journal = Journal::open(Some(dir.path())).expect("opened again");
    assert_eq!(count(&journal).await, Ok(1000));
}

/// A file that was just made is lost with its name, however often it was synced.
#[tokio::test]
async fn the_names_of_file_and_directories_are_durable_before_a_commit() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path();
    let of = |names: &[&str]| -> Vec<PathBuf> { names.iter().map(|it| root.join(it)).collect() };
    // The one above is synced again: the last process may have died before it came to that.
    for folders in [of(&["a/state", "a", ""]), of(&["a/state", "a"])] {
        SYNCED.take();
        let journal = Journal::open(Some(&root.join("a/state"))).expect("opened");
        assert_eq!(SYNCED.take(), folders);
        journal.close().await;
    }
}

/// After a sync that failed, memory holds what the disk does not have.
#[tokio::test]
async fn a_file_is_opened_as_the_disk_has_it() {
    let (dir, later) = (tempfile::tempdir(), tempfile::tempdir());
    let (dir, later) = (dir.expect("a directory"), later.expect("a directory"));
    let journal = Journal::open(Some(dir.path())).expect("opened");
    let copy = || fs::read(dir.path().join(FILE)).expect("read");
    put(&journal, 1).await.expect("put");
    let on_disk = copy();
    put(&journal, 2).await.expect("put");
    fs::write(later.path().join(FILE), copy()).expect("written");
    let place = Place::make(Some(later.path())).expect("there");
    DISK.set(Some(on_disk));
    let database = place.open();
    DISK.take();
    let database = database.expect("opened");
    let read = database.begin_read().expect("begun");
    let numbers = read.open_table(NUMBERS).expect("made by the first put");
    let is_there = |key: u64| numbers.get(key).expect("read").is_some();
    assert_eq!([1, 2].map(is_there), [true, false]);
}

#[tokio::test]
async fn there_is_one_holder() {
    let dir = tempfile::tempdir().expect("a directory");
    let _journal = Journal::open(Some(dir.path())).expect("opened");
    let second = Journal::open(Some(dir.path())).map(|_| ());
    assert!(
        matches!(second, Err(JournalOpenError::InUse(_))),
        "{second:?}"
    );
}

#[cfg(unix)]
#[tokio::test]
async fn only_its_user_can_read_it() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().expect("a directory");
    let state = dir.path().join("a/state");
    let mode = |path: &Path| {
        let metadata = fs::metadata(path).expect("there");
        metadata.permissions().mode() & 0o777
    };
    for _ in 0..2 {
        let journal = Journal::open(Some(&state)).expect("open");
        assert_eq!((mode(&state), mode(&state.join(FILE))), (0o700, 0o600));
        journal.close().await;
        let open = fs::Permissions::from_mode(0o644);
        fs::set_permissions(state.join(FILE), open).expect("changed");
    }
}

/// What was there a while ago takes up no room for ever.
#[tokio::test]
async fn the_file_gets_smaller_once_it_is_empty() {
    const TEXTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("texts");
    const COUNT: u64 = 4000;

    let dir = tempfile::tempdir().expect("a directory");
    let journal = Journal::open(Some(dir.path())).expect("opened");
    let length = || fs::metadata(dir.path().join(FILE)).expect("there").len();
    let change = |key: u64, is_there: bool| {
        journal.write(move |transaction| {
            let mut table = transaction.open_table(TEXTS).map_err(failed)?;
            match is_there {
                true => drop(table.insert(key, &[7; 1000][..]).map_err(failed)?),
                false => drop(table.remove(key).map_err(failed)?),
            }
            Ok(())
        })
    };
    let all: Vec<u64> = (0..COUNT).collect();
    for keys in all.chunks(200) {
        futures_util::future::join_all(keys.iter().map(|key| change(*key, true))).await;
    }
    let full = length();
    assert!(full > COUNT * 1000, "{full}");
    // Nothing is gained while it is full.
    journal.shrink_soon();
    put(&journal, 1).await.expect("put");
    assert!(length() >= full / 2, "{full} and {}", length());
    // What stays lies anywhere in the file.
    for keys in all.chunks(200) {
        let gone = keys.iter().filter(|key| *key % 400 != 399);
        futures_util::future::join_all(gone.map(|key| change(*key, false))).await;
    }
    let left = COUNT / 400;
    journal.shrink_soon();
    for round in 0.. {
        assert!(round < 500, "{full} and {}", length());
        put(&journal, 2).await.expect("put");
        if length() < SHRINK_FROM_BYTES {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let texts = journal.read(|transaction| {
        use redb::ReadableTableMetadata;

        let table = transaction.open_table(TEXTS).map_err(failed)?;
        table.len().map_err(failed)
    });
    assert_eq!(texts.await, Ok(left));
    assert_eq!(count(&journal).await, Ok(2));
}

#[tokio::test]
async fn a_change_that_fails_changes_nothing() {
    let journal = Journal::open(None).expect("opened");
    put(&journal, 1).await.expect("put");
    let bad = journal.write(|transaction| {
        let mut table = transaction.open_table(NUMBERS).map_err(failed)?;
        table.insert(2, 2).map_err(failed)?;
        Err::<(), _>(failed(redb::TableError::TableDoesNotExist(String::new())))
    });
    assert_eq!(bad.await, Err(JournalError::Failed));
    assert_eq!(count(&journal).await, Ok(1));
}

#[tokio::test]
async fn a_thread_that_panicked_has_failed_and_is_not_closed() {
    let journal = Journal::open(None).expect("opened");
    let broken = journal.write::<(), _>(|_| panic!("asked to panic"));
    assert_eq!(broken.await, Err(JournalError::Failed));
    assert_eq!(put(&journal, 1).await, Err(JournalError::Failed));
}
