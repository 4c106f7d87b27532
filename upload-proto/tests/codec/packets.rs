//! Properties of the protocol over a plain byte stream.

use bytes::{Bytes, BytesMut};
use proptest::{collection::vec, prelude::*};
use tokio_util::codec::{Decoder, Encoder};
use upload_proto::{
    ClientMessage, Frame,
    codec::{PACKET_HEADER_BYTES, Packet, PacketCodec, PacketError},
    strategies::{client_messages, frames, server_messages},
};

fn packets() -> impl Strategy<Value = Packet> {
    prop_oneof![
        frames().prop_map(|frame| Packet::from(&frame)),
        client_messages().prop_map(|message| Packet::from(&message)),
        server_messages().prop_map(|message| Packet::from(&message)),
    ]
}

/// Feeds a stream in pieces of the given lengths, then its end.
fn read(codec: PacketCodec, stream: &[u8], pieces: &[usize]) -> (Vec<Packet>, Option<PacketError>) {
    let (mut codec, mut buffer, mut packets) = (codec, BytesMut::new(), Vec::new());
    let (mut rest, mut lengths) = (stream, pieces.iter().cycle());
    loop {
        let step = match codec.decode(&mut buffer) {
            Ok(None) if rest.is_empty() => codec.decode_eof(&mut buffer),
            other => other,
        };
        match step {
            Ok(Some(packet)) => packets.push(packet),
            Ok(None) if rest.is_empty() => return (packets, None),
            Ok(None) => {
                let length = lengths.next().map_or(1, |length| (*length).min(rest.len()));
                let (piece, after) = rest.split_at(length);
                buffer.extend_from_slice(piece);
                rest = after;
            }
            Err(error) => return (packets, Some(error)),
        }
    }
}

proptest! {
    /// FRAME-1, CTRL-1: messages keep their bounds and kinds, however the stream is cut.
    #[test]
    fn frame_1_packets_survive_any_cutting(
        sent in vec(packets(), 0..6),
        pieces in vec(1..200_usize, 1..8),
    ) {
        let mut codec = PacketCodec::new(65_536);
        let mut stream = BytesMut::new();
        for packet in &sent {
            codec.encode(packet.clone(), &mut stream).unwrap();
        }
        let (received, error) = read(codec, &stream, &pieces);
        prop_assert!(error.is_none(), "{error:?}");
        prop_assert_eq!(received, sent);
    }

    /// FRAME-1: arbitrary bytes are survived, and never grow the buffer past one packet.
    #[test]
    fn frame_1_any_stream_is_survived(stream in vec(prop_oneof![0..3_u8, any::<u8>()], 0..256)) {
        let (packets, error) = read(PacketCodec::new(64), &stream, &[7]);
        let taken: usize = packets.iter().map(|packet| PACKET_HEADER_BYTES + length(packet)).sum();
        prop_assert!(packets.iter().all(|packet| length(packet) <= 64));
        prop_assert!(error.is_some() || taken == stream.len());
    }

    /// FRAME-3: the limit holds for reading and writing, and is checked before there is a payload.
    #[test]
    fn frame_3_packets_past_the_limit_are_refused(max in 0..64_usize, over in 1..1000_usize) {
        let too_long = Packet::Binary(Bytes::from(vec![0; max + over]));
        let mut wide = BytesMut::new();
        PacketCodec::new(max + over).encode(too_long.clone(), &mut wide).unwrap();
        wide.truncate(PACKET_HEADER_BYTES);
        let mut codec = PacketCodec::new(max);
        for error in [
            codec.decode(&mut wide).unwrap_err(),
            codec.encode(too_long, &mut BytesMut::new()).unwrap_err(),
        ] {
            let PacketError::TooLong { length, max: limit } = error else {
                return Err(TestCaseError::fail(error.to_string()));
            };
            prop_assert_eq!((length, limit), (max + over, max));
        }
    }

    /// FRAME-1: a stream that ends inside a packet is an error, not a shorter packet.
    #[test]
    fn frame_1_truncated_streams_are_refused(packet in packets(), at in any::<prop::sample::Index>()) {
        let mut stream = BytesMut::new();
        PacketCodec::new(65_536).encode(packet, &mut stream).unwrap();
        let length = 1 + at.index(stream.len() - 1);
        let (packets, error) = read(PacketCodec::new(65_536), &stream[..length], &[1000]);
        prop_assert_eq!(packets, []);
        prop_assert!(matches!(error, Some(PacketError::Io(_))), "{error:?}");
    }
}

/// FRAME-2: the payload of a packet, and the chunk in it, lie in the buffer that was read.
#[test]
fn frame_2_packets_are_not_copied() {
    let data = Bytes::from_static(b"hello world");
    let chunk = Frame::Chunk {
        upload: upload_proto::UploadRef::NIL,
        index: 0,
        data,
    };
    let mut stream = BytesMut::new();
    PacketCodec::new(64)
        .encode(Packet::from(&chunk), &mut stream)
        .unwrap();
    let start = stream.as_ptr().wrapping_add(PACKET_HEADER_BYTES + 21);
    let Some(Packet::Binary(bytes)) = PacketCodec::new(64).decode(&mut stream).unwrap() else {
        panic!("not a binary packet");
    };
    let Frame::Chunk { data, .. } = Frame::decode(bytes).unwrap() else {
        panic!("not a chunk");
    };
    assert_eq!((data.as_ptr(), &data[..]), (start, &b"hello world"[..]));
}

/// CTRL-1: kinds are known, and text is UTF-8.
#[test]
fn ctrl_1_kinds_and_text_are_checked() {
    let read = |bytes: &[u8]| read(PacketCodec::new(64), bytes, &[1000]);
    let (packets, error) = read(b"\x01\0\0\0\x0f{\"type\":\"ping\"}\x03\0\0\0\0");
    let [Packet::Text(text)] = &packets[..] else {
        panic!("{packets:?}");
    };
    assert_eq!(ClientMessage::parse(text), Ok(ClientMessage::Ping));
    assert!(matches!(error, Some(PacketError::UnknownKind(3))));
    let (_, error) = read(b"\x01\0\0\0\x01\xff");
    assert!(matches!(error, Some(PacketError::NotUtf8)));
}

fn length(packet: &Packet) -> usize {
    match packet {
        Packet::Text(text) => text.len(),
        Packet::Binary(bytes) => bytes.len(),
    }
}
