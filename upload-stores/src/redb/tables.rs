//! The tables of the database, and how keys and counts are written in them.

use redb::{
    Database, Error, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
    TableError,
};

use crate::count::{Counts, CountsAs, Facts, Tally};
use crate::key::UploadKey;
use crate::store::{Version, Versioned};

/// Bytes that the store reckons with for each record, beyond the record and the name of its owner.
pub const REDB_OVERHEAD_BYTES: usize = 128;

/// What a receipt has in the place of what it counts as, which is nothing.
///
/// Earlier versions read every number that they do not know so.
const RECEIPT: u8 = 3;

/// Version, expiry (milliseconds since 1970), what it counts as, declared bytes, record.
pub(super) type Row<'a> = (u64, u64, u8, u64, &'a [u8]);

/// Number and bytes of unfinished, waiting and all records.
pub(super) type Sums = (u64, u64, u64, u64, u64, u64);

/// Length of the owner's name, owner and upload id, to the row.
///
/// With the length first, the records of an owner are one range.
pub(super) const RECORDS: TableDefinition<&[u8], Row> = TableDefinition::new("uploads");

/// Owner, to what it has, with what expired and was not swept yet.
pub(super) const OWNERS: TableDefinition<&str, Sums> = TableDefinition::new("owners");

/// What all owners have together.
pub(super) const TOTAL: TableDefinition<(), Sums> = TableDefinition::new("total");

/// Where the next process begins its versions, under [`NEXT_VERSION`].
pub(super) const COUNTERS: TableDefinition<&str, u64> = TableDefinition::new("counters");
pub(super) const NEXT_VERSION: &str = "next_version";

/// The layout of version 0.1: upload id and owner, to version, expiry and record.
const RECORDS_0_1: TableDefinition<&[u8], (u64, u64, &[u8])> = TableDefinition::new("records");

/// Moves what a file of version 0.1 has to the tables of today, where it counts as nothing.
pub(super) fn move_old_records(database: &Database) -> Result<(), Error> {
    match database.begin_read()?.open_table(RECORDS_0_1) {
        Ok(_) => {}
        Err(TableError::TableDoesNotExist(_)) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    let transaction = database.begin_write()?;
    {
        let old = transaction.open_table(RECORDS_0_1)?;
        let mut records = transaction.open_table(RECORDS)?;
        let mut owners = transaction.open_table(OWNERS)?;
        let mut total = Counts::default();
        for entry in old.iter()? {
            let (name, stored) = entry?;
            let (version, expires, record) = stored.value();
            let Some(key) = name
                .value()
                .split_first_chunk()
                .and_then(|(upload, owner)| {
                    UploadKey::new(str::from_utf8(owner).ok()?, *upload).ok()
                })
            else {
                continue;
            };
            let (facts, bytes) = (Facts::default(), bytes_of(&key, record));
            let row = (
                version,
                expires,
                facts.counts_as.code(),
                facts.bytes(),
                record,
            );
            records.insert(table_key(&key).as_slice(), row)?;
            let mut counts = owners
                .get(key.owner())?
                .map_or_else(Counts::default, |sums| from_sums(sums.value()));
            counts.add(facts, bytes);
            owners.insert(key.owner(), to_sums(counts))?;
            total.add(facts, bytes);
        }
        transaction.open_table(TOTAL)?.insert((), to_sums(total))?;
        tracing::info!(
            records = records.len()?,
            "moved the records of an older layout"
        );
    }
    transaction.delete_table(RECORDS_0_1)?;
    transaction.commit()?;
    Ok(())
}

/// The beginning of all keys of an owner, and of no key of another one.
pub(super) fn owner_prefix(owner: &str) -> Vec<u8> {
    let mut prefix = Vec::with_capacity(owner.len().saturating_add(17));
    // An owner has at most 255 bytes, and one with more has no records.
    prefix.push(u8::try_from(owner.len()).unwrap_or(u8::MAX));
    prefix.extend_from_slice(owner.as_bytes());
    prefix
}

pub(super) fn table_key(key: &UploadKey) -> Vec<u8> {
    let mut name = owner_prefix(key.owner());
    name.extend_from_slice(key.upload());
    name
}

/// Returns the key whose [`table_key`] this is.
pub(super) fn parse_key(name: &[u8]) -> Option<UploadKey> {
    let (length, rest) = name.split_first()?;
    let (owner, upload) = rest.split_at_checked(usize::from(*length))?;
    UploadKey::new(str::from_utf8(owner).ok()?, upload.try_into().ok()?).ok()
}

/// What a record takes up, in bytes.
pub(super) fn bytes_of(key: &UploadKey, record: &[u8]) -> u64 {
    let names = key.owner().len().saturating_add(REDB_OVERHEAD_BYTES);
    record.len().saturating_add(names) as u64
}

pub(super) fn facts_of(row: Row<'_>) -> Facts {
    // A receipt, or a number of a later version, counts as nothing here.
    Facts::new(CountsAs::from_code(row.2).unwrap_or_default(), row.3)
}

/// Returns the number that says what a record counts as, and whether it is a receipt.
pub(super) fn code_of(facts: Facts, is_receipt: bool) -> u8 {
    if is_receipt {
        RECEIPT
    } else {
        facts.counts_as.code()
    }
}

pub(super) fn is_receipt(row: Row<'_>) -> bool {
    row.2 == RECEIPT
}

pub(super) fn versioned(row: Row<'_>) -> Versioned {
    Versioned {
        record: row.4.to_vec(),
        version: Version(row.0),
    }
}

pub(super) fn is_live(row: Row<'_>, now: u64) -> bool {
    now < row.1
}

pub(super) fn to_sums(counts: Counts) -> Sums {
    (
        counts.unfinished.records,
        counts.unfinished.bytes,
        counts.waiting.records,
        counts.waiting.bytes,
        counts.all.records,
        counts.all.bytes,
    )
}

pub(super) fn from_sums(sums: Sums) -> Counts {
    let tally = |records, bytes| Tally { records, bytes };
    Counts {
        unfinished: tally(sums.0, sums.1),
        waiting: tally(sums.2, sums.3),
        all: tally(sums.4, sums.5),
    }
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;

    use super::*;

    #[test]
    fn keys_come_back_and_owners_are_ranges() {
        for owner in ["", "a", "a\0", &"ü".repeat(127)] {
            let key = UploadKey::new(owner, [7; 16]).expect("fits");
            let name = table_key(&key);
            assert!(name.starts_with(&owner_prefix(owner)));
            assert_eq!(parse_key(&name), Some(key));
        }
        let longer = UploadKey::new("ab", [7; 16]).expect("fits");
        assert!(!table_key(&longer).starts_with(&owner_prefix("a")));
        assert_eq!(parse_key(&[]), None);
        assert_eq!(parse_key(&[3, 1, 2]), None);
    }

    #[test]
    fn records_of_version_0_1_are_moved() {
        let database = Database::builder()
            .create_with_backend(InMemoryBackend::new())
            .expect("memory works");
        let key = UploadKey::new("owner", [7; 16]).expect("fits");
        let old_name = [key.upload().as_slice(), key.owner().as_bytes()].concat();
        let transaction = database.begin_write().expect("begins");
        transaction
            .open_table(RECORDS_0_1)
            .expect("opens")
            .insert(old_name.as_slice(), (5, u64::MAX, b"record".as_slice()))
            .expect("inserted");
        transaction.commit().expect("commits");

        for _ in 0..2 {
            move_old_records(&database).expect("moved, or nothing to move");
            let read = database.begin_read().expect("begins");
            let records = read.open_table(RECORDS).expect("opens");
            let row = records.get(table_key(&key).as_slice()).expect("read");
            let row = row.expect("it is there");
            assert_eq!(versioned(row.value()).record, b"record");
            assert_eq!(versioned(row.value()).version, Version(5));
            let total = read
                .open_table(TOTAL)
                .expect("opens")
                .get(())
                .expect("read");
            let total = from_sums(total.expect("counted").value());
            assert_eq!(total.all.records, 1);
        }
    }
}
