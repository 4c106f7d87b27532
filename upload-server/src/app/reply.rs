//! What a handler of an event may return.

use axum::{Json, body::Body, response::Response};
use http_body_util::{BodyExt, Limited};
use serde::Serialize;
use serde_json::Value;

use crate::slots::answer::{HandlerError, IntoHandlerError};

/// Longest text of a rejected argument that a client is shown, in bytes.
const TEXT_BYTES_MAX: usize = 1024;

/// What an event's handler returns: a [`Result`], or axum's [`Json`], a [`Value`] or nothing.
///
/// ```
/// use serde::Serialize;
/// use serde_json::json;
/// use upload_server::{EventReply, HandlerError};
///
/// #[derive(Serialize)]
/// struct Saved {
///     photos: u32,
/// }
///
/// let saved: Result<Saved, HandlerError> = Ok(Saved { photos: 3 });
/// assert_eq!(saved.into_event_reply().unwrap(), json!({ "photos": 3 }));
/// assert_eq!(().into_event_reply().unwrap(), json!(null));
/// let failed: Result<Saved, _> = Err(HandlerError::new("The album is full"));
/// assert_eq!(failed.into_event_reply().unwrap_err().text(), Some("The album is full"));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be returned by an event's handler",
    label = "not the result of a handler",
    note = "return `Result<T, E>` where `T: Serialize` and `E` is `HandlerError` or `IntoHandlerError`, or \
            `Json<T>`, `Value` or `()`"
)]
pub trait EventReply {
    /// Makes what is sent to the page.
    ///
    /// # Errors
    ///
    /// The handler failed, or its value cannot be JSON.
    fn into_event_reply(self) -> Result<Value, HandlerError>;
}

impl<T: Serialize, E: IntoHandlerError> EventReply for Result<T, E> {
    fn into_event_reply(self) -> Result<Value, HandlerError> {
        let value = self.map_err(IntoHandlerError::into_handler_error)?;
        Ok(serde_json::to_value(value)?)
    }
}

impl<T: Serialize> EventReply for Json<T> {
    fn into_event_reply(self) -> Result<Value, HandlerError> {
        Ok(serde_json::to_value(self.0)?)
    }
}

impl EventReply for Value {
    fn into_event_reply(self) -> Result<Value, HandlerError> {
        Ok(self)
    }
}

impl EventReply for () {
    fn into_event_reply(self) -> Result<Value, HandlerError> {
        Ok(Value::Null)
    }
}

/// Makes a handler's error of how an argument's extractor would answer a request: what it says of the
/// request is shown, and what it says of the server is logged.
pub(super) async fn rejected(response: Response) -> HandlerError {
    let status = response.status();
    let text = text_of(response.into_body()).await;
    if status.is_client_error()
        && let Some(text) = text.clone()
    {
        return HandlerError::new(text);
    }
    let text = text.unwrap_or_default();
    HandlerError::from(format!("an argument was rejected with {status}: {text}"))
}

async fn text_of(body: Body) -> Option<String> {
    let body = Limited::new(body, TEXT_BYTES_MAX).collect().await.ok()?;
    let text = String::from_utf8(body.to_bytes().into()).ok()?;
    (!text.is_empty()).then_some(text)
}
