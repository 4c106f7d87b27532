//! The writer of one upload: what it was asked, and what it holds back meanwhile.
//!
//! ```text
//!            claimed        read          accepted           opened
//! Claiming ─────────▶ Gate ──────▶ Judging ────────▶ Opening ──────▶ Open
//!                                     │ accepted (reopened)           │ close
//!                                     └──────────────▶ Open           ▼
//!                     Closed ◀────────── Announcing ◀────────────  Closing
//!                              announced               closed
//! ```
//!
//! Every state but `Closed` leads to `Gone` when the writer is dropped: aborted, released, parked or
//! lost. A writer that is reopened before the head of its file is durable begins at `Gate` once more,
//! since the bytes to come need not be those that were judged.

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::Value;

use super::{flush::Flush, head::Head};

/// Where the bytes of an upload are going.
#[derive(Debug)]
pub(crate) enum Writer {
    /// The record is not in the store yet, so nothing may begin; what came is held back.
    Claiming(Head),
    /// The first bytes are held back until there are enough to judge.
    Gate(Head, Behind),
    /// The verdict on them is awaited.
    Judging(Head, Behind),
    /// The host opens a writer.
    Opening(Head),
    /// It takes bytes.
    Open(Flush),
    /// It was asked to close.
    Closing,
    /// The file has its name, and the host makes sure that its application hears of it.
    Announcing(Value),
    /// The receipt may be recorded.
    Closed(Value),
    /// There is none any more.
    Gone(Past),
}

/// What is behind the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    /// No writer yet.
    Nothing,
    /// One that was reopened.
    Reopened,
}

/// How far a writer had come that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Past {
    /// It was never open.
    Unopened,
    /// It took bytes.
    Receiving,
    /// It had all of them.
    Completing,
}

/// What follows a verdict that lets the file pass.
#[derive(Debug)]
pub(crate) enum Passed {
    /// A writer has to be opened.
    Open,
    /// These bytes go to the writer that is open.
    Write(VecDeque<Bytes>),
}

impl Writer {
    /// One that takes bytes and has none yet.
    pub(crate) const OPEN: Self = Self::Open(Flush::Settled);

    /// Returns whether the file is stored, or about to be.
    pub(crate) fn closes(&self) -> bool {
        match self {
            Self::Closing | Self::Announcing(_) | Self::Closed(_) => true,
            Self::Claiming(_)
            | Self::Gate(..)
            | Self::Judging(..)
            | Self::Opening(_)
            | Self::Open(_)
            | Self::Gone(_) => false,
        }
    }

    /// The record is there: the gate opens. Returns whether that means anything.
    pub(crate) fn claimed(&mut self) -> bool {
        if let Self::Claiming(head) = self {
            *self = Self::Gate(std::mem::take(head), Behind::Nothing);
            return true;
        }
        false
    }

    /// Returns the first bytes to judge, at most `limit`, where the gate holds them back.
    pub(crate) fn read_head(&mut self, limit: usize) -> Option<Bytes> {
        if let Self::Gate(head, behind) = self {
            let bytes = head.head(limit);
            *self = Self::Judging(std::mem::take(head), *behind);
            return Some(bytes);
        }
        None
    }

    /// The verdict lets the file pass.
    pub(crate) fn accepted(&mut self) -> Option<Passed> {
        match self {
            Self::Judging(head, Behind::Nothing) => {
                *self = Self::Opening(std::mem::take(head));
                Some(Passed::Open)
            }
            Self::Judging(head, Behind::Reopened) => {
                let chunks = head.take();
                *self = Self::OPEN;
                Some(Passed::Write(chunks))
            }
            Self::Claiming(_)
            | Self::Gate(..)
            | Self::Opening(_)
            | Self::Open(_)
            | Self::Closing
            | Self::Announcing(_)
            | Self::Closed(_)
            | Self::Gone(_) => None,
        }
    }

    /// The host opened it; returns what it is to write first.
    pub(crate) fn opened(&mut self) -> Option<VecDeque<Bytes>> {
        if let Self::Opening(head) = self {
            let chunks = head.take();
            *self = Self::OPEN;
            return Some(chunks);
        }
        None
    }

    /// It is asked to close. Returns whether it can be.
    pub(crate) fn close(&mut self) -> bool {
        let is_open = matches!(self, Self::Open(_));
        if is_open {
            *self = Self::Closing;
        }
        is_open
    }

    /// It closed, and the application has to hear of it first or not.
    pub(crate) fn closed(&mut self, result: Value, announces: bool) -> bool {
        let closes = matches!(self, Self::Closing);
        if closes {
            *self = Self::published(result, announces);
        }
        closes
    }

    /// Returns the state of a file that has its name.
    pub(crate) fn published(result: Value, announces: bool) -> Self {
        if announces {
            Self::Announcing(result)
        } else {
            Self::Closed(result)
        }
    }

    /// The application will hear of it. Returns whether that means anything.
    pub(crate) fn announced(&mut self) -> bool {
        if let Self::Announcing(result) = self {
            *self = Self::Closed(std::mem::take(result));
            return true;
        }
        false
    }

    /// It is aborted, released, parked or lost. Returns whether the host has one.
    pub(crate) fn drop_it(&mut self, is_complete: bool) -> bool {
        let is_there = self.is_there();
        let past = match self {
            Self::Claiming(_) | Self::Gate(_, Behind::Nothing) | Self::Opening(_) => Past::Unopened,
            Self::Judging(_, Behind::Nothing) => Past::Unopened,
            Self::Gate(_, Behind::Reopened) | Self::Judging(_, Behind::Reopened) => Past::Receiving,
            Self::Open(_) if !is_complete => Past::Receiving,
            Self::Open(_) | Self::Closing | Self::Announcing(_) | Self::Closed(_) => {
                Past::Completing
            }
            Self::Gone(past) => *past,
        };
        *self = Self::Gone(past);
        is_there
    }

    /// Returns whether the host has a writer that is not closed.
    pub(crate) fn is_there(&self) -> bool {
        match self {
            Self::Gate(_, behind) | Self::Judging(_, behind) => *behind == Behind::Reopened,
            Self::Opening(_) | Self::Open(_) | Self::Closing => true,
            Self::Claiming(_) | Self::Announcing(_) | Self::Closed(_) | Self::Gone(_) => false,
        }
    }

    /// Returns whether a writer was ever open.
    pub(crate) fn was_open(&self) -> bool {
        match self {
            Self::Claiming(_) | Self::Opening(_) => false,
            Self::Gate(_, behind) | Self::Judging(_, behind) => *behind == Behind::Reopened,
            Self::Open(_) | Self::Closing | Self::Announcing(_) | Self::Closed(_) => true,
            Self::Gone(past) => *past != Past::Unopened,
        }
    }

    /// Returns whether the file has its name.
    pub(crate) fn is_published(&self) -> bool {
        matches!(self, Self::Announcing(_) | Self::Closed(_))
    }

    /// Returns what is to become of what it took, while it is open.
    pub(crate) fn flush(&mut self) -> Option<&mut Flush> {
        match self {
            Self::Open(flush) => Some(flush),
            Self::Claiming(_)
            | Self::Gate(..)
            | Self::Judging(..)
            | Self::Opening(_)
            | Self::Closing
            | Self::Announcing(_)
            | Self::Closed(_)
            | Self::Gone(_) => None,
        }
    }

    /// Returns what is held back, while anything may be.
    pub(crate) fn head(&mut self) -> Option<&mut Head> {
        match self {
            Self::Claiming(head)
            | Self::Gate(head, _)
            | Self::Judging(head, _)
            | Self::Opening(head) => Some(head),
            Self::Open(_)
            | Self::Closing
            | Self::Announcing(_)
            | Self::Closed(_)
            | Self::Gone(_) => None,
        }
    }

    /// Returns how many bytes wait at the gate for more of their file.
    pub(crate) fn gated(&self) -> u64 {
        match self {
            Self::Gate(head, _) => head.bytes,
            Self::Claiming(_)
            | Self::Judging(..)
            | Self::Opening(_)
            | Self::Open(_)
            | Self::Closing
            | Self::Announcing(_)
            | Self::Closed(_)
            | Self::Gone(_) => 0,
        }
    }

    /// Returns how many bytes wait for what the host does before a writer is open.
    pub(crate) fn opening(&self) -> u64 {
        match self {
            Self::Claiming(head) | Self::Judging(head, _) | Self::Opening(head) => head.bytes,
            Self::Gate(..)
            | Self::Open(_)
            | Self::Closing
            | Self::Announcing(_)
            | Self::Closed(_)
            | Self::Gone(_) => 0,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Every state, with a name of two letters.
    pub(crate) fn states() -> Vec<(&'static str, Writer)> {
        let head = Head::default;
        vec![
            ("Cl", Writer::Claiming(head())),
            ("Ga", Writer::Gate(head(), Behind::Nothing)),
            ("gr", Writer::Gate(head(), Behind::Reopened)),
            ("Ju", Writer::Judging(head(), Behind::Nothing)),
            ("jr", Writer::Judging(head(), Behind::Reopened)),
            ("Op", Writer::Opening(head())),
            ("OK", Writer::OPEN),
            ("Cg", Writer::Closing),
            ("An", Writer::Announcing(Value::Null)),
            ("Cd", Writer::Closed(Value::Null)),
            ("Gu", Writer::Gone(Past::Unopened)),
            ("Gr", Writer::Gone(Past::Receiving)),
            ("Gc", Writer::Gone(Past::Completing)),
        ]
    }

    /// Returns the name of a state.
    pub(crate) fn name(writer: &Writer) -> &'static str {
        match writer {
            Writer::Claiming(_) => "Cl",
            Writer::Gate(_, Behind::Nothing) => "Ga",
            Writer::Gate(_, Behind::Reopened) => "gr",
            Writer::Judging(_, Behind::Nothing) => "Ju",
            Writer::Judging(_, Behind::Reopened) => "jr",
            Writer::Opening(_) => "Op",
            Writer::Open(_) => "OK",
            Writer::Closing => "Cg",
            Writer::Announcing(_) => "An",
            Writer::Closed(_) => "Cd",
            Writer::Gone(Past::Unopened) => "Gu",
            Writer::Gone(Past::Receiving) => "Gr",
            Writer::Gone(Past::Completing) => "Gc",
        }
    }

    type Event = fn(&mut Writer) -> bool;

    /// The events, in the order of the table's columns.
    const EVENTS: [Event; 10] = [
        Writer::claimed,
        |writer| writer.read_head(4).is_some(),
        |writer| writer.accepted().is_some(),
        |writer| writer.opened().is_some(),
        Writer::close,
        |writer| writer.closed(Value::Null, false),
        |writer| writer.closed(Value::Null, true),
        Writer::announced,
        |writer| writer.drop_it(false),
        |writer| writer.drop_it(true),
    ];

    /// One row per state, one column per event: the next state, or a dot where the event is refused
    /// and changes nothing. The last two say what is left of a writer that is dropped.
    const TABLE: &str = "
        claimed read accepted opened close closed announces announced drop drop-complete
        Cl  Ga .  .  .  .  .  .  .  Gu Gu
        Ga  .  Ju .  .  .  .  .  .  Gu Gu
        gr  .  jr .  .  .  .  .  .  Gr Gr
        Ju  .  .  Op .  .  .  .  .  Gu Gu
        jr  .  .  OK .  .  .  .  .  Gr Gr
        Op  .  .  .  OK .  .  .  .  Gu Gu
        OK  .  .  .  .  Cg .  .  .  Gr Gc
        Cg  .  .  .  .  .  Cd An .  Gc Gc
        An  .  .  .  .  .  .  .  Cd Gc Gc
        Cd  .  .  .  .  .  .  .  .  Gc Gc
        Gu  .  .  .  .  .  .  .  .  Gu Gu
        Gr  .  .  .  .  .  .  .  .  Gr Gr
        Gc  .  .  .  .  .  .  .  .  Gc Gc";

    #[test]
    fn every_state_meets_every_event() {
        let rows: Vec<Vec<_>> = TABLE
            .lines()
            .skip(2)
            .map(|row| row.split_whitespace().collect())
            .collect();
        let named: Vec<_> = states().iter().map(|(name, _)| *name).collect();
        let rows_named: Vec<_> = rows.iter().map(|row| row[0]).collect();
        assert_eq!(rows_named, named);
        for row in rows {
            assert_eq!(row.len(), EVENTS.len() + 1, "{}", row[0]);
            for (number, event) in EVENTS.iter().enumerate() {
                let found = states().into_iter().find(|(name, _)| *name == row[0]);
                let (_, mut writer) = found.expect("every row is a state");
                let means = event(&mut writer);
                let expected = row[number + 1];
                if expected == "." {
                    assert!(!means, "{} {number}", row[0]);
                    assert_eq!(name(&writer), row[0], "{number}");
                } else {
                    assert_eq!(name(&writer), expected, "{} {number}", row[0]);
                }
            }
        }
    }

    /// A writer that the host has is one that can be dropped, and was opened or is being opened.
    #[test]
    fn the_host_has_a_writer_or_none() {
        let there = ["gr", "jr", "Op", "OK", "Cg"];
        let open = ["gr", "jr", "OK", "Cg", "An", "Cd", "Gr", "Gc"];
        for (name, mut writer) in states() {
            assert_eq!(writer.is_there(), there.contains(&name), "{name}");
            assert_eq!(writer.was_open(), open.contains(&name), "{name}");
            assert_eq!(writer.drop_it(false), there.contains(&name), "{name}");
        }
    }
}
