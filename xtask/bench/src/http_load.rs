//! The load generator of HTTP requests: uploads over many connections at once, from one thread.
//!
//! It prints `ready` when every connection is open, begins at a line on its input, and ends with one line of
//! JSON.

use std::{
    io::{Write, stdin, stdout},
    rc::Rc,
    time::Instant,
};

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use serde_json::json;
use tokio::task::LocalSet;
use upload_bench::{
    frames::Template,
    limits::raise_open_files,
    requests::{Door, Requests, Shape},
};

/// Bytes of the data that a file repeats.
const DATA_BYTES: usize = 65_536;

/// Uploads as fast as the server takes it.
#[derive(Parser)]
struct Args {
    /// Address of the server
    #[arg(long)]
    address: String,
    /// What the requests speak
    #[arg(long, value_enum)]
    door: Spoken,
    /// Slot to upload to
    #[arg(long, default_value = "file")]
    slot: String,
    /// Connections, each with one upload
    #[arg(long, default_value_t = 1)]
    connections: u32,
    /// Bytes of each upload
    #[arg(long)]
    bytes: u64,
    /// Bytes of a PATCH; the whole file by default
    #[arg(long)]
    piece: Option<u64>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Spoken {
    Tus,
    Plain,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse();
    let piece = args.piece.unwrap_or(args.bytes);
    if args.connections == 0 || piece == 0 {
        bail!("a load needs connections and bytes");
    }
    raise_open_files()?;
    let shape = Rc::new(Shape {
        door: match args.door {
            Spoken::Tus => Door::Tus,
            Spoken::Plain => Door::Plain,
        },
        data: Template::new(DATA_BYTES, DATA_BYTES as u64).file(),
        size: args.bytes,
        piece,
    });
    let mut peers = Vec::new();
    for number in 0..args.connections {
        let opened = Requests::open(&args.address, &args.slot, Rc::clone(&shape)).await;
        peers.push(opened.with_context(|| format!("connection {number}"))?);
    }
    println!("ready");
    stdout().flush()?;
    stdin().read_line(&mut String::new())?;

    let begun = Instant::now();
    let local = LocalSet::new();
    let upload = |mut peer: Requests| async move { peer.upload().await };
    let uploads: Vec<_> = peers
        .into_iter()
        .map(|peer| local.spawn_local(upload(peer)))
        .collect();
    local.await;
    let seconds = begun.elapsed().as_secs_f64();
    for upload in uploads {
        upload.await??;
    }
    let bytes = args.bytes * u64::from(args.connections);
    println!(
        "{}",
        json!({"bytes": bytes, "seconds": seconds, "resume_ms": []})
    );
    Ok(())
}
