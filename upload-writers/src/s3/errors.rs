//! What a failed request of the SDK means to a writer.

use std::{error::Error, io};

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};

use crate::{
    error::WriteErrorKind,
    multipart::{BackendError, Meaning},
};

/// Judges what the SDK answered.
pub(super) fn of_sdk<E>(error: SdkError<E, HttpResponse>) -> BackendError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    match &error {
        SdkError::ServiceError(answer) => {
            let status = answer.raw().status().as_u16();
            let judged = judge(answer.err().code(), status);
            BackendError {
                source: error.into(),
                ..judged
            }
        }
        SdkError::ResponseError(answer) => {
            let judged = judge(None, answer.raw().status().as_u16());
            BackendError {
                // Not even a code: cut off, or something else than S3 answered.
                source: error.into(),
                ..judged.in_doubt()
            }
        }
        SdkError::TimeoutError(_) => BackendError::passing(error).in_doubt(),
        // A record that changed on the way, the alert of a balancer that is reloaded, a certificate that ran out
        // and is about to be renewed.
        SdkError::DispatchFailure(_) if garbled(&error).is_some() => {
            BackendError::passing(error).in_doubt()
        }
        SdkError::DispatchFailure(failure) => {
            // Whatever is no trouble of the line is trouble before it: no credentials, no
            // signature, a request that cannot be built.
            let of_line = failure.is_io() || failure.is_timeout();
            let retryable = failure
                .as_connector_error()
                .is_some_and(|error| error.as_other().is_some());
            if of_line || retryable {
                BackendError::passing(error).in_doubt()
            } else {
                // Nothing was sent, and the source of credentials may have them in a moment.
                BackendError::passing(error)
            }
        }
        _ => BackendError::lasting(WriteErrorKind::Failed, error),
    }
}

/// Judges what the SDK answered to a request that an upload begins with. Where no authority vouches for the bucket,
/// its client learns so at once: nothing is stored that could be lost, and waiting does not help.
pub(super) fn of_first<E>(error: SdkError<E, HttpResponse>) -> BackendError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    match &error {
        SdkError::DispatchFailure(_) if is_untrusted(&error) => {
            BackendError::lasting(WriteErrorKind::Failed, error)
        }
        _ => of_sdk(error),
    }
}

/// How TLS begins to tell of a certificate that it refuses.
const UNTRUSTED: &str = "invalid peer certificate";

/// Tells whether no authority vouches for the certificate of the bucket.
fn is_untrusted(error: &(dyn Error + 'static)) -> bool {
    garbled(error).is_some_and(|error| error.to_string().starts_with(UNTRUSTED))
}

/// Finds the error of what came over the connection and made no sense to its reader, as all of TLS are.
fn garbled<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        // An error of I/O around another one hides it from `source`.
        let mut inner = error.downcast_ref::<io::Error>();
        while let Some(error) = inner {
            if error.kind() == io::ErrorKind::InvalidData {
                return Some(error);
            }
            inner = error.get_ref().and_then(|error| error.downcast_ref());
        }
        next = error.source();
    }
    None
}

/// Judges an answer by its code and, where that is unknown, by its HTTP status.
fn judge(code: Option<&str>, status: u16) -> BackendError {
    use WriteErrorKind::{Denied, Failed, Full, Throttled};
    let code = code.unwrap_or_default();
    let mut failure = BackendError::lasting(Failed, "");
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
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "NotSignedUp" => (Denied, false),
        // A denial of the moment: credentials that are about to be renewed, a clock about to be set.
        "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidToken"
        | "TokenRefreshRequired"
        | "RequestExpired"
        | "RequestTimeTooSkewed" => (Throttled, true),
        // Bytes that changed on the way; the next try sends them again. Where they change each time,
        // waiting does not help.
        "BadDigest"
        | "XAmzContentChecksumMismatch"
        | "XAmzContentSHA256Mismatch"
        | "IncompleteBody" => (Failed, true),
        "RequestTimeout" | "InternalError" | "OperationAborted" | "ConditionalRequestConflict" => {
            (Throttled, true)
        }
        // A bucket says what is not there. Without a code, somebody before it has answered; `NotFound` is what
        // the SDK makes of an answer without a body.
        "" | "NotFound" if status == 404 => (Throttled, true),
        _ => match status {
            401 | 403 => (Denied, false),
            429 | 503 => (Throttled, true),
            507 => (Full, false),
            // 200: an error in the body of an answer that began well, as S3 may do when completing.
            200..300 | 408 | 500 | 502 | 504 => (Throttled, true),
            _ => (Failed, false),
        },
    };
    failure.uncertain = failure.transient && (status == 404 || !(300..500).contains(&status));
    failure.meaning = match (code, status) {
        ("NoSuchUpload" | "NoSuchKey", _) => Meaning::Missing,
        ("PreconditionFailed", _) | (_, 412) => Meaning::Exists,
        ("InvalidPart", _) => Meaning::OtherPart,
        _ => Meaning::None,
    };
    failure
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::{error::ConnectorError, operation::list_parts::ListPartsError};

    use super::*;
    use crate::error::WriteError;

    /// What TLS told, in the wrapping of a connector.
    fn tls(text: &'static str) -> io::Error {
        io::Error::other(io::Error::new(io::ErrorKind::InvalidData, text))
    }

    #[test]
    fn a_certificate_nobody_vouches_for_is_found_in_its_wrapping() {
        let refused = tls("invalid peer certificate: UnknownIssuer");
        assert!(is_untrusted(&refused));
        assert!(!is_untrusted(&tls("received fatal alert: CloseNotify")));
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert!(garbled(&refused).is_none());
    }

    /// RESUME-10: what TLS cannot read for a moment costs an upload that has begun nothing.
    #[test]
    fn what_tls_cannot_read_passes() {
        type Failure = SdkError<ListPartsError, HttpResponse>;
        for (text, begins) in [
            ("received fatal alert: UnexpectedMessage", true),
            ("received corrupt message of type InvalidContentType", true),
            ("invalid peer certificate: Expired", false),
        ] {
            let failure = || Failure::dispatch_failure(ConnectorError::io(tls(text).into()));
            let judged = of_sdk(failure());
            assert_eq!(judged.kind, WriteErrorKind::Throttled, "{text}");
            assert!(judged.transient && judged.uncertain, "{text}");
            let first = of_first(failure());
            assert_eq!(first.transient, begins, "{text}");
            let is_failed = first.kind == WriteErrorKind::Failed;
            assert_eq!(is_failed, !begins, "{text}");
        }
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
            ("ExpiredToken", 400, Throttled, true),
            ("InvalidToken", 400, Throttled, true),
            ("RequestTimeTooSkewed", 403, Throttled, true),
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
        for code in ["NoSuchUpload", "NoSuchKey"] {
            assert_eq!(judge(Some(code), 404).meaning, Meaning::Missing, "{code}");
        }
        assert_eq!(judge(Some("NoSuchBucket"), 404).meaning, Meaning::None);
        assert_eq!(judge(None, 412).meaning, Meaning::Exists);
        assert!(judge(None, 500).uncertain);
        assert!(judge(Some("InternalError"), 200).uncertain);
        assert!(!judge(Some("AccessDenied"), 403).uncertain);
    }

    /// RESUME-10: an answer 404 that no bucket wrote, with a page or with nothing, says nothing about one.
    #[test]
    fn an_answer_without_a_code_is_none_of_the_bucket() {
        for code in [None, Some("NotFound")] {
            let judged = judge(code, 404);
            assert_eq!(judged.meaning, Meaning::None, "{code:?}");
            assert_eq!(judged.kind, WriteErrorKind::Throttled, "{code:?}");
            assert!(judged.transient && judged.uncertain, "{code:?}");
        }
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
