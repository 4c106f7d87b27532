//! Binary messages: chunks, completes, cancels.

use bytes::Bytes;
use upload_proto::{Code, Frame, FrameError, UploadRef};

use crate::{
    AbortReason, Append, Asks, EntryId, Finish, Length, Now, Removed, Session, sequencer::Accepted,
    upload::keeps_records,
};

use super::{Completes, Request};

impl Session {
    /// Takes a binary message (PROTOCOL sections 2 to 4).
    pub fn handle_frame(&mut self, frame: Result<Frame, FrameError>, now: Now) {
        if !self.is_reading() {
            return;
        }
        match frame {
            Ok(Frame::Chunk {
                upload,
                index,
                data,
            }) => match self.uploads.find(upload) {
                Some(entry) => self.chunk(entry, index, data, now),
                None => {
                    // CHUNK-7: late frames of an upload that ended are dropped, and early ones of
                    // one that is being resumed.
                    let is_early = self.resumes(upload);
                    if !is_early && self.endings.of(upload).is_none() {
                        self.refuse(Code::UnknownRef, Some(upload));
                    }
                }
            },
            Ok(Frame::Complete { upload, crc32c }) => match self.uploads.find(upload) {
                Some(entry) => self.complete(entry, crc32c, now),
                None => self.complete_again(upload, crc32c, now),
            },
            Ok(Frame::Cancel { upload }) => self.cancel_frame(upload, now),
            Err(error) => self.refuse(Code::BadFrame, error.upload),
        }
        self.after_input(now);
    }

    fn chunk(&mut self, entry: EntryId, index: u32, data: Bytes, now: Now) {
        let Some(channel) = self.channels.get_mut(&entry) else {
            return;
        };
        let is_too_long = channel.is_too_long(&data);
        if !is_too_long && channel.sequencer.next_index() == u64::from(index) {
            self.append(entry, data, now);
            return;
        }
        if !self.uploads.takes_bytes(entry) {
            return;
        }
        if is_too_long {
            // CHUNK-8: the frame is wrong, not the upload.
            let upload = channel.upload;
            self.refuse(Code::BadFrame, Some(upload));
            return;
        }
        match channel.sequencer.judge(index) {
            Accepted::Next => self.append(entry, data, now),
            Accepted::Again | Accepted::Gap => {}
            Accepted::NewGap if self.uploads.config().plain => {
                let (code, reason) = (Code::ChunkOutOfOrder, AbortReason::Cancelled);
                self.uploads.fail(entry, code, reason, now);
            }
            Accepted::NewGap => self.tell_trouble(entry, Code::ChunkOutOfOrder, now),
        }
    }

    fn append(&mut self, entry: EntryId, data: Bytes, now: Now) {
        let is_empty = data.is_empty();
        let heard = self.heard(now);
        let (appended, at) = self.uploads.append_next(entry, data, now);
        let Some(channel) = self.channels.get_mut(&entry) else {
            return;
        };
        match appended {
            Append::Took => {
                channel.sequencer.advance();
                if is_empty {
                    return;
                }
                // What was here already, or comes too early, is no progress (CONN-3).
                channel.came(at, heard, self.window);
                self.relay(now);
                self.tell_if_due(entry, now);
            }
            Append::Excess => {
                let reason = AbortReason::SizeLimit(channel.length.max());
                let code = match channel.length {
                    Length::Known(_) => Code::SizeExceeded,
                    Length::AtMost(_) => Code::TooLarge,
                };
                self.uploads.fail(entry, code, reason, now);
            }
            Append::Full => {
                let reason = AbortReason::SizeLimit(at.received);
                self.uploads.fail(entry, Code::TooManyEntries, reason, now);
            }
            Append::Ignored | Append::Mismatch(_) => {}
        }
    }

    pub(super) fn complete(&mut self, entry: EntryId, crc32c: Option<u32>, now: Now) {
        if self.uploads.finish(entry, crc32c, now) != Finish::Incomplete {
            return;
        }
        // CONN-3: only new bytes are activity, so this keeps nothing alive.
        if self.uploads.config().plain {
            let (code, reason) = (Code::Incomplete, AbortReason::Cancelled);
            self.uploads.fail(entry, code, reason, now);
        } else {
            self.tell_trouble(entry, Code::Incomplete, now);
        }
    }

    /// Takes a complete frame for a ref that this connection does not hold
    /// (COMPLETE-4, COMPLETE-6, COMPLETE-8).
    fn complete_again(&mut self, upload: UploadRef, crc32c: Option<u32>, now: Now) {
        if let Some(entry) = self.uploads.find_reach(upload) {
            if let Some(Request::Resume { completes, .. }) = self.requests.get_mut(&entry) {
                *completes = Completes::With(crc32c);
            }
        } else if self.repeat_ending(upload) {
        } else if !keeps_records(self.uploads.config()) || upload.is_nil() {
            self.refuse(Code::UnknownRef, Some(upload));
        } else {
            let entry = self.uploads.reach(upload, Asks::Receipt, now);
            self.requests.insert(entry, Request::Receipt(upload));
        }
    }

    /// Takes a cancel frame (COMPLETE-6, COMPLETE-7).
    fn cancel_frame(&mut self, upload: UploadRef, now: Now) {
        let held = self.uploads.find(upload);
        let ending = self.endings.of(upload);
        // What another holder has by now is not this connection's to end.
        let is_final =
            ending.is_some_and(|it| it.detached != Some(true) || it.code == Some(Code::Superseded));
        // COMPLETE-7: perhaps it was not taken yet.
        let is_final = is_final && !self.endings.may_wait(upload);
        if let Some(entry) = held {
            self.uploads.cancel(entry, now);
        } else if let Some(entry) = self.uploads.find_reach(upload) {
            self.uploads.cancel(entry, now);
            // It takes the place of a resume: what is found complete is to be removed, too.
            self.requests.insert(entry, Request::Cancel(upload));
        } else if is_final || !keeps_records(self.uploads.config()) || upload.is_nil() {
            if !self.repeat_ending(upload) {
                self.refuse(Code::UnknownRef, Some(upload));
            }
        } else {
            let entry = self.uploads.reach(upload, Asks::Cancel, now);
            self.requests.insert(entry, Request::Cancel(upload));
        }
    }

    /// Learns what became of the removal of a finished upload (COMPLETE-7).
    pub(super) fn removed(&mut self, entry: EntryId, removed: Removed) {
        let Some(Request::Remove(upload)) = self.requests.remove(&entry) else {
            return;
        };
        match removed {
            Removed::Ended(code) => {
                self.uploads.free_completed(upload);
                self.tell_code(upload, code);
            }
            Removed::Lent => self.refuse(Code::Locked, Some(upload)),
            Removed::Taken => drop(self.repeat_ending(upload)),
            Removed::Failed => self.refuse(Code::StorageThrottled, Some(upload)),
        }
    }

    /// Returns whether an upload is being resumed here.
    fn resumes(&self, upload: UploadRef) -> bool {
        let entry = self.uploads.find_reach(upload);
        let reach = entry.and_then(|entry| self.uploads.reach_of(entry));
        reach.is_some_and(|reach| reach.continues())
    }
}
