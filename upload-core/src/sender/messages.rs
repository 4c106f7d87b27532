//! What the server says, and what follows from it (MSG-3).

use std::time::Duration;

use upload_proto::{
    Code, ErrorMessage, Registered, ResumeStatus, Resumed, Retry, ServerMessage, Snapshot, Status,
    parse_crc32c_hex,
};

use super::{
    Outcome, Pace, Sender, Violation,
    link::LinkEvent,
    reads::Reads,
    ref_use::{RefEvent, RefUse},
    stage::{Goal, Stage, Step, Wake},
};
use crate::{Now, crc::PrefixCrc};

impl Sender {
    /// Takes a message; those about other uploads are ignored.
    pub fn handle_message(&mut self, message: &ServerMessage, now: Now) {
        let is_up = self.link.step(LinkEvent::Active(now.instant));
        if !is_up || self.outcome().is_some() {
            return;
        }
        if let ServerMessage::Draining { reconnect_after_ms } = message {
            let pause = Duration::from_millis(*reconnect_after_ms);
            self.link.step(LinkEvent::DrainAnnounced(pause));
        }
        let ours = match self.ref_use {
            RefUse::Unused(upload) | RefUse::Offered(upload) | RefUse::Known(upload) => upload,
            // The old ref is out of use: an answer to its cancel, for instance, comes late.
            RefUse::Wanted(_) => return,
        };
        match message {
            ServerMessage::Registered(told) if told.upload == ours => self.registered(told),
            ServerMessage::Resumed(told) if told.upload == ours => self.resumed(told, now),
            ServerMessage::Progress(told) if told.upload == ours => self.told(told, now),
            ServerMessage::Error(told) if told.upload == Some(ours) => self.refused(told, now),
            ServerMessage::Registered(_)
            | ServerMessage::Resumed(_)
            | ServerMessage::Progress(_)
            | ServerMessage::Error(_)
            | ServerMessage::Draining { .. }
            | ServerMessage::Configs(_)
            | ServerMessage::ResumeAck(_)
            | ServerMessage::EventResult(_)
            | ServerMessage::List(_)
            | ServerMessage::EventPush(_)
            | ServerMessage::Pong => {}
        }
    }

    fn registered(&mut self, registered: &Registered) {
        if self.stage != Stage::Asking || !self.ref_use.step(RefEvent::Registered) {
            return;
        }
        self.retries.attached();
        self.take_chunk_size(registered.chunk_size);
        self.credit = registered.credit;
        self.prefix = PrefixCrc::from(0, Some(0));
        self.stage.step(Step::Registered(Reads::from(0)));
        self.check_if_all_sent();
    }

    fn resumed(&mut self, resumed: &Resumed, now: Now) {
        let is_asked = matches!(self.stage, Stage::Asking | Stage::Waiting(_));
        if !is_asked || !matches!(self.ref_use, RefUse::Known(_)) {
            return;
        }
        match resumed.status {
            ResumeStatus::Resumed if resumed.bytes_received > self.facts.size => {
                self.cancel_and_restart();
            }
            ResumeStatus::Resumed => {
                let Ok(crc32c) = resumed.crc32c.as_deref().map(read_crc32c).transpose() else {
                    return self.violated(Violation::UnreadableChecksum);
                };
                let Ok(next_index) = u32::try_from(resumed.next_index) else {
                    return self.violated(Violation::PastTheEnd);
                };
                self.retries.attached();
                self.take_chunk_size(resumed.chunk_size);
                self.credit = resumed.credit;
                if resumed.bytes_received > self.received {
                    self.retries.progressed();
                }
                self.received = resumed.bytes_received;
                let goal = Goal {
                    offset: resumed.bytes_received,
                    next_index,
                    crc32c,
                };
                let reads = self.rewind(goal.offset);
                self.stage.step(Step::Resumed(reads, goal));
                self.verify_if_reached(now);
            }
            // Another file was stored under this ref; it stays where it is.
            ResumeStatus::Complete if resumed.bytes_received != self.facts.size => {
                self.restart(Outcome::FileChanged);
            }
            // The receipt follows as a snapshot.
            ResumeStatus::Complete => {
                self.stage.step(Step::ReceiptAnnounced);
            }
            ResumeStatus::Locked => self.come_back(None, Some(Code::Locked), now),
            ResumeStatus::NotFound if self.retries.may_be_stored() => self.register_again(now),
            ResumeStatus::NotFound => self.restart(refused(Code::UnknownRef, None)),
        }
    }

    fn told(&mut self, snapshot: &Snapshot, now: Now) {
        self.credit = self.credit.max(snapshot.credit);
        if snapshot.bytes_received > self.received {
            self.retries.progressed();
        }
        self.received = self.received.max(snapshot.bytes_received);
        self.durable = self.durable.max(snapshot.bytes_durable);
        self.prefix.settle(self.durable);
        match snapshot.status {
            Status::Complete => self.completed(snapshot),
            Status::Cancelled => self.finish(Outcome::Cancelled),
            Status::Uploading if snapshot.detached == Some(true) => {
                // Whatever became of the answer, it was registered.
                self.ref_use.step(RefEvent::Registered);
                self.come_back(snapshot.retry_after_ms, snapshot.code, now);
            }
            Status::Uploading => {
                if snapshot.retry == Some(Retry::Resend) {
                    self.go_back(snapshot, now);
                }
            }
            // Under its ref a lost connection stored the file first, at another node.
            Status::Error if snapshot.code == Some(Code::RefInUse) => {
                self.ref_use.step(RefEvent::Registered);
                self.come_back(snapshot.retry_after_ms, snapshot.code, now);
            }
            Status::Error => {
                let code = snapshot.code.unwrap_or(Code::StorageFailed);
                let text = snapshot.error.clone();
                self.ended(code, snapshot.retry, text, snapshot.retry_after_ms, now);
            }
        }
    }

    /// Takes the receipt, unless it is about other bytes than the file's. What an earlier run sent is read once more,
    /// since the file may have changed.
    pub(super) fn completed(&mut self, snapshot: &Snapshot) {
        let Ok(theirs) = snapshot.crc32c.as_deref().map(read_crc32c).transpose() else {
            return self.violated(Violation::UnreadableChecksum);
        };
        let ours = self.prefix.end();
        if theirs.is_some() && ours.offset < self.facts.size && self.stage == Stage::Completing {
            let reads = self.rewind(self.facts.size);
            let receipt = Box::new(snapshot.clone());
            self.stage.step(Step::ReceiptToCompare(reads, receipt));
            return;
        }
        let is_compared = theirs.is_some() && ours.offset == self.facts.size;
        if is_compared && theirs != ours.crc {
            // Another file was stored under this ref; it stays where it is.
            return self.restart(Outcome::FileChanged);
        }
        self.finish(Outcome::Complete {
            result: snapshot.result.clone().unwrap_or_default(),
            crc32c: snapshot.crc32c.clone(),
        });
    }

    fn refused(&mut self, error: &ErrorMessage, now: Now) {
        let is_resuming = self.stage == Stage::Asking && matches!(self.ref_use, RefUse::Known(_));
        let is_registering = matches!(self.ref_use, RefUse::Offered(_));
        match error.code {
            // Of our own, over the connection that was lost: its server is storing it, or has not noticed the loss.
            Code::RefInUse if is_registering && self.retries.ask_again() => {
                self.ref_use.step(RefEvent::Registered);
                self.come_back(None, Some(error.code), now);
            }
            // Another upload, perhaps of an earlier run of ours, has this ref.
            Code::RefInUse => self.restart(refused(error.code, Some(&error.error))),
            // It is about a frame that was sent before the resume, whose answer still comes.
            Code::UnknownRef if is_resuming => {}
            code => {
                let text = Some(error.error.clone());
                self.ended(code, Some(error.retry), text, None, now);
            }
        }
    }

    fn ended(
        &mut self,
        code: Code,
        retry: Option<Retry>,
        text: Option<String>,
        retry_after_ms: Option<u64>,
        now: Now,
    ) {
        let outcome = refused(code, text.as_deref());
        match retry.unwrap_or_else(|| code.retry()) {
            Retry::Restart | Retry::Resend => self.restart(outcome),
            Retry::Later => {
                self.ref_use.step(RefEvent::Refused);
                self.come_back(retry_after_ms, Some(code), now);
            }
            Retry::Never => self.finish(outcome),
        }
    }

    /// Registers what a lost connection may still be storing under the same ref: while it does, that is refused, and
    /// under a fresh one the file would be stored twice (COMPLETE-4).
    fn register_again(&mut self, now: Now) {
        if self.begin_anew(refused(Code::UnknownRef, None)) {
            self.ref_use.step(RefEvent::NotFound);
            self.stage.step(Step::Deferred(Wake::At(now.instant)));
            self.ask(now);
        }
    }

    /// Asks again after the server's pause; a paused sender waits to be unpaused.
    fn come_back(&mut self, retry_after_ms: Option<u64>, code: Option<Code>, now: Now) {
        self.drop_frames();
        let wake = if self.link.reconnect_after().is_some() {
            Wake::Reconnected
        } else if self.pace == Pace::Paused {
            Wake::Unpaused
        } else {
            let pause = retry_after_ms.map(Duration::from_millis);
            let pause = pause.unwrap_or_else(|| self.retries.backoff(&self.config));
            match self.next_attempt(pause, code, now) {
                Some(at) => Wake::At(at),
                None => return,
            }
        };
        self.stage.step(Step::Deferred(wake));
    }

    /// Goes back to what the server has (CHUNK-3, COMPLETE-1).
    fn go_back(&mut self, snapshot: &Snapshot, now: Now) {
        let goal = match u32::try_from(snapshot.next_index) {
            Ok(next_index) if snapshot.bytes_received <= self.facts.size => Goal {
                offset: snapshot.bytes_received,
                next_index,
                crc32c: None,
            },
            Ok(_) | Err(_) => return self.violated(Violation::PastTheEnd),
        };
        if matches!(
            self.stage,
            Stage::Sending { .. } | Stage::Checking { .. } | Stage::Completing
        ) {
            self.drop_frames();
            let reads = self.rewind(goal.offset);
            self.stage.step(Step::SentBack(reads, goal));
            self.verify_if_reached(now);
        }
    }

    fn take_chunk_size(&mut self, told: u32) {
        self.chunk_size = told.min(self.config.chunk_bytes_max).max(1);
    }

    fn violated(&mut self, violation: Violation) {
        self.finish(Outcome::ProtocolViolation(violation));
    }
}

/// Returns a refusal with `code` and its usual text.
fn refused(code: Code, text: Option<&str>) -> Outcome {
    Outcome::Refused {
        code,
        text: text.unwrap_or(code.text()).to_owned(),
    }
}

/// Reads a checksum; one that cannot be read is not the same as none.
fn read_crc32c(text: &str) -> Result<u32, Violation> {
    parse_crc32c_hex(text).ok_or(Violation::UnreadableChecksum)
}
