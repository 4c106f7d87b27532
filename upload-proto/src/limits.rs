//! Every bound of the wire, by name.

/// Largest nesting of objects and arrays in a text message, the message itself counted (PROTOCOL CTRL-1).
pub const MESSAGE_DEPTH_MAX: usize = 32;

/// Largest `client_name` and `relative_path`, in bytes of UTF-8 (PROTOCOL CTRL-2).
pub const CLIENT_NAME_BYTES_MAX: usize = 4096;

/// Largest `client_type`, in bytes: two names of at most 127 bytes and the slash (RFC 6838, 4.2).
pub const CLIENT_TYPE_BYTES_MAX: usize = 255;

/// Largest `meta`, in bytes of its JSON text as it was sent (PROTOCOL section 5).
pub const META_BYTES_MAX: usize = 4096;

/// Largest `client_id`, in bytes.
pub const CLIENT_ID_BYTES_MAX: usize = 128;

/// Largest name of an event, in bytes.
pub const EVENT_NAME_BYTES_MAX: usize = 128;

/// The most uploads that an event names (PROTOCOL CTRL-6).
pub const EVENT_UPLOADS_MAX: usize = 1024;

/// Largest textual `id` of an event, in bytes.
pub const EVENT_ID_BYTES_MAX: usize = 128;

/// Largest `client_size`, in bytes: 2^53-1, the last integer every JSON reader agrees on (PROTOCOL CTRL-2).
pub const SIZE_MAX: u64 = (1 << 53) - 1;

/// Largest `last_modified` that is kept, in milliseconds since 1970: the last date of ECMAScript.
pub const DATE_MS_MAX: u64 = 8_640_000_000_000_000;

/// Largest text message that is read, in bytes; no server's message limit is smaller (PROTOCOL FRAME-3).
///
/// A message limit grows with the chunks of a server's slots. Text must not: what is made of it takes
/// many times its size.
pub const TEXT_BYTES_MAX: usize = 65_536;

/// Chunk size of a slot that names none, in bytes.
pub const DEFAULT_CHUNK_BYTES: u32 = 65_536;

/// Version of the protocol, as `upload_configs` announces it.
pub const PROTOCOL_VERSION: u32 = 1;

/// WebSocket subprotocol that a client offers which knows more than the plain protocol.
pub const SUBPROTOCOL: &str = "upload.v1";

/// Returns the message limit of a server whose largest chunk has `largest_chunk` bytes (PROTOCOL FRAME-3).
pub const fn message_bytes_max(largest_chunk: u32) -> usize {
    let frame = (largest_chunk as usize).saturating_add(crate::frame::CHUNK_HEADER_BYTES);
    if frame < TEXT_BYTES_MAX {
        TEXT_BYTES_MAX
    } else {
        frame
    }
}

/// WebSocket close codes (PROTOCOL CONN-2).
pub mod close {
    /// Done, nothing left to say.
    pub const NORMAL: u16 = 1000;
    /// The tab closes or navigates away.
    pub const GOING_AWAY: u16 = 1001;
    /// A text message was not UTF-8.
    pub const BAD_UTF8: u16 = 1007;
    /// A message was larger than the limit.
    pub const TOO_BIG: u16 = 1009;
    /// The server restarts: reconnect and resume.
    pub const RESTARTING: u16 = 1012;
    /// The connection has no owner, and the server wants one.
    pub const UNAUTHENTICATED: u16 = 4401;
    /// Nothing was heard for too long.
    pub const IDLE: u16 = 4408;
    /// Too much of what was sent had to be refused.
    pub const ABUSIVE: u16 = 4429;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FRAME-3: the largest chunk and its header fit, and never less than 64 KiB.
    #[test]
    fn frame_3_message_limit_holds_the_largest_chunk() {
        assert_eq!(message_bytes_max(DEFAULT_CHUNK_BYTES), 65_557);
        assert_eq!(message_bytes_max(0), TEXT_BYTES_MAX);
        assert_eq!(message_bytes_max(65_515), TEXT_BYTES_MAX);
        assert_eq!(message_bytes_max(65_516), 65_537);
        assert_eq!(message_bytes_max(u32::MAX), u32::MAX as usize + 21);
    }
}
