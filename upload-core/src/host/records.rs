//! The store of the small host: a map whose writes are conditional.

use std::collections::BTreeMap;

use upload_proto::UploadRef;

use crate::{Query, RecordExpect, RecordVersion, Save, StoreEvent};

/// The records of one owner, in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    stored: BTreeMap<UploadRef, (Vec<u8>, u64)>,
    version: u64,
}

impl Records {
    /// Returns the record of an upload as it is stored.
    pub fn get(&self, upload: UploadRef) -> Option<&[u8]> {
        self.stored.get(&upload).map(|(record, _)| &**record)
    }

    /// Returns whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.stored.is_empty()
    }

    /// Loses a record.
    pub fn forget(&mut self, upload: UploadRef) {
        self.stored.remove(&upload);
    }

    /// Does what the core asks of a store, and answers it.
    pub fn answer(&mut self, query: Query) -> StoreEvent {
        match query {
            Query::Read { upload, .. } => {
                let found = self.stored.get(&upload).cloned();
                StoreEvent::Found(found.map(|(record, version)| (record, RecordVersion(version))))
            }
            Query::Save(save) => {
                let Save {
                    upload,
                    record,
                    expect,
                    ..
                } = *save;
                let expected = match expect {
                    RecordExpect::Absent => None,
                    RecordExpect::Version(version) => Some(version),
                };
                if self.version_of(upload) != expected {
                    return StoreEvent::Conflict;
                }
                self.version = self.version.saturating_add(1);
                self.stored.insert(upload, (record, self.version));
                StoreEvent::Saved(RecordVersion(self.version))
            }
            Query::Delete { upload, expect, .. } => {
                if self.version_of(upload) != Some(expect) {
                    return StoreEvent::Conflict;
                }
                self.stored.remove(&upload);
                StoreEvent::Deleted
            }
        }
    }

    fn version_of(&self, upload: UploadRef) -> Option<RecordVersion> {
        let stored = self.stored.get(&upload);
        stored.map(|(_, version)| RecordVersion(*version))
    }
}
