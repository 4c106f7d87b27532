//! The endings a connection remembers (COMPLETE-6).

use std::collections::VecDeque;

use upload_proto::{Snapshot, UploadRef};

/// The last snapshots of uploads that ended or left, newest last.
#[derive(Debug)]
pub(crate) struct Endings {
    kept: VecDeque<Snapshot>,
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
    pub(crate) fn remember(&mut self, ending: Snapshot) {
        self.forget(ending.upload);
        self.kept.push_back(ending);
        while self.kept.len() > self.max {
            self.kept.pop_front();
        }
    }

    /// Returns how `upload` ended.
    pub(crate) fn of(&self, upload: UploadRef) -> Option<&Snapshot> {
        self.kept
            .iter()
            .rev()
            .find(|ending| ending.upload == upload)
    }

    /// Forgets `upload`: it begins anew.
    pub(crate) fn forget(&mut self, upload: UploadRef) {
        self.kept.retain(|ending| ending.upload != upload);
    }
}

#[cfg(test)]
mod tests {
    use upload_proto::Status;

    use super::*;

    /// COMPLETE-6: a bounded memory, newest kept.
    #[test]
    fn remembers_the_last_few() {
        let mut endings = Endings::new(2);
        let refs = [1, 2, 3].map(|n| UploadRef::from_bytes([n; 16]));
        for upload in refs {
            endings.remember(Snapshot::new(upload, Status::Complete));
        }
        assert!(endings.of(refs[0]).is_none());
        assert!(endings.of(refs[1]).is_some());
        endings.forget(refs[2]);
        assert!(endings.of(refs[2]).is_none());
    }
}
