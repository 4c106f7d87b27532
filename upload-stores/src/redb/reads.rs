//! Reading records, within a transaction of either kind.

use std::ops::Bound;

use redb::{Error, ReadableTable};

use super::tables::{Row, facts_of, is_live, owner_prefix, parse_key, table_key, versioned};
use crate::key::UploadKey;
use crate::list::{Cursor, Listed, Page};
use crate::store::Versioned;

pub(super) fn record(
    records: &impl ReadableTable<&'static [u8], Row<'static>>,
    key: &UploadKey,
    now: u64,
) -> Result<Option<Versioned>, Error> {
    Ok(records
        .get(table_key(key).as_slice())?
        .filter(|stored| is_live(stored.value(), now))
        .map(|stored| versioned(stored.value())))
}

/// A page of the records after the cursor, which is a name of the table, or empty for the first page.
pub(super) fn page(
    records: &impl ReadableTable<&'static [u8], Row<'static>>,
    owner: Option<&str>,
    after: &[u8],
    most: usize,
    now: u64,
) -> Result<Page, Error> {
    let prefix = owner.map(owner_prefix).unwrap_or_default();
    let from = if after.is_empty() {
        Bound::Included(prefix.as_slice())
    } else {
        Bound::Excluded(after)
    };
    let mut page = Page::default();
    let mut last = Vec::new();
    for (seen, entry) in records
        .range::<&[u8]>((from, Bound::Unbounded))?
        .enumerate()
    {
        let (name, stored) = entry?;
        if !is_of(name.value(), owner, &prefix) {
            break;
        }
        if seen == most {
            page.next = Some(Cursor::new(last));
            break;
        }
        name.value().clone_into(&mut last);
        let row = stored.value();
        if let Some(key) = parse_key(name.value())
            && is_live(row, now)
        {
            page.records.push(Listed {
                key,
                stored: versioned(row),
                facts: facts_of(row),
            });
        }
    }
    Ok(page)
}

/// Returns whether a row of this name is one of the owner's, or of any owner for `None`.
fn is_of(name: &[u8], owner: Option<&str>, prefix: &[u8]) -> bool {
    owner.is_none() || name.starts_with(prefix)
}
