//! Whether the library's read buffer grew, and when it can be exchanged for a small one.

/// Payload that fits into a read buffer of the size it has at first.
const SMALL_BYTES: usize = 4096;

/// What came, and how much of it at a time.
#[derive(Debug, Default)]
pub(super) struct Girth {
    /// Bytes of all messages, frame heads included, as far as is known: a message that came in
    /// fragments had more heads than one.
    bytes_received: u64,
    /// The largest message since the last look.
    largest: usize,
    has_grown: bool,
}

impl Girth {
    /// Notes a message with this much payload.
    pub(super) fn received(&mut self, payload: usize) {
        self.largest = self.largest.max(payload);
        let frame = u64::try_from(framed(payload)).unwrap_or(u64::MAX);
        self.bytes_received = self.bytes_received.saturating_add(frame);
    }

    /// Returns whether the buffer grew, has been quiet since the last look, and holds nothing.
    ///
    /// It holds nothing where the messages handed out add up to `bytes_read` of the stream. They can add
    /// up to less, after fragments, and never to more.
    pub(super) fn is_too_much(&mut self, bytes_read: u64) -> bool {
        let is_quiet = self.largest <= SMALL_BYTES;
        self.has_grown |= !is_quiet;
        self.largest = 0;
        is_quiet && self.has_grown && self.bytes_received == bytes_read
    }

    /// Notes that the buffer was exchanged.
    pub(super) fn slimmed(&mut self) {
        self.has_grown = false;
    }
}

/// Returns the length of a frame that a client sends with this much payload (RFC 6455, section 5.2).
fn framed(payload: usize) -> usize {
    let head = match payload {
        0..=125 => 6,
        126..=0xffff => 8,
        _ => 14,
    };
    payload.saturating_add(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grown_buffer_goes_after_a_quiet_time() {
        let mut girth = Girth::default();
        girth.received(100);
        assert!(!girth.is_too_much(106), "it did not grow");
        girth.received(65_536);
        assert!(!girth.is_too_much(106 + 65_550), "it was just used");
        girth.received(0);
        assert!(
            !girth.is_too_much(106 + 65_550 + 7),
            "a byte is half way in"
        );
        assert!(girth.is_too_much(106 + 65_550 + 6));
        girth.slimmed();
        assert!(!girth.is_too_much(106 + 65_550 + 6));
    }
}
