//! HTTP requests that upload: tus, the IETF's draft and plain bodies, at the same addresses.
//!
//! ```text
//! …/files/{slot}                  an upload is created; a slash may follow
//! …/files/{slot}/by-name/{name}   the same, under this name
//! …/files/{slot}/{ref}            one upload
//! …/files                         an upload is registered by a page that has no socket
//! …/slots                         what such a page may do
//! ```
//!
//! The headers of a request say which protocol it speaks. Each door reads its own headers, asks the visit
//! of the upload ([`visit`](super::visit)) and writes the answer. What is the same for all is here.
//! The rooms next to this one: `ask` (what a visit serves), `call` (one request), `cors`, `kept` (until when),
//! `page` (pages without a socket), `refusal` (codes and statuses), `refused` (which of them it is), `visitor`
//! (who a request belongs to).

mod ask;
pub(crate) mod call;
mod cors;
pub(crate) mod kept;
mod page;
pub(crate) mod refusal;
pub(crate) mod refused;
pub(crate) mod visitor;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State, rejection::PathRejection},
    response::{IntoResponse, Response},
    routing::any,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};

use self::{
    refusal::{Door, Refusal},
    visitor::Address,
};
use super::{
    ietf, method,
    state::App,
    tus,
    visit::{Rest, rest::Drains},
};
use crate::metrics;

/// What the builder decides about the doors.
#[derive(Debug, Default)]
pub(crate) struct DoorOptions {
    /// Whether an upload without an owner belongs to all who know its address.
    pub(crate) capabilities: bool,
    /// Where clients find the routes, such as `https://example.org/uploads`.
    pub(crate) public_url: Option<String>,
    /// Where browsers go whose form is stored.
    pub(crate) form_redirect: Option<String>,
    /// Reads what is left of refused requests.
    pub(crate) drains: Drains,
}

/// What a path names.
#[derive(Debug)]
pub(crate) enum Target {
    /// The slot.
    Slot,
    /// A file to be, by its name.
    Named(String),
    /// One upload.
    Upload(Address),
    /// An upload that a page registers.
    Registration,
    /// The slots of a page.
    Slots,
    /// Nothing that there is.
    Nothing,
}

/// One request.
pub(crate) struct Call {
    pub(crate) app: Arc<App>,
    pub(crate) parts: Parts,
    /// With an override taken into account.
    pub(crate) method: Method,
    pub(crate) door: Door,
    pub(crate) slot: String,
    pub(crate) target: Target,
    /// Until it is read.
    pub(crate) body: Option<Body>,
}

/// Adds the routes of all doors.
pub(crate) fn routes(router: Router<Arc<App>>) -> Router<Arc<App>> {
    router
        .route("/slots", any(slots))
        .route("/files", any(registration))
        .route("/files/{slot}", any(of_slot))
        // As tusd's addresses end.
        .route("/files/{slot}/", any(of_slot))
        .route("/files/{slot}/{upload}", any(of_upload))
        .route("/files/{slot}/by-name/{name}", any(by_name))
}

async fn slots(State(app): State<Arc<App>>, request: Request) -> Response {
    serve(app, String::new(), Target::Slots, request).await
}

async fn registration(State(app): State<Arc<App>>, request: Request) -> Response {
    serve(app, String::new(), Target::Registration, request).await
}

async fn of_slot(
    State(app): State<Arc<App>>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let (slot, target) = match path {
        Ok(Path(slot)) => (slot, Target::Slot),
        Err(_) => (String::new(), Target::Nothing),
    };
    serve(app, slot, target, request).await
}

async fn of_upload(
    State(app): State<Arc<App>>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Response {
    let (slot, target) = match path {
        Ok(Path((slot, upload))) => {
            let address = Address::parse(&upload);
            (slot, address.map_or(Target::Nothing, Target::Upload))
        }
        Err(_) => (String::new(), Target::Nothing),
    };
    serve(app, slot, target, request).await
}

async fn by_name(
    State(app): State<Arc<App>>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Response {
    let (slot, target) = match path {
        Ok(Path((slot, name))) => (slot, Target::Named(name)),
        Err(_) => (String::new(), Target::Nothing),
    };
    serve(app, slot, target, request).await
}

async fn serve(app: Arc<App>, slot: String, target: Target, request: Request) -> Response {
    app.start_tasks();
    let (mut parts, body) = request.into_parts();
    let method = overridden(&parts);
    if let Ok(method) = &method {
        // What the application is asked is about what the request does.
        parts.method = method.clone();
    }
    let door = match target {
        // Their uploads continue in the words of the draft.
        Target::Registration | Target::Slots => Door::Ietf,
        Target::Slot | Target::Named(_) | Target::Upload(_) | Target::Nothing => {
            door_of(&parts.method, &parts.headers)
        }
    };
    let mut call = Call {
        door,
        method: method.as_ref().ok().cloned().unwrap_or_default(),
        slot,
        target,
        body: Some(body),
        parts,
        app,
    };
    let served = match method {
        Ok(_) if call.is_preflight() => {
            if call.readable().is_none() {
                call.app.log_origin(&call.parts);
            }
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        Ok(_) => call.serve().await,
        Err(refusal) => Err(refusal),
    };
    let mut response = served.unwrap_or_else(|refusal| call.refuse(refusal));
    end(&mut call, &mut response);
    if response.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let address = call.app.identity.transport.address(&call.parts);
        let slots = &call.app.shared.slots;
        let slot = slots.contains_key(&call.slot).then_some(&*call.slot);
        call.app.shared.log_limits.too_large(slot, address);
    }
    response
}

/// Reads whatever was not read of the content, so that the answer arrives, and adds what every answer has.
fn end(call: &mut Call, response: &mut Response) {
    if let Some(body) = call.body.take() {
        call.drain(Rest::Unread(body));
    }
    call.finish(response);
    metrics::http_request(call.door.as_str(), response.status());
}

/// Returns the method that is meant.
fn overridden(parts: &Parts) -> Result<Method, Refusal> {
    method::meant(parts).ok_or_else(|| Refusal::bad("Invalid X-HTTP-Method-Override"))
}

/// Answers an address that asks too much, in the words of its door.
pub(crate) fn too_many(app: Arc<App>, parts: Parts, body: Body) -> Response {
    let method = method::meant(&parts).unwrap_or_default();
    let mut call = Call {
        door: door_of(&method, &parts.headers),
        method,
        slot: String::new(),
        target: Target::Nothing,
        body: Some(body),
        parts,
        app,
    };
    let refusal = Refusal::too_many(call.door, call.asked());
    let mut response = call.refuse(refusal);
    end(&mut call, &mut response);
    response
}

/// Returns which protocol a request speaks.
pub(crate) fn door_of(method: &Method, headers: &HeaderMap) -> Door {
    let is_type = |essence: &str| media_type(headers).eq_ignore_ascii_case(essence);
    if headers.contains_key(tus::RESUMABLE) || is_type(tus::OFFSET_TYPE) {
        Door::Tus
    } else if ietf::is_spoken(method, headers) || is_type(ietf::PARTIAL_TYPE) {
        Door::Ietf
    } else {
        Door::Plain
    }
}

/// Returns the type of a request's content, without parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).map(HeaderValue::to_str);
    let value = value.and_then(Result::ok).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}
