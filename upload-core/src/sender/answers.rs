//! What the server says, and what follows from it (MSG-3).

use std::time::Duration;

use upload_proto::{
    Code, ErrorMessage, Registered, ResumeStatus, Resumed, Retry, ServerMessage, Snapshot, Status,
    parse_crc32c_hex,
};

use crate::{Now, Outcome, Sender, SenderOutput, SenderPhase, sender::Verify};

impl Sender {
    /// Takes a message; those about other uploads are ignored.
    pub fn handle_message(&mut self, message: &ServerMessage, now: Now) {
        if self.phase == SenderPhase::Done {
            return;
        }
        self.heard_at = now.instant;
        match message {
            ServerMessage::Registered(registered) if registered.upload == self.facts.upload => {
                self.registered(registered, now);
            }
            ServerMessage::Resumed(resumed) if resumed.upload == self.facts.upload => {
                self.resumed(resumed, now);
            }
            ServerMessage::Progress(snapshot) if snapshot.upload == self.facts.upload => {
                self.told(snapshot, now);
            }
            ServerMessage::Error(error) if error.upload == Some(self.facts.upload) => {
                self.refused(error, now);
            }
            ServerMessage::Draining { reconnect_after_ms } => {
                self.drains = Some(Duration::from_millis(*reconnect_after_ms));
            }
            _ => {}
        }
    }

    fn registered(&mut self, registered: &Registered, now: Now) {
        if self.phase != SenderPhase::Asking || self.is_known {
            return;
        }
        self.is_known = true;
        self.chunk_size = registered.chunk_size.max(1);
        self.credit = registered.credit;
        let start = Verify {
            offset: 0,
            next_index: 0,
            crc32c: None,
        };
        self.go_to(start, now);
    }

    fn resumed(&mut self, resumed: &Resumed, now: Now) {
        // A late word of an earlier detaching may have made it wait meanwhile.
        let asked = matches!(self.phase, SenderPhase::Asking | SenderPhase::Waiting);
        if !asked || !self.is_known {
            return;
        }
        match resumed.status {
            ResumeStatus::Resumed if resumed.bytes_received <= self.facts.size => {
                self.chunk_size = resumed.chunk_size.max(1);
                self.credit = resumed.credit;
                if resumed.bytes_received > self.received {
                    self.attempts = 0;
                }
                self.received = resumed.bytes_received;
                self.go_to(
                    Verify {
                        offset: resumed.bytes_received,
                        next_index: resumed.next_index,
                        crc32c: resumed.crc32c.as_deref().and_then(parse_crc32c_hex),
                    },
                    now,
                );
            }
            // The receipt follows as a snapshot.
            ResumeStatus::Complete => self.phase = SenderPhase::Completing,
            ResumeStatus::Locked => {
                self.phase = SenderPhase::Waiting;
                self.wait(self.backoff(), now);
            }
            ResumeStatus::NotFound | ResumeStatus::Resumed => self.restart(now),
        }
    }

    fn told(&mut self, snapshot: &Snapshot, now: Now) {
        self.credit = self.credit.max(snapshot.credit);
        if snapshot.bytes_received > self.received {
            self.attempts = 0;
        }
        self.received = self.received.max(snapshot.bytes_received);
        self.durable = self.durable.max(snapshot.bytes_durable);
        self.crc.settle(self.durable);
        match snapshot.status {
            Status::Complete => self.finish(Outcome::Complete {
                result: snapshot.result.clone().unwrap_or_default(),
                crc32c: snapshot.crc32c.clone(),
            }),
            Status::Cancelled => self.finish(Outcome::Cancelled),
            Status::Uploading if snapshot.detached == Some(true) => {
                self.come_back(snapshot.retry_after_ms, now);
            }
            Status::Uploading => {
                if snapshot.retry == Some(Retry::Resend) {
                    self.go_back(snapshot, now);
                }
            }
            Status::Error => {
                let code = snapshot.code.unwrap_or(Code::StorageFailed);
                let text = snapshot.error.clone();
                self.ended(code, snapshot.retry, text, snapshot.retry_after_ms, now);
            }
        }
    }

    fn refused(&mut self, error: &ErrorMessage, now: Now) {
        match error.code {
            // Somebody, perhaps an earlier run of ours, used this ref.
            Code::RefInUse => self.restart(now),
            code => self.ended(
                code,
                Some(error.retry),
                Some(error.error.clone()),
                None,
                now,
            ),
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
        match retry.unwrap_or_else(|| code.retry()) {
            Retry::Restart | Retry::Resend => self.restart(now),
            Retry::Later => self.come_back(retry_after_ms, now),
            Retry::Never => self.finish(Outcome::Refused {
                code,
                text: text.unwrap_or_else(|| code.text().to_owned()),
            }),
        }
    }

    /// Asks again after the server's pause; a paused sender waits to be unpaused.
    fn come_back(&mut self, retry_after_ms: Option<u64>, now: Now) {
        self.stop_reading();
        self.phase = SenderPhase::Waiting;
        if self.is_paused || self.drains.is_some() {
            // Unpausing, or the next connection, asks again.
            self.wake_at = None;
            return;
        }
        let pause = retry_after_ms.map_or_else(|| self.backoff(), Duration::from_millis);
        self.wait(pause, now);
    }

    /// Goes back to what the server has (CHUNK-3, COMPLETE-1).
    fn go_back(&mut self, snapshot: &Snapshot, now: Now) {
        let sends = matches!(self.phase, SenderPhase::Sending | SenderPhase::Completing);
        if !sends || snapshot.bytes_received > self.facts.size {
            return;
        }
        self.out
            .retain(|output| !matches!(output, SenderOutput::Frame(_)));
        self.go_to(
            Verify {
                offset: snapshot.bytes_received,
                next_index: snapshot.next_index,
                crc32c: None,
            },
            now,
        );
    }
}
