//! The endings a connection remembers (COMPLETE-6).

use std::collections::VecDeque;

use upload_proto::{Snapshot, Status, UploadRef};

/// Whether an ending is the last word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finality {
    /// It is.
    Final,
    /// The file waits for its application, or did, and can be removed until it is taken (COMPLETE-7).
    Removable,
}

impl Finality {
    pub(crate) fn of(waits: bool) -> Self {
        match waits {
            true => Self::Removable,
            false => Self::Final,
        }
    }
}

/// The last snapshots of uploads that ended or left, newest last.
#[derive(Debug)]
pub(crate) struct Endings {
    kept: VecDeque<(Snapshot, Finality)>,
    max: usize,
}

impl Endings {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            kept: VecDeque::new(),
            max,
        }
    }

    /// Remembers `ending`, forgetting the oldest past the limit.
    pub(crate) fn remember(&mut self, ending: Snapshot, finality: Finality) {
        self.forget(ending.upload);
        self.kept.push_back((ending, finality));
        while self.kept.len() > self.max {
            self.kept.pop_front();
        }
    }

    /// Returns how `upload` ended.
    pub(crate) fn of(&self, upload: UploadRef) -> Option<&Snapshot> {
        self.find(upload).map(|(ending, _)| ending)
    }

    /// Returns whether `upload` was stored, and its file may still be there to be removed.
    pub(crate) fn may_wait(&self, upload: UploadRef) -> bool {
        self.find(upload).is_some_and(|(ending, finality)| {
            ending.status == Status::Complete && *finality == Finality::Removable
        })
    }

    fn find(&self, upload: UploadRef) -> Option<&(Snapshot, Finality)> {
        let is_it = |(ending, _): &&(Snapshot, Finality)| ending.upload == upload;
        self.kept.iter().rev().find(is_it)
    }

    /// Forgets `upload`: it begins anew.
    pub(crate) fn forget(&mut self, upload: UploadRef) {
        self.kept.retain(|(ending, _)| ending.upload != upload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// COMPLETE-6: a bounded memory, newest kept.
    #[test]
    fn remembers_the_last_few() {
        let mut endings = Endings::new(2);
        let refs = [1, 2, 3].map(|n| UploadRef::from_bytes([n; 16]));
        for upload in refs {
            endings.remember(Snapshot::new(upload, Status::Complete), Finality::Final);
        }
        assert!(endings.of(refs[0]).is_none());
        assert!(endings.of(refs[1]).is_some());
        endings.forget(refs[2]);
        assert!(endings.of(refs[2]).is_none());
    }
}
