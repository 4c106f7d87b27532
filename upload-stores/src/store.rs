//! The trait every store implements, and what passes through it.

use std::time::Duration;

use async_trait::async_trait;

use crate::error::{PutError, StoreError};
use crate::key::UploadKey;

/// The longest record a store takes, in bytes (PROTOCOL RESUME-1).
pub const RECORD_BYTES_MAX: usize = 16 * 1024;

/// The longest time to live; longer ones are cut to it.
pub const TTL_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Identifies one state of one record.
///
/// Every put gives the record a version it never had before, also after it was deleted, expired
/// and made again, so whoever holds an old one always conflicts. Nothing else may be read into the
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

/// Keeps small records under conditions.
///
/// An expired record behaves exactly as a missing one, whether or not its space was freed. The
/// check of the expectation and the effect are one step: of any number of callers that expect the
/// same version, one wins.
///
/// Calls never wait for ever. Dropping the future of a call leaves open whether it takes effect.
/// The `testing` feature has the conformance suite for implementations.
#[async_trait]
pub trait UploadStateStore: Send + Sync {
    /// Returns the record under `key`, or `None` if it is missing or expired.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is in trouble.
    async fn get(&self, key: &UploadKey) -> Result<Option<Versioned>, StoreError>;

    /// Stores `record` under `key` for `ttl` if what is there is as expected, and returns its new
    /// version.
    ///
    /// The time to live starts anew with every put. It is rounded up to a whole millisecond, is at
    /// least one and at most [`TTL_MAX`].
    ///
    /// # Errors
    ///
    /// [`PutError::TooLarge`] if the record is over [`RECORD_BYTES_MAX`], whatever is expected;
    /// [`PutError::Conflict`] if what is there is not what was expected; [`PutError::Store`] if the
    /// store is in trouble, and then the put may or may not have happened.
    async fn put(
        &self,
        key: &UploadKey,
        record: &[u8],
        expect: Expect,
        ttl: Duration,
    ) -> Result<Version, PutError>;

    /// Removes the record under `key` if what is there is as expected.
    ///
    /// With [`Expect::Absent`] it succeeds if there is nothing to remove.
    ///
    /// # Errors
    ///
    /// [`PutError::Conflict`] if what is there is not what was expected, which includes a version
    /// of a record that is missing by now; [`PutError::Store`] if the store is in trouble, and then
    /// the record may or may not be gone.
    async fn delete(&self, key: &UploadKey, expect: Expect) -> Result<(), PutError>;

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

/// Refuses a record over the limit.
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
