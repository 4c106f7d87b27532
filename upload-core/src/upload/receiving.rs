//! What a client gives: bytes, a length, the end of the file.

use bytes::Bytes;
use upload_proto::Code;

use crate::{AbortReason, Length, Order, OwnerToken};

use super::{
    Context, Upload,
    stay::{Permit, Stay},
};

/// What became of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Append {
    /// Its bytes were appended.
    Took,
    /// It does not begin where the bytes received so far end, at this offset; nothing of it was
    /// appended.
    Mismatch(u64),
    /// It goes past the declared length, or the most that is allowed; nothing of it was appended.
    Excess,
    /// The length is not known, and its owner has no room for so many bytes; nothing of it was
    /// appended.
    Full,
    /// The upload takes no bytes any more, or none yet.
    Ignored,
}

/// What became of a length that was declared after the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Declare {
    /// It is the length from now on, or was already.
    Taken,
    /// More bytes than these were received.
    TooShort,
    /// It is more than the slot or the owner's limit allows.
    TooLong,
    /// The owner has no room for so many bytes now.
    Full,
    /// Another length is known.
    Differs,
    /// The upload takes no bytes any more, or none yet.
    Ignored,
}

/// What became of a complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The upload goes to its end.
    Taken,
    /// Bytes are missing.
    Incomplete,
    /// It goes to its end already, or takes nothing yet.
    Ignored,
}

impl Upload {
    /// Appends bytes at an offset, which has to be the end of what was received.
    pub(crate) fn append(&mut self, at: u64, data: Bytes, cx: &mut Context<'_>) -> Append {
        if self.stay != Stay::Held {
            return Append::Ignored;
        }
        if at != self.received() {
            return Append::Mismatch(self.received());
        }
        let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
        let end = at.saturating_add(length);
        if end > self.entry.length.max() {
            return Append::Excess;
        }
        if data.is_empty() {
            return Append::Took;
        }
        if !self.count(self.entry.length, end, cx) {
            return Append::Full;
        }
        if at == 0 && !self.keeps_place(cx) {
            return Append::Ignored;
        }
        match self.recorder.keeper() {
            Some(_) => self.crc.append(&data),
            // Nothing asks for the checksum of a part.
            None => self.crc.append_settled(&data),
        }
        self.entry.bytes_received = end;
        match self.writer.head() {
            Some(head) => {
                head.push(data, self.slot.head_bytes);
                self.advance(cx);
            }
            None => {
                if let Some(flush) = self.writer.flush() {
                    flush.abandon();
                }
                self.order(Order::Write(data), cx);
            }
        }
        Append::Took
    }

    /// Notes that the client sends. An upload that gave its place to another one meanwhile ends.
    fn keeps_place(&mut self, cx: &mut Context<'_>) -> bool {
        let keeps = self.token.as_mut().is_none_or(OwnerToken::fill);
        if !keeps {
            self.fail(Code::RateLimited, AbortReason::Expired, cx);
        }
        keeps
    }

    /// Counts what has arrived up to `received` of a file of this length for its owner. Returns
    /// whether there is room for it.
    fn count(&mut self, length: Length, received: u64, cx: &Context<'_>) -> bool {
        let bytes_max = cx.config.limits.bytes_of_owner();
        let counted = length.counted(received);
        let token = self.token.as_mut();
        token.is_none_or(|token| token.grow(counted, bytes_max))
    }

    /// Learns how long the file is.
    pub(crate) fn declare(&mut self, bytes: u64, cx: &mut Context<'_>) -> Declare {
        let length = Length::Known(bytes);
        match self.entry.length {
            _ if self.stay != Stay::Held => return Declare::Ignored,
            known if known == length => return Declare::Taken,
            Length::Known(_) => return Declare::Differs,
            Length::AtMost(max) if bytes > max => return Declare::TooLong,
            Length::AtMost(_) if bytes < self.received() => return Declare::TooShort,
            Length::AtMost(_) => {}
        }
        if !self.count(length, self.received(), cx) {
            return Declare::Full;
        }
        self.entry.length = length;
        self.advance(cx);
        Declare::Taken
    }

    /// Ends the file, if every byte is here and its CRC32C is `crc32c`, where both are known.
    pub(crate) fn finish(&mut self, crc32c: Option<u32>, cx: &mut Context<'_>) -> Finish {
        if self.stay != Stay::Held {
            return Finish::Ignored;
        }
        let known = self.entry.length.known();
        if known.is_some_and(|size| size != self.received()) {
            return Finish::Incomplete;
        }
        if self.received() == 0 && !self.keeps_place(cx) {
            return Finish::Ignored;
        }
        self.entry.length = Length::Known(self.received());
        let ours = self.crc.end().crc;
        if crc32c.is_some() && ours.is_some() && crc32c != ours {
            self.fail(Code::ChecksumMismatch, AbortReason::ChecksumMismatch, cx);
            return Finish::Taken;
        }
        let permit = match self.slot.authorize {
            true => Permit::Unasked,
            false => Permit::Granted,
        };
        self.stay.finish(permit);
        self.file_crc32c = ours;
        self.advance(cx);
        Finish::Taken
    }
}
