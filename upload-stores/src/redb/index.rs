//! The index of the records of each owner by expiry: what of an owner expired, and which of its receipts is the
//! oldest, are found without a look at any other record.
//!
//! A version that does not know the index leaves it as it is. It sets versions apart all the same, by which
//! the next one that knows it finds out, and builds it anew.

use redb::{Database, Error, ReadableDatabase, ReadableTable, TableDefinition, TableError};

use super::tables::{COUNTERS, NEXT_VERSION, RECORDS, Row, is_receipt, owner_prefix};

/// The place of each record: length of the owner's name, owner, whether it is a receipt, expiry (milliseconds since
/// 1970), upload id.
pub(super) const PLACES: TableDefinition<&[u8], ()> = TableDefinition::new("places");

/// [`NEXT_VERSION`] when the index was last known to be whole, among the counters.
pub(super) const INDEXED: &str = "indexed";

/// Bytes of a place between owner and upload id.
const MIDDLE_BYTES: usize = 9;

/// Returns the place of the record that has this name in the table of records.
pub(super) fn place_of(name: &[u8], row: Row<'_>) -> Option<Vec<u8>> {
    let (owner, upload) = name.split_last_chunk::<16>()?;
    let middle = [u8::from(is_receipt(row))];
    Some([owner, &middle, &row.1.to_be_bytes(), upload].concat())
}

/// Returns the name of the record that has this place.
pub(super) fn name_of(place: &[u8]) -> Option<Vec<u8>> {
    let (rest, upload) = place.split_last_chunk::<16>()?;
    let (owner, _) = rest.split_last_chunk::<MIDDLE_BYTES>()?;
    Some([owner, upload].concat())
}

/// Returns the first places of an owner's receipts, or of its other records, that expired by `now`.
pub(super) fn expired(
    places: &impl ReadableTable<&'static [u8], ()>,
    owner: &str,
    is_receipt: bool,
    now: u64,
    most: usize,
) -> Result<Vec<Vec<u8>>, Error> {
    let first = first(owner, is_receipt);
    let end = [&first[..], &now.saturating_add(1).to_be_bytes()].concat();
    let mut found = Vec::new();
    for entry in places.range::<&[u8]>(&first[..]..&end[..])?.take(most) {
        found.push(entry?.0.value().to_vec());
    }
    Ok(found)
}

/// Returns the place of the owner's receipt that expires first, but not of the one of this name.
pub(super) fn oldest_receipt(
    places: &impl ReadableTable<&'static [u8], ()>,
    owner: &str,
    but: &[u8],
) -> Result<Option<Vec<u8>>, Error> {
    let first = first(owner, true);
    let end = [&first[..], &[u8::MAX; 8]].concat();
    for entry in places.range::<&[u8]>(&first[..]..=&end[..])? {
        let (place, _) = entry?;
        if name_of(place.value()).is_some_and(|name| name != but) {
            return Ok(Some(place.value().to_vec()));
        }
    }
    Ok(None)
}

/// Builds the index, unless it is whole.
pub(super) fn build(database: &Database) -> Result<(), Error> {
    if is_whole(database)? {
        return Ok(());
    }
    let transaction = database.begin_write()?;
    transaction.delete_table(PLACES)?;
    {
        let mut places = transaction.open_table(PLACES)?;
        for entry in transaction.open_table(RECORDS)?.iter()? {
            let (name, stored) = entry?;
            if let Some(place) = place_of(name.value(), stored.value()) {
                places.insert(place.as_slice(), ())?;
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

fn is_whole(database: &Database) -> Result<bool, Error> {
    let counters = match database.begin_read()?.open_table(COUNTERS) {
        Ok(counters) => counters,
        Err(TableError::TableDoesNotExist(_)) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let next = counters.get(NEXT_VERSION)?.map(|next| next.value());
    let indexed = counters.get(INDEXED)?.map(|indexed| indexed.value());
    Ok(indexed.is_some() && indexed == next)
}

/// The beginning of the places of an owner's receipts, or of its other records.
fn first(owner: &str, is_receipt: bool) -> Vec<u8> {
    let mut first = owner_prefix(owner);
    first.push(is_receipt.into());
    first
}
