//! Finished uploads in the hands of a handler: those that an event offers, and those that a form names.

use axum::{
    body::{Body, to_bytes},
    extract::{FromRef, FromRequest, FromRequestParts, Request},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header, request::Parts};
use percent_encoding::percent_decode;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use thiserror::Error;
use upload_proto::UploadRef;

use super::{argument::FromCall, owner::Owner, params, uploads::Uploads};
use crate::slots::{
    events::{EventContext, UploadsHandle},
    lent::LentUpload,
    waiting::TakeError,
};

/// Largest body of a form or a JSON request that names uploads, in bytes.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// Fields of such a body, and refs it names, at most.
const FIELDS_MAX: usize = 1024;

/// The finished uploads that an event offers, as an argument of its handler.
///
/// They are those that the page shows as finished, or of a client that names none those of its connection
/// (PROTOCOL CTRL-6).
///
/// ```
/// use upload_server::{Entries, HandlerError, Owner, Uploads};
///
/// async fn publish(Owner(owner): Owner, entries: Entries) -> Result<usize, HandlerError> {
///     let mut published = 0;
///     for photo in entries.of("photos").await? {
///         if photo.client_size() == 0 {
///             photo.refuse().await?;
///             continue;
///         }
///         // If this fails, this photo and those after it wait to be taken later.
///         let name = format!("photos/{owner}/{}-{}", photo.take_id(), photo.safe_client_name());
///         photo.persist(name).await?;
///         published += 1;
///     }
///     Ok(published)
/// }
///
/// let builder = Uploads::builder().handle_event("publish", publish);
/// ```
#[derive(Clone, Debug)]
pub struct Entries {
    uploads: UploadsHandle,
}

impl Entries {
    /// Lends those of a slot, in the page's order, at most its `max_entries`; a second call lends none of
    /// them again.
    ///
    /// Each is settled alone: [`LentUpload::take`] and [`LentUpload::persist`] make it the application's for
    /// good, [`LentUpload::refuse`] deletes it, and one that is dropped is given back, also when the handler
    /// fails, panics or takes too long.
    ///
    /// # Errors
    ///
    /// The connection has no such slot, the store does not answer, or another handler has one of them.
    pub async fn of(&self, slot: &str) -> Result<Vec<LentUpload>, LendError> {
        let lent = self.uploads.lend_each(slot).await;
        let lent = lent.ok_or_else(|| LendError::UnknownSlot(slot.to_owned()))?;
        Ok(lent?)
    }
}

impl Entries {
    pub(crate) fn of_handle(uploads: UploadsHandle) -> Self {
        Self { uploads }
    }
}

impl FromCall<EventContext> for Entries {
    fn from_call(event: &EventContext, _: &mut Parts) -> Result<Self, Box<Response>> {
        Ok(Self::of_handle(event.uploads.clone()))
    }
}

/// Finished uploads could not be lent.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LendError {
    /// There is no slot of this name.
    #[error("there is no slot {0:?}")]
    UnknownSlot(String),
    /// A field holds something else than refs of uploads.
    #[error("the field {0:?} does not name uploads")]
    Field(String),
    /// One of them cannot be lent.
    #[error(transparent)]
    Take(#[from] TakeError),
}

/// A form or a JSON body that names uploads, as an argument of an ordinary handler of axum.
///
/// A page's form has a hidden input for each finished upload, whose name is that of the slot and whose
/// value is the ref: `<input type="hidden" name="avatar" value="…">`. A JSON body has the ref, or a list
/// of them, under the slot's name. The uploads are found by the owner of the request, whichever connection
/// or node they came to.
///
/// The state of the app is [`Uploads`] or has it by `FromRef`. A request without an owner is answered with
/// 401, one of a page of another site with 403 (PROTOCOL CONN-1), and a body of more than 256 KiB with 413.
///
/// ```
/// use axum::{Router, http::StatusCode, routing::post};
/// use serde::Deserialize;
/// use upload_server::{SlotOptions, Submitted, Uploads};
///
/// #[derive(Deserialize)]
/// struct Profile {
///     name: String,
/// }
///
/// async fn save(form: Submitted<Profile>) -> Result<String, StatusCode> {
///     let avatars = form.of("avatar").await.map_err(|_| StatusCode::CONFLICT)?;
///     for avatar in avatars {
///         let saved = avatar.persist(format!("avatars/{}.png", form.owner)).await;
///         saved.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
///     }
///     Ok(format!("{} is saved", form.fields.name))
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// let uploads = Uploads::builder()
///     .data_dir(dir.path())
///     .allow_upload("avatar", SlotOptions::new().accept(".png"))
///     .build()?;
/// let app: Router = Router::new()
///     .route("/profile", post(save))
///     .with_state(uploads.clone())
///     .nest("/uploads", uploads.router());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Submitted<T> {
    /// Who sent it.
    pub owner: String,
    /// The body, read as your type as [`Params`](crate::Params) does.
    pub fields: T,
    named: Map<String, Value>,
    uploads: Uploads,
}

impl<T> Submitted<T> {
    /// Lends the uploads that the field of this slot's name names, in its order; none where there is no such
    /// field, or it is empty.
    ///
    /// Each is settled alone, as those of [`Entries::of`].
    ///
    /// # Errors
    ///
    /// There is no such slot, the field holds something else than refs of uploads, or one of them cannot be lent.
    /// That is so if it was taken before, is not a finished upload of this owner and slot, another handler has it,
    /// or the store does not answer. Then none is kept.
    pub async fn of(&self, slot: &str) -> Result<Vec<LentUpload>, LendError> {
        let slots = &self.uploads.app.shared.slots;
        let rules = slots.get(slot).map(|slot| &slot.rules);
        let rules = rules.ok_or_else(|| LendError::UnknownSlot(slot.to_owned()))?;
        let not_refs = || LendError::Field(slot.to_owned());
        let refs = refs(self.named.get(slot)).ok_or_else(not_refs)?;
        if refs.len() > rules.max_entries as usize {
            return Err(not_refs());
        }
        let mut lent = Vec::new();
        for upload in refs {
            let one = self.uploads.lend(&self.owner, upload).await?;
            if one.slot() != slot {
                return Err(TakeError::Unknown.into());
            }
            lent.push(one);
        }
        Ok(lent)
    }
}

/// Reads a field that names uploads, each once.
fn refs(field: Option<&Value>) -> Option<Vec<UploadRef>> {
    let values = match field {
        None | Some(Value::Null) => &[],
        Some(Value::Array(values)) => values.as_slice(),
        Some(value) => std::slice::from_ref(value),
    };
    let mut refs: Vec<UploadRef> = Vec::new();
    for value in values {
        let text = value.as_str()?;
        if text.is_empty() {
            continue;
        }
        let upload = text.parse().ok()?;
        if !refs.contains(&upload) {
            refs.push(upload);
        }
    }
    Some(refs)
}

impl<S, T> FromRequest<S> for Submitted<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
    Uploads: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let uploads = Uploads::from_ref(state);
        let (mut parts, body) = request.into_parts();
        let app = &uploads.app;
        let scheme = app.identity.transport.scheme(&parts);
        let (headers, uri, origins) = (&parts.headers, &parts.uri, &app.origins);
        #[cfg(feature = "doors")]
        let checked = origins.check_change(headers, uri, scheme);
        #[cfg(not(feature = "doors"))]
        let checked = origins.check(headers, uri, scheme);
        checked.map_err(|_| StatusCode::FORBIDDEN.into_response())?;
        let Owner(owner) = Owner::<String>::from_request_parts(&mut parts, state).await?;
        let named = read(&parts, body).await?;
        let fields = params::read(&named).map_err(|error| {
            let text = format!("The fields do not fit: {error}");
            (StatusCode::UNPROCESSABLE_ENTITY, text).into_response()
        })?;
        Ok(Self {
            owner,
            fields,
            named,
            uploads,
        })
    }
}

/// Reads the fields of a form or a JSON body.
async fn read(parts: &Parts, body: Body) -> Result<Map<String, Value>, Response> {
    let media_type = parts.headers.get(header::CONTENT_TYPE);
    let media_type = media_type.and_then(|value| upload_validate::essence(value.to_str().ok()?));
    let body = to_bytes(body, BODY_BYTES_MAX).await;
    let body = body.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE.into_response())?;
    let fields = match media_type.as_deref() {
        Some("application/json") => serde_json::from_slice(&body).ok(),
        Some("application/x-www-form-urlencoded") => form(&body),
        _ => return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response()),
    };
    fields.ok_or_else(|| StatusCode::BAD_REQUEST.into_response())
}

/// Reads a form's fields; what occurs several times is a list.
fn form(body: &[u8]) -> Option<Map<String, Value>> {
    let text = |part: &[u8]| {
        let spaced: Vec<u8> = part
            .iter()
            .map(|byte| if *byte == b'+' { b' ' } else { *byte })
            .collect();
        let decoded: Vec<u8> = percent_decode(&spaced).collect();
        String::from_utf8(decoded).ok()
    };
    let mut fields: Map<String, Value> = Map::new();
    let pairs = body.split(|byte| *byte == b'&');
    for (count, pair) in pairs.filter(|pair| !pair.is_empty()).enumerate() {
        if count >= FIELDS_MAX {
            return None;
        }
        let mut parts = pair.splitn(2, |byte| *byte == b'=');
        let name = text(parts.next()?)?;
        let value = Value::String(text(parts.next().unwrap_or_default())?);
        match fields.get_mut(&name) {
            None => {
                fields.insert(name, value);
            }
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    Some(fields)
}

/// The owner of an ordinary request; one without an owner is answered with 401.
impl<S, T> FromRequestParts<S> for Owner<T>
where
    S: Send + Sync,
    T: Clone + Send + Sync + 'static,
    Uploads: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let uploads = Uploads::from_ref(state);
        let who = uploads.app.identity.recognise(parts).await;
        let who = who.map_err(IntoResponse::into_response)?;
        let who = who.ok_or_else(|| StatusCode::UNAUTHORIZED.into_response())?;
        Owner::keep(who.owner, parts);
        <Self as FromCall<()>>::from_call(&(), parts).map_err(|answer| *answer)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_forms_fields_are_decoded_and_repeated_ones_are_lists() {
        let fields = form(b"name=Ann+%26+Bob&photos=1&photos=2&photos=3&empty=&&flag");
        let wanted = json!({
            "name": "Ann & Bob", "photos": ["1", "2", "3"], "empty": "", "flag": "",
        });
        assert_eq!(fields.map(Value::Object), Some(wanted));
        assert_eq!(form(b"a=%ff"), None, "no text");
        assert!(form("a=1&".repeat(FIELDS_MAX).as_bytes()).is_some());
        assert_eq!(form("a=1&".repeat(FIELDS_MAX + 1).as_bytes()), None);
    }

    #[test]
    fn a_field_names_each_upload_once() {
        let upload = "11111111-2222-3333-4444-555555555555";
        let one = vec![upload.parse().expect("a ref")];
        assert_eq!(refs(None), Some(vec![]));
        assert_eq!(refs(Some(&json!(""))), Some(vec![]));
        assert_eq!(refs(Some(&json!(upload))), Some(one.clone()));
        assert_eq!(refs(Some(&json!([upload, "", upload]))), Some(one));
        assert_eq!(refs(Some(&json!("../x"))), None);
        assert_eq!(refs(Some(&json!(7))), None);
    }
}
