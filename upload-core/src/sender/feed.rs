//! Reading the file and making frames, never past the credit (CREDIT-1).

use bytes::Bytes;
use upload_proto::Frame;

use crate::{
    Now, Outcome, Sender, SenderOutput, SenderPhase,
    crc::{Mark, Running},
    sender::Verify,
};

/// Size of the reads that verify a prefix, in bytes.
const VERIFY_READ_BYTES: u32 = 256 * 1024;

impl Sender {
    /// Takes what was read at `offset`. Fewer bytes than asked for mean that
    /// the file shrank; an answer to a question of the past is ignored.
    pub fn handle_data(&mut self, offset: u64, data: Bytes, now: Now) {
        let expected = self.crc.end().offset;
        if offset != expected || self.reads == 0 {
            self.stale_reads = self.stale_reads.saturating_sub(1);
            return;
        }
        let wanted = usize::try_from(self.wanted_at(offset)).unwrap_or(usize::MAX);
        if data.len() < wanted && self.stale_reads > 0 {
            // Perhaps the answer to a shorter question of the past: asks once more.
            self.stale_reads = self.stale_reads.saturating_sub(1);
            self.abandon_reads();
            return;
        }
        self.reads = self.reads.saturating_sub(1);
        if data.len() < wanted {
            self.finish(Outcome::FileChanged);
            self.out.push_back(SenderOutput::Frame(Frame::Cancel {
                upload: self.facts.upload,
            }));
            return;
        }
        // A longer one is of the past as well; the file's bytes are the same.
        let data = data.slice(..wanted);
        self.crc.append(&data);
        match self.phase {
            SenderPhase::Verifying => self.verify_reached(now),
            SenderPhase::Sending => {
                self.out.push_back(SenderOutput::Frame(Frame::Chunk {
                    upload: self.facts.upload,
                    index: self.next_index,
                    data,
                }));
                self.next_index = self.next_index.saturating_add(1);
                self.complete_if_all_sent();
            }
            _ => {}
        }
    }

    /// Asks for as much of the file as credit and the bound on reads allow.
    pub(super) fn feed(&mut self) {
        let reads = match self.phase {
            SenderPhase::Verifying => true,
            SenderPhase::Sending => !self.is_paused,
            _ => false,
        };
        while reads && self.reads < self.config.reads_max {
            let length = self.wanted_at(self.read_to);
            let end = self.read_to.saturating_add(length);
            let is_allowed = self.phase == SenderPhase::Verifying || end <= self.credit;
            if length == 0 || !is_allowed {
                break;
            }
            self.out.push_back(SenderOutput::Read {
                offset: self.read_to,
                length: u32::try_from(length).unwrap_or(u32::MAX),
            });
            self.read_to = end;
            self.reads = self.reads.saturating_add(1);
        }
    }

    /// Whether the next chunk waits for credit.
    pub(super) fn is_out_of_credit(&self) -> bool {
        self.read_to.saturating_add(self.wanted_at(self.read_to)) > self.credit
    }

    /// How many bytes a read at `offset` asks for.
    fn wanted_at(&self, offset: u64) -> u64 {
        let (limit, piece) = match (self.phase, self.verify) {
            (SenderPhase::Verifying, Some(verify)) => (verify.offset, VERIFY_READ_BYTES),
            _ => (self.facts.size, self.chunk_size),
        };
        limit.saturating_sub(offset).min(u64::from(piece))
    }

    /// Goes to `verify.offset`: from the nearest remembered checksum before it
    /// the file is read again, then sending goes on.
    pub(super) fn go_to(&mut self, verify: Verify, now: Now) {
        self.stop_reading();
        let mark = self.crc.settled(verify.offset);
        let from = if mark.offset <= verify.offset {
            mark
        } else {
            Mark {
                offset: 0,
                crc: Some(0),
            }
        };
        self.crc = Running::from(from.offset, from.crc);
        self.read_to = from.offset;
        self.verify = Some(verify);
        self.phase = SenderPhase::Verifying;
        self.verify_reached(now);
    }

    fn verify_reached(&mut self, now: Now) {
        let Some(verify) = self.verify else { return };
        let end = self.crc.end();
        if end.offset != verify.offset {
            return;
        }
        if verify.crc32c.is_some() && verify.crc32c != end.crc {
            // RESUME-6: the file is not the one that was begun.
            self.restart(now);
            return;
        }
        self.verify = None;
        self.abandon_reads();
        self.next_index = u32::try_from(verify.next_index).unwrap_or(u32::MAX);
        self.phase = SenderPhase::Sending;
        self.heard_at = now.instant;
        self.complete_if_all_sent();
    }

    pub(super) fn complete_if_all_sent(&mut self) {
        let end = self.crc.end();
        if self.phase == SenderPhase::Sending && end.offset == self.facts.size {
            self.phase = SenderPhase::Completing;
            self.out.push_back(SenderOutput::Frame(Frame::Complete {
                upload: self.facts.upload,
                crc32c: end.crc,
            }));
        }
    }

    pub(super) fn stop_reading(&mut self) {
        self.abandon_reads();
        self.verify = None;
        self.out
            .retain(|output| !matches!(output, SenderOutput::Frame(_)));
    }

    /// Counts on no answer any more, and reads on from where the file is known.
    fn abandon_reads(&mut self) {
        let before = self.out.len();
        self.out
            .retain(|output| !matches!(output, SenderOutput::Read { .. }));
        let unasked = before.saturating_sub(self.out.len());
        let asked = self.reads.saturating_sub(unasked);
        self.stale_reads = self.stale_reads.saturating_add(asked);
        self.reads = 0;
        self.read_to = self.crc.end().offset;
    }
}
