//! One connection and the uploads it carries.
//!
//! The rooms beside this one: `outbox` (what waits for the host), `register`
//! (registrations), `resume` (records that are looked up), `control` (control
//! messages and the application's side).

mod control;
mod outbox;
mod register;
mod resume;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use upload_proto::{Code, ErrorMessage, Frame, FrameError, ServerMessage, UploadRef, close};

use crate::{
    DisconnectReason, Entry, EntryId, Now, Output, SessionConfig, StoreEvent, Verdict, WriterEvent,
    endings::Endings,
    undoing::Undoing,
    upload::{Context, Departure, Upload},
};

pub(crate) use outbox::Outbox;

/// The minute over which refusals are counted (CONN-4).
const REFUSAL_WINDOW: Duration = Duration::from_secs(60);

/// One connection: slots, entries, registration, resume, cancel, credit.
///
/// Handles never fail; misconduct of the peer becomes outputs. After each call
/// the host drains [`Session::poll_output`] and asks [`Session::poll_timeout`]
/// anew.
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    out: Outbox,
    /// In boxes, since a map has room for more than it holds.
    uploads: BTreeMap<UploadRef, Box<Upload>>,
    ids: BTreeMap<EntryId, UploadRef>,
    last_id: u64,
    /// Complete and not yet consumed (CTRL-3).
    completed: Vec<Entry>,
    endings: Endings,
    waiting: BTreeMap<EntryId, register::Waiting>,
    lookups: BTreeMap<EntryId, resume::Lookup>,
    /// Ended uploads whose record is not known to be gone.
    undoing: BTreeMap<EntryId, Undoing>,
    calls: BTreeMap<crate::CallId, control::Call>,
    window: u64,
    first_message_by: Option<Instant>,
    /// Since when the host does not read the socket, if it does not.
    deaf_since: Option<Instant>,
    refused: Refused,
    stage: Stage,
}

/// How far the connection itself has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// The server restarts: nothing new begins here.
    Draining,
    /// The host was told to close the socket.
    Closing,
    /// The socket is gone; uploads come to rest.
    Gone,
}

#[derive(Debug)]
struct Refused {
    since: Instant,
    count: u32,
}

impl Session {
    /// Opens a connection; the first output is `upload_configs`.
    pub fn new(config: SessionConfig, now: Now) -> Self {
        let mut session = Self {
            out: Outbox::default(),
            uploads: BTreeMap::new(),
            ids: BTreeMap::new(),
            last_id: 0,
            completed: Vec::new(),
            endings: Endings::new(config.limits.endings_kept),
            waiting: BTreeMap::new(),
            lookups: BTreeMap::new(),
            undoing: BTreeMap::new(),
            calls: BTreeMap::new(),
            window: config.limits.window_bytes,
            first_message_by: Some(now.after(config.limits.first_message)),
            deaf_since: None,
            refused: Refused {
                since: now.instant,
                count: 0,
            },
            stage: Stage::Open,
            config,
        };
        session.announce_slots();
        session
    }

    /// Takes a binary message (PROTOCOL sections 2 to 4).
    pub fn handle_frame(&mut self, frame: Result<Frame, FrameError>, now: Now) {
        if !self.hears() {
            return;
        }
        match frame {
            Ok(Frame::Chunk {
                upload,
                index,
                data,
            }) => {
                let known = self.with_upload(upload, now, |held, cx| held.chunk(index, data, cx));
                // CHUNK-7: late frames of an upload that ended are dropped.
                if !known && self.endings.of(upload).is_none() {
                    self.refuse(Code::UnknownRef, Some(upload));
                }
            }
            Ok(Frame::Complete { upload, crc32c }) => {
                if !self.with_upload(upload, now, |held, cx| held.complete(crc32c, cx)) {
                    self.complete_again(upload);
                }
            }
            Ok(Frame::Cancel { upload }) => {
                let known = self.with_upload(upload, now, |held, cx| {
                    held.cancel(cx);
                });
                if !known && !self.repeat_ending(upload) {
                    self.refuse(Code::UnknownRef, Some(upload));
                }
            }
            Err(error) => self.refuse(Code::BadFrame, error.upload),
        }
        self.after_input(now);
    }

    /// Learns what the content check found.
    pub fn handle_verdict(&mut self, entry: EntryId, verdict: Verdict, now: Now) {
        self.with_entry(entry, now, |held, cx| held.verdict(verdict, cx));
        self.after_answer();
    }

    /// Learns what a writer did.
    pub fn handle_writer(&mut self, entry: EntryId, event: WriterEvent, now: Now) {
        self.with_entry(entry, now, |held, cx| held.writer(event, cx));
        self.after_answer();
    }

    /// Learns what the store did.
    pub fn handle_store(&mut self, entry: EntryId, event: StoreEvent, now: Now) {
        if self.ids.contains_key(&entry) {
            self.with_entry(entry, now, |held, cx| held.store(event, cx));
        } else if let Some(undoing) = self.undoing.get_mut(&entry) {
            if undoing.store(entry, event, &self.config.holder, &mut self.out) {
                self.undoing.remove(&entry);
            }
        } else {
            self.handle_lookup(entry, event, now);
        }
        self.after_answer();
    }

    /// Gives up an upload that another connection of this process takes over
    /// (RESUME-4); [`crate::Event::Left`] tells when.
    pub fn handle_evict(&mut self, upload: UploadRef, now: Now) {
        self.with_upload(upload, now, |held, cx| held.evict(cx));
        self.after_answer();
    }

    /// Learns how large each upload's window may be (CREDIT-2).
    pub fn handle_window(&mut self, bytes: u64) {
        self.window = bytes.min(self.config.limits.window_bytes);
        for held in self.uploads.values_mut() {
            held.resize_window(self.window);
        }
    }

    /// Learns whether the host reads the socket. While it does not, because it
    /// waits for room or because [`Session::wants_input`] says so, chunks may lie
    /// there unread, and no upload counts as idle (CONN-3).
    pub fn handle_listening(&mut self, listens: bool, now: Now) {
        if !listens {
            self.deaf_since.get_or_insert(now.instant);
        } else if let Some(since) = self.deaf_since.take() {
            let pause = now.since(since);
            for held in self.uploads.values_mut() {
                held.excuse(pause, now);
            }
        }
    }

    /// The server restarts: tells the client to come back after
    /// `reconnect_after`, detaches what can be resumed, and disconnects with
    /// 1012 once nothing is left.
    pub fn handle_drain(&mut self, reconnect_after: Duration, now: Now) {
        if self.stage != Stage::Open {
            return;
        }
        self.stage = Stage::Draining;
        self.out.send(ServerMessage::Draining {
            reconnect_after_ms: u64::try_from(reconnect_after.as_millis()).unwrap_or(u64::MAX),
        });
        self.for_each(now, |held, cx| {
            if held.entry.resumable {
                held.detach(Some(Code::Draining), cx);
            }
        });
        self.after_answer();
    }

    /// The socket is gone.
    pub fn handle_disconnect(&mut self, reason: DisconnectReason, now: Now) {
        if self.stage == Stage::Gone {
            return;
        }
        self.stage = Stage::Gone;
        self.out.disconnect();
        self.first_message_by = None;
        self.waiting.clear();
        self.lookups.clear();
        self.calls.clear();
        let slots = self.config.slots.clone();
        self.for_each(now, |held, cx| {
            let keeps = slots
                .get(&*held.entry.slot)
                .is_some_and(|slot| slot.keep_on_leave);
            held.disconnected(reason == DisconnectReason::Lost || keeps, cx);
        });
    }

    /// Does what time alone makes due.
    pub fn handle_timeout(&mut self, now: Now) {
        if self.first_message_by.is_some_and(|by| by <= now.instant) {
            self.first_message_by = None;
            self.close(close::IDLE);
        }
        let listens = self.deaf_since.is_none();
        self.for_each(now, |held, cx| held.tick(listens, cx));
        self.after_answer();
    }

    /// Returns the next effect to carry out. Poll until it returns `None` after
    /// every `handle_…` call.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop()
    }

    /// Returns when to call [`Session::handle_timeout`]. Ask again after every
    /// `handle_…` call.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let listens = self.deaf_since.is_none();
        self.uploads
            .values()
            .filter_map(|held| held.deadline(&self.config, self.out.is_connected(), listens))
            .chain(self.first_message_by)
            .min()
    }

    /// Returns whether the socket should be read. It is false while a client
    /// that ignores credit is ahead of it (CREDIT-3).
    pub fn wants_input(&self) -> bool {
        self.hears() && !self.uploads.values().any(|held| held.is_overrun())
    }

    /// Returns whether the connection is gone and nothing waits for an answer.
    pub fn is_finished(&self) -> bool {
        self.stage == Stage::Gone && self.uploads.is_empty() && self.undoing.is_empty()
    }

    /// Returns the payload bytes of this session that no writer has taken.
    pub fn buffered(&self) -> u64 {
        self.uploads.values().map(|held| held.buffered()).sum()
    }

    /// Returns how many of the [`Session::buffered`] bytes wait in content gates
    /// for more of their files: no writer can take them before more is read.
    pub fn gated(&self) -> u64 {
        self.uploads.values().map(|held| held.gated()).sum()
    }

    /// Returns how many of the [`Session::buffered`] bytes wait for their upload's record,
    /// verdict or writer. A host may delay reading for them: it answers all of that without
    /// another byte.
    pub fn opening(&self) -> u64 {
        self.uploads.values().map(|held| held.opening()).sum()
    }

    fn hears(&self) -> bool {
        matches!(self.stage, Stage::Open | Stage::Draining)
    }

    /// Runs `act` on an upload and takes it out if it left. Returns whether
    /// this connection holds it.
    fn with_upload(
        &mut self,
        upload: UploadRef,
        now: Now,
        act: impl FnOnce(&mut Upload, &mut Context<'_>),
    ) -> bool {
        let Some(held) = self.uploads.get_mut(&upload) else {
            return false;
        };
        let mut cx = Context {
            out: &mut self.out,
            config: &self.config,
            now,
        };
        act(held, &mut cx);
        if held.departure.is_some() {
            self.take_out(upload);
        }
        true
    }

    fn with_entry(
        &mut self,
        entry: EntryId,
        now: Now,
        act: impl FnOnce(&mut Upload, &mut Context<'_>),
    ) {
        if let Some(upload) = self.ids.get(&entry).copied() {
            self.with_upload(upload, now, act);
        }
    }

    fn for_each(&mut self, now: Now, mut act: impl FnMut(&mut Upload, &mut Context<'_>)) {
        let refs: Vec<_> = self.uploads.keys().copied().collect();
        for upload in refs {
            self.with_upload(upload, now, &mut act);
        }
    }

    /// Makes room for a new entry and begins it.
    fn hold(&mut self, held: Upload, now: Now) {
        let upload = held.upload();
        self.endings.forget(upload);
        self.ids.insert(held.entry.id, upload);
        self.uploads.insert(upload, Box::new(held));
        self.with_upload(upload, now, |held, cx| held.begin(cx));
    }

    fn take_out(&mut self, upload: UploadRef) {
        let Some(held) = self.uploads.remove(&upload) else {
            return;
        };
        self.ids.remove(&held.entry.id);
        if let Some((mut undoing, standing)) = held.undoing() {
            undoing.begin(held.entry.id, standing, &mut self.out);
            self.undoing.insert(held.entry.id, undoing);
        }
        match &held.departure {
            Some(Departure::Ended(snapshot) | Departure::Detached(snapshot)) => {
                self.endings.remember((**snapshot).clone());
            }
            Some(Departure::Again) => self.look_again(&held),
            Some(Departure::Refused) | None => {}
        }
        self.keep_if_complete(held.entry);
    }

    fn next_id(&mut self) -> EntryId {
        self.last_id = self.last_id.wrapping_add(1);
        EntryId(self.last_id)
    }

    /// Answers trouble that is not about an upload of this connection.
    fn refuse(&mut self, code: Code, upload: Option<UploadRef>) {
        self.out.refuse(code, upload);
        self.out
            .send(ServerMessage::Error(ErrorMessage::new(code, upload)));
    }

    /// COMPLETE-6: tells the ending again, if it is remembered.
    fn repeat_ending(&mut self, upload: UploadRef) -> bool {
        let Some(ending) = self.endings.of(upload) else {
            return false;
        };
        let again = ServerMessage::Progress(Box::new(ending.clone()));
        self.out.send(again);
        true
    }

    fn after_input(&mut self, now: Now) {
        self.first_message_by = None;
        self.count_refusals(now);
        self.after_answer();
    }

    /// CONN-4: a peer that keeps sending what is refused is sent away.
    fn count_refusals(&mut self, now: Now) {
        let refusals = self.out.take_refusals();
        if refusals == 0 {
            return;
        }
        if now.since(self.refused.since) >= REFUSAL_WINDOW {
            self.refused = Refused {
                since: now.instant,
                count: 0,
            };
        }
        self.refused.count = self.refused.count.saturating_add(refusals);
        if self.refused.count > self.config.limits.max_refused_per_minute {
            self.close(close::ABUSIVE);
        }
    }

    fn after_answer(&mut self) {
        if self.stage == Stage::Draining && self.uploads.is_empty() && self.undoing.is_empty() {
            self.close(close::RESTARTING);
        }
    }

    fn close(&mut self, code: u16) {
        if self.hears() {
            self.stage = Stage::Closing;
            self.out.push(Output::Disconnect { code });
        }
    }
}
