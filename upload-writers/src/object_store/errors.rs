//! What an error of a store means to a writer.

use std::{error::Error as _, io};

use object_store::Error;

use crate::error::{WriteError, WriteErrorKind};

/// Judges what a store answered.
pub(super) fn judged(error: Error) -> WriteError {
    WriteError::new(kind(&error), error)
}

/// Tells what kind of failure it is.
pub(super) fn kind(error: &Error) -> WriteErrorKind {
    match error {
        Error::PermissionDenied { .. } => WriteErrorKind::Denied,
        // Credentials that have run out are renewed: what is stored must not be lost for that.
        Error::Unauthenticated { .. } => WriteErrorKind::Throttled,
        _ => of_source(error),
    }
}

/// Says whether the store does not know what it was asked to do.
pub(super) fn is_unsupported(error: &Error) -> bool {
    matches!(
        error,
        Error::NotSupported { .. } | Error::NotImplemented { .. }
    )
}

/// Says whether an unfinished upload is not there any more.
pub(super) fn is_gone(error: &Error) -> bool {
    match error {
        Error::NotFound { .. } => true,
        // The store in memory has no better word for it.
        Error::Generic { store, .. } => *store == "InMemory",
        _ => false,
    }
}

/// The statuses that tell of passing trouble, which outlasted the store's own tries.
const PASSING: [u16; 6] = [408, 429, 500, 502, 503, 504];

/// How the crate begins to tell of an answer with a status, of none, and of one that announced success but
/// told of passing trouble in its body.
const STATUS: &str = "Server returned non-2xx status code: ";
const UNANSWERED: [&str; 2] = ["HTTP error: ", "Server returned error response: "];

/// Looks for an error of the system, and for what became of a request.
fn of_source(error: &Error) -> WriteErrorKind {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return WriteErrorKind::of_io(error);
        }
        if let Some(kind) = of_text(&error.to_string()) {
            return kind;
        }
        source = error.source();
    }
    WriteErrorKind::Failed
}

/// Reads what the crate, which keeps its type for it private, writes of a request: `Error performing <method>
/// <URI> in <time> - <what became of it>`, or the last alone. Only its beginning is looked at: behind it may
/// be what the server wrote, and in it the name that a client gave its file.
fn of_text(text: &str) -> Option<WriteErrorKind> {
    let outcome = match text.strip_prefix("Error performing ") {
        // There are no blanks in a URI.
        Some(request) => request.split_once(" - ")?.1,
        None => text,
    };
    if UNANSWERED.iter().any(|words| outcome.starts_with(words)) {
        return Some(WriteErrorKind::Throttled);
    }
    let status = outcome.strip_prefix(STATUS)?.get(..3)?.parse().ok()?;
    match status {
        507 => Some(WriteErrorKind::Full),
        status if PASSING.contains(&status) => Some(WriteErrorKind::Throttled),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> WriteErrorKind {
        let error = judged(Error::Generic {
            store: "test",
            source: source.into(),
        });
        assert!(!error.to_string().contains("secret"));
        error.kind
    }

    /// MSG-4: what the store says stays in the source.
    #[test]
    fn errors_become_kinds() {
        let path = "secret".to_owned();
        let denied = Error::PermissionDenied {
            path,
            source: "secret".into(),
        };
        let denied = judged(denied);
        assert_eq!(denied.kind, WriteErrorKind::Denied);
        assert_eq!(denied.to_string(), "storage denied access");
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(kind(full), WriteErrorKind::Full);
        let read_only = io::Error::from(io::ErrorKind::ReadOnlyFilesystem);
        assert_eq!(kind(read_only), WriteErrorKind::Denied);
        for passing in [
            "Server returned non-2xx status code: 503 Service Unavailable: secret",
            "Server returned non-2xx status code: 500 Internal Server Error: secret",
            "Error performing PUT secret in 1s - HTTP error: error sending request",
            "Error performing POST secret in 1s - Server returned error response: SlowDown",
        ] {
            assert_eq!(kind(passing), WriteErrorKind::Throttled, "{passing}");
        }
        let full = "Server returned non-2xx status code: 507 Insufficient Storage";
        assert_eq!(kind(full), WriteErrorKind::Full);
        let named = "Error performing PUT http://x/status%20code:%20503 in 1s - \
                     Server returned non-2xx status code: 400 Bad Request: <Key>status code: 503</Key>";
        assert_eq!(kind(named), WriteErrorKind::Failed);
        let refused = "Server returned non-2xx status code: 400 Bad Request: secret";
        assert_eq!(kind(refused), WriteErrorKind::Failed);
        assert_eq!(kind("secret"), WriteErrorKind::Failed);
    }
}
