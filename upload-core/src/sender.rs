//! The client's side of one upload, as a state machine.
//!
//! ```text
//! Offline ──▶ Asking ──▶ Verifying ──▶ Sending ──▶ Completing ──▶ Done
//!    ▲          │            ▲            │             │
//!    └──────────┴── Waiting ◀┴────────────┴─────────────┘
//! ```
//!
//! `Asking` is a registration or a resume under way; `Verifying` reads the
//! file's prefix to compare its checksum before a byte is spliced (RESUME-6);
//! `Waiting` comes back to `Asking` at a time of its own. Any loss of the
//! connection leads to `Offline`.
//!
//! The rooms beside this one: `answers` (what the server says), `feed` (reading
//! the file and making frames).

mod answers;
mod feed;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use serde_json::{Map, Value};
use upload_proto::{ClientMessage, Code, Frame, Register, Resume, UploadRef};

use crate::{Now, crc::Running, time::later};

/// What is to be sent, and where.
#[derive(Clone, Debug)]
pub struct FileFacts {
    /// The ref to begin with.
    pub upload: UploadRef,
    /// Whether the server may know this ref from an earlier run.
    pub is_known: bool,
    /// The slot's name.
    pub slot: String,
    /// The file's name.
    pub name: String,
    /// Its MIME type, possibly empty.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
    /// Milliseconds since the Unix epoch.
    pub last_modified: Option<u64>,
    /// The path below a folder that is sent as a whole.
    pub relative_path: Option<String>,
    /// Anything the application on the other side wants to know.
    pub meta: Option<Map<String, Value>>,
    /// Names this tab or program, so that it may take over from itself (RESUME-4).
    pub client_id: Option<String>,
}

/// Times and bounds of a sender; every one has a default.
#[derive(Clone, Debug)]
pub struct SenderConfig {
    /// Reads of the file that are asked for at once.
    pub reads_max: usize,
    /// Longest silence while an answer is owed, before the connection is given up.
    pub stall: Duration,
    /// First pause before connecting again; doubled each time.
    pub backoff_min: Duration,
    /// Longest pause before connecting again.
    pub backoff_max: Duration,
    /// Connections, locks and restarts in a row without progress before giving up.
    pub attempts_max: u32,
    /// Added to each pause, in percent of it; draw it at random (0 to 50).
    pub jitter_percent: u32,
}

impl Default for SenderConfig {
    fn default() -> Self {
        Self {
            reads_max: 4,
            stall: Duration::from_secs(45),
            backoff_min: Duration::from_millis(250),
            backoff_max: Duration::from_secs(10),
            attempts_max: 12,
            jitter_percent: 0,
        }
    }
}

/// Where a sender stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SenderPhase {
    /// No connection.
    Offline,
    /// A registration or a resume is under way.
    Asking,
    /// The file's prefix is read and compared.
    Verifying,
    /// Chunks are sent.
    Sending,
    /// Everything is sent; the server puts the file away.
    Completing,
    /// The server asked to come back later.
    Waiting,
    /// Over; [`Sender::outcome`] tells how.
    Done,
}

/// How far an upload has come, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Where the sender stands.
    pub phase: SenderPhase,
    /// Handed to the socket.
    pub sent: u64,
    /// Taken by the server.
    pub received: u64,
    /// Safe on the server.
    pub durable: u64,
    /// The file's size.
    pub size: u64,
}

/// One effect for the host to carry out.
///
/// Carry out frames only as the socket takes them: what is not polled yet is
/// not read from the file either.
#[derive(Clone, Debug, PartialEq)]
pub enum SenderOutput {
    /// Connect; answer with [`Sender::handle_connected`] or
    /// [`Sender::handle_disconnected`].
    Connect,
    /// Drop the connection, it is dead; answer with [`Sender::handle_disconnected`].
    Disconnect,
    /// Send this text message.
    Message(ClientMessage),
    /// Send this binary message.
    Frame(Frame),
    /// Read from the file; answer with [`Sender::handle_data`].
    Read {
        /// Where, in bytes.
        offset: u64,
        /// How much, in bytes; fewer bytes mean that the file shrank.
        length: u32,
    },
    /// The upload begins anew and needs a fresh ref; answer with
    /// [`Sender::handle_ref`].
    NeedRef,
}

/// How an upload ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The server has the whole file.
    Complete {
        /// What the server's writer said of it.
        result: Value,
        /// CRC32C of the whole file as the server computed it, 8 hex digits.
        crc32c: Option<String>,
    },
    /// The server refused or gave up, with this code and text.
    Refused {
        /// Why.
        code: Code,
        /// The server's text for people.
        text: String,
    },
    /// Cancelled here.
    Cancelled,
    /// The file is not what it was when the upload began.
    FileChanged,
    /// No connection, or no progress, too many times in a row.
    Unreachable,
}

/// Sends one file: registers, keeps to its credit, goes back, resumes, ends.
///
/// Handles never fail. After each call drain [`Sender::poll_output`] and ask
/// [`Sender::poll_timeout`] anew.
#[derive(Debug)]
pub struct Sender {
    facts: FileFacts,
    config: SenderConfig,
    out: VecDeque<SenderOutput>,
    phase: SenderPhase,
    outcome: Option<Outcome>,
    is_connected: bool,
    is_paused: bool,
    /// The server restarts: nothing more is asked on this connection.
    drains: Option<Duration>,
    /// The server may hold something under this ref.
    is_known: bool,

    chunk_size: u32,
    credit: u64,
    /// Where the next chunk begins, and its index.
    next_index: u32,
    /// Checksum of everything before the next chunk.
    crc: Running,
    /// Where the next read begins.
    read_to: u64,
    reads: usize,
    /// Answers that may still come to reads that nobody waits for.
    stale_reads: usize,
    /// What a prefix must hash to before sending goes on.
    verify: Option<Verify>,

    received: u64,
    durable: u64,
    attempts: u32,
    heard_at: Instant,
    wake_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Verify {
    offset: u64,
    next_index: u64,
    crc32c: Option<u32>,
}

impl Sender {
    /// Begins; the first output is [`SenderOutput::Connect`].
    pub fn new(facts: FileFacts, config: SenderConfig, now: Now) -> Self {
        Self {
            is_known: facts.is_known,
            facts,
            config,
            out: VecDeque::from([SenderOutput::Connect]),
            phase: SenderPhase::Offline,
            outcome: None,
            is_connected: false,
            is_paused: false,
            drains: None,
            chunk_size: 0,
            credit: 0,
            next_index: 0,
            crc: Running::from(0, Some(0)),
            read_to: 0,
            reads: 0,
            stale_reads: 0,
            verify: None,
            received: 0,
            durable: 0,
            attempts: 0,
            heard_at: now.instant,
            wake_at: None,
        }
    }

    /// The connection is up and its subprotocol agreed.
    pub fn handle_connected(&mut self, now: Now) {
        if self.phase == SenderPhase::Done {
            return;
        }
        self.is_connected = true;
        self.drains = None;
        self.heard_at = now.instant;
        self.ask();
    }

    /// The connection is gone, or could not be made.
    pub fn handle_disconnected(&mut self, now: Now) {
        if self.phase == SenderPhase::Done {
            return;
        }
        self.is_connected = false;
        self.out.clear();
        self.stop_reading();
        // A registration whose answer was lost may have been heard.
        self.is_known |= self.phase == SenderPhase::Asking;
        // Even what is said not to be resumable is asked for again: the server may
        // have finished it, and only the server knows (COMPLETE-4).
        self.phase = SenderPhase::Offline;
        let pause = self.drains.take().unwrap_or_else(|| self.backoff());
        self.wait(pause, now);
    }

    /// A ref for an upload that begins anew.
    pub fn handle_ref(&mut self, upload: UploadRef) {
        if self.phase == SenderPhase::Done {
            return;
        }
        self.facts.upload = upload;
        self.forget_progress();
        if self.is_connected {
            self.ask();
        }
    }

    /// Does what time alone makes due.
    pub fn handle_timeout(&mut self, now: Now) {
        if self.wake_at.is_some_and(|at| at <= now.instant) {
            self.wake_at = None;
            match self.phase {
                SenderPhase::Offline => self.out.push_back(SenderOutput::Connect),
                SenderPhase::Waiting if self.is_connected => self.ask(),
                _ => {}
            }
        }
        if self.stall_deadline().is_some_and(|at| at <= now.instant) {
            self.heard_at = now.instant;
            self.out.push_back(SenderOutput::Disconnect);
        }
    }

    /// Returns when to call [`Sender::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.wake_at, self.stall_deadline()]
            .into_iter()
            .flatten()
            .min()
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
        self.is_paused = true;
    }

    /// Goes on after [`Sender::pause`].
    pub fn unpause(&mut self, now: Now) {
        self.is_paused = false;
        self.heard_at = now.instant;
        if self.phase == SenderPhase::Waiting && self.wake_at.is_none() && self.is_connected {
            self.ask();
        }
    }

    /// Gives up; where there is a connection the server is told.
    pub fn cancel(&mut self) {
        if self.phase == SenderPhase::Done {
            return;
        }
        self.finish(Outcome::Cancelled);
        if self.is_connected {
            self.out.push_back(SenderOutput::Frame(Frame::Cancel {
                upload: self.facts.upload,
            }));
        }
    }

    /// Returns how far it has come.
    pub fn progress(&self) -> Progress {
        Progress {
            phase: self.phase,
            sent: self.crc.end().offset,
            received: self.received,
            durable: self.durable,
            size: self.facts.size,
        }
    }

    /// Returns how it ended, once it has.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// Returns the present ref; keep it to resume in a later run.
    pub fn upload(&self) -> UploadRef {
        self.facts.upload
    }

    /// Registers, or resumes what the server may know.
    fn ask(&mut self) {
        self.stop_reading();
        self.wake_at = None;
        self.phase = SenderPhase::Asking;
        let message = if self.is_known {
            ClientMessage::Resume(Resume {
                upload: self.facts.upload,
                by_upload_id: false,
                offset: Some(self.durable),
                client_id: self.facts.client_id.clone(),
            })
        } else {
            ClientMessage::Register(Register {
                upload: self.facts.upload,
                upload_name: self.facts.slot.clone(),
                client_name: self.facts.name.clone(),
                client_type: self.facts.media_type.clone(),
                client_size: self.facts.size,
                resumable: None,
                client_id: self.facts.client_id.clone(),
                last_modified: self.facts.last_modified,
                relative_path: self.facts.relative_path.clone(),
                meta: self.facts.meta.clone(),
            })
        };
        self.out.push_back(SenderOutput::Message(message));
    }

    /// Begins anew under a fresh ref, unless that was tried too often.
    fn restart(&mut self, now: Now) {
        self.forget_progress();
        if self.try_again(now) {
            self.phase = SenderPhase::Waiting;
            self.wake_at = None;
            self.out.push_back(SenderOutput::NeedRef);
        }
    }

    fn forget_progress(&mut self) {
        self.stop_reading();
        self.is_known = false;
        self.crc = Running::from(0, Some(0));
        self.read_to = 0;
        self.next_index = 0;
        self.credit = 0;
        self.received = 0;
        self.durable = 0;
    }

    /// Waits in `Waiting` (or stays `Offline`) for `pause`.
    fn wait(&mut self, pause: Duration, now: Now) {
        if self.try_again(now) {
            let percent = self.config.jitter_percent.min(50).saturating_add(100);
            let pause = pause.saturating_mul(percent).checked_div(100);
            self.wake_at = Some(now.after(pause.unwrap_or(Duration::MAX)));
        }
    }

    /// Counts an attempt; too many without progress end the upload.
    fn try_again(&mut self, now: Now) -> bool {
        self.heard_at = now.instant;
        self.attempts = self.attempts.saturating_add(1);
        if self.attempts > self.config.attempts_max {
            self.finish(Outcome::Unreachable);
            return false;
        }
        true
    }

    fn backoff(&self) -> Duration {
        let doublings = self.attempts.min(16);
        self.config
            .backoff_min
            .saturating_mul(2_u32.saturating_pow(doublings))
            .min(self.config.backoff_max)
    }

    fn finish(&mut self, outcome: Outcome) {
        self.stop_reading();
        self.out.clear();
        self.phase = SenderPhase::Done;
        self.outcome = Some(outcome);
        self.wake_at = None;
    }

    /// An answer is owed while asking and completing, and credit while sending.
    fn stall_deadline(&self) -> Option<Instant> {
        let is_owed = match self.phase {
            SenderPhase::Asking | SenderPhase::Completing => true,
            SenderPhase::Sending => !self.is_paused && self.is_out_of_credit(),
            _ => false,
        };
        (self.is_connected && is_owed).then(|| later(self.heard_at, self.config.stall))
    }
}
