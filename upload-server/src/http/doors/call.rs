//! One request, and what every door does with it.

use std::sync::Arc;

use axum::{
    extract::OriginalUri,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use upload_core::{Broken, Content, Ends, Reply, Request as Ask};
use upload_proto::{Code, Register, UploadRef};
use uuid::Uuid;

use super::{
    Call, Target, cors, page,
    refusal::{Asked, Door, Refusal},
    visitor::Visitor,
};
use crate::{
    http::{
        ietf, plain, tus,
        visit::{Rest, check::Checking},
    },
    slots::slot::{Slot, Slots},
};

/// Requests and visits have this client's name, so that one takes over from another (RESUME-4).
const CLIENT_ID: &str = "http";

/// Says as which client of the sockets a request comes.
const UPLOAD_CLIENT_ID: HeaderName = HeaderName::from_static("upload-client-id");

/// Longest name of a client, in bytes.
const CLIENT_ID_BYTES_MAX: usize = 255;

impl Call {
    /// Has the door serve the request.
    pub(super) async fn serve(&mut self) -> Result<Response, Refusal> {
        self.check_origin()?;
        match self.target {
            Target::Nothing => return Err(Refusal::not_found()),
            Target::Slots => return page::slots(self).await,
            Target::Registration => return page::register(self).await,
            Target::Slot | Target::Named(_) | Target::Upload(_) => {}
        }
        match self.door {
            Door::Tus => tus::serve(self).await,
            Door::Ietf => ietf::serve(self).await,
            Door::Plain => plain::serve(self).await,
        }
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// Returns whether a browser asks what it may send.
    pub(super) fn is_preflight(&self) -> bool {
        self.method == Method::OPTIONS
            && self
                .headers()
                .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
    }

    /// CONN-1: no page of another site changes anything, however the request's owner is known.
    fn check_origin(&self) -> Result<(), Refusal> {
        let scheme = self.app.identity.transport.scheme(&self.parts);
        let (headers, uri) = (&self.parts.headers, &self.parts.uri);
        let origins = &self.app.origins;
        let checked = match self.method {
            Method::HEAD | Method::GET | Method::OPTIONS => Ok(()),
            _ => origins.check_change(headers, uri, scheme),
        };
        checked.map_err(|_| {
            self.app.log_origin(&self.parts);
            Refusal::of(Code::Forbidden, self.door, Asked::Change)
        })
    }

    /// Returns the slot, if this owner has it and its doors are open. A whole file in words of the draft is a plain
    /// one from here on where the slot has no other door for it.
    ///
    /// # Errors
    ///
    /// It is answered so.
    pub(crate) async fn slots(&mut self, owner: &str) -> Result<(Slot, Slots), Refusal> {
        let all = self.app.slots_of(owner, &mut self.parts).await;
        let all = all.map_err(|answer| self.without_slots(&answer))?;
        let slot = all.get(&self.slot).cloned();
        if slot.as_ref().is_some_and(|slot| self.is_plain_in(slot)) {
            self.door = Door::Plain;
        }
        let slot = slot.filter(|slot| self.is_open(slot));
        let unknown = || Refusal::of(Code::UnknownSlot, self.door, Asked::Change);
        let slot = slot.ok_or_else(unknown)?;
        if slot.rules.direct {
            return Err(Refusal::of(Code::Forbidden, self.door, Asked::Change));
        }
        let one = [(self.slot.clone(), slot.clone())];
        Ok((slot, Arc::new(one.into())))
    }

    /// Returns whether a whole file in words of the draft is a plain one in this slot: a server that cannot resume
    /// ignores them, and some clients say them to every server.
    fn is_plain_in(&self, slot: &Slot) -> bool {
        let is_new = matches!(self.target, Target::Slot | Target::Named(_))
            && [Method::POST, Method::PUT].contains(&self.method);
        let is_whole = self.door == Door::Ietf && ietf::is_whole(self.headers());
        let has = |door: Door| slot.has_door(door.as_str());
        is_new && is_whole && !has(Door::Ietf) && has(Door::Plain)
    }

    /// Returns whether a slot has the door of the request. What every client asks or does alike may name no
    /// protocol, and passes where any door is open (T3, T4).
    fn is_open(&self, slot: &Slot) -> bool {
        let is_alike = self.door == Door::Plain
            && [Method::HEAD, Method::GET, Method::OPTIONS, Method::DELETE].contains(&self.method);
        match is_alike {
            true => Door::ALL.iter().any(|door| slot.has_door(door.as_str())),
            false => slot.has_door(self.door.as_str()),
        }
    }

    pub(super) fn asked(&self) -> Asked {
        match self.method {
            Method::HEAD | Method::GET => Asked::Offset,
            _ => Asked::Change,
        }
    }

    /// Identifies who creates an upload.
    ///
    /// # Errors
    ///
    /// The application knows the request to be without an owner.
    pub(crate) async fn creator(&mut self) -> Result<Visitor, Refusal> {
        let visitor = Visitor::creating(&self.app, &mut self.parts).await;
        visitor.map_err(|why| self.without_owner(why))
    }

    /// Identifies who comes back to the upload, and returns which that is.
    ///
    /// # Errors
    ///
    /// There is no owner, or the path names no upload.
    pub(crate) async fn comer(&mut self) -> Result<(Visitor, UploadRef), Refusal> {
        let Target::Upload(address) = &self.target else {
            return Err(Refusal::not_found());
        };
        let visitor = Visitor::returning(&self.app, &mut self.parts, address).await;
        let visitor = visitor.map_err(|why| self.without_owner(why))?;
        let visitor = visitor.ok_or_else(Refusal::not_found)?;
        Ok((visitor, address.upload))
    }

    /// Makes the registration of a new upload in this slot.
    pub(crate) fn register(&self, client_name: String, client_size: Option<u64>) -> Register {
        Register {
            upload: UploadRef::from_bytes(*Uuid::new_v4().as_bytes()),
            upload_name: self.slot.clone(),
            client_name,
            client_type: String::new(),
            client_size,
            resumable: None,
            client_id: Some(self.client_id()),
            last_modified: None,
            relative_path: None,
            meta: None,
        }
    }

    /// Returns as which client of the sockets the request comes.
    pub(super) fn client_id(&self) -> String {
        let value = self.headers().get(UPLOAD_CLIENT_ID);
        let text = value.and_then(|value| value.to_str().ok());
        let named = text.filter(|text| text.len() <= CLIENT_ID_BYTES_MAX);
        named.unwrap_or(CLIENT_ID).to_owned()
    }

    /// Returns where a browser without a script goes once its form is stored.
    pub(crate) fn redirect(&self) -> Option<HeaderValue> {
        let accept = self.headers().get(header::ACCEPT)?.to_str().ok()?;
        let address = self.app.doors.form_redirect.as_deref()?;
        let is_page = accept
            .split(',')
            .any(|word| word.trim().starts_with("text/html"));
        is_page.then(|| HeaderValue::try_from(address).ok())?
    }

    /// Reads what is left of the content.
    pub(crate) fn drain(&self, rest: Rest) {
        let awaits = awaits_asking(self.headers());
        let address = self.app.identity.transport.address(&self.parts);
        self.app.doors.drains.drain(rest, awaits, address);
    }

    /// Returns where an upload of this slot is found.
    pub(crate) fn location(&self, visitor: &Visitor, upload: UploadRef) -> Option<HeaderValue> {
        let name = visitor.name_of(upload);
        let text = match &self.app.doors.public_url {
            Some(url) => format!("{url}/files/{}/{name}", self.slot),
            None => {
                let original = self.parts.extensions.get::<OriginalUri>();
                let path = original.map_or(self.parts.uri.path(), |uri| uri.0.path());
                let path = match (&self.target, path.rfind("/by-name/")) {
                    (Target::Named(_), Some(end)) => path.get(..end).unwrap_or_default(),
                    _ => path.trim_end_matches('/'),
                };
                match self.target {
                    Target::Registration => format!("{path}/{}/{name}", self.slot),
                    _ => format!("{path}/{name}"),
                }
            }
        };
        HeaderValue::try_from(text).ok()
    }

    /// Returns how many bytes of content are announced.
    ///
    /// # Errors
    ///
    /// It is no number.
    pub(crate) fn content_length(&self) -> Result<Option<u64>, Refusal> {
        tus::fields::bytes(self.headers(), "content-length")
            .map_err(|()| Refusal::bad("Invalid Content-Length"))
    }

    /// Returns whether content comes along.
    pub(crate) fn has_content(&self) -> bool {
        let headers = self.headers();
        let length = headers.get(header::CONTENT_LENGTH);
        headers.contains_key(header::TRANSFER_ENCODING) || length.is_some_and(|value| value != "0")
    }

    /// Ends an upload.
    ///
    /// # Errors
    ///
    /// It is complete, or is not there.
    pub(crate) async fn delete(&mut self) -> Result<Response, Refusal> {
        let (visitor, upload) = self.comer().await?;
        let answered = self
            .ask(&visitor, upload, Ask::Delete, Checking::Nothing)
            .await?;
        match answered.reply {
            Reply::Deleted => Ok(StatusCode::NO_CONTENT.into_response()),
            Reply::Kept if self.door == Door::Ietf => Err(Refusal::not_found()),
            Reply::Kept => Err(Refusal::of(Code::Forbidden, self.door, Asked::Change)),
            other => Err(self.refused(other, Asked::Change)),
        }
    }

    /// Returns what the page that asks may do with the answer.
    pub(super) fn readable(&self) -> Option<cors::Readable> {
        let scheme = self.app.identity.transport.scheme(&self.parts);
        let (headers, uri) = (&self.parts.headers, &self.parts.uri);
        self.app.origins.readable(headers, uri, scheme)
    }

    /// Adds what every answer has.
    pub(super) fn finish(&self, response: &mut Response) {
        let is_preflight = self.is_preflight();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let nosniff = HeaderValue::from_static("nosniff");
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        if self.door == Door::Tus || self.method == Method::OPTIONS {
            headers.insert(tus::RESUMABLE, HeaderValue::from_static(tus::VERSION));
        }
        let origin = self.parts.headers.get(header::ORIGIN);
        if let (Some(readable), Some(origin)) = (self.readable(), origin) {
            cors::expose(headers, origin.clone(), readable);
            if is_preflight {
                cors::allow(headers);
            }
        }
    }
}

/// Returns whether a client waits to be asked for its content.
pub(crate) fn awaits_asking(headers: &HeaderMap) -> bool {
    let expect = headers.get(header::EXPECT);
    expect.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Content that comes along with a request.
pub(crate) fn content(at: u64, length: Option<u64>, ends: Ends) -> Content {
    Content {
        at,
        length,
        declares: None,
        crc32c: None,
        ends,
        broken: Broken::Keep,
    }
}
