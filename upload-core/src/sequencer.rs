//! Which chunks of an upload are accepted (PROTOCOL section 3).

/// What an index means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// It is the next one.
    Next,
    /// It was received before (CHUNK-2).
    Again,
    /// It lies past the next one, and this gap was not reported yet (CHUNK-3).
    NewGap,
    /// It lies past the next one, which was reported.
    Gap,
}

/// The next index of one upload on one connection.
#[derive(Clone, Debug)]
pub(crate) struct Sequencer {
    next_index: u64,
    gap: Gap,
}

/// Whether the client knows that a chunk is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gap {
    Unreported,
    Reported,
}

impl Sequencer {
    /// Starts with index 0 at byte 0 (CHUNK-1), and after a resume at `received` with
    /// floor(`received` / `chunk_size`) (CHUNK-4).
    pub(crate) fn from(received: u64, chunk_size: u32) -> Self {
        Self {
            next_index: whole_chunks(received, chunk_size),
            gap: Gap::Unreported,
        }
    }

    /// Judges the index of a chunk.
    pub(crate) fn judge(&mut self, index: u32) -> Accepted {
        let index = u64::from(index);
        if index < self.next_index {
            return Accepted::Again;
        }
        if index > self.next_index {
            return match std::mem::replace(&mut self.gap, Gap::Reported) {
                Gap::Unreported => Accepted::NewGap,
                Gap::Reported => Accepted::Gap,
            };
        }
        Accepted::Next
    }

    /// Notes that the next chunk was appended.
    pub(crate) fn advance(&mut self) {
        self.next_index = self.next_index.saturating_add(1);
        self.gap = Gap::Unreported;
    }

    /// Returns the index the next chunk must have.
    pub(crate) fn next_index(&self) -> u64 {
        self.next_index
    }
}

/// Returns how many chunks `bytes` are, a last short one left out (CHUNK-4).
pub(crate) fn whole_chunks(bytes: u64, chunk_size: u32) -> u64 {
    bytes.checked_div(u64::from(chunk_size)).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CHUNK-1, CHUNK-2: in order once; an index seen before changes nothing.
    #[test]
    fn accepts_each_index_once() {
        let mut sequencer = Sequencer::from(0, 4);
        assert_eq!(sequencer.judge(0), Accepted::Next);
        sequencer.advance();
        assert_eq!(sequencer.judge(0), Accepted::Again);
        assert_eq!(sequencer.judge(1), Accepted::Next);
        sequencer.advance();
        assert_eq!(sequencer.next_index(), 2);
    }

    /// CHUNK-3: a gap is reported once, until the right chunk closes it.
    #[test]
    fn reports_a_gap_once() {
        let mut sequencer = Sequencer::from(0, 4);
        assert_eq!(sequencer.judge(1), Accepted::NewGap);
        assert_eq!(sequencer.judge(2), Accepted::Gap);
        assert_eq!(sequencer.judge(0), Accepted::Next);
        sequencer.advance();
        assert_eq!(sequencer.judge(7), Accepted::NewGap);
    }

    /// CHUNK-4: position never comes from index arithmetic.
    #[test]
    fn resumes_inside_a_chunk() {
        assert_eq!(Sequencer::from(10, 4).next_index(), 2);
        assert_eq!(Sequencer::from(12, 4).next_index(), 3);
    }
}
