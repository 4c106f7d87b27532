//! The protocol over a plain byte stream, cut at places of the fuzzer's choice.

use bytes::{BufMut, BytesMut};
use tokio_util::codec::Decoder;
use upload_proto::codec::{Packet, PacketCodec};

use crate::cursor::Cursor;

const PAYLOAD_BYTES_MAX: usize = 300;

pub(super) fn run(input: &[u8]) {
    let mut cursor = Cursor::new(input);
    let step = usize::from(cursor.byte()).max(1);
    let bytes = cursor.rest();
    let whole = read(bytes, bytes.len().max(1));
    let pieces = read(bytes, step);
    assert_eq!(whole, pieces, "where the stream is cut changes nothing");
}

/// Returns the packets, and whether the stream could be read to its end.
fn read(bytes: &[u8], step: usize) -> (Vec<Packet>, bool) {
    let mut codec = PacketCodec::new(PAYLOAD_BYTES_MAX);
    let mut buffer = BytesMut::new();
    let mut packets = Vec::new();
    for piece in bytes.chunks(step) {
        buffer.put_slice(piece);
        loop {
            match codec.decode(&mut buffer) {
                Ok(Some(packet)) => packets.push(packet),
                Ok(None) => break,
                Err(_) => return (packets, false),
            }
        }
        assert!(
            buffer.len() <= PAYLOAD_BYTES_MAX + 5 + step,
            "nothing piles up"
        );
    }
    (packets, true)
}
