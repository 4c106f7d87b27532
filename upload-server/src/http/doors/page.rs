//! What a page needs whose network lets no WebSocket through: the slots, and registrations as over a socket.
//!
//! An upload is registered by the socket's own message, under the page's ref, and continues in the words of
//! the IETF's draft. So a page that finds a socket later resumes it there, and the other way round.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{Method, StatusCode, header};
use serde_json::json;
use upload_core::{Ends, Reply, Request as Ask, announcement};
use upload_proto::{ClientMessage, Code, ServerMessage};

use super::{
    Call,
    call::content,
    refusal::{Asked, Refusal},
};
use crate::http::{tus::add_cookie, visit::check::Checking};

/// Answers what a socket says first, for the slots whose uploads may come by HTTP.
pub(super) async fn slots(call: &mut Call) -> Result<Response, Refusal> {
    if !matches!(call.method, Method::GET | Method::HEAD) {
        return Err(Refusal::method("GET, HEAD, OPTIONS"));
    }
    if call.app.shared.draining.is_cancelled() {
        return Err(Refusal::of(Code::Draining, call.door, Asked::Change));
    }
    let who = call.app.identity.identify(&mut call.parts).await;
    let who = who.map_err(|why| call.without_owner(why))?;
    let slots = call.app.slots_of(&who.owner, &mut call.parts).await;
    let slots = slots.map_err(|answer| call.without_slots(&answer))?;
    let open = slots
        .iter()
        .filter(|(_, slot)| slot.rules.direct || slot.has_door(call.door.as_str()));
    let rules = open.map(|(name, slot)| (name.clone(), slot.rules.clone()));
    let config = call
        .app
        .connection_of(who.owner, slots.clone(), &call.parts);
    let configs = announcement(&rules.collect(), &config.limits);
    let mut response = Json(ServerMessage::Configs(configs)).into_response();
    if let Some(cookie) = who.set_cookie {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Registers an upload by the message of a socket.
pub(super) async fn register(call: &mut Call) -> Result<Response, Refusal> {
    if call.method != Method::POST {
        return Err(Refusal::method("POST, OPTIONS"));
    }
    let refused = |code| Refusal::of(code, call.door, Asked::Change);
    let body = call.body.take().unwrap_or_default();
    let address = call.app.identity.transport.address(&call.parts);
    let read = call.app.bodies.read(body, address).await;
    let read = read.map_err(|status| match status {
        StatusCode::SERVICE_UNAVAILABLE => refused(Code::RateLimited),
        _ => refused(Code::BadMessage),
    })?;
    let text = std::str::from_utf8(&read.bytes).map_err(|_| refused(Code::BadMessage))?;
    let register = match ClientMessage::parse(text) {
        Ok(ClientMessage::Register(register)) => register,
        Ok(_) => return Err(refused(Code::BadMessage)),
        Err(error) => return Err(refused(error.code)),
    };
    drop(read);
    let upload = register.upload;
    call.slot.clone_from(&register.upload_name);
    let visitor = call.creator().await?;
    let (slot, _) = call.slots(&visitor.owner).await?;
    let location = call.location(&visitor, upload);
    // A page ends its file by word, as every client of the draft; only an empty one is stored at once.
    let ends = match register.client_size {
        Some(0) => Ends::Here,
        _ => Ends::Later,
    };
    let ask = Ask::Create(Box::new(register), Some(content(0, Some(0), ends)));
    let answered = call.ask(&visitor, upload, ask, Checking::Nothing).await?;
    let is_resumable = match answered.reply {
        Reply::Created(subject) => subject.entry.resumable,
        // An empty file is stored with its registration.
        Reply::Done(_) => slot.rules.resumable,
        other => return Err(call.refused(other, Asked::Change)),
    };
    let kept = call.app.shared.limits.session.record_ttl;
    let body = Json(json!({
        "ref": upload,
        "upload_name": call.slot,
        "chunk_size": slot.rules.chunk_size,
        "resumable": is_resumable,
        "expires_in": is_resumable.then_some(kept.as_secs()),
    }));
    let mut response = (StatusCode::CREATED, body).into_response();
    let headers = response.headers_mut();
    if let Some(location) = location {
        headers.insert(header::LOCATION, location);
    }
    add_cookie(headers, &visitor);
    Ok(response)
}
