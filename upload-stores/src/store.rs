//! The trait every store implements, and what passes through it.

use std::any::Any;
use std::time::Duration;

use async_trait::async_trait;

use crate::count::{Counts, CountsAs, Facts, OwnerLimit};
use crate::error::{PutError, StoreError, StoreErrorKind};
use crate::key::UploadKey;
use crate::list::{Cursor, PAGE_RECORDS_MAX, Page};

/// The longest record a store takes, in bytes (PROTOCOL RESUME-1).
pub const RECORD_BYTES_MAX: usize = 16 * 1024;

/// The longest time to live; longer ones are cut to it.
pub const TTL_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Identifies one state of one record.
///
/// Every put gives the record a version it never had before, also after it was deleted, expired
/// and made again, so a holder of an old one always conflicts. Nothing else may be read into the
/// number: it need not grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version(pub u64);

/// A record and the version it had when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// The record, as it was put.
    pub record: Vec<u8>,
    /// The version to expect in the next put or delete.
    pub version: Version,
}

/// What the caller believes is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing: never put, deleted or expired.
    Absent,
    /// The record in exactly this version.
    Version(Version),
}

impl Expect {
    /// Returns whether the `current` version, `None` for a missing record, is the expected one.
    pub fn holds(self, current: Option<Version>) -> bool {
        match self {
            Self::Absent => current.is_none(),
            Self::Version(version) => current == Some(version),
        }
    }
}

/// What a put stores, and under which conditions.
#[derive(Clone, Copy, Debug)]
pub struct Put<'a> {
    /// The record, at most [`RECORD_BYTES_MAX`] bytes.
    pub record: &'a [u8],
    /// What must be stored for the put to happen.
    pub expect: Expect,
    /// The time to live, which starts anew with every put.
    ///
    /// It is rounded up to a whole millisecond, is at least one and at most [`TTL_MAX`].
    pub ttl: Duration,
    /// What the record is counted as from now on.
    pub facts: Facts,
    /// The most the owner may have of what the record counts as, with this one.
    ///
    /// The check and the put are one step: of any number of puts with the same limit, over all processes that
    /// share the store, exactly as many succeed as the limit permits. Puts without a limit are counted,
    /// never refused. Give one only where a put raises a count: a creation, a change of what the record
    /// counts as, more bytes. Some stores take a lock for it.
    pub limit: Option<OwnerLimit>,
    /// Whether the record only tells a client what became of its upload: nothing is lost with it but the answer.
    ///
    /// A store whose room is its own may drop an owner's oldest receipts before their time, where that owner has
    /// more than its share of the room. Of a record that counts as something it means nothing.
    pub receipt: bool,
}

impl<'a> Put<'a> {
    /// Makes a put of a record that counts as nothing, without a limit.
    pub fn new(record: &'a [u8], expect: Expect, ttl: Duration) -> Self {
        Self {
            record,
            expect,
            ttl,
            facts: Facts::default(),
            limit: None,
            receipt: false,
        }
    }

    /// Counts the record as these facts say.
    #[must_use]
    pub fn counted(self, facts: Facts) -> Self {
        Self { facts, ..self }
    }

    /// Refuses the put where it would raise what the owner has past this limit.
    #[must_use]
    pub fn limited(self, limit: OwnerLimit) -> Self {
        Self {
            limit: Some(limit),
            ..self
        }
    }

    /// Says whether the record is a [`receipt`](Self::receipt).
    #[must_use]
    pub fn receipt(self, receipt: bool) -> Self {
        Self { receipt, ..self }
    }

    /// Returns whether the record may be dropped before its time.
    pub(crate) fn is_receipt(&self) -> bool {
        match self.facts.counts_as {
            CountsAs::Nothing => self.receipt,
            CountsAs::Unfinished | CountsAs::Waiting => false,
        }
    }
}

/// Keeps small records under conditions, lists and counts them.
///
/// An expired record behaves exactly as a missing one, whether or not its space was freed. The
/// check of the expectation and the effect are one step: of any number of callers that expect the
/// same version, one wins.
///
/// Calls have a time limit. Dropping the future of a call leaves open whether it takes effect.
/// The `testing` feature has the conformance suite for implementations.
#[async_trait]
pub trait UploadStateStore: Send + Sync {
    /// Returns the store itself, or the one that this writes to, where it can do more than this trait says, such
    /// as write within a transaction of the application's.
    fn as_any(&self) -> Option<&dyn Any> {
        None
    }

    /// Returns the record under `key`, or `None` if it is missing or expired.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is in trouble.
    async fn get(&self, key: &UploadKey) -> Result<Option<Versioned>, StoreError>;

    /// Stores a record under `key` if what is there is as expected and its owner is within the limit, and
    /// returns the record's new version.
    ///
    /// # Errors
    ///
    /// - [`PutError::TooLarge`]: the record is over [`RECORD_BYTES_MAX`], whatever is expected.
    /// - [`PutError::Conflict`]: what is there is not what was expected.
    /// - [`PutError::OverLimit`]: the put would raise what the owner has past the limit.
    /// - [`PutError::Store`]: the store failed; the put may or may not have happened.
    async fn put_with(&self, key: &UploadKey, put: Put<'_>) -> Result<Version, PutError>;

    /// Stores a record that counts as nothing: [`put_with`](Self::put_with) in short.
    ///
    /// # Errors
    ///
    /// Those of [`put_with`](Self::put_with), but for the limit.
    async fn put(
        &self,
        key: &UploadKey,
        record: &[u8],
        expect: Expect,
        ttl: Duration,
    ) -> Result<Version, PutError> {
        self.put_with(key, Put::new(record, expect, ttl)).await
    }

    /// Removes the record under `key` if what is there is as expected.
    ///
    /// With [`Expect::Absent`] it succeeds if there is nothing to remove.
    ///
    /// # Errors
    ///
    /// - [`PutError::Conflict`]: what is there is not what was expected; so it is for a version of a record that
    ///   is missing by now.
    /// - [`PutError::Store`]: the store failed; the record may or may not be gone.
    async fn delete(&self, key: &UploadKey, expect: Expect) -> Result<(), PutError>;

    /// Returns about `most` records of `owner`, or of all owners for `None`, after those of the page that
    /// gave the cursor.
    ///
    /// `most` is at least 1 and at most [`PAGE_RECORDS_MAX`]. A walk from page to page, until one has no
    /// cursor, returns every record that is there all the while; what is made, changed or deleted meanwhile may
    /// be missing or come more than once.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is in trouble, or the cursor is not from this store.
    async fn list(
        &self,
        owner: Option<&str>,
        after: Option<&Cursor>,
        most: usize,
    ) -> Result<Page, StoreError>;

    /// Returns what `owner` has, or what all owners have together for `None`.
    ///
    /// Of one owner the numbers are exact and cost little. Those of all owners may be some moments old
    /// where the store is shared, and may cost a walk over all owners: ask every few seconds, not
    /// for every upload.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is in trouble.
    async fn count(&self, owner: Option<&str>) -> Result<Counts, StoreError>;

    /// Returns whether other processes see the same records at the same time.
    fn is_shared(&self) -> bool;

    /// Frees the space of expired records where the backend does not by itself, and returns how
    /// many it dropped.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is in trouble.
    async fn sweep(&self) -> Result<u64, StoreError> {
        Ok(0)
    }
}

/// An error for a cursor that another store made.
pub(crate) fn foreign_cursor() -> StoreError {
    StoreError::new(StoreErrorKind::Failed, "the cursor is of another store")
}

/// Returns how many records a page has at most.
pub(crate) fn page_records(most: usize) -> usize {
    most.clamp(1, PAGE_RECORDS_MAX)
}

/// Refuses a record that is too long.
pub(crate) fn check_record(record: &[u8]) -> Result<(), PutError> {
    if record.len() > RECORD_BYTES_MAX {
        return Err(PutError::TooLarge {
            bytes: record.len(),
            limit: RECORD_BYTES_MAX,
        });
    }
    Ok(())
}

/// Returns the time to live in whole milliseconds, rounded up, within 1 ms and [`TTL_MAX`].
pub(crate) fn ttl_millis(ttl: Duration) -> u64 {
    let millis = ttl.min(TTL_MAX).as_nanos().div_ceil(1_000_000).max(1);
    u64::try_from(millis).expect("TTL_MAX fits 64 bits of milliseconds")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expectations_hold_for_exactly_their_state() {
        let (one, two) = (Version(1), Version(2));
        assert!(Expect::Absent.holds(None));
        assert!(!Expect::Absent.holds(Some(one)));
        assert!(Expect::Version(one).holds(Some(one)));
        assert!(!Expect::Version(one).holds(Some(two)));
        assert!(!Expect::Version(one).holds(None));
    }

    #[test]
    fn times_to_live_are_rounded_up_and_bounded() {
        assert_eq!(ttl_millis(Duration::ZERO), 1);
        assert_eq!(ttl_millis(Duration::from_micros(1001)), 2);
        assert_eq!(ttl_millis(Duration::from_secs(3600)), 3_600_000);
        assert_eq!(ttl_millis(Duration::MAX), 366 * 24 * 3_600_000);
    }

    #[test]
    fn the_largest_record_passes_and_one_more_byte_does_not() {
        assert!(check_record(&vec![0; RECORD_BYTES_MAX]).is_ok());
        assert!(matches!(
            check_record(&vec![0; RECORD_BYTES_MAX + 1]),
            Err(PutError::TooLarge {
                bytes: 16_385,
                limit: 16_384
            })
        ));
    }
}
