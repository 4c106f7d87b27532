//! Which chunks of an upload are taken (PROTOCOL section 3).

/// What became of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It was the next one.
    Next,
    /// It was here before (CHUNK-2).
    Again,
    /// It lies beyond the next one; `first` of this gap or not (CHUNK-3).
    Gap {
        /// Whether this gap was not told yet.
        first: bool,
    },
    /// It goes past the declared size (CHUNK-5).
    Excess,
}

/// The next index and the bytes taken so far.
#[derive(Clone, Debug)]
pub(crate) struct Intake {
    next_index: u64,
    received: u64,
    size: u64,
    gap_told: bool,
}

impl Intake {
    /// Starts at byte 0 with index 0 (CHUNK-1), or after a resume at `received`
    /// with `next_index` = floor(`received` / `chunk_size`) (CHUNK-4).
    pub(crate) fn from(received: u64, chunk_size: u32, size: u64) -> Self {
        Self {
            next_index: whole_chunks(received, chunk_size),
            received,
            size,
            gap_told: false,
        }
    }

    /// Takes a chunk of `length` bytes, or says why not.
    pub(crate) fn take(&mut self, index: u32, length: usize) -> Taken {
        let index = u64::from(index);
        if index < self.next_index {
            return Taken::Again;
        }
        if index > self.next_index {
            let first = !self.gap_told;
            self.gap_told = true;
            return Taken::Gap { first };
        }
        let end = u64::try_from(length)
            .ok()
            .and_then(|length| self.received.checked_add(length));
        match end {
            Some(end) if end <= self.size => {
                self.received = end;
                self.next_index = self.next_index.saturating_add(1);
                self.gap_told = false;
                Taken::Next
            }
            _ => Taken::Excess,
        }
    }

    /// Returns the index the next chunk must have.
    pub(crate) fn next_index(&self) -> u64 {
        self.next_index
    }

    /// Returns the bytes taken in order.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Returns whether every declared byte is here.
    pub(crate) fn is_whole(&self) -> bool {
        self.received == self.size
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
    fn takes_each_index_once() {
        let mut intake = Intake::from(0, 4, 100);
        assert_eq!(intake.take(0, 4), Taken::Next);
        assert_eq!(intake.take(0, 4), Taken::Again);
        assert_eq!(intake.take(1, 0), Taken::Next);
        assert_eq!((intake.next_index(), intake.received()), (2, 4));
    }

    /// CHUNK-3: a gap is told once, until the right chunk closes it.
    #[test]
    fn tells_a_gap_once() {
        let mut intake = Intake::from(0, 4, 100);
        assert_eq!(intake.take(1, 4), Taken::Gap { first: true });
        assert_eq!(intake.take(2, 4), Taken::Gap { first: false });
        assert_eq!(intake.take(0, 4), Taken::Next);
        assert_eq!(intake.take(7, 4), Taken::Gap { first: true });
        assert_eq!(intake.received(), 4);
    }

    /// CHUNK-4: position never comes from index arithmetic.
    #[test]
    fn resumes_inside_a_chunk() {
        let mut intake = Intake::from(10, 4, 12);
        assert_eq!(intake.next_index(), 2);
        assert_eq!(intake.take(2, 2), Taken::Next);
        assert!(intake.is_whole());
    }

    /// CHUNK-5: nothing past the declared size is taken.
    #[test]
    fn refuses_excess_whole() {
        let mut intake = Intake::from(0, 4, 5);
        assert_eq!(intake.take(0, 6), Taken::Excess);
        assert_eq!(intake.received(), 0);
        assert_eq!(intake.take(0, 5), Taken::Next);
        assert_eq!(intake.take(1, 1), Taken::Excess);
    }
}
