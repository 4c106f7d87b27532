//! What an error of a store means to a writer.

use std::{error::Error as _, io};

use object_store::Error;

use crate::error::{WriteError, WriteErrorKind};

/// Judges what a store answered.
pub(super) fn judged(error: Error) -> WriteError {
    let kind = match &error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => WriteErrorKind::Denied,
        _ => of_source(&error),
    };
    WriteError::new(kind, error)
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
const PASSING: [&str; 6] = ["408", "429", "500", "502", "503", "504"];

/// What the crate writes where there was no answer, and where one announced success but told of
/// passing trouble in its body.
const UNANSWERED: [&str; 2] = ["HTTP error: ", "Server returned error response: "];

/// Looks for an error of the system, and for what became of a request: the crate keeps its own type
/// of the latter private, and writes it into the text.
fn of_source(error: &Error) -> WriteErrorKind {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return WriteErrorKind::of_io(error);
        }
        let text = error.to_string();
        let has_status = |status: &str| {
            let named = text.contains(&format!("status {status}"));
            named || text.contains(&format!("status code: {status}"))
        };
        if has_status("507") {
            return WriteErrorKind::Full;
        }
        let is_unanswered = UNANSWERED.iter().any(|words| text.contains(words));
        if is_unanswered || PASSING.into_iter().any(has_status) {
            return WriteErrorKind::Throttled;
        }
        source = error.source();
    }
    WriteErrorKind::Failed
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
        let refused = "Server returned non-2xx status code: 400 Bad Request: secret";
        assert_eq!(kind(refused), WriteErrorKind::Failed);
        assert_eq!(kind("secret"), WriteErrorKind::Failed);
    }
}
