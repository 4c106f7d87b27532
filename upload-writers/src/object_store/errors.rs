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

/// Says whether an object or an unfinished upload is not there, as far as the store itself said so: a proxy before
/// it may answer 404 as well, with a page or with nothing.
pub(super) fn is_gone(error: &Error) -> bool {
    match error {
        Error::NotFound { .. } => {
            told_of_404(error).is_none_or(|told| GONE.iter().any(|code| told.contains(code)))
        }
        // The store in memory has no better word for it.
        Error::Generic { store, .. } => *store == "InMemory",
        _ => false,
    }
}

/// How the stores say what is not there. What they repeat of a name is escaped, and cannot be one of these.
const GONE: [&str; 3] = [
    "<Code>NoSuchUpload</Code>",
    "<Code>NoSuchKey</Code>",
    "<Code>BlobNotFound</Code>",
];

/// How an answer begins to name its code; without one it is not the store's.
const CODE: &str = "<Code>";

/// Returns what stood in a server's answer 404, if there was one: not every store has a server.
fn told_of_404(error: &Error) -> Option<String> {
    let mut source = error.source();
    while let Some(error) = source {
        let text = error.to_string();
        if let Some((404, told)) = answered(&text) {
            return Some(told.to_owned());
        }
        source = error.source();
    }
    None
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
/// <URI> in <time> - <what became of it>`, or the last alone. Its beginning tells: behind it may
/// be what the server wrote, and in it the name that a client gave its file.
fn outcome(text: &str) -> Option<&str> {
    match text.strip_prefix("Error performing ") {
        // There are no blanks in a URI.
        Some(request) => Some(request.split_once(" - ")?.1),
        None => Some(text),
    }
}

/// Returns the status of an answer, and what stood in it.
fn answered(text: &str) -> Option<(u16, &str)> {
    let (status, told) = outcome(text)?.strip_prefix(STATUS)?.split_at_checked(3)?;
    Some((status.parse().ok()?, told))
}

/// Judges what became of a request.
fn of_text(text: &str) -> Option<WriteErrorKind> {
    let outcome = outcome(text)?;
    if UNANSWERED.iter().any(|words| outcome.starts_with(words)) {
        return Some(WriteErrorKind::Throttled);
    }
    match answered(text)? {
        (507, _) => Some(WriteErrorKind::Full),
        (404, told) if !told.contains(CODE) => Some(WriteErrorKind::Throttled),
        (status, _) if PASSING.contains(&status) => Some(WriteErrorKind::Throttled),
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

    /// RESUME-10: a 404 of a proxy says nothing about what the store has.
    #[test]
    fn only_the_store_says_what_is_gone() {
        let not_found = |text: &str| Error::NotFound {
            path: "secret".to_owned(),
            source: text.into(),
        };
        let page = "Error performing PUT http://x/u in 1s - \
                    Server returned non-2xx status code: 404 Not Found: 404 page not found";
        let nothing = "Server returned non-2xx status code: 404 Not Found: ";
        let named = "Server returned non-2xx status code: 404 Not Found: \
                     /u/&lt;Code&gt;NoSuchUpload&lt;/Code&gt; is not here";
        for text in [page, nothing, named] {
            let error = not_found(text);
            assert!(!is_gone(&error), "{text}");
            assert_eq!(judged(error).kind, WriteErrorKind::Throttled, "{text}");
        }
        for code in ["NoSuchUpload", "NoSuchKey", "BlobNotFound"] {
            let answer = format!("<Error><Code>{code}</Code></Error>");
            let text = format!("{nothing}{answer}");
            assert!(is_gone(&not_found(&text)), "{code}");
        }
        let bucket = format!("{nothing}<Error><Code>NoSuchBucket</Code></Error>");
        let bucket = not_found(&bucket);
        assert!(!is_gone(&bucket));
        assert_eq!(judged(bucket).kind, WriteErrorKind::Failed);
        assert!(is_gone(&not_found("no server was asked")));
    }
}
