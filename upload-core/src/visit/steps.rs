//! What a request needs next.

use upload_proto::{Code, Register};

use crate::{AbortReason, Asks, Declare, EntryId, Finish, Length, Now};

use super::{
    Broken, Content, ContentEnd, ENDING_MAX, Ends, LINGER, Over, Progress, Remembered, Reply,
    Request, RequestId, Stage, Visit, VisitOutput, request::Registered,
};

impl Visit {
    /// Returns how far a request has come, if it is the one that is served.
    pub(super) fn progress_of(&self, id: RequestId) -> Option<Progress> {
        let pending = self.pending.as_ref().filter(|pending| pending.id == id);
        pending.map(|pending| pending.progress)
    }

    /// Returns how many bytes the upload may still take.
    pub(super) fn left(&self, entry: EntryId) -> u64 {
        let length = self.uploads.entry(entry).map(|entry| entry.length.max());
        length
            .unwrap_or_default()
            .saturating_sub(self.received(entry))
    }

    /// Returns whether every byte of a file of known length is here.
    fn is_whole(&self, entry: EntryId) -> bool {
        let length = self.uploads.entry(entry).map(|entry| entry.length);
        length == Some(Length::Known(self.received(entry)))
    }

    /// Returns when the file is whole, by what the upload began with where a request leaves it to that.
    fn ends(&self, entry: EntryId, ends: Ends) -> Ends {
        let entry = self.uploads.entry(entry);
        match ends {
            Ends::AsBegun if entry.is_some_and(|entry| entry.ends_by_word) => Ends::Later,
            Ends::AsBegun => Ends::AtLength,
            Ends::AtLength | Ends::Here | Ends::Later => ends,
        }
    }

    fn is_open(&self, entry: EntryId) -> bool {
        let entry = self.uploads.entry(entry);
        entry.is_some_and(|entry| entry.length.known().is_none())
    }

    fn received(&self, entry: EntryId) -> u64 {
        let at = self.uploads.position(entry);
        at.unwrap_or_default().received
    }

    pub(super) fn settle(&mut self, over: Over) {
        self.set_progress(Progress::Settling(over));
    }

    pub(super) fn set_progress(&mut self, progress: Progress) {
        if let Some(pending) = &mut self.pending {
            pending.progress = progress;
        }
    }

    /// Answers the request, and lets the upload be held for a moment.
    pub(super) fn answer(&mut self, reply: Reply, now: Now) {
        let Some(pending) = self.pending.take() else {
            return;
        };
        self.outputs
            .push_back(VisitOutput::Answer(pending.id, reply));
        self.linger(now);
    }

    /// Lets the upload be held for a moment from here, if it is here.
    pub(super) fn linger(&mut self, now: Now) {
        if let Stage::Held(_, remembered) = self.stage {
            let linger = match remembered {
                Remembered::HereOnly => self.uploads.config().limits.idle_upload,
                Remembered::ByRecord => LINGER,
            };
            self.linger_until = Some(now.after(linger));
        }
    }

    fn answer_at(
        &mut self,
        entry: EntryId,
        reply: impl FnOnce(Box<crate::Subject>) -> Reply,
        now: Now,
    ) {
        let reply = self.uploads.subject(entry).map_or(Reply::Locked, reply);
        self.answer(reply, now);
    }

    /// Does what has become possible for the request; returns whether something was.
    pub(super) fn step(&mut self, now: Now) -> bool {
        let Some(pending) = &self.pending else {
            return false;
        };
        let (id, progress) = (pending.id, pending.progress);
        match (&self.stage, progress) {
            (Stage::Free, Progress::Waiting) => self.begin(now),
            (Stage::Held(entry, _), Progress::Waiting | Progress::Reached) => {
                let entry = *entry;
                self.serve(id, entry, now)
            }
            (Stage::Held(entry, _), Progress::Settling(over)) => {
                let entry = *entry;
                self.uploads.is_settled(entry) && self.settled(entry, over, now)
            }
            (Stage::Finishing(_), Progress::Waiting | Progress::Reached) => self.wait_for_end(now),
            // Its content comes, if there is any.
            (Stage::Complete(_), Progress::Receiving) => false,
            (Stage::Complete(_), _) => self.serve_complete(now),
            (Stage::Ended(code), _) => {
                let code = *code;
                self.answer(Reply::Gone(code), now);
                true
            }
            _ => false,
        }
    }

    /// Registers the upload, or reaches for it.
    pub(super) fn begin(&mut self, now: Now) -> bool {
        let Some(pending) = &self.pending else {
            return false;
        };
        self.stage = match &pending.request {
            Request::Create(register, _) => {
                self.registered = Some(Registered::by(register));
                let register = (**register).clone();
                match pending.request.begins_by_word() {
                    true => self.uploads.begin_by_word(register, now),
                    false => self.uploads.begin(register, now),
                };
                Stage::Beginning
            }
            Request::Append(_) | Request::Offset(_) => {
                let asks = Asks::Continue(Some(self.client_id.clone()));
                self.uploads.reach(self.upload, asks, now);
                Stage::Reaching
            }
            Request::Delete => {
                self.uploads.reach(self.upload, Asks::Cancel, now);
                Stage::Reaching
            }
        };
        self.set_progress(Progress::Reached);
        true
    }

    /// The upload is here, and takes bytes.
    fn serve(&mut self, id: RequestId, entry: EntryId, now: Now) -> bool {
        let Some(pending) = &self.pending else {
            return false;
        };
        match &pending.request {
            Request::Create(register, _)
                if pending.progress == Progress::Waiting && !self.is_repeated(entry, register) =>
            {
                // CTRL-4: an upload of this ref is here, and is another one.
                self.answer(Reply::Refused(Code::RefInUse.into()), now);
                true
            }
            Request::Create(_, Some(content)) | Request::Append(content) => {
                let content = *content;
                if content.at != self.received(entry) {
                    self.answer_at(entry, Reply::Mismatch, now);
                    return true;
                }
                if !self.declare(entry, content.declares, now) {
                    return true;
                }
                if content
                    .length
                    .is_some_and(|length| length > self.left(entry))
                {
                    self.too_long(entry, content, now);
                } else {
                    if content.ends == Ends::AtLength {
                        self.uploads.end_at_length(entry);
                    }
                    self.set_progress(Progress::Receiving);
                    self.outputs.push_back(VisitOutput::Receive(id));
                }
                true
            }
            Request::Create(_, None) => {
                // No other request comes for a file that is empty.
                if self.is_whole(entry) {
                    self.finish(entry, Over::End(ContentEnd::Whole), now);
                } else {
                    self.answer_at(entry, Reply::Created, now);
                }
                true
            }
            Request::Offset(ends) => {
                let ends = self.ends(entry, *ends);
                if !self.uploads.is_settled(entry) {
                    return false;
                }
                if ends == Ends::AtLength && self.is_whole(entry) {
                    self.finish(entry, Over::End(ContentEnd::Whole), now);
                } else {
                    self.answer_at(entry, Reply::At, now);
                }
                true
            }
            Request::Delete => {
                let is_cancelled = self.uploads.cancel(entry, now);
                if !is_cancelled {
                    self.stage = Stage::Finishing(self.remembered());
                }
                true
            }
        }
    }

    /// CTRL-4: returns whether a registration is the one that the upload began with, and nothing came since.
    fn is_repeated(&self, entry: EntryId, register: &Register) -> bool {
        match &self.registered {
            Some(first) => self.uploads.is_untouched(entry) && first.is_same(register),
            None => self.uploads.is_same_registration(entry, register),
        }
    }

    /// Has the upload learn its length, where the request tells it; answers the request and returns
    /// false where that can not be.
    fn declare(&mut self, entry: EntryId, bytes: Option<u64>, now: Now) -> bool {
        let Some(bytes) = bytes else {
            return true;
        };
        match self.uploads.declare(entry, bytes, now) {
            Declare::Taken => return true,
            Declare::TooShort | Declare::Differs => self.answer_at(entry, Reply::BadLength, now),
            Declare::TooLong => self.answer(Reply::Refused(Code::TooLarge.into()), now),
            Declare::Full => self.answer(Reply::Refused(Code::TooManyEntries.into()), now),
            Declare::Ignored => self.answer(Reply::Locked, now),
        }
        false
    }

    /// The content is longer than what is left, as the request itself says.
    fn too_long(&mut self, entry: EntryId, content: Content, now: Now) {
        match self.ends(entry, content.ends) {
            Ends::AtLength | Ends::AsBegun => self.answer_at(entry, Reply::Excess, now),
            Ends::Here | Ends::Later => self.invalidate(entry, now),
        }
    }

    /// Returns whether nothing is kept for the request unless all of its content comes.
    pub(super) fn is_all_or_nothing(&self) -> bool {
        let pending = self.pending.as_ref();
        pending.is_some_and(|pending| pending.request.is_all_or_nothing())
    }

    /// Its owner has no room for what came.
    pub(super) fn has_no_room(&mut self, entry: EntryId, now: Now) {
        let is_all_or_nothing = self.is_all_or_nothing();
        self.answer(Reply::Refused(Code::TooManyEntries.into()), now);
        if is_all_or_nothing {
            self.uploads.cancel(entry, now);
        }
    }

    /// A file that is longer than declared is not the one that was declared.
    fn invalidate(&mut self, entry: EntryId, now: Now) {
        let Some(length) = self.uploads.entry(entry).map(|entry| entry.length) else {
            return;
        };
        let reason = AbortReason::SizeLimit(length.max());
        let code = match length {
            Length::Known(_) => Code::SizeExceeded,
            // It is more than the slot takes.
            Length::AtMost(_) => Code::TooLarge,
        };
        self.uploads.fail(entry, code, reason, now);
    }

    /// The writer took everything that came.
    fn settled(&mut self, entry: EntryId, over: Over, now: Now) -> bool {
        let Some(pending) = &self.pending else {
            return false;
        };
        let (Request::Create(_, Some(content)) | Request::Append(content)) = pending.request else {
            return false;
        };
        let is_all = self.is_whole(entry);
        let ends_here = is_all || self.is_open(entry);
        match (over, self.ends(entry, content.ends)) {
            (Over::End(ContentEnd::Wrong), _) => {
                let code = Code::ChecksumMismatch;
                let reason = AbortReason::ChecksumMismatch;
                self.uploads.fail(entry, code, reason, now);
            }
            (Over::End(ContentEnd::Discarded), _) => self.answer_at(entry, Reply::Discarded, now),
            (_, Ends::AtLength) if is_all => self.finish(entry, over, now),
            (Over::Excess, Ends::Here | Ends::Later) => self.invalidate(entry, now),
            (Over::End(ContentEnd::Whole), Ends::Here) if ends_here => {
                self.finish(entry, over, now);
            }
            (Over::End(ContentEnd::Whole), Ends::Here) if content.broken == Broken::Keep => {
                self.answer_at(entry, Reply::Incomplete, now);
            }
            // Its client is there, and may send it once more.
            (Over::End(ContentEnd::TimedOut), _) if content.broken == Broken::Cancel => {
                let (code, reason) = (Code::IdleTimeout, AbortReason::Expired);
                self.uploads.fail(entry, code, reason, now);
            }
            (Over::End(ContentEnd::Broken), _) | (Over::End(ContentEnd::Whole), Ends::Here)
                if content.broken == Broken::Cancel =>
            {
                self.uploads.cancel(entry, now);
            }
            (Over::End(ContentEnd::TimedOut), _) => self.answer(Reply::TimedOut, now),
            (Over::Excess, Ends::AtLength | Ends::AsBegun) => {
                self.answer_at(entry, Reply::Excess, now);
            }
            (Over::End(_), _) => match pending.request {
                Request::Create(..) => self.answer_at(entry, Reply::Created, now),
                _ => self.answer_at(entry, Reply::At, now),
            },
        }
        true
    }

    fn finish(&mut self, entry: EntryId, over: Over, now: Now) {
        let crc32c = match self.pending.as_ref().map(|pending| &pending.request) {
            Some(Request::Create(_, Some(content)) | Request::Append(content)) => content.crc32c,
            _ => None,
        };
        if self.uploads.finish(entry, crc32c, now) == Finish::Taken {
            self.stage = Stage::Finishing(self.remembered());
            self.set_progress(Progress::Ending(now.after(ENDING_MAX), Some(over)));
        } else {
            self.answer(Reply::Locked, now);
        }
    }

    /// The file is being stored: a request that appends waits for that, others come again.
    fn wait_for_end(&mut self, now: Now) -> bool {
        match self.pending.as_ref().map(|pending| &pending.request) {
            Some(Request::Offset(_)) => self.answer(Reply::Locked, now),
            _ => self.set_progress(Progress::Ending(now.after(ENDING_MAX), None)),
        }
        true
    }
}
