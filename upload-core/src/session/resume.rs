//! Records that are looked up: resumes, and completes of an earlier connection.

use std::sync::Arc;

use upload_proto::{
    Code, Resume, ResumeStatus, ServerMessage, Snapshot, Status, UploadRef, crc32c_hex,
};

use crate::{
    Entry, EntryId, Moment, Now, Output, Record, RecordPhase, RecordVersion, Session, SlotRules,
    StoreEvent,
    lookup::{Asker, Judgement, judge},
    session::Stage,
    upload::{Context, Resuming, Upload, blank_resumed, received_ranges},
};

/// How often one resume reads the record before it gives up as `locked`.
const ROUNDS_MAX: u32 = 4;

/// How many times an owner's limits resumes may fill: an upload that is parked and claimed
/// again counts twice until its writer is found.
const RESUMED_PER_LIMIT: u32 = 2;

/// A record that is being read.
#[derive(Debug)]
pub(super) struct Lookup {
    upload: UploadRef,
    asks: Asks,
    /// This process's other holder was asked to give way.
    evicted: bool,
    /// The application lets the upload go on.
    authorized: bool,
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
            authorized: false,
        };
        self.read(entry, lookup);
    }

    /// Reads the record, for the first time or once more.
    fn read(&mut self, entry: EntryId, lookup: Lookup) {
        self.out.push(Output::Claim {
            entry,
            upload: lookup.upload,
            slot: None,
        });
        self.lookups.insert(entry, lookup);
    }

    /// Learns whether an upload of an earlier connection may go on.
    pub(super) fn lookup_authorized(&mut self, entry: EntryId, answer: Result<(), Code>) {
        let Some(mut lookup) = self.lookups.remove(&entry) else {
            return;
        };
        match answer {
            Ok(()) => {
                lookup.authorized = true;
                // Whoever had it may have gone on meanwhile.
                self.read(entry, lookup);
            }
            Err(code) => self.refuse(code, Some(lookup.upload)),
        }
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
                self.read(entry, lookup);
            }
            StoreEvent::Failed
            | StoreEvent::Saved(_)
            | StoreEvent::Forgotten
            | StoreEvent::Conflict => {
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
        match (&lookup.asks, known) {
            (Asks::Receipt, Some((record, _, _))) if record.phase == RecordPhase::Complete => {
                self.tell_receipt(lookup.upload, &record);
            }
            (Asks::Receipt, _) => self.refuse(Code::UnknownRef, Some(lookup.upload)),
            // RESUME-5: unknown, foreign and expired look alike.
            (Asks::Resume { resuming, .. }, None) => {
                self.answer(lookup.upload, ResumeStatus::NotFound, *resuming);
            }
            (Asks::Resume { .. }, Some(found)) => self.found_record(entry, lookup, found, now),
        }
    }

    /// Somebody wants to go on with what this record is of.
    fn found_record(
        &mut self,
        entry: EntryId,
        mut lookup: Lookup,
        (record, version, slot): (Record, RecordVersion, Arc<SlotRules>),
        now: Now,
    ) {
        let Asks::Resume {
            resuming,
            client_id,
        } = &mut lookup.asks
        else {
            return;
        };
        let upload = lookup.upload;
        let seen = *resuming.seen_epoch.get_or_insert(record.epoch);
        let is_overtaken = record.epoch > seen;
        let asker = Asker {
            holder: &self.config.holder,
            client_id: client_id.as_deref().filter(|_| !is_overtaken),
            shared_store: slot.shared_store,
            evicted: lookup.evicted,
            unix_ms: now.unix_ms,
        };
        let judgement = judge(&record, asker);
        let resuming = *resuming;
        match judgement {
            Judgement::Receipt => {
                self.answer_receipt(upload, &record, resuming);
                self.tell_receipt(upload, &record);
            }
            Judgement::Locked => self.answer(upload, ResumeStatus::Locked, resuming),
            // Whoever holds it is left alone until the application agrees.
            Judgement::Evict | Judgement::Take if slot.authorize && !lookup.authorized => {
                self.out.push(Output::Authorize {
                    entry,
                    register: Arc::new(record.registration(upload)),
                    moment: Moment::Resume,
                });
                self.lookups.insert(entry, lookup);
            }
            Judgement::Evict => {
                self.out.push(Output::Evict { entry, upload });
                self.lookups.insert(entry, lookup);
            }
            Judgement::Take => {
                let client_id = client_id.take();
                self.take_over(upload, slot, client_id, (record, version), resuming, now);
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
        // It was counted when it was registered, so the limit does not apply as it stands; but what
        // exists only as a record is not counted, and anybody can make many of those.
        let record = &found.0;
        let limits = &self.config.limits;
        let uploads_max = limits
            .max_uploads_per_owner
            .saturating_mul(RESUMED_PER_LIMIT);
        let bytes_max = limits.max_bytes_per_owner.map_or(u64::MAX, |bytes| {
            // One upload alone always goes on, also where the limit was larger once.
            let bytes = bytes.saturating_mul(RESUMED_PER_LIMIT.into());
            bytes.max(record.client_size)
        });
        let tally = &self.config.tally;
        let token = tally.take(record.client_size, uploads_max, bytes_max);
        let Ok(token) = token else {
            self.answer(upload, ResumeStatus::Locked, resuming);
            return;
        };
        let id = self.next_id();
        let register = record.registration(upload);
        let entry = Entry::new(id, slot.name.as_str().into(), register, true);
        let newcomer = self.newcomer(entry, slot, client_id, token);
        let cx = Context {
            out: &mut self.out,
            config: &self.config,
            now,
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
