//! The least a server could do: receive whole messages and drop them, or write their data to a file.
//!
//! It speaks just enough of the protocol to serve the load generator: it grants all credit at once, checks
//! nothing, and answers `complete` when it is told so.
//! What it costs is the floor that the real server is measured against.

#[path = "bare/sink.rs"]
mod sink;

use std::path::PathBuf;

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
/// What stands in front of a chunk's data: a type, a ref, an index.
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
        let file = args
            .folder
            .as_ref()
            .map(|folder| folder.join(format!("bare-{number}")));
        let (gather, sync) = (args.gather, args.sync);
        tokio::spawn(async move {
            if let Err(error) = serve(stream, file, gather, sync).await {
                eprintln!("connection {number}: {error:#}");
            }
        });
    }
    Ok(())
}

async fn serve(stream: TcpStream, file: Option<PathBuf>, gather: Gather, sync: bool) -> Result<()> {
    stream.set_nodelay(true)?;
    let (_, mut socket) = ServerBuilder::new().accept(stream).await?;
    socket
        .send(Message::text(json!({"type": "upload_configs"}).to_string()))
        .await?;
    let mut sink = Sink::Discard;
    while let Some(message) = socket.next().await {
        let message = message?;
        if let Some(text) = message.as_text() {
            let register: Value = serde_json::from_str(text)?;
            let size = register["client_size"]
                .as_u64()
                .context("a register without a size")?;
            if let Some(file) = &file {
                sink = Sink::create(file, size, gather)?;
            }
            let answer =
                json!({"type": "upload_registered", "ref": register["ref"], "credit": ALL_CREDIT});
            socket.send(Message::text(answer.to_string())).await?;
        } else if message.is_binary() {
            let frame = message.into_payload();
            match frame.first() {
                Some(1) => sink.take(frame, CHUNK_HEADER_BYTES)?,
                Some(2) => {
                    let (bytes, file) = sink.close()?;
                    if let Some(file) = file.filter(|_| sync) {
                        spawn_blocking(move || file.sync_all()).await??;
                    }
                    let answer = json!({"type": "upload_progress", "status": "complete", "bytes_received": bytes});
                    socket.send(Message::text(answer.to_string())).await?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}
