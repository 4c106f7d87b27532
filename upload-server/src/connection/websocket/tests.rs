//! The socket against a peer that speaks raw bytes, and one that speaks WebSocket.

use std::future::poll_fn;

use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_websockets::ClientBuilder;
use upload_proto::UploadRef;

use super::*;

const LIMIT: usize = 70_000;
const FIN: u8 = 0x80;

fn socket(capacity: usize) -> (WebSocket<DuplexStream>, DuplexStream) {
    let (ours, theirs) = duplex(capacity);
    (
        WebSocket::new(ours, LIMIT, Duration::from_secs(20), 2),
        theirs,
    )
}

async fn read<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocket<S>) -> Incoming {
    poll_fn(|cx| socket.poll_read(cx)).await
}

async fn end<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocket<S>) {
    poll_fn(|cx| socket.poll_end(cx)).await;
}

/// One masked frame with a mask of zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | u8::try_from(length).expect("small")),
        length => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(length).expect("fits").to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// Reads what is left as server frames with small payloads; returns the last close code.
async fn close_code(peer: &mut DuplexStream) -> Option<u16> {
    let mut all = Vec::new();
    peer.read_to_end(&mut all).await.expect("readable");
    let mut rest = all.as_slice();
    let mut code = None;
    while let [first, length, tail @ ..] = rest {
        let (payload, tail) = tail.split_at(usize::from(*length));
        if *first == FIN | 8 {
            let bytes = payload
                .first_chunk()
                .expect("close frames of ours have a code");
            code = Some(u16::from_be_bytes(*bytes));
        }
        rest = tail;
    }
    code
}

/// FRAME-3: a message over the limit is refused by its header, with 1009.
#[tokio::test]
async fn frame_3_a_large_header_is_enough() {
    let (mut socket, mut peer) = socket(4096);
    let mut header = vec![FIN | 2, 0x80 | 127];
    header.extend(u64::try_from(LIMIT + 1).expect("fits").to_be_bytes());
    header.extend([0; 4]);
    peer.write_all(&header).await.expect("room");
    assert!(matches!(read(&mut socket).await, Incoming::Over { .. }));
    let closing = tokio::spawn(async move {
        end(&mut socket).await;
    });
    // The peer sends on: it has not read the close frame yet, and must not be reset before.
    peer.write_all(&[7; LIMIT]).await.expect("is drained");
    peer.shutdown().await.expect("open");
    assert_eq!(close_code(&mut peer).await, Some(close::TOO_BIG));
    closing.await.expect("does not panic");
}

/// FRAME-3: fragments count together.
#[tokio::test]
async fn frame_3_fragments_do_not_evade_the_limit() {
    let (mut socket, mut peer) = socket(200_000);
    let part = vec![1; LIMIT / 2 + 1];
    peer.write_all(&frame(2, &part)).await.expect("room");
    peer.write_all(&frame(FIN, &part)).await.expect("room");
    assert!(matches!(read(&mut socket).await, Incoming::Over { .. }));
    peer.write_all(&frame(FIN | 8, &[])).await.expect("room");
    end(&mut socket).await;
    drop(socket);
    assert_eq!(close_code(&mut peer).await, Some(close::TOO_BIG));
}

/// CTRL-1: text that is not UTF-8 closes with 1007, however it is cut.
#[tokio::test]
async fn ctrl_1_bad_utf_8_is_1007() {
    let cases: [&[Vec<u8>]; 3] = [
        &[frame(FIN | 1, b"\xff\xfe")],
        &[frame(1, b"a\xe2\x82"), frame(FIN, b"b")],
        &[frame(1, b"a\xe2\x82"), frame(FIN, b"")],
    ];
    for frames in cases {
        let (mut socket, mut peer) = socket(4096);
        for bytes in frames {
            peer.write_all(bytes).await.expect("room");
        }
        assert!(matches!(read(&mut socket).await, Incoming::Over { .. }));
        peer.write_all(&frame(FIN | 8, &[])).await.expect("room");
        peer.shutdown().await.expect("open");
        end(&mut socket).await;
        drop(socket);
        assert_eq!(close_code(&mut peer).await, Some(close::BAD_UTF8));
    }
}

/// FRAME-2: a frame is decoded from the bytes received, fragmented or not.
#[tokio::test]
async fn frames_and_messages_are_told_apart() {
    let (mut socket, mut peer) = socket(4096);
    let upload = UploadRef::from_bytes([3; 16]);
    let cancel = Frame::Cancel { upload }.encode();
    let (head, tail) = cancel.split_at(5);
    peer.write_all(&frame(2, head)).await.expect("room");
    peer.write_all(&frame(FIN | 9, b"ping"))
        .await
        .expect("room");
    peer.write_all(&frame(FIN, tail)).await.expect("room");
    peer.write_all(&frame(FIN | 1, b"{\"type\":\"ping\"}"))
        .await
        .expect("room");
    peer.write_all(&frame(FIN | 2, b"")).await.expect("room");
    let next = read(&mut socket).await;
    assert!(matches!(next, Incoming::Control), "{next:?}");
    let next = read(&mut socket).await;
    assert!(
        matches!(
            next,
            Incoming::Frame {
                frame: Ok(Frame::Cancel { .. }),
                bytes: 17
            }
        ),
        "{next:?}"
    );
    let next = read(&mut socket).await;
    assert!(
        matches!(
            &next,
            Incoming::Message { message, .. } if matches!(**message, Ok(ClientMessage::Ping))
        ),
        "{next:?}"
    );
    let next = read(&mut socket).await;
    assert!(
        matches!(
            next,
            Incoming::Frame {
                frame: Err(_),
                bytes: 0
            }
        ),
        "{next:?}"
    );
}

/// RESUME-7: the peer's close code is told.
#[tokio::test]
async fn the_peers_goodbye_is_told_and_answered() {
    let (mut socket, mut peer) = socket(4096);
    peer.write_all(&frame(FIN | 8, &1001u16.to_be_bytes()))
        .await
        .expect("room");
    let next = read(&mut socket).await;
    assert!(
        matches!(
            next,
            Incoming::Over {
                code: Some(1001),
                ..
            }
        ),
        "{next:?}"
    );
    end(&mut socket).await;
    drop(socket);
    assert_eq!(close_code(&mut peer).await, Some(1001));
}

/// A peer that reads nothing fills its queue, and one message more is too many.
#[tokio::test]
async fn a_peer_that_never_reads_is_given_up() {
    let (mut socket, _peer) = socket(1024);
    let mut sent = 0;
    while socket.send(&ServerMessage::Pong).is_ok() {
        sent += 1;
        let _ = poll_fn(|cx| Poll::Ready(socket.poll_write(cx))).await;
        assert!(sent <= 2 * OUTGOING_MESSAGES_MAX, "the queue has no bound");
    }
    assert!(sent >= OUTGOING_MESSAGES_MAX, "{sent}");
    assert!(socket.is_congested());
}

/// CONN-2: what waits is sent before the close frame, and reading goes on meanwhile.
#[tokio::test]
async fn what_waits_is_sent_before_the_goodbye() {
    let (mut socket, peer) = socket(512);
    for _ in 0..100 {
        socket.send(&ServerMessage::Pong).expect("room");
    }
    socket.close(close::RESTARTING);
    socket.send(&ServerMessage::Pong).expect("is ignored");
    let closing = tokio::spawn(async move { end(&mut socket).await });
    let mut client = ClientBuilder::new().take_over(peer);
    let mut pongs = 0;
    let code = loop {
        let message = client
            .next()
            .await
            .expect("a close frame comes")
            .expect("no error");
        if let Some((code, _)) = message.as_close() {
            break u16::from(code);
        }
        pongs += 1;
    };
    assert_eq!((pongs, code), (100, close::RESTARTING));
    while client.next().await.is_some() {}
    closing.await.expect("does not panic");
}

/// CONN-3: pings are sent, and a peer that says nothing at all is dead.
#[tokio::test(start_paused = true)]
async fn conn_3_silence_is_death() {
    let (mut socket, mut peer) = socket(4096);
    let mut beats = 0;
    loop {
        tokio::time::sleep_until(socket.next_check()).await;
        let unread = poll_fn(|cx| Poll::Ready(socket.poll_read(cx))).await;
        assert!(unread.is_pending());
        if socket.check_keepalive(Instant::now()).is_err() {
            break;
        }
        beats += 1;
        poll_fn(|cx| socket.poll_write(cx)).await.expect("room");
    }
    assert_eq!(beats, 2);
    let mut pings = [0; 4];
    peer.read_exact(&mut pings).await.expect("two pings");
    assert_eq!(pings, [FIN | 9, 0, FIN | 9, 0]);
}

/// What was read and not handed out would be lost with the buffer.
#[tokio::test(start_paused = true)]
async fn a_socket_at_rest_loses_nothing() {
    let (mut socket, mut peer) = socket(1 << 20);
    assert!(socket.ws.is_resting(), "nothing came yet");
    peer.write_all(&frame(FIN | 2, &[1; 60_000]))
        .await
        .expect("room");
    read(&mut socket).await;
    assert!(!rests(&mut socket).await, "more like it will come");
    tokio::time::sleep_until(socket.next_check()).await;
    socket
        .check_keepalive(Instant::now())
        .expect("it was heard");
    assert!(!rests(&mut socket).await, "a ping is to be sent");
    poll_fn(|cx| socket.poll_write(cx)).await.expect("room");
    assert!(socket.ws.is_resting(), "it was quiet");

    let cancel = frame(FIN | 2, &[3; 17]);
    for cut in 1..cancel.len() {
        let (begin, end) = cancel.split_at(cut);
        peer.write_all(begin).await.expect("room");
        assert!(!rests(&mut socket).await, "{cut} bytes of a frame are here");
        peer.write_all(end).await.expect("room");
        let incoming = read(&mut socket).await;
        let Incoming::Frame { frame, bytes: 17 } = incoming else {
            panic!("{incoming:?}");
        };
        assert!(matches!(frame, Ok(Frame::Cancel { .. })));
        assert!(rests(&mut socket).await, "the whole frame was handed out");
    }
    // More than is read at once from a stream at rest, and two messages in one piece.
    let mut both = frame(FIN | 2, &[7; 3000]);
    both.extend(&cancel);
    peer.write_all(&both).await.expect("room");
    let next = read(&mut socket).await;
    assert!(
        matches!(next, Incoming::Frame { bytes: 3000, .. }),
        "{next:?}"
    );
    let next = read(&mut socket).await;
    assert!(
        matches!(next, Incoming::Frame { bytes: 17, .. }),
        "{next:?}"
    );
}

/// Polls a socket that has nothing whole to read; returns whether it gave its buffers back.
async fn rests(socket: &mut WebSocket<DuplexStream>) -> bool {
    poll_fn(|cx| {
        assert!(socket.poll_read(cx).is_pending());
        Poll::Ready(())
    })
    .await;
    socket.ws.is_resting()
}

/// An end that a stream at rest meets is told like any other.
#[tokio::test]
async fn a_socket_at_rest_hears_the_end() {
    let (mut socket, peer) = socket(4096);
    assert!(!socket.ws.is_resting() || rests(&mut socket).await);
    drop(peer);
    let next = read(&mut socket).await;
    assert!(
        matches!(next, Incoming::Over { code: None, .. }),
        "{next:?}"
    );
}
