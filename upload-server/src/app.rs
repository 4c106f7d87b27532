//! Everything a request needs: what connections share, and how they are let in.

use std::sync::{Arc, Once};

use crate::{
    identity::Identity, mount::MountFn, options::SlotFiles, origin::Origins, reaper, shared::Shared,
};

/// The state of the router.
pub(crate) struct App {
    pub(crate) shared: Arc<Shared>,
    pub(crate) identity: Identity,
    pub(crate) origins: Origins,
    pub(crate) mount: Option<MountFn>,
    pub(crate) files: SlotFiles,
    reaper: Once,
}

impl App {
    pub(crate) fn new(
        shared: Arc<Shared>,
        identity: Identity,
        origins: Origins,
        mount: Option<MountFn>,
        files: SlotFiles,
    ) -> Self {
        Self {
            shared,
            identity,
            origins,
            mount,
            files,
            reaper: Once::new(),
        }
    }

    /// Starts the reaper with the first call inside a runtime.
    pub(crate) fn start_reaper(&self) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            self.reaper.call_once(|| {
                let shared = Arc::clone(&self.shared);
                let sweepers = reaper::Sweepers::of(&shared, &self.files.writers);
                runtime.spawn(reaper::run(shared, sweepers));
            });
        }
    }
}
