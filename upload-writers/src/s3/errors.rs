//! What a failed request of the SDK means to a writer.

use std::{error::Error, fmt, io};

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};

use crate::error::{WriteError, WriteErrorKind};

/// A failed request.
#[derive(Debug)]
pub(super) struct Failure {
    /// What the client is told, should it be final.
    pub(super) kind: WriteErrorKind,
    /// Whether trying again may help.
    pub(super) transient: bool,
    /// Whether it may have taken effect although it failed.
    pub(super) uncertain: bool,
    /// What it says about the thing it was about.
    pub(super) meaning: Meaning,
    source: Box<dyn Error + Send + Sync>,
}

/// What a failure says about an object or an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It is not there.
    Missing,
    /// It is there already.
    Exists,
    /// Nothing in particular.
    None,
}

impl Failure {
    /// No answer in time.
    pub(super) fn timeout() -> Self {
        Self::doubtful("no answer in time")
    }

    /// An answer that leaves open whether the request took effect; asking again may tell.
    pub(super) fn doubtful(what: &'static str) -> Self {
        Self::passing(what).in_doubt()
    }

    /// An answer that makes no sense; asking again would not change it.
    pub(super) fn unusable(what: &'static str) -> Self {
        Self::lasting(what)
    }

    /// Whatever it says, it may be the doing of an earlier try; asking again may tell.
    pub(super) fn in_doubt(self) -> Self {
        let kind = match self.kind {
            WriteErrorKind::Failed => WriteErrorKind::Throttled,
            kind => kind,
        };
        Self {
            kind,
            transient: true,
            uncertain: true,
            ..self
        }
    }

    /// Trouble that costs nothing of what is stored, should it outlast all tries: the upload can be
    /// gone on with once it is over.
    fn passing(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            kind: WriteErrorKind::Throttled,
            transient: true,
            ..Self::lasting(source)
        }
    }

    fn lasting(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            kind: WriteErrorKind::Failed,
            transient: false,
            uncertain: false,
            meaning: Meaning::None,
            source: source.into(),
        }
    }

    /// Judges what the SDK answered.
    pub(super) fn of<E>(error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        match &error {
            SdkError::ServiceError(answer) => {
                let status = answer.raw().status().as_u16();
                let judged = judge(answer.err().code(), status);
                Self {
                    source: error.into(),
                    ..judged
                }
            }
            SdkError::ResponseError(answer) => {
                let judged = judge(None, answer.raw().status().as_u16());
                Self {
                    // Not even a code: cut off, or something else than S3 answered.
                    source: error.into(),
                    ..judged.in_doubt()
                }
            }
            SdkError::TimeoutError(_) => Self::passing(error).in_doubt(),
            // Whoever answers is not who he should be, or speaks no TLS: waiting does not help.
            SdkError::DispatchFailure(_) if is_garbled(&error) => Self::lasting(error),
            SdkError::DispatchFailure(failure) => {
                // Whatever is no trouble of the line is trouble before it: no credentials, no
                // signature, a request that cannot be built.
                let of_line = failure.is_io() || failure.is_timeout();
                let retryable = failure
                    .as_connector_error()
                    .is_some_and(|error| error.as_other().is_some());
                if of_line || retryable {
                    Self::passing(error).in_doubt()
                } else {
                    Self {
                        kind: WriteErrorKind::Denied,
                        ..Self::lasting(error)
                    }
                }
            }
            _ => Self::lasting(error),
        }
    }
}

/// Tells whether what came over the line made no sense to whoever read it, as it is with a certificate that
/// nobody vouches for.
fn is_garbled(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        // An error of I/O around another one hides it from `source`.
        let mut inner = error.downcast_ref::<io::Error>();
        while let Some(error) = inner {
            if error.kind() == io::ErrorKind::InvalidData {
                return true;
            }
            inner = error.get_ref().and_then(|error| error.downcast_ref());
        }
        next = error.source();
    }
    false
}

/// Judges an answer by its code and, where that is unknown, by its HTTP status.
fn judge(code: Option<&str>, status: u16) -> Failure {
    use WriteErrorKind::{Denied, Failed, Full, Throttled};
    let code = code.unwrap_or_default();
    let mut failure = Failure::lasting("");
    (failure.kind, failure.transient) = match code {
        "SlowDown"
        | "Throttling"
        | "ThrottlingException"
        | "TooManyRequests"
        | "RequestLimitExceeded"
        | "BandwidthLimitExceeded"
        | "ServerBusy" => (Throttled, true),
        "QuotaExceeded"
        | "QuotaExceededException"
        | "InsufficientStorage"
        | "XMinioStorageFull"
        | "XMinioAdminBucketQuotaExceeded"
        | "ServiceQuotaExceeded" => (Full, false),
        "AccessDenied"
        | "AllAccessDisabled"
        | "AccountProblem"
        | "ExpiredToken"
        | "InvalidAccessKeyId"
        | "InvalidToken"
        | "SignatureDoesNotMatch"
        | "RequestTimeTooSkewed"
        | "NotSignedUp" => (Denied, false),
        // Bytes that changed on the way; the next try sends them again. Where they change each time,
        // waiting does not help.
        "BadDigest"
        | "XAmzContentChecksumMismatch"
        | "XAmzContentSHA256Mismatch"
        | "IncompleteBody" => (Failed, true),
        "RequestTimeout" | "InternalError" | "OperationAborted" | "ConditionalRequestConflict" => {
            (Throttled, true)
        }
        _ => match status {
            401 | 403 => (Denied, false),
            429 | 503 => (Throttled, true),
            507 => (Full, false),
            // 200: an error in the body of an answer that began well, as S3 may do when completing.
            200..300 | 408 | 500 | 502 | 504 => (Throttled, true),
            _ => (Failed, false),
        },
    };
    failure.uncertain = failure.transient && !(300..500).contains(&status);
    failure.meaning = match (code, status) {
        ("NoSuchUpload" | "NoSuchKey" | "NotFound", _) | ("", 404) => Meaning::Missing,
        ("PreconditionFailed", _) | (_, 412) => Meaning::Exists,
        _ => Meaning::None,
    };
    failure
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source)?;
        let mut source = self.source.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

impl From<Failure> for WriteError {
    fn from(failure: Failure) -> Self {
        Self::new(failure.kind, failure.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_nobody_vouches_for_is_found_in_its_wrapping() {
        let garbled = || io::Error::new(io::ErrorKind::InvalidData, "invalid peer certificate");
        assert!(is_garbled(&garbled()));
        assert!(is_garbled(&io::Error::other(garbled())));
        assert!(!is_garbled(&io::Error::from(
            io::ErrorKind::ConnectionRefused
        )));
    }

    #[test]
    fn codes_become_kinds() {
        use WriteErrorKind::{Denied, Failed, Full, Throttled};
        let cases = [
            ("AccessDenied", 403, Denied, false),
            ("SignatureDoesNotMatch", 403, Denied, false),
            ("", 403, Denied, false),
            ("", 401, Denied, false),
            ("SomethingNew", 403, Denied, false),
            ("SlowDown", 503, Throttled, true),
            ("", 503, Throttled, true),
            ("", 429, Throttled, true),
            ("QuotaExceeded", 403, Full, false),
            ("XMinioStorageFull", 507, Full, false),
            ("", 507, Full, false),
            ("InternalError", 500, Throttled, true),
            ("InternalError", 200, Throttled, true),
            ("", 500, Throttled, true),
            ("", 502, Throttled, true),
            ("", 504, Throttled, true),
            ("BadDigest", 400, Failed, true),
            ("RequestTimeout", 400, Throttled, true),
            ("InvalidPart", 400, Failed, false),
            ("EntityTooLarge", 400, Failed, false),
            ("NoSuchBucket", 404, Failed, false),
        ];
        for (code, status, kind, transient) in cases {
            let judged = judge(Some(code), status);
            assert_eq!(
                (judged.kind, judged.transient),
                (kind, transient),
                "{code} {status}"
            );
        }
    }

    #[test]
    fn answers_tell_what_is_there() {
        assert_eq!(judge(Some("NoSuchUpload"), 404).meaning, Meaning::Missing);
        assert_eq!(judge(None, 404).meaning, Meaning::Missing);
        assert_eq!(judge(Some("NoSuchBucket"), 404).meaning, Meaning::None);
        assert_eq!(judge(None, 412).meaning, Meaning::Exists);
        assert!(judge(None, 500).uncertain);
        assert!(judge(Some("InternalError"), 200).uncertain);
        assert!(!judge(Some("AccessDenied"), 403).uncertain);
    }

    /// RESUME-10: no answer, and none that can be understood, costs a resumable upload nothing.
    #[test]
    fn silence_passes() {
        for failure in [Failure::timeout(), Failure::doubtful("nothing in it")] {
            assert!(failure.transient && failure.uncertain);
            assert_eq!(failure.kind, WriteErrorKind::Throttled);
        }
        let gone = judge(Some("NoSuchUpload"), 404).in_doubt();
        assert_eq!(WriteError::from(gone).kind, WriteErrorKind::Throttled);
        let failure = Failure::unusable("nonsense");
        assert!(!failure.transient && failure.kind == WriteErrorKind::Failed);
    }

    /// MSG-4: what the SDK says stays in the source.
    #[test]
    fn the_text_for_clients_is_fixed() {
        let mut failure = judge(Some("AccessDenied"), 403);
        failure.source = "arn:aws:s3:::secret-bucket/key".into();
        let error = WriteError::from(failure);
        assert_eq!(error.to_string(), "storage denied access");
    }
}
