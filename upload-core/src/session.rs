//! One WebSocket connection: refs, chunk indices, credit, snapshots, codes.
//!
//! What it holds is a matter of [`Uploads`]; the session turns frames and messages into calls of
//! that room, and its news into messages. The rooms next to this one: `outbox` (what waits for the
//! host), `channel` (what a client knows of one upload), `alarms` (when to look at it again), `news`
//! (news and messages), `frames` (binary messages), `control` (control messages and the
//! application's side).

mod alarms;
pub(crate) mod channel;
pub(crate) mod control;
mod frames;
mod news;
mod outbox;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use upload_proto::{Code, ServerMessage, UploadRef};

use crate::{
    AbortReason, CallId, CloseReason, DisconnectReason, EntryId, Now, Output, SessionConfig,
    Uploads, door::OverUploads, endings::Endings, pace::Pace, uploads::Stage, window::WindowSizes,
};

use self::{alarms::Alarms, channel::Channel, outbox::Outbox};

/// The minute over which refusals are counted (CONN-4).
const REFUSAL_WINDOW: Duration = Duration::from_secs(60);

/// One connection: slots, entries, registration, resume, cancel, credit.
///
/// Handles never fail; misconduct of the peer becomes outputs. After each call
/// the host drains [`Session::poll_output`] and asks [`Session::poll_timeout`]
/// anew. What the host answers goes to the methods of [`crate::Door`].
#[derive(Debug)]
pub struct Session {
    uploads: Uploads,
    out: Outbox,
    channels: BTreeMap<EntryId, Channel>,
    /// What the client asked and was not answered yet.
    requests: BTreeMap<EntryId, Request>,
    endings: Endings,
    calls: BTreeMap<CallId, control::Call>,
    window: WindowSizes,
    alarms: Alarms,
    clock: Clock,
    first_message_by: Option<Instant>,
    refused: Refused,
}

/// What a client asked about an upload.
#[derive(Clone, Copy, Debug)]
enum Request {
    Register(UploadRef),
    Resume {
        upload: UploadRef,
        by_upload_id: bool,
        completes: Completes,
    },
    Receipt(UploadRef),
    Cancel(UploadRef),
    /// To remove a finished file that was not taken.
    Remove(UploadRef),
}

/// A complete frame that waits for the answer to a resume (COMPLETE-8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Completes {
    /// None came.
    No,
    /// One came, with the CRC32C of the file or without.
    With(Option<u32>),
}

/// The time during which the host read the socket.
#[derive(Debug)]
struct Clock {
    start: Instant,
    /// For how long it did not.
    paused: Duration,
    /// Since when it does not, if it does not.
    paused_since: Option<Instant>,
}

#[derive(Debug)]
struct Refused {
    since: Instant,
    count: u32,
}

impl Session {
    /// Opens a connection; the first output is `upload_configs`.
    pub fn new(config: SessionConfig, now: Now) -> Self {
        let limits = &config.limits;
        let mut session = Self {
            out: Outbox::default(),
            channels: BTreeMap::new(),
            requests: BTreeMap::new(),
            endings: Endings::new(limits.endings_kept),
            calls: BTreeMap::new(),
            window: WindowSizes {
                usual: limits.window_bytes,
                room: limits.largest_window(),
            },
            alarms: Alarms::new(),
            clock: Clock {
                start: now.instant,
                paused: Duration::ZERO,
                paused_since: None,
            },
            first_message_by: Some(now.after(limits.first_message)),
            refused: Refused {
                since: now.instant,
                count: 0,
            },
            uploads: Uploads::new(config),
        };
        session.announce_slots();
        session
    }

    /// Learns how large each upload's window may be (CREDIT-2), from the next grant on.
    pub fn handle_window(&mut self, bytes: u64) {
        self.window.room = bytes.min(self.uploads.config().limits.largest_window());
    }

    /// Learns whether the host reads the socket. While it does not, because it
    /// waits for room or because [`Session::wants_input`] says so, chunks may lie
    /// there unread, and no upload counts as idle (CONN-3).
    pub fn handle_listening(&mut self, listens: bool, now: Now) {
        let clock = &mut self.clock;
        if !listens {
            clock.paused_since.get_or_insert(now.instant);
        } else if let Some(since) = clock.paused_since.take() {
            clock.paused = clock.paused.saturating_add(now.since(since));
        }
    }

    /// The server restarts: tells the client to come back after
    /// `reconnect_after`, detaches what can be resumed, and closes
    /// with 1012 once nothing is left.
    pub fn handle_drain(&mut self, reconnect_after: Duration, now: Now) {
        if self.uploads.stage() != Stage::Open {
            return;
        }
        self.out.send(ServerMessage::Draining {
            reconnect_after_ms: u64::try_from(reconnect_after.as_millis()).unwrap_or(u64::MAX),
        });
        self.uploads.drain(now);
        self.after(now);
    }

    /// The socket is gone.
    pub fn handle_disconnect(&mut self, reason: DisconnectReason, now: Now) {
        if self.uploads.stage() != Stage::Gone {
            self.out.forget_messages();
            self.disconnected(reason, now);
        }
    }

    fn disconnected(&mut self, reason: DisconnectReason, now: Now) {
        self.out.disconnect();
        self.first_message_by = None;
        self.calls.clear();
        self.alarms.clear();
        self.uploads.disconnect(reason, now);
        self.relay(now);
    }

    /// Does what time alone makes due.
    pub fn handle_timeout(&mut self, now: Now) {
        if self.first_message_by.is_some_and(|by| by <= now.instant) {
            self.first_message_by = None;
            self.close(CloseReason::Idle, now);
        }
        if self.clock.paused_since.is_none() {
            for entry in self.alarms.idles.take_due(self.heard(now)) {
                self.idle_or_later(entry, now);
            }
        }
        self.uploads.handle_timeout(now);
        self.relay(now);
        for entry in self.alarms.tells.take_due(now.instant) {
            self.tell_if_due(entry, now);
        }
        self.after(now);
    }

    /// CONN-3: a pause counts only while the client could send.
    fn idle_or_later(&mut self, entry: EntryId, now: Now) {
        let limits = self.uploads.config().limits.clone();
        let limit = limits.idle_upload;
        let refusals = self.uploads.config().tally.refusals();
        let is_too_old = self.uploads.is_too_old(entry, now);
        let heard = self.heard(now);
        let Some(channel) = self.channels.get_mut(&entry) else {
            return;
        };
        let idle_at = channel.active_at.saturating_add(limit);
        let received = channel.numbers().received;
        let is_slow = channel.pace.is_too_slow(heard, received, refusals, &limits);
        if is_too_old {
            let (code, reason) = (Code::Expired, AbortReason::Expired);
            self.uploads.fail(entry, code, reason, now);
            self.relay(now);
        } else if idle_at > heard && !(is_slow && channel.has_credit()) {
            let idle_at = idle_at.min(channel.pace.next(&limits));
            self.alarms.idles.arm(entry, idle_at);
        } else if channel.has_credit() && self.uploads.waits_for_client(entry) {
            self.uploads.idle(entry, now);
            self.relay(now);
        } else {
            // It waits for something else; what it waits for counts as activity.
            channel.active_at = heard;
            self.alarms.idles.arm(entry, heard.saturating_add(limit));
        }
    }

    /// Returns the next effect to carry out. Poll until it returns `None` after
    /// every `handle_…` call.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop()
    }

    /// Returns when to call [`Session::handle_timeout`]. Ask again after every
    /// `handle_…` call.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let idle = match self.clock.paused_since {
            Some(_) => None,
            None => self.alarms.idles.next(),
        };
        let idle = idle.and_then(|at| {
            let since = at.saturating_add(self.clock.paused);
            self.clock.start.checked_add(since)
        });
        [
            idle,
            self.alarms.tells.next(),
            self.uploads.poll_timeout(),
            self.first_message_by,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Returns whether the socket should be read. It is false while a client
    /// that ignores credit is ahead of it (CREDIT-3).
    pub fn wants_input(&self) -> bool {
        self.is_reading() && !self.alarms.is_overrun()
    }

    /// Returns whether the connection is gone and nothing waits for an answer.
    pub fn is_finished(&self) -> bool {
        self.uploads.stage() == Stage::Gone && self.uploads.is_idle()
    }

    fn is_reading(&self) -> bool {
        self.uploads.stage() != Stage::Gone
    }

    /// Begins to look at how fast an upload comes.
    fn pace(&self, received: u64, now: Now) -> Pace {
        let refusals = self.uploads.config().tally.refusals();
        Pace::from(self.heard(now), received, refusals)
    }

    /// Returns for how long the socket was read.
    fn heard(&self, now: Now) -> Duration {
        let until = self.clock.paused_since.unwrap_or(now.instant);
        let since = until.saturating_duration_since(self.clock.start);
        since.saturating_sub(self.clock.paused)
    }

    /// Sets the alarms of a channel, and counts whether its client is past its credit.
    fn arm(&mut self, entry: EntryId) {
        let Some(channel) = self.channels.get_mut(&entry) else {
            return;
        };
        if self.out.is_connected() {
            let limits = &self.uploads.config().limits;
            self.alarms.set(entry, channel, limits, self.window);
        } else {
            self.alarms.recount(channel);
        }
    }

    fn drop_channel(&mut self, entry: EntryId) -> Option<Channel> {
        let channel = self.channels.remove(&entry);
        self.alarms.forget(entry, channel.as_ref());
        channel
    }

    fn after_input(&mut self, now: Now) {
        self.first_message_by = None;
        self.after(now);
    }

    /// Passes on the outputs of an input.
    fn after(&mut self, now: Now) {
        self.relay(now);
        self.count_refusals(now);
        if self.uploads.stage() == Stage::Draining && self.uploads.is_idle() {
            self.close(CloseReason::Restarting, now);
        }
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
        if self.refused.count > self.uploads.config().limits.max_refused_per_minute {
            self.close(CloseReason::Abusive, now);
        }
    }

    /// Closes the socket; from now on nothing is sent, as after its loss.
    fn close(&mut self, reason: CloseReason, now: Now) {
        if self.is_reading() {
            self.out.push(Output::Close(reason));
            self.disconnected(DisconnectReason::Lost, now);
        }
    }
}

impl OverUploads for Session {
    fn room(&self) -> &Uploads {
        &self.uploads
    }

    fn room_mut(&mut self) -> &mut Uploads {
        &mut self.uploads
    }

    fn pass_on(&mut self, now: Now) {
        self.after(now);
    }
}
