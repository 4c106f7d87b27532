//! The connection, as one upload knows it.
//!
//! ```text
//! Connecting ──▶ Up ──▶ Draining
//!     ▲ ╲         │        │
//!     │  ╲        ▼        ▼
//!     └──── Down ◀┴────────┘
//! ```

use std::time::{Duration, Instant};

/// Whether there is a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// None; the next attempt has a time.
    Down {
        /// When to connect again.
        retry_at: Instant,
    },
    /// The host was asked to connect.
    Connecting,
    /// It carries messages.
    Up {
        /// The last sign of life, or the last question.
        quiet_since: Instant,
    },
    /// It still carries messages, and the server is about to restart: nothing more is asked on it.
    Draining {
        /// The last sign of life.
        quiet_since: Instant,
        /// The pause before connecting again, as the server wants it.
        reconnect_after: Duration,
    },
}

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkEvent {
    /// The host connected.
    Connected(Instant),
    /// The server said something, or something was asked: a silence begins anew.
    Active(Instant),
    /// The server announced its restart.
    DrainAnnounced(Duration),
    /// The connection broke, or could not be made.
    Lost {
        /// When to connect again.
        retry_at: Instant,
    },
    /// The time of the next attempt came.
    RetryDue,
}

impl Link {
    /// Moves to the next state; returns false, and changes nothing, where the event has no meaning.
    pub(super) fn step(&mut self, event: LinkEvent) -> bool {
        use LinkEvent::{Active, Connected, DrainAnnounced, Lost, RetryDue};

        let next = match (*self, event) {
            (Self::Down { .. } | Self::Connecting, Connected(now)) => Self::Up { quiet_since: now },
            (Self::Down { .. }, RetryDue) => Self::Connecting,
            (Self::Connecting | Self::Up { .. } | Self::Draining { .. }, Lost { retry_at }) => {
                Self::Down { retry_at }
            }
            (Self::Up { .. }, Active(now)) => Self::Up { quiet_since: now },
            (
                Self::Draining {
                    reconnect_after, ..
                },
                Active(now),
            ) => Self::Draining {
                quiet_since: now,
                reconnect_after,
            },
            (
                Self::Up { quiet_since } | Self::Draining { quiet_since, .. },
                DrainAnnounced(reconnect_after),
            ) => Self::Draining {
                quiet_since,
                reconnect_after,
            },
            (Self::Down { .. }, Active(_) | DrainAnnounced(_) | Lost { .. })
            | (Self::Connecting, Active(_) | DrainAnnounced(_) | RetryDue)
            | (Self::Up { .. } | Self::Draining { .. }, Connected(_) | RetryDue) => return false,
        };
        *self = next;
        true
    }

    /// Returns since when the server is silent, where there is a connection.
    pub(super) fn quiet_since(&self) -> Option<Instant> {
        match self {
            Self::Up { quiet_since } | Self::Draining { quiet_since, .. } => Some(*quiet_since),
            Self::Down { .. } | Self::Connecting => None,
        }
    }

    /// Returns when to connect again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        match self {
            Self::Down { retry_at } => Some(*retry_at),
            Self::Connecting | Self::Up { .. } | Self::Draining { .. } => None,
        }
    }

    /// Returns the pause that the server wants before the next connection.
    pub(super) fn reconnect_after(&self) -> Option<Duration> {
        match self {
            Self::Draining {
                reconnect_after, ..
            } => Some(*reconnect_after),
            Self::Down { .. } | Self::Connecting | Self::Up { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::tests::epoch;

    /// Every state with every event; `None` is an event without meaning.
    #[test]
    fn every_state_meets_every_event() {
        let at = epoch();
        let later = at + Duration::from_secs(1);
        let pause = Duration::from_millis(300);
        let down = Link::Down { retry_at: at };
        let up = Link::Up { quiet_since: at };
        let draining = |quiet_since, reconnect_after| Link::Draining {
            quiet_since,
            reconnect_after,
        };
        let old = Duration::from_secs(9);
        let events = [
            LinkEvent::Connected(later),
            LinkEvent::Active(later),
            LinkEvent::DrainAnnounced(pause),
            LinkEvent::Lost { retry_at: later },
            LinkEvent::RetryDue,
        ];
        let now_up = Some(Link::Up { quiet_since: later });
        let now_down = Some(Link::Down { retry_at: later });
        let table = [
            (down, [now_up, None, None, None, Some(Link::Connecting)]),
            (Link::Connecting, [now_up, None, None, now_down, None]),
            (
                up,
                [None, now_up, Some(draining(at, pause)), now_down, None],
            ),
            (
                draining(at, old),
                [
                    None,
                    Some(draining(later, old)),
                    Some(draining(at, pause)),
                    now_down,
                    None,
                ],
            ),
        ];
        for (state, row) in table {
            for (event, expected) in events.into_iter().zip(row) {
                let mut link = state;
                let taken = link.step(event);
                assert_eq!(taken.then_some(link), expected, "{state:?}, {event:?}");
                assert!(taken || link == state, "{state:?}, {event:?}");
            }
        }
    }
}
