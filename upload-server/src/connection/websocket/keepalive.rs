//! Whether the peer is alive: it answers pings, and takes what waits for it (PROTOCOL CONN-3).

use std::time::Duration;

use tokio::time::Instant;

/// What a look at the clock asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing yet.
    Wait,
    /// Send a ping.
    Ping,
    /// Nobody is there any more.
    Dead,
}

/// What is known about a connection when its clock is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Activity {
    /// All bytes ever read.
    pub(super) bytes_read: u64,
    /// All bytes ever written.
    pub(super) bytes_written: u64,
    /// Whether everything that arrived was read, so that a missing pong is missing.
    pub(super) is_caught_up: bool,
    /// Whether bytes wait for the peer to take them.
    pub(super) is_stuck: bool,
}

/// The pings of one connection.
#[derive(Debug)]
pub(super) struct Keepalive {
    every: Duration,
    missed_max: u32,
    pub(super) next: Instant,
    has_asked: bool,
    missed: u32,
    stalled: u32,
    bytes_read: u64,
    bytes_written: u64,
}

impl Keepalive {
    /// Pings `every` so often; dead after `missed_max` pings in a row without a sign of life.
    pub(super) fn new(every: Duration, missed_max: u32, now: Instant) -> Self {
        Self {
            every,
            missed_max: missed_max.max(1),
            next: now.checked_add(every).unwrap_or(now),
            has_asked: false,
            missed: 0,
            stalled: 0,
            bytes_read: 0,
            bytes_written: 0,
        }
    }

    /// Looks at the clock; any byte that came counts as a pong.
    pub(super) fn check(&mut self, activity: Activity, now: Instant) -> Action {
        if now < self.next {
            return Action::Wait;
        }
        self.next = now.checked_add(self.every).unwrap_or(now);
        if activity.bytes_read != self.bytes_read {
            self.missed = 0;
        } else if self.has_asked && activity.is_caught_up {
            self.missed = self.missed.saturating_add(1);
        }
        if activity.is_stuck && activity.bytes_written == self.bytes_written {
            self.stalled = self.stalled.saturating_add(1);
        } else {
            self.stalled = 0;
        }
        self.bytes_read = activity.bytes_read;
        self.bytes_written = activity.bytes_written;
        self.has_asked = true;
        if self.missed.max(self.stalled) >= self.missed_max {
            Action::Dead
        } else {
            Action::Ping
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(20);
    const QUIET: Activity = Activity {
        bytes_read: 0,
        bytes_written: 0,
        is_caught_up: true,
        is_stuck: false,
    };

    fn beats(activity: impl Fn(u64) -> Activity) -> Vec<Action> {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(EVERY, 2, start);
        (1..=6)
            .map(|n| {
                keepalive.check(
                    activity(n),
                    start + EVERY * u32::try_from(n).expect("small"),
                )
            })
            .collect()
    }

    /// CONN-3: a ping every interval, dead after two missed pongs.
    #[test]
    fn two_missed_pongs_are_death() {
        assert_eq!(
            beats(|_| QUIET)[..3],
            [Action::Ping, Action::Ping, Action::Dead]
        );
        let start = Instant::now();
        let mut keepalive = Keepalive::new(EVERY, 2, start);
        assert_eq!(keepalive.check(QUIET, start + EVERY / 2), Action::Wait);
    }

    /// CONN-3: a peer that is heard of lives, however slow it is.
    #[test]
    fn any_byte_is_a_sign_of_life() {
        let slow = |n| Activity {
            bytes_read: n / 2,
            ..QUIET
        };
        assert_eq!(beats(slow), [Action::Ping; 6]);
    }

    /// CREDIT-3: who is not listened to can not be heard, and is not held dead for it.
    #[test]
    fn a_pong_that_was_not_read_is_not_missed() {
        let blocked = |_| Activity {
            is_caught_up: false,
            ..QUIET
        };
        assert_eq!(beats(blocked), [Action::Ping; 6]);
    }

    #[test]
    fn a_peer_that_takes_nothing_is_dead() {
        let talks_only = |n| Activity {
            bytes_read: n,
            is_stuck: true,
            ..QUIET
        };
        assert_eq!(beats(talks_only)[..2], [Action::Ping, Action::Dead]);
    }
}
