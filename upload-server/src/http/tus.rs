//! tus 1.0.0: <https://tus.io/protocols/resumable-upload>.
//!
//! Core, creation, creation-with-upload, creation-defer-length, expiration, termination and checksum. A
//! client reads offset = length as success, so the file is stored by then; and it takes every refusal of
//! a `HEAD` but 423 for the end of its upload.

pub(crate) mod fields;
pub(crate) mod metadata;

use std::time::SystemTime;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::{Map, Value};
use upload_core::{Content, Ends, Receipt, Reply, Request as Ask, Subject};

use self::{fields::Length, metadata::Metadata};
use super::{
    doors::{
        Call, Target,
        call::content,
        kept,
        refusal::{Asked, Door, Refusal},
        refused::is_there,
        visitor::Visitor,
    },
    visit::check::{Checking, Unfit},
};

pub(crate) use self::fields::OFFSET_TYPE;

pub(crate) const RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
pub(crate) const VERSION: &str = "1.0.0";

const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
const TUS_EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
const TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
const TUS_CHECKSUM_ALGORITHM: HeaderName = HeaderName::from_static("tus-checksum-algorithm");
pub(crate) const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
pub(crate) const LENGTH: HeaderName = HeaderName::from_static("upload-length");
const DEFER_LENGTH: HeaderName = HeaderName::from_static("upload-defer-length");
const METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
const CONCAT: HeaderName = HeaderName::from_static("upload-concat");
const RESULT: HeaderName = HeaderName::from_static("upload-result");

const EXTENSIONS: &str =
    "creation,creation-with-upload,creation-defer-length,expiration,termination,checksum";
const ALGORITHMS: &str = "sha1,sha256";

/// Largest result that fits a header, in bytes.
const RESULT_BYTES_MAX: usize = 4096;

/// Serves a request of a tus client.
pub(crate) async fn serve(call: &mut Call) -> Result<Response, Refusal> {
    let method = call.method.clone();
    if method == Method::OPTIONS {
        return Ok(options(call).await);
    }
    check_version(call)?;
    match (&call.target, method) {
        (Target::Slot, Method::POST) => create(call).await,
        (Target::Upload(_), Method::HEAD) => head(call).await,
        (Target::Upload(_), Method::PATCH) => append(call).await,
        (Target::Upload(_), Method::DELETE) => call.delete().await,
        (Target::Upload(_), _) => Err(Refusal::method("HEAD, PATCH, DELETE, OPTIONS")),
        _ => Err(Refusal::method("POST, OPTIONS")),
    }
}

/// Old clients leave the version out of a `HEAD`.
fn check_version(call: &Call) -> Result<(), Refusal> {
    match call.headers().get(RESUMABLE) {
        Some(version) if version == VERSION => Ok(()),
        None if call.method == Method::HEAD => Ok(()),
        _ => {
            let text = "This version of tus is not supported";
            let refusal = Refusal::new(StatusCode::PRECONDITION_FAILED, "bad_version", text);
            Err(refusal.with(TUS_VERSION, HeaderValue::from_static(VERSION)))
        }
    }
}

/// Tells what there is; also for requests that name no protocol.
pub(crate) async fn options(call: &mut Call) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (TUS_VERSION, VERSION),
        (TUS_EXTENSION, EXTENSIONS),
        (TUS_CHECKSUM_ALGORITHM, ALGORITHMS),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let who = call.app.identity.recognise(&mut call.parts).await;
    let owner = who.ok().flatten().map(|who| who.owner);
    if let Ok((slot, _)) = call.slots(&owner.unwrap_or_default()).await {
        headers.insert(TUS_MAX_SIZE, slot.rules.max_file_size.into());
        super::ietf::limits::add(headers, &slot.rules, None);
    }
    response
}

async fn create(call: &mut Call) -> Result<Response, Refusal> {
    if call.headers().contains_key(CONCAT) {
        // A part that is stored as a file would be a file that is none.
        let text = "Upload-Concat is not supported";
        return Err(Refusal::new(
            StatusCode::NOT_IMPLEMENTED,
            "not_supported",
            text,
        ));
    }
    let size = match fields::length(call.headers())? {
        Length::Known(size) => Some(size),
        Length::Deferred => None,
    };
    let has_content = fields::is_offset_type(call.headers());
    if !has_content && call.has_content() {
        return Err(bad_type());
    }
    let check = match has_content {
        true => fields::checksum(call.headers())?,
        false => Checking::Nothing,
    };
    check_encoding(call)?;
    let metadata = metadata(call.headers())?;
    let mut register = call.register(metadata.name.unwrap_or_default(), size);
    register.client_type = metadata.media_type.unwrap_or_default();
    register.relative_path = metadata.relative_path;
    register.last_modified = metadata.last_modified;
    register.meta = Some(metadata.meta);
    let upload = register.upload;
    let content = match has_content {
        true => Some(content(0, call.content_length()?, Ends::AtLength)),
        false => None,
    };
    let visitor = call.creator().await?;
    let location = call.location(&visitor, upload);
    let ask = Ask::Create(Box::new(register), content);
    let answered = call.ask(&visitor, upload, ask, check).await?;
    let created = |offset: Option<u64>| {
        let mut response = StatusCode::CREATED.into_response();
        let headers = response.headers_mut();
        if let Some(location) = &location {
            headers.insert(header::LOCATION, location.clone());
        }
        if let Some(offset) = offset {
            headers.insert(OFFSET, offset.into());
        }
        add_cookie(headers, &visitor);
        response
    };
    match answered.reply {
        Reply::Created(subject) => {
            let mut response = created(has_content.then_some(subject.at.received));
            add_expiry(response.headers_mut(), call, &subject);
            Ok(response)
        }
        Reply::Done(receipt) => {
            let mut response = created(has_content.then_some(receipt.size));
            add_result(response.headers_mut(), &receipt.result);
            Ok(response)
        }
        // The upload is there, so its client receives its address.
        reply if is_there(&reply) => {
            Err(refused(call, reply, answered.unfit).found_at(location, &visitor))
        }
        other => Err(call.refused(other, Asked::Change)),
    }
}

async fn head(call: &mut Call) -> Result<Response, Refusal> {
    let (visitor, upload) = call.comer().await?;
    let answered = call
        .ask(
            &visitor,
            upload,
            Ask::Offset(Ends::AtLength),
            Checking::Nothing,
        )
        .await?;
    let mut response = StatusCode::OK.into_response();
    let headers = response.headers_mut();
    match answered.reply {
        Reply::At(subject) => {
            add_subject(headers, &subject);
            add_expiry(headers, call, &subject);
        }
        Reply::Done(receipt) => add_receipt(headers, &receipt),
        other => return Err(call.refused(other, Asked::Offset)),
    }
    Ok(response)
}

async fn append(call: &mut Call) -> Result<Response, Refusal> {
    if !fields::is_offset_type(call.headers()) {
        return Err(bad_type());
    }
    check_encoding(call)?;
    let at = fields::bytes(call.headers(), "upload-offset");
    let at = at.ok().flatten();
    let at = at.ok_or_else(|| Refusal::bad("Invalid Upload-Offset"))?;
    let check = fields::checksum(call.headers())?;
    let length = call.content_length()?;
    let (visitor, upload) = call.comer().await?;
    let declares = fields::bytes(call.headers(), "upload-length");
    let declares = declares.map_err(|()| Refusal::bad("Invalid Upload-Length"))?;
    let ask = Ask::Append(Content {
        declares,
        ..content(at, length, Ends::AtLength)
    });
    let answered = call.ask(&visitor, upload, ask, check).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    match answered.reply {
        Reply::At(subject) => {
            headers.insert(OFFSET, subject.at.received.into());
            add_expiry(headers, call, &subject);
        }
        Reply::Done(receipt) => {
            headers.insert(OFFSET, receipt.size.into());
            add_result(headers, &receipt.result);
        }
        other => return Err(refused(call, other, answered.unfit)),
    }
    Ok(response)
}

/// Returns the refusal of content, with the offset where it is known.
fn refused(call: &Call, reply: Reply, unfit: Option<Unfit>) -> Refusal {
    let offset = match &reply {
        Reply::Mismatch(subject)
        | Reply::Excess(subject)
        | Reply::BadLength(subject)
        | Reply::Discarded(subject) => Some(subject.at.received),
        Reply::PastEnd(receipt) | Reply::DoneInExcess(receipt) => Some(receipt.size),
        _ => None,
    };
    let refusal = match reply {
        Reply::Mismatch(_) | Reply::PastEnd(_) => Refusal::new(
            StatusCode::CONFLICT,
            "offset_mismatch",
            "The content does not belong where the upload ends",
        ),
        Reply::Discarded(_) if unfit == Some(Unfit::TooLong) => {
            Refusal::too_long_to_check(Door::Tus)
        }
        other => call.refused(other, Asked::Change),
    };
    match offset {
        Some(offset) => refusal.with(OFFSET, offset.into()),
        None => refusal,
    }
}

/// Tells how far an upload has come.
pub(crate) fn add_subject(headers: &mut HeaderMap, subject: &Subject) {
    headers.insert(OFFSET, subject.at.received.into());
    match subject.entry.length.known() {
        Some(length) => headers.insert(LENGTH, length.into()),
        None => headers.insert(DEFER_LENGTH, HeaderValue::from_static("1")),
    };
    add_metadata(headers, &subject.entry.meta);
}

/// Tells of a file that is stored.
pub(crate) fn add_receipt(headers: &mut HeaderMap, receipt: &Receipt) {
    headers.insert(OFFSET, receipt.size.into());
    headers.insert(LENGTH, receipt.size.into());
    add_metadata(headers, &receipt.meta);
    add_result(headers, &receipt.result);
}

fn add_metadata(headers: &mut HeaderMap, meta: &Map<String, Value>) {
    let echo = metadata::echo(meta).and_then(|text| HeaderValue::try_from(text).ok());
    if let Some(echo) = echo {
        headers.insert(METADATA, echo);
    }
}

/// Tells until when an upload is kept if nothing comes.
pub(crate) fn add_expiry(headers: &mut HeaderMap, call: &Call, subject: &Subject) {
    let limits = &call.app.shared.limits.session;
    if let Some(at) = kept::until(subject, limits, SystemTime::now())
        && let Ok(value) = HeaderValue::try_from(httpdate::fmt_http_date(at))
    {
        headers.insert(EXPIRES, value);
    }
}

/// Tells what the writer returned, if a header can hold it.
fn add_result(headers: &mut HeaderMap, result: &Value) {
    let text = ascii(&result.to_string());
    if text.len() <= RESULT_BYTES_MAX
        && !result.is_null()
        && let Ok(value) = HeaderValue::try_from(text)
    {
        headers.insert(RESULT, value);
    }
}

/// Writes JSON in ASCII, as headers want it.
fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for ch in json.chars() {
        if ch.is_ascii() {
            text.push(ch);
        } else {
            for unit in ch.encode_utf16(&mut [0; 2]) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    text
}

pub(crate) fn add_cookie(headers: &mut HeaderMap, visitor: &Visitor) {
    if let Some(cookie) = &visitor.set_cookie {
        headers.insert(header::SET_COOKIE, cookie.clone());
    }
}

fn metadata(headers: &HeaderMap) -> Result<Metadata, Refusal> {
    let bad = || Refusal::bad("Invalid Upload-Metadata");
    match headers.get(METADATA) {
        None => Ok(Metadata::default()),
        Some(value) => {
            let text = value.to_str().map_err(|_| bad())?;
            Metadata::parse(text).map_err(|_| bad())
        }
    }
}

/// Offsets count bytes of the file, which coded content has not.
fn check_encoding(call: &Call) -> Result<(), Refusal> {
    match call.headers().get(header::CONTENT_ENCODING) {
        Some(coding) if !coding.as_bytes().eq_ignore_ascii_case(b"identity") => Err(bad_type()),
        _ => Ok(()),
    }
}

fn bad_type() -> Refusal {
    Refusal::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "bad_content_type",
        "The content has to be application/offset+octet-stream",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_ascii() {
        let mut headers = HeaderMap::new();
        add_result(&mut headers, &serde_json::json!({ "path": "ä😀" }));
        assert_eq!(
            headers[RESULT].to_str().expect("ASCII"),
            r#"{"path":"\u00e4\ud83d\ude00"}"#
        );
        add_result(&mut headers, &Value::String("a".repeat(RESULT_BYTES_MAX)));
        assert_eq!(headers[RESULT].len(), 29, "the longer one is left out");
    }
}
