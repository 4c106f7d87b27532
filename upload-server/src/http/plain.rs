//! Files as every HTTP client sends them: one request, the file or a form as its content.

mod form;
pub(crate) mod names;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};
use upload_core::{Broken, Content, Ends, Receipt, Reply, Request as Ask};
use upload_proto::{Code, crc32c_hex, limits::CLIENT_TYPE_BYTES_MAX, limits::SIZE_MAX};

use super::{
    doors::{
        Call, Target, media_type,
        refusal::{Asked, Door, Refusal},
    },
    ietf::{
        fields::digest,
        limits::{self, Age},
    },
    tus::{self, add_cookie},
    visit::check::Checking,
};

const COMPLETE: HeaderName = HeaderName::from_static("upload-complete");

/// Serves a request that names no protocol.
pub(crate) async fn serve(call: &mut Call) -> Result<Response, Refusal> {
    let method = call.method.clone();
    match (&call.target, method) {
        (_, Method::OPTIONS) => Ok(tus::options(call).await),
        (Target::Slot, Method::POST | Method::PUT) | (Target::Named(_), Method::PUT) => {
            create(call).await
        }
        (Target::Upload(_), Method::HEAD | Method::GET) => offset(call).await,
        (Target::Upload(_), Method::DELETE) => call.delete().await,
        (Target::Upload(_), Method::PATCH) => Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "bad_content_type",
            "The content has to be application/offset+octet-stream or application/partial-upload",
        )),
        (Target::Upload(_), _) => Err(Refusal::method("HEAD, GET, PATCH, DELETE, OPTIONS")),
        (Target::Named(_), _) => Err(Refusal::method("PUT, OPTIONS")),
        _ => Err(Refusal::method("POST, PUT, OPTIONS")),
    }
}

/// Stores the content of a request.
pub(crate) async fn create(call: &mut Call) -> Result<Response, Refusal> {
    if is_form(call.headers()) {
        return form::create(call).await;
    }
    if let Some(coding) = call.headers().get(header::CONTENT_ENCODING)
        && !coding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        let text = "Coded content is not supported";
        return Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "bad_content_type",
            text,
        ));
    }
    let length = call.content_length()?;
    if length.is_some_and(|length| length > SIZE_MAX) {
        return Err(Refusal::of(Code::TooLarge, Door::Plain, Asked::Change));
    }
    let mut register = call.register(name_of(call), length);
    register.client_type = type_of(call.headers());
    let upload = register.upload;
    let content = Content {
        at: 0,
        length,
        declares: None,
        crc32c: None,
        ends: Ends::Here,
        broken: Broken::Cancel,
    };
    let headers = call.headers();
    let check = digest(headers, "content-digest").or_else(|| digest(headers, "repr-digest"));
    let check = check.map_or(Checking::Nothing, Checking::AtEnd);
    let visitor = call.creator().await?;
    let location = call.location(&visitor, upload);
    let ask = Ask::Create(Box::new(register), Some(content));
    let answered = call.ask(&visitor, upload, ask, check).await?;
    let receipt = match answered.reply {
        Reply::Done(receipt) => receipt,
        // A client that sent it again would have two.
        Reply::Later => {
            let refusal = call.refused(Reply::Later, Asked::Change);
            return Err(Refusal {
                text: "The file is being stored: its address says when it is".into(),
                ..refusal.found_at(location, &visitor)
            });
        }
        other => return Err(call.refused(other, Asked::Change)),
    };
    let mut response = (StatusCode::CREATED, Json(self::receipt(&receipt))).into_response();
    let headers = response.headers_mut();
    if let Some(location) = location {
        headers.insert(header::LOCATION, location);
    }
    add_cookie(headers, &visitor);
    Ok(response)
}

/// Tells how far an upload has come, in the words of tus and of the draft.
async fn offset(call: &mut Call) -> Result<Response, Refusal> {
    if call.headers().contains_key(tus::OFFSET) {
        return Err(Refusal::bad("An offset is asked for without one"));
    }
    let (visitor, upload) = call.comer().await?;
    let answered = call
        .ask(
            &visitor,
            upload,
            Ask::Offset(Ends::AsBegun),
            Checking::Nothing,
        )
        .await?;
    let mut response = StatusCode::OK.into_response();
    let headers = response.headers_mut();
    let (complete, age) = match answered.reply {
        Reply::At(subject) => {
            tus::add_subject(headers, &subject);
            // The word that this file still waits for would not come from a client of tus, which takes the whole
            // length for success.
            if subject.entry.length.known() == Some(subject.at.received) {
                headers.remove(tus::LENGTH);
            }
            tus::add_expiry(headers, call, &subject);
            ("?0", Age::of(call, Some(&*subject)))
        }
        Reply::Done(receipt) => {
            tus::add_receipt(headers, &receipt);
            ("?1", Age::of(call, None))
        }
        other => return Err(call.refused(other, Asked::Offset)),
    };
    headers.insert(COMPLETE, HeaderValue::from_static(complete));
    let resumable = HeaderValue::from_static(tus::VERSION);
    headers.insert(tus::RESUMABLE, resumable);
    if let Ok((slot, _)) = call.slots(&visitor.owner).await {
        limits::add(headers, &slot.rules, Some(age));
    }
    Ok(response)
}

/// Returns whether the content is a form.
pub(crate) fn is_form(headers: &HeaderMap) -> bool {
    media_type(headers).eq_ignore_ascii_case("multipart/form-data")
}

/// Returns the name of the file that a request brings.
pub(crate) fn name_of(call: &Call) -> String {
    if let Target::Named(name) = &call.target {
        return name.clone();
    }
    let disposition = call.headers().get(header::CONTENT_DISPOSITION);
    let name = disposition.and_then(|value| names::file_name(value.as_bytes()));
    name.unwrap_or_default()
}

/// Returns the type of the file that a request brings.
pub(crate) fn type_of(headers: &HeaderMap) -> String {
    let text = media_type(headers);
    match text.len() <= CLIENT_TYPE_BYTES_MAX {
        true => text.to_owned(),
        false => String::new(),
    }
}

/// Returns what clients receive about a file that is stored.
pub(crate) fn receipt(receipt: &Receipt) -> Value {
    json!({
        "ref": receipt.upload,
        "slot": receipt.slot,
        "name": receipt.client_name,
        "type": receipt.client_type,
        "size": receipt.size,
        "status": "complete",
        "crc32c": receipt.crc32c.map(crc32c_hex),
        "result": receipt.result,
    })
}
