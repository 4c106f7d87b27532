//! Walks over the keys of an owner, or of a whole server or cluster, in small steps.

use redis::Cmd;

use super::connection::Retry;
use super::keys::{self, Names, unpack};
use super::{RedisStore, trouble};
use crate::count::{Counts, Tally};
use crate::error::StoreError;
use crate::key::UploadKey;
use crate::list::{Cursor, Listed, Page};
use crate::store::foreign_cursor;

/// Keys that one step of a count looks at: most are not of the kind it asks for.
const SCAN_COUNT: usize = 256;

impl RedisStore {
    /// Returns a page of an owner's records, or of all.
    pub(super) async fn walk(
        &self,
        owner: Option<&str>,
        after: Option<&Cursor>,
        most: usize,
    ) -> Result<Page, StoreError> {
        let (slot, at) = after.map_or(Ok((0, 0)), parse_cursor)?;
        if let Some(owner) = owner {
            return self.list_of(owner, at, most).await;
        }
        let pattern = keys::all_records(&self.prefix);
        let (names, next) = self.scan(&pattern, (slot, at), most).await?;
        let keys = names
            .iter()
            .filter_map(|name| keys::parse(&self.prefix, name));
        Ok(Page {
            records: self.read_all(keys.collect()).await?,
            next: next.map(|(slot, at)| cursor(slot, at)),
        })
    }

    /// Returns the records under these names that are still there and are records.
    async fn read_all(&self, keys: Vec<UploadKey>) -> Result<Vec<Listed>, StoreError> {
        let reads: Vec<Cmd> = keys.iter().map(|key| self.read(key)).collect();
        let values: Vec<Option<Vec<u8>>> = self
            .connector
            .query_each(&reads)
            .await
            .map_err(trouble::sort)?;
        Ok(keys
            .into_iter()
            .zip(values)
            .filter_map(|(key, value)| {
                let (stored, facts) = unpack(value?).ok()?;
                Some(Listed { key, stored, facts })
            })
            .collect())
    }

    async fn list_of(&self, owner: &str, at: u64, most: usize) -> Result<Page, StoreError> {
        let mut command = Cmd::new();
        command
            .arg("HSCAN")
            .arg(Names::of(&self.prefix, owner).facts())
            .arg(at)
            .arg("COUNT")
            .arg(most);
        let (next, fields): (u64, Vec<(String, String)>) = self
            .connector
            .query(&command, Retry::Always)
            .await
            .map_err(trouble::sort)?;
        // Besides uploads there are the sums.
        let uploads = fields
            .iter()
            .filter_map(|(field, _)| keys::unhex(field)?.try_into().ok());
        let keys = uploads.filter_map(|upload| UploadKey::new(owner, upload).ok());
        Ok(Page {
            records: self.read_all(keys.collect()).await?,
            next: (next != 0).then(|| cursor(0, next)),
        })
    }

    /// One step of a walk over all keys that match, on the server of this slot, and where the next begins.
    async fn scan(
        &self,
        pattern: &str,
        (slot, at): (u16, u64),
        count: usize,
    ) -> Result<(Vec<String>, Option<(u16, u64)>), StoreError> {
        let mut command = Cmd::new();
        command
            .arg("SCAN")
            .arg(at)
            .arg("MATCH")
            .arg(pattern)
            .arg("COUNT")
            .arg(count);
        let (next, names): (u64, Vec<String>) = self
            .connector
            .query_at(slot, &command)
            .await
            .map_err(trouble::sort)?;
        if next != 0 {
            return Ok((names, Some((slot, next))));
        }
        let primaries = self.connector.primaries().await.map_err(trouble::sort)?;
        let next = primaries.into_iter().find(|&other| other > slot);
        Ok((names, next.map(|slot| (slot, 0))))
    }

    /// Returns what all owners have together.
    pub(super) async fn count_all(&self) -> Result<Counts, StoreError> {
        let pattern = keys::all_facts(&self.prefix);
        let mut total = Counts::default();
        let mut at = Some((0, 0));
        while let Some(from) = at {
            let (names, next) = self.scan(&pattern, from, SCAN_COUNT).await?;
            let reads: Vec<Cmd> = names
                .iter()
                .map(|name| {
                    let mut command = Cmd::new();
                    command.arg("HMGET").arg(name).arg(&SUMS);
                    command
                })
                .collect();
            let sums: Vec<[Option<u64>; 6]> = self
                .connector
                .query_each(&reads)
                .await
                .map_err(trouble::sort)?;
            for sums in sums {
                total = total.plus(counts(sums.map(Option::unwrap_or_default)));
            }
            at = next;
        }
        Ok(total)
    }
}

/// Names of an owner's sums among its facts.
const SUMS: [&str; 6] = ["n1", "b1", "n2", "b2", "n", "b"];

pub(super) fn counts([n1, b1, n2, b2, n, b]: [u64; 6]) -> Counts {
    let tally = |records, bytes| Tally { records, bytes };
    Counts {
        unfinished: tally(n1, b1),
        waiting: tally(n2, b2),
        all: tally(n, b),
    }
}

fn cursor(slot: u16, at: u64) -> Cursor {
    Cursor::new([&slot.to_be_bytes()[..], &at.to_be_bytes()].concat())
}

fn parse_cursor(cursor: &Cursor) -> Result<(u16, u64), StoreError> {
    let parts = cursor.as_bytes().split_first_chunk();
    parts
        .and_then(|(slot, at)| {
            let at = u64::from_be_bytes(at.try_into().ok()?);
            Some((u16::from_be_bytes(*slot), at))
        })
        .ok_or_else(foreign_cursor)
}
