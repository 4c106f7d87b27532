//! `POST …/presign`: checks a file as a registration would, and answers where to put it.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use http::request::Parts;
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use tokio::time::Instant;
use upload_core::{AuthorizeStage, OwnWords, Refusal};
use upload_proto::{ClientMessage, Code, Register};
use upload_validate::safe_name;

use super::{identity::NoOwner, state::App};
use crate::{
    metrics,
    presign::{PresignedPut, SignError},
    slots::{handlers::ask, slot::AuthorizeRequest},
};

pub(crate) async fn presign(State(app): State<Arc<App>>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let scheme = app.identity.transport.scheme(&parts);
    if app
        .origins
        .check(&parts.headers, &parts.uri, scheme)
        .is_err()
    {
        app.log_origin(&parts);
        return refusal(Code::Forbidden);
    }
    let who = match app.identity.identify(&mut parts).await {
        Ok(who) => who,
        Err(NoOwner::Unauthenticated) => {
            return (StatusCode::UNAUTHORIZED, refused(Code::Forbidden)).into_response();
        }
        Err(no_owner @ NoOwner::Failed(_)) => return no_owner.into_response(),
    };
    // Its place is given back before anybody is asked about the file.
    let address = app.identity.transport.address(&parts);
    let register = app.bodies.read(body, address).await;
    let register = register.map(|body| read(&body.bytes));
    let mut response = match register {
        Ok(register) => match sign(&app, &mut parts, &who.owner, register).await {
            Ok(put) => Json(put).into_response(),
            Err(response) => response,
        },
        Err(status @ StatusCode::SERVICE_UNAVAILABLE) => {
            (status, refused(Code::RateLimited)).into_response()
        }
        Err(status) => (status, refused(Code::BadMessage)).into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(cookie) = who.set_cookie {
        headers.insert(header::SET_COOKIE, cookie);
    }
    response
}

/// Makes the checks of PROTOCOL MSG-1a, as far as there can be any without a connection, in that
/// order.
async fn sign(
    app: &App,
    parts: &mut Parts,
    owner: &str,
    register: Result<Register, Code>,
) -> Result<PresignedPut, Response> {
    if app.shared.draining.is_cancelled() {
        return Err(refusal(Code::Draining));
    }
    let rates = app
        .shared
        .rates
        .of(owner, app.identity.transport.address(parts));
    let now = Instant::now();
    if !rates.may_ask(now) || !rates.may_register(now) {
        return Err(refusal(Code::RateLimited));
    }
    let mut register = register.map_err(refusal)?;
    let slots = app.slots_of(owner, parts).await;
    let slots = slots.map_err(|answer| *answer)?;
    let slot = slots.get(&register.upload_name);
    let Some((slot, presigner)) = slot.and_then(|slot| Some((slot, slot.presigner.as_ref()?)))
    else {
        return Err(refusal(Code::UnknownSlot));
    };
    let mut folder = None;
    if let Some(authorize) = slot.authorize.clone() {
        let request = AuthorizeRequest::new(owner, &register, AuthorizeStage::Register);
        let amendment = ask(authorize, request).await.map_err(refusal)?;
        register.client_name = amendment.client_name.unwrap_or(register.client_name);
        folder = amendment.folder;
    }
    let size = register.client_size.ok_or(refusal(Code::BadSize))?;
    if size > slot.rules.max_file_size {
        return Err(refusal(Code::TooLarge));
    }
    let screened = slot
        .rules
        .screen
        .screen(&register.client_name, &register.client_type);
    screened.map_err(refusal)?;
    let signed = presigner.sign_below(folder, &register.client_name, &register.client_type, size);
    let put = signed.await.map_err(|error| match error {
        SignError::TooLarge => refusal(Code::TooLarge),
        SignError::NoCredentials => {
            tracing::error!(%error, "nothing was signed");
            refusal(Code::StorageFailed)
        }
    })?;
    let label = app.shared.slot_label(&register.upload_name);
    metrics::upload_started(label, metrics::PRESIGNED);
    tracing::info!(
        upload = %put.upload_id,
        slot = register.upload_name,
        bytes = size,
        "upload signed"
    );
    tracing::debug!(name = &*safe_name(&register.client_name), "signed name");
    Ok(put)
}

/// Reads the body by the rules of a registration, which it is but for type and ref.
pub(crate) fn read(body: &[u8]) -> Result<Register, Code> {
    #[derive(Deserialize)]
    struct Fields<'a> {
        #[serde(borrow)]
        upload_name: Option<&'a RawValue>,
        #[serde(borrow)]
        client_name: Option<&'a RawValue>,
        #[serde(borrow)]
        client_type: Option<&'a RawValue>,
        #[serde(borrow)]
        client_size: Option<&'a RawValue>,
        #[serde(borrow)]
        relative_path: Option<&'a RawValue>,
        #[serde(borrow)]
        meta: Option<&'a RawValue>,
    }

    let fields: Fields<'_> = serde_json::from_slice(body).map_err(|_| Code::BadMessage)?;
    let upload = uuid::Uuid::new_v4();
    let mut text = format!("{{\"type\":\"upload_register\",\"ref\":\"{upload}\"");
    for (name, value) in [
        ("upload_name", fields.upload_name),
        ("client_name", fields.client_name),
        ("client_type", fields.client_type),
        ("client_size", fields.client_size),
        ("relative_path", fields.relative_path),
        ("meta", fields.meta),
    ] {
        if let Some(value) = value {
            text.push_str(&format!(",\"{name}\":{}", value.get()));
        }
    }
    text.push('}');
    match ClientMessage::parse(&text) {
        Ok(ClientMessage::Register(register)) => Ok(register),
        Ok(_) => Err(Code::BadMessage),
        Err(error) => Err(error.code),
    }
}

fn refused(refusal: impl Into<Refusal>) -> Json<serde_json::Value> {
    let Refusal { code, words } = refusal.into();
    let retry = code.retry();
    Json(match words {
        Some(OwnWords { reason, text }) => {
            json!({ "code": code, "reason": &*reason, "error": &*text, "retry": retry })
        }
        None => json!({ "code": code, "error": code.text(), "retry": retry }),
    })
}

fn refusal(refusal: impl Into<Refusal>) -> Response {
    let refusal = refusal.into();
    let status = match refusal.code {
        Code::UnknownSlot => StatusCode::NOT_FOUND,
        Code::Forbidden => StatusCode::FORBIDDEN,
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::TypeNotAccepted | Code::ActiveContent => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Code::Draining | Code::StorageFailed => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    };
    (status, refused(refusal)).into_response()
}
