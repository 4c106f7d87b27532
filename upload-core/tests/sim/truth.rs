//! What is known to be true of an upload, whatever the messages say.

use upload_core::Record;
use upload_proto::UploadRef;

use crate::{
    plan::Keeping,
    rng::content,
    world::{Key, World},
};

/// What the simulator knows of an upload.
#[derive(Clone, Debug, Default)]
pub(crate) struct Truth {
    /// Seeds of the files that were ever sent under this ref.
    pub(crate) files: Vec<u64>,
    pub(crate) size: u64,
    pub(crate) slot: &'static str,
    pub(crate) unwelcome: bool,
    /// The application lets nothing of it be stored.
    pub(crate) forbidden: bool,
    /// Highest durable offset a client was told.
    pub(crate) durable_told: u64,
    /// Somebody was told that it is complete.
    pub(crate) is_complete: bool,
    /// It may be gone by right: it ended, was cancelled or its tab closed.
    pub(crate) may_be_gone: bool,
    /// Somebody was told that it can not be resumed, at least for a while.
    pub(crate) lost_record: bool,
    /// A call of the store about it failed, so that a record may lack what was to be saved.
    pub(crate) store_failed: bool,
    /// Its writer could tell no more where its bytes are.
    pub(crate) lost_checkpoint: bool,
    /// A process died that may have held its only writer.
    pub(crate) is_orphaned: bool,
}

impl World {
    /// Returns whether `bytes` are one of the files sent under this ref.
    pub(crate) fn is_whole(truth: &Truth, bytes: &[u8]) -> bool {
        let mut files = truth.files.iter();
        bytes.len() as u64 == truth.size && files.any(|seed| content(*seed, 0, truth.size) == bytes)
    }

    /// Invariant 1: complete is never said of anything but the whole file, of
    /// which there is one.
    pub(crate) fn check_complete(&mut self, owner: u8, upload: UploadRef) {
        let key = (owner, upload);
        let Some(truth) = self.truth.get(&key) else {
            return;
        };
        let published: Vec<_> = self.storage.published(key).collect();
        let wrong = match &published[..] {
            [] => Some("nothing is published".to_owned()),
            [bytes] if !Self::is_whole(truth, bytes) => Some(format!(
                "{} of {} bytes, or others",
                bytes.len(),
                truth.size
            )),
            [_] => None,
            more if self.may_publish_twice(truth) => more
                .iter()
                .any(|bytes| !Self::is_whole(truth, bytes))
                .then(|| "not the whole file".to_owned()),
            more => Some(format!("{} files are published", more.len())),
        };
        let (unwelcome, forbidden) = (truth.unwelcome, truth.forbidden);
        let is_owed = truth.slot == "wait" && !truth.may_be_gone && !self.is_lossy;
        if let Some(wrong) = wrong {
            self.fail(format!("1: complete is said of {upload}: {wrong}"));
        }
        if unwelcome {
            self.fail(format!("the gate let {upload} pass"));
        }
        if forbidden && self.plan.setup.authorizes {
            self.fail(format!("{upload} is stored, which is forbidden"));
        }
        // CTRL-6: its application finds it by its record.
        let is_found = self
            .records
            .record(key)
            .is_some_and(|it| it.phase.is_stored());
        if is_owed && !is_found {
            self.fail(format!("CTRL-6: {upload} is complete and no record waits"));
        }
        if let Some(truth) = self.truth.get_mut(&key) {
            truth.is_complete = true;
        }
    }

    /// Without a record nobody knows on a later connection what became of an
    /// upload (COMPLETE-4), and a writer that can not be reopened can not be
    /// asked whether it had closed.
    fn may_publish_twice(&self, truth: &Truth) -> bool {
        self.plan.setup.keeping == Keeping::NoCheckpoint
            || truth.slot == "file"
            || truth.lost_record
            // It ended, and began anew before what it had stored was removed, if its process lived to do that.
            || truth.may_be_gone
            || self.is_lossy
    }

    /// Invariant 2: a record is never ahead of what the writer kept.
    pub(crate) fn check_record(&mut self, key: (u8, UploadRef), record: &Record) {
        // The first bytes of a file may be in the record itself.
        let kept = self.storage.durable(key).max(record.head.len() as u64);
        // A save that takes effect after its upload was undone harms nobody.
        let is_undone = self.truth.get(&key).is_none_or(|truth| truth.may_be_gone);
        if record.offset > kept && !is_undone {
            let offset = record.offset;
            self.fail(format!("2: a record of {offset} bytes, {kept} are durable"));
        }
        let Some(truth) = self.truth.get(&key) else {
            return;
        };
        if let Some(crc) = record.crc32c {
            let fits = truth
                .files
                .iter()
                .any(|seed| crc32c::crc32c(&content(*seed, 0, record.offset)) == crc);
            if !fits {
                self.fail("RESUME-1: a record with a checksum of other bytes".into());
            }
        }
    }

    /// RESUME-4: nobody takes a live lease from another client.
    pub(crate) fn check_lease(
        &mut self,
        conn: usize,
        key: Key,
        before: Option<&Record>,
        after: &Record,
    ) {
        let Some(before) = before.filter(|before| before.epoch < after.epoch) else {
            return;
        };
        let (Some(old), Some(new)) = (&before.lease, &after.lease) else {
            return;
        };
        // A clock that was set since the record was read says nothing.
        let is_live = old.expires_unix_ms > self.clock(self.conns[conn].node).unix_ms
            && !self.clocks_were_set;
        let counts = self.plan.setup.nodes > 1 || old.boot == new.boot;
        // COMPLETE-7: a cancel takes it from anyone.
        let is_cancelled = self.cancelled.contains(&key);
        if is_live && counts && old.client_id != new.client_id && !is_cancelled {
            self.fail(format!("RESUME-4: {new:?} takes from {old:?}"));
        }
    }

    /// What is left once everybody went home.
    pub(crate) fn look_back(&mut self) {
        let open: Vec<_> = (0..self.conns.len())
            .filter(|conn| self.conns[*conn].host.is_some())
            .collect();
        if !open.is_empty() {
            self.fail(format!("7: sessions {open:?} never finish"));
        }
        for node in 0..self.nodes.len() {
            let it = &self.nodes[node];
            let parked = it.parked.len() as u32;
            let counted: u32 = it.tallies.values().map(|tally| tally.count()).sum();
            if counted != parked {
                self.fail(format!("7: {counted} uploads are counted, {parked} parked"));
            }
            self.empty_lot(node);
        }
        if self.storage.open_handles() > 0 {
            self.fail("7: writers are left in nobody's hands".into());
        }
        let left: Vec<_> = self
            .truth
            .iter()
            .filter(|(key, it)| {
                it.slot == "file" && !it.is_orphaned && self.storage.is_under_way(**key)
            })
            .map(|(key, _)| key.1)
            .collect();
        if !left.is_empty() {
            self.fail(format!("7: files under way are left behind: {left:?}"));
        }
    }
}
