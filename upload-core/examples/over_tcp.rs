//! The same protocol without WebSocket or HTTP: a server and a client on a plain TCP stream.
//!
//! `PacketCodec` cuts the stream into text and binary messages; everything else is what any host
//! of the core does: feed what happened, carry out what is asked for, wait until the next deadline.
//!
//! `cargo run -p upload-core --example over_tcp`

use std::{
    collections::BTreeMap,
    error::Error,
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep_until,
};
use tokio_util::codec::Framed;
use upload_core::{
    CheckpointNews, DisconnectReason, FileFacts, Holder, Now, Outcome, Output, OwnerTally, Sender,
    SenderConfig, SenderOutput, Session, SessionConfig, SessionLimits, SlotRules, Verdict,
    WriterEvent,
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
    let mut session = Session::new(config(), now());
    let mut stored = Vec::new();
    while !session.is_finished() {
        while let Some(output) = session.poll_output() {
            match output {
                Output::Send(message) => packets.send(Packet::from(&message)).await?,
                Output::Inspect { entry, .. } => {
                    session.handle_verdict(entry, Verdict::Accept, now());
                }
                Output::Open { entry } => {
                    let opened = WriterEvent::Opened { checkpoint: None };
                    session.handle_writer(entry, opened, now());
                }
                Output::Write { entry, data } => {
                    stored.extend_from_slice(&data);
                    let wrote = WriterEvent::Wrote {
                        received: stored.len() as u64,
                        durable: 0,
                        checkpoint: CheckpointNews::Same,
                    };
                    session.handle_writer(entry, wrote, now());
                }
                Output::Close { entry } => {
                    let result = json!({ "size": stored.len() });
                    session.handle_writer(entry, WriterEvent::Closed { result }, now());
                }
                Output::Notify(_) => {}
                // Records and handlers, which this server does not have, and failures.
                other => return Err(format!("not made for {other:?}").into()),
            }
        }
        tokio::select! {
            packet = packets.next() => match packet.transpose()? {
                Some(Packet::Text(text)) => {
                    session.handle_message(ClientMessage::parse(&text), now());
                }
                Some(Packet::Binary(bytes)) => session.handle_frame(Frame::decode(bytes), now()),
                None => session.handle_disconnect(DisconnectReason::Lost, now()),
            },
            () = due(session.poll_timeout()) => session.handle_timeout(now()),
        }
    }
    Ok(stored)
}

/// The client's side: sends one file and returns how that ended.
async fn send(stream: TcpStream, file: &[u8]) -> Result<Outcome, Box<dyn Error>> {
    let mut packets = Framed::new(stream, PacketCodec::new(message_bytes_max(CHUNK_BYTES)));
    let mut sender = Sender::new(facts(file.len() as u64), SenderConfig::default(), now());
    loop {
        while let Some(output) = sender.poll_output() {
            match output {
                SenderOutput::Connect => sender.handle_connected(now()),
                SenderOutput::Message(message) => packets.send(Packet::from(&message)).await?,
                SenderOutput::Frame(frame) => packets.send(Packet::from(&frame)).await?,
                SenderOutput::Read { offset, length } => {
                    let from = usize::try_from(offset)?;
                    let data = Bytes::copy_from_slice(&file[from..from + length as usize]);
                    sender.handle_data(offset, data, now());
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

fn config() -> SessionConfig {
    let mut slot = SlotRules::new("documents");
    slot.max_file_size = 1_000_000_000;
    slot.chunk_size = CHUNK_BYTES;
    SessionConfig {
        slots: BTreeMap::from([(slot.name.clone(), Arc::new(slot))]),
        plain: false,
        holder: Holder {
            boot: "example".into(),
            session: 1,
        },
        tally: Arc::new(OwnerTally::default()),
        limits: SessionLimits::default(),
        checksum: true,
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
