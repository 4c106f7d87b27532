//! What became of the upload, and what its request makes of it.

use upload_proto::Code;

use crate::{
    Answer, Asks, EntryId, EntryStatus, News, Now, Output, Question, Refusal, Removed, Subject, Why,
};

use super::{
    Over, Pending, Progress, Receipt, Remembered, Reply, Request, Stage, Visit, VisitOutput,
};

impl Visit {
    /// Learns what became of the upload. There is one entry at a time, so every news is about it.
    pub(super) fn hear(&mut self, entry: EntryId, news: News, now: Now) {
        match news {
            News::Begun { resumable, .. } => self.hold(entry, resumable, now),
            News::Continued { subject, .. } => self.hold(entry, subject.entry.resumable, now),
            News::Finishing(subject) => {
                self.stage = Stage::Finishing(Remembered::by_record(subject.entry.resumable));
            }
            News::Resumable(resumable, _) => {
                if let Stage::Held(_, remembered)
                | Stage::Finishing(remembered)
                | Stage::Leaving(remembered) = &mut self.stage
                {
                    *remembered = Remembered::by_record(resumable);
                }
            }
            // It is looked at after every input.
            News::Moved(_) | News::Delayed(..) | News::Repeated => {}
            News::Refused(refusal) => {
                self.stage = Stage::Free;
                self.registered = None;
                self.answer(Reply::Refused(refusal), now);
            }
            News::Answered(answer) => self.answered(entry, answer, now),
            News::Detached(_, why) => self.detached(why, now),
            News::Ended(subject) => self.ended(*subject, now),
        }
    }

    /// The upload is here. The question that reached for it may have been answered since, and then only time ends
    /// the visit.
    fn hold(&mut self, entry: EntryId, is_recorded: bool, now: Now) {
        self.stage = Stage::Held(entry, Remembered::by_record(is_recorded));
        if self.pending.is_none() {
            self.linger(now);
        }
    }

    /// What was reached for is not held.
    fn answered(&mut self, entry: EntryId, answer: Answer, now: Now) {
        self.stage = Stage::Free;
        match answer {
            Answer::NotFound => self.answer(Reply::NotFound, now),
            Answer::Locked(_) | Answer::Found(..) => self.answer(Reply::Locked, now),
            Answer::Unreadable => self.answer(Reply::Refused(Code::StorageThrottled.into()), now),
            Answer::Refused(refusal) => self.answer(Reply::Refused(refusal), now),
            // The step that follows answers.
            Answer::Ended(code) => self.stage = Stage::Ended(code),
            Answer::Receipt(record) => {
                let is_unclaimed = record.phase.is_unclaimed();
                let receipt = Box::new(Receipt::of_record(self.upload, *record));
                if is_unclaimed && self.is_delete() {
                    // Only the host knows how the file is removed.
                    let upload = self.upload;
                    let question = Question::Remove { entry, upload };
                    let output = VisitOutput::Do(Output::App(question));
                    self.outputs.push_back(output);
                    self.stage = Stage::Removing(receipt);
                } else {
                    self.stage = Stage::Complete(receipt);
                }
            }
        }
    }

    /// Learns what became of the removal of a finished upload.
    pub(super) fn removed(&mut self, removed: Removed, now: Now) {
        let stage = std::mem::replace(&mut self.stage, Stage::Free);
        let Stage::Removing(receipt) = stage else {
            self.stage = stage;
            return;
        };
        let reply = match removed {
            Removed::Ended(code) => {
                self.uploads.free_completed(self.upload);
                self.stage = Stage::Ended(code);
                Reply::Deleted
            }
            Removed::Taken => {
                self.stage = Stage::Complete(receipt);
                Reply::Kept
            }
            Removed::Lent => Reply::Locked,
            Removed::Failed => Reply::Refused(Code::StorageThrottled.into()),
        };
        if self.is_delete() {
            self.answer(reply, now);
        }
    }

    /// It left, and can be resumed or has another holder. A request that came while it was leaving
    /// reaches for it again; one that had reached for it does not, or it would do that without end
    /// where storage is full.
    fn detached(&mut self, why: Why, now: Now) {
        self.stage = Stage::Free;
        self.linger_until = None;
        let has_reached = |pending: &&Pending| pending.progress != Progress::Waiting;
        let Some(pending) = self.pending.as_ref().filter(has_reached) else {
            return;
        };
        let is_all_or_nothing = pending.request.is_all_or_nothing();
        let code = match why.code().unwrap_or(Code::Draining) {
            // What left is kept, so whatever is the matter with its storage, a client comes again.
            Code::StorageFailed | Code::StorageDenied => Code::StorageThrottled,
            code => code,
        };
        if !is_all_or_nothing {
            self.answer(Reply::Left(code.into()), now);
            return;
        }
        self.answer(Reply::Refused(code.into()), now);
        // No client can name what is kept of it, unless that is another holder's.
        if code != Code::Superseded {
            self.stage = Stage::Reaching;
            self.uploads.reach(self.upload, Asks::Cancel, now);
        }
    }

    fn ended(&mut self, mut subject: Subject, now: Now) {
        let words = subject.entry.words.take();
        let remembered = self.remembered();
        let code = match subject.entry.status {
            EntryStatus::Complete => {
                let receipt = Box::new(Receipt::of_subject(subject));
                self.stage = Stage::Complete(receipt.clone());
                match self.pending.as_ref().map(|it| it.progress) {
                    Some(Progress::Ending(_, Some(Over::Excess))) => {
                        self.answer(Reply::DoneInExcess(receipt), now);
                    }
                    Some(Progress::Ending(_, Some(Over::End(_)))) => {
                        self.answer(Reply::Done(receipt), now);
                    }
                    // The step that follows serves it as if it came now.
                    Some(Progress::Ending(_, None)) => self.set_progress(Progress::Waiting),
                    _ => {}
                }
                self.linger_if_forgotten(remembered, now);
                return;
            }
            EntryStatus::Failed(code) => code,
            EntryStatus::Cancelled | EntryStatus::Uploading => Code::Cancelled,
        };
        self.stage = Stage::Ended(code);
        let reply = match self.is_delete() {
            true => Reply::Deleted,
            false => Reply::Refused(Refusal { code, words }),
        };
        self.answer(reply, now);
        self.linger_if_forgotten(remembered, now);
    }

    fn is_delete(&self) -> bool {
        let is_delete = |pending: &Pending| pending.request == Request::Delete;
        self.pending.as_ref().is_some_and(is_delete)
    }

    /// What has no record is remembered for a moment, so that a repeated request gets its answer.
    fn linger_if_forgotten(&mut self, remembered: Remembered, now: Now) {
        self.linger_until = match remembered {
            Remembered::HereOnly => Some(now.after(super::LINGER)),
            Remembered::ByRecord => None,
        };
    }

    /// Returns what knows of the upload besides this visit.
    pub(super) fn remembered(&self) -> Remembered {
        match self.stage {
            Stage::Held(_, remembered)
            | Stage::Finishing(remembered)
            | Stage::Leaving(remembered) => remembered,
            Stage::Free
            | Stage::Beginning
            | Stage::Reaching
            | Stage::Complete(_)
            | Stage::Ended(_)
            | Stage::Removing(_) => Remembered::ByRecord,
        }
    }
}

impl Remembered {
    fn by_record(is_recorded: bool) -> Self {
        match is_recorded {
            true => Self::ByRecord,
            false => Self::HereOnly,
        }
    }
}
