//! What waits for the host.

use std::collections::VecDeque;

use upload_proto::{Code, ResumeAck, ResumeStatus, Resumed, ServerMessage, Snapshot, UploadRef};

use crate::{Fact, Output};

/// The outputs of one connection, oldest first.
///
/// Bounded by construction: an input adds a few outputs per upload it touches,
/// and the host drains them all before the next input.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: VecDeque<Output>,
    is_gone: bool,
    refusals: u32,
}

impl Outbox {
    /// Adds an effect.
    pub(super) fn push(&mut self, output: Output) {
        self.queue.push_back(output);
    }

    /// Adds a message, unless no client is there to read it.
    pub(super) fn send(&mut self, message: ServerMessage) {
        if !self.is_gone {
            self.push(Output::Send(message));
        }
    }

    /// Sends a snapshot.
    pub(super) fn progress(&mut self, snapshot: Snapshot) {
        self.send(ServerMessage::Progress(Box::new(snapshot)));
    }

    /// Sends `upload_resumed` and what the other way to ask expects after it.
    pub(super) fn resumed(&mut self, resumed: Resumed, by_upload_id: bool) {
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

    pub(super) fn pop(&mut self) -> Option<Output> {
        self.queue.pop_front()
    }

    /// Returns whether messages reach a client.
    pub(super) fn is_connected(&self) -> bool {
        !self.is_gone
    }

    /// Adds no messages from now on.
    pub(super) fn disconnect(&mut self) {
        self.is_gone = true;
    }

    /// Forgets messages that can not be delivered any more.
    pub(super) fn forget_messages(&mut self) {
        self.queue
            .retain(|output| !matches!(output, Output::Send(_) | Output::Close(_)));
    }

    /// Counts a refusal.
    pub(super) fn refused(&mut self, code: Code, upload: Option<UploadRef>) {
        self.refusals = self.refusals.saturating_add(1);
        self.push(Output::Fact(Fact::Refused { code, upload }));
    }

    pub(super) fn take_refusals(&mut self) -> u32 {
        std::mem::take(&mut self.refusals)
    }
}
