//! Everything a request needs: what connections share, and how they are let in.

use std::sync::{Arc, Once};

use crate::{
    identity::Identity, mount::MountFn, options::SlotDefaults, origin::Origins, reaper,
    s3_events::S3Events, shared::Shared,
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
            tasks: Once::new(),
        }
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
