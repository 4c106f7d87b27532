//! What goes wrong while storing, and why an upload is thrown away.

use std::{error::Error, fmt, io};

use rustix::io::Errno;

/// What kind of failure storage reported; all a client ever learns of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WriteErrorKind {
    /// Storage refused: permissions, credentials, a read-only file system.
    Denied,
    /// No room: the disk is full or a quota is used up.
    Full,
    /// Out of reach for now: a rate limit, no file descriptor or memory left, a file server that cannot be
    /// reached, or storage that does not answer for longer than the writer waits. What is stored is kept, and
    /// the upload can be resumed once that is over (PROTOCOL RESUME-10).
    Throttled,
    /// Anything else, a broken contract included.
    Failed,
}

impl fmt::Display for WriteErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Denied => "storage denied access",
            Self::Full => "storage is full",
            Self::Throttled => "storage is overloaded",
            Self::Failed => "storage failed",
        })
    }
}

/// A failed call of a writer or of its factory.
///
/// It ends the call: a writer retries transient faults itself. A *temporary* one leaves a resumable
/// upload as it is, to be resumed once the trouble is over (PROTOCOL RESUME-10); any other ends it.
/// `Display` tells only the kind, so it may be shown to a client (PROTOCOL MSG-4);
/// paths, buckets and messages of the storage stand in [`Error::source`], for the log.
#[derive(Debug)]
pub struct WriteError {
    /// What to tell the client.
    pub kind: WriteErrorKind,
    is_temporary: bool,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl WriteError {
    /// Makes an error with what caused it, which only the log sees.
    ///
    /// It is temporary where its kind usually is.
    pub fn new(kind: WriteErrorKind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            source: Some(source.into()),
            ..kind.into()
        }
    }

    /// Says that what is stored is not touched by it, and that trying later may help.
    #[must_use]
    pub fn temporary(self) -> Self {
        Self {
            is_temporary: true,
            ..self
        }
    }

    /// Returns whether a resumable upload is kept, to be resumed later.
    pub fn is_temporary(&self) -> bool {
        self.is_temporary
    }

    /// Makes the error that answers a call the contract does not allow here.
    pub fn misuse(what: &'static str) -> Self {
        Self::new(WriteErrorKind::Failed, what)
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl Error for WriteError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.source {
            Some(source) => Some(source.as_ref()),
            None => None,
        }
    }
}

impl From<WriteErrorKind> for WriteError {
    fn from(kind: WriteErrorKind) -> Self {
        Self {
            kind,
            is_temporary: matches!(kind, WriteErrorKind::Full | WriteErrorKind::Throttled),
            source: None,
        }
    }
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        Self::new(WriteErrorKind::of_io(&error), error)
    }
}

impl WriteErrorKind {
    /// Judges an error of the system.
    pub(crate) fn of_io(error: &io::Error) -> Self {
        match Errno::from_io_error(error) {
            Some(Errno::NOSPC | Errno::DQUOT) => Self::Full,
            Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN) => Self::Throttled,
            // A file server that does not answer. One that lost the file, as `STALE` says, may have lost bytes of it.
            Some(
                Errno::TIMEDOUT
                | Errno::NOLCK
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
                | Errno::NETUNREACH,
            ) => Self::Throttled,
            Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => Self::Denied,
            Some(_) => Self::Failed,
            None => match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::Denied,
                _ => Self::Failed,
            },
        }
    }
}

impl From<Errno> for WriteError {
    fn from(errno: Errno) -> Self {
        io::Error::from(errno).into()
    }
}

/// Why an upload is thrown away.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AbortReason {
    /// More bytes came than this limit, in bytes.
    SizeLimit(u64),
    /// The client or the application cancelled it.
    Cancelled,
    /// Its connection ended and the upload is not resumable.
    SessionClosed,
    /// It was not continued in time.
    Expired,
    /// The content is not what its name and type say.
    ContentMismatch,
    /// The bytes do not have the checksum the client sent.
    ChecksumMismatch,
    /// The writer itself failed.
    Storage(WriteErrorKind),
}

impl fmt::Display for AbortReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SizeLimit(limit) => write!(f, "File size exceeds limit ({limit} bytes)"),
            Self::Cancelled => f.write_str("upload cancelled"),
            Self::SessionClosed => f.write_str("session closed"),
            Self::Expired => f.write_str("upload expired"),
            Self::ContentMismatch => f.write_str("content does not match its type"),
            Self::ChecksumMismatch => f.write_str("checksum does not match"),
            Self::Storage(kind) => kind.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_errors_become_kinds() {
        let cases = [
            (Errno::NOSPC, WriteErrorKind::Full),
            (Errno::DQUOT, WriteErrorKind::Full),
            (Errno::MFILE, WriteErrorKind::Throttled),
            (Errno::NFILE, WriteErrorKind::Throttled),
            (Errno::NOMEM, WriteErrorKind::Throttled),
            (Errno::AGAIN, WriteErrorKind::Throttled),
            (Errno::TIMEDOUT, WriteErrorKind::Throttled),
            (Errno::STALE, WriteErrorKind::Failed),
            (Errno::NOLCK, WriteErrorKind::Throttled),
            (Errno::HOSTDOWN, WriteErrorKind::Throttled),
            (Errno::HOSTUNREACH, WriteErrorKind::Throttled),
            (Errno::NETUNREACH, WriteErrorKind::Throttled),
            (Errno::NOTCONN, WriteErrorKind::Failed),
            (Errno::ACCESS, WriteErrorKind::Denied),
            (Errno::PERM, WriteErrorKind::Denied),
            (Errno::ROFS, WriteErrorKind::Denied),
            (Errno::IO, WriteErrorKind::Failed),
            (Errno::NOENT, WriteErrorKind::Failed),
        ];
        for (errno, kind) in cases {
            assert_eq!(WriteError::from(io::Error::from(errno)).kind, kind);
            assert_eq!(WriteError::from(errno).kind, kind);
        }
        let made_up = io::Error::new(io::ErrorKind::StorageFull, "x");
        assert_eq!(WriteError::from(made_up).kind, WriteErrorKind::Full);
    }

    /// RESUME-10: what may pass by itself costs nothing of what is stored.
    #[test]
    fn errors_say_whether_they_are_temporary() {
        use WriteErrorKind::{Denied, Failed, Full, Throttled};
        for (kind, is_temporary) in [
            (Denied, false),
            (Full, true),
            (Throttled, true),
            (Failed, false),
        ] {
            assert_eq!(WriteError::from(kind).is_temporary(), is_temporary);
            assert_eq!(WriteError::new(kind, "x").is_temporary(), is_temporary);
            assert!(WriteError::from(kind).temporary().is_temporary());
        }
    }

    /// MSG-4: what a client may see names no path; the log finds it in the source.
    #[test]
    fn display_hides_the_source() {
        let error = WriteError::new(WriteErrorKind::Denied, "arn:aws:s3:::secret-bucket/key.pem");
        assert_eq!(error.to_string(), "storage denied access");
        let source = error.source().expect("has a source");
        assert!(source.to_string().contains("secret-bucket"));
        assert!(WriteError::from(WriteErrorKind::Full).source().is_none());
    }

    #[test]
    fn reasons_have_their_texts() {
        let text = |reason: AbortReason| reason.to_string();
        assert_eq!(
            text(AbortReason::SizeLimit(10)),
            "File size exceeds limit (10 bytes)"
        );
        assert_eq!(text(AbortReason::Cancelled), "upload cancelled");
        assert_eq!(text(AbortReason::SessionClosed), "session closed");
        assert_eq!(
            text(AbortReason::Storage(WriteErrorKind::Full)),
            "storage is full"
        );
    }
}
