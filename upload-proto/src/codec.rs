//! The same protocol over a plain byte stream, for `tokio_util::codec`.
//!
//! A WebSocket keeps messages apart and text from binary; a plain stream needs a header for both:
//!
//! ```text
//! kind: 01 text, 02 binary | length of the payload, u32 big-endian | payload
//! ```

use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;
use tokio_util::codec::{Decoder, Encoder};

use crate::{
    frame::Frame,
    message::{ClientMessage, ServerMessage},
};

/// Bytes in front of a packet's payload: kind and length.
pub const PACKET_HEADER_BYTES: usize = 5;

const TEXT: u8 = 0x01;
const BINARY: u8 = 0x02;

/// One message of the stream, of the kinds a WebSocket has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// Text: a message of PROTOCOL section 5 or 6.
    Text(String),
    /// Bytes: a [`Frame`]; a slice of the read buffer, not a copy.
    Binary(Bytes),
}

impl From<&Frame> for Packet {
    fn from(frame: &Frame) -> Self {
        Self::Binary(frame.encode())
    }
}

impl From<&ClientMessage> for Packet {
    fn from(message: &ClientMessage) -> Self {
        Self::Text(message.to_json())
    }
}

impl From<&ServerMessage> for Packet {
    fn from(message: &ServerMessage) -> Self {
        Self::Text(message.to_json())
    }
}

/// Why a stream cannot be read on, or a packet not be written.
///
/// After one on reading the stream has no more packets that could be told apart.
#[derive(Debug, Error)]
pub enum PacketError {
    /// The first byte of a packet is no kind.
    #[error("unknown packet kind {0:#04x}")]
    UnknownKind(u8),
    /// The payload is larger than the codec was made for.
    #[error("packet of {length} bytes, at most {max} allowed")]
    TooLong {
        /// Bytes of the payload.
        length: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// A text packet is not UTF-8.
    #[error("text packet is not utf-8")]
    NotUtf8,
    /// The stream failed, or ended inside a packet.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Cuts a byte stream into [`Packet`]s and back.
#[derive(Clone, Copy, Debug)]
pub struct PacketCodec {
    payload_bytes_max: usize,
}

impl PacketCodec {
    /// Makes a codec that neither reads nor writes payloads larger than `payload_bytes_max` bytes.
    ///
    /// [`message_bytes_max`](crate::limits::message_bytes_max) is the limit a server's WebSocket has.
    pub const fn new(payload_bytes_max: usize) -> Self {
        Self { payload_bytes_max }
    }

    fn check(&self, length: usize) -> Result<(), PacketError> {
        let max = self.payload_bytes_max;
        if length > max {
            Err(PacketError::TooLong { length, max })
        } else {
            Ok(())
        }
    }
}

impl Decoder for PacketCodec {
    type Item = Packet;
    type Error = PacketError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Packet>, PacketError> {
        let Some(&kind) = src.first() else {
            return Ok(None);
        };
        if kind != TEXT && kind != BINARY {
            return Err(PacketError::UnknownKind(kind));
        }
        let Some(&[_, length @ ..]) = src.first_chunk::<PACKET_HEADER_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(length) as usize;
        // Before any room is made for it.
        self.check(length)?;
        let packet = PACKET_HEADER_BYTES.saturating_add(length);
        if let Some(missing @ 1..) = packet.checked_sub(src.len()) {
            src.reserve(missing);
            return Ok(None);
        }
        let payload = src.split_to(packet).freeze().slice(PACKET_HEADER_BYTES..);
        if kind == BINARY {
            return Ok(Some(Packet::Binary(payload)));
        }
        match String::from_utf8(payload.into()) {
            Ok(text) => Ok(Some(Packet::Text(text))),
            Err(_) => Err(PacketError::NotUtf8),
        }
    }
}

impl Encoder<Packet> for PacketCodec {
    type Error = PacketError;

    fn encode(&mut self, packet: Packet, dst: &mut BytesMut) -> Result<(), PacketError> {
        let (kind, payload) = match &packet {
            Packet::Text(text) => (TEXT, text.as_bytes()),
            Packet::Binary(bytes) => (BINARY, bytes.as_ref()),
        };
        self.check(payload.len())?;
        let Ok(length) = u32::try_from(payload.len()) else {
            return Err(PacketError::TooLong {
                length: payload.len(),
                max: u32::MAX as usize,
            });
        };
        dst.reserve(PACKET_HEADER_BYTES.saturating_add(payload.len()));
        dst.put_u8(kind);
        dst.put_u32(length);
        dst.put_slice(payload);
        Ok(())
    }
}
