//! When a session has to look at an upload again, and how many of its clients are past their credit.

use std::time::{Duration, Instant};

use crate::{EntryId, SessionLimits, timers::Timers, window::WindowSizes};

use super::channel::{Channel, Stage};

/// The alarms of all channels of a session.
#[derive(Debug)]
pub(super) struct Alarms {
    /// When progress is to be told.
    pub(super) tells: Timers<Instant>,
    /// When an upload is idle, on the clock that stops while the host does not read the socket.
    pub(super) idles: Timers<Duration>,
    /// Uploads whose client ran past its credit.
    overrun: usize,
}

impl Alarms {
    pub(super) fn new() -> Self {
        Self {
            tells: Timers::new(),
            idles: Timers::new(),
            overrun: 0,
        }
    }

    /// Returns whether any client is past its credit.
    pub(super) fn is_overrun(&self) -> bool {
        self.overrun > 0
    }

    /// Sets the alarms of a channel whose client may be told, and counts whether that is past its credit.
    pub(super) fn set(
        &mut self,
        entry: EntryId,
        channel: &mut Channel,
        limits: &SessionLimits,
        window: WindowSizes,
    ) {
        self.recount(channel);
        if channel.stage == Stage::Asked {
            return;
        }
        let size = channel.window_size(window);
        let interval = limits.snapshot_interval;
        if let Some(at) = channel.throttle.due_at(channel.numbers(), size, interval) {
            self.tells.arm(entry, at);
        }
        let idle_at = channel.active_at.saturating_add(limits.idle_upload);
        self.idles
            .arm(entry, idle_at.min(channel.pace.next(limits)));
    }

    /// Counts whether the client of a channel is past its credit.
    pub(super) fn recount(&mut self, channel: &mut Channel) {
        let (was, is) = channel.recount_overrun();
        self.overrun = self
            .overrun
            .saturating_sub(usize::from(was))
            .saturating_add(usize::from(is));
    }

    /// Forgets a channel.
    pub(super) fn forget(&mut self, entry: EntryId, channel: Option<&Channel>) {
        self.tells.disarm(entry);
        self.idles.disarm(entry);
        let was = channel.is_some_and(Channel::was_overrun);
        self.overrun = self.overrun.saturating_sub(usize::from(was));
    }

    /// Rings no more.
    pub(super) fn clear(&mut self) {
        self.tells = Timers::new();
        self.idles = Timers::new();
    }
}
