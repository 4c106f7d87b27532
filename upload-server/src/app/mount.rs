//! The slots of one connection, decided from its request.

use std::{fmt, sync::Arc};

use axum::response::{IntoResponse, Response};
use http::{StatusCode, request::Parts};

use super::{
    argument::FromCall,
    build_error::BuildError,
    handler::{Arguments, Handler},
    owner::Owner,
    slot_options::{SlotDefaults, SlotOptions},
};
use crate::{
    http::state::{Mounted, SlotsOf},
    slots::{handlers::BoxFuture, slot::Slots},
};

/// The application's decision about the slots of a connection.
pub(super) type MountFn =
    Box<dyn Fn(String, Parts, ConnectionSlots) -> BoxFuture<Mounted> + Send + Sync>;

/// Has the application decide, on the slots of all.
pub(super) fn decided_by(mount: MountFn, defaults: SlotDefaults) -> SlotsOf {
    let defaults = Arc::new(defaults);
    Box::new(move |owner, parts, slots| {
        let defaults = Arc::clone(&defaults);
        mount(owner, parts, ConnectionSlots { defaults, slots })
    })
}

/// Makes a decision of a closure that answers at once.
pub(super) fn by_closure(
    mount: impl Fn(&mut Mount<'_>) -> Result<(), BuildError> + Send + Sync + 'static,
) -> MountFn {
    Box::new(move |owner, parts, slots| {
        let mut connection = Mount {
            owner: &owner,
            parts: &parts,
            slots,
        };
        let decided = mount(&mut connection);
        let slots = connection.slots.slots;
        let decided = decided.map(|()| slots).map_err(failed);
        Box::pin(async move { (parts, decided) })
    })
}

/// Makes a decision of a handler.
pub(super) fn by_handler<S, H, A, M, E>(state: S, handler: H) -> MountFn
where
    S: Clone + Send + Sync + 'static,
    H: Handler<A>,
    H::Returned: Future<Output = Result<ConnectionSlots, E>> + Send,
    A: Arguments<ConnectionSlots, S, M> + Send,
    M: 'static,
    E: IntoResponse,
{
    Box::new(move |owner, mut parts, slots| {
        let (state, handler) = (state.clone(), handler.clone());
        Box::pin(async move {
            Owner::keep(owner, &mut parts);
            let arguments = match A::from_call(&slots, &mut parts, &state).await {
                Ok(arguments) => arguments,
                Err(answer) => return (parts, Err(answer)),
            };
            let decided = handler.call(arguments).await;
            let decided = decided.map(|decided| decided.slots);
            let decided = decided.map_err(|error| Box::new(error.into_response()));
            (parts, decided)
        })
    })
}

fn failed(error: BuildError) -> Box<Response> {
    Box::new(error.into_response())
}

/// Answers 500; what was wrong is logged.
impl IntoResponse for BuildError {
    fn into_response(self) -> Response {
        tracing::error!(error = %self, "mount failed");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

/// The slots a connection will have, as an argument and the result of a handler of
/// [`mount_from`](crate::UploadsBuilder::mount_from).
///
/// They begin as the slots of [`allow_upload`](crate::UploadsBuilder::allow_upload).
///
/// ```
/// use upload_server::{BuildError, ConnectionSlots, Owner, SlotOptions, Uploads};
///
/// async fn slots(
///     Owner(owner): Owner,
///     mut slots: ConnectionSlots,
/// ) -> Result<ConnectionSlots, BuildError> {
///     slots.remove_upload("trial");
///     if owner == "press" {
///         slots.allow_upload("press", SlotOptions::new().accept(".pdf"))?;
///     }
///     Ok(slots)
/// }
///
/// let builder = Uploads::builder().mount_from(slots);
/// ```
#[derive(Clone)]
pub struct ConnectionSlots {
    defaults: Arc<SlotDefaults>,
    slots: Slots,
}

impl ConnectionSlots {
    /// Adds a slot to this connection, in place of one of the same name.
    ///
    /// An upload in it expires as in any other slot: its bytes are removed by this slot's writer, then its record, and
    /// a finished one that was not taken goes as `delete_untaken` says. The process knows the slot from when it saves
    /// a record of this owner there, 10,000 such slots at most; one that was restarted knows it again with the next
    /// one. Until then a record stays until its store lets it go. Slots that are named at the build do not depend on
    /// that: name a slot with [`UploadsBuilder::allow_upload`](crate::UploadsBuilder::allow_upload), and take it away
    /// with [`remove_upload`](Self::remove_upload) from those who may not use it. Only what is named there is swept for
    /// what no record names. The status route asks the stores of the slots that its own request is given.
    ///
    /// # Errors
    ///
    /// The options cannot be.
    pub fn allow_upload(&mut self, name: &str, options: SlotOptions) -> Result<(), BuildError> {
        let slot = options.into_slot(name, &self.defaults);
        let slot = slot.map_err(|source| BuildError::slot(name, source))?;
        Arc::make_mut(&mut self.slots).insert(name.to_owned(), slot);
        Ok(())
    }

    /// Takes a slot away from this connection; answers whether there was one.
    pub fn remove_upload(&mut self, name: &str) -> bool {
        Arc::make_mut(&mut self.slots).remove(name).is_some()
    }
}

impl FromCall<Self> for ConnectionSlots {
    fn from_call(slots: &Self, _: &mut Parts) -> Result<Self, Box<Response>> {
        Ok(slots.clone())
    }
}

impl fmt::Debug for ConnectionSlots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.slots.keys()).finish()
    }
}

/// A connection about to open, and the slots it will have.
///
/// ```
/// use upload_server::Uploads;
///
/// let builder = Uploads::builder().mount(|mount| {
///     if !mount.parts().headers.contains_key("x-beta") {
///         mount.remove_upload("beta");
///     }
///     Ok(())
/// });
/// ```
pub struct Mount<'a> {
    owner: &'a str,
    parts: &'a Parts,
    slots: ConnectionSlots,
}

impl Mount<'_> {
    /// Returns who the connection belongs to.
    pub fn owner(&self) -> &str {
        self.owner
    }

    /// Returns the request that opens the connection, with the extensions of the app's middleware.
    pub fn parts(&self) -> &Parts {
        self.parts
    }

    /// Adds a slot, see [`ConnectionSlots::allow_upload`].
    ///
    /// # Errors
    ///
    /// The options cannot be.
    pub fn allow_upload(&mut self, name: &str, options: SlotOptions) -> Result<(), BuildError> {
        self.slots.allow_upload(name, options)
    }

    /// Takes a slot away from this connection; answers whether there was one.
    pub fn remove_upload(&mut self, name: &str) -> bool {
        self.slots.remove_upload(name)
    }
}

impl fmt::Debug for Mount<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mount")
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}
