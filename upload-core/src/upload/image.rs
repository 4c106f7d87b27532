//! What an upload's record says.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::Value;

use crate::{
    EntryStatus, Lease, Output, OwnerQuota, Query, RECORD_BYTES_MAX, Record, RecordPhase, Save,
    SessionLimits, Unclaimed, crc::Prefix, record::charge, time::millis,
};

use super::{
    Context, Upload,
    keeper::Saving,
    recorder::Recorder,
    writer::{Past, Writer},
};

/// What a record that keeps first bytes leaves free: the writer's checkpoint and a lease have to fit as
/// well, until these bytes are durable.
const CHECKPOINT_ROOM: usize = 2 * 1024;

impl Upload {
    /// What the record should say now.
    pub(super) fn target(&self) -> Saving {
        let phase = match self.writer {
            Writer::Closing | Writer::Announcing(_) | Writer::Gone(Past::Completing) => {
                RecordPhase::Completing
            }
            Writer::Open(_) if self.stay.is_finishing() => RecordPhase::Completing,
            Writer::Closed(_) if self.slot.waits => RecordPhase::Waiting,
            Writer::Closed(_) => RecordPhase::Complete,
            Writer::Claiming(_)
            | Writer::Gate(..)
            | Writer::Judging(..)
            | Writer::Opening(_)
            | Writer::Open(_)
            | Writer::Gone(Past::Unopened | Past::Receiving) => RecordPhase::Receiving,
        };
        Saving {
            offset: self
                .durable_mark()
                .map_or(self.kept_head.len() as u64, |mark| mark.offset),
            phase,
            length: self.entry.length,
            has_checkpoint: self.checkpoint.value().is_some(),
            released: self.is_idle_to_leave() || phase.is_stored(),
            revision: self.checkpoint.revision(),
        }
    }

    /// RESUME-2: never ahead of the writer; and without a checkpoint nothing of what it has survives
    /// this process. An offset within the head that was judged is none to continue from, since the
    /// rest of the head could come as something else. Nor is one within first bytes that the record
    /// keeps; with no head to judge it has some where they came before it was recorded.
    fn durable_mark(&self) -> Option<Prefix> {
        if matches!(self.writer, Writer::Closed(_)) {
            // The file is stored, and never reopened.
            return Some(self.crc.end());
        }
        let mark = self.crc.settled(self.durable);
        let needed = self.head_bytes().max(self.kept_head.len() as u64);
        let is_enough = self.checkpoint.value().is_some() && mark.offset >= needed;
        is_enough.then_some(mark)
    }

    /// Has the record keep the first bytes of a file that leaves before they are judged, if they fit for
    /// good: a client hears of them as durable.
    pub(super) fn keep_head(&mut self, cx: &Context<'_>) {
        let Writer::Gate(head, _) = &self.writer else {
            return;
        };
        let kept = self.kept_head.len() as u64;
        if head.bytes <= kept || head.bytes > RECORD_BYTES_MAX as u64 {
            return;
        }
        let before = std::mem::replace(&mut self.kept_head, head.copied());
        let record = self.record(self.target(), cx).encode();
        let has_room = |it: Vec<u8>| it.len() <= RECORD_BYTES_MAX.saturating_sub(CHECKPOINT_ROOM);
        if !record.is_ok_and(has_room) {
            self.kept_head = before;
        }
    }

    /// RESUME-2: what a client hears of as durable is what the record says.
    pub(super) fn durable_known(&self) -> u64 {
        match &self.recorder {
            Recorder::Kept(_) if matches!(self.entry.status, EntryStatus::Complete) => self.durable,
            Recorder::Kept(keeper) => keeper.saved().map_or(0, |saved| saved.offset),
            Recorder::Off | Recorder::Deleting(_) | Recorder::Unsure(_) => self.durable,
        }
    }

    pub(super) fn record(&self, target: Saving, cx: &Context<'_>) -> Record {
        let (head, mark) = match self.durable_mark() {
            Some(mark) => (Bytes::new(), mark),
            None => {
                let head = self.kept_head.clone();
                let mark = self.crc.beginning(&head);
                (head, mark)
            }
        };
        let lineage = &self.lineage;
        let lease = (!target.released).then(|| Lease {
            boot: cx.config.holder.boot.clone(),
            session: cx.config.holder.session,
            client_id: lineage.client_id.clone(),
            expires_unix_ms: cx
                .now
                .unix_ms
                .saturating_add(millis(cx.config.limits.lease_ttl)),
        });
        Record {
            layout: Record::layout(target.phase, self.entry.length, &head),
            slot: self.entry.slot.to_string(),
            client_name: self.entry.client_name.clone(),
            stored_name: self.entry.stored_name.clone(),
            folder: self.entry.folder.clone(),
            client_type: self.entry.client_type.clone(),
            length: self.entry.length,
            ends_by_word: self.entry.ends_by_word && !target.phase.is_over(),
            relative_path: self.entry.relative_path.clone(),
            last_modified: self.entry.last_modified,
            meta: self.entry.meta.clone(),
            chunk_size: self.slot.chunk_size,
            phase: target.phase,
            offset: target.offset,
            head,
            crc32c: mark.crc,
            file_crc32c: self.file_crc32c,
            opened: self.writer.was_open(),
            // What is stored is never reopened.
            checkpoint: self
                .checkpoint
                .value()
                .filter(|_| target.phase != RecordPhase::Waiting)
                .cloned(),
            epoch: lineage.epoch,
            lease,
            result: match &self.writer {
                Writer::Closed(result) => result.clone(),
                Writer::Claiming(_)
                | Writer::Gate(..)
                | Writer::Judging(..)
                | Writer::Opening(_)
                | Writer::Open(_)
                | Writer::Closing
                | Writer::Announcing(_)
                | Writer::Gone(_) => Value::Null,
            },
            unclaimed: (target.phase == RecordPhase::Waiting).then(|| Unclaimed {
                until_unix_ms: cx
                    .now
                    .unix_ms
                    .saturating_add(millis(cx.config.limits.unclaimed_ttl)),
                take_id: None,
                attempts: 0,
                target: None,
                earlier_targets: Vec::new(),
                code: None,
            }),
            birth: lineage.registration.to_string(),
            created_unix_ms: lineage.created_unix_ms,
            updated_unix_ms: cx.now.unix_ms,
        }
    }

    /// Returns the order to save a record that says this.
    pub(super) fn save_query(
        &self,
        target: Saving,
        (record, kept_for): (Vec<u8>, Duration),
        limits: &SessionLimits,
    ) -> Option<Query> {
        let keeper = self.recorder.keeper()?;
        let is_waiting = target.phase == RecordPhase::Waiting;
        let stored_bytes = limits.max_stored_bytes_per_owner.unwrap_or(u64::MAX);
        let quota = if !self.has_begun() {
            Some(OwnerQuota {
                uploads: limits.max_uploads_per_owner.into(),
                bytes: limits.max_bytes_per_owner.unwrap_or(u64::MAX),
                stored_bytes,
            })
        } else if is_waiting {
            Some(OwnerQuota {
                uploads: limits.max_waiting_per_owner.into(),
                bytes: u64::MAX,
                stored_bytes,
            })
        } else {
            None
        };
        Some(Query::Save(Box::new(Save {
            upload: self.upload(),
            slot: Arc::clone(&self.entry.slot),
            record,
            expect: keeper.expect(),
            ttl: kept_for,
            charge: charge(target.phase, self.entry.length, target.offset),
            quota,
        })))
    }

    /// Reads the record, to learn what became of a save.
    pub(super) fn look_for_record(&mut self, cx: &mut Context<'_>) {
        if let Some(keeper) = self.recorder.keeper_mut() {
            keeper.looks();
            let query = Query::Read {
                upload: self.upload(),
                slot: Some(Arc::clone(&self.entry.slot)),
            };
            cx.effects.push(Output::Store(self.entry.id, query));
        }
    }
}
