//! What a store counts: the facts next to a record, an owner's sums of them, and limits on the sums.

/// The most bytes a record can declare, 8 TiB; more is cut to it.
///
/// A thousand of them can be added up exactly by every backend, the floating-point numbers of Redis scripts
/// included.
pub const DECLARED_BYTES_MAX: u64 = 1 << 43;

/// What a record is counted as among the records of its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum CountsAs {
    /// As nothing: a receipt, a tombstone. It takes up space in the store, and no place of its owner.
    #[default]
    Nothing,
    /// As an upload that is not finished.
    Unfinished,
    /// As a finished upload that waits for its application.
    Waiting,
}

impl CountsAs {
    /// Returns the number under which backends keep it.
    #[cfg(any(feature = "redb", feature = "redis", feature = "postgres"))]
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Nothing => 0,
            Self::Unfinished => 1,
            Self::Waiting => 2,
        }
    }

    /// Returns what is kept under this number, `None` if nothing is.
    #[cfg(any(feature = "redb", feature = "redis", feature = "postgres"))]
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Nothing),
            1 => Some(Self::Unfinished),
            2 => Some(Self::Waiting),
            _ => None,
        }
    }
}

/// What a store knows of a record without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Facts {
    /// What the record is counted as.
    pub counts_as: CountsAs,
    bytes: u64,
}

impl Facts {
    /// Returns the facts of an unfinished upload of so many declared bytes.
    pub fn unfinished(bytes: u64) -> Self {
        Self::new(CountsAs::Unfinished, bytes)
    }

    /// Returns the facts of a finished upload of so many bytes that waits for its application.
    pub fn waiting(bytes: u64) -> Self {
        Self::new(CountsAs::Waiting, bytes)
    }

    /// Returns facts with so many bytes, cut to [`DECLARED_BYTES_MAX`].
    pub fn new(counts_as: CountsAs, bytes: u64) -> Self {
        Self {
            counts_as,
            bytes: bytes.min(DECLARED_BYTES_MAX),
        }
    }

    /// Returns the declared bytes of the upload; of an upload of unknown length, what it is charged for.
    pub fn bytes(self) -> u64 {
        self.bytes
    }
}

/// A number of records and the sum of their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Tally {
    /// How many records.
    pub records: u64,
    /// The sum of their bytes: declared bytes for what counts, and what the record itself takes up in
    /// [`Counts::all`].
    pub bytes: u64,
}

impl Tally {
    /// Returns the tally with one more record of so many bytes.
    #[must_use]
    pub fn with(self, bytes: u64) -> Self {
        Self {
            records: self.records.saturating_add(1),
            bytes: self.bytes.saturating_add(bytes),
        }
    }

    /// Returns the tally with one record of so many bytes less.
    #[must_use]
    pub fn without(self, bytes: u64) -> Self {
        Self {
            records: self.records.saturating_sub(1),
            bytes: self.bytes.saturating_sub(bytes),
        }
    }

    /// Returns the sum of two tallies.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            records: self.records.saturating_add(other.records),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

/// The records of an owner, or of a whole store, that have not expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Counts {
    /// Unfinished uploads and their declared bytes.
    pub unfinished: Tally,
    /// Waiting uploads and their bytes.
    pub waiting: Tally,
    /// All records, those that count as nothing included, and the bytes that the records themselves and
    /// their owners' names take up in the store.
    pub all: Tally,
}

impl Counts {
    /// Returns the tally that a record with these facts belongs to, if it belongs to one.
    pub fn of(&self, counts_as: CountsAs) -> Option<Tally> {
        match counts_as {
            CountsAs::Nothing => None,
            CountsAs::Unfinished => Some(self.unfinished),
            CountsAs::Waiting => Some(self.waiting),
        }
    }

    /// Returns the sums of two counts.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            unfinished: self.unfinished.plus(other.unfinished),
            waiting: self.waiting.plus(other.waiting),
            all: self.all.plus(other.all),
        }
    }

    /// Counts a record of `record_bytes` in.
    pub fn add(&mut self, facts: Facts, record_bytes: u64) {
        self.all = self.all.with(record_bytes);
        if let Some(tally) = self.of_mut(facts.counts_as) {
            *tally = tally.with(facts.bytes);
        }
    }

    /// Counts a record of `record_bytes` out.
    pub fn subtract(&mut self, facts: Facts, record_bytes: u64) {
        self.all = self.all.without(record_bytes);
        if let Some(tally) = self.of_mut(facts.counts_as) {
            *tally = tally.without(facts.bytes);
        }
    }

    fn of_mut(&mut self, counts_as: CountsAs) -> Option<&mut Tally> {
        match counts_as {
            CountsAs::Nothing => None,
            CountsAs::Unfinished => Some(&mut self.unfinished),
            CountsAs::Waiting => Some(&mut self.waiting),
        }
    }
}

/// The most an owner may have of what a record counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OwnerLimit {
    /// The most records.
    pub records: u64,
    /// The most declared bytes of them together.
    pub bytes: u64,
    /// The most bytes of unfinished and waiting uploads together.
    pub stored_bytes: u64,
}

impl OwnerLimit {
    /// No limit.
    pub const NONE: Self = Self {
        records: u64::MAX,
        bytes: u64::MAX,
        stored_bytes: u64::MAX,
    };

    /// Returns whether an owner with these `counts` may have a record with the facts `new` in place of one
    /// with the facts `old`, `None` for a missing one.
    ///
    /// What raises neither the number nor the bytes is never refused, even if a lower limit was
    /// configured meanwhile; but nothing new begins where no byte is left to be stored.
    pub fn permits(self, counts: &Counts, old: Option<Facts>, new: Facts) -> bool {
        let Some(before) = counts.of(new.counts_as) else {
            return true;
        };
        let others = match old {
            Some(old) if old.counts_as == new.counts_as => before.without(old.bytes),
            _ => before,
        };
        let after = others.with(new.bytes);
        (after.records <= self.records || after.records <= before.records)
            && (after.bytes <= self.bytes || after.bytes <= before.bytes)
            && self.has_room(counts, old, new)
    }

    /// Returns whether the bytes stay within what may be stored of both kinds.
    fn has_room(self, counts: &Counts, old: Option<Facts>, new: Facts) -> bool {
        let before = counts.unfinished.plus(counts.waiting).bytes;
        let old = old.filter(|old| old.counts_as != CountsAs::Nothing);
        let Some(old) = old else {
            let has_left = before < self.stored_bytes || self.stored_bytes == u64::MAX;
            return has_left && before.saturating_add(new.bytes) <= self.stored_bytes;
        };
        let after = before.saturating_sub(old.bytes).saturating_add(new.bytes);
        after <= self.stored_bytes || after <= before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(records: u64, bytes: u64) -> Counts {
        Counts {
            unfinished: Tally { records, bytes },
            ..Counts::default()
        }
    }

    #[test]
    fn a_limit_refuses_exactly_what_raises_a_sum_past_it() {
        let limit = OwnerLimit {
            records: 2,
            bytes: 100,
            ..OwnerLimit::NONE
        };
        let unfinished = Facts::unfinished;
        for (counts, old, new, permitted) in [
            (counts(1, 60), None, unfinished(40), true),
            (counts(1, 60), None, unfinished(41), false),
            (counts(2, 60), None, unfinished(0), false),
            (counts(2, 60), None, Facts::waiting(1000), false),
            (
                counts(2, 60),
                None,
                Facts::new(CountsAs::Nothing, 1000),
                true,
            ),
            (counts(2, 100), Some(unfinished(50)), unfinished(50), true),
            (counts(2, 100), Some(unfinished(50)), unfinished(51), false),
            (counts(2, 100), Some(Facts::default()), unfinished(0), false),
            // A lower limit was configured meanwhile.
            (counts(9, 900), Some(unfinished(50)), unfinished(50), true),
            (counts(9, 900), Some(unfinished(50)), unfinished(49), true),
            (counts(9, 900), Some(unfinished(50)), unfinished(51), false),
        ] {
            assert_eq!(
                limit.permits(&counts, old, new),
                permitted,
                "{counts:?} {old:?} {new:?}"
            );
        }
        assert!(OwnerLimit::NONE.permits(&counts(u64::MAX, u64::MAX), None, unfinished(1)));
    }

    #[test]
    fn what_is_stored_is_limited_over_both_kinds() {
        let limit = OwnerLimit {
            stored_bytes: 100,
            ..OwnerLimit::NONE
        };
        let both = |unfinished, waiting| Counts {
            unfinished: Tally {
                records: 1,
                bytes: unfinished,
            },
            waiting: Tally {
                records: 1,
                bytes: waiting,
            },
            ..Counts::default()
        };
        let unfinished = Facts::unfinished;
        for (counts, old, new, permitted) in [
            (both(30, 30), None, unfinished(40), true),
            (both(30, 30), None, unfinished(41), false),
            (both(30, 30), None, Facts::waiting(41), false),
            (both(30, 30), Some(unfinished(30)), Facts::waiting(70), true),
            (
                both(30, 30),
                Some(unfinished(30)),
                Facts::waiting(71),
                false,
            ),
            // One of unknown length begins with nothing, so it needs a byte that is left.
            (both(30, 69), None, unfinished(0), true),
            (both(30, 70), None, unfinished(0), false),
            (both(30, 70), Some(Facts::default()), unfinished(0), false),
            (both(30, 70), None, Facts::default(), true),
            // A lower limit was configured meanwhile.
            (both(90, 70), Some(unfinished(90)), Facts::waiting(90), true),
            (
                both(90, 70),
                Some(unfinished(90)),
                Facts::waiting(91),
                false,
            ),
        ] {
            assert_eq!(
                limit.permits(&counts, old, new),
                permitted,
                "{counts:?} {old:?} {new:?}"
            );
        }
    }

    #[test]
    fn counting_in_and_out_ends_at_the_start() {
        let mut counts = Counts::default();
        let facts = [
            Facts::unfinished(7),
            Facts::waiting(u64::MAX),
            Facts::default(),
        ];
        for facts in facts {
            counts.add(facts, 10);
        }
        assert_eq!(
            counts.all,
            Tally {
                records: 3,
                bytes: 30
            }
        );
        assert_eq!(
            counts.unfinished,
            Tally {
                records: 1,
                bytes: 7
            }
        );
        assert_eq!(
            counts.waiting,
            Tally {
                records: 1,
                bytes: DECLARED_BYTES_MAX
            }
        );
        for facts in facts {
            counts.subtract(facts, 10);
        }
        assert_eq!(counts, Counts::default());
    }
}
