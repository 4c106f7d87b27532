//! When an open writer is asked to make durable what it took.
//!
//! ```text
//!            took all, keeps some of it
//! Settled ───────────────────────────────▶ Due
//!    │  ▲                                   │ time
//!    │  └──── more to write, all durable ───┤
//!    │  ▲                                   ▼
//!    │  └──── the same: no further ─────  Asked ◀─┐
//!    │                                    ▲  └────┘ further, not all
//!    └────────── took all, keeps nothing ─┘
//! ```
//!
//! A writer of files is flushed as soon as it has taken everything. One that keeps bytes for a part
//! waits until no more of them came for a while, since to flush it costs a request of its own. Bytes
//! that come end a flush, in every state: waiting for one part must not delay the next.

use std::time::{Duration, Instant};

use crate::{Now, time::later};

/// What is to become of bytes that an open writer took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flush {
    /// Nothing for now: they are durable, more come first, or a flush did not help.
    Settled,
    /// It is flushed at this time, unless more come before.
    Due(Instant),
    /// It was asked to flush.
    Asked,
}

/// What a writer that answered has done and not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// More is on its way to it, or everything it took is durable.
    Nothing,
    /// It took everything, and this is not durable yet.
    Bytes {
        /// Whether it keeps some of it in memory, for more of the file.
        kept: bool,
        /// Whether more is durable than before.
        moved: bool,
    },
}

impl Flush {
    /// Bytes are on their way to the writer.
    pub(crate) fn abandon(&mut self) {
        *self = Self::Settled;
    }

    /// The writer answered. Returns whether it is to be flushed now.
    pub(crate) fn answered(&mut self, left: Left, pause: Duration, now: Now) -> bool {
        *self = match (*self, left) {
            (_, Left::Nothing) | (Self::Asked, Left::Bytes { moved: false, .. }) => Self::Settled,
            // While parts are landing, the next one is waited for at once.
            (Self::Asked, Left::Bytes { moved: true, .. })
            | (Self::Settled | Self::Due(_), Left::Bytes { kept: false, .. }) => Self::Asked,
            (Self::Settled | Self::Due(_), Left::Bytes { kept: true, .. }) => {
                Self::Due(later(now.instant, pause))
            }
        };
        *self == Self::Asked
    }

    /// Time passed. Returns whether the writer is to be flushed now.
    pub(crate) fn tick(&mut self, now: Now) -> bool {
        let is_due = self.deadline().is_some_and(|at| at <= now.instant);
        if is_due {
            *self = Self::Asked;
        }
        is_due
    }

    /// Returns when [`Flush::tick`] has something to do.
    pub(crate) fn deadline(self) -> Option<Instant> {
        match self {
            Self::Due(at) => Some(at),
            Self::Settled | Self::Asked => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::tests::epoch;

    const PAUSE: Duration = Duration::from_millis(150);

    fn at(ms: u64) -> Now {
        Now {
            instant: later(start(), Duration::from_millis(ms)),
            unix_ms: ms,
        }
    }

    fn start() -> Instant {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *START.get_or_init(epoch)
    }

    fn due(ms: u64) -> Flush {
        Flush::Due(at(ms).instant)
    }

    /// Every state and every event, 100 ms after the beginning.
    #[test]
    fn every_state_meets_every_event() {
        use Flush::{Asked, Settled};
        let left = |kept, moved| Left::Bytes { kept, moved };
        let states = [Settled, due(99), due(101), Asked];
        type Event = Box<dyn Fn(&mut Flush) -> bool>;
        let answered = |left| -> Event {
            Box::new(move |flush: &mut Flush| flush.answered(left, PAUSE, at(100)))
        };
        let abandon = |flush: &mut Flush| {
            flush.abandon();
            false
        };
        let rows: [(&str, Event, [Flush; 4]); 7] = [
            ("bytes come", Box::new(abandon), [Settled; 4]),
            ("nothing is left", answered(Left::Nothing), [Settled; 4]),
            (
                "kept, moved",
                answered(left(true, true)),
                [due(250), due(250), due(250), Asked],
            ),
            (
                "kept, not moved",
                answered(left(true, false)),
                [due(250), due(250), due(250), Settled],
            ),
            ("moved", answered(left(false, true)), [Asked; 4]),
            (
                "not moved",
                answered(left(false, false)),
                [Asked, Asked, Asked, Settled],
            ),
            (
                "time",
                Box::new(|flush: &mut Flush| flush.tick(at(100))),
                [Settled, Asked, due(101), Asked],
            ),
        ];
        for (name, event, expected) in rows {
            for (from, to) in states.into_iter().zip(expected) {
                let mut flush = from;
                let asks = event(&mut flush);
                assert_eq!(flush, to, "{from:?}, {name}");
                let is_new = from != Asked || name != "time";
                assert_eq!(asks, to == Asked && is_new, "{from:?}, {name}");
            }
        }
    }
}
