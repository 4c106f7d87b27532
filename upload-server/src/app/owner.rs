//! Who a request belongs to, as the application's own type.

use http::request::Parts;
use uuid::Uuid;

/// A type of the application that says who an upload belongs to, for
/// [`owner_from`](crate::UploadsBuilder::owner_from).
///
/// ```
/// use upload_server::AsOwner;
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
/// ```
pub trait AsOwner: Clone + Send + Sync + 'static {
    /// Returns the name under which the server keeps uploads of this owner, at most 255 bytes; `None`
    /// leaves it to the signed cookie.
    fn as_owner(&self) -> Option<String>;
}

impl AsOwner for String {
    fn as_owner(&self) -> Option<String> {
        Some(self.clone())
    }
}

/// Without a value, it is left to the signed cookie.
impl<T: AsOwner> AsOwner for Option<T> {
    fn as_owner(&self) -> Option<String> {
        self.as_ref()?.as_owner()
    }
}

macro_rules! printed {
    ($($type:ty),+) => {$(
        impl AsOwner for $type {
            fn as_owner(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    )+};
}

printed!(i32, i64, u32, u64, Uuid);

/// Who a connection belongs to, as an argument of a handler.
///
/// `Owner(name): Owner` is the name as the server keeps it; `Owner(user): Owner<User>` is the value that
/// [`owner_from`](crate::UploadsBuilder::owner_from) took from the request, a `User` for example.
///
/// ```
/// use upload_server::{HandlerError, Owner, Uploads};
///
/// async fn greet(Owner(name): Owner) -> Result<String, HandlerError> {
///     Ok(format!("Hello, {name}"))
/// }
///
/// let builder = Uploads::builder().handle_event("greet", greet);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner<T = String>(pub T);

/// The owner in the extensions of a request.
#[derive(Clone)]
struct Kept<T>(T);

impl<T: Clone + Send + Sync + 'static> Owner<T> {
    /// Returns the owner that was kept in a request.
    pub(super) fn of(parts: &Parts) -> Option<Self> {
        let Kept(owner) = parts.extensions.get::<Kept<T>>()?;
        Some(Self(owner.clone()))
    }

    /// Keeps the owner in a request.
    pub(super) fn keep(owner: T, parts: &mut Parts) {
        parts.extensions.insert(Kept(owner));
    }
}
