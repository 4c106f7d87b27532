//! How long a file is, as far as that is known.

use serde::{Deserialize, Serialize};

/// What arrives of a file of unknown length is counted for its owner in steps of this many bytes.
const STEP_BYTES: u64 = 16 * 1024 * 1024;

/// How many bytes the file of an upload has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Length {
    /// So many: the client declared them, or ended the file there.
    #[serde(rename = "client_size")]
    Known(u64),
    /// Not known yet, and not more than these: what the slot and the owner's limit allow.
    #[serde(rename = "client_size_max")]
    AtMost(u64),
}

impl Length {
    /// Returns the length, where it is known.
    pub fn known(self) -> Option<u64> {
        match self {
            Self::Known(bytes) => Some(bytes),
            Self::AtMost(_) => None,
        }
    }

    /// Returns the length, or the most that it may be.
    pub fn max(self) -> u64 {
        match self {
            Self::Known(bytes) | Self::AtMost(bytes) => bytes,
        }
    }

    /// Returns how many bytes count for the owner once `received` have arrived (CTRL-3).
    pub(crate) fn counted(self, received: u64) -> u64 {
        match self {
            Self::Known(bytes) => bytes,
            Self::AtMost(max) => {
                let steps = received.div_ceil(STEP_BYTES);
                steps.saturating_mul(STEP_BYTES).min(max)
            }
        }
    }

    /// Returns `received` in whole percent, rounded down; 100 for an empty file, and 0 while the
    /// length is not known.
    pub(crate) fn percent(self, received: u64) -> u8 {
        let Self::Known(size) = self else {
            return 0;
        };
        let hundredfold = u128::from(received.min(size)).saturating_mul(100);
        // Nothing of nothing is all of it.
        let percent = hundredfold.checked_div(u128::from(size)).unwrap_or(100);
        u8::try_from(percent).unwrap_or(100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CTRL-3: a file of unknown length counts what arrived, in steps, and never more than its most.
    #[test]
    fn an_open_length_is_counted_in_steps() {
        let open = Length::AtMost(STEP_BYTES * 2 + 5);
        let counted = |received| open.counted(received);
        assert_eq!((counted(0), counted(1)), (0, STEP_BYTES));
        assert_eq!(counted(STEP_BYTES), STEP_BYTES);
        assert_eq!(counted(STEP_BYTES + 1), 2 * STEP_BYTES);
        assert_eq!(counted(2 * STEP_BYTES + 1), open.max());
        assert_eq!(Length::Known(7).counted(1), 7);
    }

    #[test]
    fn percent_of_what_is_known() {
        assert_eq!(Length::Known(0).percent(0), 100);
        assert_eq!(Length::Known(3).percent(2), 66);
        assert_eq!(Length::AtMost(3).percent(3), 0);
        assert_eq!(Length::Known(u64::MAX).percent(u64::MAX), 100);
    }
}
