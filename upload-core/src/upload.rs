//! One upload on one connection: what it has, and what chunks do to it.
//!
//! The rooms beside this one: `writing` (verdicts and the writer), `keeping`
//! (the record), `leaving` (endings and detaching), `telling` (snapshots).

mod held;
mod keeping;
mod leaving;
mod telling;
mod writing;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde_json::Value;
use upload_proto::{Code, UploadRef};

use crate::{
    AbortReason, Entry, EntryId, Now, Output, OwnerToken, Phase, Record, RecordVersion,
    SessionConfig, SlotRules, Step,
    crc::Running,
    intake::{Intake, Taken},
    pulse::{Numbers, Pulse},
    saver::Saver,
    session::Outbox,
    time::later,
    window::Window,
};

use held::Held;
pub(crate) use leaving::Departure;
pub(crate) use telling::blank_resumed;
pub use telling::received_ranges;

/// What every step of an upload may look at and add to.
pub(crate) struct Context<'a> {
    pub(crate) out: &'a mut Outbox,
    pub(crate) config: &'a SessionConfig,
    pub(crate) now: Now,
}

/// One upload that this connection holds.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) entry: Entry,
    pub(crate) phase: Phase,
    /// Set once the upload is this connection's no more; the session takes it out.
    pub(crate) departure: Option<Departure>,
    slot: Arc<SlotRules>,
    client_id: Option<String>,
    /// Counts it among the owner's uploads; goes along when it is parked.
    token: Option<OwnerToken>,

    intake: Intake,
    crc: Running,
    window: Window,
    held: Held,
    /// Offset up to which the writer took bytes.
    written: u64,
    /// Offset up to which the writer made them durable.
    durable: u64,
    checkpoint: Option<Value>,
    /// The writer had a checkpoint and has none any more: no record may tell of
    /// what it made durable since.
    has_lost_checkpoint: bool,
    /// A complete frame was found right.
    finish: bool,
    /// What the application said about storing it.
    allowed: Allowed,
    /// The host has a writer of this upload.
    has_writer: bool,
    /// A writer was opened, now or before.
    opened: bool,

    saver: Saver,
    forgetting: Forgetting,
    /// What the writer of an ended upload is told once the record is gone.
    to_abort: Option<AbortReason>,
    epoch: u64,
    /// Which registration it began with.
    birth: Arc<str>,
    created_unix_ms: u64,
    file_crc32c: Option<u32>,
    /// An `upload_resumed` is owed; the request used `upload_id` or not.
    resuming: Option<Resuming>,
    /// The connection wants to let go of it, for this reason.
    leaving: Option<Option<Code>>,
    /// It ends like this once it is taken over and its writer is back.
    ending: Option<Ending>,

    pulse: Pulse,
    /// Highest durable offset ever announced on this attachment.
    durable_told: u64,
    active_at: Instant,
}

/// What a session gives an upload when it takes it in.
#[derive(Debug)]
pub(crate) struct Newcomer {
    pub(crate) entry: Entry,
    pub(crate) slot: Arc<SlotRules>,
    pub(crate) client_id: Option<String>,
    pub(crate) token: OwnerToken,
    /// Bytes the client may be ahead of the writer.
    pub(crate) window: u64,
}

/// How a resume was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resuming {
    pub(crate) by_upload_id: bool,
    /// How often the record was read for it.
    pub(crate) round: u32,
    /// The epoch the record had when it was read first; whoever raised it since
    /// asked later, also under the same client's name.
    pub(crate) seen_epoch: Option<u64>,
}

/// Whether a record is still to be deleted although the upload goes on without
/// one; until it is, the upload may have become another holder's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Forgetting {
    /// There is none.
    No,
    /// The store was asked to.
    Asked,
    /// The store did not, or nobody knows whether there is one.
    Failed,
}

/// An ending that waits.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Cancelled,
    Failed(Code, AbortReason),
}

/// What the application said about storing a file that is all here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Allowed {
    Unasked,
    Asked,
    Yes,
}

impl Upload {
    /// Takes a registration that passed every check.
    pub(crate) fn registered(newcomer: Newcomer, cx: &Context<'_>) -> Self {
        let saver = Saver::new(newcomer.entry.resumable, None);
        let crc = cx.config.checksum.then_some(0);
        let mut upload = Self::new(newcomer, saver, Running::from(0, crc), cx.now);
        if upload.saver.is_enabled() {
            let (holder, EntryId(number)) = (&cx.config.holder, upload.entry.id);
            upload.birth = format!("{}.{}.{number}", holder.boot, holder.session).into();
        }
        upload
    }

    /// Takes over an upload from its record.
    pub(crate) fn resumed(
        newcomer: Newcomer,
        (record, version): (Record, RecordVersion),
        resuming: Resuming,
        cx: &Context<'_>,
    ) -> Self {
        let mut saver = Saver::new(true, Some(version));
        if record.opened {
            saver.knows_writer();
        }
        // Within the head, what comes now need not be what was judged then.
        let head_bytes = u64::from(newcomer.slot.head_bytes).min(record.client_size);
        let is_judged = record.offset >= head_bytes;
        let (offset, crc) = match is_judged {
            true => (record.offset, record.crc32c),
            false => (0, Some(0)),
        };
        let crc = cx.config.checksum.then_some(crc).flatten();
        let crc = Running::from(offset, crc);
        let mut upload = Self::new(newcomer, saver, crc, cx.now);
        upload.continue_at(offset, offset);
        upload.checkpoint = record.checkpoint;
        upload.opened = record.opened;
        upload.epoch = record.epoch.saturating_add(1);
        upload.birth = record.birth.into();
        upload.created_unix_ms = record.created_unix_ms;
        upload.file_crc32c = record.file_crc32c;
        upload.resuming = Some(resuming);
        upload
    }

    fn new(newcomer: Newcomer, saver: Saver, crc: Running, now: Now) -> Self {
        let Newcomer {
            entry,
            slot,
            client_id,
            token,
            window,
        } = newcomer;
        let window = Window::new(window, slot.chunk_size, slot.head_bytes, 0);
        let told = Numbers {
            credit: window.credit(),
            ..Numbers::default()
        };
        Self {
            intake: Intake::from(0, slot.chunk_size, entry.client_size),
            phase: Phase::Claiming,
            departure: None,
            crc,
            window,
            held: Held::default(),
            written: 0,
            durable: 0,
            checkpoint: None,
            has_lost_checkpoint: false,
            finish: false,
            allowed: Allowed::Unasked,
            has_writer: false,
            opened: false,
            saver,
            forgetting: Forgetting::No,
            to_abort: None,
            epoch: 1,
            birth: Arc::default(),
            created_unix_ms: now.unix_ms,
            file_crc32c: None,
            resuming: None,
            leaving: None,
            ending: None,
            pulse: Pulse::new(told, now),
            durable_told: 0,
            active_at: now.instant,
            entry,
            slot,
            client_id,
            token: Some(token),
        }
    }

    /// Sets every counter to `received` bytes taken, `durable` of them durable.
    fn continue_at(&mut self, received: u64, durable: u64) {
        self.intake = Intake::from(received, self.slot.chunk_size, self.entry.client_size);
        self.entry.bytes_received = received;
        self.written = received;
        self.durable = durable;
        self.window.advance(received);
    }

    /// Returns who resumes, for another look at the record.
    pub(crate) fn resuming(&self) -> Option<(Resuming, Option<String>)> {
        self.resuming
            .map(|resuming| (resuming, self.client_id.clone()))
    }

    /// Returns the client's ref.
    pub(crate) fn upload(&self) -> UploadRef {
        self.entry.upload
    }

    /// Takes a chunk (PROTOCOL section 3).
    pub(crate) fn chunk(&mut self, index: u32, data: Bytes, cx: &mut Context<'_>) {
        if !self.takes_frames() || self.finish {
            return;
        }
        match self.intake.take(index, data.len()) {
            Taken::Next => self.append(data, cx),
            Taken::Again | Taken::Gap { first: false } => {}
            Taken::Gap { first: true } if cx.config.plain => {
                self.fail(Code::ChunkOutOfOrder, AbortReason::Cancelled, cx);
            }
            Taken::Gap { first: true } => self.tell_trouble(Code::ChunkOutOfOrder, cx),
            Taken::Excess => {
                let reason = AbortReason::SizeLimit(self.entry.client_size);
                self.fail(Code::SizeExceeded, reason, cx);
            }
        }
    }

    fn append(&mut self, data: Bytes, cx: &mut Context<'_>) {
        if data.is_empty() {
            return;
        }
        // What was here already, or comes too early, is no progress (CONN-3).
        self.active_at = cx.now.instant;
        self.crc.append(&data);
        self.entry.bytes_received = self.intake.received();
        if self.phase == Phase::Receiving {
            cx.out.push(Output::Write {
                entry: self.entry.id,
                data,
            });
        } else {
            self.held.push(data, self.slot.head_bytes);
            self.settle(cx);
        }
        self.tell_if_due(cx);
    }

    /// Takes a complete frame (PROTOCOL section 4).
    pub(crate) fn complete(&mut self, crc32c: Option<u32>, cx: &mut Context<'_>) {
        if !self.takes_frames() || self.finish {
            return;
        }
        self.active_at = cx.now.instant;
        if !self.intake.is_whole() {
            if cx.config.plain {
                self.fail(Code::Incomplete, AbortReason::Cancelled, cx);
            } else {
                self.tell_trouble(Code::Incomplete, cx);
            }
            return;
        }
        let ours = self.crc.end().crc;
        if crc32c.is_some() && ours.is_some() && crc32c != ours {
            self.fail(Code::ChecksumMismatch, AbortReason::ChecksumMismatch, cx);
            return;
        }
        self.finish = true;
        self.file_crc32c = ours;
        self.settle(cx);
    }

    /// Frames mean something from the registration on until the upload leaves;
    /// a resume is answered first.
    fn takes_frames(&self) -> bool {
        self.leaving.is_none() && self.resuming.is_none() && !self.phase.is_over()
    }

    /// Lets every part take the step that has become possible.
    fn settle(&mut self, cx: &mut Context<'_>) {
        self.forget_when_lost(cx);
        self.inspect_when_ready(cx);
        self.finish_when_ready(cx);
        self.leave_when_quiet(cx);
        self.save_when_due(cx);
    }

    /// Takes the step if the table knows it.
    fn step(&mut self, step: Step) -> bool {
        match self.phase.after(step) {
            Some(phase) => {
                self.phase = phase;
                true
            }
            None => false,
        }
    }

    /// Does what time alone makes due; nobody is idle while the host does not
    /// listen.
    pub(crate) fn tick(&mut self, listens: bool, cx: &mut Context<'_>) {
        let idle_at = self.idle_deadline(cx.config);
        if listens && idle_at.is_some_and(|at| at <= cx.now.instant) {
            self.idle(cx);
        }
        self.settle(cx);
        self.tell_if_due(cx);
    }

    /// Returns when [`Upload::tick`] may have something to do.
    pub(crate) fn deadline(
        &self,
        config: &SessionConfig,
        is_connected: bool,
        listens: bool,
    ) -> Option<Instant> {
        let tell = is_connected.then(|| self.tell_deadline(config)).flatten();
        let idle = listens.then(|| self.idle_deadline(config)).flatten();
        [idle, self.save_deadline(config), tell]
            .into_iter()
            .flatten()
            .min()
    }

    /// The host did not listen for the last `pause`.
    pub(crate) fn excuse(&mut self, pause: Duration, now: Now) {
        let active_at = self.active_at.checked_add(pause);
        self.active_at = active_at.map_or(now.instant, |at| at.min(now.instant));
    }

    /// CONN-3: a pause counts only while the client could send.
    fn idle_deadline(&self, config: &SessionConfig) -> Option<Instant> {
        let waits_for_client = matches!(self.phase, Phase::Holding | Phase::Receiving)
            && !self.finish
            && self.leaving.is_none()
            && self.has_credit();
        waits_for_client.then(|| later(self.active_at, config.limits.idle_upload))
    }

    /// Returns whether the client may send its next chunk whole, or has none left.
    fn has_credit(&self) -> bool {
        let received = self.intake.received();
        let rest = self.entry.client_size.saturating_sub(received);
        let next = rest.min(u64::from(self.slot.chunk_size));
        received.saturating_add(next) <= self.window.credit()
    }

    /// Returns whether the client ran past its credit (CREDIT-3).
    pub(crate) fn is_overrun(&self) -> bool {
        !self.phase.is_over() && self.intake.received() > self.window.credit()
    }

    /// Returns how many payload bytes no writer has taken.
    pub(crate) fn buffered(&self) -> u64 {
        if self.phase.is_over() {
            return 0;
        }
        self.intake.received().saturating_sub(self.written)
    }

    /// Returns how many payload bytes wait for more before they can be judged.
    pub(crate) fn gated(&self) -> u64 {
        match self.phase {
            Phase::Holding => self.held.bytes,
            _ => 0,
        }
    }

    /// Returns how many payload bytes wait for what the host does before a writer is open.
    pub(crate) fn opening(&self) -> u64 {
        match self.phase {
            Phase::Claiming | Phase::Inspecting | Phase::Opening => self.held.bytes,
            _ => 0,
        }
    }

    /// Resizes the window from the next grant on.
    pub(crate) fn resize_window(&mut self, bytes: u64) {
        self.window.resize(bytes);
    }

    /// Returns whether nothing was received yet and `other` asks for the very
    /// same (CTRL-4).
    pub(crate) fn is_same_registration(&self, other: &upload_proto::Register) -> bool {
        self.resuming.is_none()
            && self.leaving.is_none()
            && self.intake.received() == 0
            && *self.entry.slot == *other.upload_name
            && self.entry.client_name == other.client_name
            && self.entry.client_type == other.client_type
            && self.entry.client_size == other.client_size
    }
}
