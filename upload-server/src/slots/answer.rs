//! What the application's closures may answer: errors in words, and whether an upload is allowed, or why not.

use std::{error::Error, fmt};

use upload_core::Refusal;
use upload_proto::Code;
use uuid::Uuid;

use super::{
    handlers::{Authorize, question},
    slot::{AuthorizeRequest, in_words},
};

/// Longest text of a [`HandlerError`], in bytes.
const TEXT_BYTES_MAX: usize = 1024;

/// Longest code of a [`HandlerError`], in bytes.
const CODE_BYTES_MAX: usize = 64;

/// Why a handler failed, with or without a text the client may read.
///
/// Every `std::error::Error` becomes one without (PROTOCOL MSG-4): clients read the fixed text of
/// `event_failed`, the log has the source.
///
/// ```
/// use upload_server::HandlerError;
///
/// let full = HandlerError::new("The album is full").with_code("album_full");
/// assert_eq!((full.code(), full.text()), (Some("album_full"), Some("The album is full")));
/// ```
pub struct HandlerError {
    pub(crate) code: Option<String>,
    pub(crate) text: Option<String>,
    pub(crate) source: Option<Box<dyn Error + Send + Sync>>,
}

impl HandlerError {
    /// Makes an error whose `text` is shown to the client, its first 1,024 bytes at most.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            code: None,
            text: Some(bounded(text.into(), TEXT_BYTES_MAX)),
            source: None,
        }
    }

    /// Adds a code of the application, its first 64 bytes at most, which the page's script reads as
    /// `reason`.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(bounded(code.into(), CODE_BYTES_MAX));
        self
    }

    /// Adds what caused it, which is logged and not shown.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Returns the code of the application.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// Returns the text that is shown to the client.
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for HandlerError {
    fn from(source: E) -> Self {
        Self {
            code: None,
            text: None,
            source: Some(source.into()),
        }
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerError")
            .field("code", &self.code)
            .field("text", &self.text)
            .field("source", &self.source)
            .finish()
    }
}

/// Cuts a text between two characters.
fn bounded(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}

/// An error of the application that an event's handler may return.
///
/// It decides what the client is shown: [`HandlerError::new`] takes a text,
/// [`with_code`](HandlerError::with_code) a code besides; everything else is only logged.
///
/// ```
/// use upload_server::{HandlerError, IntoHandlerError};
///
/// #[derive(Debug, thiserror::Error)]
/// enum AppError {
///     #[error("the album is full")]
///     Full,
///     #[error(transparent)]
///     Io(#[from] std::io::Error),
/// }
///
/// impl IntoHandlerError for AppError {
///     fn into_handler_error(self) -> HandlerError {
///         match self {
///             Self::Full => HandlerError::new("The album is full").with_code("album_full"),
///             Self::Io(error) => error.into(),
///         }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of an event's handler",
    label = "not an error that a client can be told of",
    note = "return `HandlerError`, which every `std::error::Error` becomes with `?`, or implement \
            `IntoHandlerError` for `{Self}`"
)]
pub trait IntoHandlerError {
    /// Says what is shown and what is logged.
    fn into_handler_error(self) -> HandlerError;
}

impl IntoHandlerError for HandlerError {
    fn into_handler_error(self) -> HandlerError {
        self
    }
}

impl IntoHandlerError for std::convert::Infallible {
    fn into_handler_error(self) -> HandlerError {
        match self {}
    }
}

/// What an `authorize` closure returns: `true` or `false`, or a [`Result`] whose error says why not.
///
/// The text of an error is shown to the user, with its code for programs (PROTOCOL MSG-4); of an error
/// without a text, and of `false`, the fixed text of `forbidden`.
///
/// ```
/// use upload_server::{HandlerError, SlotOptions};
///
/// # async fn has_paid(_: &str) -> Result<bool, std::io::Error> { Ok(true) }
/// let slot = SlotOptions::new().authorize(async |request| {
///     match has_paid(&request.owner).await? {
///         true => Ok(()),
///         false => Err(HandlerError::new("Your plan has no uploads").with_code("upgrade")),
///     }
/// });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say whether an upload is allowed",
    label = "not the answer of an `authorize` closure",
    note = "return `bool`, or `Result<(), E>` where `E` is `HandlerError` or `IntoHandlerError`"
)]
pub trait Authorization {
    /// Says whether the upload is allowed, and why not.
    ///
    /// # Errors
    ///
    /// It is not.
    fn into_authorization(self) -> Result<(), HandlerError>;
}

impl Authorization for bool {
    fn into_authorization(self) -> Result<(), HandlerError> {
        self.then_some(()).ok_or(HandlerError {
            code: None,
            text: None,
            source: None,
        })
    }
}

impl<E: IntoHandlerError> Authorization for Result<(), E> {
    fn into_authorization(self) -> Result<(), HandlerError> {
        self.map_err(IntoHandlerError::into_handler_error)
    }
}

/// Why an upload is not allowed.
#[derive(Debug)]
pub(crate) enum Denial {
    /// The application refuses it.
    Refused(Refusal),
    /// The sign-in that it is asked about with is over; with another one it may be allowed.
    SignedOut,
    /// No one can say at present whether it is allowed.
    #[cfg(feature = "cli")]
    Undecided,
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        match denial {
            Denial::Refused(refusal) => refusal,
            Denial::SignedOut => Code::Forbidden.into(),
            #[cfg(feature = "cli")]
            Denial::Undecided => Code::Forbidden.into(),
        }
    }
}

/// Makes what the server asks of a closure of the application.
pub(crate) fn asked<F, R>(authorize: F) -> Authorize
where
    F: FnOnce(AuthorizeRequest) -> R + Clone + Send + Sync + 'static,
    R: Future<Output: Authorization> + Send + 'static,
{
    question(move |request| {
        let answer = authorize.clone()(request);
        async move {
            let answer = answer.await.into_authorization();
            answer.map_err(|error| Denial::Refused(refused(error)))
        }
    })
}

/// Makes the refusal that an error of an `authorize` closure is: its text is told, its source logged.
fn refused(error: HandlerError) -> Refusal {
    let HandlerError { code, text, source } = error;
    if let Some(source) = source {
        let (incident, error) = (Uuid::new_v4(), crate::text::chain(source.as_ref()));
        tracing::warn!(%incident, error, "an authorize closure failed");
    }
    match text {
        Some(text) => in_words(Code::Forbidden, code.as_deref(), &text),
        None => Code::Forbidden.into(),
    }
}
