//! Resumable uploads for HTTP, as the IETF drafts them (draft-ietf-httpbis-resumable-upload).
//!
//! Interop version 8, and what 5 and 6 do otherwise. No 104 is ever sent: proxies break on it. Unlike in
//! tus, an upload is complete only by the word of its client, `Upload-Complete: ?1`.

pub(crate) mod fields;
pub(crate) mod limits;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::{Map, Value, json};
use upload_core::{Content, Ends, Receipt, Reply, Request as Ask, Subject};
use upload_proto::{Code, Register, limits::SIZE_MAX};
use upload_writers::UploadFacts;

use self::limits::Age;
use super::{
    doors::{
        Call, Target,
        call::content,
        media_type,
        refusal::{Asked, Door, Refusal},
        refused::is_there,
        visitor::Visitor,
    },
    plain,
    tus::{LENGTH, OFFSET, add_cookie},
    visit::check::{Checking, Unfit},
};
use crate::slots::slot::Slot;

/// The type of content that is appended.
pub(crate) const PARTIAL_TYPE: &str = "application/partial-upload";

const COMPLETE: HeaderName = HeaderName::from_static("upload-complete");
const INCOMPLETE: HeaderName = HeaderName::from_static("upload-incomplete");
const VERSION: HeaderName = HeaderName::from_static("upload-draft-interop-version");

/// The first version whose appended content has a separate type.
const TYPED: u64 = 6;

/// Where problems are registered.
const PROBLEMS: &str = "https://iana.org/assignments/http-problem-types#";

/// Returns whether a request speaks the draft.
///
/// Apple's upload tasks say of all they send that it is whole, without being asked. Of a form, or in the words of
/// version 3, that asks for nothing that only the draft has.
pub(crate) fn is_spoken(method: &Method, headers: &HeaderMap) -> bool {
    let is_named = [COMPLETE, INCOMPLETE, VERSION]
        .iter()
        .any(|name| headers.contains_key(name));
    let is_plain = match fields::boolean(headers, COMPLETE.as_str()) {
        Some(is_last) => is_last && plain::is_form(headers),
        None => fields::boolean(headers, INCOMPLETE.as_str()) == Some(false),
    };
    is_named && !(is_plain && [Method::POST, Method::PUT].contains(method))
}

/// Returns whether a creation says nothing but that its file is whole, if anything.
pub(crate) fn is_whole(headers: &HeaderMap) -> bool {
    let is_last = fields::boolean(headers, COMPLETE.as_str());
    is_last.unwrap_or(!headers.contains_key(INCOMPLETE))
}

/// Serves a request of a client that speaks the draft.
pub(crate) async fn serve(call: &mut Call) -> Result<Response, Refusal> {
    let method = call.method.clone();
    match (&call.target, method) {
        (_, Method::OPTIONS) => Ok(super::tus::options(call).await),
        (Target::Slot | Target::Named(_), Method::POST | Method::PUT) => begin(call).await,
        (Target::Upload(_), Method::HEAD | Method::GET) => offset(call).await,
        (Target::Upload(_), Method::PATCH) => append(call).await,
        (Target::Upload(_), Method::DELETE) => call.delete().await,
        (Target::Upload(_), _) => Err(Refusal::method("HEAD, GET, PATCH, DELETE, OPTIONS")),
        _ => Err(Refusal::method("POST, PUT, OPTIONS")),
    }
}

/// Serves a request that creates an upload.
async fn begin(call: &mut Call) -> Result<Response, Refusal> {
    match fields::boolean(call.headers(), COMPLETE.as_str()) {
        // Its files are in its parts, and nothing can be appended to them.
        Some(false) if plain::is_form(call.headers()) => Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "bad_content_type",
            "A form has to be sent whole",
        )),
        Some(is_last) => create(call, is_last).await,
        None if call.headers().contains_key(INCOMPLETE) => {
            Err(Refusal::bad("This version of the draft is not supported"))
        }
        // It asks for nothing that only the draft has.
        None => plain::create(call).await,
    }
}

async fn create(call: &mut Call, is_last: bool) -> Result<Response, Refusal> {
    let visitor = call.creator().await?;
    let (slot, _) = call.slots(&visitor.owner).await?;
    if call.door == Door::Plain {
        // The slot takes whole files and nothing of the draft.
        return plain::create(call).await;
    }
    let (register, content) = creation(call, &slot, is_last)?;
    let upload = register.upload;
    let check = checking(call.headers(), is_last);
    let location = call.location(&visitor, upload);
    // Without content as well: only its client ends an upload, and be it an empty one.
    let ask = Ask::Create(Box::new(register), Some(content));
    let answered = call.ask(&visitor, upload, ask, check).await?;
    let (mut response, subject) = match answered.reply {
        Reply::Created(subject) => {
            let mut response = StatusCode::CREATED.into_response();
            add_subject(response.headers_mut(), &subject);
            (response, Some(subject))
        }
        Reply::Done(receipt) => (done(&receipt), None),
        reply => {
            let is_there = is_there(&reply);
            let refusal = refused(call, reply, 0, answered.unfit);
            let refusal = limits::told(refusal, &slot.rules, call);
            return Err(match is_there {
                true => refusal.found_at(location, &visitor),
                false => refusal,
            });
        }
    };
    let age = Age::of(call, subject.as_deref());
    let headers = response.headers_mut();
    limits::add(headers, &slot.rules, Some(age));
    add_visitor(headers, &visitor, location);
    Ok(response)
}

/// Reads what a creation says of its upload, and of the content that comes along.
fn creation(call: &Call, slot: &Slot, is_last: bool) -> Result<(Register, Content), Refusal> {
    let announced = call.content_length()?;
    let declared = fields::bytes(call.headers(), LENGTH.as_str());
    let by_content = announced.filter(|_| is_last);
    let size = match (declared, by_content) {
        (Some(declared), Some(length)) if declared != length => return Err(inconsistent()),
        (declared, by_content) => declared.or(by_content),
    };
    if size.is_some_and(|size| size > SIZE_MAX) {
        let refusal = Refusal::of(Code::TooLarge, Door::Ietf, Asked::Change);
        return Err(limits::told(refusal, &slot.rules, call));
    }
    let mut register = call.register(plain::name_of(call), size);
    register.client_type = plain::type_of(call.headers());
    register.meta = coding(call.headers(), slot)?;
    Ok((register, content(0, announced, ends(is_last))))
}

/// Returns what is kept of the coding that a file is in.
///
/// Coded bytes cannot be judged, so a slot that looks for anything takes none, and there is nothing to resume.
fn coding(headers: &HeaderMap, slot: &Slot) -> Result<Option<Map<String, Value>>, Refusal> {
    let coding = match fields::coding(headers) {
        Ok(None) => return Ok(None),
        Ok(Some(coding)) if slot.checks.take_anything() => coding,
        Ok(Some(_)) | Err(()) => {
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            let text = "Coded content is not supported here";
            let refusal = Refusal::new(status, "bad_content_type", text);
            return Err(refusal.with(COMPLETE, HeaderValue::from_static("?1")));
        }
    };
    let key = UploadFacts::CODING_KEY.to_owned();
    Ok(Some(Map::from_iter([(key, coding.into())])))
}

async fn offset(call: &mut Call) -> Result<Response, Refusal> {
    let headers = call.headers();
    if headers.contains_key(OFFSET) || headers.contains_key(COMPLETE) {
        return Err(Refusal::bad("An offset is asked for without one"));
    }
    let (visitor, upload) = call.comer().await?;
    let answered = call
        .ask(
            &visitor,
            upload,
            Ask::Offset(Ends::Later),
            Checking::Nothing,
        )
        .await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    let age = match answered.reply {
        Reply::At(subject) => {
            add_subject(headers, &subject);
            // tus-js-client, which speaks these versions, takes an offset that is the length for the end, and
            // would not send the word that the file still waits for.
            let is_all = subject.entry.length.known() == Some(subject.at.received);
            if is_all && matches!(version(call.headers()), Some(5 | 6)) {
                headers.remove(LENGTH);
            }
            Age::of(call, Some(&*subject))
        }
        Reply::Done(receipt) => {
            add_receipt(headers, &receipt);
            Age::of(call, None)
        }
        other => return Err(call.refused(other, Asked::Offset)),
    };
    let (slot, _) = call.slots(&visitor.owner).await?;
    limits::add(response.headers_mut(), &slot.rules, Some(age));
    Ok(response)
}

async fn append(call: &mut Call) -> Result<Response, Refusal> {
    let headers = call.headers();
    let is_typed = media_type(headers).eq_ignore_ascii_case(PARTIAL_TYPE);
    if !is_typed && version(headers).is_none_or(|version| version >= TYPED) {
        return Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "bad_content_type",
            "The content has to be application/partial-upload",
        ));
    }
    let at = fields::bytes(headers, OFFSET.as_str());
    let is_last = fields::boolean(headers, COMPLETE.as_str());
    let (Some(at), Some(is_last)) = (at, is_last) else {
        return Err(Refusal::bad("Upload-Offset and Upload-Complete are needed"));
    };
    let check = checking(headers, false);
    let length = call.content_length()?;
    let (visitor, upload) = call.comer().await?;
    let ask = Ask::Append(Content {
        declares: fields::bytes(call.headers(), LENGTH.as_str()),
        crc32c: fields::crc32c(call.headers(), "repr-digest").filter(|_| is_last),
        ..content(at, length, ends(is_last))
    });
    let answered = call.ask(&visitor, upload, ask, check).await?;
    match answered.reply {
        Reply::At(subject) => {
            let mut response = StatusCode::NO_CONTENT.into_response();
            add_subject(response.headers_mut(), &subject);
            Ok(response)
        }
        Reply::Done(receipt) => Ok(done(&receipt)),
        other => {
            let refusal = refused(call, other, at, answered.unfit);
            if refusal.status == StatusCode::PAYLOAD_TOO_LARGE
                && let Ok((slot, _)) = call.slots(&visitor.owner).await
            {
                return Err(limits::told(refusal, &slot.rules, call));
            }
            Err(refusal)
        }
    }
}

fn ends(is_last: bool) -> Ends {
    match is_last {
        true => Ends::Here,
        false => Ends::Later,
    }
}

/// Content that is the whole file is checked at its end; other content before any of it is appended.
fn checking(headers: &HeaderMap, is_whole: bool) -> Checking {
    let content = fields::digest(headers, "content-digest");
    match (content, is_whole) {
        (Some(check), false) => Checking::HeldBack(check),
        (Some(check), true) => Checking::AtEnd(check),
        (None, true) => {
            fields::digest(headers, "repr-digest").map_or(Checking::Nothing, Checking::AtEnd)
        }
        (None, false) => Checking::Nothing,
    }
}

fn version(headers: &HeaderMap) -> Option<u64> {
    fields::bytes(headers, VERSION.as_str())
}

/// The answer of the target: what the writer returned.
fn done(receipt: &Receipt) -> Response {
    let mut response = axum::Json(plain::receipt(receipt)).into_response();
    add_receipt(response.headers_mut(), receipt);
    response
}

fn add_subject(headers: &mut HeaderMap, subject: &Subject) {
    headers.insert(OFFSET, subject.at.received.into());
    if let Some(length) = subject.entry.length.known() {
        headers.insert(LENGTH, length.into());
    }
    headers.insert(COMPLETE, HeaderValue::from_static("?0"));
}

fn add_receipt(headers: &mut HeaderMap, receipt: &Receipt) {
    headers.insert(OFFSET, receipt.size.into());
    headers.insert(LENGTH, receipt.size.into());
    headers.insert(COMPLETE, HeaderValue::from_static("?1"));
}

fn add_visitor(headers: &mut HeaderMap, visitor: &Visitor, location: Option<HeaderValue>) {
    if let Some(location) = location {
        headers.insert(header::LOCATION, location);
    }
    add_cookie(headers, visitor);
}

/// Returns the refusal of content.
fn refused(call: &Call, reply: Reply, at: u64, unfit: Option<Unfit>) -> Refusal {
    let not_complete = HeaderValue::from_static("?0");
    match reply {
        Reply::Mismatch(subject) => {
            let expected = subject.at.received;
            let mut refusal = Refusal::new(
                StatusCode::CONFLICT,
                "offset_mismatch",
                "The content does not belong where the upload ends",
            );
            refusal.details = details([
                ("type", problem_type("mismatching-upload-offset")),
                ("expected-offset", expected.into()),
                ("provided-offset", at.into()),
            ]);
            refusal
                .with(OFFSET, expected.into())
                .with(COMPLETE, not_complete)
        }
        Reply::PastEnd(receipt) | Reply::DoneInExcess(receipt) => {
            let text = "The upload is complete";
            let mut refusal = Refusal::new(StatusCode::BAD_REQUEST, "completed_upload", text);
            refusal.details = details([("type", problem_type("completed-upload"))]);
            refusal
                .with(OFFSET, receipt.size.into())
                .with(COMPLETE, HeaderValue::from_static("?1"))
        }
        Reply::Refused(upload_core::Refusal {
            code: Code::SizeExceeded,
            ..
        })
        | Reply::Excess(_) => inconsistent().with(COMPLETE, not_complete),
        Reply::Incomplete(subject) | Reply::BadLength(subject) => inconsistent()
            .with(OFFSET, subject.at.received.into())
            .with(COMPLETE, not_complete),
        Reply::Discarded(subject) => {
            let refusal = match unfit {
                Some(Unfit::TooLong) => Refusal::too_long_to_check(Door::Ietf),
                _ => Refusal::of(Code::ChecksumMismatch, Door::Ietf, Asked::Change),
            };
            refusal
                .with(OFFSET, subject.at.received.into())
                .with(COMPLETE, not_complete)
        }
        // The file was looked at and refused: there is nothing to resume.
        Reply::Refused(upload_core::Refusal {
            code:
                code @ (Code::TypeNotAccepted
                | Code::ActiveContent
                | Code::ContentMismatch
                | Code::ChecksumMismatch
                | Code::Forbidden
                | Code::StorageFailed
                | Code::StorageDenied),
            words,
        }) => Refusal::of(code, Door::Ietf, Asked::Change)
            .in_words(words)
            .with(COMPLETE, HeaderValue::from_static("?1")),
        other => call.refused(other, Asked::Change),
    }
}

fn inconsistent() -> Refusal {
    let text = "The lengths of the upload do not agree";
    let mut refusal = Refusal::new(StatusCode::BAD_REQUEST, "inconsistent_length", text);
    refusal.details = details([("type", problem_type("inconsistent-upload-length"))]);
    refusal
}

fn problem_type(name: &str) -> Value {
    format!("{PROBLEMS}{name}").into()
}

fn details<const N: usize>(pairs: [(&str, Value); N]) -> Map<String, Value> {
    pairs
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}

/// Writes a refusal as problem details (RFC 9457).
pub(crate) fn problem(refusal: Refusal) -> Response {
    let mut body = refusal.body();
    body.insert("title".into(), refusal.text.to_string().into());
    body.insert("status".into(), json!(refusal.status.as_u16()));
    body.entry("type").or_insert_with(|| "about:blank".into());
    refusal.answer("application/problem+json", body)
}
