//! What a request needs of a file that is stored already.

use bytes::Bytes;
use upload_proto::{Code, Register};

use crate::Now;

use super::{
    ContentEnd, Over, Progress, Receipt, Reply, Request, Stage, Taken, Visit, VisitOutput,
};

impl Visit {
    /// The file is stored already.
    pub(super) fn serve_complete(&mut self, now: Now) -> bool {
        let (Stage::Complete(receipt), Some(pending)) = (&self.stage, &self.pending) else {
            return false;
        };
        let slot = self.uploads.config().slots.get(&receipt.slot);
        if pending.request == Request::Delete
            && pending.progress == Progress::Waiting
            && slot.is_some_and(|slot| slot.waits)
        {
            // Perhaps it was not taken yet, which its record says.
            self.stage = Stage::Free;
            return self.begin(now);
        }
        let (id, progress, receipt) = (pending.id, pending.progress, receipt.clone());
        let is_same = |register: &Register| match &self.registered {
            Some(first) => first.is_same(register),
            None => receipt.is_of(register),
        };
        let reply = match &pending.request {
            Request::Create(register, _) if !is_same(register) => {
                Reply::Refused(Code::RefInUse.into())
            }
            Request::Offset(_) | Request::Create(..) => Reply::Done(receipt),
            Request::Append(content) if content.at != receipt.size => Reply::PastEnd(receipt),
            Request::Append(content) => match at_end(content.length, progress, receipt) {
                Some(reply) => reply,
                None => {
                    self.set_progress(Progress::Receiving);
                    self.outputs.push_back(VisitOutput::Receive(id));
                    return true;
                }
            },
            Request::Delete => Reply::Kept,
        };
        self.answer(reply, now);
        true
    }

    /// Takes the next piece of content of a request that appends where a complete file ends.
    pub(super) fn content_past_end(&mut self, data: &Bytes, now: Now) -> Taken {
        if data.is_empty() {
            return Taken::More;
        }
        self.settle(Over::Excess);
        self.advance(now);
        Taken::Enough
    }

    /// The server ends, and waits for no content that a complete file would not take.
    pub(super) fn stop_reading(&mut self) {
        let progress = self.pending.as_ref().map(|pending| pending.progress);
        if let (Stage::Complete(_), Some(Progress::Receiving)) = (&self.stage, progress) {
            self.settle(Over::End(ContentEnd::TimedOut));
        }
    }
}

/// Answers a request that appends where a complete file ends; returns nothing where only its content can say whether
/// it has any.
fn at_end(length: Option<u64>, progress: Progress, receipt: Box<Receipt>) -> Option<Reply> {
    let reply = match (progress, length) {
        (Progress::Settling(Over::Excess), _) => Reply::DoneInExcess(receipt),
        (Progress::Settling(Over::End(end)), _) => match end {
            ContentEnd::Whole | ContentEnd::Broken => Reply::Done(receipt),
            ContentEnd::TimedOut => Reply::TimedOut,
            ContentEnd::Wrong | ContentEnd::Discarded => {
                Reply::Refused(Code::ChecksumMismatch.into())
            }
        },
        (_, Some(0)) => Reply::Done(receipt),
        (_, Some(_)) => Reply::DoneInExcess(receipt),
        (_, None) => return None,
    };
    Some(reply)
}
