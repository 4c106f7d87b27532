//! How an upload is held by its connection.

use upload_proto::Code;

use crate::{AbortReason, Why};

/// Whether the application lets a file be stored that is all here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permit {
    /// It was not asked.
    Unasked,
    /// Its answer is awaited.
    Asked,
    /// It does, or is not to be asked.
    Granted,
}

/// What is to become of the bytes of an upload that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undo {
    /// Nothing more: there are none, or its writer removes them.
    Nothing,
    /// Its writer receives this once its record is gone.
    Abort(AbortReason),
    /// Its writer was released already, so they are removed later, by the record that names them.
    Later,
}

/// How an upload left its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    /// The file is stored.
    Complete,
    /// It ended otherwise.
    Ended(Undo),
    /// It can be resumed, or another holder has it.
    Detached,
    /// It never began: its ref is in use.
    Refused,
}

/// How an upload is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stay {
    /// It takes bytes.
    Held,
    /// Every byte is here and right: it goes to its end, whatever becomes of the connection.
    Finishing(Permit),
    /// It leaves once its writer is idle and its record says so.
    Leaving(Why),
    /// It left; its connection takes it out.
    Gone(Departure),
}

impl Stay {
    /// Every byte is here. Returns whether that means anything.
    pub(crate) fn finish(&mut self, permit: Permit) -> bool {
        let means = *self == Self::Held;
        if means {
            *self = Self::Finishing(permit);
        }
        means
    }

    /// The application is asked, or answered with yes.
    pub(crate) fn permit(&mut self, from: Permit, to: Permit) -> bool {
        let means = *self == Self::Finishing(from);
        if means {
            *self = Self::Finishing(to);
        }
        means
    }

    /// The connection wants to let go. Returns whether it may: what has every byte goes to its end,
    /// and what leaves already keeps its reason.
    pub(crate) fn leave(&mut self, why: Why) -> bool {
        let means = *self == Self::Held;
        if means {
            *self = Self::Leaving(why);
        }
        means
    }

    /// It cannot be stored at present, so the upload leaves for this reason, even if it was about to finish.
    pub(crate) fn suspend(&mut self, code: Code) -> bool {
        let means = !self.is_gone();
        if means {
            *self = Self::Leaving(Why::Told(code));
        }
        means
    }

    /// It left.
    pub(crate) fn depart(&mut self, departure: Departure) -> bool {
        let means = !self.is_gone();
        if means {
            *self = Self::Gone(departure);
        }
        means
    }

    /// Returns whether it left.
    pub(crate) fn is_gone(self) -> bool {
        match self {
            Self::Gone(_) => true,
            Self::Held | Self::Finishing(_) | Self::Leaving(_) => false,
        }
    }

    /// Returns whether every byte is here and right.
    pub(crate) fn is_finishing(self) -> bool {
        match self {
            Self::Finishing(_) => true,
            Self::Held | Self::Leaving(_) | Self::Gone(_) => false,
        }
    }

    /// Returns why it leaves, while it does.
    pub(crate) fn leaves(self) -> Option<Why> {
        match self {
            Self::Leaving(why) => Some(why),
            Self::Held | Self::Finishing(_) | Self::Gone(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOST: Stay = Stay::Leaving(Why::Lost);
    const FULL: Stay = Stay::Leaving(Why::Told(Code::StorageFull));
    const GONE: Stay = Stay::Gone(Departure::Detached);
    const DONE: Stay = Stay::Gone(Departure::Complete);
    const HELD: Stay = Stay::Held;
    const NEW: Stay = Stay::Finishing(Permit::Unasked);
    const ASKED: Stay = Stay::Finishing(Permit::Asked);
    const YES: Stay = Stay::Finishing(Permit::Granted);

    type Event = fn(&mut Stay) -> bool;

    /// COMPLETE-6: the rows of what is gone change nothing, so no upload ends twice.
    #[test]
    fn every_state_meets_every_event() {
        let events: [Event; 6] = [
            |stay| stay.finish(Permit::Unasked),
            |stay| stay.permit(Permit::Unasked, Permit::Asked),
            |stay| stay.permit(Permit::Asked, Permit::Granted),
            |stay| stay.leave(Why::Lost),
            |stay| stay.suspend(Code::StorageFull),
            |stay| stay.depart(Departure::Complete),
        ];
        let table: [(Stay, [Option<Stay>; 6]); 8] = [
            // finish, ask, grant, leave, suspend, depart
            (
                HELD,
                [Some(NEW), None, None, Some(LOST), Some(FULL), Some(DONE)],
            ),
            (NEW, [None, Some(ASKED), None, None, Some(FULL), Some(DONE)]),
            (ASKED, [None, None, Some(YES), None, Some(FULL), Some(DONE)]),
            (YES, [None, None, None, None, Some(FULL), Some(DONE)]),
            (LOST, [None, None, None, None, Some(FULL), Some(DONE)]),
            (FULL, [None, None, None, None, Some(FULL), Some(DONE)]),
            (GONE, [None; 6]),
            (DONE, [None; 6]),
        ];
        for (from, row) in table {
            for (number, (event, expected)) in events.iter().zip(row).enumerate() {
                let mut stay = from;
                assert_eq!(event(&mut stay), expected.is_some(), "{from:?} {number}");
                assert_eq!(stay, expected.unwrap_or(from), "{from:?} {number}");
            }
        }
    }
}
