//! Credit: how far a client may send (PROTOCOL section 7).

/// The absolute offset granted to a client, like QUIC's `MAX_STREAM_DATA`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    credit: u64,
    floor: u64,
}

impl Window {
    /// Opens a window of `size` bytes at `start`, never of less than two chunks (CREDIT-2),
    /// nor so small that whole chunks within it leave the content gate waiting
    /// for its `head_bytes`.
    pub(crate) fn new(size: u64, chunk_size: u32, head_bytes: u32, start: u64) -> Self {
        let chunk = u64::from(chunk_size);
        let mut window = Self {
            credit: start,
            floor: chunk.saturating_add(chunk.max(u64::from(head_bytes))),
        };
        window.advance(start, size);
        window
    }

    /// Grants anew after the writer took everything before `taken`, where memory has room for `size`
    /// bytes (CREDIT-1: credit only grows; what was granted stays granted).
    pub(crate) fn advance(&mut self, taken: u64, size: u64) {
        let size = self.size(size);
        self.credit = self.credit.max(taken.saturating_add(size));
    }

    /// Returns the offset up to which the client may send.
    pub(crate) fn credit(&self) -> u64 {
        self.credit
    }

    /// Returns how many bytes it has where memory has room for `size`.
    pub(crate) fn size(&self, size: u64) -> u64 {
        size.max(self.floor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CREDIT-1: whatever happens, credit never goes back.
    #[test]
    fn credit_only_grows() {
        let mut window = Window::new(4 << 20, 65_536, 8192, 0);
        assert_eq!(window.credit(), 4 << 20);
        window.advance(65_536, 0);
        assert_eq!(window.credit(), 4 << 20);
        window.advance(4 << 20, 0);
        assert_eq!(window.credit(), (4 << 20) + 2 * 65_536);
    }

    /// CREDIT-2: a window is at least two chunks, however short memory is.
    #[test]
    fn a_window_holds_two_chunks() {
        assert_eq!(Window::new(1, 1000, 100, 500).credit(), 2500);
    }

    /// CREDIT-2: a client that sends whole chunks only fills the content gate.
    #[test]
    fn a_window_holds_the_head() {
        assert_eq!(Window::new(1, 3000, 8192, 0).credit(), 3000 + 8192);
    }
}
