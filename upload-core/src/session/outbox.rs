//! What waits for the host.

use std::collections::VecDeque;

use upload_proto::ServerMessage;

use crate::Output;

/// The outputs of one connection, oldest first.
///
/// Bounded by construction: an input adds a few outputs per upload it touches,
/// and the host drains them all before the next input.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Output>,
    is_gone: bool,
    refusals: u32,
}

impl Outbox {
    /// Adds an effect.
    pub(crate) fn push(&mut self, output: Output) {
        self.queue.push_back(output);
    }

    /// Adds a message, unless nobody is there to read it.
    pub(crate) fn send(&mut self, message: ServerMessage) {
        if !self.is_gone {
            self.push(Output::Send(message));
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Output> {
        self.queue.pop_front()
    }

    /// Returns whether messages reach anybody.
    pub(crate) fn is_connected(&self) -> bool {
        !self.is_gone
    }

    /// Forgets messages that can not be delivered any more.
    pub(super) fn disconnect(&mut self) {
        self.is_gone = true;
        self.queue
            .retain(|output| !matches!(output, Output::Send(_) | Output::Disconnect { .. }));
    }

    pub(crate) fn count_refusal(&mut self) {
        self.refusals = self.refusals.saturating_add(1);
    }

    pub(super) fn take_refusals(&mut self) -> u32 {
        std::mem::take(&mut self.refusals)
    }
}
