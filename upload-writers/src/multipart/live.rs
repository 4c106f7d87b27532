//! Which multipart uploads this process is at work on, so that a sweep leaves them alone.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// How often writers of one factory hold a multipart upload, by its id; clones are the same set.
#[derive(Clone, Debug, Default)]
pub(super) struct LiveSet(Arc<Mutex<BTreeMap<String, usize>>>);

impl LiveSet {
    /// Counts an upload as held for as long as the answer lives.
    ///
    /// Two hold it while one takes it over from the other.
    pub(super) fn hold(&self, upload: &str) -> Live {
        let mut holds = self.lock();
        let count = holds.entry(upload.to_owned()).or_default();
        *count = count.saturating_add(1);
        drop(holds);
        Live {
            set: self.clone(),
            upload: upload.to_owned(),
        }
    }

    pub(super) fn holds(&self, upload: &str) -> bool {
        self.lock().contains_key(upload)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
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
        let mut holds = self.set.lock();
        if let Some(count) = holds.get_mut(&self.upload) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                holds.remove(&self.upload);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_is_held_until_the_last_one_lets_go() {
        let set = LiveSet::default();
        let old = set.hold("upload");
        let new = set.clone().hold("upload");
        drop(old);
        assert!(set.holds("upload"), "it was taken over");
        drop(new);
        assert!(!set.holds("upload"));
        assert!(set.lock().is_empty());
    }
}
