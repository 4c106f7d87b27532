//! The slots of one connection, decided from its request.

use std::{fmt, sync::Arc};

use http::request::Parts;

use crate::{
    options::{SlotDefaults, SlotOptions},
    slot::Slots,
    uploads::BuildError,
};

/// The application's decision about the slots of a connection.
pub(crate) type MountFn = Arc<dyn Fn(&mut Mount<'_>) -> Result<(), BuildError> + Send + Sync>;

/// A connection about to open, and the slots it will have.
pub struct Mount<'a> {
    owner: &'a str,
    parts: &'a Parts,
    defaults: &'a SlotDefaults,
    slots: Slots,
}

impl<'a> Mount<'a> {
    pub(crate) fn new(
        owner: &'a str,
        parts: &'a Parts,
        defaults: &'a SlotDefaults,
        slots: Slots,
    ) -> Self {
        Self {
            owner,
            parts,
            defaults,
            slots,
        }
    }

    /// Returns who the connection belongs to.
    pub fn owner(&self) -> &str {
        self.owner
    }

    /// Returns the request that opens the connection, with the extensions of the app's middleware.
    pub fn parts(&self) -> &Parts {
        self.parts
    }

    /// Adds a slot to this connection, in place of one of the same name.
    ///
    /// What expired is removed only from writers and stores that a slot of
    /// [`UploadsBuilder::allow_upload`](crate::UploadsBuilder::allow_upload) names too, and only their
    /// stores are asked by the status route.
    ///
    /// # Errors
    ///
    /// The options cannot be.
    pub fn allow_upload(&mut self, name: &str, options: SlotOptions) -> Result<(), BuildError> {
        let slot = options.into_slot(name, self.defaults);
        let slot = slot.map_err(|source| BuildError::slot(name, source))?;
        Arc::make_mut(&mut self.slots).insert(name.to_owned(), slot);
        Ok(())
    }

    /// Takes a slot away from this connection; answers whether there was one.
    pub fn remove_upload(&mut self, name: &str) -> bool {
        Arc::make_mut(&mut self.slots).remove(name).is_some()
    }

    pub(crate) fn into_slots(self) -> Slots {
        self.slots
    }
}

impl fmt::Debug for Mount<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mount")
            .field("slots", &self.slots.keys())
            .finish_non_exhaustive()
    }
}
