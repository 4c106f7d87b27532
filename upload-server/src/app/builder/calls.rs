//! What a builder makes the server call: who owns a request, its slots, and the handlers of events.

use std::sync::Arc;

use axum::{extract::FromRequestParts, response::IntoResponse};
use http::{StatusCode, request::Parts};
use serde_json::Value;

use super::{
    super::{
        build_error::BuildError,
        handler::{Arguments, Handler},
        mount::{ConnectionSlots, Mount, by_closure, by_handler},
        owner::{AsOwner, Owner},
        reply::{EventReply, rejected},
    },
    UploadsBuilder,
};
use crate::{
    http::identity::{NoOwner, Unauthenticated},
    slots::{
        answer::HandlerError,
        events::{EventContext, Handler as EventHandler},
    },
};

impl<S> UploadsBuilder<S> {
    /// Sets the state that handlers take as axum's `State<T>`: `T` is this type, or made from it by
    /// `FromRef`.
    ///
    /// It is for the calls that come after it: [`handle_event`](UploadsBuilder::handle_event),
    /// [`owner_from`](UploadsBuilder::owner_from) and [`mount_from`](UploadsBuilder::mount_from).
    ///
    /// ```
    /// use axum::extract::State;
    /// use upload_server::{HandlerError, Uploads};
    ///
    /// #[derive(Clone)]
    /// struct Db;
    ///
    /// async fn count(State(_db): State<Db>) -> Result<usize, HandlerError> {
    ///     Ok(1)
    /// }
    ///
    /// let builder = Uploads::builder().with_state(Db).handle_event("count", count);
    /// ```
    pub fn with_state<T>(self, state: T) -> UploadsBuilder<T> {
        UploadsBuilder {
            state,
            settings: self.settings,
        }
    }

    /// Decides the slots of each connection from its request and owner, before the upgrade; replaces
    /// [`mount_from`](Self::mount_from).
    ///
    /// The [`Mount`] starts with the slots of [`allow_upload`](Self::allow_upload); an error is
    /// logged and answered with 500. The closure must not block.
    ///
    /// ```
    /// use upload_server::{SlotOptions, Uploads};
    ///
    /// let builder = Uploads::builder().mount(|mount| match mount.owner() {
    ///     "press" => mount.allow_upload("press", SlotOptions::new().accept(".pdf")),
    ///     _ => Ok(()),
    /// });
    /// ```
    pub fn mount<F>(mut self, mount: F) -> Self
    where
        F: Fn(&mut Mount<'_>) -> Result<(), BuildError> + Send + Sync + 'static,
    {
        self.settings.mount = Some(by_closure(mount));
        self
    }

    /// Decides the slots of each connection with a [`Handler`], which may wait; replaces
    /// [`mount`](Self::mount).
    ///
    /// It takes the [`ConnectionSlots`] and gives them back changed. An error is the answer to the
    /// handshake, as is an argument that cannot be taken; one that takes longer than ten seconds is
    /// answered with 503.
    ///
    /// ```
    /// use axum::{extract::State, http::StatusCode};
    /// use upload_server::{ConnectionSlots, Owner, SlotOptions, Uploads};
    ///
    /// #[derive(Clone)]
    /// struct Db;
    ///
    /// impl Db {
    ///     async fn is_editor(&self, name: &str) -> Result<bool, StatusCode> {
    ///         Ok(name == "ann")
    ///     }
    /// }
    ///
    /// async fn slots(
    ///     State(db): State<Db>,
    ///     Owner(name): Owner,
    ///     mut slots: ConnectionSlots,
    /// ) -> Result<ConnectionSlots, StatusCode> {
    ///     if !db.is_editor(&name).await? {
    ///         slots.remove_upload("press");
    ///     }
    ///     Ok(slots)
    /// }
    ///
    /// let builder = Uploads::builder()
    ///     .allow_upload("press", SlotOptions::new().accept(".pdf"))
    ///     .with_state(Db)
    ///     .mount_from(slots);
    /// ```
    pub fn mount_from<H, A, M, F, E>(mut self, handler: H) -> Self
    where
        S: Clone + Send + Sync + 'static,
        H: Handler<A, Returned = F>,
        A: Arguments<ConnectionSlots, S, M> + Send,
        M: 'static,
        F: Future<Output = Result<ConnectionSlots, E>> + Send,
        E: IntoResponse,
    {
        self.settings.mount = Some(by_handler(self.state.clone(), handler));
        self
    }

    /// Answers the page's events of this name; what it returns is the `result` the page sees.
    ///
    /// The closure gets the whole [`EventContext`]; [`handle_event`](Self::handle_event) takes handlers
    /// in axum's shape.
    ///
    /// ```
    /// use serde_json::json;
    /// use upload_server::Uploads;
    ///
    /// let greeting = String::from("Hello");
    /// let builder = Uploads::builder().on_event("greet", async move |event| {
    ///     Ok(json!({ "text": format!("{greeting}, {}", event.owner) }))
    /// });
    /// ```
    pub fn on_event<F, R>(mut self, name: impl Into<String>, handler: F) -> Self
    where
        F: FnOnce(EventContext) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Result<Value, HandlerError>> + Send + 'static,
    {
        let handler: EventHandler = Arc::new(move |event| Box::pin(handler.clone()(event)));
        self.settings.handlers.push((name.into(), handler));
        self
    }

    /// Answers the page's events of this name with a [`Handler`]: an async function whose arguments are
    /// axum's extractors, [`Owner`], [`Params`](crate::Params) and [`Entries`](crate::Entries).
    ///
    /// It returns a `Result` of anything that serializes and an error that says what the page shows
    /// ([`IntoHandlerError`](crate::IntoHandlerError)).
    ///
    /// ```
    /// use axum::extract::State;
    /// use serde::{Deserialize, Serialize};
    /// use upload_server::{HandlerError, Owner, Params, Uploads};
    ///
    /// #[derive(Clone)]
    /// struct Db;
    ///
    /// #[derive(Deserialize)]
    /// struct Profile {
    ///     name: String,
    /// }
    ///
    /// #[derive(Serialize)]
    /// struct Saved {
    ///     text: String,
    /// }
    ///
    /// async fn save(
    ///     State(_db): State<Db>,
    ///     Owner(owner): Owner,
    ///     Params(profile): Params<Profile>,
    /// ) -> Result<Saved, HandlerError> {
    ///     let text = format!("{} of {owner} is saved", profile.name);
    ///     Ok(Saved { text })
    /// }
    ///
    /// let builder = Uploads::builder().with_state(Db).handle_event("save", save);
    /// ```
    pub fn handle_event<H, A, M, F>(mut self, name: impl Into<String>, handler: H) -> Self
    where
        S: Clone + Send + Sync + 'static,
        H: Handler<A, Returned = F>,
        A: Arguments<EventContext, S, M> + Send,
        M: 'static,
        F: Future + Send,
        F::Output: EventReply,
    {
        self.settings.keeps_requests = true;
        let state = self.state.clone();
        let handler: EventHandler = Arc::new(move |event| {
            let (state, handler) = (state.clone(), handler.clone());
            Box::pin(async move {
                let mut parts = request_of(&event);
                match A::from_call(&event, &mut parts, &state).await {
                    Ok(arguments) => handler.call(arguments).await.into_event_reply(),
                    Err(answer) => Err(rejected(*answer).await),
                }
            })
        });
        self.settings.handlers.push((name.into(), handler));
        self
    }

    /// Tells from a request who it belongs to, at most 255 bytes; replaces
    /// [`owner_from`](Self::owner_from).
    ///
    /// `Ok(None)` leaves it to the signed cookie. [`Unauthenticated`] is answered with 401. A request for a
    /// WebSocket is accepted instead and closed with 4401: a page's script sees that code and can connect again
    /// with a new token (PROTOCOL CONN-2). What axum middleware found out is in the parts' extensions.
    /// The closure must not block.
    ///
    /// ```
    /// use upload_server::{Unauthenticated, Uploads};
    ///
    /// let builder = Uploads::builder().owner(|parts| {
    ///     let user = parts.headers.get("x-user").and_then(|user| user.to_str().ok());
    ///     user.map(|user| Some(user.to_owned())).ok_or(Unauthenticated)
    /// });
    /// ```
    pub fn owner<F>(mut self, owner_of: F) -> Self
    where
        F: Fn(&Parts) -> Result<Option<String>, Unauthenticated> + Send + Sync + 'static,
    {
        self.settings.owner_of = Some(Arc::new(move |parts| {
            let owner = owner_of(&parts).map_err(|Unauthenticated| NoOwner::Unauthenticated);
            Box::pin(async move { (parts, owner) })
        }));
        self
    }

    /// Takes who a request belongs to with an extractor of the application; replaces
    /// [`owner`](Self::owner).
    ///
    /// A rejection of 4xx says that the request has no owner, as [`Unauthenticated`] does at
    /// [`owner`](Self::owner). Every other one, and an extractor that takes longer than ten seconds,
    /// says that the application does not know: then the request is answered with that status, or 503,
    /// and a page's client tries again. `Option<T>` leaves requests without a user to the signed
    /// cookie.
    ///
    /// Handlers take the same value as [`Owner<T>`](Owner), and the name as [`Owner`].
    ///
    /// ```
    /// use axum::{extract::FromRequestParts, http::{StatusCode, request::Parts}};
    /// use upload_server::{AsOwner, HandlerError, Owner, Uploads};
    ///
    /// #[derive(Clone)]
    /// struct Db;
    ///
    /// #[derive(Clone)]
    /// struct User {
    ///     id: i64,
    /// }
    ///
    /// impl AsOwner for User {
    ///     fn as_owner(&self) -> Option<String> {
    ///         Some(self.id.to_string())
    ///     }
    /// }
    ///
    /// impl FromRequestParts<Db> for User {
    ///     type Rejection = StatusCode;
    ///
    ///     async fn from_request_parts(parts: &mut Parts, _db: &Db) -> Result<Self, StatusCode> {
    ///         // A real one looks for the session of the request in its database.
    ///         let id = parts.headers.get("x-user").and_then(|id| id.to_str().ok()?.parse().ok());
    ///         id.map(|id| Self { id }).ok_or(StatusCode::UNAUTHORIZED)
    ///     }
    /// }
    ///
    /// async fn whoami(Owner(user): Owner<User>) -> Result<i64, HandlerError> {
    ///     Ok(user.id)
    /// }
    ///
    /// let builder = Uploads::builder()
    ///     .with_state(Db)
    ///     .owner_from::<User>()
    ///     .handle_event("whoami", whoami);
    /// ```
    pub fn owner_from<T>(mut self) -> Self
    where
        S: Clone + Send + Sync + 'static,
        T: FromRequestParts<S> + AsOwner,
    {
        let state = self.state.clone();
        self.settings.owner_of = Some(Arc::new(move |mut parts| {
            let state = state.clone();
            Box::pin(async move {
                let owner = match T::from_request_parts(&mut parts, &state).await {
                    Ok(owner) => {
                        let name = owner.as_owner();
                        Owner::keep(owner, &mut parts);
                        Ok(name)
                    }
                    Err(rejection) => Err(no_owner(rejection.into_response().status())),
                };
                (parts, owner)
            })
        }));
        self
    }
}

fn no_owner(status: StatusCode) -> NoOwner {
    if status.is_client_error() {
        return NoOwner::Unauthenticated;
    }
    tracing::error!(%status, "the extractor of `owner_from` failed");
    let is_failure = status.is_server_error();
    NoOwner::Failed(if is_failure {
        status
    } else {
        StatusCode::INTERNAL_SERVER_ERROR
    })
}

/// Returns the request that opened an event's connection, for the extractors of one call.
fn request_of(event: &EventContext) -> Parts {
    let mut parts = match &event.request {
        Some(request) => Parts::clone(request),
        None => http::Request::new(()).into_parts().0,
    };
    Owner::keep(event.owner.clone(), &mut parts);
    parts.extensions.insert(event.clone());
    parts
}
