//! What an error of Redis means to a caller.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::error::{StoreError, StoreErrorKind};

/// Codes of troubles that pass, beyond those the client library knows.
const PASSING_CODES: [&str; 12] = [
    "OOM",
    "BUSY",
    "MISCONF",
    "NOREPLICAS",
    "LOADING",
    "READONLY",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "MOVED",
    "UNKILLABLE",
    "UNBLOCKED",
];

/// Makes the caller's error of it.
pub(super) fn sort(error: RedisError) -> StoreError {
    let kind = if is_passing(&error) {
        StoreErrorKind::Unavailable
    } else if says(&error, "WRONGTYPE") {
        StoreErrorKind::Corrupt
    } else {
        StoreErrorKind::Failed
    };
    StoreError::new(kind, "redis is in trouble").with_source(error)
}

/// Returns whether the server does not have the script of this hash.
pub(super) fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// Returns whether the server refused because it is a replica, or one whose master is away: another
/// one may be the master now.
pub(super) fn is_of_a_replica(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown)
    ) || says(error, "READONLY")
        || says(error, "MASTERDOWN")
}

fn is_passing(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Io
            | ErrorKind::ClusterConnectionNotFound
            | ErrorKind::Server(
                ServerErrorKind::BusyLoading
                    | ServerErrorKind::ReadOnly
                    | ServerErrorKind::MasterDown
                    | ServerErrorKind::ClusterDown
                    | ServerErrorKind::TryAgain
                    | ServerErrorKind::Moved
                    | ServerErrorKind::Ask
            )
    ) || PASSING_CODES.iter().any(|code| says(error, code))
        || error
            .detail()
            .is_some_and(|detail| detail.contains("max number of clients"))
}

/// Returns whether the error has this code, or is the failure of a script whose own call had it:
/// Redis 6 puts that one's code inside the text.
fn says(error: &RedisError, code: &str) -> bool {
    error.code() == Some(code)
        || error.detail().is_some_and(|detail| {
            detail
                .split_whitespace()
                .any(|word| word.strip_prefix('-') == Some(code))
        })
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::*;

    /// What the client library makes of a line of the wire.
    fn kind_of(line: &str) -> StoreErrorKind {
        let wire = format!("-{line}\r\n");
        let error = redis::parse_redis_value(wire.as_bytes())
            .and_then(Value::extract_error)
            .expect_err("the line is an error");
        sort(error).kind()
    }

    #[test]
    fn what_passes_is_unavailable() {
        for line in [
            "LOADING Redis is loading the dataset in memory",
            "OOM command not allowed when used memory > 'maxmemory'.",
            "OOM command not allowed when used memory > 'maxmemory'. script: 1f, on @user_script:5.",
            "READONLY You can't write against a read only replica.",
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            "CLUSTERDOWN The cluster is down",
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "BUSY Redis is busy running a script.",
            "MISCONF Errors writing to the AOF file: No space left on device",
            "NOREPLICAS Not enough good replicas to write.",
            "ERR max number of clients reached",
            "ERR Error running script (call to f_1): @user_script:5: @user_script: 5: -OOM command \
             not allowed when used memory > 'maxmemory'.",
            "ERR Error running script (call to f_1): @user_script:5: @user_script: 5: -READONLY You \
             can't write against a read only replica.",
        ] {
            assert_eq!(kind_of(line), StoreErrorKind::Unavailable, "{line}");
        }
    }

    #[test]
    fn what_does_not_pass_is_told_apart() {
        let wrong_type = "WRONGTYPE Operation against a key holding the wrong kind of value";
        assert_eq!(kind_of(wrong_type), StoreErrorKind::Corrupt);
        for line in [
            "NOAUTH Authentication required.",
            "NOPERM this user has no permissions to run the 'evalsha' command",
            "ERR unknown command 'EVALSHA'",
        ] {
            assert_eq!(kind_of(line), StoreErrorKind::Failed, "{line}");
        }
    }
}
