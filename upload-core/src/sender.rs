//! The client's side of one upload, as a state machine.
//!
//! It is a product of four small machines, each with its own table; start reading at [`Stage`]:
//!
//! - [`Link`]: whether there is a connection;
//! - [`RefUse`]: what the server may know of the ref;
//! - [`Stage`]: what the upload does on the connection;
//! - [`Pace`]: whether the host lets chunks be sent.
//!
//! Which of their states occur together is asserted by the test
//! `the_states_that_occur_together`.
//!
//! The files next to this one: `messages` (what the server says), `transfer`
//! (reading the file and making frames), `reads` (answers of the file in any
//! order), `retries` (how often, after which pause).

mod facts;
mod link;
mod messages;
mod output;
mod reads;
mod ref_use;
mod retries;
mod stage;
#[cfg(test)]
mod tests;
mod transfer;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use upload_proto::{ClientMessage, Code, Frame, Register, Resume, UploadRef};

pub use facts::{FileFacts, SenderConfig};
pub use output::{FileCheck, Outcome, Progress, ReadId, SenderOutput, SenderPhase, Violation};

use crate::{Now, crc::PrefixCrc, time::later};
use link::{Link, LinkEvent};
use ref_use::{RefEvent, RefUse};
use retries::{Retries, jittered};
use stage::{Stage, Step, Wake};

/// Sends one file: registers, keeps to its credit, goes back, resumes, ends.
///
/// Handles never fail. After each call drain [`Sender::poll_output`] and ask
/// [`Sender::poll_timeout`] anew.
#[derive(Debug)]
pub struct Sender {
    facts: FileFacts,
    config: SenderConfig,
    out: VecDeque<SenderOutput>,
    link: Link,
    ref_use: RefUse,
    stage: Stage,
    pace: Pace,
    retries: Retries,
    next_read: ReadId,
    /// Checksum of everything before the next chunk.
    prefix: PrefixCrc,
    chunk_size: u32,
    credit: u64,
    received: u64,
    durable: u64,
}

/// Whether the host lets chunks be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    Running,
    Paused,
}

impl Sender {
    /// Begins; the first output is [`SenderOutput::Connect`].
    pub fn new(facts: FileFacts, config: SenderConfig) -> Self {
        Self {
            out: VecDeque::from([SenderOutput::Connect]),
            link: Link::Connecting,
            ref_use: if facts.is_known {
                RefUse::Known(facts.upload)
            } else {
                RefUse::Unused(facts.upload)
            },
            stage: Stage::Idle,
            pace: Pace::Running,
            retries: Retries::default(),
            next_read: ReadId(0),
            prefix: PrefixCrc::from(0, Some(0)),
            chunk_size: 1,
            credit: 0,
            received: 0,
            durable: 0,
            facts,
            config,
        }
    }

    /// The connection is up and its subprotocol agreed.
    pub fn handle_connected(&mut self, now: Now) {
        if self.outcome().is_none() && self.link.step(LinkEvent::Connected(now.instant)) {
            self.out
                .retain(|output| !matches!(output, SenderOutput::Connect));
            if self.stage == Stage::Cancelling {
                return self.end_and_cancel(Outcome::Cancelled);
            }
            self.ask(now);
        }
    }

    /// The connection is gone, or could not be made.
    pub fn handle_disconnected(&mut self, now: Now) {
        let pause = self.link.reconnect_after();
        let pause = pause.unwrap_or_else(|| self.retries.backoff(&self.config));
        if self.outcome().is_some() || self.link.retry_at().is_some() {
            return;
        }
        self.out
            .retain(|output| matches!(output, SenderOutput::NeedRef));
        if self.stage == Stage::Completing {
            self.retries.completing_lost();
        }
        // A registration whose answer was lost may have been heard. Even what is said not to be
        // resumable is asked for again: the server may have finished it (COMPLETE-4).
        self.ref_use.step(RefEvent::Registered);
        self.stage.step(Step::Lost);
        if let Some(retry_at) = self.next_attempt(pause, None, now) {
            self.link.step(LinkEvent::Lost { retry_at });
        }
    }

    /// A ref for an upload that begins anew.
    pub fn handle_ref(&mut self, upload: UploadRef, now: Now) {
        if self.outcome().is_none() && self.ref_use.step(RefEvent::Fresh(upload)) {
            self.out
                .retain(|output| !matches!(output, SenderOutput::NeedRef));
            self.ask(now);
        }
    }

    /// Does what time alone makes due.
    pub fn handle_timeout(&mut self, now: Now) {
        if self.outcome().is_some() {
            return;
        }
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now.instant);
        if is_due(self.link.retry_at()) {
            self.link.step(LinkEvent::RetryDue);
            self.out.push_back(SenderOutput::Connect);
        }
        if is_due(self.wake_at()) {
            self.ask(now);
        }
        if is_due(self.stall_deadline()) {
            self.touch(now);
            self.out.push_back(SenderOutput::Disconnect);
        }
    }

    /// Returns when to call [`Sender::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.link.retry_at(), self.wake_at(), self.stall_deadline()]
            .into_iter()
            .flatten()
            .min()
            .filter(|_| self.outcome().is_none())
    }

    /// Returns the next effect. Poll until `None` after every `handle_…` call,
    /// or later, when the socket has room again.
    pub fn poll_output(&mut self) -> Option<SenderOutput> {
        if self.out.is_empty() {
            self.feed();
        }
        self.out.pop_front()
    }

    /// Stops sending until [`Sender::unpause`]; the server may detach meanwhile.
    pub fn pause(&mut self) {
        self.pace = Pace::Paused;
    }

    /// Goes on after [`Sender::pause`].
    pub fn unpause(&mut self, now: Now) {
        self.pace = Pace::Running;
        self.touch(now);
        if self.stage == Stage::Waiting(Wake::Unpaused) {
            self.ask(now);
        }
    }

    /// Cancels the upload, here and on the server. Without a connection the next one is waited
    /// for, since the server would keep what it has until it expires.
    pub fn cancel(&mut self) {
        let is_down = self.link.quiet_since().is_none();
        if is_down && self.ref_use.may_be_held() {
            self.stage.step(Step::CancelledOffline);
        } else if self.outcome().is_none() {
            self.end_and_cancel(Outcome::Cancelled);
        }
    }

    /// Returns how far it has come.
    pub fn progress(&self) -> Progress {
        Progress {
            phase: self.stage.phase(),
            sent: self.prefix.end().offset,
            received: self.received,
            durable: self.durable,
            size: self.facts.size,
        }
    }

    /// Returns how it ended, once it has.
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.stage {
            Stage::Done(outcome) => Some(outcome),
            Stage::Idle
            | Stage::Asking
            | Stage::Verifying { .. }
            | Stage::Sending { .. }
            | Stage::Checking { .. }
            | Stage::Completing
            | Stage::Waiting(_)
            | Stage::Cancelling => None,
        }
    }

    /// Returns the present ref; keep it to resume in a later run.
    pub fn upload(&self) -> UploadRef {
        self.ref_use.upload()
    }

    /// Registers, or resumes what the server may know, as soon as the connection allows it.
    fn ask(&mut self, now: Now) {
        let wake = match (&self.link, &self.ref_use) {
            (Link::Down { .. } | Link::Connecting, _) => return,
            (Link::Up { .. } | Link::Draining { .. }, RefUse::Wanted(_)) => Some(Wake::FreshRef),
            (Link::Draining { .. }, _) => Some(Wake::Reconnected),
            (Link::Up { .. }, _) => None,
        };
        self.stage.step(Step::Asked);
        if let Some(wake) = wake {
            self.stage.step(Step::Deferred(wake));
            return;
        }
        self.touch(now);
        let upload = self.upload();
        let message = if self.ref_use.step(RefEvent::Offer) {
            ClientMessage::Register(Register {
                upload,
                upload_name: self.facts.slot.clone(),
                client_name: self.facts.name.clone(),
                client_type: self.facts.media_type.clone(),
                client_size: Some(self.facts.size),
                resumable: None,
                client_id: self.facts.client_id.clone(),
                last_modified: self.facts.last_modified,
                relative_path: self.facts.relative_path.clone(),
                meta: self.facts.meta.clone(),
            })
        } else {
            ClientMessage::Resume(Resume {
                upload,
                by_upload_id: false,
                offset: Some(self.durable),
                client_id: self.facts.client_id.clone(),
            })
        };
        self.out.push_back(SenderOutput::Message(message));
    }

    /// Begins anew under a fresh ref; ends as `otherwise` where that was tried too often.
    fn restart(&mut self, otherwise: Outcome) {
        if self.begin_anew(otherwise) {
            self.ref_use.step(RefEvent::GiveUp);
            self.stage.step(Step::Deferred(Wake::FreshRef));
            self.out.push_back(SenderOutput::NeedRef);
        }
    }

    /// Goes back to byte 0; returns false, and ends as `otherwise`, where that was tried too often.
    fn begin_anew(&mut self, otherwise: Outcome) -> bool {
        if !self.retries.restart(&self.config) {
            self.finish(otherwise);
            return false;
        }
        self.drop_frames();
        self.prefix = PrefixCrc::from(0, Some(0));
        self.credit = 0;
        self.received = 0;
        self.durable = 0;
        true
    }

    /// Gives up what this connection holds, which is another file, and begins anew (RESUME-6).
    ///
    /// Without the cancel the old upload would keep its place in the slot until it idles.
    fn cancel_and_restart(&mut self) {
        let cancel = Frame::Cancel {
            upload: self.upload(),
        };
        self.restart(Outcome::FileChanged);
        self.out.push_front(SenderOutput::Frame(cancel));
    }

    fn finish(&mut self, outcome: Outcome) {
        self.out.clear();
        self.stage.step(Step::Ended(outcome));
    }

    /// Ends, and tells the server where it may hold the upload.
    fn end_and_cancel(&mut self, outcome: Outcome) {
        self.finish(outcome);
        if self.link.quiet_since().is_some() && self.ref_use.may_be_held() {
            let upload = self.upload();
            self.out
                .push_back(SenderOutput::Frame(Frame::Cancel { upload }));
        }
    }

    /// Counts an attempt and returns its time; too many without progress end the upload.
    fn next_attempt(&mut self, pause: Duration, code: Option<Code>, now: Now) -> Option<Instant> {
        if !self.retries.attempt(&self.config) {
            self.finish(match self.stage {
                Stage::Cancelling => Outcome::Cancelled,
                Stage::Idle
                | Stage::Asking
                | Stage::Verifying { .. }
                | Stage::Sending { .. }
                | Stage::Checking { .. }
                | Stage::Completing
                | Stage::Waiting(_)
                | Stage::Done(_) => Outcome::Unreachable { code },
            });
            return None;
        }
        Some(now.after(jittered(pause, &self.config)))
    }

    /// Drops frames and questions about the file that the host has not taken yet.
    fn drop_frames(&mut self) {
        self.out.retain(|output| match output {
            SenderOutput::Frame(_) | SenderOutput::Read { .. } | SenderOutput::CheckFile { .. } => {
                false
            }
            SenderOutput::Connect
            | SenderOutput::Disconnect
            | SenderOutput::Message(_)
            | SenderOutput::NeedRef => true,
        });
    }

    /// A silence of the server begins anew.
    fn touch(&mut self, now: Now) {
        self.link.step(LinkEvent::Active(now.instant));
    }

    fn wake_at(&self) -> Option<Instant> {
        match self.stage {
            Stage::Waiting(Wake::At(at)) => Some(at),
            Stage::Waiting(Wake::Unpaused | Wake::Reconnected | Wake::FreshRef)
            | Stage::Idle
            | Stage::Asking
            | Stage::Verifying { .. }
            | Stage::Sending { .. }
            | Stage::Checking { .. }
            | Stage::Completing
            | Stage::Cancelling
            | Stage::Done(_) => None,
        }
    }

    /// An answer is owed while asking and completing, credit while sending, and the end of the
    /// connection where the next one is waited for.
    fn stall_deadline(&self) -> Option<Instant> {
        let is_owed = match self.stage {
            Stage::Asking | Stage::Completing | Stage::Waiting(Wake::Reconnected) => true,
            Stage::Sending { .. } => self.pace == Pace::Running && self.is_out_of_credit(),
            Stage::Idle
            | Stage::Verifying { .. }
            | Stage::Checking { .. }
            | Stage::Waiting(Wake::At(_) | Wake::Unpaused | Wake::FreshRef)
            | Stage::Cancelling
            | Stage::Done(_) => false,
        };
        let quiet_since = self.link.quiet_since().filter(|_| is_owed)?;
        Some(later(quiet_since, self.config.stall))
    }
}
