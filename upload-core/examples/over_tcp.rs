//! The same protocol without WebSocket or HTTP: a server and a client on a plain TCP stream.
//!
//! `PacketCodec` cuts the stream into text and binary messages; everything else is what any host
//! of the core does: feed what happened, carry out what is asked for, wait until the next deadline.
//!
//! `cargo run -p upload-core --features testing --example over_tcp`

use std::{
    error::Error,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep_until,
};
use tokio_util::codec::Framed;
use upload_core::{
    DisconnectReason, FileCheck, FileFacts, Now, Outcome, Sender, SenderConfig, SenderOutput,
    SessionLimits, SlotRules, host::InMemory,
};
use upload_proto::{
    ClientMessage, Frame, ServerMessage, UploadRef,
    codec::{Packet, PacketCodec},
    limits::message_bytes_max,
};

/// Largest chunk of the only slot, in bytes.
const CHUNK_BYTES: u32 = 64 * 1024;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let file: Vec<u8> = (0..5_000_000_u32).flat_map(u32::to_be_bytes).collect();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let server = async {
        let (stream, _) = listener.accept().await?;
        serve(stream).await
    };
    let client = async {
        let stream = TcpStream::connect(listener.local_addr()?).await?;
        send(stream, &file).await
    };
    let (stored, outcome) = tokio::try_join!(server, client)?;
    assert!(stored == file, "every byte arrived in its place");
    println!("{outcome:?}");
    Ok(())
}

/// The server's side of one connection; returns what was stored, here in memory.
async fn serve(stream: TcpStream) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut packets = Framed::new(stream, PacketCodec::new(message_bytes_max(CHUNK_BYTES)));
    let slot = SlotRules {
        max_file_size: 1_000_000_000,
        chunk_size: CHUNK_BYTES,
        ..SlotRules::new("documents")
    };
    let mut server = InMemory::new([slot], SessionLimits::default());
    let connection = server.connect(now());
    loop {
        while let Some(message) = server.poll_sent(connection) {
            packets.send(Packet::from(&message)).await?;
        }
        if server.closed(connection).is_some() {
            break;
        }
        tokio::select! {
            // A client that is ahead of its credit waits in the socket (CREDIT-3).
            packet = packets.next(), if server.wants_input(connection) => match packet {
                Some(Ok(Packet::Text(text))) => {
                    server.message(connection, ClientMessage::parse(&text), now());
                }
                Some(Ok(Packet::Binary(bytes))) => {
                    server.frame(connection, Frame::decode(bytes), now());
                }
                // Gone, or not to be understood any more: either way this connection is over.
                Some(Err(_)) | None => break,
            },
            () = due(server.next_timeout()) => server.timeout(now()),
        }
    }
    server.disconnect(connection, DisconnectReason::Lost, now());
    let stored = server.files().iter().find(|file| file.is_published);
    Ok(stored.map(|file| file.bytes.clone()).unwrap_or_default())
}

/// The client's side: sends one file and returns how that ended.
async fn send(stream: TcpStream, file: &[u8]) -> Result<Outcome, Box<dyn Error>> {
    let mut packets = Framed::new(stream, PacketCodec::new(message_bytes_max(CHUNK_BYTES)));
    let mut sender = Sender::new(facts(file.len() as u64), SenderConfig::default());
    loop {
        while let Some(output) = sender.poll_output() {
            match output {
                SenderOutput::Connect => sender.handle_connected(now()),
                SenderOutput::Message(message) => packets.send(Packet::from(&message)).await?,
                SenderOutput::Frame(frame) => packets.send(Packet::from(&frame)).await?,
                SenderOutput::Read { id, offset, length } => {
                    let from = usize::try_from(offset)?;
                    let data = Bytes::copy_from_slice(&file[from..from + length as usize]);
                    sender.handle_data(id, data, now());
                }
                // The file is in memory and does not change.
                SenderOutput::CheckFile { id } => {
                    sender.handle_checked(id, FileCheck::Unchanged, now());
                }
                SenderOutput::Disconnect | SenderOutput::NeedRef => {
                    return Err("a real client connects again".into());
                }
            }
        }
        if let Some(outcome) = sender.outcome() {
            return Ok(outcome.clone());
        }
        tokio::select! {
            packet = packets.next() => {
                let Some(Packet::Text(text)) = packet.transpose()? else {
                    return Err("the server only says text, and does not leave first".into());
                };
                if let Some(message) = ServerMessage::parse(&text)? {
                    sender.handle_message(&message, now());
                }
            }
            () = due(sender.poll_timeout()) => sender.handle_timeout(now()),
        }
    }
}

fn facts(size: u64) -> FileFacts {
    FileFacts {
        upload: UploadRef::from_bytes([7; 16]),
        is_known: false,
        slot: "documents".into(),
        name: "numbers.bin".into(),
        media_type: "application/octet-stream".into(),
        size,
        last_modified: None,
        relative_path: None,
        meta: None,
        client_id: None,
    }
}

/// Waits until then, for ever if there is nothing to wait for.
async fn due(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when.into()).await,
        None => std::future::pending().await,
    }
}

/// The core reads no clock; a host does.
#[allow(clippy::disallowed_methods)]
fn now() -> Now {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    Now {
        instant: Instant::now(),
        unix_ms: since_epoch.map_or(0, |since| since.as_millis() as u64),
    }
}
