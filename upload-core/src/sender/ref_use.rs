//! The ref under which the upload is, and what the server may know of it.
//!
//! ```text
//!    ┌─────────────────────┐
//!    ▼                     │
//! Unused ──▶ Offered ──▶ Known
//!    ▲  ◀──────┘           │
//!    └────── Wanted ◀──────┘
//! ```

use upload_proto::UploadRef;

/// A ref, and whether a server heard of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RefUse {
    /// No server heard of it, or one refused to register it.
    Unused(UploadRef),
    /// It is being registered.
    Offered(UploadRef),
    /// The server may hold something under it: it is asked for, not registered.
    Known(UploadRef),
    /// It is out of use; the host owes a fresh one.
    Wanted(UploadRef),
}

/// What happens to a ref.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RefEvent {
    /// A registration is sent.
    Offer,
    /// The server registered it, or the answer was lost and it may have.
    Registered,
    /// The server refused the registration for now.
    Refused,
    /// The server knows nothing of it, and it is registered once more.
    NotFound,
    /// The upload begins anew under another ref.
    GiveUp,
    /// The host has a fresh one.
    Fresh(UploadRef),
}

impl RefUse {
    /// Moves to the next state; returns false, and changes nothing, where the event has no meaning.
    pub(super) fn step(&mut self, event: RefEvent) -> bool {
        use RefEvent::{Fresh, GiveUp, NotFound, Offer, Refused, Registered};

        let next = match (*self, event) {
            (Self::Unused(upload), Offer) => Self::Offered(upload),
            (Self::Offered(upload), Registered) => Self::Known(upload),
            (Self::Offered(upload), Refused) | (Self::Known(upload), NotFound) => {
                Self::Unused(upload)
            }
            (Self::Unused(upload) | Self::Offered(upload) | Self::Known(upload), GiveUp) => {
                Self::Wanted(upload)
            }
            (Self::Wanted(_), Fresh(upload)) => Self::Unused(upload),
            (Self::Unused(_), Registered | Refused | NotFound | Fresh(_))
            | (Self::Offered(_), Offer | NotFound | Fresh(_))
            | (Self::Known(_), Offer | Registered | Refused | Fresh(_))
            | (Self::Wanted(_), Offer | Registered | Refused | NotFound | GiveUp) => return false,
        };
        *self = next;
        true
    }

    /// Returns the ref; the last one where a fresh one is owed.
    pub(super) fn upload(&self) -> UploadRef {
        match self {
            Self::Unused(upload)
            | Self::Offered(upload)
            | Self::Known(upload)
            | Self::Wanted(upload) => *upload,
        }
    }

    /// Returns whether the server may hold something that a cancel would end.
    pub(super) fn may_be_held(&self) -> bool {
        match self {
            Self::Offered(_) | Self::Known(_) => true,
            Self::Unused(_) | Self::Wanted(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every state with every event; `None` is an event without meaning.
    #[test]
    fn every_state_meets_every_event() {
        let one = UploadRef::from_bytes([1; 16]);
        let two = UploadRef::from_bytes([2; 16]);
        let events = [
            RefEvent::Offer,
            RefEvent::Registered,
            RefEvent::Refused,
            RefEvent::NotFound,
            RefEvent::GiveUp,
            RefEvent::Fresh(two),
        ];
        let wanted = Some(RefUse::Wanted(one));
        let table = [
            (
                RefUse::Unused(one),
                [Some(RefUse::Offered(one)), None, None, None, wanted, None],
            ),
            (
                RefUse::Offered(one),
                [
                    None,
                    Some(RefUse::Known(one)),
                    Some(RefUse::Unused(one)),
                    None,
                    wanted,
                    None,
                ],
            ),
            (
                RefUse::Known(one),
                [None, None, None, Some(RefUse::Unused(one)), wanted, None],
            ),
            (
                RefUse::Wanted(one),
                [None, None, None, None, None, Some(RefUse::Unused(two))],
            ),
        ];
        for (state, row) in table {
            for (event, expected) in events.into_iter().zip(row) {
                let mut next = state;
                let taken = next.step(event);
                assert_eq!(taken.then_some(next), expected, "{state:?}, {event:?}");
                assert!(taken || next == state, "{state:?}, {event:?}");
            }
        }
    }
}
