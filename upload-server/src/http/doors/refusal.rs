//! What a request is refused with: one table of codes and statuses for every door.

use std::{borrow::Cow, sync::Arc};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Map, Value};
use upload_core::OwnWords;
use upload_proto::{Code, Retry};

use super::visitor::Visitor;

/// When a client is asked to come again, in seconds.
const RETRY_AFTER_SECONDS: u64 = 2;

/// The code of a refusal, for programs.
const UPLOAD_CODE: HeaderName = HeaderName::from_static("upload-code");

/// Which protocol a request speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Door {
    /// tus 1.0.0.
    Tus,
    /// The IETF's draft of resumable uploads.
    Ietf,
    /// Bodies and forms as every HTTP client sends them.
    Plain,
}

impl Door {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Tus, Self::Ietf, Self::Plain];

    /// Returns its name, as configurations and metrics have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tus => "tus",
            Self::Ietf => "ietf",
            Self::Plain => "plain",
        }
    }
}

/// What a request wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// To change something.
    Change,
    /// To know how far an upload has come.
    Offset,
}

/// The answer to a request that is not served.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// The code, for programs.
    pub(crate) code: &'static str,
    /// The application's own code, where it chose the text.
    pub(crate) reason: Option<Arc<str>>,
    /// One sentence for people.
    pub(crate) text: Cow<'static, str>,
    pub(crate) retry: Retry,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// What else is in the body.
    pub(crate) details: Map<String, Value>,
}

impl Refusal {
    /// Refuses with a status and a text of this server's own.
    pub(crate) fn new(status: StatusCode, code: &'static str, text: &'static str) -> Self {
        Self {
            status,
            code,
            reason: None,
            text: text.into(),
            retry: Retry::Never,
            headers: Vec::new(),
            details: Map::new(),
        }
    }

    /// A field of the request is missing or malformed.
    pub(crate) fn bad(text: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", text)
    }

    /// The application did not say what the door has to know, and answered with this status.
    ///
    /// What is no fault of the client may pass, which a tus client hears as 423 of a `HEAD` (T8).
    pub(crate) fn of_application(
        status: StatusCode,
        code: &'static str,
        door: Door,
        asked: Asked,
    ) -> Self {
        let status = match is_tus_offset(door, asked) && status.is_server_error() {
            true => StatusCode::LOCKED,
            false => status,
        };
        let refusal = Self::new(status, code, "Server error");
        match status {
            StatusCode::LOCKED | StatusCode::SERVICE_UNAVAILABLE => refusal.later(),
            _ => refusal,
        }
    }

    /// The address of the client asks too much, whatever it asks: clients that resume try again after 503, and
    /// give up after 429.
    pub(crate) fn too_many(door: Door, asked: Asked) -> Self {
        let refusal = Self::busy(door, asked);
        match (door, asked) {
            (Door::Plain, Asked::Change) => Self {
                status: StatusCode::TOO_MANY_REQUESTS,
                ..refusal
            },
            _ => refusal,
        }
    }

    /// The method means nothing for this address.
    pub(crate) fn method(allow: &'static str) -> Self {
        let text = "Method not allowed";
        let refusal = Self::new(StatusCode::METHOD_NOT_ALLOWED, "bad_method", text);
        refusal.with(header::ALLOW, HeaderValue::from_static(allow))
    }

    /// There is nothing at this address, for this client.
    pub(crate) fn not_found() -> Self {
        let code = Code::UnknownRef;
        Self::new(StatusCode::NOT_FOUND, code.as_str(), code.text())
    }

    /// There is no place for the request now.
    pub(crate) fn busy(door: Door, asked: Asked) -> Self {
        Self::of(Code::RateLimited, door, asked)
    }

    /// Refuses with a code of the protocol.
    pub(crate) fn of(code: Code, door: Door, asked: Asked) -> Self {
        let status = status(code, door, asked);
        let refusal = Self {
            status,
            code: code.as_str(),
            reason: None,
            text: code.text().into(),
            retry: code.retry(),
            headers: Vec::new(),
            details: Map::new(),
        };
        match status {
            StatusCode::LOCKED | StatusCode::SERVICE_UNAVAILABLE => refusal.later(),
            _ => refusal,
        }
    }

    /// Adds what the application says.
    pub(crate) fn in_words(mut self, words: Option<OwnWords>) -> Self {
        if let Some(OwnWords { reason, text }) = words {
            self.reason = Some(reason);
            self.text = text.to_string().into();
        }
        self
    }

    /// The upload ended earlier with this code.
    pub(crate) fn gone(code: Code, door: Door, asked: Asked) -> Self {
        let status = match (code, asked) {
            (Code::Forbidden, Asked::Offset) => StatusCode::FORBIDDEN,
            _ => StatusCode::GONE,
        };
        let refusal = Self::of(code, door, asked);
        Self {
            status,
            retry: Retry::Never,
            headers: Vec::new(),
            ..refusal
        }
    }

    /// Says when to come again.
    fn later(mut self) -> Self {
        self.retry = Retry::Later;
        self.with(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS))
    }

    /// A request that creates an upload is refused after that, and its client learns where the upload is.
    pub(crate) fn found_at(mut self, location: Option<HeaderValue>, visitor: &Visitor) -> Self {
        let cookie = visitor.set_cookie.clone();
        let location = location.map(|location| (header::LOCATION, location));
        let cookie = cookie.map(|cookie| (header::SET_COOKIE, cookie));
        self.headers.extend(location.into_iter().chain(cookie));
        self
    }

    /// Content that is held back for its checksum is longer than can be.
    pub(crate) fn too_long_to_check(door: Door) -> Self {
        Self {
            text: "Content with a checksum can have 16 MiB".into(),
            ..Self::of(Code::TooLarge, door, Asked::Change)
        }
    }

    /// Adds a header.
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl Refusal {
    /// Returns what the body says: `code`, `error`, `retry`, and `reason` where the application chose the text.
    pub(crate) fn body(&self) -> Map<String, Value> {
        let mut body = self.details.clone();
        body.insert("code".into(), self.code.into());
        if let Some(reason) = &self.reason {
            body.insert("reason".into(), reason.to_string().into());
        }
        body.insert("error".into(), self.text.to_string().into());
        body.insert("retry".into(), self.retry.as_str().into());
        body
    }

    /// Answers with a JSON body of this type.
    pub(crate) fn answer(self, media_type: &'static str, body: Map<String, Value>) -> Response {
        let mut response = Response::new(Body::from(Value::Object(body).to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.extend(self.headers);
        let media_type = HeaderValue::from_static(media_type);
        headers.insert(header::CONTENT_TYPE, media_type);
        headers.insert(UPLOAD_CODE, HeaderValue::from_static(self.code));
        response
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = self.body();
        self.answer("application/json", body)
    }
}

/// The mismatch of a checksum, as tus numbers it.
fn mismatch() -> StatusCode {
    StatusCode::from_u16(460).unwrap_or(StatusCode::BAD_REQUEST)
}

/// Returns whether a client asks how far its upload has come, which takes a refusal for its end.
fn is_tus_offset(door: Door, asked: Asked) -> bool {
    door != Door::Ietf && asked == Asked::Offset
}

fn status(code: Code, door: Door, asked: Asked) -> StatusCode {
    let tus_offset = is_tus_offset(door, asked);
    match code {
        // A tus client takes every other refusal of a HEAD for the end of the upload, and begins anew.
        Code::Locked
        | Code::Superseded
        | Code::StorageFull
        | Code::StorageThrottled
        | Code::Draining
        | Code::RateLimited
        | Code::IdleTimeout
            if tus_offset =>
        {
            StatusCode::LOCKED
        }
        Code::Locked | Code::Superseded => match door {
            Door::Ietf => StatusCode::SERVICE_UNAVAILABLE,
            Door::Tus | Door::Plain => StatusCode::LOCKED,
        },
        Code::StorageFull
        | Code::StorageThrottled
        | Code::Draining
        | Code::RateLimited
        | Code::IdleTimeout => StatusCode::SERVICE_UNAVAILABLE,
        Code::Forbidden | Code::TooManyEntries => StatusCode::FORBIDDEN,
        Code::UnknownRef | Code::UnknownSlot => StatusCode::NOT_FOUND,
        _ if tus_offset => StatusCode::GONE,
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::SizeExceeded => match door {
            Door::Ietf => StatusCode::BAD_REQUEST,
            Door::Tus | Door::Plain => StatusCode::PAYLOAD_TOO_LARGE,
        },
        Code::TypeNotAccepted | Code::ActiveContent | Code::ContentMismatch => {
            StatusCode::UNSUPPORTED_MEDIA_TYPE
        }
        Code::ChecksumMismatch => match door {
            Door::Tus => mismatch(),
            Door::Ietf | Door::Plain => StatusCode::BAD_REQUEST,
        },
        Code::StorageFailed | Code::StorageDenied => StatusCode::UNPROCESSABLE_ENTITY,
        Code::Expired | Code::Cancelled | Code::SessionClosed | Code::NotResumable => {
            StatusCode::GONE
        }
        Code::RefInUse => StatusCode::CONFLICT,
        Code::BadMessage
        | Code::UnknownType
        | Code::BadFrame
        | Code::BadRef
        | Code::BadName
        | Code::BadSize
        | Code::BadMeta
        | Code::ChunkOutOfOrder
        | Code::Incomplete
        | Code::UnknownEvent
        | Code::EventFailed => StatusCode::BAD_REQUEST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statuses(code: Code) -> [u16; 4] {
        [
            status(code, Door::Tus, Asked::Change),
            status(code, Door::Ietf, Asked::Change),
            status(code, Door::Plain, Asked::Change),
            status(code, Door::Tus, Asked::Offset),
        ]
        .map(|status| status.as_u16())
    }

    #[test]
    fn every_code_has_its_status() {
        for (code, expected) in [
            (Code::Locked, [423, 503, 423, 423]),
            (Code::Superseded, [423, 503, 423, 423]),
            (Code::StorageFull, [503, 503, 503, 423]),
            (Code::Draining, [503, 503, 503, 423]),
            (Code::TooLarge, [413, 413, 413, 410]),
            (Code::SizeExceeded, [413, 400, 413, 410]),
            (Code::ContentMismatch, [415, 415, 415, 410]),
            (Code::Forbidden, [403, 403, 403, 403]),
            (Code::UnknownRef, [404, 404, 404, 404]),
            (Code::Expired, [410, 410, 410, 410]),
            (Code::BadMeta, [400, 400, 400, 410]),
            (Code::TooManyEntries, [403, 403, 403, 403]),
            (Code::ChecksumMismatch, [460, 400, 400, 410]),
            (Code::StorageFailed, [422, 422, 422, 410]),
        ] {
            assert_eq!(statuses(code), expected, "{code}");
        }
    }

    /// T8: of what may pass, a tus client hears 423, whatever else is the matter.
    #[test]
    fn t8_what_passes_is_423_for_head() {
        for code in Code::ALL {
            let refusal = Refusal::of(*code, Door::Tus, Asked::Offset);
            assert!(
                [403, 404, 410, 423].contains(&refusal.status.as_u16()),
                "{code}"
            );
            if code.retry() == Retry::Later {
                assert_eq!(refusal.status, StatusCode::LOCKED, "{code}");
                assert!(
                    refusal
                        .headers
                        .iter()
                        .any(|(name, _)| name == header::RETRY_AFTER)
                );
            }
        }
    }
}
