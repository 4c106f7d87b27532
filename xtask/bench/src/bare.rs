//! The least a server could do: receive whole messages and drop them, or write their data to a file.
//!
//! It speaks just enough of the protocol to serve the load generator: it grants all credit at once, checks
//! nothing, and answers `complete` when the client says so.
//! What it costs is the floor that the real server is measured against.

#[path = "bare/sink.rs"]
mod sink;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    task::spawn_blocking,
};
use tokio_websockets::{Message, ServerBuilder};

use sink::{Gather, Sink};

/// As much credit as a JSON number can say.
const ALL_CREDIT: u64 = (1 << 53) - 1;
/// What precedes a chunk's data: a type, a ref, an index.
const CHUNK_HEADER_BYTES: usize = 21;

/// A sink for uploads that promises nothing.
#[derive(Parser)]
struct Args {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
    /// Write each upload to a file in this folder instead of dropping it
    #[arg(long)]
    folder: Option<PathBuf>,
    /// How data becomes pieces of a file
    #[arg(long, value_enum, default_value_t = Gather::Copy)]
    gather: Gather,
    /// Sync each file to the disk before it is said to be complete
    #[arg(long)]
    sync: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let listener = TcpListener::bind(&args.listen).await?;
    println!("listening on {}", listener.local_addr()?);
    for number in 0_u64.. {
        let (stream, _) = listener.accept().await?;
        let folder = args.folder.clone();
        let (gather, sync) = (args.gather, args.sync);
        tokio::spawn(async move {
            let name = |count: usize| format!("bare-{number}-{count}");
            if let Err(error) = serve(stream, folder.as_deref(), name, gather, sync).await {
                eprintln!("connection {number}: {error:#}");
            }
        });
    }
    Ok(())
}

async fn serve(
    stream: TcpStream,
    folder: Option<&Path>,
    name: impl Fn(usize) -> String,
    gather: Gather,
    sync: bool,
) -> Result<()> {
    stream.set_nodelay(true)?;
    let (_, mut socket) = ServerBuilder::new().accept(stream).await?;
    socket
        .send(Message::text(json!({"type": "upload_configs"}).to_string()))
        .await?;
    let mut sinks: HashMap<[u8; 16], (Value, Sink)> = HashMap::new();
    let mut count = 0;
    while let Some(message) = socket.next().await {
        let message = message?;
        if let Some(text) = message.as_text() {
            let register: Value = serde_json::from_str(text)?;
            let size = register["client_size"]
                .as_u64()
                .context("a register without a size")?;
            let sink = match folder {
                Some(folder) => Sink::create(&folder.join(name(count)), size, gather)?,
                None => Sink::Discard,
            };
            count += 1;
            let answer =
                json!({"type": "upload_registered", "ref": register["ref"], "credit": ALL_CREDIT});
            sinks.insert(bytes_of(&register["ref"])?, (register["ref"].clone(), sink));
            socket.send(Message::text(answer.to_string())).await?;
        } else if message.is_binary() {
            let frame = message.into_payload();
            let upload = frame.get(1..17).and_then(|name| name.try_into().ok());
            let upload: [u8; 16] = upload.context("a frame without a ref")?;
            match frame.first() {
                Some(1) => {
                    let (_, sink) = sinks.get_mut(&upload).context("an unknown ref")?;
                    sink.take(frame, CHUNK_HEADER_BYTES)?;
                }
                Some(2) => {
                    let (name, mut sink) = sinks.remove(&upload).context("an unknown ref")?;
                    let (bytes, file) = sink.close()?;
                    if let Some(file) = file.filter(|_| sync) {
                        spawn_blocking(move || file.sync_all()).await??;
                    }
                    let answer = json!({
                        "type": "upload_progress", "ref": name, "status": "complete",
                        "bytes_received": bytes,
                    });
                    socket.send(Message::text(answer.to_string())).await?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Returns the bytes of a ref that a message writes with hyphens.
fn bytes_of(name: &Value) -> Result<[u8; 16]> {
    let hex = name.as_str().context("a register without a ref")?;
    let number = u128::from_str_radix(&hex.replace('-', ""), 16)?;
    Ok(number.to_be_bytes())
}
