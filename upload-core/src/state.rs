//! The life of one upload, as a table.
//!
//! ```text
//!            Claimed            HeadRead             Accepted          Opened
//! Claiming ──────────▶ Holding ──────────▶ Inspecting ────────▶ Opening ──────┐
//!     │                                                                       ▼
//!     │ Found                                Reopened                         │
//!     └──────▶ Reopening ─────────────────────────────────────────────▶ Receiving
//!                  │                                                          │ Finish
//!                  │ ClosedBefore             Closed          Settled         ▼
//!                  └──────────▶ Recording ◀────────── Closing ◀────────── Finishing
//!                                   │ Recorded
//!                                   ▼
//!                               Complete
//! ```
//!
//! A writer that is reopened before the head of its file is the upload's to keep
//! leads back to `Holding` (`Unjudged`): the bytes to come are not those that were
//! judged. Its writer is open by then, so `Accepted` and `Opened` follow at once.
//!
//! From any phase that has not ended, `Fail` leads to `Failed` (not from
//! `Recording`: the file is published by then) and `Cancel` to `Cancelled` (not
//! once the writer was told to close). `Detach` leads from the two quiet phases,
//! `Holding` and `Receiving`, to `Detached`; every other phase first comes to
//! rest. `Shelve` leads to `Detached` from wherever a writer is at work, after
//! storage that is full or throttled took the writer away. An upload without a
//! record passes through `Claiming` and `Recording` without waiting. One that is
//! being taken over has bytes in storage and nobody to remove them: what would be
//! its `Fail` or `Cancel` in `Claiming` is held back until its writer is back.

/// Where an upload stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Its record is being put into the store, or taken over.
    Claiming,
    /// Registered; the first bytes are held back by the content gate.
    Holding,
    /// The verdict on the first bytes is asked for.
    Inspecting,
    /// The writer is opening.
    Opening,
    /// The writer is being reopened where an earlier holder left off.
    Reopening,
    /// The writer is open and takes bytes.
    Receiving,
    /// Every byte is here and checked; the writer takes the last of them.
    Finishing,
    /// The writer closes.
    Closing,
    /// The file has its name; the receipt is being recorded.
    Recording,
    /// Ended: the file is stored.
    Complete,
    /// Ended: with a code.
    Failed,
    /// Ended: the client or the application did not want it any more.
    Cancelled,
    /// Not held by this connection any more; somebody may resume it.
    Detached,
}

/// What can happen to an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The record is ours and no writer was ever opened.
    Claimed,
    /// The record is ours and a writer was opened before.
    Found,
    /// The content gate holds enough to ask for a verdict.
    HeadRead,
    /// The verdict lets the file pass.
    Accepted,
    /// The writer is open.
    Opened,
    /// The writer goes on where an earlier holder left off.
    Reopened,
    /// The writer goes on, but at an offset before the end of what is judged.
    Unjudged,
    /// An earlier holder's close turns out to have taken effect.
    ClosedBefore,
    /// A complete frame was found right: all bytes, and the checksum.
    Finish,
    /// The writer took every byte, and the record knows the end is near.
    Settled,
    /// The writer is closed.
    Closed,
    /// The record holds the receipt, or there is none to hold it.
    Recorded,
    /// Something ends the upload with a code.
    Fail,
    /// The client or the application cancels.
    Cancel,
    /// The connection lets go of it.
    Detach,
    /// The writer is lost to passing trouble; what is durable is kept.
    Shelve,
}

impl Phase {
    /// Every phase, for tests that walk the table.
    pub const ALL: [Phase; 13] = [
        Phase::Claiming,
        Phase::Holding,
        Phase::Inspecting,
        Phase::Opening,
        Phase::Reopening,
        Phase::Receiving,
        Phase::Finishing,
        Phase::Closing,
        Phase::Recording,
        Phase::Complete,
        Phase::Failed,
        Phase::Cancelled,
        Phase::Detached,
    ];

    /// Returns the phase after `step`, or `None` where the step means nothing:
    /// a late answer, or a wish that comes too late.
    pub fn after(self, step: Step) -> Option<Phase> {
        use Phase as P;
        use Step as S;
        let next = match (self, step) {
            (P::Claiming, S::Claimed) => P::Holding,
            (P::Claiming, S::Found) => P::Reopening,
            (P::Holding, S::HeadRead) => P::Inspecting,
            (P::Inspecting, S::Accepted) => P::Opening,
            (P::Opening, S::Opened) => P::Receiving,
            (P::Reopening, S::Reopened) => P::Receiving,
            (P::Reopening, S::Unjudged) => P::Holding,
            (P::Reopening, S::ClosedBefore) => P::Recording,
            (P::Receiving, S::Finish) => P::Finishing,
            (P::Finishing, S::Settled) => P::Closing,
            (P::Closing, S::Closed) => P::Recording,
            (P::Recording, S::Recorded) => P::Complete,
            (P::Holding | P::Receiving, S::Detach) => P::Detached,
            (P::Opening | P::Reopening | P::Receiving | P::Finishing | P::Closing, S::Shelve) => {
                P::Detached
            }
            (P::Recording, S::Fail) | (P::Closing | P::Recording, S::Cancel) => return None,
            (phase, S::Fail) if !phase.is_over() => P::Failed,
            (phase, S::Cancel) if !phase.is_over() => P::Cancelled,
            _ => return None,
        };
        Some(next)
    }

    /// Returns whether nothing can happen any more.
    pub fn is_over(self) -> bool {
        matches!(
            self,
            Phase::Complete | Phase::Failed | Phase::Cancelled | Phase::Detached
        )
    }
}

impl Step {
    /// Every step, for tests that walk the table.
    pub const ALL: [Step; 16] = [
        Step::Claimed,
        Step::Found,
        Step::HeadRead,
        Step::Accepted,
        Step::Opened,
        Step::Reopened,
        Step::Unjudged,
        Step::ClosedBefore,
        Step::Finish,
        Step::Settled,
        Step::Closed,
        Step::Recorded,
        Step::Fail,
        Step::Cancel,
        Step::Detach,
        Step::Shelve,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One row per phase, one column per step in the order of `Step::ALL`:
    /// the initial of the next phase, or a dot where the step means nothing.
    /// COMPLETE-6: the last four rows are all dots, so no upload ends twice.
    const TABLE: [(Phase, &str); 13] = [
        //                  Cl Fo HR Ac Op Re Un CB Fi Se Cd Rd Fa Ca De Sh
        (
            Phase::Claiming,
            "  H  e  .  .  .  .  .  .  .  .  .  .  F  X  .  .",
        ),
        (
            Phase::Holding,
            "   .  .  I  .  .  .  .  .  .  .  .  .  F  X  D  .",
        ),
        (
            Phase::Inspecting,
            ".  .  .  O  .  .  .  .  .  .  .  .  F  X  .  .",
        ),
        (
            Phase::Opening,
            "   .  .  .  .  R  .  .  .  .  .  .  .  F  X  .  D",
        ),
        (
            Phase::Reopening,
            " .  .  .  .  .  R  H  r  .  .  .  .  F  X  .  D",
        ),
        (
            Phase::Receiving,
            " .  .  .  .  .  .  .  .  f  .  .  .  F  X  D  D",
        ),
        (
            Phase::Finishing,
            " .  .  .  .  .  .  .  .  .  c  .  .  F  X  .  D",
        ),
        (
            Phase::Closing,
            "   .  .  .  .  .  .  .  .  .  .  r  .  F  .  .  D",
        ),
        (
            Phase::Recording,
            " .  .  .  .  .  .  .  .  .  .  .  C  .  .  .  .",
        ),
        (
            Phase::Complete,
            "  .  .  .  .  .  .  .  .  .  .  .  .  .  .  .  .",
        ),
        (
            Phase::Failed,
            "    .  .  .  .  .  .  .  .  .  .  .  .  .  .  .  .",
        ),
        (
            Phase::Cancelled,
            " .  .  .  .  .  .  .  .  .  .  .  .  .  .  .  .",
        ),
        (
            Phase::Detached,
            "  .  .  .  .  .  .  .  .  .  .  .  .  .  .  .  .",
        ),
    ];

    fn initial(phase: Option<Phase>) -> &'static str {
        match phase {
            None => ".",
            Some(Phase::Claiming) => "?",
            Some(Phase::Holding) => "H",
            Some(Phase::Inspecting) => "I",
            Some(Phase::Opening) => "O",
            Some(Phase::Reopening) => "e",
            Some(Phase::Receiving) => "R",
            Some(Phase::Finishing) => "f",
            Some(Phase::Closing) => "c",
            Some(Phase::Recording) => "r",
            Some(Phase::Complete) => "C",
            Some(Phase::Failed) => "F",
            Some(Phase::Cancelled) => "X",
            Some(Phase::Detached) => "D",
        }
    }

    #[test]
    fn every_phase_meets_every_step() {
        assert_eq!(TABLE.map(|(phase, _)| phase), Phase::ALL);
        for (phase, row) in TABLE {
            let cells: Vec<_> = row.split_whitespace().collect();
            assert_eq!(cells.len(), Step::ALL.len(), "{phase:?}");
            for (step, cell) in Step::ALL.into_iter().zip(cells) {
                assert_eq!(initial(phase.after(step)), cell, "{phase:?} {step:?}");
            }
        }
    }

    /// COMPLETE-6: what is over stays over.
    #[test]
    fn an_ending_is_final() {
        for phase in Phase::ALL.into_iter().filter(|phase| phase.is_over()) {
            for step in Step::ALL {
                assert_eq!(phase.after(step), None);
            }
        }
    }
}
