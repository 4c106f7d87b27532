//! Whether everything that was read was handed out, and whether it is worth keeping a buffer for.

/// Payload that a connection at rest may have now and then: pings, progress, control messages.
const SMALL_BYTES: usize = 4096;

/// What came, and how much of it at a time.
#[derive(Debug, Default)]
pub(super) struct IdleBuffer {
    /// Bytes of all messages, frame heads included, as far as is known: a message that came in
    /// fragments had more heads than one.
    bytes_received: u64,
    /// The largest message lately.
    largest: usize,
}

impl IdleBuffer {
    /// Notes a message with this much payload.
    pub(super) fn received(&mut self, payload: usize) {
        self.largest = self.largest.max(payload);
        let frame = u64::try_from(framed(payload)).unwrap_or(u64::MAX);
        self.bytes_received = self.bytes_received.saturating_add(frame);
    }

    /// Returns whether a read buffer can be given back: it holds nothing, and was not needed lately.
    ///
    /// It holds nothing where the messages handed out add up to `bytes_read` of the stream. They can add
    /// up to less, after fragments, and never to more.
    pub(super) fn can_shrink(&self, bytes_read: u64) -> bool {
        self.largest <= SMALL_BYTES && self.bytes_received == bytes_read
    }

    /// Forgets what was large so far.
    pub(super) fn forget_largest(&mut self) {
        self.largest = 0;
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
    fn a_buffer_is_kept_while_it_is_needed() {
        let mut idle_buffer = IdleBuffer::default();
        idle_buffer.received(100);
        assert!(idle_buffer.can_shrink(106));
        assert!(!idle_buffer.can_shrink(107), "a byte is half way in");
        idle_buffer.received(65_536);
        assert!(
            !idle_buffer.can_shrink(106 + 65_550),
            "more like it will come"
        );
        idle_buffer.forget_largest();
        assert!(idle_buffer.can_shrink(106 + 65_550));
    }
}
