//! What a connection of any kind holds: uploads, and what is on its way to be one.
//!
//! A door begins an upload, reaches for one that exists, appends bytes, finishes, releases and
//! cancels; the host answers for writers, stores, the application and the other connections. What
//! becomes of it comes out as [`News`], and what the host is to do as [`Output`](crate::Output). There
//! is no index, JSON, credit or close code here: those are the door's. [`crate::Session`] is the
//! WebSocket's.
//!
//! The rooms next to this one: `offer` (registrations), `reach` (uploads that exist), `claim` and
//! `takeover` (how they become ours), `answers` (what the host answers), `view` (what
//! a door sees).

// A new state has to be thought of everywhere.
#![deny(clippy::wildcard_enum_match_arm)]

mod answers;
pub(crate) mod claim;
mod offer;
#[cfg(test)]
mod product;
pub(crate) mod reach;
mod takeover;
mod view;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use bytes::Bytes;
use upload_proto::{Code, UploadRef};

use crate::{
    AbortReason, Append, Declare, Effect, Entry, EntryId, Finish, News, Now, Position,
    SessionConfig, SessionLimits, Why,
    news::{Answer, Effects},
    time::millis,
    timers::Timers,
    upload::{Context, Upload, cleanup::Cleanup, keeps_records},
};

use self::{
    offer::Offer,
    reach::{Asks, Reach},
};

/// How far the connection itself has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Everything is taken.
    Open,
    /// The server restarts: nothing new begins here.
    Draining,
    /// The client is gone; uploads come to their ends.
    Gone,
}

/// Payload bytes of one upload, or of all, that no writer has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Weight {
    buffered: u64,
    gated: u64,
    opening: u64,
}

/// An upload, and what the sums have of it.
#[derive(Debug)]
struct Held {
    upload: Upload,
    weight: Weight,
}

/// All uploads of one connection.
///
/// Handles never fail. After each call, drain [`Uploads::poll`] and ask
/// [`Uploads::poll_timeout`] anew.
#[derive(Debug)]
pub struct Uploads {
    config: SessionConfig,
    stage: Stage,
    effects: Effects,
    last_id: u64,
    /// In boxes, since a map has room for more than it holds.
    held: BTreeMap<EntryId, Box<Held>>,
    reaches: BTreeMap<EntryId, Reach>,
    offers: BTreeMap<EntryId, Offer>,
    cleanups: BTreeMap<EntryId, Cleanup>,
    /// Which upload or reach a ref belongs to.
    refs: BTreeMap<UploadRef, EntryId>,
    /// Refs of registrations that are being decided.
    offered: BTreeSet<UploadRef>,
    /// Which of them waits for a cancel of its ref.
    behind: BTreeMap<UploadRef, EntryId>,
    /// Complete and not yet consumed (CTRL-3).
    completed: BTreeMap<UploadRef, Entry>,
    /// Uploads in flight, and complete ones, of each slot.
    counts: BTreeMap<Arc<str>, usize>,
    timers: Timers<Instant>,
    sum: Weight,
}

impl Uploads {
    /// Makes the room of a connection that holds nothing yet.
    pub fn new(config: SessionConfig) -> Self {
        Self {
            config,
            stage: Stage::Open,
            effects: Effects::default(),
            last_id: 0,
            held: BTreeMap::new(),
            reaches: BTreeMap::new(),
            offers: BTreeMap::new(),
            cleanups: BTreeMap::new(),
            refs: BTreeMap::new(),
            offered: BTreeSet::new(),
            behind: BTreeMap::new(),
            completed: BTreeMap::new(),
            counts: BTreeMap::new(),
            timers: Timers::new(),
            sum: Weight::default(),
        }
    }

    /// Returns the configuration of the connection.
    pub fn config(&self) -> &SessionConfig {
        &self.config
    }

    #[cfg(test)]
    fn all(&self) -> impl Iterator<Item = &Upload> {
        self.held.values().map(|held| &held.upload)
    }

    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    /// Returns the next thing to do or to tell.
    pub fn poll(&mut self) -> Option<Effect> {
        self.effects.pop()
    }

    pub(crate) fn next_id(&mut self) -> EntryId {
        self.last_id = self.last_id.wrapping_add(1);
        EntryId(self.last_id)
    }

    /// Reaches for an upload that exists. The answer is [`News::Continued`], [`News::Answered`], or
    /// what became of the upload.
    pub fn reach(&mut self, upload: UploadRef, asks: Asks, now: Now) -> EntryId {
        let entry = self.next_id();
        let is_used = self.refs.contains_key(&upload) || self.offered.contains(&upload);
        let answer = if is_used {
            Some(Answer::Locked(0))
        } else if !keeps_records(&self.config) || upload.is_nil() {
            Some(Answer::NotFound)
        } else if self.stage != Stage::Open && matches!(asks, Asks::Continue(_)) {
            Some(Answer::Refused(Code::Draining.into()))
        } else if self.reaches.len() >= self.config.limits.pending_max {
            Some(Answer::Refused(Code::RateLimited.into()))
        } else {
            None
        };
        if let Some(answer) = answer {
            self.effects.news(entry, News::Answered(answer));
            return entry;
        }
        let mut reach = Reach::new(upload, asks);
        reach.read(entry, reach::Cleared::Nothing, &mut self.context(now));
        self.refs.insert(upload, entry);
        self.reaches.insert(entry, reach);
        entry
    }

    /// Appends bytes at an offset. They are taken only where that is the end of what was received.
    pub fn append(&mut self, entry: EntryId, at: u64, data: Bytes, now: Now) -> Append {
        self.with(entry, now, |upload, cx| upload.append(at, data, cx))
            .unwrap_or(Append::Ignored)
    }

    /// Appends bytes behind what was received; returns also how far the upload has come then.
    pub(crate) fn append_next(
        &mut self,
        entry: EntryId,
        data: Bytes,
        now: Now,
    ) -> (Append, Position) {
        let appended = self.with(entry, now, |upload, cx| {
            let appended = upload.append(upload.received(), data, cx);
            (appended, upload.position())
        });
        appended.unwrap_or((Append::Ignored, Position::default()))
    }

    /// Declares how long the file of an upload is that began without a length.
    pub fn declare(&mut self, entry: EntryId, bytes: u64, now: Now) -> Declare {
        self.with(entry, now, |upload, cx| upload.declare(bytes, cx))
            .unwrap_or(Declare::Ignored)
    }

    /// Has the file of an upload be whole with its last byte, however it began.
    pub(crate) fn end_at_length(&mut self, entry: EntryId) {
        if let Some(held) = self.held.get_mut(&entry) {
            held.upload.entry.ends_by_word = false;
        }
    }

    /// Ends an upload's file. A length that was not known is then what was received.
    pub fn finish(&mut self, entry: EntryId, crc32c: Option<u32>, now: Now) -> Finish {
        self.with(entry, now, |upload, cx| upload.finish(crc32c, cx))
            .unwrap_or(Finish::Ignored)
    }

    /// Lets go of an upload so that it can be resumed; one that can not be ends.
    pub fn release(&mut self, entry: EntryId, why: Why, now: Now) {
        self.with(entry, now, |upload, cx| {
            if upload.can_be_resumed() {
                upload.detach(why, cx);
            } else {
                let code = why.code().unwrap_or(Code::SessionClosed);
                upload.fail(code, AbortReason::SessionClosed, cx);
            }
        });
    }

    /// Cancels an upload that this connection holds or takes over. Returns whether it is not too
    /// late: a file that is being closed goes to its end.
    pub fn cancel(&mut self, entry: EntryId, now: Now) -> bool {
        if let Some(reach) = self.reaches.get_mut(&entry) {
            reach.cancel();
            return true;
        }
        self.with(entry, now, Upload::cancel).unwrap_or(false)
    }

    /// Ends an upload with a code, unless it is too late: a file that is being closed goes to its end. An abort would
    /// come behind the close, and its record would be gone before that.
    pub fn fail(&mut self, entry: EntryId, code: Code, reason: AbortReason, now: Now) {
        self.with(entry, now, |upload, cx| {
            if !upload.writer.closes() {
                upload.fail(code, reason, cx);
            }
        });
    }

    /// Returns whether an upload is unfinished for longer than one may be.
    pub(crate) fn is_too_old(&self, entry: EntryId, now: Now) -> bool {
        let held = self.held.get(&entry);
        held.is_some_and(|held| {
            let created = held.upload.lineage.created_unix_ms;
            is_too_old(created, &self.config.limits, now)
        })
    }

    /// No bytes came for too long although they could.
    pub(crate) fn idle(&mut self, entry: EntryId, now: Now) {
        self.with(entry, now, |upload, cx| {
            if upload.waits_for_client() {
                upload.idle(cx);
            }
        });
    }

    fn context(&mut self, now: Now) -> Context<'_> {
        Context {
            effects: &mut self.effects,
            config: &self.config,
            now,
            is_connected: self.stage != Stage::Gone,
        }
    }

    fn ids(&self) -> Vec<EntryId> {
        self.held
            .keys()
            .chain(self.reaches.keys())
            .copied()
            .collect()
    }

    fn hold(&mut self, upload: Upload) {
        let entry = upload.entry.id;
        self.refs.insert(upload.upload(), entry);
        self.count_up(&upload.entry.slot);
        let weight = Weight::default();
        self.held.insert(entry, Box::new(Held { upload, weight }));
    }

    /// Runs `act` on an upload, keeps sums and alarms, and takes it out if it left.
    fn with<T>(
        &mut self,
        entry: EntryId,
        now: Now,
        act: impl FnOnce(&mut Upload, &mut Context<'_>) -> T,
    ) -> Option<T> {
        let held = self.held.get_mut(&entry)?;
        let mut cx = Context {
            effects: &mut self.effects,
            config: &self.config,
            now,
            is_connected: self.stage != Stage::Gone,
        };
        let result = act(&mut held.upload, &mut cx);
        let is_gone = held.upload.stay.is_gone();
        let weight = match is_gone {
            true => Weight::default(),
            false => Weight {
                buffered: held.upload.buffered(),
                gated: held.upload.writer.gated(),
                opening: held.upload.writer.opening(),
            },
        };
        let before = std::mem::replace(&mut held.weight, weight);
        self.sum.replace(before, weight);
        if is_gone {
            self.take_out(entry, now);
        } else if let Some(at) = held.upload.deadline(&self.config) {
            self.timers.arm(entry, at);
        }
        Some(result)
    }

    fn arm(&mut self, entry: EntryId) {
        let at = match self.held.get(&entry) {
            Some(held) => held.upload.deadline(&self.config),
            None => {
                let reach = self.reaches.get(&entry);
                reach.and_then(|reach| reach.deadline(&self.config))
            }
        };
        if let Some(at) = at {
            self.timers.arm(entry, at);
        }
    }

    fn take_out(&mut self, entry: EntryId, now: Now) {
        let Some(mut held) = self.held.remove(&entry) else {
            return;
        };
        let upload = held.upload.upload();
        self.timers.disarm(entry);
        self.clean_up(&mut held.upload, now);
        let entry = held.upload.entry;
        let slot = self.config.slots.get(&*entry.slot);
        let consumes = slot.is_none_or(|slot| slot.consume_on_complete);
        if entry.is_complete() && !consumes {
            self.completed.insert(upload, entry);
        } else {
            self.uncount(&entry.slot);
        }
        self.free(upload, now);
    }

    fn clean_up(&mut self, upload: &mut Upload, now: Now) {
        let entry = upload.entry.id;
        if let Some((mut cleanup, standing)) = upload.cleanup(&self.config.limits, now) {
            cleanup.begin(entry, standing, &mut self.effects);
            self.cleanups.insert(entry, cleanup);
        }
    }
}

impl Weight {
    fn replace(&mut self, before: Self, after: Self) {
        let each =
            |sum: u64, before: u64, after: u64| sum.saturating_sub(before).saturating_add(after);
        self.buffered = each(self.buffered, before.buffered, after.buffered);
        self.gated = each(self.gated, before.gated, after.gated);
        self.opening = each(self.opening, before.opening, after.opening);
    }
}

/// Returns whether an upload of this age is unfinished for longer than one may be.
pub(crate) fn is_too_old(created_unix_ms: u64, limits: &SessionLimits, now: Now) -> bool {
    let age = now.unix_ms.saturating_sub(created_unix_ms);
    limits.unfinished_max.is_some_and(|most| age > millis(most))
}
