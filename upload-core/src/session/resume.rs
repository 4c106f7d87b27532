//! Records that are looked up: resumes, and completes of an earlier connection.

use std::sync::Arc;

use upload_proto::{
    Code, Register, Resume, ResumeStatus, ServerMessage, Snapshot, Status, UploadRef, crc32c_hex,
};

use crate::{
    Entry, EntryId, Now, Output, Record, RecordPhase, RecordVersion, Session, SlotRules,
    StoreEvent,
    lookup::{Asker, Judgement, judge},
    session::Stage,
    upload::{Context, Newcomer, Resuming, Upload, blank_resumed, received_ranges},
};

/// How often one resume reads the record before it gives up as `locked`.
const ROUNDS_MAX: u32 = 4;

/// A record that is being read.
#[derive(Debug)]
pub(super) struct Lookup {
    upload: UploadRef,
    asks: Asks,
    /// This process's other holder was asked to give way.
    evicted: bool,
}

#[derive(Debug)]
enum Asks {
    /// To go on with the upload.
    Resume {
        resuming: Resuming,
        client_id: Option<String>,
    },
    /// For the receipt of an upload completed on an earlier connection.
    Receipt,
}

impl Session {
    /// Takes `upload_resume` (PROTOCOL section 8).
    pub(super) fn resume(&mut self, resume: Resume) {
        let upload = resume.upload;
        let resuming = Resuming {
            by_upload_id: resume.by_upload_id,
            round: 0,
            seen_epoch: None,
        };
        if let Some(held) = self.uploads.get(&upload) {
            // RESUME-3a: this connection would have to take it from itself.
            let mut locked = blank_resumed(upload, ResumeStatus::Locked);
            locked.bytes_received = held.entry.bytes_received;
            self.out.resumed(locked, resume.by_upload_id);
        } else if self.is_looking_for(upload) {
            self.answer(upload, ResumeStatus::Locked, resuming);
        } else if !self.keeps_records() {
            self.answer(upload, ResumeStatus::NotFound, resuming);
        } else if self.stage == Stage::Draining {
            self.refuse(Code::Draining, Some(upload));
        } else if self.lookups.len() >= self.config.limits.pending_max {
            self.refuse(Code::RateLimited, Some(upload));
        } else {
            let client_id = resume.client_id;
            self.look_up(
                upload,
                Asks::Resume {
                    resuming,
                    client_id,
                },
            );
        }
    }

    /// Takes a complete frame for a ref that this connection does not hold
    /// (COMPLETE-4, COMPLETE-6).
    pub(super) fn complete_again(&mut self, upload: UploadRef) {
        if self.repeat_ending(upload) {
            return;
        }
        let is_possible = self.keeps_records()
            && !upload.is_nil()
            && !self.is_looking_for(upload)
            && self.lookups.len() < self.config.limits.pending_max;
        if is_possible {
            self.look_up(upload, Asks::Receipt);
        } else {
            self.refuse(Code::UnknownRef, Some(upload));
        }
    }

    pub(super) fn is_looking_for(&self, upload: UploadRef) -> bool {
        self.lookups.values().any(|lookup| lookup.upload == upload)
    }

    fn keeps_records(&self) -> bool {
        self.config.slots.values().any(|slot| slot.resumable)
    }

    fn look_up(&mut self, upload: UploadRef, asks: Asks) {
        let entry = self.next_id();
        let lookup = Lookup {
            upload,
            asks,
            evicted: false,
        };
        self.lookups.insert(entry, lookup);
        self.out.push(Output::Claim { entry, upload });
    }

    /// A resume lost a race for the record.
    pub(super) fn look_again(&mut self, held: &Upload) {
        let Some((mut resuming, client_id)) = held.resuming() else {
            return;
        };
        resuming.round = resuming.round.saturating_add(1);
        if self.stage != Stage::Open || resuming.round >= ROUNDS_MAX {
            self.answer(held.upload(), ResumeStatus::Locked, resuming);
        } else {
            self.look_up(
                held.upload(),
                Asks::Resume {
                    resuming,
                    client_id,
                },
            );
        }
    }

    pub(super) fn handle_lookup(&mut self, entry: EntryId, event: StoreEvent, now: Now) {
        let Some(mut lookup) = self.lookups.remove(&entry) else {
            return;
        };
        match event {
            StoreEvent::Found(found) => self.found(entry, lookup, found, now),
            StoreEvent::Evicted => {
                lookup.evicted = true;
                self.out.push(Output::Claim {
                    entry,
                    upload: lookup.upload,
                });
                self.lookups.insert(entry, lookup);
            }
            StoreEvent::Failed | StoreEvent::Saved(_) | StoreEvent::Conflict => {
                self.unreadable(lookup);
            }
        }
    }

    /// The record may well be there: a client is told to come back, never that
    /// what was announced as durable is gone (RESUME-2).
    fn unreadable(&mut self, lookup: Lookup) {
        match lookup.asks {
            Asks::Resume { resuming, .. } => {
                self.answer(lookup.upload, ResumeStatus::Locked, resuming);
            }
            Asks::Receipt => self.refuse(Code::StorageThrottled, Some(lookup.upload)),
        }
    }

    fn found(
        &mut self,
        entry: EntryId,
        lookup: Lookup,
        found: Option<(Vec<u8>, RecordVersion)>,
        now: Now,
    ) {
        let known = found.and_then(|(bytes, version)| {
            let record = Record::decode(&bytes).ok()?;
            let slot = self.config.slots.get(&record.slot)?;
            slot.resumable.then(|| (record, version, Arc::clone(slot)))
        });
        if self.stage == Stage::Draining && matches!(lookup.asks, Asks::Resume { .. }) {
            // The next connection may have it; nothing begins here any more.
            self.refuse(Code::Draining, Some(lookup.upload));
            return;
        }
        match (lookup.asks, known) {
            (Asks::Receipt, Some((record, _, _))) if record.phase == RecordPhase::Complete => {
                self.tell_receipt(lookup.upload, &record);
            }
            (Asks::Receipt, _) => self.refuse(Code::UnknownRef, Some(lookup.upload)),
            // RESUME-5: unknown, foreign and expired look alike.
            (Asks::Resume { resuming, .. }, None) => {
                self.answer(lookup.upload, ResumeStatus::NotFound, resuming);
            }
            (
                Asks::Resume {
                    mut resuming,
                    client_id,
                },
                Some((record, version, slot)),
            ) => {
                let seen = *resuming.seen_epoch.get_or_insert(record.epoch);
                let is_overtaken = record.epoch > seen;
                let asker = Asker {
                    holder: &self.config.holder,
                    client_id: client_id.as_deref().filter(|_| !is_overtaken),
                    shared_store: self.config.shared_store,
                    evicted: lookup.evicted,
                    unix_ms: now.unix_ms,
                };
                match judge(&record, asker) {
                    Judgement::Receipt => {
                        self.answer_receipt(lookup.upload, &record, resuming);
                        self.tell_receipt(lookup.upload, &record);
                    }
                    Judgement::Locked => {
                        self.answer(lookup.upload, ResumeStatus::Locked, resuming);
                    }
                    Judgement::Evict => {
                        let upload = lookup.upload;
                        self.out.push(Output::Evict { entry, upload });
                        let asks = Asks::Resume {
                            resuming,
                            client_id,
                        };
                        let evicted = false;
                        self.lookups.insert(
                            entry,
                            Lookup {
                                upload,
                                asks,
                                evicted,
                            },
                        );
                    }
                    Judgement::Take => {
                        let found = (record, version);
                        self.take_over(lookup.upload, slot, client_id, found, resuming, now);
                    }
                }
            }
        }
    }

    /// Writes the record back with the next epoch; everything else follows.
    fn take_over(
        &mut self,
        upload: UploadRef,
        slot: Arc<SlotRules>,
        client_id: Option<String>,
        found: (Record, RecordVersion),
        resuming: Resuming,
        now: Now,
    ) {
        // It was counted when it was registered, so the limit does not apply.
        let Some(token) = self.config.tally.take(u32::MAX) else {
            self.answer(upload, ResumeStatus::Locked, resuming);
            return;
        };
        let record = &found.0;
        let register = Register {
            upload,
            upload_name: record.slot.clone(),
            client_name: record.client_name.clone(),
            client_type: record.client_type.clone(),
            client_size: record.client_size,
            resumable: Some(true),
            client_id: None,
            last_modified: record.last_modified,
            relative_path: record.relative_path.clone(),
            meta: Some(record.meta.clone()),
        };
        let id = self.next_id();
        let entry = Entry::new(id, slot.name.as_str().into(), register, true);
        let cx = Context {
            out: &mut self.out,
            config: &self.config,
            now,
        };
        let newcomer = Newcomer {
            entry,
            slot,
            client_id,
            token,
            window: self.window,
        };
        let held = Upload::resumed(newcomer, found, resuming, &cx);
        self.hold(held, now);
    }

    fn answer(&mut self, upload: UploadRef, status: ResumeStatus, resuming: Resuming) {
        self.out
            .resumed(blank_resumed(upload, status), resuming.by_upload_id);
    }

    fn answer_receipt(&mut self, upload: UploadRef, record: &Record, resuming: Resuming) {
        let next_index = record.client_size.div_ceil(u64::from(record.chunk_size));
        let mut resumed = blank_resumed(upload, ResumeStatus::Complete);
        resumed.bytes_received = record.client_size;
        resumed.next_index = next_index;
        resumed.chunks_received = received_ranges(next_index);
        resumed.crc32c = record.file_crc32c.map(crc32c_hex);
        resumed.chunk_size = record.chunk_size;
        resumed.credit = record.client_size;
        self.out.resumed(resumed, resuming.by_upload_id);
    }

    /// COMPLETE-4: the same receipt, however often it is asked for.
    fn tell_receipt(&mut self, upload: UploadRef, record: &Record) {
        let mut snapshot = Snapshot::new(upload, Status::Complete);
        snapshot.progress = 100;
        snapshot.bytes_received = record.client_size;
        snapshot.bytes_durable = record.client_size;
        snapshot.next_index = record.client_size.div_ceil(u64::from(record.chunk_size));
        snapshot.credit = record.client_size;
        snapshot.result = Some(record.result.clone());
        snapshot.crc32c = record.file_crc32c.map(crc32c_hex);
        self.endings.remember(snapshot.clone());
        self.out.send(ServerMessage::Progress(Box::new(snapshot)));
    }
}
