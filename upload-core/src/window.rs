//! Credit: how far a client may send (PROTOCOL section 7).
//!
//! A window is as large as a link of 20 ms round trip needs.
//! Over a longer one it limits the upload, which shows as four events in this order: more credit is sent, the client
//! uses up what it had, nothing arrives for a while, the first byte of the new credit arrives.
//! Then the window grows, as long as the writer keeps up and memory has room.
//! It is of the usual size again once a writer was behind for a while.

use std::time::Duration;

/// How many times larger a window becomes that is too small for its link.
///
/// A link whose capacity is still being found doubles what is in flight in each round trip, and a window grows
/// once in two.
const GROWTH: u64 = 4;

/// The shortest time from telling credit to the first byte that uses it for which a window grows.
///
/// 4 MiB in 20 ms are 1.7 Gbit/s. What a busy machine does in less is no property of the link: eight clients at
/// full speed take as long for a window.
const ROUND_TRIP_MIN: Duration = Duration::from_millis(20);

/// How long the shortest round trip counts: links change.
const ROUND_TRIPS_FOR: Duration = Duration::from_secs(10);

/// A client that waited for one part in this many of that time waited for credit.
///
/// Credit is sent in quarters, so a window that is a little too small shows as several short pauses.
/// A steady client of any speed pauses for one chunk in the 48 of three quarters of a window.
const WAIT_PART: u32 = 32;

/// So does one where nothing came for one part in this many of that time at once.
///
/// Behind a lost segment what was sent meanwhile comes in one piece, the first byte of the new credit in its midst. A
/// link that loses segments needs a window of several round trips.
const STALL_PART: u32 = 8;

/// How long more than a usual window may wait for its writer before a window that has grown is of the usual size again.
///
/// Behind a lost segment a round trip of bytes comes at once, and no writer takes that in the same moment.
const BEHIND_MAX: Duration = Duration::from_millis(200);

/// How long such a window does not grow again.
const KEPT_SMALL: Duration = Duration::from_secs(10);

/// How large windows may be, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WindowSizes {
    /// Before one grows.
    pub(crate) usual: u64,
    /// What memory has room for now.
    pub(crate) room: u64,
}

/// The absolute offset granted to a client, like QUIC's `MAX_STREAM_DATA`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    credit: u64,
    floor: u64,
    /// What the link needs, as far as it is known.
    needed: u64,
    /// When bytes came last.
    came_at: Duration,
    /// Since when more than a usual window waits for the writer.
    behind_since: Option<Duration>,
    /// When it may grow.
    grows_from: Duration,
    told: Option<Told>,
    /// The shortest round trips of late.
    round_trips: RoundTrips,
    /// The first credit of the present size: how the client fares with less says nothing of this size.
    grown_to: u64,
}

/// The shortest times from telling credit to the first byte that used it.
///
/// Whatever a busy machine adds to one of them, no link is longer than the shortest.
#[derive(Clone, Copy, Debug, Default)]
struct RoundTrips {
    /// Since when `recent` is counted.
    since: Duration,
    recent: Option<Duration>,
    /// Of the time before that.
    before: Option<Duration>,
}

impl RoundTrips {
    /// Takes one in; returns the shortest, once there were two.
    fn add(&mut self, round_trip: Duration, at: Duration) -> Option<Duration> {
        if at.saturating_sub(self.since) >= ROUND_TRIPS_FOR {
            self.since = at;
            self.before = self.recent.take().or(self.before);
        }
        let known = [self.recent, self.before].into_iter().flatten().min();
        self.recent = Some(self.recent.map_or(round_trip, |it| it.min(round_trip)));
        known.map(|known| known.min(round_trip))
    }
}

/// Credit that the client knows of, and did not use yet.
#[derive(Clone, Copy, Debug)]
struct Told {
    at: Duration,
    /// How far the client could send without it.
    before: u64,
    /// The longest time since then in which nothing came.
    stalled: Duration,
}

impl Window {
    /// Opens a window at `start`, never of less than two chunks (CREDIT-2),
    /// nor so small that whole chunks within it leave the content gate waiting
    /// for its `head_bytes`.
    pub(crate) fn new(sizes: WindowSizes, chunk_size: u32, head_bytes: u32, start: u64) -> Self {
        let chunk = u64::from(chunk_size);
        let mut window = Self {
            credit: start,
            floor: chunk.saturating_add(chunk.max(u64::from(head_bytes))),
            needed: sizes.usual,
            came_at: Duration::ZERO,
            behind_since: None,
            grows_from: Duration::ZERO,
            told: None,
            round_trips: RoundTrips::default(),
            grown_to: 0,
        };
        window.advance(start, sizes);
        window
    }

    /// Grants anew after the writer took everything before `taken`
    /// (CREDIT-1: credit only grows; what was granted stays granted).
    pub(crate) fn advance(&mut self, taken: u64, sizes: WindowSizes) {
        let size = self.size(sizes);
        self.credit = self.credit.max(taken.saturating_add(size));
    }

    /// Returns the offset up to which the client may send.
    pub(crate) fn credit(&self) -> u64 {
        self.credit
    }

    /// Returns how many bytes it has.
    pub(crate) fn size(&self, sizes: WindowSizes) -> u64 {
        self.needed.min(sizes.room).max(self.floor)
    }

    /// Notes that the credit is sent to a client that could send as far as `before`, at a time on the clock
    /// that stops while the host does not read the socket.
    pub(crate) fn tell(&mut self, before: u64, at: Duration) {
        if self.credit > before && before >= self.grown_to && self.told.is_none() {
            self.told = Some(Told {
                at,
                before,
                stalled: Duration::ZERO,
            });
        }
    }

    /// Notes that bytes before `received` came, where the writer took those before `taken`; grows if the client
    /// waited for credit (CREDIT-2).
    pub(crate) fn came(&mut self, received: u64, taken: u64, at: Duration, sizes: WindowSizes) {
        let waited = at.saturating_sub(std::mem::replace(&mut self.came_at, at));
        let waiting = received.saturating_sub(taken);
        self.behind_since = (waiting > sizes.usual).then(|| self.behind_since.unwrap_or(at));
        let is_behind = |since: Duration| at.saturating_sub(since) >= BEHIND_MAX;
        if self.behind_since.is_some_and(is_behind) {
            // A larger window would only be more that waits for the writer.
            self.needed = sizes.usual;
            self.grows_from = at.saturating_add(KEPT_SMALL);
        }
        if let Some(told) = &mut self.told {
            told.stalled = told.stalled.max(waited);
        }
        let Some(told) = self.told.take_if(|told| received > told.before) else {
            return;
        };
        let round_trip = at.saturating_sub(told.at);
        let waited_for_credit = waited.saturating_mul(WAIT_PART) >= round_trip
            || told.stalled.saturating_mul(STALL_PART) >= round_trip;
        let keeps_up = waiting <= sizes.usual / 2 && at >= self.grows_from;
        let shortest = self.round_trips.add(round_trip, at);
        let is_long = shortest.is_some_and(|shortest| shortest >= ROUND_TRIP_MIN);
        if is_long && waited_for_credit && keeps_up {
            let most = sizes.usual.max(sizes.room);
            self.needed = self.needed.saturating_mul(GROWTH).min(most);
            self.grown_to = taken.saturating_add(self.size(sizes));
        }
    }
}

#[cfg(test)]
mod tests;
