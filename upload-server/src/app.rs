//! Everything a request needs: what connections share, and how they are let in.

use std::sync::{Arc, Once};

use http::{StatusCode, request::Parts};

#[cfg(feature = "presign")]
use crate::{bodies::Bodies, presign};
use crate::{
    identity::Identity,
    mount::{Mount, MountFn},
    options::SlotDefaults,
    origin::Origins,
    reaper,
    s3_events::S3Events,
    shared::Shared,
    slot::Slots,
};

/// The state of the router.
pub(crate) struct App {
    pub(crate) shared: Arc<Shared>,
    pub(crate) identity: Identity,
    pub(crate) origins: Origins,
    pub(crate) mount: Option<MountFn>,
    pub(crate) defaults: SlotDefaults,
    /// `None` where there is neither a webhook nor a hook.
    pub(crate) s3_events: Option<S3Events>,
    /// Bodies of requests for presigned uploads.
    #[cfg(feature = "presign")]
    pub(crate) bodies: Bodies,
    tasks: Once,
}

impl App {
    pub(crate) fn new(
        shared: Arc<Shared>,
        identity: Identity,
        origins: Origins,
        mount: Option<MountFn>,
        defaults: SlotDefaults,
        s3_events: Option<S3Events>,
    ) -> Self {
        Self {
            shared,
            identity,
            origins,
            mount,
            defaults,
            s3_events,
            #[cfg(feature = "presign")]
            bodies: Bodies::new(presign::BODY_BYTES_MAX),
            tasks: Once::new(),
        }
    }

    /// Returns the slots a request may use, as the application decides.
    ///
    /// # Errors
    ///
    /// The application's `mount` failed, which the log tells; this is the answer.
    pub(crate) fn slots_of(&self, owner: &str, parts: &Parts) -> Result<Slots, StatusCode> {
        let slots = Arc::clone(&self.shared.slots);
        let Some(mount) = &self.mount else {
            return Ok(slots);
        };
        let mut connection = Mount::new(owner, parts, &self.defaults, slots);
        mount(&mut connection).map_err(|error| {
            tracing::error!(%error, "mount failed");
            StatusCode::INTERNAL_SERVER_ERROR
        })?;
        Ok(connection.into_slots())
    }

    /// Starts the reaper and the delivery of hooks with the first call inside a runtime.
    pub(crate) fn start_tasks(&self) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            self.tasks.call_once(|| {
                let shared = Arc::clone(&self.shared);
                let sweepers = reaper::Sweepers::of(&shared, &self.defaults.writers);
                if let Some(events) = &self.s3_events {
                    events.hooks.start(&shared, &runtime);
                }
                runtime.spawn(reaper::run(shared, sweepers));
            });
        }
    }
}
