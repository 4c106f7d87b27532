//! What a session told its client, and what it may tell next.

use upload_core::RecordPhase;
use upload_proto::{ResumeStatus, ServerMessage, Snapshot, Status};

use crate::{host::Host, truth::Truth, world::World};

/// What was told of one upload on one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    received: u64,
    durable: u64,
    credit: u64,
    ended: Option<(Status, Option<bool>)>,
}

impl World {
    /// Checks a message before it is sent: MSG-2, COMPLETE-6, RESUME-2, CTRL-4.
    pub(crate) fn check_told(&mut self, conn: usize, host: &mut Host, message: &ServerMessage) {
        let owner = self.conns[conn].owner;
        match message {
            ServerMessage::Registered(it) => {
                let key = (owner, it.upload);
                // The answer of the store may be old news by now.
                let is_over = self.cancelled.contains(&key)
                    || self.truth.get(&key).is_some_and(|truth| truth.may_be_gone);
                if it.resumable && !is_over && self.records.record(key).is_none() {
                    self.fail("CTRL-4: registered without a record".into());
                }
                if let Some(truth) = self.truth.get_mut(&key) {
                    truth.lost_record |= !it.resumable;
                    // What was registered before under this ref is gone.
                    truth.durable_told = 0;
                }
                let told = host.told.entry(it.upload).or_default();
                *told = Told {
                    credit: it.credit,
                    ..Told::default()
                };
            }
            ServerMessage::Resumed(it) => {
                let key = (owner, it.upload);
                // What ended is owed to nobody.
                let owed = self.truth.get(&key).filter(|truth| !truth.may_be_gone);
                let promised = owed.map_or(0, |truth| truth.durable_told);
                match it.status {
                    ResumeStatus::Resumed => {
                        // An old holder that could not learn of the new one offers what it has.
                        let lease = self.records.record(key).and_then(|it| it.lease);
                        let holds = lease.is_some_and(|lease| lease.session == conn as u64);
                        if holds && it.bytes_received < promised && !self.is_lossy {
                            let offered = it.bytes_received;
                            self.fail(format!(
                                "RESUME-2: {promised} bytes were durable, {offered} are offered"
                            ));
                        }
                        let chunk = u64::from(self.plan.setup.chunk_size);
                        if it.next_index != it.bytes_received / chunk {
                            self.fail(format!("CHUNK-4: index {}", it.next_index));
                        }
                        self.check_prefix(key, it.bytes_received, it.crc32c.as_deref());
                        host.told.insert(
                            it.upload,
                            Told {
                                received: it.bytes_received,
                                durable: 0,
                                credit: it.credit,
                                ended: None,
                            },
                        );
                    }
                    ResumeStatus::Complete => {
                        host.told.remove(&it.upload);
                        self.check_complete(owner, it.upload);
                        self.check_prefix(key, it.bytes_received, it.crc32c.as_deref());
                    }
                    ResumeStatus::NotFound => self.check_not_found(key, promised),
                    ResumeStatus::Locked => {}
                }
            }
            ServerMessage::Progress(it) => self.check_snapshot(conn, host, it),
            _ => {}
        }
    }

    fn check_prefix(&mut self, key: (u8, upload_proto::UploadRef), length: u64, crc: Option<&str>) {
        let (Some(truth), Some(crc)) = (self.truth.get(&key), crc) else {
            return;
        };
        let fits = truth.files.iter().any(|seed| {
            let bytes = crate::rng::content(*seed, 0, length);
            upload_proto::crc32c_hex(crc32c::crc32c(&bytes)) == crc
        });
        if !fits {
            self.fail(format!(
                "RESUME-6: {crc} is not of the first {length} bytes"
            ));
        }
    }

    /// RESUME-5 is no excuse: what was promised is found as long as it is kept.
    pub(crate) fn check_not_found(&mut self, key: (u8, upload_proto::UploadRef), promised: u64) {
        let Some(truth) = self.truth.get(&key) else {
            return;
        };
        let is_excused = truth.may_be_gone || truth.lost_record || self.is_lossy;
        let is_complete = truth.is_complete;
        // An answer that was long on its way may be of a time before the record.
        let is_fresh = self.plan.setup.store_delay == 0 && !self.plan.has_delays();
        let record = self.records.record(key);
        let is_over = record.is_some_and(|record| record.phase == RecordPhase::Ended);
        let is_there = self.records.is_there(key, self.now) && !is_over;
        if is_there && !is_fresh {
            return;
        }
        if !is_excused && promised > 0 {
            self.fail(format!("RESUME-2: {promised} durable bytes are not found"));
        }
        if is_complete && is_there {
            self.fail("COMPLETE-4: a receipt is not found".into());
        }
    }

    fn check_snapshot(&mut self, conn: usize, host: &mut Host, it: &Snapshot) {
        let owner = self.conns[conn].owner;
        let key = (owner, it.upload);
        if it.status == Status::Complete {
            self.check_complete(owner, it.upload);
            self.check_prefix(key, it.bytes_received, it.crc32c.as_deref());
            // A close that was found later has a checksum only if the store knew of it.
            let has_record = |it: &Truth| !it.lost_record && !it.store_failed;
            let has_record = self.truth.get(&key).is_some_and(has_record);
            let is_excused = !has_record || self.plan.has_delays() || !self.plan.setup.checksum;
            if !is_excused && it.crc32c.is_none() {
                self.fail("COMPLETE-3: a receipt without a checksum".into());
            }
        }
        let is_kept = self
            .truth
            .get(&key)
            .is_some_and(|truth| truth.slot != "file" && !truth.may_be_gone);
        if is_kept && it.status != Status::Complete {
            // RESUME-2: announced <= recorded, even if another node wrote the record last.
            let recorded = self.records.last.get(&key).map(|it| it.offset);
            let lost_checkpoint = self.truth.get(&key).is_some_and(|it| it.lost_checkpoint);
            let is_resumable = it.resumable != Some(false) && !lost_checkpoint;
            if is_resumable && it.bytes_durable > recorded.unwrap_or_default() && !self.is_lossy {
                let told = it.bytes_durable;
                self.fail(format!(
                    "RESUME-2: {told} told durable, {recorded:?} recorded"
                ));
            }
        }
        if let Some(truth) = self.truth.get_mut(&key)
            && truth.slot != "file"
            && it.status != Status::Complete
        {
            truth.lost_record |= it.resumable == Some(false);
            // What is durable without a record is promised to nobody.
            if !truth.lost_checkpoint {
                truth.durable_told = truth.durable_told.max(it.bytes_durable);
            }
        }
        let is_ending = it.status != Status::Uploading || it.detached == Some(true);
        let ending = (it.status, it.detached);
        let Some(told) = host.told.get_mut(&it.upload) else {
            return;
        };
        if let Some(before) = told.ended {
            // What left can come back and end; who registers anew may be refused. What
            // ended without a checkpoint comes back as long as its record is not deleted.
            let lost_checkpoint = self.truth.get(&key).is_some_and(|it| it.lost_checkpoint);
            let may_return = before.1 == Some(true) || lost_checkpoint;
            if before != ending && !may_return && self.is_honest(conn) {
                self.fail(format!("COMPLETE-6: {ending:?} after {before:?}"));
            }
            return;
        }
        let numbers = (it.bytes_received, it.bytes_durable, it.credit);
        let before = (told.received, told.durable, told.credit);
        told.received = it.bytes_received;
        told.durable = it.bytes_durable;
        told.credit = it.credit;
        if is_ending {
            told.ended = Some(ending);
        }
        let went_back = numbers.0 < before.0 || numbers.1 < before.1 || numbers.2 < before.2;
        if went_back {
            self.fail(format!("MSG-2: {numbers:?} after {before:?}"));
        }
        if it.bytes_received > it.credit && !self.conns[conn].plain && self.is_honest(conn) {
            self.fail(format!("CREDIT-1: {numbers:?}, sent past the credit"));
        }
    }
}
