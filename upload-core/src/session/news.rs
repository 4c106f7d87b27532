//! What became of uploads, in the words of the WebSocket.

use upload_proto::{
    Code, ErrorMessage, Registered, ResumeStatus, Retry, ServerMessage, Snapshot, Status,
    UploadRef, crc32c_hex,
};

use crate::{
    Answer, Effect, EntryId, EntryStatus, News, Now, Output, OwnWords, Question, Record, Refusal,
    Session, Subject, Why,
    endings::Finality,
    session::{
        Completes, Request,
        channel::{Channel, Stage, blank_resumed, receipt, receipt_index, received_ranges},
    },
};

impl Session {
    /// Passes on what the room of uploads has for the host and for the client.
    pub(super) fn relay(&mut self, now: Now) {
        while let Some(effect) = self.uploads.poll() {
            match effect {
                Effect::Do(output) => self.out.push(output),
                Effect::News(entry, news) => self.tell(entry, news, now),
            }
        }
    }

    fn tell(&mut self, entry: EntryId, news: News, now: Now) {
        match news {
            News::Begun { resumable, at } => {
                self.requests.remove(&entry);
                let heard = self.heard(now);
                if let Some(channel) = self.channels.get_mut(&entry) {
                    if channel.stage == Stage::Asked {
                        channel.stage = Stage::Live;
                        channel.active_at = heard;
                    }
                    channel.note(at, self.window);
                    self.endings.forget(channel.upload);
                    let ttl = self.uploads.config().limits.record_ttl;
                    self.out.send(ServerMessage::Registered(Registered {
                        upload: channel.upload,
                        upload_name: channel.slot.name.clone(),
                        chunk_size: channel.slot.chunk_size,
                        credit: channel.numbers().credit,
                        resumable,
                        expires_in: resumable.then_some(ttl.as_secs()),
                    }));
                    channel.told(heard, now);
                    self.arm(entry);
                }
            }
            News::Repeated => {
                self.requests.remove(&entry);
                self.drop_channel(entry);
            }
            News::Continued { subject, crc32c } => self.continued(entry, &subject, crc32c, now),
            News::Finishing(subject) => {
                // Its answer follows the end; until then its client hears of trouble.
                if matches!(self.requests.get(&entry), Some(Request::Resume { .. })) {
                    self.channels
                        .insert(entry, Channel::of(&subject, self.window, now));
                }
            }
            News::Moved(at) => {
                let active_at = self.heard(now);
                if let Some(channel) = self.channels.get_mut(&entry) {
                    let was_exhausted = !channel.has_credit();
                    channel.note(at, self.window);
                    if was_exhausted && channel.has_credit() {
                        channel.active_at = active_at;
                    }
                    self.tell_if_due(entry, now);
                }
            }
            News::Resumable(resumable, at) => {
                if let Some(channel) = self.channels.get_mut(&entry) {
                    channel.note(at, self.window);
                    let mut snapshot = channel.snapshot(Status::Uploading);
                    if !resumable {
                        snapshot = snapshot.with_code(Code::NotResumable);
                    }
                    snapshot.resumable = Some(resumable);
                    self.send_snapshot(entry, snapshot, now);
                }
            }
            News::Delayed(code, at) => {
                if let Some(channel) = self.channels.get_mut(&entry) {
                    channel.note(at, self.window);
                    let snapshot = channel.snapshot(Status::Uploading).with_code(code);
                    self.send_snapshot(entry, snapshot, now);
                }
            }
            News::Refused(refusal) => {
                let request = self.requests.remove(&entry);
                self.drop_channel(entry);
                if let Some(Request::Register(upload)) = request {
                    self.refuse_registration(refusal, upload);
                }
            }
            News::Answered(answer) => self.answered(entry, answer),
            News::Detached(subject, why) => {
                self.requests.remove(&entry);
                let channel = self.last_channel(entry, &subject, now);
                let snapshot = self.detached(&channel, why);
                self.out.progress(snapshot.clone());
                self.endings.remember(snapshot, Finality::Final);
            }
            News::Ended(subject) => self.ended(entry, &subject, now),
        }
    }

    fn continued(&mut self, entry: EntryId, subject: &Subject, crc32c: Option<u32>, now: Now) {
        let mut channel = Channel::of(subject, self.window, now);
        channel.stage = Stage::Live;
        channel.active_at = self.heard(now);
        channel.pace = self.pace(subject.at.received, now);
        self.endings.forget(channel.upload);
        let request = self.requests.remove(&entry);
        let (by_upload_id, completes) = match request {
            Some(Request::Resume {
                by_upload_id,
                completes,
                ..
            }) => (by_upload_id, completes),
            Some(
                Request::Register(_)
                | Request::Receipt(_)
                | Request::Cancel(_)
                | Request::Remove(_),
            )
            | None => (false, Completes::No),
        };
        let resumed = channel.resumed(ResumeStatus::Resumed, crc32c);
        self.out.resumed(resumed, by_upload_id);
        channel.told(self.heard(now), now);
        self.channels.insert(entry, channel);
        self.arm(entry);
        if let Completes::With(crc32c) = completes {
            self.complete(entry, crc32c, now);
        }
    }

    fn ended(&mut self, entry: EntryId, subject: &Subject, now: Now) {
        let channel = self.last_channel(entry, subject, now);
        let request = self.requests.remove(&entry);
        let snapshot = match subject.entry.status {
            EntryStatus::Complete => {
                if let Some(Request::Resume { by_upload_id, .. }) = request {
                    let crc32c = subject.entry.crc32c;
                    let resumed = channel.resumed(ResumeStatus::Complete, crc32c);
                    self.out.resumed(resumed, by_upload_id);
                }
                channel.receipt(&subject.entry)
            }
            EntryStatus::Failed(code) => {
                let words = subject.entry.words.clone();
                with_refusal(channel.snapshot(Status::Error), Refusal { code, words })
            }
            EntryStatus::Cancelled | EntryStatus::Uploading => channel
                .snapshot(Status::Cancelled)
                .with_code(Code::Cancelled),
        };
        self.out.progress(snapshot.clone());
        self.endings
            .remember(snapshot, Finality::of(subject.slot.waits));
    }

    /// Answers what was asked about an upload that this connection does not hold.
    fn answered(&mut self, entry: EntryId, answer: Answer) {
        match self.requests.remove(&entry) {
            Some(Request::Resume {
                upload,
                by_upload_id,
                ..
            }) => self.answer_resume(upload, by_upload_id, answer),
            Some(Request::Receipt(upload)) => match answer {
                Answer::Receipt(record) => self.tell_receipt(upload, &record),
                Answer::Unreadable => self.refuse(Code::StorageThrottled, Some(upload)),
                Answer::Refused(refusal) => self.refuse(refusal, Some(upload)),
                Answer::Ended(code) => self.tell_code(upload, code),
                Answer::NotFound | Answer::Locked(_) | Answer::Found(..) => {
                    self.refuse(Code::UnknownRef, Some(upload));
                }
            },
            Some(Request::Cancel(upload)) => match answer {
                Answer::Receipt(record) if record.phase.is_unclaimed() => {
                    // Only the host knows how the file is removed.
                    let receipt = receipt(upload, &record);
                    self.endings.remember(receipt, Finality::Removable);
                    self.requests.insert(entry, Request::Remove(upload));
                    let question = Question::Remove { entry, upload };
                    self.out.push(Output::App(question));
                }
                Answer::Receipt(record) => self.tell_receipt(upload, &record),
                Answer::Unreadable => self.refuse(Code::StorageThrottled, Some(upload)),
                Answer::Locked(_) => self.refuse(Code::Locked, Some(upload)),
                Answer::Refused(refusal) => self.refuse(refusal, Some(upload)),
                Answer::Ended(code) => self.tell_code(upload, code),
                Answer::NotFound | Answer::Found(..) => {
                    if !self.repeat_ending(upload) {
                        self.refuse(Code::UnknownRef, Some(upload));
                    }
                }
            },
            Some(Request::Register(_) | Request::Remove(_)) | None => {}
        }
    }

    fn answer_resume(&mut self, upload: UploadRef, by_upload_id: bool, answer: Answer) {
        let resumed = match answer {
            Answer::NotFound => blank_resumed(upload, ResumeStatus::NotFound),
            Answer::Unreadable | Answer::Found(..) => blank_resumed(upload, ResumeStatus::Locked),
            Answer::Locked(received) => {
                let mut locked = blank_resumed(upload, ResumeStatus::Locked);
                locked.bytes_received = received;
                locked
            }
            Answer::Refused(refusal) => {
                self.refuse(refusal, Some(upload));
                return;
            }
            Answer::Ended(code) => {
                self.tell_code(upload, code);
                return;
            }
            Answer::Receipt(record) => {
                let next_index = receipt_index(record.length.max(), record.chunk_size);
                let mut resumed = blank_resumed(upload, ResumeStatus::Complete);
                resumed.bytes_received = record.length.max();
                resumed.next_index = next_index;
                resumed.chunks_received = received_ranges(next_index);
                resumed.crc32c = record.file_crc32c.map(crc32c_hex);
                resumed.chunk_size = record.chunk_size;
                resumed.credit = record.length.max();
                self.out.resumed(resumed, by_upload_id);
                self.tell_receipt(upload, &record);
                return;
            }
        };
        self.out.resumed(resumed, by_upload_id);
    }

    /// COMPLETE-4: the same receipt, however often it is asked for.
    fn tell_receipt(&mut self, upload: UploadRef, record: &Record) {
        let snapshot = receipt(upload, record);
        self.endings
            .remember(snapshot.clone(), Finality::of(record.phase.is_unclaimed()));
        self.out.progress(snapshot);
    }

    /// Tells how an upload ended that was not stored, or was removed.
    pub(super) fn tell_code(&mut self, upload: UploadRef, code: Code) {
        let status = match code {
            Code::Cancelled => Status::Cancelled,
            _ => Status::Error,
        };
        let snapshot = Snapshot::new(upload, status).with_code(code);
        self.endings.remember(snapshot.clone(), Finality::Final);
        self.out.progress(snapshot);
    }

    /// The last snapshot on this connection of an upload that can be resumed.
    /// A plain client would wait without end, so it receives an error (RESUME-10).
    fn detached(&self, channel: &Channel, why: Why) -> Snapshot {
        let config = self.uploads.config();
        let is_lost = config.plain || why == Why::Told(Code::Superseded);
        let mut snapshot = channel.snapshot(match is_lost {
            true => Status::Error,
            false => Status::Uploading,
        });
        if let Why::Told(code) = why {
            snapshot = snapshot.with_code(code);
        }
        if !is_lost {
            let pause = match why {
                Why::Told(
                    Code::StorageFull
                    | Code::StorageThrottled
                    | Code::StorageFailed
                    | Code::StorageDenied,
                ) => config.limits.retry_after,
                Why::Told(_) | Why::Lost => Default::default(),
            };
            snapshot.retry = Some(Retry::Later);
            snapshot.retry_after_ms = Some(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX));
        }
        snapshot.detached = Some(true);
        snapshot
    }

    /// Takes out what the client knows of an upload that is over here.
    fn last_channel(&mut self, entry: EntryId, subject: &Subject, now: Now) -> Channel {
        let channel = self.drop_channel(entry);
        let mut channel = channel.unwrap_or_else(|| Channel::of(subject, self.window, now));
        channel.length = subject.entry.length;
        channel.note(subject.at, self.window);
        channel
    }

    /// MSG-2: progress is sent for a part of the window, or in time.
    pub(super) fn tell_if_due(&mut self, entry: EntryId, now: Now) {
        let Some(channel) = self.channels.get_mut(&entry) else {
            return;
        };
        let limits = &self.uploads.config().limits;
        if !self.out.is_connected() {
            self.alarms.recount(channel);
            return;
        }
        let size = channel.window_size(self.window);
        let (numbers, interval) = (channel.numbers(), limits.snapshot_interval);
        let due_at = channel.throttle.due_at(numbers, size, interval);
        match due_at.filter(|_| channel.stage == Stage::Live) {
            Some(at) if at <= now.instant => {
                let snapshot = channel.snapshot(Status::Uploading);
                self.send_snapshot(entry, snapshot, now);
            }
            due_at => {
                // Its other alarm is set since it is live, and only put off by what comes.
                self.alarms.recount(channel);
                if let Some(at) = due_at {
                    self.alarms.tells.arm(entry, at);
                }
            }
        }
    }

    /// Tells trouble that does not end the upload.
    pub(super) fn tell_trouble(&mut self, entry: EntryId, code: Code, now: Now) {
        if let Some(channel) = self.channels.get(&entry) {
            self.out.refused(code, Some(channel.upload));
            let snapshot = channel.snapshot(Status::Uploading).with_code(code);
            self.send_snapshot(entry, snapshot, now);
        }
    }

    fn send_snapshot(&mut self, entry: EntryId, snapshot: Snapshot, now: Now) {
        self.out.progress(snapshot);
        let heard = self.heard(now);
        if let Some(channel) = self.channels.get_mut(&entry) {
            channel.told(heard, now);
        }
        self.arm(entry);
    }

    /// Answers trouble by an `error` message.
    pub(super) fn refuse(&mut self, refusal: impl Into<Refusal>, upload: Option<UploadRef>) {
        let Refusal { code, words } = refusal.into();
        self.out.refused(code, upload);
        let mut message = ErrorMessage::new(code, upload);
        if let Some(OwnWords { reason, text }) = words {
            message.reason = Some(reason.to_string());
            message.error = text.to_string();
        }
        self.out.send(ServerMessage::Error(message));
    }

    /// MSG-1: a refused registration is a snapshot, unless that would end a
    /// live upload of the same ref on the client.
    pub(super) fn refuse_registration(&mut self, refusal: impl Into<Refusal>, upload: UploadRef) {
        let refusal = refusal.into();
        if refusal.code == Code::RefInUse || self.uploads.find(upload).is_some() {
            self.refuse(refusal, Some(upload));
            return;
        }
        self.out.refused(refusal.code, Some(upload));
        let snapshot = with_refusal(Snapshot::new(upload, Status::Error), refusal);
        self.out.progress(snapshot);
    }

    /// COMPLETE-6: tells the ending again, if it is remembered.
    pub(super) fn repeat_ending(&mut self, upload: UploadRef) -> bool {
        let Some(ending) = self.endings.of(upload) else {
            return false;
        };
        let again = ending.clone();
        self.out.progress(again);
        true
    }
}

/// Gives a snapshot its reason, in the application's words where there are some.
fn with_refusal(snapshot: Snapshot, refusal: Refusal) -> Snapshot {
    let mut snapshot = snapshot.with_code(refusal.code);
    if let Some(OwnWords { reason, text }) = refusal.words {
        snapshot.reason = Some(reason.to_string());
        snapshot.error = Some(text.to_string());
    }
    snapshot
}
