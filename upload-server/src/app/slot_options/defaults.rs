//! What the slots of a server have in common.

use std::{path::PathBuf, sync::Arc};

use upload_writers::WriterFactory;

use crate::slots::handlers::{Authorize, OnComplete};

/// What all slots have in common: where those without a writer of their own keep files, and whom
/// the server asks.
#[derive(Clone)]
pub(crate) struct SlotDefaults {
    pub(crate) writers: Arc<dyn WriterFactory>,
    pub(crate) data_dir: PathBuf,
    pub(crate) authorize: Option<Authorize>,
    /// What takes each stored file where completion consumes it, besides the slot's own handler.
    pub(crate) on_upload_complete: Option<OnComplete>,
    /// Whether other processes see the server's store.
    pub(crate) shared_store: bool,
}
