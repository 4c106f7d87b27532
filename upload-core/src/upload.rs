//! One upload on one connection: a writer, a record and a stay, and what moves them.
//!
//! Each of the three is a small machine with a file for itself (`writer`, `recorder`, `stay`). An
//! upload is their product: it lets each take the step that has become possible, in a fixed order
//! ([`Upload::advance`]). The modules of an upload:
//!
//! - `receiving`: bytes, a length, the end of the file;
//! - `saving`: what the record says, and what the store's answers mean;
//! - `waiting`: what is stored and waits for its application;
//! - `ending`: how it ends or leaves;
//! - `flush`: when its writer makes durable what it took;
//! - `cleanup`: what is removed after that.

// A new state has to be thought of everywhere.
#![deny(clippy::wildcard_enum_match_arm)]

pub(crate) mod cleanup;
pub(crate) mod ending;
pub(crate) mod flush;
pub(crate) mod head;
mod image;
pub(crate) mod keeper;
pub(crate) mod mark;
mod receiving;
pub(crate) mod recorder;
mod saving;
pub(crate) mod stay;
mod waiting;
pub(crate) mod writer;
mod writing;

pub use receiving::{Append, Declare, Finish};
pub(crate) use saving::renewal;

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use serde_json::Value;
use upload_proto::{Register, UploadRef};

use crate::{
    CheckpointChange, Entry, Fence, Length, Now, Order, Output, OwnerToken, Query, SessionConfig,
    SlotRules,
    crc::PrefixCrc,
    news::{Effects, News, Position, Subject},
};

use self::{
    head::Head,
    keeper::{Keeper, Known},
    recorder::Recorder,
    stay::Stay,
    writer::Writer,
};

/// What every step of an upload may look at and add to.
pub(crate) struct Context<'a> {
    pub(crate) effects: &'a mut Effects,
    pub(crate) config: &'a SessionConfig,
    pub(crate) now: Now,
    /// Whether a client is there.
    pub(crate) is_connected: bool,
}

/// How far the epoch of a record that is written anew is from that of the lost one. It is further than holders follow
/// each other unnoticed, and nearer than writers look back for files of earlier ones.
const EPOCHS_ANEW: u64 = 32;

/// Who holds an upload, and which one of its ref it is.
#[derive(Clone, Debug)]
pub(crate) struct Lineage {
    pub(crate) registration: Arc<str>,
    pub(crate) epoch: u64,
    pub(crate) client_id: Option<String>,
    pub(crate) created_unix_ms: u64,
    /// Until when a holder of another process may not have found out that it lost the upload to this one.
    pub(crate) rival_until: Option<Instant>,
}

impl Lineage {
    /// Returns what tells its writer and its record from another's.
    pub(crate) fn fence(&self) -> Fence {
        Fence {
            registration: Arc::clone(&self.registration),
            epoch: self.epoch,
        }
    }

    /// Has the record that is gone written anew, with a later epoch.
    ///
    /// A newer holder may have deleted it, and one between the two may not know yet. The holders to come must not
    /// have its epoch, since it would take their record for its own.
    pub(crate) fn begin_anew(&mut self, keeper: &mut Keeper) {
        if keeper.was_saved() {
            self.epoch = self.epoch.saturating_add(EPOCHS_ANEW);
        }
        keeper.adopt(None);
    }
}

/// What a writer needs to be reopened.
#[derive(Debug)]
pub(crate) enum Checkpoint {
    /// It told none.
    Absent,
    /// This, the so many-th of this holder.
    Present(Value, u32),
    /// It told one and has none any more: no record may tell of what became durable since.
    Lost,
}

impl Checkpoint {
    pub(crate) fn from(value: Option<Value>) -> Self {
        value.map_or(Self::Absent, |value| Self::Present(value, 0))
    }

    pub(crate) fn value(&self) -> Option<&Value> {
        match self {
            Self::Present(value, _) => Some(value),
            Self::Absent | Self::Lost => None,
        }
    }

    fn revision(&self) -> u32 {
        match self {
            Self::Present(_, revision) => *revision,
            Self::Absent | Self::Lost => 0,
        }
    }
}

/// One upload that this connection holds.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) entry: Entry,
    pub(crate) slot: Arc<SlotRules>,
    pub(crate) writer: Writer,
    pub(crate) recorder: Recorder,
    pub(crate) stay: Stay,
    /// Counts it among the owner's uploads; goes along when it is parked.
    pub(crate) token: Option<OwnerToken>,
    pub(crate) lineage: Lineage,
    pub(crate) crc: PrefixCrc,
    /// Offset up to which the writer took bytes.
    pub(crate) taken: u64,
    /// Offset up to which the writer made them durable.
    pub(crate) durable: u64,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) file_crc32c: Option<u32>,
    /// The first bytes of the file as the record has them, until what a writer made durable can be
    /// continued from.
    pub(crate) kept_head: Bytes,
}

impl Upload {
    /// Makes an upload of a registration that passed every check.
    pub(crate) fn registered(
        entry: Entry,
        slot: Arc<SlotRules>,
        token: OwnerToken,
        client_id: Option<String>,
        cx: &Context<'_>,
    ) -> Self {
        let holder = &cx.config.holder;
        let number = entry.id.0;
        let registration = format!("{}.{}.{number}", holder.boot, holder.session);
        let recorder = match entry.resumable {
            true => Recorder::Kept(Keeper::new(None, Known::ToUs)),
            false => Recorder::Off,
        };
        Self {
            entry,
            slot,
            writer: Writer::Claiming(Head::default()),
            recorder,
            stay: Stay::Held,
            token: Some(token),
            lineage: Lineage {
                registration: registration.into(),
                epoch: 1,
                client_id,
                created_unix_ms: cx.now.unix_ms,
                rival_until: None,
            },
            crc: PrefixCrc::from(0, cx.config.checksum.then_some(0)),
            taken: 0,
            durable: 0,
            checkpoint: Checkpoint::Absent,
            file_crc32c: None,
            kept_head: Bytes::new(),
        }
    }

    /// Asks the store: for a record, or whether there is one of this ref in another slot (CTRL-4).
    pub(crate) fn begin(&mut self, cx: &mut Context<'_>) {
        if self.recorder.keeper().is_some() {
            self.save_when_due(cx);
        } else if keeps_records(cx.config) {
            let upload = self.upload();
            let query = Query::Read { upload, slot: None };
            cx.effects.push(Output::Store(self.entry.id, query));
        } else {
            self.claimed(cx);
        }
    }

    /// Returns the client's ref.
    pub(crate) fn upload(&self) -> UploadRef {
        self.entry.upload
    }

    /// Returns how many bytes were received.
    pub(crate) fn received(&self) -> u64 {
        self.entry.bytes_received
    }

    /// Returns whether every byte of the file was received, as far as that is known.
    pub(super) fn is_whole(&self) -> bool {
        self.entry.length == Length::Known(self.received())
    }

    /// Lets every part take the step that has become possible.
    pub(crate) fn advance(&mut self, cx: &mut Context<'_>) {
        self.drop_record_when_lost(cx);
        self.inspect_when_ready(cx);
        self.close_when_ready(cx);
        self.leave_when_idle(cx);
        self.flush_when_due(cx);
        self.save_when_due(cx);
    }

    /// What reopening needs has changed, so the record has to as well.
    pub(crate) fn note_checkpoint(&mut self, change: CheckpointChange) {
        match change {
            CheckpointChange::New(new) if self.checkpoint.value() != Some(&new) => {
                if !matches!(self.checkpoint, Checkpoint::Lost) {
                    let revision = self.checkpoint.revision().saturating_add(1);
                    self.checkpoint = Checkpoint::Present(new, revision);
                }
            }
            CheckpointChange::Absent if self.checkpoint.value().is_some() => {
                self.checkpoint = Checkpoint::Lost;
                self.entry.resumable = false;
            }
            CheckpointChange::Same | CheckpointChange::New(_) | CheckpointChange::Absent => {}
        }
    }

    pub(crate) fn order(&self, order: Order, cx: &mut Context<'_>) {
        cx.effects.push(Output::Writer(self.entry.id, order));
    }

    pub(crate) fn write_all(&self, chunks: impl IntoIterator<Item = Bytes>, cx: &mut Context<'_>) {
        for data in chunks {
            self.order(Order::Write(data), cx);
        }
    }

    /// Returns how far it has come.
    pub(crate) fn position(&self) -> Position {
        Position {
            received: self.received(),
            taken: self.taken,
            durable: self.durable_known(),
        }
    }

    /// Returns what a door has to know of it.
    pub(crate) fn subject(&self) -> Box<Subject> {
        Box::new(Subject {
            entry: self.entry.clone(),
            slot: Arc::clone(&self.slot),
            at: self.position(),
            created_unix_ms: self.lineage.created_unix_ms,
        })
    }

    pub(crate) fn tell_moved(&self, cx: &mut Context<'_>) {
        if !self.stay.is_gone() {
            let at = self.position();
            cx.effects.news(self.entry.id, News::Moved(at));
        }
    }

    /// Returns whether it waits for nothing but its client's bytes.
    pub(crate) fn waits_for_client(&self) -> bool {
        self.stay == Stay::Held && matches!(self.writer, Writer::Gate(..) | Writer::Open(_))
    }

    /// Returns whether it is registered, so that a repeated registration can be answered.
    pub(crate) fn has_begun(&self) -> bool {
        !matches!(self.writer, Writer::Claiming(_))
    }

    /// Returns how many payload bytes no writer has taken.
    pub(crate) fn buffered(&self) -> u64 {
        match self.stay.is_gone() {
            true => 0,
            false => self.received().saturating_sub(self.taken),
        }
    }

    /// Returns how many bytes the gate looks at.
    pub(crate) fn head_bytes(&self) -> u64 {
        head_bytes(&self.slot, self.entry.length)
    }

    /// Returns whether nothing was received yet, so that its registration can be answered again (CTRL-4).
    pub(crate) fn is_untouched(&self) -> bool {
        !self.stay.is_gone() && self.stay.leaves().is_none() && self.received() == 0
    }

    /// Returns whether nothing was received yet and `other` asks for the very
    /// same (CTRL-4).
    pub(crate) fn is_same_registration(&self, other: &Register) -> bool {
        self.is_untouched()
            && *self.entry.slot == *other.upload_name
            && self.entry.client_name == other.client_name
            && self.entry.client_type == other.client_type
            && self.entry.length.known() == other.client_size
    }

    /// Returns when [`Upload::advance`] may have something to do by time alone.
    pub(crate) fn deadline(&self, config: &SessionConfig) -> Option<Instant> {
        match self.stay.is_gone() {
            true => None,
            false => {
                let deadlines = [self.save_deadline(config), self.flush_deadline()];
                deadlines.into_iter().flatten().min()
            }
        }
    }
}

/// Returns whether any slot keeps records.
pub(crate) fn keeps_records(config: &SessionConfig) -> bool {
    let mut slots = config.slots.values();
    slots.any(|slot| slot.resumable || slot.waits)
}

/// Returns how many bytes of a file the gate looks at.
pub(crate) fn head_bytes(slot: &SlotRules, length: Length) -> u64 {
    u64::from(slot.head_bytes).min(length.max())
}
