//! What the client is told about one upload.

use std::time::Instant;

use upload_proto::{
    Code, Registered, ResumeAck, ResumeStatus, Resumed, Retry, ServerMessage, Snapshot, Status,
    UploadRef, crc32c_hex,
};

use crate::{
    Event, Output, Phase, SessionConfig,
    pulse::Numbers,
    upload::{Context, Upload},
};

impl Upload {
    /// Announces the registration; also again where the client asks again (CTRL-4).
    pub(crate) fn answer_registered(&mut self, cx: &mut Context<'_>) {
        if self.phase == Phase::Claiming {
            return;
        }
        let resumable = self.saver.is_enabled() && self.saver.is_healthy();
        cx.out.send(ServerMessage::Registered(Registered {
            upload: self.upload(),
            upload_name: self.entry.slot.to_string(),
            chunk_size: self.slot.chunk_size,
            credit: self.window.credit(),
            resumable,
            expires_in: resumable.then_some(cx.config.limits.record_ttl.as_secs()),
        }));
        let numbers = self.numbers();
        self.pulse.told(numbers, cx.now);
    }

    /// Announces where a resumed upload goes on.
    pub(super) fn answer_resumed(&mut self, cx: &mut Context<'_>) {
        self.send_resumed(ResumeStatus::Resumed, cx);
        self.resuming = None;
        let numbers = self.numbers();
        self.pulse.told(numbers, cx.now);
    }

    /// Sends `upload_resumed`, and the acknowledgement that goes with the other
    /// way to ask.
    pub(super) fn send_resumed(&mut self, status: ResumeStatus, cx: &mut Context<'_>) {
        let by_upload_id = self.resuming.is_some_and(|resuming| resuming.by_upload_id);
        let numbers = self.numbers();
        let next_index = self.intake.next_index();
        let is_ours = matches!(status, ResumeStatus::Resumed | ResumeStatus::Complete);
        let mut resumed = blank_resumed(self.upload(), status);
        if is_ours {
            resumed.bytes_received = numbers.received;
            resumed.next_index = next_index;
            resumed.chunks_received = received_ranges(next_index);
            resumed.crc32c = self.crc.end().crc.map(crc32c_hex);
            resumed.chunk_size = self.slot.chunk_size;
            resumed.credit = numbers.credit;
        } else if status == ResumeStatus::Locked {
            resumed.bytes_received = numbers.received;
        }
        cx.out.resumed(resumed, by_upload_id);
    }

    pub(super) fn numbers(&mut self) -> Numbers {
        self.durable_told = self.durable_told.max(self.durable_known());
        Numbers {
            received: self.intake.received(),
            durable: self.durable_told,
            credit: self.window.credit(),
        }
    }

    /// RESUME-2: what is announced as durable is what the record says.
    fn durable_known(&self) -> u64 {
        if self.phase == Phase::Complete {
            self.entry.client_size
        } else if self.saver.is_enabled() {
            self.saver.saved().map_or(0, |saved| saved.offset)
        } else {
            self.durable
        }
    }

    /// Returns the CRC32C of the whole file once the client completed it and it is computed.
    pub(crate) fn file_crc32c(&self) -> Option<u32> {
        self.file_crc32c
    }

    /// Returns the snapshot of this moment.
    pub(crate) fn snapshot(&mut self, status: Status) -> Snapshot {
        let numbers = self.numbers();
        let mut snapshot = Snapshot::new(self.upload(), status);
        snapshot.progress = self.entry.progress();
        snapshot.bytes_received = numbers.received;
        snapshot.bytes_durable = numbers.durable;
        snapshot.next_index = self.intake.next_index();
        snapshot.credit = numbers.credit;
        if status == Status::Complete {
            snapshot.result = self.entry.result.clone();
            snapshot.crc32c = self.entry.crc32c.map(crc32c_hex);
        }
        snapshot
    }

    /// MSG-2: progress is told for a part of the window, or in time.
    pub(super) fn tell_if_due(&mut self, cx: &mut Context<'_>) {
        if !self.tells() || !cx.out.is_connected() {
            return;
        }
        let numbers = self.numbers();
        let interval = cx.config.limits.snapshot_interval;
        if self
            .pulse
            .is_due(numbers, self.window.size(), interval, cx.now)
        {
            let snapshot = self.snapshot(Status::Uploading);
            self.send_snapshot(snapshot, cx);
        }
    }

    pub(super) fn tell_deadline(&self, config: &SessionConfig) -> Option<Instant> {
        if !self.tells() {
            return None;
        }
        let numbers = Numbers {
            received: self.intake.received(),
            durable: self.durable_told.max(self.durable_known()),
            credit: self.window.credit(),
        };
        self.pulse
            .deadline(numbers, self.window.size(), config.limits.snapshot_interval)
    }

    fn tells(&self) -> bool {
        !self.phase.is_over() && self.phase != Phase::Claiming && self.resuming.is_none()
    }

    /// Tells trouble that does not end the upload.
    pub(super) fn tell_trouble(&mut self, code: Code, cx: &mut Context<'_>) {
        cx.out.refuse(code, Some(self.upload()));
        let snapshot = self.snapshot(Status::Uploading).with_code(code);
        self.send_snapshot(snapshot, cx);
    }

    /// RESUME-9: told once when the store fails, and once when it is back.
    pub(super) fn tell_resumable(&mut self, resumable: bool, cx: &mut Context<'_>) {
        self.tell_trouble_resumable(Code::NotResumable, resumable, cx);
    }

    pub(super) fn tell_trouble_resumable(
        &mut self,
        code: Code,
        resumable: bool,
        cx: &mut Context<'_>,
    ) {
        let mut snapshot = self.snapshot(Status::Uploading);
        if !resumable {
            snapshot = snapshot.with_code(code);
        }
        snapshot.resumable = Some(resumable);
        self.send_snapshot(snapshot, cx);
    }

    /// The last snapshot on this connection of an upload that can be resumed.
    /// A plain client would wait for ever, so it is told an error (RESUME-10).
    pub(super) fn detached_snapshot(&mut self, code: Option<Code>, cx: &Context<'_>) -> Snapshot {
        let is_lost = cx.config.plain || code == Some(Code::Superseded);
        let mut snapshot = self.snapshot(if is_lost {
            Status::Error
        } else {
            Status::Uploading
        });
        if let Some(code) = code {
            snapshot = snapshot.with_code(code);
        }
        if !is_lost {
            let pause = match code {
                Some(
                    Code::StorageFull
                    | Code::StorageThrottled
                    | Code::StorageFailed
                    | Code::StorageDenied,
                ) => cx.config.limits.retry_after,
                _ => Default::default(),
            };
            snapshot.retry = Some(Retry::Later);
            snapshot.retry_after_ms = Some(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX));
        }
        snapshot.detached = Some(true);
        snapshot
    }

    fn send_snapshot(&mut self, snapshot: Snapshot, cx: &mut Context<'_>) {
        cx.out.send(ServerMessage::Progress(Box::new(snapshot)));
        let numbers = self.numbers();
        self.pulse.told(numbers, cx.now);
    }
}

/// Returns an answer to a resume that tells nothing but its status.
pub(crate) fn blank_resumed(upload: UploadRef, status: ResumeStatus) -> Resumed {
    Resumed {
        upload,
        status,
        bytes_received: 0,
        next_index: 0,
        chunks_received: Vec::new(),
        crc32c: None,
        chunk_size: 0,
        credit: 0,
    }
}

/// Returns the indices before `next_index` as inclusive ranges, as `chunks_received` has them
/// (PROTOCOL section 6).
pub fn received_ranges(next_index: u64) -> Vec<[u64; 2]> {
    next_index
        .checked_sub(1)
        .map(|last| vec![[0, last]])
        .unwrap_or_default()
}

impl crate::session::Outbox {
    /// Sends `upload_resumed` and what the other way to ask expects after it.
    pub(crate) fn resumed(&mut self, resumed: Resumed, by_upload_id: bool) {
        let ack = ResumeAck {
            upload_id: resumed.upload,
            accepted: resumed.status == ResumeStatus::Resumed,
            offset: resumed.bytes_received,
        };
        self.send(ServerMessage::Resumed(resumed));
        if by_upload_id {
            self.send(ServerMessage::ResumeAck(ack));
        }
    }

    /// Counts a refusal.
    pub(crate) fn refuse(&mut self, code: Code, upload: Option<UploadRef>) {
        self.count_refusal();
        self.push(Output::Notify(Event::Refused { code, upload }));
    }
}
