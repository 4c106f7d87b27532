//! What an error of Postgres means to a caller.

use sqlx::Error;

use crate::error::{StoreError, StoreErrorKind};

/// Beginnings of SQLSTATEs of troubles that pass: connection, read-only, serialization,
/// resources, object in use, an operator's intervention, the system below.
const PASSING: [&str; 7] = ["08", "25006", "40", "53", "55", "57", "58"];

/// Codes of data that is damaged.
const CORRUPT: [&str; 2] = ["XX001", "XX002"];

/// Makes the caller's error of it.
pub(super) fn sort(error: Error) -> StoreError {
    StoreError::new(kind_of(&error), "postgres is in trouble").with_source(error)
}

/// Makes the caller's error of an address, without what the client library says: that may hold a password.
pub(super) fn not_understood() -> StoreError {
    StoreError::new(
        StoreErrorKind::Failed,
        "the address of the Postgres server is not understood",
    )
}

/// Returns whether the server takes no writes: it is, or became, a standby.
pub(super) fn is_read_only(error: &Error) -> bool {
    code(error).is_some_and(|code| code == "25006")
}

fn kind_of(error: &Error) -> StoreErrorKind {
    match error {
        Error::Io(_)
        | Error::Protocol(_)
        | Error::PoolTimedOut
        | Error::PoolClosed
        | Error::WorkerCrashed
        | Error::BeginFailed => StoreErrorKind::Unavailable,
        Error::Decode(_) | Error::ColumnDecode { .. } => StoreErrorKind::Corrupt,
        error => code(error).map_or(StoreErrorKind::Failed, |code| kind_of_code(&code)),
    }
}

fn kind_of_code(code: &str) -> StoreErrorKind {
    let begins = |one: &&str| code.starts_with(*one);
    if PASSING.iter().any(begins) {
        StoreErrorKind::Unavailable
    } else if CORRUPT.iter().any(begins) {
        StoreErrorKind::Corrupt
    } else {
        StoreErrorKind::Failed
    }
}

fn code(error: &Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_told_apart_from_what_does_not() {
        for (code, kind) in [
            ("08006", StoreErrorKind::Unavailable), // connection_failure
            ("25006", StoreErrorKind::Unavailable), // read_only_sql_transaction
            ("40001", StoreErrorKind::Unavailable), // serialization_failure
            ("40P01", StoreErrorKind::Unavailable), // deadlock_detected
            ("53100", StoreErrorKind::Unavailable), // disk_full
            ("53300", StoreErrorKind::Unavailable), // too_many_connections
            ("55P03", StoreErrorKind::Unavailable), // lock_not_available
            ("57014", StoreErrorKind::Unavailable), // query_canceled
            ("57P01", StoreErrorKind::Unavailable), // admin_shutdown
            ("57P03", StoreErrorKind::Unavailable), // cannot_connect_now
            ("58030", StoreErrorKind::Unavailable), // io_error
            ("XX001", StoreErrorKind::Corrupt),     // data_corrupted
            ("XX002", StoreErrorKind::Corrupt),     // index_corrupted
            ("28P01", StoreErrorKind::Failed),      // invalid_password
            ("3D000", StoreErrorKind::Failed),      // invalid_catalog_name
            ("42501", StoreErrorKind::Failed),      // insufficient_privilege
            ("42P01", StoreErrorKind::Failed),      // undefined_table
            ("25P02", StoreErrorKind::Failed),      // in_failed_sql_transaction
        ] {
            assert_eq!(kind_of_code(code), kind, "{code}");
        }
        assert_eq!(kind_of(&Error::PoolTimedOut), StoreErrorKind::Unavailable);
    }
}
