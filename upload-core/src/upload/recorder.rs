//! The record of one upload: kept, being deleted, or not there.

use crate::RecordVersion;

use super::keeper::{Keeper, Known};

/// What becomes of an upload's record.
#[derive(Debug)]
pub(crate) enum Recorder {
    /// There is none.
    Off,
    /// It is kept up to date.
    Kept(Keeper),
    /// The upload continues without one, and the store deletes it.
    Deleting(Left),
    /// The store did not delete it, or may have one whose answer was lost.
    Unsure(Left),
}

/// What is left of a record that is kept no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) version: Option<RecordVersion>,
    pub(crate) known: Known,
}

/// What the store is known to have of an ended upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing.
    Nothing,
    /// A record of this version.
    At(RecordVersion),
    /// An answer of the store is awaited.
    Awaited,
    /// Perhaps something: no save was ever answered with success.
    Unknown,
}

impl Recorder {
    /// Returns the record's bookkeeping, while it is kept.
    pub(crate) fn keeper(&self) -> Option<&Keeper> {
        match self {
            Self::Kept(keeper) => Some(keeper),
            Self::Off | Self::Deleting(_) | Self::Unsure(_) => None,
        }
    }

    /// Returns the record's bookkeeping, while it is kept.
    pub(crate) fn keeper_mut(&mut self) -> Option<&mut Keeper> {
        match self {
            Self::Kept(keeper) => Some(keeper),
            Self::Off | Self::Deleting(_) | Self::Unsure(_) => None,
        }
    }

    /// Keeps one from now on. What may be left of an earlier one, the next save learns by its conflict.
    pub(crate) fn keep(&mut self) {
        let (version, known) = match self {
            Self::Kept(_) => return,
            Self::Off => (None, Known::ToUs),
            Self::Deleting(left) | Self::Unsure(left) => (left.version, left.known),
        };
        *self = Self::Kept(Keeper::new(version, known));
    }

    /// Keeps it no more; returns the version to delete, where there is one.
    pub(crate) fn stop(&mut self) -> Option<RecordVersion> {
        let Self::Kept(keeper) = self else {
            return None;
        };
        let (version, known) = (keeper.version(), keeper.known());
        let left = Left { version, known };
        *self = match (version, known) {
            (Some(_), _) => Self::Deleting(left),
            // The answer of a save may have been lost.
            (None, Known::ToOthers) => Self::Unsure(left),
            (None, Known::ToUs) => Self::Off,
        };
        version
    }

    /// The store deleted it, or did not.
    pub(crate) fn deleted(&mut self, worked: bool) {
        if let Self::Deleting(left) = self {
            *self = match worked {
                true => Self::Off,
                false => Self::Unsure(*left),
            };
        }
    }

    /// Returns whether another holder can have the writer's bytes.
    pub(crate) fn is_known(&self) -> bool {
        match self {
            Self::Off => false,
            Self::Kept(keeper) => keeper.known() == Known::ToOthers,
            Self::Deleting(left) | Self::Unsure(left) => left.known == Known::ToOthers,
        }
    }

    /// Returns what the store may have, for the cleanup of an upload that ended.
    pub(crate) fn standing(&self) -> Standing {
        let at = |version: Option<RecordVersion>| version.map_or(Standing::Unknown, Standing::At);
        match self {
            Self::Off => Standing::Nothing,
            Self::Kept(keeper) if keeper.is_busy() => Standing::Awaited,
            Self::Kept(keeper) => at(keeper.version()),
            Self::Deleting(_) => Standing::Awaited,
            Self::Unsure(left) => at(left.version),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upload::keeper::Known::{ToOthers, ToUs};

    fn kept(version: Option<u64>, known: Known) -> Recorder {
        Recorder::Kept(Keeper::new(version.map(RecordVersion), known))
    }

    fn left(version: Option<u64>, known: Known) -> Left {
        Left {
            version: version.map(RecordVersion),
            known,
        }
    }

    fn states() -> [Recorder; 6] {
        [
            Recorder::Off,
            kept(None, ToUs),
            kept(None, ToOthers),
            kept(Some(3), ToOthers),
            Recorder::Deleting(left(Some(3), ToOthers)),
            Recorder::Unsure(left(None, ToOthers)),
        ]
    }

    fn name(recorder: &Recorder) -> &'static str {
        match recorder {
            Recorder::Off => "off",
            Recorder::Kept(_) => "kept",
            Recorder::Deleting(_) => "deleting",
            Recorder::Unsure(_) => "unsure",
        }
    }

    /// Every state meets every event: stopped, deleted, not deleted, kept.
    #[test]
    fn every_state_meets_every_event() {
        let table = [
            ["off", "off", "off", "kept"],
            ["off", "kept", "kept", "kept"],
            ["unsure", "kept", "kept", "kept"],
            ["deleting", "kept", "kept", "kept"],
            ["deleting", "off", "unsure", "kept"],
            ["unsure", "unsure", "unsure", "kept"],
        ];
        let events: [fn(&mut Recorder); 4] = [
            |recorder| {
                recorder.stop();
            },
            |recorder| recorder.deleted(true),
            |recorder| recorder.deleted(false),
            Recorder::keep,
        ];
        for (number, event) in events.into_iter().enumerate() {
            for (mut recorder, row) in states().into_iter().zip(table) {
                let before = name(&recorder);
                event(&mut recorder);
                assert_eq!(name(&recorder), row[number], "{before} {number}");
            }
        }
    }

    /// What a cleanup asks first, and whether an abort has to wait for it.
    #[test]
    fn what_the_store_may_have() {
        let at = Standing::At(RecordVersion(3));
        let table = [
            (Standing::Nothing, false),
            (Standing::Unknown, false),
            (Standing::Unknown, true),
            (at, true),
            (Standing::Awaited, true),
            (Standing::Unknown, true),
        ];
        for (recorder, expected) in states().iter().zip(table) {
            assert_eq!((recorder.standing(), recorder.is_known()), expected);
        }
    }
}
