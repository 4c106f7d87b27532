//! What a handler may take as an argument.

use axum::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{StatusCode, request::Parts};
use serde::de::DeserializeOwned;

use super::{owner::Owner, params};
use crate::slots::events::EventContext;

/// What is taken from the request by axum's [`FromRequestParts`].
#[doc(hidden)]
#[derive(Debug)]
pub enum ViaParts {}

/// What is taken from the call itself.
#[doc(hidden)]
#[derive(Debug)]
pub enum ViaCall {}

/// An argument of a [`Handler`](crate::Handler).
///
/// Every handler takes:
///
/// - axum's `State<T>`, where `T` is the state of
///   [`with_state`](crate::UploadsBuilder::with_state) or made from it by `FromRef`;
/// - axum's `Extension<T>`, `HeaderMap`, `ConnectInfo<T>`, cookies, and whatever else implements axum's
///   [`FromRequestParts`]: the request is the one that opened the connection, after the app's
///   middleware;
/// - [`Owner`].
///
/// A handler of [`handle_event`](crate::UploadsBuilder::handle_event) also takes [`Params`],
/// [`Entries`](crate::Entries) and the [`EventContext`], and one of
/// [`mount_from`](crate::UploadsBuilder::mount_from) the [`ConnectionSlots`](crate::ConnectionSlots).
///
/// To make an argument of your own, implement [`FromRequestParts`]; in an event's handler the request's
/// extensions hold the [`EventContext`].
///
/// ```
/// use axum::{extract::State, http::HeaderMap};
/// use serde::Deserialize;
/// use upload_server::{Entries, HandlerError, Owner, Params, Uploads};
///
/// #[derive(Deserialize)]
/// struct Form {
///     album: String,
/// }
///
/// async fn save(
///     State(greeting): State<&'static str>,
///     headers: HeaderMap,
///     Owner(owner): Owner,
///     Params(form): Params<Form>,
///     photos: Entries,
/// ) -> Result<String, HandlerError> {
///     let language = headers.get("accept-language").is_some();
///     let photos = photos.of("photos").await?.len();
///     Ok(format!("{greeting} {owner}: {photos} for {}, {language}", form.album))
/// }
///
/// let builder = Uploads::builder().with_state("Hello").handle_event("save", save);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of this handler",
    label = "not an argument of this handler",
    note = "an argument is `Owner`, or anything that implements axum's `FromRequestParts`: \
            `State<T>`, `Extension<T>`, `HeaderMap`, …",
    note = "of an event's handler also `Params<T>` where `T: DeserializeOwned`, `Entries` or `EventContext`; \
            of `mount_from` also `ConnectionSlots`",
    note = "`State<T>` needs the state: call `with_state` before, with `T` or what `T` implements `FromRef` for"
)]
pub trait Argument<C, S, M>: Sized {
    /// Takes it; the error is what a request would be answered.
    fn take(
        call: &C,
        parts: &mut Parts,
        state: &S,
    ) -> impl Future<Output = Result<Self, Box<Response>>> + Send;
}

impl<C: Sync, S: Send + Sync, T: FromRequestParts<S>> Argument<C, S, ViaParts> for T {
    async fn take(_: &C, parts: &mut Parts, state: &S) -> Result<Self, Box<Response>> {
        let taken = T::from_request_parts(parts, state).await;
        taken.map_err(|rejection| Box::new(rejection.into_response()))
    }
}

impl<C: Sync, S: Sync, T: FromCall<C> + Send> Argument<C, S, ViaCall> for T {
    async fn take(call: &C, parts: &mut Parts, _: &S) -> Result<Self, Box<Response>> {
        T::from_call(call, parts)
    }
}

/// An argument that is taken from an event or from a connection about to open.
pub trait FromCall<C>: Sized {
    /// Takes it.
    ///
    /// # Errors
    ///
    /// It is not there, or does not fit; this is what a request would be answered.
    fn from_call(call: &C, parts: &mut Parts) -> Result<Self, Box<Response>>;
}

impl<C, T: Clone + Send + Sync + 'static> FromCall<C> for Owner<T> {
    fn from_call(_: &C, parts: &mut Parts) -> Result<Self, Box<Response>> {
        Self::of(parts).ok_or_else(|| {
            let owner = std::any::type_name::<T>();
            tracing::error!(
                owner,
                "a handler takes an owner of another type than `owner_from` gives"
            );
            Box::new(StatusCode::INTERNAL_SERVER_ERROR.into_response())
        })
    }
}

/// The parameters of an event, read as your type.
///
/// A form's fields arrive as text, so where `T` has a number or a flag, its text is read as one; a field
/// that occurs several times is a list.
///
/// ```
/// use serde::Deserialize;
/// use upload_server::{HandlerError, Params};
///
/// #[derive(Deserialize)]
/// struct Profile {
///     name: String,
///     age: Option<u8>,
/// }
///
/// async fn save(Params(profile): Params<Profile>) -> Result<String, HandlerError> {
///     Ok(format!("{} is {:?}", profile.name, profile.age))
/// }
///
/// let uploads = upload_server::Uploads::builder().handle_event("save", save);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params<T>(pub T);

impl<T: DeserializeOwned> FromCall<EventContext> for Params<T> {
    fn from_call(event: &EventContext, _: &mut Parts) -> Result<Self, Box<Response>> {
        params::read(&event.params).map(Self).map_err(|error| {
            let text = format!("The parameters do not fit: {error}");
            Box::new((StatusCode::UNPROCESSABLE_ENTITY, text).into_response())
        })
    }
}

impl FromCall<Self> for EventContext {
    fn from_call(event: &Self, _: &mut Parts) -> Result<Self, Box<Response>> {
        Ok(event.clone())
    }
}
