//! `Upload-Limit`: what a slot takes, and how long an upload is kept.

use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use upload_core::{SlotRules, Subject};

use super::version;
use crate::http::doors::{Call, kept, refusal::Refusal};

const LIMIT: HeaderName = HeaderName::from_static("upload-limit");

/// How long an upload is kept, in the words of its client's version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Age {
    word: &'static str,
    seconds: u64,
}

impl Age {
    /// Returns how long an upload is kept; where there is none yet, or none any more, how long others are.
    ///
    /// Versions before 7 have another word for it.
    pub(crate) fn of(call: &Call, subject: Option<&Subject>) -> Self {
        let word = match version(call.headers()) {
            Some(..=6) => "expires",
            _ => "max-age",
        };
        let limits = &call.app.shared.limits.session;
        let now = SystemTime::now();
        let until = subject.and_then(|subject| kept::until(subject, limits, now));
        let kept = match until {
            Some(until) => until.duration_since(now).unwrap_or_default(),
            None => limits
                .unfinished_max
                .map_or(limits.record_ttl, |most| most.min(limits.record_ttl)),
        };
        Self {
            word,
            seconds: kept.as_secs(),
        }
    }
}

/// Tells what a slot takes, and how long an upload is kept, if the request is about one.
pub(crate) fn add(headers: &mut HeaderMap, rules: &SlotRules, age: Option<Age>) {
    if let Some(value) = value(rules, age) {
        headers.insert(LIMIT, value);
    }
}

/// Adds to a refusal as too large what the slot takes (R18).
pub(super) fn told(refusal: Refusal, rules: &SlotRules, call: &Call) -> Refusal {
    if refusal.status != StatusCode::PAYLOAD_TOO_LARGE {
        return refusal;
    }
    match value(rules, Some(Age::of(call, None))) {
        Some(limits) => refusal.with(LIMIT, limits),
        None => refusal,
    }
}

fn value(rules: &SlotRules, age: Option<Age>) -> Option<HeaderValue> {
    let mut limits = format!("max-size={}, min-size=0", rules.max_file_size);
    if let Some(Age { word, seconds }) = age {
        limits.push_str(&format!(", {word}={seconds}"));
    }
    HeaderValue::try_from(limits).ok()
}
