//! Uploaded files as applications see them.

use std::path::PathBuf;

use upload_core::Entry;

/// One file offered to a slot, and what became of it.
#[derive(Clone, Debug)]
pub struct UploadedEntry {
    entry: Entry,
    /// Where the slot's file writer keeps finished files.
    files: Option<PathBuf>,
}

impl UploadedEntry {
    pub(crate) fn new(entry: Entry, files: Option<PathBuf>) -> Self {
        Self { entry, files }
    }
}
