//! Reading the file and making frames, never past the credit (CREDIT-1).

use bytes::Bytes;
use upload_proto::{Code, Frame};

use super::{
    FileCheck, Outcome, Pace, ReadId, Sender, SenderOutput,
    reads::{Answered, Reads},
    stage::{AtServer, Goal, Stage, Step},
};
use crate::{
    Now,
    crc::{Prefix, PrefixCrc},
};

/// Size of the reads that verify a prefix, in bytes.
const VERIFY_READ_BYTES: u32 = 256 * 1024;

impl Sender {
    /// Takes what a read found. Answers may come in any order. Fewer bytes than were asked for
    /// mean that the file shrank; an answer to a read of the past is ignored.
    pub fn handle_data(&mut self, id: ReadId, data: Bytes, now: Now) {
        let Some(reads) = self.stage.reads() else {
            return;
        };
        match reads.answer(id, data) {
            Answered::Unknown => return,
            Answered::Short => return self.end_as_changed(),
            Answered::Kept => {}
        }
        while let Some(data) = self.stage.reads().and_then(Reads::pop) {
            self.prefix.append(&data);
            self.send_chunk(data);
        }
        self.verify_if_reached(now);
        self.check_if_all_sent();
    }

    /// Learns whether the file still is what it was; an answer to a check of the past is ignored.
    pub fn handle_checked(&mut self, id: ReadId, check: FileCheck, now: Now) {
        if self.stage != (Stage::Checking { id }) {
            return;
        }
        match check {
            FileCheck::Changed => self.end_as_changed(),
            FileCheck::Unchanged => {
                self.stage.step(Step::Unchanged);
                self.touch(now);
                let complete = Frame::Complete {
                    upload: self.upload(),
                    crc32c: self.prefix.end().crc,
                };
                self.out.push_back(SenderOutput::Frame(complete));
            }
        }
    }

    /// Asks for as much of the file as credit and the bound on reads allow.
    pub(super) fn feed(&mut self) {
        loop {
            let (limit, piece) = self.range();
            let reads = match &mut self.stage {
                Stage::Verifying { reads, .. } => reads,
                Stage::Sending { reads, .. } if self.pace == Pace::Running => reads,
                Stage::Sending { .. }
                | Stage::Idle
                | Stage::Asking
                | Stage::Checking { .. }
                | Stage::Completing
                | Stage::Waiting(_)
                | Stage::Cancelling
                | Stage::Done(_) => return,
            };
            let length = wanted(reads, limit, piece);
            if length == 0 || reads.open() >= self.config.reads_max {
                return;
            }
            let is_sending = matches!(self.stage, Stage::Sending { .. });
            if is_sending && self.is_out_of_credit() {
                return;
            }
            let id = self.next_read();
            let Some(reads) = self.stage.reads() else {
                return;
            };
            let offset = reads.ask(id, length);
            self.out
                .push_back(SenderOutput::Read { id, offset, length });
        }
    }

    /// Returns whether the next chunk waits for credit.
    pub(super) fn is_out_of_credit(&self) -> bool {
        let Stage::Sending { reads, .. } = &self.stage else {
            return false;
        };
        let length = wanted(reads, self.facts.size, self.chunk_size);
        reads.next_offset().saturating_add(u64::from(length)) > self.credit
    }

    /// Returns the end of what is read at present, and the size of a read, in bytes.
    fn range(&self) -> (u64, u32) {
        match &self.stage {
            Stage::Verifying { at_server, .. } => {
                let end = match at_server {
                    AtServer::Prefix(goal) => goal.offset,
                    AtServer::Whole(_) => self.facts.size,
                };
                (end, VERIFY_READ_BYTES)
            }
            Stage::Idle
            | Stage::Asking
            | Stage::Sending { .. }
            | Stage::Checking { .. }
            | Stage::Completing
            | Stage::Waiting(_)
            | Stage::Cancelling
            | Stage::Done(_) => (self.facts.size, self.chunk_size),
        }
    }

    /// Prepares to continue at `offset`: the file is read again from the nearest place before it
    /// whose checksum is known.
    pub(super) fn rewind(&mut self, offset: u64) -> Reads {
        let mark = self.prefix.settled(offset);
        let from = if mark.offset <= offset {
            mark
        } else {
            Prefix {
                offset: 0,
                crc: Some(0),
            }
        };
        self.prefix = PrefixCrc::from(from.offset, from.crc);
        Reads::from(from.offset)
    }

    fn send_chunk(&mut self, data: Bytes) {
        let upload = self.upload();
        let Stage::Sending { next_index, .. } = &mut self.stage else {
            return;
        };
        let index = *next_index;
        match index.checked_add(1) {
            Some(next) => *next_index = next,
            // A server does not register a file that needs more chunks.
            None => {
                return self.end_and_cancel(Outcome::Refused {
                    code: Code::TooLarge,
                    text: Code::TooLarge.text().to_owned(),
                });
            }
        }
        self.out.push_back(SenderOutput::Frame(Frame::Chunk {
            upload,
            index,
            data,
        }));
    }

    pub(super) fn verify_if_reached(&mut self, now: Now) {
        let Stage::Verifying { at_server, .. } = &self.stage else {
            return;
        };
        let end = self.prefix.end();
        let Goal { offset, crc32c, .. } = match at_server {
            AtServer::Prefix(goal) => *goal,
            AtServer::Whole(receipt) if end.offset == self.facts.size => {
                let receipt = receipt.clone();
                return self.completed(&receipt);
            }
            AtServer::Whole(_) => return,
        };
        if end.offset != offset {
            return;
        }
        if crc32c.is_some() && crc32c != end.crc {
            // RESUME-6: the file is not the one that was begun.
            return self.cancel_and_restart();
        }
        self.stage.step(Step::Verified);
        self.touch(now);
        self.check_if_all_sent();
    }

    pub(super) fn check_if_all_sent(&mut self) {
        let is_sending = matches!(self.stage, Stage::Sending { .. });
        if is_sending && self.prefix.end().offset == self.facts.size {
            let id = self.next_read();
            self.stage.step(Step::AllSent(id));
            self.out.push_back(SenderOutput::CheckFile { id });
        }
    }

    /// The file is not what it was when it was begun. What is stored already stays where it is.
    fn end_as_changed(&mut self) {
        match self.stage {
            Stage::Verifying {
                at_server: AtServer::Whole(_),
                ..
            } => self.finish(Outcome::FileChanged),
            Stage::Verifying {
                at_server: AtServer::Prefix(_),
                ..
            }
            | Stage::Idle
            | Stage::Asking
            | Stage::Sending { .. }
            | Stage::Checking { .. }
            | Stage::Completing
            | Stage::Waiting(_)
            | Stage::Cancelling
            | Stage::Done(_) => self.end_and_cancel(Outcome::FileChanged),
        }
    }

    fn next_read(&mut self) -> ReadId {
        let ReadId(number) = self.next_read;
        self.next_read = ReadId(number.wrapping_add(1));
        ReadId(number)
    }
}

/// Returns how many bytes the next read asks for.
fn wanted(reads: &Reads, limit: u64, piece: u32) -> u32 {
    let left = limit.saturating_sub(reads.next_offset());
    u32::try_from(left).unwrap_or(u32::MAX).min(piece)
}
