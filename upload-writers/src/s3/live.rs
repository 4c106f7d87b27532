//! Which multipart uploads this process is at work on, so that a sweep leaves them alone.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The ids of multipart uploads that writers of one factory hold; clones are the same set.
#[derive(Clone, Debug, Default)]
pub(super) struct LiveSet(Arc<Mutex<BTreeSet<String>>>);

impl LiveSet {
    /// Counts an upload as held for as long as the answer lives.
    pub(super) fn hold(&self, upload: &str) -> Live {
        self.lock().insert(upload.to_owned());
        Live {
            set: self.clone(),
            upload: upload.to_owned(),
        }
    }

    pub(super) fn holds(&self, upload: &str) -> bool {
        self.lock().contains(upload)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        // Ids are inserted and removed whole, whatever panics elsewhere.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A held upload.
#[derive(Debug)]
pub(super) struct Live {
    set: LiveSet,
    upload: String,
}

impl Drop for Live {
    fn drop(&mut self) {
        self.set.lock().remove(&self.upload);
    }
}
