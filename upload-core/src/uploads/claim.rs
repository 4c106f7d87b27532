//! An upload that is being taken over from its record: the lease, and what follows.

use std::{sync::Arc, time::Duration};

use upload_proto::{Code, UploadRef};

use crate::{
    AbortReason, Entry, EntryId, Lease, Output, OwnerToken, Query, Record, RecordPhase,
    RecordVersion, Save, SessionLimits, SlotRules, StorageFault, StoreEvent, Why,
    crc::PrefixCrc,
    expiry::saved_within,
    time::millis,
    upload::{
        Checkpoint, Context, Lineage, Upload,
        head::Head,
        head_bytes,
        keeper::{Keeper, Known, Saving},
        recorder::Recorder,
        renewal,
        stay::Stay,
        writer::{Behind, Writer},
    },
};

use super::reach::Step;

/// What is to become of an upload once it is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// It is continued.
    Continue,
    /// It leaves again.
    Leave(Why),
    /// It is cancelled.
    Cancel,
    /// It ends with this code.
    Fail(Code, AbortReason),
}

/// An upload that is being taken over.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) entry: Entry,
    pub(crate) slot: Arc<SlotRules>,
    pub(super) token: Option<OwnerToken>,
    pub(super) keeper: Keeper,
    pub(super) lineage: Lineage,
    pub(super) record: Record,
    /// Where writing continues, and the CRC32C of everything before it.
    pub(super) offset: u64,
    pub(super) crc32c: Option<u32>,
    pub(crate) then: Then,
}

impl Claim {
    #[expect(clippy::too_many_arguments, reason = "everything a claim consists of")]
    pub(super) fn new(
        entry: Entry,
        slot: Arc<SlotRules>,
        token: Option<OwnerToken>,
        client_id: Option<String>,
        record: Record,
        version: RecordVersion,
        then: Then,
        cx: &Context<'_>,
    ) -> Self {
        let (offset, crc) = match is_judged(&record, &slot) {
            true => (record.offset, record.crc32c),
            false => (0, Some(0)),
        };
        let pause = saved_within(cx.config.limits.lease_ttl);
        let rival_until = has_rival(&record, &slot, cx).then(|| cx.now.after(pause));
        let known = match record.opened {
            true => Known::ToOthers,
            false => Known::ToUs,
        };
        Self {
            keeper: Keeper::new(Some(version), known),
            lineage: Lineage {
                registration: record.birth.as_str().into(),
                epoch: record.epoch.saturating_add(1),
                client_id,
                created_unix_ms: record.created_unix_ms,
                rival_until,
            },
            crc32c: cx.config.checksum.then_some(crc).flatten(),
            entry,
            slot,
            token,
            record,
            offset,
            then,
        }
    }

    /// What the record says while the upload is taken over: the same, under a new holder.
    pub(super) fn target(&self) -> Saving {
        Saving {
            offset: self.recorded().0,
            phase: RecordPhase::Receiving,
            length: self.record.length,
            has_checkpoint: self.record.checkpoint.is_some(),
            released: false,
            revision: 0,
        }
    }

    /// What its record offers: the first bytes that it has, or what the writer made durable.
    fn recorded(&self) -> (u64, Option<u32>) {
        if !self.record.head.is_empty() {
            (self.record.offset, self.crc32c.and(self.record.crc32c))
        } else if self.record.checkpoint.is_some() {
            (self.offset, self.crc32c)
        } else {
            (0, self.crc32c.map(|_| 0))
        }
    }

    /// Returns how many bytes the upload continues with.
    pub(super) fn received(&self) -> u64 {
        self.offset.max(self.record.head.len() as u64)
    }

    /// Returns the writer of a file whose head is not judged.
    pub(super) fn gate(&self, behind: Behind) -> Writer {
        Writer::Gate(Head::from(self.record.head.clone()), behind)
    }

    /// Returns the writer that was reopened; bytes to come need not be those that were judged.
    pub(super) fn reopened(&self) -> Writer {
        match is_judged(&self.record, &self.slot) {
            true => Writer::OPEN,
            false => self.gate(Behind::Reopened),
        }
    }

    /// Saves if there is anything to save; returns false where a record can not be written.
    pub(super) fn save(&mut self, id: EntryId, upload: UploadRef, cx: &mut Context<'_>) -> bool {
        let limits = &cx.config.limits;
        let (interval, renew) = saving_interval(limits);
        let target = self.target();
        if !self.keeper.wants(target, interval, renew, cx.now) {
            return true;
        }
        let record = Record {
            phase: target.phase,
            offset: target.offset,
            crc32c: self.recorded().1,
            chunk_size: self.slot.chunk_size,
            epoch: self.lineage.epoch,
            lease: Some(Lease {
                boot: cx.config.holder.boot.clone(),
                session: cx.config.holder.session,
                client_id: self.lineage.client_id.clone(),
                expires_unix_ms: cx.now.unix_ms.saturating_add(millis(limits.lease_ttl)),
            }),
            result: serde_json::Value::Null,
            updated_unix_ms: cx.now.unix_ms,
            ..self.record.clone()
        };
        let (charge, ttl) = (record.charge(), record.kept(limits, cx.now));
        let Ok(record) = record.encode() else {
            return false;
        };
        self.keeper.begin(target, cx.now);
        let save = Save {
            upload,
            slot: Arc::clone(&self.entry.slot),
            record,
            expect: self.keeper.expect(),
            ttl,
            charge,
            // It was counted when it was registered.
            quota: None,
        };
        let query = Query::Save(Box::new(save));
        cx.effects.push(Output::Store(id, query));
        true
    }

    /// Learns what became of a renewed lease; returns whether another holder has the upload.
    pub(super) fn renewed(
        &mut self,
        id: EntryId,
        upload: UploadRef,
        event: StoreEvent,
        cx: &mut Context<'_>,
    ) -> bool {
        match event {
            StoreEvent::Saved(version) => drop(self.keeper.saved_as(version)),
            StoreEvent::Failed | StoreEvent::OverQuota => drop(self.keeper.failed(cx.now)),
            StoreEvent::Conflict => {
                self.keeper.looks();
                let slot = Some(Arc::clone(&self.entry.slot));
                let query = Query::Read { upload, slot };
                cx.effects.push(Output::Store(id, query));
            }
            StoreEvent::Found(None) => self.lineage.begin_anew(&mut self.keeper),
            StoreEvent::Found(Some((bytes, version))) => {
                let fence = self.lineage.fence();
                let is_ours = Record::decode(&bytes)
                    .is_ok_and(|record| fence.is_of(&record, &cx.config.holder));
                if !is_ours {
                    return true;
                }
                self.keeper.adopt(Some(version));
            }
            StoreEvent::Evicted | StoreEvent::Parked(_) | StoreEvent::Deleted => {}
        }
        false
    }

    /// Trouble of the moment with reopening must not cost what was acknowledged, so the record stays
    /// and the upload leaves; but what is to end, ends.
    pub(super) fn reopen_failed(
        self: Box<Self>,
        fault: StorageFault,
        cx: &mut Context<'_>,
    ) -> Step {
        let then = self.then;
        match then {
            Then::Cancel | Then::Fail(..) => Step::Became(self.upload(Writer::OPEN), then),
            Then::Continue | Then::Leave(_) => {
                let mut upload = self.upload(Writer::OPEN);
                upload.suspend(fault, cx);
                Step::Became(upload, Then::Continue)
            }
        }
    }

    pub(super) fn become_upload(self: Box<Self>, writer: Writer) -> Step {
        let then = self.then;
        Step::Became(self.upload(writer), then)
    }

    pub(super) fn upload(self: Box<Self>, writer: Writer) -> Box<Upload> {
        let received = self.received();
        let mut entry = self.entry;
        entry.bytes_received = received;
        let mut crc = PrefixCrc::from(self.offset, self.crc32c);
        if received > self.offset {
            crc.append(&self.record.head);
        }
        Box::new(Upload {
            entry,
            slot: self.slot,
            writer,
            recorder: Recorder::Kept(self.keeper),
            stay: Stay::Held,
            token: self.token,
            lineage: self.lineage,
            crc,
            taken: self.offset,
            durable: self.offset,
            checkpoint: Checkpoint::from(self.record.checkpoint),
            file_crc32c: self.record.file_crc32c,
            kept_head: self.record.head,
        })
    }
}

/// Returns whether a connection of another process may hold the upload, and finds out by its next save only.
fn has_rival(record: &Record, slot: &SlotRules, cx: &Context<'_>) -> bool {
    let is_rival = |lease: &Lease| {
        lease.boot != cx.config.holder.boot && cx.now.unix_ms < lease.expires_unix_ms
    };
    slot.shared_store && record.lease.as_ref().is_some_and(is_rival)
}

/// Returns whether the file may be continued where its record says: within the head, what comes now
/// need not be what was judged then.
fn is_judged(record: &Record, slot: &SlotRules) -> bool {
    record.head.is_empty() && record.offset >= head_bytes(slot, record.length)
}

/// Returns how long a save waits for the next one, and for a renewal of the lease.
pub(super) fn saving_interval(limits: &SessionLimits) -> (Duration, Duration) {
    (limits.save_interval, renewal(limits))
}
